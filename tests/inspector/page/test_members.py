"""Of an ensemble the page has members whose numbers are those that the ensemble's own trace has of them."""

from __future__ import annotations

import numpy as np
import pytest

import inspector
import tinygrad_rnn as tg
from inspector.page.members import members_of
from inspector.reports import document_of
from inspector.tracing.replay import member_of

from .unpacking import unpack


def ensemble(reverse: bool = False, members: int = 5) -> tuple[tg.Run, tg.Tensor]:
    cells = [tg.cells.GRUCell(2, 3, seed=seed) for seed in range(members)]
    compiled = tg.compile(cells, backend="numpy")
    for parameter in compiled.parameters():  # as if they had been trained together
        parameter.data = parameter.data * 1.1
    x = np.random.default_rng(0).normal(size=(6, 2, 2))
    run = tg.unroll(compiled, x, reverse=reverse, lengths=[4, 6])
    return run, (run.stacked**2).mean() + run.outputs[0].sum()


@pytest.mark.parametrize("reverse", [False, True])
def test_a_member_has_the_loss_of_all_and_its_own_gradient(reverse: bool) -> None:
    run, loss = ensemble(reverse)
    whole = inspector.trace(run, loss)
    for k in range(5):
        one, own = member_of(run, loss, k)
        found = inspector.trace(one, own)
        assert own.item() == pytest.approx(loss.item(), rel=1e-12)
        assert found.initialisation == "pytorch"
        for name in set(found.names) & set(whole.names) - {"x"}:
            np.testing.assert_allclose(found.norm(name), whole.member_norms(name)[:, k], rtol=1e-9, err_msg=name)


def test_the_page_has_the_median_and_both_ends_before_the_band_of_all() -> None:
    run, loss = ensemble()
    norms = inspector.trace(run, loss).member_norms("h")
    order = np.argsort(norms[0] / norms[-1])
    data = document_of(run, loss, "report", sliders=False)
    assert [one["label"] for one in data["runs"]] == ["Median of 5", "Keeps least", "Keeps most"]
    assert [one["note"] for one in data["runs"]] == [f"member {order[k]} of 5" for k in (2, 0, 4)]
    for one, k in zip(data["runs"], (2, 0, 4), strict=True):
        np.testing.assert_allclose(unpack(one["norms"]["h"]), norms[:, order[k]], rtol=1e-3)
        assert one["band"]["words"] == "half and nine tenths of 5 members"
        wanted = np.quantile(norms, [0.05, 0.25, 0.5, 0.75, 0.95], axis=1)
        found = unpack(one["band"]["norms"]["h"])
        assert (found[:-1] <= found[1:]).all()
        np.testing.assert_allclose(found[[0, 2, 4]], wanted[[0, 2, 4]], rtol=0.3)


@pytest.mark.parametrize(("count", "words"), [(1, ["a, median of 1"]), (2, ["a, median of 2", "a, keeps most"])])
def test_no_member_is_there_twice(count: int, words: list[str]) -> None:
    run, loss = ensemble(members=count)
    assert [one.label for one in members_of("a", run, loss)] == words

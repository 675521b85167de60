"""Changes tried on a run side by side come to what each comes to in a run of its own."""

from __future__ import annotations

import cProfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given

import inspector
import tinygrad_rnn as tg
from inspector.analysis import trials as trials_module
from inspector.analysis.trials import Change, Trials, whole_norms
from inspector.tracing.replay import recorded
from inspector.tracing.trace import GradientTrace
from tests.inspector.analysis.networks import KINDS, network
from tests.random_cells import runs
from tests.strategies import FEW
from tinygrad_rnn.recurrent.unroll import Run


def changes_of(found: GradientTrace) -> Iterator[Change]:
    """Every gate that has a nonlinearity of its own opened and closed, every weight enlarged and reduced."""
    gates: dict[str, list[tg.Tensor]] = {}
    for (name, _), value in found.run.names.items():
        gates.setdefault(name, []).append(value)
    for name, values in gates.items():
        if all(value.op is not None and value.op.activation for value in values):
            yield from (Change("bias", (name,), much) for much in (1.5, -2.0))
    yield from (Change("scale", (name,), much) for name in found.parameters for much in (1.2, 0.7))


def compare(run: Run, loss: tg.Tensor) -> None:
    found = inspector.trace(*recorded(run, loss))
    changes, tried = list(changes_of(found)), Trials(found)
    tried.measure(changes)
    for change in changes[:: max(1, len(changes) // 5)]:
        expected = whole_norms(tried.again(change).traces[1])
        size = 1e-9 * np.abs(expected[np.isfinite(expected)]).max(initial=0.0)
        np.testing.assert_allclose(tried.norms(change), expected, rtol=1e-9, atol=size)


@pytest.mark.parametrize("kind", KINDS)
def test_side_by_side_is_one_by_one(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run, loss = network(kind)
    if kind in ("lstm", "gru", "stacked", "directions", "compiled"):
        monkeypatch.setattr(trials_module, "_NUMBERS", 20_000)  # so that several batches are needed
    with np.errstate(all="ignore"):
        compare(run, loss)


@FEW
@given(run=runs())
def test_side_by_side_is_one_by_one_for_cells_nobody_has_seen(run: Run) -> None:
    loss = (run.stacked**2).sum()
    assume(np.isfinite(loss.data) and any(value in tg.Graph(loss) for value in run.names.values()))
    with np.errstate(all="ignore"):
        compare(run, loss)


def faded() -> tuple[Run, tg.Tensor]:
    run = tg.unroll(tg.cells.LSTMCell(3, 4, seed=0), np.random.default_rng(0).normal(size=(40, 2, 3)))
    return run, run.outputs[-1].sum()


def test_a_diagnosis_takes_three_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[int] = []

    measured = trials_module._side_by_side

    def counted(found: Any, changes: Any, fillings: Any) -> Any:
        passes.append(len(changes))
        return measured(found, changes, fillings)

    monkeypatch.setattr(trials_module, "_side_by_side", counted)
    monkeypatch.setattr(trials_module, "rerun", None)
    found = inspector.diagnose(*faded())
    assert found.remedies and 1 <= len(passes) <= 3


def test_where_nothing_can_be_tried_side_by_side_each_is_tried_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    found = inspector.diagnose(*faded())

    def refuse(*_: object) -> None:
        raise TypeError

    monkeypatch.setattr(trials_module, "side_by_side", refuse)
    alone = inspector.diagnose(*faded())
    assert str(alone) == str(found)
    for one, other in zip(found.remedies, alone.remedies, strict=True):
        assert one.kept == pytest.approx(other.kept, rel=1e-9)
        assert inspector.decay_rate(whole_norms(one.tried.traces[1])).half_life == pytest.approx(one.half_life)


def test_what_cannot_change_anything_is_said_and_not_tried_further() -> None:
    """A gate so far open that a bias is nothing beside what it has."""

    class Open(tg.Cell):
        def __init__(self) -> None:
            super().__init__(3, 1, seed=0)
            self.gain = self.parameter("gain", (1,), init=lambda shape, rng: np.full(shape, 0.1))

        def step(self, x: Any, state: Any) -> Any:
            return (tg.named(f=tg.sigmoid(x[:, :1] * 0.0 + 30.0)) * state.h * self.gain,)

    run = tg.unroll(Open(), np.ones((13, 1, 3)), [np.ones((1, 1))])
    found = inspector.diagnose(run, run.outputs[-1].sum())
    assert "no bias in f changes what arrives" in found.evidence
    assert [remedy.change.split()[0] for remedy in found.remedies] == ["gain"]


def test_the_work_of_a_diagnosis_grows_with_the_steps() -> None:
    found = []
    for steps in (50, 100):
        run = tg.unroll(tg.cells.LSTMCell(2, 3, seed=0), np.ones((steps, 1, 2)))
        loss, profile = run.outputs[-1].sum(), cProfile.Profile()
        inspector.diagnose(run, loss)
        profile.runcall(inspector.diagnose, run, loss)
        found.append(sum(entry.callcount for entry in profile.getstats()))  # type: ignore[attr-defined]
    assert found[1] < 2.2 * found[0]

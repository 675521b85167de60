"""A run of another length is the one that is made by hand of as many inputs, with the loss of its own last steps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import inspector
import tinygrad_rnn as tg
from inspector.analysis.lengths import Lengths
from inspector.analysis.trials import whole_norms


@given(
    steps=st.integers(2, 6),
    other=st.integers(1, 15),
    read=st.integers(1, 3),
    reverse=st.booleans(),
    name=st.sampled_from(["rnn", "lstm"]),
    seed=st.integers(0, 99),
)
def test_it_is_the_run_of_as_many_inputs_made_by_hand(
    steps: int, other: int, read: int, reverse: bool, name: str, seed: int
) -> None:
    read = min(read, steps)
    rng = np.random.default_rng(seed)
    cell, start = tg.cells.get(name)(2, 3, seed=seed), rng.normal(size=(2, 3))
    target = rng.normal(size=(2, 3))

    def made(x: np.ndarray) -> tuple[tg.Run, tg.Tensor]:
        run = tg.unroll(cell, x, [start] * len(cell.state_names), reverse=reverse)
        rows = [run.stacked[k if reverse else -1 - k] for k in range(read)]
        state = run.names[cell.state_names[-1], 0 if reverse else len(run) - 1]
        return run, tg.losses.mse_loss(sum(rows), target) + tg.exp(state).mean() * 0.1

    x = rng.normal(size=(steps, 2, 2))
    lengths = Lengths(inspector.trace(*made(x)))
    assert lengths.read == read
    if other < read:
        with pytest.raises(ValueError, match=f"whose loss reads {read} steps cannot have {other}"):
            lengths.run(other)
        return
    again = np.concatenate([x] * (1 + other // steps))
    run, loss = made(again[:other] if reverse else again[len(again) - other :])
    found, new = lengths.run(other)
    assert new.item() == pytest.approx(loss.item(), rel=1e-12)
    np.testing.assert_allclose(found.stacked.data, run.stacked.data, rtol=1e-12)
    np.testing.assert_allclose(lengths.norms(other), whole_norms(inspector.trace(run, loss)), rtol=1e-9)


def test_what_a_loss_reads_of_the_weights_stays() -> None:
    cell, x = tg.cells.GRUCell(2, 3, seed=0), np.ones((4, 1, 2))
    run = tg.unroll(cell, x)
    lengths = Lengths(inspector.trace(run, run.outputs[-1].sum() + (cell.weight_hh**2).sum()))
    other = tg.unroll(cell, np.ones((9, 1, 2)))
    wanted = (other.outputs[-1].sum() + (cell.weight_hh**2).sum()).item()
    assert lengths.run(9)[1].item() == pytest.approx(wanted, rel=1e-12)

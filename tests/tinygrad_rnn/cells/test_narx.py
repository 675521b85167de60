"""Delays: they divide the decay, and are the earlier states themselves."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.tinygrad_rnn.cells.checks import RNG, H, N, X


@pytest.mark.parametrize("delay", [1, 2, 4])
def test_a_delay_divides_the_decay(delay: int) -> None:
    """With h_t = R h_{t-D} the gradient after q steps is R to the power q / D."""
    cell = tg.cells.NARXCell(N, H, delays=(delay,), nonlinearity="identity", bias=False, seed=0)
    rotation = tg.init.orthogonal((H, H), np.random.default_rng(0))
    getattr(cell, f"R_{delay}").data = 0.8 * rotation
    x = tg.tensor(np.zeros((13, 1, N)), requires_grad=True)
    run = tg.unroll(cell, x)
    weights = RNG.normal(size=(1, H))
    norms = [np.linalg.norm(g.data) for g in tg.grad((run.outputs[-1] * weights).sum(), list(run.outputs))]
    for q in range(13):
        expected = 0.8 ** (q // delay) * np.linalg.norm(weights) if q % delay == 0 else 0.0
        np.testing.assert_allclose(norms[12 - q], expected, rtol=1e-12)


def test_delayed_states_are_the_earlier_ones_themselves() -> None:
    run = tg.unroll(tg.cells.NARXCell(N, H, delays=(1, 3), seed=0), X)
    assert run.states[5].h_1.id == run.states[4].h.id and run.states[5].h_2.id == run.states[3].h.id

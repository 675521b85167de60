"""Modules that tick at their periods."""

from __future__ import annotations

import numpy as np

import tinygrad_rnn as tg
from tests.strategies import reached
from tests.tinygrad_rnn.cells.checks import RNG, H, N, jacobian


def test_clockwork_modules_tick_at_their_periods() -> None:
    cell = tg.cells.ClockworkCell(N, 8, periods=(1, 2, 4, 8), seed=0)
    run = tg.unroll(cell, RNG.normal(size=(17, 1, N)))
    h = np.stack([np.zeros((1, 8)), *[out.data for out in run.outputs]])
    for k, period in enumerate((1, 2, 4, 8)):
        moved = (h[1:, 0, 2 * k] != h[:-1, 0, 2 * k]).tolist()
        assert moved == [t % period == 0 for t in range(17)]


def test_fast_clockwork_modules_do_not_reach_slow_ones() -> None:
    found = jacobian(tg.cells.ClockworkCell(N, H, periods=(1, 2), seed=0), "h", "h")
    state = reached(tg.cells.ClockworkCell(N, H, periods=(1, 2), seed=0), 1, np.random.default_rng(3))
    assert (state[1][0, 2:] == 0).all(), "the slow module moves at this step"
    np.testing.assert_array_equal(found[2:, :2], 0)
    assert (found[:2] != 0).all() and (found[2:, 2:] != 0).all()

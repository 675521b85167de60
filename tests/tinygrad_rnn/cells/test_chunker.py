"""A cell that moves at surprises only."""

from __future__ import annotations

import numpy as np

import tinygrad_rnn as tg
from tests.tinygrad_rnn.cells.checks import H, N


def test_the_chunker_moves_at_surprises_only() -> None:
    cell = tg.cells.ChunkerCell(N, H, seed=0)
    x = np.eye(N)[[0, 0, 1, 1, 2, 0]][:, None]
    state = cell.State(*cell.initial_state(1))
    for k, now in enumerate(x):
        expected = bool(np.abs(now - state.p).max() > 0.5)
        perfect = cell.State(state.h, state.a, now if k % 2 else state.p)
        new = cell(tg.tensor(now), perfect)
        moved = bool((new.h.data != state.h).any())
        assert moved == (expected if k % 2 == 0 else False)
        state = cell.State(*[value.data for value in new])

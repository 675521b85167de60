"""States taken apart and put together again are of the same make."""

from __future__ import annotations

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.recurrent.states import leaves_of, rebuild


def test_a_nested_state_comes_back_with_its_names() -> None:
    lstm, gru = tg.cells.LSTMCell(2, 3, seed=0), tg.cells.GRUCell(2, 3, seed=1)
    state = tg.Stacked(tg.Bidirectional(lstm, gru), tg.cells.RNNCell(6, 4, seed=2)).initial_state(1)
    leaves = leaves_of(state)
    assert [leaf.shape for leaf in leaves] == [(1, 3), (1, 3), (1, 3), (1, 4)]
    new = rebuild(state, (leaf + k for k, leaf in enumerate(leaves)))
    assert type(new) is tuple and type(new[0]) is type(state[0]) and type(new[0].forward) is lstm.State
    np.testing.assert_array_equal(new[0].forward.c, np.ones((1, 3)))
    np.testing.assert_array_equal(new[1].h, np.full((1, 4), 3.0))

"""Elman's network and its near relatives."""

from __future__ import annotations

import numpy as np

import tinygrad_rnn as tg
from tests.tinygrad_rnn.cells.checks import RNG, H, N, close, one, sigmoid


def test_jordan_feeds_its_output_back() -> None:
    cell = tg.cells.JordanCell(N, H, decay=0.3, units=5, seed=0)
    x, old, new, w = one(cell)
    s = 0.3 * old.s + old.y
    h = np.tanh(x @ w["W_h"].T + s @ w["R_h"].T + w["b_h"])
    close(new.y, sigmoid(h @ w["V"].T + w["c"]))
    close(new.s, s)


def test_irnn_begins_as_the_identity() -> None:
    cell = tg.cells.IRNNCell(N, H, seed=0)
    np.testing.assert_array_equal(cell.weight_hh.data, np.eye(H))
    start = np.abs(RNG.normal(size=(1, H))) + 0.1
    run = tg.unroll(cell, np.zeros((1000, 1, N)), (start,))
    np.testing.assert_array_equal(run.outputs[-1].data, start)

"""Second-order networks: sums over triples, and automata."""

from __future__ import annotations

import numpy as np

import tinygrad_rnn as tg
from tests.tinygrad_rnn.cells.checks import RNG, H, N, close, one, sigmoid


def test_a_second_order_net_is_an_automaton() -> None:
    """R11: one transition matrix for each symbol; parity, wired by hand."""
    cell = tg.cells.SecondOrderCell(2, 2, seed=0)
    w = np.zeros((2, 2, 2))
    w[0, 0, 0] = w[1, 1, 0] = w[0, 1, 1] = w[1, 0, 1] = 20.0  # symbol 0 stays, symbol 1 swaps
    cell.W.data, cell.b.data = w.reshape(2, 4), np.full(2, -10.0)
    bits = RNG.integers(0, 2, size=(60, 5))
    run = tg.unroll(cell, np.eye(2)[bits], (np.tile([1.0, 0.0], (5, 1)),))
    np.testing.assert_array_equal(run.outputs[-1].data.argmax(axis=1), bits.sum(axis=0) % 2)


def test_second_order_is_the_sum_over_triples() -> None:
    cell = tg.cells.SecondOrderCell(N, H, seed=0)
    x, old, new, w = one(cell)
    close(new.h, sigmoid(np.einsum("ijk,bj,bk->bi", w["W"].reshape(H, H, N), old.h, x) + w["b"]))

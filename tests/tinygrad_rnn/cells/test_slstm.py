"""Exponential gates, and their stabiliser."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.tinygrad_rnn.cells.checks import H, N, X, close, nets, one, sigmoid


@pytest.mark.parametrize("forget", ["sigmoid", "exp"])
def test_slstm_does_not_depend_on_its_stabiliser(forget: str) -> None:
    cell = tg.cells.SLSTMCell(N, H, forget=forget, seed=0)
    x, old, new, w = one(cell)
    a = nets(w, "ifzo", x, old.h)
    c, n = old.c * np.exp(old.m), old.n * np.exp(old.m)
    f = np.exp(a["f"]) if forget == "exp" else sigmoid(a["f"])
    c, n = f * c + np.exp(a["i"]) * np.tanh(a["z"]), f * n + np.exp(a["i"])
    close(new.h, sigmoid(a["o"]) * c / n)
    for shift in (-3.0, 5.0):
        moved = cell.State(old.h, old.c * np.exp(-shift), old.n * np.exp(-shift), old.m + shift)
        close(cell(tg.tensor(x), moved).h.data, new.h)


def test_slstm_stays_finite_where_exponentials_overflow() -> None:
    cell = tg.cells.SLSTMCell(N, H, forget="exp", seed=0)
    cell.b_i.data, cell.b_f.data = np.full(H, 800.0), np.full(H, 700.0)  # type: ignore[attr-defined]
    assert np.isfinite(tg.unroll(cell, X).stacked.data).all()

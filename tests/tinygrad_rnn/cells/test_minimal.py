"""Cells with fewer gates than a GRU or an LSTM, and the GRU of the first paper."""

from __future__ import annotations

import numpy as np

import tinygrad_rnn as tg
from tests.tinygrad_rnn.cells.checks import H, N, close, nets, one, sigmoid


def test_gru_with_the_reset_before_the_product() -> None:
    cell = tg.cells.GRUResetBeforeCell(N, H, seed=0)
    x, old, new, w = one(cell)
    a = nets(w, "rz", x, old.h)
    n = np.tanh(x @ w["W_n"].T + (sigmoid(a["r"]) * old.h) @ w["R_n"].T + w["b_n"])
    z = sigmoid(a["z"])
    close(new.h, z * old.h + (1 - z) * n)


def test_mgu_and_janet() -> None:
    cell: tg.Cell = tg.cells.MGUCell(N, H, seed=0)
    x, old, new, w = one(cell)
    f = sigmoid(nets(w, "f", x, old.h)["f"])
    close(new.h, (1 - f) * old.h + f * np.tanh(nets(w, "n", x, f * old.h)["n"]))
    cell = tg.cells.JANETCell(N, H, beta=0.7, seed=0)
    x, old, new, w = one(cell)
    a = nets(w, "fn", x, old.h)
    close(new.h, sigmoid(a["f"]) * old.h + (1 - sigmoid(a["f"] - 0.7)) * np.tanh(a["n"]))

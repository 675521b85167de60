"""Gates that do not look at the state."""

from __future__ import annotations

import numpy as np

import tinygrad_rnn as tg
from tests.tinygrad_rnn.cells.checks import H, N, close, jacobian, one, sigmoid


def test_mingru_has_a_diagonal_jacobian() -> None:
    cell = tg.cells.MinGRUCell(N, H, seed=0)
    x, old, new, w = one(cell)
    z = sigmoid(x @ w["W_z"].T + w["b_z"])
    close(new.h, (1 - z) * old.h + z * (x @ w["W_n"].T + w["b_n"]))
    close(jacobian(cell, "h", "h"), np.diag(1 - z[0]))


def test_minlstm_weighs_old_and_new_to_one() -> None:
    cell = tg.cells.MinLSTMCell(N, H, seed=0)
    x, old, new, w = one(cell)
    f, i = (sigmoid(x @ w[f"W_{g}"].T + w[f"b_{g}"]) for g in "fi")
    close(new.h, (f * old.h + i * (x @ w["W_n"].T + w["b_n"])) / (f + i))

"""The simple recurrent unit, written out."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.strategies import reached
from tests.tinygrad_rnn.cells.checks import RNG, B, H, N, close, sigmoid


@pytest.mark.parametrize("inputs", [N, H])
def test_sru(inputs: int) -> None:
    cell = tg.cells.SRUCell(inputs, H, seed=0)
    x = RNG.normal(size=(B, inputs))
    old = cell.State(*reached(cell, B, np.random.default_rng(3)))
    new, w = cell(tg.tensor(x), old), cell.state_dict()
    f, r = (sigmoid(x @ w[f"W_{g}"].T + w[f"v_{g}"] * old.c + w[f"b_{g}"]) for g in "fr")
    c = f * old.c + (1 - f) * (x @ w["W_n"].T)
    close(new.c.data, c)
    close(new.h.data, r * c + (1 - r) * (x @ w["P"].T if inputs != H else x))

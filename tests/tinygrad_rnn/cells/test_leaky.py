"""Units that leak, and those that learn their time constants."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.tinygrad_rnn.cells.checks import RNG, H, N, close, nets, one, sigmoid


@pytest.mark.parametrize("tau", [1.0, 5.0])
def test_a_leaky_unit_forgets_with_its_time_constant(tau: float) -> None:
    cell = tg.cells.LeakyCell(N, H, time_constant=tau, bias=False, seed=0)
    cell.R_n.data = np.zeros((H, H))  # type: ignore[attr-defined]
    start = RNG.normal(size=(1, H))
    run = tg.unroll(cell, np.zeros((20, 1, N)), (start,))
    close(run.outputs[-1].data, (1 - 1 / tau) ** 20 * start)


def test_mozers_units_learn_their_time_constants() -> None:
    cell = tg.cells.MozerCell(N, H, seed=0)
    x, old, new, w = one(cell)
    tau = sigmoid(w["q"])
    close(tau, (np.arange(H) + 0.5) / H)
    close(new.h, tau * old.h + (1 - tau) * np.tanh(nets(w, "n", x, old.h)["n"]))

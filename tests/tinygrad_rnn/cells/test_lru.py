"""The linear recurrent unit: a sum of complex exponentials."""

from __future__ import annotations

import numpy as np

import tinygrad_rnn as tg
from tests.tinygrad_rnn.cells.checks import RNG, H, N, close


def test_lru_is_a_sum_of_complex_exponentials() -> None:
    cell = tg.cells.LRUCell(N, H, r_min=0.5, r_max=0.9, seed=0)
    w = cell.state_dict()
    eigenvalues = np.exp(-np.exp(w["nu"]) + 1j * np.exp(w["theta"]))
    assert (np.abs(eigenvalues) > 0.5).all() and (np.abs(eigenvalues) < 0.9).all()
    close(np.exp(2 * w["gamma"]), 1 - np.abs(eigenvalues) ** 2)
    x = RNG.normal(size=(9, 1, N))
    run = tg.unroll(cell, x)
    into = np.exp(w["gamma"]) * (x[:, 0] @ (w["B_re"] + 1j * w["B_im"]).T)
    s = sum(eigenvalues ** (8 - t) * into[t] for t in range(9))
    close(run.states[-1].re.data[0] + 1j * run.states[-1].im.data[0], s)
    close(run.outputs[-1].data[0], ((w["C_re"] + 1j * w["C_im"]) @ s).real + w["D"] @ x[-1, 0])

"""A recurrent matrix that stays orthogonal."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.tinygrad_rnn.cells.checks import RNG, H, N, X, close, jacobian


@pytest.mark.parametrize("reflections", [1, 3, 4])
def test_the_recurrent_matrix_stays_orthogonal(reflections: int) -> None:
    cell = tg.cells.OrthogonalRNNCell(N, H, reflections=reflections, nonlinearity="identity", bias=False, seed=0)
    optimizer = tg.optim.Adam(cell.parameters(), lr=0.5)
    for _ in range(5):
        optimizer.zero_grad()
        (tg.unroll(cell, X).stacked ** 3).sum().backward()
        optimizer.step()
    q = jacobian(cell, "h", "h")
    close(q @ q.T, np.eye(H))
    assert round(float(np.linalg.det(q))) == (-1) ** reflections


def test_modrelu_keeps_lengths_where_its_bias_is_zero() -> None:
    cell = tg.cells.OrthogonalRNNCell(N, H, seed=0)
    cell.b.data = np.zeros(H)
    start = RNG.normal(size=(1, H))
    run = tg.unroll(cell, np.zeros((1000, 1, N)), (start,))
    np.testing.assert_allclose(np.linalg.norm(run.outputs[-1].data), np.linalg.norm(start), rtol=1e-10)

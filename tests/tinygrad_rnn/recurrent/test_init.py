"""Initialisers: the distributions that the papers and libraries state."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn.recurrent import init

MANY = (200, 300)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_constants() -> None:
    assert not init.zeros((2, 3), rng()).any() and (init.ones((2, 3), rng()) == 1).all()
    np.testing.assert_array_equal(init.identity((3, 3), rng()), np.eye(3))
    np.testing.assert_array_equal(init.identity((6, 3), rng()), np.vstack([np.eye(3)] * 2))
    np.testing.assert_array_equal(init.identity((2, 3), rng()), np.eye(2, 3))


def uniform_within(values: Any, bound: float) -> None:
    """Inside the bound, reaching for it, mean 0 and variance bound²/3 within four standard errors."""
    n = values.size
    assert np.abs(values).max() <= bound and np.abs(values).max() > 0.99 * bound
    assert abs(values.mean()) < 4 * bound / np.sqrt(3 * n)
    assert abs(values.var() / (bound**2 / 3) - 1) < 4 * np.sqrt(0.8 / n)


def test_uniform() -> None:
    uniform_within(init.uniform(0.25)(MANY, rng()), 0.25)


def test_normal() -> None:
    values = init.normal(0.5)(MANY, rng())
    n = values.size
    assert abs(values.mean()) < 4 * 0.5 / np.sqrt(n) and abs(values.std() / 0.5 - 1) < 4 / np.sqrt(2 * n)
    assert abs((np.abs(values) < 0.5).mean() - 0.6827) < 4 * 0.4655 / np.sqrt(n), "as many within one sigma"


def test_glorot_uniform() -> None:
    uniform_within(init.glorot_uniform(MANY, rng()), np.sqrt(6 / 500))


@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_orthogonal(rows: int, columns: int, seed: int) -> None:
    q = init.orthogonal((rows, columns), rng(seed))
    assert q.shape == (rows, columns) and q.flags.c_contiguous
    product = q @ q.T if rows <= columns else q.T @ q
    np.testing.assert_allclose(product, np.eye(min(rows, columns)), atol=1e-12)


def test_orthogonal_is_uniform_over_the_group() -> None:
    """Without fixing the signs of R, QR would favour a sign of the diagonal: the trace has mean 0, variance 1."""
    traces = [np.trace(init.orthogonal((4, 4), generator)) for generator in [rng(1)] for _ in range(4000)]
    assert abs(np.mean(traces)) < 4 / np.sqrt(4000)
    assert abs(np.var(traces) - 1) < 0.15


def test_orthogonal_needs_a_matrix() -> None:
    with pytest.raises(ValueError, match=r"orthogonal: needs a matrix, got shape \(3,\)"):
        init.orthogonal((3,), rng())


@pytest.mark.parametrize("fill", [init.uniform(1.0), init.normal(1.0), init.glorot_uniform, init.orthogonal])
def test_a_seed_fixes_the_values(fill: Any) -> None:
    np.testing.assert_array_equal(fill((3, 4), rng(7)), fill((3, 4), rng(7)))
    assert (fill((3, 4), rng(7)) != fill((3, 4), rng(8))).any()


# -------------------------------------------------------------------------------------------- presets


def lstm(preset: Any, hidden: int = 50, seed: int = 0) -> dict[str, Any]:
    return tg.cells.LSTMCell(40, hidden, init=preset, seed=seed).state_dict()


def test_pytorch() -> None:
    for values in lstm("pytorch", 64).values():
        bound = 1 / 8
        assert np.abs(values).max() <= bound and np.abs(values).max() > 0.95 * bound
    uniform_within(lstm("pytorch", 64)["weight_hh"], 1 / 8)


def test_keras() -> None:
    weights = lstm("keras")
    uniform_within(weights["weight_ih"], np.sqrt(6 / (200 + 40)))
    w = weights["weight_hh"]
    np.testing.assert_allclose(w.T @ w, np.eye(50), atol=1e-12)
    expected = np.zeros(200)
    expected[50:100] = 1.0
    np.testing.assert_array_equal(weights["bias_ih"] + weights["bias_hh"], expected)


def test_orthogonal_preset() -> None:
    weights = lstm("orthogonal")
    for block in np.split(weights["weight_hh"], 4):
        np.testing.assert_allclose(block @ block.T, np.eye(50), atol=1e-12)
    assert not weights["bias_ih"].any() and not weights["bias_hh"].any()


def test_identity_preset() -> None:
    cell = tg.cells.RNNCell(100, 100, nonlinearity="relu", init="identity", seed=0)
    np.testing.assert_array_equal(cell.weight_hh.data, np.eye(100))
    assert not cell.bias_ih.data.any() and abs(cell.weight_ih.data.std() / 0.001 - 1) < 0.05


def test_chrono() -> None:
    """b_f = log U(1, T_max - 1), b_i = -b_f (Tallec & Ollivier 2018, eq. 16)."""
    weights = lstm(init.preset("chrono", t_max=784), 2000)
    i, f, g, o = np.split(weights["bias_ih"], 4)
    np.testing.assert_array_equal(i, -f)
    assert not g.any() and not o.any() and not weights["bias_hh"].any()
    times = np.exp(f)
    assert times.min() >= 1.0 and times.max() <= 783.0
    uniform_within(times - 392.0, 391.0)


def test_chrono_of_a_gru_opens_the_update_gate() -> None:
    cell = tg.cells.GRUCell(2, 100, init=init.preset("chrono", t_max=100), seed=0)
    r, z, n = np.split(cell.bias_ih.data, 3)
    assert z.min() >= 0.0 and z.max() > 3.0 and not r.any() and not n.any()


@pytest.mark.parametrize("name", sorted(init.PRESETS))
@pytest.mark.parametrize("cell", tg.cells.names())
def test_every_preset_fills_every_cell_and_says_so(name: str, cell: str) -> None:
    one, again = (tg.cells.get(cell)(3, 4, init=name, seed=5) for _ in range(2))
    assert one.initialisation.startswith(name)
    for key, value in one.state_dict().items():
        assert np.isfinite(value).all()
        np.testing.assert_array_equal(value, again.state_dict()[key])


def test_the_printed_name_gives_the_options() -> None:
    cell = tg.cells.LSTMCell(1, 1, init=init.preset("chrono", t_max=784))
    assert cell.initialisation == "chrono, T_max 784"


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: init.preset("nonsense"),
            ValueError,
            "no initialisation called 'nonsense'; choose from pytorch, keras",
        ),
        (lambda: init.preset("chrono", t_max=2)(3), ValueError, "chrono: t_max must be more than 2 steps, got 2"),
        (lambda: init.preset("pytorch", t_max=2)(3), TypeError, "t_max"),
    ],
)
def test_bad_arguments_are_explained(make: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        make()

"""The LSTM of 1997 and that of 2000: the equations of the papers, the error carousel and what was cut."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.tinygrad_rnn.cells.checks import RNG, H, N, T, X, close, one, sigmoid


def test_lstm_of_1997() -> None:
    cell = tg.cells.LSTM1997Cell(N, H, block_size=2, seed=0)
    x, old, new, w = one(cell)
    u = np.concatenate([old.h, old.i, old.o], axis=1)
    net = {name: x @ w[f"W_{name}"].T + u @ w[f"R_{name}"].T + w[f"b_{name}"] for name in "ioc"}
    i, o = sigmoid(net["i"]), sigmoid(net["o"])
    s = old.s + np.repeat(i, 2, axis=1) * (4 * sigmoid(net["c"]) - 2)
    close(new.s, s)
    close(new.h, np.repeat(o, 2, axis=1) * (2 * sigmoid(s) - 1))
    close(new.i, i)
    close(new.o, o)


@pytest.mark.slow
@pytest.mark.parametrize("block_size", [1, 2])
def test_the_error_carousel_is_one_for_a_thousand_steps(block_size: int) -> None:
    """Equation 35: in the truncated gradient ds_t/ds_{t-q} is 1 for every q."""
    cell = tg.cells.LSTM1997Cell(N, H, block_size=block_size, truncated=True, seed=0)
    start = cell.State(*[tg.tensor(s, requires_grad=True) for s in cell.initial_state(1)])
    run = tg.unroll(cell, np.random.default_rng(0).normal(size=(1000, 1, N)), start)
    weights = RNG.normal(size=(1, H))
    (found,) = tg.grad((run.states[-1].s * weights).sum(), [start.s])
    np.testing.assert_array_equal(found.data, weights)
    (whole,) = tg.grad(
        (tg.unroll(_like(cell, truncated=False), run_inputs(run), start).states[-1].s * weights).sum(), [start.s]
    )
    assert not np.allclose(whole.data, weights)


def run_inputs(run: Any) -> Any:
    return np.stack([x.data for x in run.inputs])


def _like(cell: Any, **options: Any) -> Any:
    other = type(cell)(cell.input_size, cell.hidden_size, block_size=cell.block_size, **options)
    other.load_state_dict(cell.state_dict())
    return other


def test_the_error_through_a_cell_does_not_depend_on_the_lag() -> None:
    """Equation 41: y_out h'(s) times g'(net_c) y_in at the step that wrote it, and nothing in between."""
    cell = tg.cells.LSTM1997Cell(N, 1, truncated=True, seed=0)
    x = tg.tensor(np.random.default_rng(0).normal(size=(50, 1, N)), requires_grad=True)
    run = tg.unroll(cell, x)
    (by_x,) = tg.grad(run.states[-1].s.sum(), [x])
    for t in range(50):
        zc, zi = run.names["g", t].data, run.names["i", t].data
        slope = (2 + zc) * (2 - zc) / 4  # g' in terms of g
        written = slope * zi * cell.W_c.data + zc * zi * (1 - zi) * cell.W_i.data
        close(by_x.data[t], written)


def test_cuts_are_in_the_graph() -> None:
    run = tg.unroll(tg.cells.LSTM1997Cell(N, H, truncated=True, seed=0), X)
    assert sum(node.op == "stop_gradient" for node in tg.Graph(run.outputs).nodes) == T


def test_lstm_of_2000() -> None:
    cell = tg.cells.LSTM2000Cell(N, H, block_size=2, seed=0)
    x, old, new, w = one(cell)
    net = {name: x @ w[f"W_{name}"].T + old.h @ w[f"R_{name}"].T + w[f"b_{name}"] for name in "ifoc"}
    i, f, o = (np.repeat(sigmoid(net[name]), 2, axis=1) for name in "ifo")
    s = f * old.s + i * (4 * sigmoid(net["c"]) - 2)
    close(new.s, s)
    close(new.h, o * (2 * sigmoid(s) - 1))


def test_a_forget_bias_is_a_half_life() -> None:
    cell = tg.cells.LSTM2000Cell(N, H, block_size=2, forget_bias=2.0, truncated=True, seed=0)
    for name in ("W_f", "R_f"):
        getattr(cell, name).data = np.zeros(getattr(cell, name).shape)
    start = cell.State(*[tg.tensor(s, requires_grad=True) for s in cell.initial_state(1)])
    run = tg.unroll(cell, RNG.normal(size=(12, 1, N)), start)
    (found,) = tg.grad(run.states[-1].s.sum(), [start.s])
    half_life = np.log(2) / np.log1p(np.exp(-2.0))
    np.testing.assert_allclose(found.data, 0.5 ** (12 / half_life), rtol=1e-12)
    assert round(half_life, 2) == 5.46
    with pytest.raises(ValueError, match=r"forget_bias=1.0 needs biases"):
        tg.cells.LSTM2000Cell(N, H, bias=False, forget_bias=1.0)

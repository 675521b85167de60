"""Forwards in time or backwards: one gradient, for every cell."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.strategies import reached
from tinygrad_rnn.training.real_time import jacobians, rtrl

Array = np.ndarray
every_cell = pytest.mark.parametrize("name", tg.cells.names())


def by_bptt(cell: tg.Cell, inputs: Array, loss_at: Any, state: Any) -> tuple[float, dict[str, Array]]:
    run = tg.unroll(cell, inputs, state)
    losses = [loss_at(t, after) for t, after in enumerate(run.states)]
    total = sum(loss for loss in losses if loss is not None)
    names, parameters = zip(*cell.named_parameters(), strict=True)
    return total.item(), {name: g.data for name, g in zip(names, tg.grad(total, parameters), strict=True)}


@every_cell
def test_the_gradient_is_that_of_backpropagation_through_time(name: str) -> None:
    for seed in range(3):
        rng = np.random.default_rng(seed)
        cell = tg.cells.get(name)(2, 2, seed=seed)
        state = reached(cell, 2, rng)
        inputs, weights = rng.normal(size=(7, 2, 2)), rng.normal(size=(7, 2, 2))

        def loss_at(t: int, state: Any, weights: Array = weights) -> Any:
            return None if t % 3 == 1 else sum(tg.sum(tg.tanh(part) * weights[t]) for part in state)

        loss, reference = by_bptt(cell, inputs, loss_at, state)
        found = rtrl(cell, inputs, loss_at, state)
        assert found.loss == pytest.approx(loss, rel=1e-13)
        assert list(found.gradients) == list(reference)
        scale = max(np.abs(g).max() for g in reference.values())
        for key, g in reference.items():
            np.testing.assert_allclose(found.gradients[key], g, rtol=1e-12, atol=1e-12 * scale, err_msg=key)


def test_a_linear_unit_in_closed_form() -> None:
    cell = tg.cells.RNNCell(1, 1, bias=False, nonlinearity="identity", seed=0)
    cell.load_state_dict({"weight_ih": [[1.0]], "weight_hh": [[0.8]]})
    found = rtrl(cell, np.zeros((9, 1, 1)), lambda t, state: tg.sum(state.h) if t == 8 else None, ([[2.0]],))
    assert found.loss == pytest.approx(2.0 * 0.8**9, rel=1e-14)
    assert found.gradients["weight_hh"][0, 0] == pytest.approx(2.0 * 9 * 0.8**8, rel=1e-14)


def test_a_loss_may_use_parameters_directly() -> None:
    cell = tg.cells.RNNCell(1, 2, seed=0)

    def loss_at(t: int, state: Any) -> Any:
        return tg.sum(state.h) + 0.1 * tg.sum(tg.square(cell.weight_hh))

    inputs = np.ones((3, 1, 1))
    _, reference = by_bptt(cell, inputs, loss_at, None)
    for key, g in rtrl(cell, inputs, loss_at).gradients.items():
        np.testing.assert_allclose(g, reference[key], rtol=1e-12)


def test_storage_does_not_grow_with_time() -> None:
    alive = []

    def loss_at(t: int, state: Any) -> Any:
        if t in (3, 60):
            gc.collect()
            alive.append(sum(type(thing) is tg.Tensor for thing in gc.get_objects()))
        return tg.sum(state.h)

    inputs: Iterator[Array] = (np.ones((1, 1)) for _ in range(61))
    rtrl(tg.cells.LSTMCell(1, 2, seed=0), inputs, loss_at)
    assert alive[0] == alive[1]


def test_a_vector_by_several_tensors_at_once() -> None:
    rng = np.random.default_rng(0)
    a, b, unused = (tg.tensor(rng.normal(size=shape), requires_grad=True) for shape in ((2, 3), (3,), (2,)))
    output = tg.tanh(a @ b) + tg.sum(b)
    for found, node in zip(jacobians(output, [a, b, unused]), (a, b, unused), strict=True):
        np.testing.assert_array_equal(found, tg.jacobian(output, node).reshape(2, -1))


def test_what_does_not_fit_is_refused() -> None:
    cell = tg.cells.RNNCell(1, 2, seed=0)
    with pytest.raises(TypeError, match="rtrl: cell must be a Cell, got Stacked"):
        rtrl(tg.Stacked(cell), np.ones((2, 1, 1)), lambda t, state: None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one input"):
        rtrl(cell, [], lambda t, state: None)
    with pytest.raises(TypeError, match=r"loss_at\(0, state\) must give a Tensor or None, got float"):
        rtrl(cell, np.ones((2, 1, 1)), lambda t, state: 1.0)
    with pytest.raises(ValueError, match=r"single number, got shape \(1, 2\)"):
        rtrl(cell, np.ones((2, 1, 1)), lambda t, state: state.h)

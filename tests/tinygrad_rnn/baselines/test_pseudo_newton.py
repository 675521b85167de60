"""Shares of a gradient in time against closed forms; each use of a weight with a step of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.baselines.pseudo_newton import in_time, pseudo_newton_step

every_cell = pytest.mark.parametrize("name", tg.cells.names())


def linear_unit(w: float) -> tg.cells.RNNCell:
    cell = tg.cells.RNNCell(1, 1, bias=False, nonlinearity="identity", seed=0)
    cell.load_state_dict({"weight_ih": [[1.0]], "weight_hh": [[w]]})
    return cell


def test_the_uses_of_a_linear_recurrent_weight_in_closed_form() -> None:
    w, T = 0.7, 6
    cell = linear_unit(w)
    run = tg.unroll(cell, np.zeros((T, 1, 1)), ([[2.0]],))
    (uses,) = in_time(run.outputs[-1], [cell.weight_hh])
    assert sorted(uses) == list(range(T))  # type: ignore[type-var]
    for t in range(T):  # h_{t-1} = 2 w^t, and w^(T-1-t) from there to the end
        assert uses[t].item() == pytest.approx(2 * w ** (T - 1), rel=1e-14)


@every_cell
def test_uses_add_up_to_the_whole(name: str) -> None:
    rng = np.random.default_rng(0)
    model = tg.models.SequenceModel(tg.cells.get(name)(2, 2, seed=0), 2, seed=0)
    outputs = model(rng.normal(size=(4, 3, 2))).outputs[1::2]
    parameters = model.parameters()
    for parameter, uses in zip(parameters, in_time(outputs, parameters), strict=True):
        whole = tg.jacobian(outputs, parameter).reshape(outputs.size, *parameter.shape)
        np.testing.assert_allclose(sum(uses.values(), np.zeros_like(whole)), whole, rtol=1e-11, atol=1e-13)


def test_a_readout_over_all_steps_at_once_is_used_once() -> None:
    model = tg.models.SequenceModel(tg.cells.RNNCell(1, 2, seed=0), 1, seed=0)
    (uses,) = in_time(model(np.ones((3, 1, 1))).outputs, [model.readout.weight])
    assert list(uses) == [None] and uses[None].shape == (3, 1, 2)


def test_the_step_of_the_formula() -> None:
    """Two steps of a linear unit, two sequences: every share and curvature by hand."""
    w, lr, mu = 0.6, 0.3, 0.05
    cell = linear_unit(w)
    h0, targets = np.array([1.0, -2.0]), np.array([0.5, 0.1])
    run = tg.unroll(cell, np.zeros((2, 2, 1)), (h0[:, None],))
    cost = pseudo_newton_step([cell.weight_hh], run.outputs[-1], targets[:, None], lr, mu)
    error = w**2 * h0 - targets
    uses = [w * h0, w * h0]
    step = sum(lr * (error @ use) / (use @ use + mu) for use in uses)
    assert cell.weight_hh.data[0, 0] == pytest.approx(w - step, rel=1e-13)
    assert cost == pytest.approx(error @ error / 2, rel=1e-13)


def test_a_single_weight_used_once_is_solved_by_one_step() -> None:
    x, y = np.array([1.0, 2.0, -1.0]), np.array([2.0, 3.0, 0.0])
    w = tg.tensor([5.0], requires_grad=True)
    pseudo_newton_step([w], w * x, y, lr=1.0, mu=1e-12)
    assert w.data[0] == pytest.approx((x @ y) / (x @ x), rel=1e-10)


def sequences_to_latch(lag: int, seed: int, newton: bool, most: int) -> int:
    """Sequences until 98 of 100 are latched over `lag` steps, looked at after every ten."""
    task = tg.tasks.Latch("II", lag, lag, variance=0.04)
    model = tg.models.SequenceModel(tg.cells.RNNCell(1, 2, seed=seed), 1, output="tanh", seed=seed)
    rng, test = np.random.default_rng(seed), task.batch(100, np.random.default_rng(999))
    sgd = tg.optim.SGD(model.parameters(), lr=0.1)
    for n in range(1, most + 1):
        batch = task.batch(1, rng)
        y, target = model(batch.inputs).outputs[batch.mask], batch.targets[batch.mask]
        if newton:
            pseudo_newton_step(model.parameters(), y, target, lr=0.1, mu=0.01)
        else:
            sgd.zero_grad()
            (0.5 * tg.sum(tg.square(y - target))).backward()
            sgd.step()
        if n % 10 == 0 and task.correct(model(test.inputs).outputs.data, test).mean() >= 0.98:
            return n
    return most


def test_a_latch_over_ten_steps_is_learned_where_gradient_descent_crawls() -> None:
    newton = [sequences_to_latch(10, seed, True, 150) for seed in range(3)]
    assert max(newton) < 150, newton
    assert min(sequences_to_latch(10, seed, False, 150) for seed in range(2)) == 150


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"lr": 0.0}, ValueError, "pseudo_newton_step: lr must be positive, got 0.0"),
        ({"mu": -1}, ValueError, "mu must be positive"),
        ({"mu": float("nan")}, ValueError, "mu must be positive"),
        ({"targets": [1.0, 2.0]}, ValueError, r"outputs \(1,\) need targets"),
        ({"outputs": np.ones(1)}, TypeError, "outputs must be a Tensor, got ndarray"),
        ({"parameters": [1.0]}, TypeError, "a parameter must be a Tensor, got float"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], error: type[Exception], says: str) -> None:
    w = tg.tensor([1.0], requires_grad=True)
    arguments: dict[str, Any] = {
        "parameters": [w],
        "outputs": w * 2.0,
        "targets": [1.0],
        "lr": 0.1,
        "mu": 0.1,
        **change,
    }
    with pytest.raises(error, match=says):
        pseudo_newton_step(**arguments)

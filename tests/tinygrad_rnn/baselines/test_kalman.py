"""The filter is least squares where outputs are linear in the weights, and fast where they are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn.baselines.kalman import ExtendedKalmanFilter

Array = np.ndarray


@given(seed=st.integers(0, 10_000), together=st.integers(1, 4))
def test_linear_outputs_are_least_squares_in_closed_form(seed: int, together: int) -> None:
    """Ridge regression: all data at once, whatever the order and however many a step."""
    rng = np.random.default_rng(seed)
    n, count = 3, 8
    X, y, w0 = rng.normal(size=(count, n)), rng.normal(size=count), rng.normal(size=n)
    uncertainty, noise = rng.uniform(0.5, 20), rng.uniform(0.1, 2)
    w = tg.tensor(w0, requires_grad=True)
    kalman = ExtendedKalmanFilter([w], uncertainty=uncertainty, noise=noise)
    for k in range(0, count, together):
        kalman.step(X[k : k + together] @ w, y[k : k + together])
    precision = X.T @ X / noise + np.eye(n) / uncertainty
    np.testing.assert_allclose(
        w.data, np.linalg.solve(precision, X.T @ y / noise + w0 / uncertainty), rtol=1e-9, atol=1e-11
    )
    np.testing.assert_allclose(kalman.P, np.linalg.inv(precision), rtol=1e-8, atol=1e-11)


def test_one_step_is_the_formula() -> None:
    rng = np.random.default_rng(0)
    model = tg.models.SequenceModel(tg.cells.RNNCell(1, 2, seed=0), 2, output="tanh", seed=0)
    parameters = model.parameters()
    before = np.concatenate([p.data.ravel() for p in parameters])
    kalman = ExtendedKalmanFilter(parameters, uncertainty=2.0, noise=0.3, drift=0.01)
    P = kalman.P = np.diag(rng.uniform(1, 2, before.size))
    y, target = model(rng.normal(size=(4, 1, 1))).outputs[-2:], rng.normal(size=(2, 1, 2))
    H = np.concatenate([tg.jacobian(y, p).reshape(4, -1) for p in parameters], axis=1).T
    A = np.linalg.inv(0.3 * np.eye(4) + H.T @ P @ H)
    K = P @ H @ A
    error = (target - y.data).ravel()
    assert kalman.step(y, target) == pytest.approx(error @ error / 2)
    after = np.concatenate([p.data.ravel() for p in parameters])
    np.testing.assert_allclose(after, before + K @ error, rtol=1e-10)
    np.testing.assert_allclose(kalman.P, P + 0.01 * np.eye(len(P)) - K @ H.T @ P, rtol=1e-9, atol=1e-12)


def sequences_to_recall(train: Any, model: Any, seed: int, most: int) -> int:
    """Sequences until a number is recalled after five steps to a squared error of .003, looked at after every ten."""

    def drawn(rng: np.random.Generator, size: int) -> tuple[Array, Array]:
        x = np.zeros((6, size, 1))
        x[0] = rng.uniform(-1, 1, (size, 1))
        return x, x[0]

    rng, (test, wanted) = np.random.default_rng(seed), drawn(np.random.default_rng(999), 100)
    for n in range(1, most + 1):
        x, target = drawn(rng, 1)
        train(model(x).outputs[-1], target)
        if n % 10 == 0 and np.mean((model(test).outputs[-1].data - wanted) ** 2) < 0.003:
            return n
    return most


def fresh(seed: int) -> tg.models.SequenceModel:
    return tg.models.SequenceModel(tg.cells.RNNCell(1, 3, seed=seed), 1, seed=seed)


@pytest.mark.slow
def test_a_number_is_recalled_after_a_fraction_of_the_sequences_that_gradient_descent_takes() -> None:
    most = 250
    kalman, descent = [], []
    for seed in range(2):
        model = fresh(seed)
        filter_ = ExtendedKalmanFilter(model.parameters(), uncertainty=1.0, noise=0.1, drift=1e-3)
        kalman.append(sequences_to_recall(filter_.step, model, seed, most))
        model = fresh(seed)
        sgd = tg.optim.SGD(model.parameters(), lr=0.1)  # the best of .03, .1, .3 and 1

        def train(y: Any, target: Array, sgd: tg.optim.SGD = sgd) -> None:
            sgd.zero_grad()
            (0.5 * tg.sum(tg.square(y - target))).backward()
            sgd.step()

        descent.append(sequences_to_recall(train, model, seed, most))
    assert max(kalman) <= 150 and descent == [most] * 2, (kalman, descent)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"uncertainty": 0.0}, ValueError, "ExtendedKalmanFilter: uncertainty must be positive, got 0.0"),
        ({"noise": "loud"}, ValueError, "noise must be positive, got 'loud'"),
        ({"drift": -1.0}, ValueError, "drift must not be negative"),
        ({"parameters": []}, ValueError, "no parameters"),
        ({"parameters": [np.ones(2)]}, TypeError, "leaf Tensor"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, Any], error: type[Exception], says: str) -> None:
    arguments = {"parameters": [tg.tensor([1.0], requires_grad=True)], **options}
    with pytest.raises(error, match=says):
        ExtendedKalmanFilter(**arguments)


def test_a_step_refuses_what_does_not_fit() -> None:
    w = tg.tensor([1.0], requires_grad=True)
    kalman = ExtendedKalmanFilter([w])
    with pytest.raises(TypeError, match="must be a Tensor, got ndarray"):
        kalman.step(np.ones(1), [1.0])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"need targets of that shape, got \(2,\)"):
        kalman.step(w * 1.0, [1.0, 2.0])
    with pytest.raises(ValueError, match="not finite"):
        kalman.step(w * np.inf, [1.0])
    assert w.data[0] == 1.0

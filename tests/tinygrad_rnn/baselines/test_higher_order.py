"""Units that modify connections: the gradient, the window they see, and how many a lag takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn.baselines.higher_order import TransitionHierarchy

Array = np.ndarray
NEVER = 1e9


def grown(seed: int, inputs: int = 3, outputs: int = 2, units: int = 5) -> TransitionHierarchy:
    """A net with units put on random connections, units on units among them."""
    rng = np.random.default_rng(seed)
    net = TransitionHierarchy(inputs, outputs, floor=NEVER)
    for k in range(units):
        taken = {unit[:2] for unit in net.units}
        free = [(t, s) for t in range(outputs + k) for s in range(inputs) if (t, s) not in taken]
        net.add_unit(*free[rng.integers(len(free))])
    net.weights = rng.normal(size=(outputs + units, inputs))
    return net


def sequence(net: TransitionHierarchy, steps: int, seed: int) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(steps, net.input_size)), rng.normal(size=(steps, net.output_size)), rng.random(steps) < 0.7


def recorded(net: TransitionHierarchy, weights: tg.Tensor, inputs: Array) -> list[Any]:
    """The outputs by the definition, on a graph."""
    outputs, previous = [], [tg.tensor(0.0)] * len(net.units)
    for x in inputs:
        n = [tg.sum(row * x) for row in weights]
        for k, unit in enumerate(net.units):
            n[unit.target] = n[unit.target] + previous[k] * x[unit.source]
        outputs.append(tg.stack(n[: net.output_size]))
        previous = n[net.output_size :]
    return outputs


@given(seed=st.integers(0, 10_000), steps=st.integers(1, 8))
def test_outputs_and_gradient_are_those_of_the_recorded_net(seed: int, steps: int) -> None:
    net = grown(seed)
    x, target, mask = sequence(net, steps, seed)
    weights = tg.tensor(net.weights, requires_grad=True)
    outputs = tg.stack(recorded(net, weights, x))
    np.testing.assert_allclose(net.predict(x), outputs.data, rtol=1e-10, atol=1e-12)
    loss = 0.5 * tg.sum(tg.square(outputs - target) * mask[:, None])
    (g,) = tg.grad(loss, weights)
    np.testing.assert_allclose(net.gradient(x, target, mask), g.data, rtol=1e-9, atol=1e-10)


@given(seed=st.integers(0, 10_000))
def test_nothing_older_than_the_longest_delay_has_any_effect(seed: int) -> None:
    net = grown(seed)
    reach = max(unit.delay for unit in net.units)
    x, _, _ = sequence(net, reach + 4, seed)
    other = x.copy()
    other[:3] = np.random.default_rng(seed + 1).normal(size=(3, net.input_size))
    np.testing.assert_allclose(net.predict(x)[reach + 3], net.predict(other)[reach + 3], rtol=1e-12)
    assert not np.allclose(net.predict(x)[:3], net.predict(other)[:3])


def test_learning_is_gradient_descent_while_nothing_grows() -> None:
    net, twin = grown(1), grown(1)
    x, target, _ = sequence(net, 6, 1)
    for t in range(6):
        only = np.arange(6) == t
        gradient = net.gradient(x, target, only)
        before = net.weights.copy()
        assert net.learn(x, target, only) == pytest.approx(np.abs(target - twin.predict(x))[t].max())
        np.testing.assert_allclose(net.weights, before - net.lr * gradient, rtol=1e-12)
        twin.weights = net.weights.copy()


def learned(p: int, seed: int, most: int = 600) -> tuple[TransitionHierarchy, int]:
    """A net that has answered 50 sequences of that lag in a row, and how many it took."""
    task, rng = tg.tasks.NoiseFree(p), np.random.default_rng(seed)
    net = TransitionHierarchy(task.input_size, task.output_size)
    right = 0
    for n in range(1, most + 1):
        batch = task.batch(1, rng)
        right = right + 1 if net.learn(batch.inputs[:, 0], batch.targets[:, 0], batch.mask[:, 0]) < 0.25 else 0
        if right == 50:
            return net, n
    raise AssertionError(f"lag {p} was not learned in {most} sequences")


@pytest.mark.parametrize("p", [2, 3, 5, 8, 12])
def test_a_lag_takes_two_units_a_step_one_for_either_answer(p: int) -> None:
    net, n = learned(p, seed=p)
    assert n < 300
    assert sorted(unit.delay for unit in net.units) == sorted([*range(1, p)] * 2)
    sources = {(unit.delay, unit.source) for unit in net.units}
    assert sources == {(d, p - 1 - d) for d in range(1, p)}  # each looks at the filler so many steps before the end
    task = tg.tasks.NoiseFree(p)
    batch = task.batch(20, np.random.default_rng(99))
    outputs = np.stack([net.predict(batch.inputs[:, k]) for k in range(20)], axis=1)
    assert task.correct(outputs, batch).all()


def test_a_longer_lag_than_was_learned_is_chance() -> None:
    """x or y, fillers, and a trigger that asks which it was: outputs cannot differ beyond the window."""

    def drawn(which: int, lag: int) -> tuple[Array, Array, Array]:
        symbols = [which, *[2] * (lag - 1), 3]
        return np.eye(4)[symbols], np.array([[float(which)]] * (lag + 1)), np.arange(lag + 1) == lag

    rng, net = np.random.default_rng(0), TransitionHierarchy(4, 1)
    for _ in range(300):
        net.learn(*drawn(int(rng.integers(2)), 4))
    answers = {lag: [float(net.predict(drawn(which, lag)[0])[-1, 0]) for which in (0, 1)] for lag in (4, 6)}
    assert answers[4] == pytest.approx([0.0, 1.0], abs=0.2)
    assert answers[6][0] == answers[6][1]
    assert sorted(unit.delay for unit in net.units) == [1, 2, 3, 4]


def test_what_is_pulled_one_way_grows_nothing() -> None:
    net = TransitionHierarchy(3, 2)
    x, target = np.eye(3), np.array([[1.0, 0.0], [0.0, -1.0], [2.0, 1.0]])
    for _ in range(300):
        net.learn(x, target, np.ones(3, bool))
    assert not net.units
    np.testing.assert_allclose(net.predict(x), target, atol=1e-6)


def test_a_new_unit_changes_nothing_at_first() -> None:
    """Pulled up, then down: a unit is born at the second step, and the third still sees the same outputs."""
    x, target = np.ones((3, 1)), np.array([[1.0], [-1.0], [9.0]])
    growing, fixed = (TransitionHierarchy(1, 1, max_units=most) for most in (9, 0))
    assert growing.learn(x, target, np.ones(3, bool)) == fixed.learn(x, target, np.ones(3, bool)) > 8.0
    assert len(growing.units) == 1 and not fixed.units


def test_after_a_birth_all_means_begin_anew() -> None:
    net = TransitionHierarchy(2, 1)
    net.learn(np.eye(2), np.ones((2, 1)), np.ones(2, bool))
    assert net.size.any() and net.sum.any()
    net.add_unit(0, 0)
    assert net.size.shape == net.sum.shape == net.weights.shape == (2, 2)
    assert not net.size.any() and not net.sum.any()


def test_no_more_units_than_allowed() -> None:
    task, rng = tg.tasks.NoiseFree(6), np.random.default_rng(0)
    net = TransitionHierarchy(7, 7, max_units=3)
    for _ in range(300):
        batch = task.batch(1, rng)
        net.learn(batch.inputs[:, 0], batch.targets[:, 0], batch.mask[:, 0])
    assert len(net.units) == 3


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"lr": 0.0}, ValueError, "TransitionHierarchy: lr must lie between 0 and inf, got 0.0"),
        ({"threshold": 0.5}, ValueError, "threshold must lie between 1 and inf"),
        ({"rate": 1.0}, ValueError, "rate must lie between 0 and 1"),
        ({"floor": "low"}, ValueError, "floor must lie"),
        ({"input_size": 0}, ValueError, "input_size must be at least 1"),
        ({"max_units": 1.5}, TypeError, "max_units must be an integer"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, Any], error: type[Exception], says: str) -> None:
    arguments: dict[str, Any] = {"input_size": 2, "output_size": 2, **options}
    with pytest.raises(error, match=says):
        TransitionHierarchy(**arguments)


def test_units_go_where_there_is_a_free_connection() -> None:
    net = TransitionHierarchy(2, 1)
    assert net.add_unit(0, 1).delay == 1 and net.add_unit(1, 0).delay == 2
    with pytest.raises(ValueError, match="already"):
        net.add_unit(0, 1)
    with pytest.raises(ValueError, match="below 3 and 2, got 3 and 0"):
        net.add_unit(3, 0)


def test_sequences_that_do_not_fit_are_refused() -> None:
    net = TransitionHierarchy(2, 1)
    with pytest.raises(ValueError, match=r"TransitionHierarchy.predict: inputs must be \(T, 2\), got \(3, 4\)"):
        net.predict(np.zeros((3, 4)))
    with pytest.raises(ValueError, match=r"TransitionHierarchy.learn: 3 inputs need targets \(3, 1\)"):
        net.learn(np.zeros((3, 2)), np.zeros((3, 2)), np.ones(3, bool))


def test_a_diverging_net_says_so() -> None:
    task, rng = tg.tasks.NoiseFree(p=33), np.random.default_rng(0)
    net = TransitionHierarchy(task.input_size, task.output_size, lr=1.9)
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match=r"lr=1.9 is too large for \d+ units"):
        for _ in range(2000):
            batch = task.batch(1, rng)
            net.learn(batch.inputs[:, 0], batch.targets[:, 0], batch.mask[:, 0])

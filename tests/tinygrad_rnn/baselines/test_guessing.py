"""Guessing: closed forms for the number of trials, and nets by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn.baselines import FromModel, FullyConnected, LatchUnit, SparselyConnected, guess, solves
from tinygrad_rnn.baselines.guessing import beside, some

Array = np.ndarray
NETS = [
    FullyConnected(1),
    FullyConnected(3, logistic=False),
    SparselyConnected(4),
    SparselyConnected(2, False),
    LatchUnit("I"),
    LatchUnit("II"),
]


def logistic(z: float) -> float:
    return float(1 / (1 + np.exp(-z)))


def test_a1_by_hand() -> None:
    w = np.random.default_rng(0).normal(size=FullyConnected(1).size)
    assert FullyConnected(1).size == 7
    x, h, y = [0.3, -1.0, 0.5], 0.0, 0.0
    found = FullyConnected(1).outputs(w[None], np.array(x).reshape(3, 1, 1))
    for t in range(3):
        h = logistic(w[0] * x[t] + w[1] * h + w[2] * y + w[6])
        y = logistic(w[3] * x[t] + w[4] * h + w[5] * y)
        assert found[t, 0, 0, 0] == pytest.approx(y, rel=1e-12)


@pytest.mark.parametrize("loops", [True, False])
def test_a2_by_hand(loops: bool) -> None:
    net = SparselyConnected(2, loops)
    assert net.size == (13 if loops else 11) and SparselyConnected().size == 53
    w = np.random.default_rng(0).normal(size=net.size)
    w_x, w_y, b, w_h = w[:2], w[2:4], w[4:6], w[6:8] if loops else np.zeros(2)
    v = w[-5:]
    x, h, y = [0.3, -1.0, 0.5], np.zeros(2), 0.0
    found = net.outputs(w[None], np.array(x).reshape(3, 1, 1))
    for t in range(3):
        h = np.array([logistic(w_x[k] * x[t] + w_y[k] * y + w_h[k] * h[k] + b[k]) for k in range(2)])
        y = logistic(v[0] * h[0] + v[1] * h[1] + v[2] * x[t] + v[3] * y + v[4])
        assert found[t, 0, 0, 0] == pytest.approx(y, rel=1e-12)


def test_latch_units_by_hand() -> None:
    x = np.array([[1.0, -1.0], [0.2, 0.3], [-0.4, 0.1]])[..., None]
    w, a, b = 1.7, 0.4, -0.9
    first = LatchUnit("I").outputs(np.array([[w, a, b]]), x)[..., 0]
    second = LatchUnit("II").outputs(np.array([[w, a, b]]), x)[..., 0]
    for k, start in enumerate((a, b)):
        y = start
        z = float(np.tanh(a * x[0, k, 0] + b))
        assert second[0, 0, k] == pytest.approx(z)
        for t in (1, 2):
            y = float(np.tanh(w * y + x[t, k, 0]))
            z = float(np.tanh(w * z + a * x[t, k, 0] + b))
            assert first[t, 0, k] == pytest.approx(y) and second[t, 0, k] == pytest.approx(z)


@pytest.mark.parametrize("net", NETS, ids=repr)
def test_many_candidates_and_sequences_are_each_as_if_alone(net: Any) -> None:
    rng = np.random.default_rng(1)
    weights, inputs = rng.normal(size=(5, net.size)), rng.normal(size=(6, 3, 1))
    together = net.outputs(weights, inputs)
    assert together.shape == (6, 5, 3, 1)
    for c in range(5):
        for b in range(3):
            alone = net.outputs(weights[c : c + 1], inputs[:, b : b + 1])
            np.testing.assert_allclose(together[:, c, b], alone[:, 0, 0], rtol=1e-12)


def searches(net: Any, task: tg.tasks.Task, count: int, **options: Any) -> Array:
    found = [guess(net, task, np.random.default_rng(seed), **options) for seed in range(count)]
    assert all(f.weights is not None for f in found)
    return np.array([f.trials for f in found])


@pytest.mark.slow
@pytest.mark.parametrize(("longest", "chance"), [(60, 1 / 8), (50, 1 / 4)])
def test_latch_takes_as_many_trials_as_signs_must_be_right(longest: int, chance: float) -> None:
    """Three signs, or two where the sign of an even number of flips does not matter; weights below 2 cost a little."""
    trials = searches(LatchUnit("I"), tg.tasks.Latch("I", 50, longest), 300, together=8)
    error = np.sqrt(1 - chance) / chance / np.sqrt(300)
    assert abs(trials.mean() - 1 / chance) < 4 * error


def test_parity_and_two_sequences_are_solved_by_luck() -> None:
    assert searches(SparselyConnected(10, False), tg.tasks.Parity(50, 60), 2).max() < 20_000
    assert searches(FullyConnected(1), tg.tasks.TwoSequence("3a", T=50, variance=0.04), 3).max() < 20_000


def test_the_adding_problem_is_not() -> None:
    model = tg.models.SequenceModel(tg.cells.RNNCell(2, 1, seed=0), 1, seed=0)
    found = guess(FromModel(model), tg.tasks.Adding(20), np.random.default_rng(0), max_trials=60)
    assert found.weights is None and found.trials == 60


def test_any_model_can_be_guessed() -> None:
    model = tg.models.SequenceModel(tg.cells.RNNCell(1, 1, bias=False, seed=0), 1, output="tanh", bias=False, seed=0)
    net, task = FromModel(model), tg.tasks.Latch("I", 10, 12)
    found = guess(net, task, np.random.default_rng(3), low=-10, high=10)
    assert found.weights is not None and net.size == 3
    net.load(found.weights)
    batch = task.batch(200, np.random.default_rng(4))
    assert task.correct(model(batch.inputs, batch.lengths).outputs.data, batch).mean() > 0.95


@given(seed=st.integers(0, 1000), together=st.integers(1, 50))
def test_what_is_found_does_not_depend_on_how_many_run_at_once(seed: int, together: int) -> None:
    task = tg.tasks.Latch("II", 10, 12, variance=0.04)
    runs = [
        guess(LatchUnit("II"), task, np.random.default_rng(seed), train=20, test=20, max_trials=400, together=n)
        for n in (together, 400)
    ]
    assert runs[0].trials == runs[1].trials and runs[0].failed_tests == runs[1].failed_tests
    np.testing.assert_array_equal(runs[0].weights, runs[1].weights)


def test_survivors_are_those_who_answer_every_sequence() -> None:
    task, net = tg.tasks.Latch("I", 10, 20), LatchUnit("I")
    batch = task.batch(30, np.random.default_rng(0))
    weights = np.random.default_rng(1).uniform(-5, 5, (200, 3))
    right = task.correct(*beside(net.outputs(weights, batch.inputs), batch)).reshape(200, 30)
    np.testing.assert_array_equal(solves(net, task, weights, batch), right.all(axis=1))
    assert 0 < right.all(axis=1).sum() < 200
    part = some(batch, slice(3, 7))
    assert part.inputs.shape == (batch.lengths[3:7].max(), 4, 1)


def test_a_failure_on_the_test_set_is_counted_and_the_search_goes_on() -> None:
    found = [guess(LatchUnit("I"), tg.tasks.Latch("I", 50, 60), np.random.default_rng(s), train=1) for s in range(20)]
    assert sum(f.failed_tests for f in found) > 5
    assert all(f.weights is not None and f.weights[1] > 0 > f.weights[2] for f in found)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"task": "latch"}, TypeError, "guess: task must be a Task, got str"),
        ({"rng": 0}, TypeError, "Generator"),
        ({"low": 1.0, "high": 1.0}, ValueError, "low < high, got 1.0 and 1.0"),
        ({"high": np.inf}, ValueError, "finite"),
        ({"train": 0}, ValueError, "train must be at least 1"),
        ({"together": 2.5}, TypeError, "together must be an integer"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], error: type[Exception], says: str) -> None:
    arguments: dict[str, Any] = {"task": tg.tasks.Latch(), "rng": np.random.default_rng(0), **change}
    with pytest.raises(error, match=says):
        guess(LatchUnit(), **arguments)


def test_nets_refuse_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="variant must be 'I' or 'II'"):
        LatchUnit("III")
    with pytest.raises(ValueError, match="hidden must be at least 1"):
        FullyConnected(0)
    with pytest.raises(ValueError, match=r"weights must be \(candidates, 7\), got \(2, 5\)"):
        FullyConnected(1).outputs(np.zeros((2, 5)), np.zeros((3, 1, 1)))
    with pytest.raises(ValueError, match="single input, got 2"):
        FullyConnected(1).outputs(np.zeros((2, 7)), np.zeros((3, 1, 2)))
    with pytest.raises(TypeError, match="SequenceModel, got RNNCell"):
        FromModel(tg.cells.RNNCell(1, 1))  # type: ignore[arg-type]

"""Multi-grid search on a surface that can be seen, and on the latch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn.baselines import FullyConnected, LatchUnit
from tinygrad_rnn.baselines.multigrid_search import judge, multigrid

Array = np.ndarray
LATCH = tg.tasks.Latch("I", 20, 25)


class Constant:
    """Outputs that are the weight itself: how fast a box closes in on a number."""

    size = 1

    def __init__(self) -> None:
        self.tried: list[Array] = []

    def outputs(self, weights: Array, inputs: Array) -> Array:
        self.tried.append(weights)
        return np.broadcast_to(weights[:, None], (len(inputs), len(weights), inputs.shape[1], 1))


class Always(tg.tasks.Latch):
    """Wants one number within a millionth, whatever comes in."""

    def draw(self, size: int, rng: np.random.Generator) -> tg.tasks.Batch:
        batch = super().draw(size, rng)
        return tg.tasks.Batch(batch.inputs, 3.0 * batch.mask[..., None], batch.mask, batch.lengths)

    def judge(self, outputs: Array, batch: tg.tasks.Batch) -> Array:
        return np.asarray(((np.abs(outputs - 3.0) < 1e-6).all(axis=-1) | ~batch.mask).all(axis=0))


def test_the_box_closes_in_where_guessing_would_need_millions() -> None:
    net = Constant()
    found = multigrid(net, Always("I", 2, 2), np.random.default_rng(0), levels=8, patience=30, max_trials=3000)
    assert found.weights is not None and found.weights[0] == pytest.approx(3.0, abs=1e-6)
    first = np.concatenate(net.tried[:1])
    assert np.ptp(first) > 10 and np.ptp(net.tried[-3]) < 0.1


class Elsewhere(Always):
    """Right is not where the error is smallest."""

    def judge(self, outputs: Array, batch: tg.tasks.Batch) -> Array:
        return np.asarray(((outputs > 6.0).all(axis=-1) | ~batch.mask).all(axis=0))


def test_right_weights_end_the_search_even_if_others_had_a_smaller_error() -> None:
    for seed in range(5):
        found = multigrid(Constant(), Elsewhere("I", 2, 2), np.random.default_rng(seed), max_trials=2000)
        assert found.weights is not None and found.weights[0] > 6.0


class Deceptive(Always):
    """Whatever is tried is right on the three sequences of the training set, and nothing on the test set."""

    def judge(self, outputs: Array, batch: tg.tasks.Batch) -> Array:
        columns = len(batch.lengths)
        return np.full(columns, columns == 3)


def test_after_a_failure_on_the_test_set_the_search_begins_anew() -> None:
    net = Constant()
    found = multigrid(net, Deceptive("I", 2, 2), np.random.default_rng(0), train=3, test=4, max_trials=60, together=1)
    assert found.weights is None and found.failed_tests == found.trials == 60
    moves = np.diff(np.concatenate(net.tried)[::2, 0])  # every second was run for the test set
    assert np.mean(np.abs(moves) > 1.0) > 0.7  # in the narrower rectangles none would be


def test_one_level_is_plain_guessing() -> None:
    net = Constant()
    found = multigrid(net, Always("I", 2, 2), np.random.default_rng(0), width=2.0, levels=1, max_trials=500)
    assert found.weights is None and found.trials == 500
    tried = np.concatenate(net.tried)
    assert np.abs(tried).max() <= 2.0 and tried.min() < -1.9 and tried.max() > 1.9


def test_latches_are_found() -> None:
    for seed in range(5):
        found = multigrid(LatchUnit("I"), LATCH, np.random.default_rng(seed), max_trials=5000)
        assert found.weights is not None
        w, up, down = found.weights
        assert w > 1 and up > 0 > down


def test_two_sequences_are_told_apart() -> None:
    task = tg.tasks.TwoSequence("3a", T=20, N=3, variance=0.04)
    found = multigrid(FullyConnected(1), task, np.random.default_rng(1), width=30.0, max_trials=20_000)
    assert found.weights is not None
    batch = task.batch(200, np.random.default_rng(9))
    outputs = FullyConnected(1).outputs(found.weights[None], batch.inputs)[:, 0]
    assert task.correct(outputs, batch).mean() > 0.95


@given(seed=st.integers(0, 1000), together=st.integers(1, 40))
def test_what_is_found_does_not_depend_on_how_many_run_at_once(seed: int, together: int) -> None:
    runs = [
        multigrid(LatchUnit("I"), LATCH, np.random.default_rng(seed), train=10, test=10, max_trials=150, together=n)
        for n in (together, 17)
    ]
    assert runs[0].trials == runs[1].trials and runs[0].failed_tests == runs[1].failed_tests
    np.testing.assert_array_equal(runs[0].weights, runs[1].weights)


def test_errors_are_means_over_what_is_asked() -> None:
    batch = LATCH.batch(6, np.random.default_rng(0))
    weights = np.random.default_rng(1).normal(size=(4, 3))
    errors, right = judge(LatchUnit("I"), LATCH, weights, batch)
    for k in range(4):
        outputs = LatchUnit("I").outputs(weights[k : k + 1], batch.inputs)[:, 0]
        assert errors[k] == pytest.approx(np.mean((outputs - batch.targets)[batch.mask] ** 2))
        assert right[k] == LATCH.correct(outputs, batch).all()


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"task": None}, TypeError, "multigrid: task must be a Task, got NoneType"),
        ({"rng": 1}, TypeError, "Generator"),
        ({"width": 0.0}, ValueError, "width must be positive"),
        ({"factor": 1.0}, ValueError, "factor must be more than 1"),
        ({"levels": 0}, ValueError, "levels must be at least 1"),
        ({"patience": 1.5}, TypeError, "patience must be an integer"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], error: type[Exception], says: str) -> None:
    arguments: dict[str, Any] = {"task": LATCH, "rng": np.random.default_rng(0), **change}
    with pytest.raises(error, match=says):
        multigrid(LatchUnit(), **arguments)

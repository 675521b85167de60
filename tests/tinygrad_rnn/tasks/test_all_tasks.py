"""What every task promises, whatever it is about."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tinygrad_rnn.tasks.instances import drawn, perfect, seeds, small
from tinygrad_rnn import tasks

every_task = pytest.mark.parametrize("name", tasks.names())


def test_registry() -> None:
    assert len(tasks.names()) == len(set(tasks.names())) == 19
    assert tasks.get("adding") is tasks.Adding and tasks.get("digits") is tasks.Digits


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("adding_problem", "did you mean adding"),
        ("embeded_reber", "did you mean embedded_reber"),
        ("xyzzy", "choose from reber, "),
        (7, "choose from reber, "),
    ],
)
def test_an_unknown_name_gets_a_suggestion(wrong: Any, hint: str) -> None:
    with pytest.raises(KeyError, match=hint):
        tasks.get(wrong)


@every_task
@given(seed=seeds, size=st.integers(1, 9))
def test_shapes_lengths_and_padding(name: str, seed: int, size: int) -> None:
    task = small(name)
    batch = drawn(task, seed, size)
    steps = len(batch.inputs)
    assert batch.inputs.shape == (steps, size, task.input_size) and batch.inputs.dtype == np.float64
    assert batch.targets.shape == (steps, size, task.output_size) and batch.targets.dtype == np.float64
    assert batch.mask.shape == (steps, size) and batch.mask.dtype == np.bool_
    assert batch.lengths.shape == (size,) and batch.lengths.dtype.kind == "i"
    assert batch.lengths.min() >= 1 and batch.lengths.max() == steps
    past = np.arange(steps)[:, None] >= batch.lengths
    assert not batch.inputs[past].any() and not batch.mask[past].any()
    assert not batch.targets[~batch.mask].any() and batch.mask.any(axis=0).all()
    if task.loss == "cross_entropy":
        assert (batch.targets.sum(axis=-1) == batch.mask).all() and set(np.unique(batch.targets)) <= {0.0, 1.0}
    elif task.loss == "binary":
        assert set(np.unique(batch.targets)) <= {0.0, 1.0}
    else:
        assert task.loss == "mse" and np.isfinite(batch.targets).all()


@every_task
@given(seed=seeds)
def test_the_seed_decides(name: str, seed: int) -> None:
    task = small(name)
    first, second = drawn(task, seed), drawn(task, seed)
    for part in fields(tasks.Batch):
        assert np.array_equal(getattr(first, part.name), getattr(second, part.name))
    rng = np.random.default_rng(seed)
    assert any(not np.array_equal(first.inputs, task.batch(8, rng).inputs) for _ in range(9))


@every_task
@given(seed=seeds, data=st.data())
def test_correct_tells_right_from_wrong(name: str, seed: int, data: st.DataObject) -> None:
    task = small(name)
    batch = drawn(task, seed)
    right = perfect(task, batch)
    assert task.correct(right, batch).tolist() == [True] * 8
    # the last asked step of one sequence: the one that every criterion looks at
    k = data.draw(st.integers(0, 7))
    t = int(np.flatnonzero(batch.mask[:, k])[-1])
    for broken in (1.0 - right[t, k] if task.loss != "mse" else -0.5 - right[t, k], np.nan):
        outputs = right.copy()
        outputs[t, k] = broken
        assert task.correct(outputs, batch).tolist() == [column != k for column in range(8)]


@every_task
@given(seed=seeds)
def test_what_is_not_asked_does_not_matter(name: str, seed: int) -> None:
    task = small(name)
    batch = drawn(task, seed)
    outputs = perfect(task, batch)
    outputs[~batch.mask] = np.nan
    assert task.correct(outputs, batch).all()


@every_task
def test_baselines_are_finite_and_ordered(name: str) -> None:
    found = small(name).baselines()
    assert all(isinstance(value, float) and 0 <= value < 100 for value in found.values())
    assert found.get("optimum", 0.0) <= min(found.values(), default=0.0)


def test_a_task_need_not_know_baselines() -> None:
    assert tasks.Task().baselines() == {}


@every_task
def test_tasks_are_values(name: str) -> None:
    task = small(name)
    assert task == small(name) and hash(task) == hash(small(name))
    with pytest.raises(FrozenInstanceError):
        task.T = 1  # type: ignore[attr-defined]


@every_task
def test_bad_arguments_are_named(name: str) -> None:
    task, rng = small(name), np.random.default_rng(0)
    title = type(task).__name__
    for size in (0, -1):
        with pytest.raises(ValueError, match=f"^{title}: batch size must be at least 1, got {size}"):
            task.batch(size, rng)
    for odd in (2.0, "3", True, None):
        with pytest.raises(TypeError, match=f"^{title}: batch size must be an integer, got {odd!r}"):
            task.batch(odd, rng)  # type: ignore[arg-type]
    for source in (0, None, np.random, np.random.RandomState(0)):
        with pytest.raises(TypeError, match=rf"^{title}: rng must be a numpy.random.Generator, got .*default_rng"):
            task.batch(1, source)  # type: ignore[arg-type]
    batch = task.batch(2, rng)
    with pytest.raises(ValueError, match=rf"^{title}.correct: outputs \(2,\) must have the shape"):
        task.correct(np.zeros(2), batch)
    with pytest.raises(TypeError, match=rf"^{title}.correct: needs the Batch that was answered, got ndarray"):
        task.correct(batch.targets, batch.inputs)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: tasks.ContinualReber(0), ValueError, "ContinualReber: length must be at least 1, got 0"),
        (lambda: tasks.NoiseFree(1), ValueError, "NoiseFree: p must be at least 2, got 1"),
        (lambda: tasks.NoisyLag(1), ValueError, "NoisyLag: p must be at least 2, got 1"),
        (lambda: tasks.LongLag(q=-1), ValueError, "LongLag: q must be at least 0, got -1"),
        (lambda: tasks.LongLag(p=2.5), TypeError, "LongLag: p must be an integer, got 2.5"),
        (lambda: tasks.TwoSequence("3d"), ValueError, "TwoSequence: variant must be '3a' or '3b' or '3c', got '3d'"),
        (lambda: tasks.TwoSequence(T=3, N=3), ValueError, "TwoSequence: T must be at least 4, got 3: noise must"),
        (lambda: tasks.TwoSequence(variance=-1), ValueError, "TwoSequence: variance must not be negative, got -1"),
        (lambda: tasks.Adding(19), ValueError, "Adding: T must be at least 20, got 19: one of the first ten"),
        (lambda: tasks.Multiplication(True), TypeError, "Multiplication: T must be an integer, got True"),
        (lambda: tasks.ModernAdding(1), ValueError, "ModernAdding: T must be at least 2, got 1: either half"),
        (lambda: tasks.ModernAdding(tolerance=2), ValueError, r"ModernAdding: tolerance must lie in \[0, 1\], got 2"),
        (lambda: tasks.TemporalOrder(5), ValueError, "TemporalOrder: classes must be 4 or 8, got 5"),
        (lambda: tasks.TemporalOrder(4.0), ValueError, "TemporalOrder: classes must be 4 or 8, got 4.0"),
        (lambda: tasks.TemporalOrder(T=9), ValueError, "TemporalOrder: T must be at least 10, got 9: the symbols"),
        (lambda: tasks.CopyMemory(0), ValueError, "CopyMemory: T must be at least 1, got 0: the delimiter"),
        (lambda: tasks.CopyMemory(symbols=1), ValueError, "CopyMemory: symbols must be at least 2, got 1"),
        (lambda: tasks.Latch("III"), ValueError, "Latch: variant must be 'I' or 'II', got 'III'"),
        (lambda: tasks.Latch(shortest=9, longest=8), ValueError, "Latch: shortest must not exceed longest, got "),
        (lambda: tasks.Latch(variance=float("nan")), ValueError, "Latch: variance must be finite, got nan"),
        (lambda: tasks.Parity(noise=1.5), ValueError, r"Parity: noise must lie in \[0, 1\], got 1.5"),
        (lambda: tasks.Parity(noise="loud"), TypeError, "Parity: noise must be a number, got 'loud'"),
        (lambda: tasks.Counting(0), ValueError, "Counting: shortest must be at least 1, got 0"),
        (lambda: tasks.Counting(5, 4), ValueError, "got shortest=5 and longest=4"),
        (lambda: tasks.Warped(T=10), ValueError, "Warped: T must be at least 11, got 10: the first character"),
        (lambda: tasks.Warped(symbols=2), ValueError, "Warped: symbols must be at least 3, got 2"),
        (lambda: tasks.Warped(variable=1), TypeError, "Warped: variable must be True or False, got 1"),
        (lambda: tasks.Countries(K=13), ValueError, "Countries: K must be at most 12, got 13"),
        (lambda: tasks.Countries(clouds=-0.1), ValueError, r"Countries: clouds must lie in \[0, 1\], got -0.1"),
        (lambda: tasks.Digits(pixels=3), ValueError, "Digits: pixels must be 1 or 2 or 4 or 8, got 3"),
        (lambda: tasks.Digits(part="train"), ValueError, "Digits: part must be 'training' or 'test', got 'train'"),
        (lambda: tasks.Digits(permuted="no"), TypeError, "Digits: permuted must be True or False, got 'no'"),
    ],
)
def test_bad_parameters_are_named(build: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        build()


def test_numpy_integers_are_integers() -> None:
    assert tasks.TemporalOrder(np.int64(8), np.int32(20)).batch(np.int64(3), np.random.default_rng(0)).lengths.size == 3


def test_a_task_without_classes_has_to_say_how_it_is_judged() -> None:
    class Silent(tasks.Adding):
        tolerance = None  # type: ignore[assignment]

    batch = Silent().batch(2, np.random.default_rng(0))
    with pytest.raises(NotImplementedError, match="Silent has to say a tolerance, or to write judge"):
        Silent().correct(batch.targets, batch)

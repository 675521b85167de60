"""Experiments 4 and 5, and the adding problem of today."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tinygrad_rnn.tasks.instances import at_end, cost, drawn, is_mean, seeds
from tinygrad_rnn.tasks import Adding, ModernAdding, Multiplication

both = pytest.mark.parametrize("kind", [Adding, Multiplication])


@both
@given(seed=seeds, T=st.integers(20, 70))
def test_markers_and_targets(kind: type[Adding] | type[Multiplication], seed: int, T: int) -> None:
    task = kind(T)
    batch = drawn(task, seed)
    targets = at_end(batch.targets, batch)[:, 0]
    assert batch.lengths.min() >= T and batch.lengths.max() <= T + T // 10
    for k, length in enumerate(batch.lengths):
        numbers, markers = batch.inputs[:length, k].T
        assert (numbers >= (-1 if kind is Adding else 0)).all() and (numbers <= 1).all()
        assert markers[0] == markers[-1] == -1 and set(markers[1:-1].tolist()) <= {0.0, 1.0}
        marked = np.flatnonzero(markers == 1)
        assert len(marked) in (1, 2) and marked.max() < T // 2 and length - 1 - marked.max() >= T // 2
        assert len(marked) == 1 or marked.min() < 10
        if kind is Adding:
            assert targets[k] == pytest.approx(0.5 + numbers[marked].sum() / 4)
        else:
            assert targets[k] == pytest.approx(numbers[marked].prod())


def test_marked_places_are_uniform() -> None:
    batch = drawn(Adding(30), 0, 20_000)
    marked = batch.inputs[..., 1] == 1
    assert is_mean(marked.sum(axis=0) == 1, 1 / 10)
    # X1 of the first ten, the first one unseen; X2 of 1..14 without X1
    for place in range(1, 10):
        assert is_mean(marked[place], 1 / 10 + 1 / 10 / 14 + 8 / 10 / 13)
    for place in range(10, 15):
        assert is_mean(marked[place], 1 / 10 / 14 + 9 / 10 / 13)


def test_costs_of_1997() -> None:
    for task, mean, spread in ((Adding(), 0.5, 1 / 24), (Multiplication(), 0.275, 7 / 144)):
        batch = drawn(task, 1, 40_000)
        targets = at_end(batch.targets, batch)[:, 0]
        assert is_mean(targets, mean) and is_mean((targets - mean) ** 2, task.baselines()["mean"])
        seen = (batch.inputs[..., 1] == 1).sum(axis=0) == 2
        assert is_mean((targets[seen] - targets[seen].mean()) ** 2, spread)
        assert not is_mean((targets - mean) ** 2, spread)
        # what is left to guess once the first marked number, or that there is none, is known
        first = batch.inputs[(batch.inputs[..., 1] == 1).argmax(axis=0), np.arange(40_000), 0]
        known = 0.5 + np.where(seen, first, 0) / 4 if mean == 0.5 else np.where(seen, first, 1) / 2
        assert is_mean((targets - known) ** 2, task.baselines()["one value known"])
    assert Adding().baselines()["mean"] == pytest.approx(19 / 480)
    assert Multiplication().baselines()["one value known"] == pytest.approx(1 / 30)


@given(seed=seeds, T=st.integers(2, 50))
def test_modern_adding(seed: int, T: int) -> None:
    batch = drawn(ModernAdding(T), seed)
    numbers, markers = batch.inputs[..., 0], batch.inputs[..., 1]
    assert (batch.lengths == T).all() and ((numbers >= 0) & (numbers < 1)).all()
    assert ((markers == 0) | (markers == 1)).all()
    assert (markers[: T // 2].sum(axis=0) == 1).all() and (markers[T // 2 :].sum(axis=0) == 1).all()
    np.testing.assert_allclose(batch.targets[-1, :, 0], (numbers * markers).sum(axis=0), rtol=1e-15)


def test_the_modern_baseline_is_a_sixth_and_not_1767() -> None:
    task = ModernAdding(10)
    batch = drawn(task, 2, 40_000)
    targets = batch.targets[-1, :, 0]
    assert is_mean((targets - 1) ** 2, 1 / 6) and not is_mean((targets - 1) ** 2, 0.1767)
    assert cost(task, 1.0, batch) == pytest.approx(task.baselines()["mean"], rel=0.02)
    known = (batch.inputs[:5, :, 0] * batch.inputs[:5, :, 1]).sum(axis=0)
    assert is_mean((targets - known - 0.5) ** 2, task.baselines()["one value known"])


@pytest.mark.parametrize("task", [Adding(), Multiplication(), ModernAdding()])
def test_the_criterion_is_a_25th(task: Adding) -> None:
    batch = drawn(task, 3)
    for sign in (-1, 1):
        assert task.correct(batch.targets + sign * 0.039, batch).all()
        assert not task.correct(batch.targets + sign * 0.041, batch).any()
    assert ModernAdding(tolerance=0.1).correct(batch.targets + 0.09, batch).all()

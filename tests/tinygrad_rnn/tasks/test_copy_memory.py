"""The copy memory problem."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tinygrad_rnn.tasks.instances import cost, drawn, is_mean, seeds
from tinygrad_rnn.tasks import CopyMemory


@given(seed=seeds, T=st.integers(1, 20), items=st.integers(1, 6), symbols=st.integers(2, 9))
def test_the_items_come_back(seed: int, T: int, items: int, symbols: int) -> None:
    task = CopyMemory(T, items, symbols)
    batch = drawn(task, seed)
    said, asked = batch.inputs.argmax(axis=-1), batch.targets.argmax(axis=-1)
    assert len(said) == T + 2 * items and batch.mask.all()
    data = said[:items]
    assert ((data >= 1) & (data <= symbols)).all()
    assert (said[items : items + T - 1] == 0).all() and (said[items + T - 1] == symbols + 1).all()
    assert (said[items + T :] == 0).all() and (said[items + T :]).shape[0] == items
    assert (asked[: T + items] == 0).all() and np.array_equal(asked[T + items :], data)


@pytest.mark.parametrize(("T", "published"), [(20, 0.51986), (50, 0.29706), (100, 0.17329), (1000, 0.02039)])
def test_the_plateau(T: int, published: float) -> None:
    task = CopyMemory(T)
    assert task.baselines()["no memory"] == pytest.approx(published, abs=5e-6)
    if T > 100:
        return
    batch = drawn(task, 0, 50)
    silent_then_guessing = np.zeros_like(batch.targets)
    silent_then_guessing[: T + 10, :, 0] = 1
    silent_then_guessing[T + 10 :, :, 1:] = 1 / 8
    assert cost(task, silent_then_guessing, batch) == pytest.approx(task.baselines()["no memory"])


def test_all_items_are_equally_likely() -> None:
    batch = drawn(CopyMemory(1), 1, 1000)
    assert all(is_mean(batch.inputs[:10, :, symbol].ravel(), 1 / 8) for symbol in range(1, 9))


def test_one_wrong_blank_is_wrong() -> None:
    task = CopyMemory(5)
    batch = drawn(task, 2)
    outputs = batch.targets.copy()
    outputs[3, 2, 4] = 1.0  # a tie with the blank
    assert task.correct(outputs, batch).tolist() == [True, True, False, *[True] * 5]

"""Tasks 6a and 6b."""

from __future__ import annotations

from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tinygrad_rnn.tasks.instances import at_end, cost, drawn, is_mean, seeds, symbols
from tinygrad_rnn.tasks import TemporalOrder

classes = pytest.mark.parametrize("count", [4, 8])


@classes
@given(seed=seeds, T=st.integers(10, 120))
def test_symbols_positions_and_classes(count: int, seed: int, T: int) -> None:
    task = TemporalOrder(count, T)
    batch = drawn(task, seed)
    answers = at_end(batch.targets, batch).argmax(axis=-1)
    for k, said in enumerate("".join(task.symbols[j] for j in column) for column in symbols(batch)):
        assert T <= len(said) <= T + T // 10
        assert said[0] == "E" and said[-1] == "B" and not set("EB") & set(said[1:-1])
        places = [t for t, symbol in enumerate(said) if symbol in "XY"]
        assert len(places) == len(task.windows()) == {4: 2, 8: 3}[count]
        for place, (low, high) in zip(places, task.windows(), strict=True):
            assert low <= place <= high
        assert answers[k] == int("".join("XY".index(said[t]).__str__() for t in places), 2)
        assert batch.mask[:, k].sum() == 1


def test_windows_are_those_of_the_paper() -> None:
    assert TemporalOrder(4).windows() == [(10, 20), (50, 60)]
    assert TemporalOrder(8).windows() == [(10, 20), (33, 43), (66, 76)]
    assert TemporalOrder(4, 1000).windows() == [(100, 200), (500, 600)]


@classes
def test_everything_is_equally_likely(count: int) -> None:
    task = TemporalOrder(count)
    batch = drawn(task, 0, 6000)
    answers = at_end(batch.targets, batch)
    assert all(is_mean(answers[:, label], 1 / count) for label in range(count))
    assert all(is_mean(batch.inputs[5, :, j], 1 / 4) for j in range(4))
    special = batch.inputs[..., 4:6].sum(axis=-1)
    for low, high in task.windows():
        assert all(is_mean(special[t], 1 / 11) for t in (low, low + 5, high))
    assert all(is_mean(batch.lengths == length, 1 / 11) for length in (100, 105, 110))
    assert cost(task, 1 / count, batch) == pytest.approx(task.baselines()["chance"]) == log(count)


@classes
def test_the_criterion(count: int) -> None:
    task = TemporalOrder(count)
    batch = drawn(task, 1)
    assert task.correct(abs(batch.targets - 0.29), batch).all()
    assert not task.correct(abs(batch.targets - 0.31), batch).any()


@classes
def test_one_symbol_unknown_leaves_two_classes(count: int) -> None:
    task = TemporalOrder(count)
    batch = drawn(task, 2, 50)
    pairs = batch.targets.reshape(*batch.mask.shape, count // 2, 2)
    halved = (pairs.sum(axis=-1, keepdims=True) * [0.5, 0.5]).reshape(batch.targets.shape)
    assert cost(task, halved, batch) == pytest.approx(task.baselines()["one symbol unknown"])

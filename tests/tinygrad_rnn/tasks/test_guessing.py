"""The problems of the paper on random guessing: latch and parity."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tinygrad_rnn.tasks.instances import at_end, cost, drawn, is_mean, seeds
from tinygrad_rnn.tasks import Latch, Parity


@pytest.mark.parametrize(("variant", "target"), [("I", 0.8), ("II", 1.0)])
@given(seed=seeds, shortest=st.integers(2, 9), more=st.integers(0, 9))
def test_latch(variant: str, target: float, seed: int, shortest: int, more: int) -> None:
    batch = drawn(Latch(variant, shortest, shortest + more), seed)
    assert shortest <= batch.lengths.min() and batch.lengths.max() <= shortest + more
    first = batch.inputs[0, :, 0]
    assert (np.abs(first) == 1).all() and not (np.abs(batch.inputs[1:, :, 0]) == 1).any()
    assert (at_end(batch.targets, batch)[:, 0] == target * first).all()


def test_latch_noise_and_cost() -> None:
    task = Latch(shortest=50, longest=60)
    batch = drawn(task, 0, 2000)
    noise = batch.inputs[1:50].ravel()
    assert is_mean(noise, 0) and is_mean(noise**2, 0.2) and is_mean(batch.inputs[0], 0)
    assert all(is_mean(batch.lengths == length, 1 / 11) for length in (50, 55, 60))
    assert cost(task, 0.0, batch) == pytest.approx(task.baselines()["mean"])
    assert drawn(Latch(variance=0.0, shortest=5, longest=5), 0).inputs[1:].any() == np.False_


def test_latch_criteria() -> None:
    batch = drawn(Latch(shortest=5, longest=9), 1)
    assert Latch().correct(np.sign(batch.targets), batch).all()
    assert not Latch().correct(-batch.targets, batch).any() and not Latch().correct(0 * batch.targets, batch).any()
    batch = drawn(Latch("II", 5, 9), 2)
    assert Latch("II").correct(0.91 * batch.targets, batch).all()
    assert not Latch("II").correct(0.89 * batch.targets, batch).any()


@given(seed=seeds, shortest=st.integers(1, 9), more=st.integers(0, 9), noise=st.sampled_from([0.0, 0.2, 1.0]))
def test_parity(seed: int, shortest: int, more: int, noise: float) -> None:
    batch = drawn(Parity(shortest, shortest + more, noise), seed)
    assert shortest <= batch.lengths.min() and batch.lengths.max() <= shortest + more
    for k, length in enumerate(batch.lengths):
        numbers = batch.inputs[:length, k, 0]
        assert (np.abs(np.abs(numbers) - 1) <= noise).all()
        assert batch.targets[length - 1, k, 0] == np.sum(numbers > 0) % 2


def test_parity_is_fair_and_its_noise_uniform() -> None:
    task = Parity(20, 22, noise=0.2)
    batch = drawn(task, 3, 4000)
    bits = np.sign(batch.inputs[:20]).ravel()
    noise = batch.inputs[:20].ravel() - bits
    assert is_mean(bits, 0) and is_mean(noise, 0) and is_mean(noise**2, 0.2**2 / 3)
    assert is_mean(at_end(batch.targets, batch), 1 / 2)
    assert cost(task, 0.5, batch) == pytest.approx(task.baselines()["chance"]) == log(2)


def test_parity_criterion() -> None:
    task = Parity(5, 9)
    batch = drawn(task, 4)
    assert task.correct(np.abs(batch.targets - 0.09), batch).all()
    assert not task.correct(np.abs(batch.targets - 0.11), batch).any()

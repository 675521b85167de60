"""Tasks 3a, 3b and 3c."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tinygrad_rnn.tasks.instances import at_end, cost, drawn, is_mean, seeds
from tinygrad_rnn.tasks import TwoSequence


@pytest.mark.parametrize("variant", ["3a", "3b", "3c"])
@given(seed=seeds, T=st.integers(4, 40), N=st.integers(1, 3))
def test_lengths_and_signal(variant: str, seed: int, T: int, N: int) -> None:
    batch = drawn(TwoSequence(variant, T, N), seed)
    assert batch.lengths.min() >= T and batch.lengths.max() <= T + T // 10
    signal = batch.inputs[:N, :, 0]
    if variant == "3b":
        assert not (np.abs(signal) == 1).any()
        return
    assert (np.abs(signal) == 1).all() and (signal == signal[0]).all()
    assert not (np.abs(batch.inputs[N:T, :, 0]) == 1).any()
    if variant == "3a":
        assert (at_end(batch.targets, batch)[:, 0] == (signal[0] > 0)).all()


def test_all_lengths_are_equally_likely() -> None:
    lengths = drawn(TwoSequence(T=100), 0, 5000).lengths
    for length in range(100, 111):
        assert is_mean(lengths == length, 1 / 11)


@pytest.mark.parametrize("variant", ["3a", "3b", "3c"])
def test_the_noise_has_variance_a_fifth(variant: str) -> None:
    batch = drawn(TwoSequence(variant, T=50, N=2), 1, 2000)
    noise = batch.inputs[2:50, :, 0].ravel()
    assert is_mean(noise, 0) and is_mean(noise**2, 0.2) and is_mean(noise**4, 3 * 0.2**2)
    assert not is_mean(noise**2, 0.2**2)
    signal = batch.inputs[:2, :, 0].ravel()
    # a class of +-1 in fair shares, plus the noise in 3b alone
    assert is_mean(signal, 0) and np.mean(signal**2) == pytest.approx(1.2 if variant == "3b" else 1.0, abs=0.1)


def test_3b_has_the_class_of_its_signal() -> None:
    batch = drawn(TwoSequence("3b", N=3), 2, 4000)
    first = at_end(batch.targets, batch)[:, 0] == 1
    assert is_mean(batch.inputs[:3, first].ravel(), 1) and is_mean(batch.inputs[:3, ~first].ravel(), -1)
    assert is_mean(first, 1 / 2)


def test_3c_targets_and_their_noise() -> None:
    task = TwoSequence("3c")
    batch = drawn(task, 3, 8000)
    first, targets = batch.inputs[0, :, 0] > 0, at_end(batch.targets, batch)[:, 0]
    for of_class, mean in ((first, 0.2), (~first, 0.8)):
        assert is_mean(targets[of_class], mean) and is_mean((targets[of_class] - mean) ** 2, 0.1)
    clean = np.where(batch.mask, np.where(first, 0.2, 0.8), np.nan)[..., None]
    assert task.correct(clean + 0.09, batch).all() and task.correct(clean - 0.09, batch).all()
    assert not task.correct(clean + 0.11, batch).any() and not task.correct(clean - 0.11, batch).any()
    assert is_mean((targets - 0.5) ** 2, task.baselines()["mean"])
    assert cost(task, clean, batch) == pytest.approx(task.baselines()["optimum"], rel=0.05)


@pytest.mark.parametrize("variant", ["3a", "3b"])
def test_the_criterion_is_a_fifth(variant: str) -> None:
    task = TwoSequence(variant)
    batch = drawn(task, 4)
    assert task.correct(np.abs(batch.targets - 0.19), batch).all()
    assert not task.correct(np.abs(batch.targets - 0.21), batch).any()
    assert cost(task, 0.5, batch) == pytest.approx(task.baselines()["chance"]) == log(2)
    assert task.loss == "binary" and TwoSequence("3c").loss == "mse"

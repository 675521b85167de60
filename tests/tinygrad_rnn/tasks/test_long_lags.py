"""Tasks 2a, 2b and 2c."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tinygrad_rnn.tasks.instances import at_end, cost, drawn, is_mean, perfect, seeds, symbols
from tinygrad_rnn.tasks import LongLag, NoiseFree, NoisyLag


@given(seed=seeds, p=st.integers(2, 12))
def test_noise_free_is_one_of_two_sequences(seed: int, p: int) -> None:
    batch = drawn(NoiseFree(p), seed)
    for k, said in enumerate(symbols(batch)):
        asked = batch.targets[:, k].argmax(axis=-1).tolist()
        assert said[0] in (p - 1, p) and said[1:] == list(range(p - 1))
        assert asked == [*said[1:], said[0]] and batch.mask[:, k].sum() == p


@given(seed=seeds, p=st.integers(2, 12))
def test_noisy_lag_repeats_its_first_symbol(seed: int, p: int) -> None:
    batch = drawn(NoisyLag(p), seed)
    for k, said in enumerate(symbols(batch)):
        asked = batch.targets[:, k].argmax(axis=-1).tolist()
        assert said[0] in (p - 1, p) and len(said) == p and max(said[1:]) < p - 1
        assert asked == [*said[1:], said[0]] and batch.mask[:, k].all()


def test_both_ends_and_all_fillers_are_equally_likely() -> None:
    batch = drawn(NoisyLag(5), 0, 4000)
    assert is_mean(batch.inputs[0, :, 4], 1 / 2)
    for k in range(4):
        assert is_mean(batch.inputs[1:, :, k].ravel(), 1 / 4)


def test_the_criteria_of_2a_and_2b_differ_in_where_they_look() -> None:
    for task, everywhere in ((NoiseFree(4), True), (NoisyLag(4), False)):
        batch = drawn(task, 1)
        outputs = perfect(task, batch)
        outputs[0] += 0.26
        assert task.correct(outputs, batch).all() != everywhere
        outputs = perfect(task, batch)
        outputs[-1, :, 0] += 0.24
        assert task.correct(outputs, batch).all()
        outputs[-1, :, 0] += 0.02
        assert not task.correct(outputs, batch).any()


def test_costs_of_the_lag_tasks() -> None:
    task = NoiseFree(6)
    batch = drawn(task, 2, 2000)
    forgetful = batch.targets.copy()
    forgetful[-1] = [0, 0, 0, 0, 0, 0.5, 0.5]
    assert cost(task, forgetful, batch) == pytest.approx(task.baselines()["no memory"], rel=1e-12)
    noisy = NoisyLag(6)
    batch = drawn(noisy, 3, 2000)
    best = np.full_like(batch.targets, 1 / 5)
    best[-1] = batch.targets[-1]
    assert cost(noisy, best, batch) == pytest.approx(noisy.baselines()["optimum"], rel=1e-12)
    best[-1] = 1 / 2
    assert cost(noisy, best, batch) == pytest.approx(noisy.baselines()["no memory"], rel=1e-12)


@given(seed=seeds, q=st.integers(0, 9), p=st.integers(1, 5))
def test_long_lag_is_prefix_distractors_trigger(seed: int, q: int, p: int) -> None:
    batch = drawn(LongLag(q, p), seed)
    e, b, x = p, p + 1, p + 2
    for k, said in enumerate(symbols(batch)):
        assert said[0] == b and said[1] in (x, x + 1) and said[-1] == e and len(said) >= q + 3
        assert all(symbol < p for symbol in said[2:-1])
        assert np.flatnonzero(batch.mask[:, k]).tolist() == [len(said) - 1]
    assert (at_end(batch.targets, batch).argmax(axis=-1) == batch.inputs[1].argmax(axis=-1) - x).all()


def test_long_lag_has_q_plus_13_symbols_not_q_plus_14() -> None:
    batch = drawn(LongLag(50, 1), 4, 20_000)
    assert is_mean(batch.lengths + 1, 63) and not is_mean(batch.lengths + 1, 64)
    assert batch.lengths.min() + 1 == 54
    assert is_mean(batch.lengths == 53, 1 / 10)


def test_long_lag_criterion_and_cost() -> None:
    task = LongLag(3, 2)
    batch = drawn(task, 5)
    assert task.correct(np.abs(batch.targets - 0.19), batch).all()
    assert not task.correct(np.abs(batch.targets - 0.21), batch).any()
    assert cost(task, 0.5, batch) == pytest.approx(task.baselines()["no memory"]) == log(2)

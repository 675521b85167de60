"""Counting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tinygrad_rnn.tasks.instances import cost, drawn, is_mean, perfect, seeds, symbols
from tinygrad_rnn.tasks import Counting


@given(seed=seeds, shortest=st.integers(1, 6), more=st.integers(0, 6))
def test_strings_and_what_may_follow(seed: int, shortest: int, more: int) -> None:
    task = Counting(shortest, shortest + more)
    batch = drawn(task, seed)
    for k, column in enumerate(symbols(batch)):
        said = "".join("Sab"[j] for j in column)
        n = said.count("a")
        assert shortest <= n <= shortest + more and said == "S" + "a" * n + "b" * n
        for t in range(len(said)):
            may = "".join("abT"[j] for j in np.flatnonzero(batch.targets[t, k]))
            seen = said[: t + 1]
            ahead = seen.count("a") - seen.count("b")
            expected = "a" if t == 0 else "ab" if seen[-1] == "a" else "b" if ahead else "T"
            assert may == expected and batch.mask[t, k]


@pytest.mark.parametrize("limits", [(1, 1), (1, 10), (4, 9)])
def test_cost_without_counting(limits: tuple[int, int]) -> None:
    task = Counting(*limits)
    batch = drawn(task, 0, 20_000)
    outputs = perfect(task, batch)
    share = 2 / sum(limits)
    outputs[batch.inputs[..., 2] == 1] = [0, 1 - share, share]
    assert cost(task, outputs, batch) == pytest.approx(task.baselines()["no memory"], rel=0.01)
    assert is_mean((batch.lengths - 1) / 2, sum(limits) / 2) or limits == (1, 1)


def test_every_output_on_its_side_of_a_half() -> None:
    task = Counting()
    batch = drawn(task, 1)
    assert task.correct(np.abs(batch.targets - 0.49), batch).all()
    assert not task.correct(np.abs(batch.targets - 0.5), batch).any()

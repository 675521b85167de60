"""The previous character under warped time."""

from __future__ import annotations

from itertools import groupby, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tinygrad_rnn.tasks.instances import cost, drawn, is_mean, seeds
from tinygrad_rnn.tasks import Warped


@given(seed=seeds, symbols=st.integers(3, 6), factor=st.integers(1, 5), more=st.integers(1, 30), variable=st.booleans())
def test_runs_and_what_went_before(seed: int, symbols: int, factor: int, more: int, variable: bool) -> None:
    task = Warped(factor + more, symbols, factor, variable)
    batch = drawn(task, seed)
    for k in range(8):
        runs = [(symbol, len(list(run))) for symbol, run in groupby(batch.inputs[:, k].argmax(axis=-1).tolist())]
        lasting = [length for _, length in runs]
        assert sum(lasting) == factor + more and max(lasting) <= factor
        assert variable or set(lasting[:-1]) == {factor}
        assert batch.mask[:, k].tolist() == [t >= lasting[0] for t in range(task.T)]
        expected = [symbol for (symbol, _), (_, length) in pairwise(runs) for _ in range(length)]
        assert batch.targets[lasting[0] :, k].argmax(axis=-1).tolist() == expected


def test_characters_and_durations_are_uniform() -> None:
    batch = drawn(Warped(30, 4, 3, variable=True), 0, 6000)
    said = batch.inputs.argmax(axis=-1)
    assert all(is_mean(said[t] == symbol, 1 / 4) for t in (0, 20) for symbol in range(4))
    assert all(is_mean((batch.mask.argmax(axis=0)) == length, 1 / 3) for length in (1, 2, 3))


def test_cost_without_memory() -> None:
    task = Warped(50, 5, 4, variable=True)
    batch = drawn(task, 1, 200)
    others = (1 - batch.inputs) / 4
    assert cost(task, others, batch) == pytest.approx(task.baselines()["no memory"]) == np.log(4)

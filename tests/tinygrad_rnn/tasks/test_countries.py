"""The corpus of countries and languages."""

from __future__ import annotations

import re
from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tinygrad_rnn.tasks.instances import at_end, cost, drawn, is_mean, seeds
from tinygrad_rnn.tasks import Countries

LANGUAGES = {
    "France": "French",
    "Germany": "German",
    "Spain": "Spanish",
    "Italy": "Italian",
    "Japan": "Japanese",
    "China": "Chinese",
    "Russia": "Russian",
    "Greece": "Greek",
    "Poland": "Polish",
    "Sweden": "Swedish",
    "Turkey": "Turkish",
    "Denmark": "Danish",
}


@given(seed=seeds, d=st.integers(0, 12), K=st.integers(2, 12), clouds=st.sampled_from([0.0, 0.5, 1.0]))
def test_sentences(seed: int, d: int, K: int, clouds: float) -> None:
    task = Countries(d, K, clouds)
    assert len(set(task.words)) == len(task.words) == task.input_size == task.output_size
    batch = drawn(task, seed)
    far = rf"I grew up in (\w+) \.((?: [a-z]+){{{d}}}) I speak fluent (\w+)"
    near = rf"((?:[a-z]+ ){{{d}}})the clouds are in the sky"
    for k, sentence in enumerate(task.sentences(batch)):
        assert batch.lengths[k] == len(sentence.split()) - 1
        assert np.flatnonzero(batch.mask[:, k]).tolist() == [batch.lengths[k] - 1]
        told = re.fullmatch(far, sentence)
        if told:
            assert clouds < 1 and LANGUAGES[told[1]] == told[3] and told[1] in task.words[:K]
        else:
            assert clouds > 0 and re.fullmatch(near, sentence)


def test_shares() -> None:
    task = Countries(d=3, K=4, clouds=0.25)
    batch = drawn(task, 0, 8000)
    sky = at_end(batch.targets, batch)[:, task.words.index("sky")] == 1
    assert is_mean(sky, 1 / 4)
    assert all(is_mean(batch.inputs[4, ~sky, k], 1 / 4) for k in range(4))
    filler = batch.inputs[6:9, ~sky].reshape(-1, task.input_size)[:, 8:16]
    assert (filler.sum(axis=-1) == 1).all() and all(is_mean(filler[:, word], 1 / 8) for word in range(8))


def test_floor_without_memory() -> None:
    for clouds in (0.0, 0.4):
        task = Countries(clouds=clouds)
        batch = drawn(task, 1, 6000)
        outputs = batch.targets.copy()
        languages = np.isin(outputs.argmax(axis=-1), range(8, 16)) & batch.mask
        outputs[languages] = 0
        outputs[languages, 8:16] = 1 / 8
        assert cost(task, outputs, batch) == pytest.approx(task.baselines()["no memory"], rel=0.05)
    assert Countries().baselines()["no memory"] == log(8)

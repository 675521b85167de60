"""When a problem counts as solved."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.tinygrad_rnn.training.models import adam, model_for
from tinygrad_rnn.training import Solved


def test_training_ends_when_solved() -> None:
    task = tg.tasks.Characters("ab" * 20, window=3)
    model = model_for(task)
    stop = Solved(last=40)
    history = tg.fit(model, task, steps=5000, batch=8, optimizer=adam(model, 0.05), stop=stop, every=7)
    assert history.solved and history.steps < 5000 and stop.met and stop.right.all()


def test_solved_counts_the_last_sequences() -> None:
    stop = Solved(last=3, mean_error=0.1)
    yes, no = np.array([True]), np.array([False])
    assert [stop.update(*one) for one in [(yes, [0.0]), (no, [0.0]), (yes, [0.0]), (yes, [0.2])]] == [False] * 4
    assert stop.update(yes, [0.2]) is False, "the mean error is 0.13"
    assert stop.update(yes, [0.0]) is False
    assert stop.update(yes, [0.0]) is True
    share = Solved(last=4, share=0.75)
    assert share.update(np.array([True, True, False, True]), np.zeros(4)) is True
    again = Solved(last=3, mean_error=0.1)
    again.load_state_dict(stop.state_dict())
    assert again.met and again.seen == stop.seen


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Solved(last=0), "last must be a positive number of sequences"),
        (lambda: Solved(mean_error=0.0), "mean_error must be positive"),
        (lambda: Solved(share=0.0), r"share must lie in \(0, 1\]"),
    ],
)
def test_bad_criteria_are_explained(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()

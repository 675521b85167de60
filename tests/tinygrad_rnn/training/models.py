"""What is trained in tests."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_rnn as tg

TASK = tg.tasks.ModernAdding(T=6)
TEXT = "the quick brown fox jumps over the lazy dog. " * 5


def model_for(task: tg.tasks.Task, cell: str = "lstm", seed: int = 0, **options: Any) -> tg.models.SequenceModel:
    made = tg.cells.get(cell)(task.input_size, 8, seed=seed, init="keras")
    return tg.models.SequenceModel(made, task.output_size, seed=seed, **options)


def adam(model: Any, lr: float = 0.01) -> tg.optim.Adam:
    return tg.optim.Adam(model.parameters(), lr=lr)


def same(left: Any, right: Any) -> None:
    for name, array in left.state_dict().items():
        np.testing.assert_array_equal(array, right.state_dict()[name], err_msg=name)

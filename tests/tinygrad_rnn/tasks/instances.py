"""Small instances of every task, and what all tests of tasks need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from tinygrad_rnn import tasks

SMALL: dict[str, dict[str, Any]] = {
    "noise_free": {"p": 5},
    "noisy_lag": {"p": 5},
    "long_lag": {"q": 4, "p": 3},
    "two_sequence": {"T": 20},
    "adding": {"T": 20},
    "multiplication": {"T": 20},
    "modern_adding": {"T": 7},
    "temporal_order": {"T": 20},
    "copy_memory": {"T": 3, "items": 2, "symbols": 3},
    "latch": {"shortest": 3, "longest": 8},
    "parity": {"shortest": 1, "longest": 6},
    "counting": {"shortest": 2, "longest": 5},
    "warped": {"T": 15, "symbols": 4, "factor": 3},
    "continual_reber": {"length": 30},
    "characters": {"text": "the quick brown fox", "window": 6},
}

seeds = st.integers(0, 2**32 - 1)


def small(name: str) -> tasks.Task:
    if name == "digits":
        pytest.importorskip("sklearn", reason="the digits come with scikit-learn")
    return tasks.get(name)(**SMALL.get(name, {}))


def drawn(task: tasks.Task, seed: int, size: int = 8) -> tasks.Batch:
    return task.batch(size, np.random.default_rng(seed))


def perfect(task: tasks.Task, batch: tasks.Batch) -> Any:
    """Outputs that every criterion accepts."""
    return task.legal(batch).astype(float) if isinstance(task, tasks.Grammar) else batch.targets.copy()


def cost(task: tasks.Task, outputs: Any, batch: tasks.Batch) -> float:
    """The loss of `outputs`, broadcast to the targets, as `baselines` means it."""
    outputs = np.broadcast_to(outputs, batch.targets.shape)
    with np.errstate(divide="ignore", invalid="ignore"):
        if task.loss == "mse":
            losses = np.square(outputs - batch.targets)
        elif task.loss == "binary":
            losses = -np.log(np.where(batch.targets > 0.5, outputs, 1 - outputs))
        else:
            losses = -np.log((outputs * batch.targets).sum(axis=-1))
    return float(losses[batch.mask].mean())


def symbols(batch: tasks.Batch) -> list[list[int]]:
    """The inputs of each sequence as integers."""
    return [batch.inputs[:n, k].argmax(axis=-1).tolist() for k, n in enumerate(batch.lengths)]


def at_end(values: Any, batch: tasks.Batch) -> Any:
    return np.array([values[n - 1, k] for k, n in enumerate(batch.lengths)])


def is_mean(found: Sequence[float] | Any, expected: float, sigmas: float = 4.0) -> bool:
    """Whether the mean of independent values is `expected`, within so many of its standard errors."""
    values = np.asarray(found, dtype=float)
    return bool(abs(values.mean() - expected) <= sigmas * values.std(ddof=1) / np.sqrt(values.size))

"""Simple weight guessing: no learning at all, only tries."""

from __future__ import annotations

from math import isfinite
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..arguments import generator, integer
from ..tasks import Batch, Task
from .candidates import Candidates

Array = npt.NDArray[Any]

__all__ = ["Guess", "guess", "solves"]

_FIRST = 4
"""Sequences on which all candidates are tried before the survivors meet the others."""


class Guess(NamedTuple):
    """What a search found.

    Attributes
    ----------
    trials : int
        Candidates tried, the last one included.
    weights : (size,) or None
        Those that solved the task; ``None`` if none did.
    failed_tests : int
        Candidates right on the training set but not on the test set.
    """

    trials: int
    weights: Array | None
    failed_tests: int


def guess(
    net: Candidates,
    task: Task,
    rng: np.random.Generator,
    *,
    low: float = -100.0,
    high: float = 100.0,
    train: int = 100,
    test: int = 100,
    max_trials: int = 100_000,
    together: int = 256,
) -> Guess:
    """Guess all weights uniformly in [low, high] until they solve a training set, and then a test set.

    Solving is answering every sequence by the task's criterion. Which weights are found does not depend on
    `together`.

    Schmidhuber & Hochreiter 1996, "Guessing can outperform many long time lag algorithms"; the numbers of
    sequences and the interval are those of Schmidhuber, Hochreiter & Bengio 2001. They report how well the
    solution of the training set does on the test set; here the search goes on if that is not perfect.

    Parameters
    ----------
    net : Candidates
        :class:`FullyConnected`, :class:`SparselyConnected`, :class:`LatchUnit`, or :class:`FromModel`.
    task : Task
    rng : numpy.random.Generator
    low, high : float
    train, test : int
        Sequences in each set, drawn once.
    max_trials : int
        When to give up.
    together : int
        Candidates that are run at once.

    Returns
    -------
    Guess

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> import tinygrad_rnn as tg
    >>> from tinygrad_rnn.baselines import LatchUnit, guess
    >>> found = guess(LatchUnit("I"), tg.tasks.Latch("I", 50, 60), np.random.default_rng(0))
    >>> bool(found.weights[0] > 0)
    True
    """
    check("guess", task, rng, train=train, test=test, max_trials=max_trials, together=together)
    if not (isfinite(low) and isfinite(high) and low < high):
        raise ValueError(f"guess: needs finite low < high, got {low!r} and {high!r}")
    sets = task.batch(train, rng), task.batch(test, rng)
    failed = 0
    for start in range(0, max_trials, together):
        weights = rng.uniform(low, high, (min(together, max_trials - start), net.size))
        for k in np.flatnonzero(solves(net, task, weights, sets[0])):
            if solves(net, task, weights[k : k + 1], sets[1])[0]:
                return Guess(start + int(k) + 1, weights[k], failed)
            failed += 1
    return Guess(max_trials, None, failed)


def solves(net: Candidates, task: Task, weights: Array, batch: Batch) -> Array:
    """Which candidates answer every sequence of a batch.

    Most fail at once, so a few sequences are tried first.

    Parameters
    ----------
    net : Candidates
    task : Task
    weights : (candidates, size)
    batch : Batch

    Returns
    -------
    (candidates,) of bool
    """
    alive = np.arange(len(weights))
    done, total = 0, len(batch.lengths)
    while done < total and alive.size:
        upto = min(max(_FIRST, 4 * done), total)
        part = some(batch, slice(done, upto))
        right = task.correct(*beside(net.outputs(weights[alive], part.inputs), part))
        alive = alive[right.reshape(alive.size, -1).all(axis=1)]
        done = upto
    solved = np.zeros(len(weights), bool)
    solved[alive] = True
    return solved


def some(batch: Batch, which: slice) -> Batch:
    """Some of the sequences, cut to the longest of them."""
    steps = int(batch.lengths[which].max())
    return Batch(
        batch.inputs[:steps, which], batch.targets[:steps, which], batch.mask[:steps, which], batch.lengths[which]
    )


def beside(outputs: Array, batch: Batch) -> tuple[Array, Batch]:
    """The answers of all candidates side by side, (T, candidates * batch, O), and as many copies of the batch."""
    steps, candidates, size, width = outputs.shape
    many = Batch(
        np.tile(batch.inputs, (1, candidates, 1)),
        np.tile(batch.targets, (1, candidates, 1)),
        np.tile(batch.mask, (1, candidates)),
        np.tile(batch.lengths, candidates),
    )
    return outputs.reshape(steps, candidates * size, width), many


def check(who: str, task: Any, rng: Any, **counts: Any) -> None:
    """Refuse a task, a generator or counts that a search cannot use, naming the search."""
    if not isinstance(task, Task):
        raise TypeError(f"{who}: task must be a Task, got {type(task).__name__}")
    generator(who, rng)
    for name, count in counts.items():
        integer(who, name, count, 1)

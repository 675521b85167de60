"""Multi-grid random search: guesses around the best weights so far, in a box that shrinks with success."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite

import numpy as np

from ..tasks import Batch, Task
from .candidates import Array, Candidates
from .guessing import Guess, beside, check, solves

__all__ = ["judge", "multigrid"]


def multigrid(
    net: Candidates,
    task: Task,
    rng: np.random.Generator,
    *,
    width: float = 10.0,
    factor: float = 10.0,
    levels: int = 3,
    patience: int = 100,
    train: int = 100,
    test: int = 100,
    max_trials: int = 100_000,
    together: int = 32,
) -> Guess:
    """Search at random in a box around the best weights until they solve a training set, and then a test set.

    Candidates are uniform in a hyper-rectangle around the best point. One with a smaller squared error
    becomes the best point, and the rectangle shrinks by `factor`. Only the order of two errors matters, so
    that plateaus are no obstacle. The search is over with a candidate that is right by the task's criterion,
    which need not be the one with the smallest error.

    Bengio, Simard & Frasconi 1994, section V, from memory. They leave open what comes after a rectangle that
    has become small: any slope makes every other candidate a better one, so that shrinking alone would soon
    stand still. Here there are `levels` sizes. After a success, and after `patience` candidates in vain, the
    next smaller one is searched, and after the smallest the widest again, which lies around 0, not around
    the best point: weights that hardly matter yet would drift out of reach. A point that is right on the
    training set and wrong on the test set is forgotten.

    Parameters
    ----------
    net : Candidates
        As for :func:`~tinygrad_rnn.baselines.guessing.guess`.
    task : Task
    rng : numpy.random.Generator
    width : float
        Of the widest rectangle: weights lie within this distance of 0.
    factor : float
        More than 1.
    levels : int
        Sizes of rectangles; 1 is plain guessing.
    patience : int
    train, test : int
        Sequences in each set, drawn once.
    max_trials : int
    together : int
        Candidates that are run at once; does not change what is found.

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
    >>> from tinygrad_rnn.baselines import LatchUnit, multigrid
    >>> found = multigrid(LatchUnit("I"), tg.tasks.Latch("I", 50, 60), np.random.default_rng(0))
    >>> bool(found.weights[0] > 0)
    True
    """
    _check(
        task,
        rng,
        width,
        factor,
        levels=levels,
        patience=patience,
        train=train,
        test=test,
        max_trials=max_trials,
        together=together,
    )
    sets = task.batch(train, rng), task.batch(test, rng)
    moves = _Moves(rng, net.size, together)
    best, error, level = np.zeros(net.size), np.inf, 0
    trials = failed = vain = 0
    while trials < max_trials:
        centre = best if level else 0.0
        tried = centre + width / factor**level * moves.ahead(min(patience - vain, max_trials - trials))
        errors, right = judge(net, task, tried, sets[0])
        found = np.flatnonzero((errors < error) | right)
        used = int(found[0]) + 1 if found.size else len(tried)
        moves.use(used)
        trials, vain = trials + used, vain + used
        if found.size:
            best, error = tried[used - 1], float(errors[used - 1])
            if right[used - 1]:
                if solves(net, task, best[None], sets[1])[0]:
                    return Guess(trials, best, failed)
                failed, error, level = failed + 1, np.inf, -1
        if found.size or vain == patience:
            level, vain = (level + 1) % levels, 0
    return Guess(trials, None, failed)


def judge(net: Candidates, task: Task, weights: Array, batch: Batch) -> tuple[Array, Array]:
    """How far off candidates are, and which are right.

    Parameters
    ----------
    net : Candidates
    task : Task
    weights : (candidates, size)
    batch : Batch

    Returns
    -------
    errors : (candidates,)
        Mean squared error over the asked positions; infinite instead of NaN.
    right : (candidates,) of bool
        Whether every sequence is answered rightly.
    """
    outputs, many = beside(net.outputs(weights, batch.inputs), batch)
    squares = np.square(outputs - many.targets).sum(axis=2) * many.mask
    means = squares.reshape(len(outputs), len(weights), -1).sum(axis=(0, 2)) / batch.mask.sum()
    right = task.correct(outputs, many).reshape(len(weights), -1)
    return np.nan_to_num(means, nan=np.inf), np.asarray(right.all(axis=1))


class _Moves:
    """Uniform directions in [-1, 1], each used once and in order, however many are looked at ahead."""

    def __init__(self, rng: np.random.Generator, size: int, together: int) -> None:
        self.source = self._endless(rng, size)
        self.together, self.waiting = together, np.empty((0, size))

    @staticmethod
    def _endless(rng: np.random.Generator, size: int) -> Iterator[Array]:
        while True:
            yield rng.uniform(-1.0, 1.0, (1, size))

    def ahead(self, most: int) -> Array:
        """The next ones, as many as are run at once but no more than `most`."""
        count = min(self.together, most)
        missing = count - len(self.waiting)
        if missing > 0:
            self.waiting = np.concatenate([self.waiting, *(next(self.source) for _ in range(missing))])
        return self.waiting[:count]

    def use(self, count: int) -> None:
        """Drop the first `count`."""
        self.waiting = self.waiting[count:]


def _check(task: object, rng: object, width: float, factor: float, **counts: object) -> None:
    check("multigrid", task, rng, **counts)
    if not (isfinite(width) and width > 0):
        raise ValueError(f"multigrid: width must be positive and finite, got {width!r}")
    if not (isfinite(factor) and factor > 1):
        raise ValueError(f"multigrid: factor must be more than 1, got {factor!r}")

"""Experiment 2 of 1997: remember the first symbol over a lag without noise, with noise, and of 1000 steps."""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import numpy as np

from ..arguments import integer
from . import criteria
from .sequences import at_end, next_symbols, one_hot
from .task import Array, Batch, Task

__all__ = ["LongLag", "NoiseFree", "NoisyLag"]


@dataclass(frozen=True)
class NoiseFree(Task):
    """Task 2a: predict every next symbol of (x, a_1, ..., a_{p-1}, x) or (y, a_1, ..., a_{p-1}, y).

    Either sequence has probability 1/2; symbols are one-hot in the order a_1, ..., a_{p-1}, x, y. All
    p predictions are asked. Right means that no output is off by .25 or more at any of them. Only the last
    needs memory: without, it costs ln 2, so that a mean over the sequence hardly shows the failure.

    Parameters
    ----------
    p : int
        The lag.

    Published (18 trials, sequences until 10,000 in a row are right): RTRL with p = 4 solved 78, 56 and
    22 % at learning rates 1, 4 and 10 after 1,043,000, 892,000 and 254,000; RTRL with p = 10 and
    RTRL and BPTT with p = 100 none in 5,000,000; the chunker with p = 100 solved 33 % after 32,400;
    LSTM with p = 100 100 % after 5,040.

    Source: Hochreiter & Schmidhuber 1997, section 5.2 and table 2.
    """

    p: int = 100

    def __post_init__(self) -> None:
        integer(type(self).__name__, "p", self.p, 2, "something must lie between the two ends")

    @property
    def input_size(self) -> int:
        return self.p + 1

    @property
    def output_size(self) -> int:
        return self.p + 1

    loss = "cross_entropy"
    tolerance = 0.25

    def draw(self, size: int, rng: np.random.Generator) -> Batch:
        ends = self.p - 1 + rng.integers(2, size=size)
        return next_symbols(np.vstack([ends, self.middle(size, rng), ends]), self.input_size)

    def middle(self, size: int, rng: np.random.Generator) -> Array:
        """What lies between the two ends: (p - 1, size) of int."""
        return np.repeat(np.arange(self.p - 1)[:, None], size, axis=1)

    def baselines(self) -> dict[str, float]:
        return {"no memory": log(2) / self.p}


@dataclass(frozen=True)
class NoisyLag(NoiseFree):
    """Task 2b: as :class:`NoiseFree`, but the middle is p - 1 random symbols of a_1, ..., a_{p-1}.

    Every next symbol is asked, although only the last can be known; right means that no output is off by
    .25 or more *there*.

    Published (p = 100, 18 trials): LSTM 100 % after 5,680 sequences; chunker, BPTT and RTRL none.

    Source: Hochreiter & Schmidhuber 1997, section 5.2.
    """

    def middle(self, size: int, rng: np.random.Generator) -> Array:
        return rng.integers(self.p - 1, size=(self.p - 1, size))

    def judge(self, outputs: Array, batch: Batch) -> Array:
        error = np.abs(criteria.last(outputs, batch) - criteria.last(batch.targets, batch))
        return np.asarray((error < 0.25).all(axis=-1))

    def baselines(self) -> dict[str, float]:
        optimum = (self.p - 1) * log(self.p - 1) / self.p
        return {"optimum": optimum, "no memory": optimum + log(2) / self.p}


@dataclass(frozen=True)
class LongLag(Task):
    """Task 2c: after b, x or y, at least `q` random distractors and the trigger e, say x or y again.

    After `q` distractors, each further symbol is another with probability 9/10, or e with 1/10. The p + 4
    symbols are one-hot in the order a_1, ..., a_p, e, b, x, y; the two outputs are x and y, asked for at e.
    Right means that neither is off by .2 or more.

    Where it disagrees with itself: the sequences, final x or y included, are said to have q + 14 symbols on
    average, but the sum printed next to it, 4 + sum_k .1 (.9)^k (q + k), is q + 13, since k is 9 on
    average, and so it is here (``batch.lengths`` counts inputs: one less). The distractors are printed
    as a_1 to a_q, but only p exist; here they are a_1 to a_p.

    Parameters
    ----------
    q : int
        The shortest prefix of distractors; the lag is at least q + 1.
    p : int
        Different distractors.

    Published (LSTM, 20 trials; p: sequences until 10,000 in a row are right): q = 50, 50: 30,000; q = 100,
    100: 31,000; q = 200, 200: 33,000; q = 500, 500: 38,000; q = 1000, 1000 and 500: 49,000, 200: 75,000,
    100: 135,000, 50: 203,000. The paper gives no other method a chance.

    Source: Hochreiter & Schmidhuber 1997, section 5.2 and table 3.
    """

    q: int = 50
    p: int = 50

    def __post_init__(self) -> None:
        integer("LongLag", "q", self.q, 0)
        integer("LongLag", "p", self.p, 1)

    @property
    def input_size(self) -> int:
        return self.p + 4

    output_size = 2
    loss = "cross_entropy"
    tolerance = 0.2

    def draw(self, size: int, rng: np.random.Generator) -> Batch:
        more = rng.geometric(0.1, size) - 1
        lengths = self.q + more + 3
        steps, columns = int(lengths.max()), np.arange(size)
        which = rng.integers(2, size=size)
        symbols = rng.integers(self.p, size=(steps, size))
        symbols[0], symbols[1] = self.p + 1, self.p + 2 + which
        symbols[lengths - 1, columns] = self.p
        symbols[np.arange(steps)[:, None] >= lengths] = -1
        targets, mask = at_end(one_hot(which, 2), lengths, steps)
        return Batch(one_hot(symbols, self.input_size), targets, mask, lengths)

    def baselines(self) -> dict[str, float]:
        return {"no memory": log(2)}

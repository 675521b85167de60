"""The previous character, under a clock that runs too slowly, evenly or not."""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import numpy as np

from ..arguments import flag, integer
from ..plurals import counted
from .sequences import one_hot
from .task import Batch, Task

__all__ = ["Warped"]


@dataclass(frozen=True)
class Warped(Task):
    """Name the character before the present one, when every character is repeated many times.

    Random characters, each repeated `factor` times (uniform warping), or a number of times that is uniform
    in 1 ... `factor` (variable warping), cut after `T` steps. While a character lasts, the target is
    the one before it; nothing is asked during the first. Two neighbours always differ, since a
    repetition could not be told from a slow clock otherwise. One-hot, in and out; right
    means that the right output is the most active at every asked step.

    By theory a leaky network can learn the uniform kind whatever the factor, the variable kind takes gates;
    a plain network fails on both.

    Parameters
    ----------
    T : int
        Length, more than `factor`.
    symbols : int
        Size of the alphabet, 3 at least.
    factor : int
        Repetitions; 1 leaves time as it is.
    variable : bool

    Source: Tallec & Ollivier 2018, section 4 and figure 1, factors up to 100; their padded
    kind, where blanks stand for the repetitions, is not made here.
    """

    T: int = 100
    symbols: int = 10
    factor: int = 10
    variable: bool = False

    loss = "cross_entropy"

    def __post_init__(self) -> None:
        why = "with two, the one before is always the other"
        integer("Warped", "symbols", self.symbols, 3, why)
        integer("Warped", "factor", self.factor, 1)
        why = f"the first character alone may last factor={counted(self.factor, 'step')}"
        integer("Warped", "T", self.T, self.factor + 1, why)
        flag("Warped", "variable", self.variable)

    @property
    def input_size(self) -> int:
        return self.symbols

    @property
    def output_size(self) -> int:
        return self.symbols

    def draw(self, size: int, rng: np.random.Generator) -> Batch:
        lasts = rng.integers(1 if self.variable else self.factor, self.factor + 1, (self.T, size))
        begins = np.cumsum(lasts, axis=0)
        changes = np.zeros((self.T, size), int)
        which, column = np.nonzero(begins < self.T)
        changes[begins[which, column], column] = 1
        place = np.cumsum(changes, axis=0)
        hops = rng.integers(1, self.symbols, (self.T, size))
        characters = np.cumsum(hops, axis=0) + rng.integers(self.symbols, size=size)
        now, before = (np.take_along_axis(characters, place - k, axis=0) % self.symbols for k in (0, 1))
        mask = place > 0
        targets = one_hot(np.where(mask, before, -1), self.symbols)
        return Batch(one_hot(now, self.symbols), targets, mask, np.full(size, self.T))

    def baselines(self) -> dict[str, float]:
        return {"no memory": log(self.symbols - 1)}

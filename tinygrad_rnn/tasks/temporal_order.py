"""Experiment 6 of 1997: in which order did the two or three symbols that matter come?"""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import numpy as np

from ..arguments import choice, integer
from .sequences import at_end, one_hot, within
from .task import Batch, Task

__all__ = ["TemporalOrder"]

# in hundredths of T, both ends included
_WINDOWS = {4: ((10, 20), (50, 60)), 8: ((10, 20), (33, 43), (66, 76))}


@dataclass(frozen=True)
class TemporalOrder(Task):
    """Classify by the order of the symbols X and Y at two (4 classes) or three (8 classes) positions.

    A sequence starts with E, ends with B and is filled with a, b, c, d at random, except for X or Y, with
    probability 1/2 each, at t1 in 10 ... 20 and t2 in 50 ... 60 (task 6a), or at t1 in 10 ... 20, t2 in
    33 ... 43 and t3 in 66 ... 76 (6b), E being at 0; the length is in 100 ... 110, all uniform. For another
    `T` everything scales with T/100, rounded down. Symbols are one-hot in the order of ``symbols``; the class,
    asked for at B, reads the order as a binary number, X being 0: XX, XY, YX, YY. Right means
    that no output is off by .3 or more.

    Parameters
    ----------
    classes : {4, 8}
    T : int
        Shortest length, 10 at least.

    Published (LSTM; sequences, wrong of 2560): 6a with 156 weights 31,390, 1 (20 trials); 6b with 308
    weights 571,100, 2 (10 trials).

    Source: Hochreiter & Schmidhuber 1997, section 5.6 and table 9. The version of Pascanu et al. 2013 has
    6 symbols, no E and no B.
    """

    classes: int = 4
    T: int = 100

    symbols = "abcdXYEB"
    input_size = len(symbols)
    loss = "cross_entropy"
    tolerance = 0.3

    def __post_init__(self) -> None:
        choice("TemporalOrder", "classes", self.classes, _WINDOWS)
        integer("TemporalOrder", "T", self.T, 10, "the symbols that matter need a place each")

    @property
    def output_size(self) -> int:
        return self.classes

    def windows(self) -> list[tuple[int, int]]:
        """First and last possible position of each symbol that matters."""
        return [(low * self.T // 100, high * self.T // 100) for low, high in _WINDOWS[self.classes]]

    def draw(self, size: int, rng: np.random.Generator) -> Batch:
        lengths = rng.integers(self.T, self.T + self.T // 10 + 1, size)
        steps, columns = int(lengths.max()), np.arange(size)
        symbols = rng.integers(4, size=(steps, size))
        label = np.zeros(size, int)
        for low, high in self.windows():
            y = rng.integers(2, size=size)
            symbols[rng.integers(low, high + 1, size), columns] = 4 + y
            label = 2 * label + y
        symbols[0], symbols[lengths - 1, columns] = 6, 7
        symbols[~within(lengths, steps)] = -1
        targets, mask = at_end(one_hot(label, self.classes), lengths, steps)
        return Batch(one_hot(symbols, self.input_size), targets, mask, lengths)

    def baselines(self) -> dict[str, float]:
        return {"chance": log(self.classes), "one symbol unknown": log(2)}

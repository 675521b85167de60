"""The copy memory problem: repeat ten symbols after T steps of nothing."""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import numpy as np

from ..arguments import integer
from .sequences import one_hot
from .task import Batch, Task

__all__ = ["CopyMemory"]


@dataclass(frozen=True)
class CopyMemory(Task):
    """Repeat `items` random symbols, `T` steps after the last was seen, when a delimiter says so.

    Input, T + 2 items steps: the items, T - 1 blanks, the delimiter, as many blanks as items. Target:
    T + items blanks, then the items; asked everywhere. One-hot in the order blank, symbols 1 to `symbols`,
    delimiter, which is never an answer and has no output.

    Without memory, the best is to say blank and then guess: items ln(symbols)/(T + 2 items) nats a step,
    10 ln 8/(T + 20) as published, which is .1733 at T = 100; a network that only learned when to be silent
    stays on that plateau. The papers count no right answers; here a sequence is right if the right output
    is the most active at every step.

    Parameters
    ----------
    T : int
        Steps from the last item to the delimiter.
    items, symbols : int
        How many to copy, and from how many.

    Source: Arjovsky, Shah & Bengio 2016, after Hochreiter & Schmidhuber 1997; Tallec & Ollivier 2018 use
    T = 500 and 2000. Other code puts the delimiter after T blanks and lets T + 20 be the length all the same.
    """

    T: int = 100
    items: int = 10
    symbols: int = 8

    loss = "cross_entropy"

    def __post_init__(self) -> None:
        integer("CopyMemory", "T", self.T, 1, "the delimiter comes T steps after the last item")
        integer("CopyMemory", "items", self.items, 1)
        integer("CopyMemory", "symbols", self.symbols, 2, "there is nothing to remember otherwise")

    @property
    def input_size(self) -> int:
        return self.symbols + 2

    @property
    def output_size(self) -> int:
        return self.symbols + 1

    def draw(self, size: int, rng: np.random.Generator) -> Batch:
        steps = self.T + 2 * self.items
        data = rng.integers(1, self.symbols + 1, (self.items, size))
        inputs, targets = np.zeros((2, steps, size), int)
        inputs[: self.items] = targets[-self.items :] = data
        inputs[self.items + self.T - 1] = self.symbols + 1
        mask, lengths = np.ones((steps, size), bool), np.full(size, steps)
        return Batch(one_hot(inputs, self.input_size), one_hot(targets, self.output_size), mask, lengths)

    def baselines(self) -> dict[str, float]:
        return {"no memory": self.items * log(self.symbols) / (self.T + 2 * self.items)}

"""Counting: as many b as there were a."""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import numpy as np

from ..arguments import integer_range
from .sequences import one_hot, within
from .task import Batch, Task

__all__ = ["Counting"]


@dataclass(frozen=True)
class Counting(Task):
    """Predict which symbols may come next in S a^n b^n T, for n uniform in `shortest` ... `longest`.

    Inputs are S, a and b, outputs a, b and T, each 1 where that symbol is legal: after S a, after an a
    both a and b, after a b that has not caught up b, after the last b T. The bound on n is not part of
    the language, so an a is legal after `longest` of them too. Right means every output on the right
    side of 1/2 at every step. Train on small n, test on larger ones with another Counting.

    Parameters
    ----------
    shortest, longest : int
        The range of n, both included.

    Source: Gers & Schmidhuber 2001, whose criterion and training details are not followed here.
    """

    shortest: int = 1
    longest: int = 10

    inputs, outputs = "Sab", "abT"
    input_size = output_size = 3
    loss = "binary"
    tolerance = 0.5

    def __post_init__(self) -> None:
        integer_range("Counting", "shortest", "longest", 1, shortest=self.shortest, longest=self.longest)

    def draw(self, size: int, rng: np.random.Generator) -> Batch:
        n = rng.integers(self.shortest, self.longest + 1, size)
        lengths = 2 * n + 1
        steps = int(lengths.max())
        t, mask = np.arange(steps)[:, None], within(lengths, steps)
        symbols = np.where(mask, np.where(t == 0, 0, np.where(t <= n, 1, 2)), -1)
        legal = np.stack([t <= n, (t >= 1) & (t < 2 * n), t == 2 * n], axis=-1) & mask[..., None]
        return Batch(one_hot(symbols, self.input_size), legal.astype(float), mask, lengths)

    def baselines(self) -> dict[str, float]:
        # whoever sees only the last symbol knows all but which b is the last, and errs there in two outputs
        n = (self.shortest + self.longest) / 2
        nats = log(n) - (n - 1) / n * log(n - 1) if n > 1 else 0.0
        return {"no memory": 2 * n * nats / (3 * (2 * n + 1))}

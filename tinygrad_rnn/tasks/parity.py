"""The parity problem: was the number of ones odd?"""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import numpy as np

from ..arguments import fraction, integer_range
from .sequences import at_end, within
from .task import Batch, Task

__all__ = ["Parity"]


@dataclass(frozen=True)
class Parity(Task):
    """Say 1 at the end if an odd number of inputs was +1, the others being -1, and 0 if an even one.

    Right means less than .1 off. One input missed leaves nothing but chance, ln 2.

    Parameters
    ----------
    shortest, longest : int
        The length is uniform between the two, both included.
    noise : float
        Each input is off by up to so much, uniformly; 0 or .2 in the paper.

    Published (random weights in [-100, 100] until 100 training sequences are right, mean trials): a fully
    connected net with one hidden unit 2906; ten hidden units that see input, output and themselves 2797,
    without the sight of themselves 250; the first with noise 41,400. Before, by other methods: annealing
    810,000, discrete error propagation 54,000 with 5 % wrong (both at lengths 25 to 50), input-output
    hidden Markov models 3400 with 12 % wrong (lengths 250 to 500).

    Source: Schmidhuber, Hochreiter & Bengio 2001, after Bengio, Simard & Frasconi 1994.
    """

    shortest: int = 500
    longest: int = 600
    noise: float = 0.0

    input_size = output_size = 1
    loss = "binary"
    tolerance = 0.1

    def __post_init__(self) -> None:
        integer_range("Parity", "shortest", "longest", 1, shortest=self.shortest, longest=self.longest)
        fraction("Parity", "noise", self.noise)

    def draw(self, size: int, rng: np.random.Generator) -> Batch:
        lengths = rng.integers(self.shortest, self.longest + 1, size)
        steps = int(lengths.max())
        present = within(lengths, steps)
        ones = rng.integers(2, size=(steps, size)) * present
        inputs = (2.0 * ones - 1.0 + rng.uniform(-self.noise, self.noise, (steps, size))) * present
        odd = ones.sum(axis=0)[:, None] % 2.0
        return Batch(inputs[..., None], *at_end(odd, lengths, steps), lengths)

    def baselines(self) -> dict[str, float]:
        return {"chance": log(2)}

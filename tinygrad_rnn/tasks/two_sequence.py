"""Experiment 3 of 1997: tell two kinds of sequences apart when signal and noise share one channel."""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import numpy as np

from ..arguments import choice, integer, not_negative
from ..plurals import counted
from . import criteria
from .sequences import at_end, within
from .task import Array, Batch, Task

__all__ = ["TwoSequence"]

_TARGETS = {"3a": (1.0, 0.0), "3b": (1.0, 0.0), "3c": (0.2, 0.8)}


@dataclass(frozen=True)
class TwoSequence(Task):
    """Bengio's 2-sequence problem: the first `N` numbers are +1 (class 1) or -1 (class 2), all others noise.

    The noise is Gaussian with *variance* .2, a standard deviation of .447; taking .2 for the standard
    deviation makes the task easier and is a common mistake. The length is uniform in T ... T + T/10. One
    output is asked for at the end:

    - ``"3a"``: 1 for class 1, 0 for class 2; right if less than .2 off.
    - ``"3b"``: the same, with the noise added to the first N numbers as well.
    - ``"3c"``: inputs as in 3a, targets .2 for class 1 and .8 for class 2 plus Gaussian noise of variance
      .1; right if less than .1 off the target *without* its noise.

    Parameters
    ----------
    variant : {"3a", "3b", "3c"}
    T : int
        Shortest length.
    N : int
        Numbers that carry the class, fewer than T.
    variance : float
        Of the noise on the inputs.

    Published (LSTM of 102 weights, 10 trials; sequences until the stricter of two criteria, fraction of
    2560 wrong): 3a with T, N = 100, 3: 39,850, .000195; 100, 1: 64,330, .000117; 1000, 3: 452,460,
    .000078. 3b: 43,250, .00828; 78,430, .01500; T, N = 1000, 1: 485,080, .01207. 3c: 269,650, .00558;
    565,640, .00441. Guessing random weights solves 3a and 3b faster.

    Source: Hochreiter & Schmidhuber 1997, section 5.3 and tables 4 to 6.
    """

    variant: str = "3a"
    T: int = 100
    N: int = 3
    variance: float = 0.2

    def __post_init__(self) -> None:
        choice("TwoSequence", "variant", self.variant, _TARGETS)
        integer("TwoSequence", "N", self.N, 1)
        why = f"noise must follow the first N={counted(self.N, 'number')}"
        integer("TwoSequence", "T", self.T, self.N + 1, why)
        not_negative("TwoSequence", "variance", self.variance)

    input_size = output_size = 1

    @property
    def loss(self) -> str:
        return "mse" if self.variant == "3c" else "binary"

    def draw(self, size: int, rng: np.random.Generator) -> Batch:
        lengths = rng.integers(self.T, self.T + self.T // 10 + 1, size)
        steps = int(lengths.max())
        first = rng.random(size) < 0.5
        inputs = rng.normal(0.0, np.sqrt(self.variance), (steps, size))
        signal = np.where(first, 1.0, -1.0)
        inputs[: self.N] = signal + inputs[: self.N] if self.variant == "3b" else signal
        inputs[~within(lengths, steps)] = 0.0
        values = np.where(first, *_TARGETS[self.variant])
        if self.variant == "3c":
            values = values + rng.normal(0.0, np.sqrt(0.1), size)
        return Batch(inputs[..., None], *at_end(values[:, None], lengths, steps), lengths)

    def judge(self, outputs: Array, batch: Batch) -> Array:
        if self.variant != "3c":
            return criteria.close(outputs, batch, 0.2)
        clean = np.where(batch.inputs[0, :, 0] > 0, *_TARGETS["3c"])
        return np.asarray(np.abs(criteria.last(outputs, batch)[:, 0] - clean) < 0.1)

    def baselines(self) -> dict[str, float]:
        # 3c: the variance of .2 against .8, and that of the noise on the targets
        return {"mean": 0.3**2 + 0.1, "optimum": 0.1} if self.variant == "3c" else {"chance": log(2)}

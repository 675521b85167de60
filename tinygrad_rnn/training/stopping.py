"""When a problem counts as solved."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..arguments import is_integer, positive
from ..recurrent.state_dicts import fitting

Array = npt.NDArray[Any]

__all__ = ["Solved"]


class Solved:
    """The criterion of the papers: the last sequences were all answered rightly, with a small mean error.

    Hochreiter & Schmidhuber 1997, experiments 4 to 6: a mean training error below 0.01 and the last 2,000
    sequences right. They are training sequences, each judged before the step it causes.

    Parameters
    ----------
    last : int
        How many sequences.
    mean_error : float, optional
        Their mean absolute error must be below this.
    share : float
        Of them that must be right; 1 for all.

    Raises
    ------
    ValueError
        If a number is out of its range.
    """

    def __init__(self, last: int = 2000, mean_error: float | None = None, share: float = 1.0) -> None:
        if not is_integer(last):
            raise ValueError(f"Solved: last must be a positive number of sequences, got {last!r}")
        if mean_error is not None:
            positive("Solved", mean_error=mean_error)
        if not 0 < share <= 1:
            raise ValueError(f"Solved: share must lie in (0, 1], got {share!r}")
        self.last, self.mean_error, self.share = int(last), mean_error, share
        self.errors = np.full(self.last, np.inf)
        self.right = np.zeros(self.last, bool)
        self.seen = 0

    def update(self, right: Array, errors: Array) -> bool:
        """Take in a batch of judged sequences, and say whether the problem is solved."""
        for one, error in zip(right, errors, strict=True):
            place = self.seen % self.last
            self.right[place], self.errors[place] = one, error
            self.seen += 1
        return self.met

    @property
    def met(self) -> bool:
        """Whether the problem is solved."""
        if self.seen < self.last or self.right.mean() < self.share:
            return False
        return self.mean_error is None or float(self.errors.mean()) < self.mean_error

    def state_dict(self) -> dict[str, Array]:
        """What it remembers, for a checkpoint."""
        return {"errors": self.errors, "right": self.right, "seen": np.array(self.seen)}

    def load_state_dict(self, mapping: dict[str, Array]) -> None:
        """Take up where :meth:`state_dict` left off. Nothing changes unless everything fits.

        Raises
        ------
        KeyError
            If an array is missing or unknown.
        ValueError
            If one has another shape, or holds what cannot be.
        """
        found = fitting("Solved.load_state_dict", self.state_dict(), mapping)
        if not (found["errors"] >= 0).all() or found["seen"] < 0:
            raise ValueError("Solved.load_state_dict: errors and seen must not be negative or NaN")
        self.errors, self.right, self.seen = found["errors"], found["right"], int(found["seen"])

    def __repr__(self) -> str:
        return f"Solved(last={self.last}, mean_error={self.mean_error}, share={self.share})"

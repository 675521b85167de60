"""Steps that mean something to whoever looks at the page: ticks on its axis of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..text import visible

__all__ = ["Marks", "marks_of"]

Steps = int | Sequence[int] | npt.NDArray[np.integer[Any]]
Marks = Steps | Mapping[str, Steps]
"""Steps, or such by words that say what is there."""

_WORDS = "marked"


def marks_of(marks: Marks | None, steps: int, who: str) -> dict[str, list[int]]:
    """By what is there the steps at which it is, in order; there are `steps` of them, and `who` was given the marks."""
    if marks is None:
        return {}
    named = marks if isinstance(marks, Mapping) else {_WORDS: marks}
    return {visible(str(words)): _steps(given, steps, who, words) for words, given in named.items()}


def _steps(given: Any, steps: int, who: str, words: object) -> list[int]:
    try:
        found = np.asarray(given).reshape(-1)
    except ValueError:  # lists that differ in length
        found = np.array([given], object)
    if found.size and found.dtype.kind not in "iu":
        raise TypeError(f"{who}: marks, {words!r}: give the numbers of steps, such as [2, 33], got {given!r:.60}")
    outside = found[(found < 0) | (found >= steps)]
    if outside.size:
        raise ValueError(f"{who}: marks, {words!r}: there is no step {outside[0]}, only 0 to {steps - 1}")
    return sorted(set(found.tolist()))

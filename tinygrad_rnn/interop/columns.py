"""What the body of a loop reads at every step, side by side in the input of the cell that it becomes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..autodiff import primitives as p
from ..autodiff.functions import concatenate
from ..autodiff.primitive import Value

__all__ = ["Part", "example", "rows_apart", "together"]


class Part(NamedTuple):
    """One of the values that the body of a loop reads or gives, and how it lies in a state or in the cell's input.

    Attributes
    ----------
    name : str
    shape : tuple of int
        Without the batch.
    dtype : dtype
    shared : bool
        Whether all sequences have one and the same, which then stands in every row.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    shared: bool = False

    @property
    def size(self) -> int:
        """How many numbers."""
        return math.prod(self.shape)

    def pack(self, value: Value, batch: int, dtype: Any) -> Value:
        """From what the body has to a state (batch, ...)."""
        if value.dtype != dtype:
            value = p.astype(value, dtype)
        shape = (batch, *(self.shape or (1,)))
        if self.shared:
            return p.broadcast_to(p.reshape(value, (1, *shape[1:])), shape)
        return value if tuple(value.shape) == shape else p.reshape(value, shape)

    def unpack(self, state: Value) -> Value:
        """From a state, or columns of the cell's input, to what the body has."""
        batch = state.shape[0]
        if self.shared:
            state = p.getitem.on((state,), {"index": 0})
        shape = self.shape if self.shared else (batch, *self.shape)
        state = state if tuple(state.shape) == shape else p.reshape(state, shape)
        if state.dtype == self.dtype:
            return state
        return p.not_equal(state, 0) if self.dtype == bool else p.astype(state, self.dtype)


def together(entries: Sequence[Part], values: Sequence[Value], steps: int, batch: int, dtype: Any) -> Value:
    """The inputs of the cell (T, batch, input_size), of what the body reads at every step."""
    if not entries:
        return np.zeros((steps, batch, 1), dtype)
    parts = []
    for part, value in zip(entries, values, strict=True):
        if value.dtype != dtype:
            value = p.astype(value, dtype)
        if part.shared:
            value = p.reshape(value, (steps, 1, part.size))
            value = value if batch == 1 else p.broadcast_to(value, (steps, batch, part.size))
        elif tuple(value.shape) != (steps, batch, part.size):
            value = p.reshape(value, (steps, batch, part.size))
        parts.append(value)
    return parts[0] if len(parts) == 1 else concatenate(parts, 2)


def example(kind: Any, random: np.random.Generator, scale: float = 1.0) -> Any:
    """Numbers of that shape and dtype."""
    if (dtype := np.dtype(kind.dtype)).kind == "f":
        return np.asarray(scale * random.normal(size=kind.shape), dtype)
    if dtype.kind == "b":
        return random.random(kind.shape) < 0.5
    return np.asarray(random.integers(0, 2, kind.shape), dtype)


def rows_apart(step: Callable[[Sequence[Any]], Sequence[Any]], values: Sequence[Any], roles: Sequence[str]) -> bool:
    """Whether rows of what a step gives depend on the same rows of what it is given alone, tried on numbers.

    Parameters
    ----------
    step : function
        From `values` to arrays, each with a row for each sequence.
    values : sequence of arrays
        To begin with.
    roles : sequence of {"rows", "shared", "fixed"}
        Of each value whether it has rows, is handed on and is the same for all sequences, or never changes.
    """
    before = step(values)
    for seed in range(3):
        random, changed = np.random.default_rng(seed + 1), []
        for value, role in zip(values, roles, strict=True):
            other = value if role == "fixed" else example(value, random, 10.0**seed)
            changed.append(np.concatenate([other[:1], value[1:]]) if role == "rows" else other)
        for one, other in zip(before, step(changed), strict=True):
            if not np.array_equal(one[1:], other[1:], equal_nan=one.dtype.kind == "f"):
                return False
    return True

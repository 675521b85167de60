"""ScanCell: the body of a loop of JAX's as a cell."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...autodiff import primitives as p
from ...autodiff.functions import concatenate
from ...autodiff.primitive import Value
from ...recurrent.cell import Cell

__all__ = ["Part", "ScanCell", "together"]


class Part(NamedTuple):
    """One of the values that a body reads or gives, and how it lies in a state or in the cell's input.

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


class ScanCell(Cell):
    """A cell that computes what the body of a loop of JAX's does in one step; made by :func:`tinygrad_rnn.from_jax`.

    Attributes
    ----------
    states, entries : tuple of Part
        What the states are in JAX, and what lies side by side in an input.
    """

    def __init__(
        self,
        compute: Callable[..., list[Value]],
        weights: Mapping[str, Any],
        states: Sequence[Part],
        entries: Sequence[Part],
        dtype: Any,
    ) -> None:
        size = max(sum(part.size for part in entries), 1)
        super().__init__(size, (states[0].shape or (1,))[-1], dtype=dtype, seed=0)
        self.name_states(*[part.name for part in states])
        self.states, self.entries = tuple(states), tuple(entries)
        self.initialisation = "loaded weights"
        self._parameters.update(weights)
        self._compute = compute

    def initial_state(self, batch: int) -> Any:
        """The state before the first step: zeros."""
        return self.State(*[np.zeros((batch, *(part.shape or (1,))), self.dtype) for part in self.states])

    def step(self, x: Value, state: Any) -> Any:
        batch, start, entries = x.shape[0], 0, []
        for part in self.entries:
            stop = start + part.size
            columns = x if len(self.entries) == 1 else p.getitem.on((x,), {"index": (slice(None), slice(start, stop))})
            entries.append(part.unpack(columns))
            start = stop
        old = [part.unpack(value) for part, value in zip(self.states, state, strict=True)]
        new = self._compute(batch, self._parameters, entries, old)
        return tuple(part.pack(_array(v, part), batch, self.dtype) for part, v in zip(self.states, new, strict=True))


def _array(value: Any, part: Part) -> Any:
    return value if hasattr(value, "shape") else np.asarray(value, part.dtype)


def together(entries: Sequence[Part], values: Sequence[Value], steps: int, batch: int, dtype: Any) -> Value:
    """The inputs of the cell (T, batch, input_size), of what the body reads at every step."""
    if not entries:
        return np.zeros((steps, batch, 1), dtype)
    parts = []
    for part, value in zip(entries, values, strict=True):
        if value.dtype != dtype:
            value = p.astype(value, dtype)
        if part.shared:
            value = p.broadcast_to(p.reshape(value, (steps, 1, part.size)), (steps, batch, part.size))
        elif tuple(value.shape) != (steps, batch, part.size):
            value = p.reshape(value, (steps, batch, part.size))
        parts.append(value)
    return parts[0] if len(parts) == 1 else concatenate(parts, 2)

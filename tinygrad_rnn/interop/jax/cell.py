"""ScanCell: the body of a loop of JAX's as a cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ...autodiff import primitives as p
from ...autodiff.primitive import Value
from ...recurrent.cell import Cell
from ..columns import Part

__all__ = ["ScanCell"]


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

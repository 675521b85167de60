"""A compiled cell as it is at one time: its attributes, and what has been worked out for inputs of each type."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from ..cell import Cell
from .fingerprint import fingerprint
from .operation import Recomputed, UnrolledRun
from .program import Array, Type
from .recurrence import Recurrence
from .symbol import UntraceableError
from .tracing import trace_step

__all__ = ["Specialised"]


class Specialised:
    """The recurrences of a cell by the types of inputs and states, and the operations that its runs are.

    A run keeps the one that it was made with, whatever becomes of the cell's attributes afterwards.

    Parameters
    ----------
    cell : Cell
    backend : {"numba", "numpy"}
    who : str
        The cell, for warnings.
    operation : callable
        Makes the operation of a run, given how to find its recurrence.

    Attributes
    ----------
    operation : UnrolledRun
    recomputed : Recomputed
    """

    def __init__(self, cell: Cell, backend: str, who: str, operation: Callable[..., UnrolledRun]) -> None:
        self._cell, self._backend, self._who = cell, backend, who
        self._attributes = fingerprint(cell)
        self._known: dict[tuple[Any, ...], Recurrence | UntraceableError] = {}
        self._foreign = False
        self._lock = threading.RLock()
        self.operation = operation(self._find)
        self.recomputed = Recomputed(f"recomputed {type(cell).__name__}", self._find)

    @property
    def holds(self) -> bool:
        """Whether it is still the cell: no attribute has changed, and no Tensor from elsewhere may be another one by now."""
        return not self._foreign and self._attributes == fingerprint(self._cell)

    def recurrence(self, x: Any, state: Sequence[Any], masked: bool, lead: int = 0) -> Recurrence | UntraceableError:
        """What has been worked out for inputs (T, batch, input_size) and states behind `lead` axes, or why nothing can be."""
        key = (masked, x.shape[1:], x.dtype, *[(s.shape[lead:], s.dtype) for s in state])
        with self._lock:
            if key not in self._known:
                types = [Type(x.shape[1:], x.dtype), *(Type(s.shape[lead:], s.dtype) for s in state)]
                found = self._known[key] = self._trace(types, masked)
                own = {parameter.id for parameter in self._cell.parameters()}
                self._foreign |= isinstance(found, Recurrence) and any(tensor.id not in own for tensor in found.traced.captured)
                self._attributes = fingerprint(self._cell)  # a step may count its calls
            return self._known[key]

    def _trace(self, types: Sequence[Type], masked: bool) -> Recurrence | UntraceableError:
        try:
            return Recurrence(trace_step(self._cell, types[0], types[1:], masked), self._backend, self._who)
        except UntraceableError as error:
            return error.with_traceback(None)
        except Exception as error:  # whatever a step does to a symbol; run eagerly, it says so itself if it is wrong
            return UntraceableError(f"its step fails on symbols with {type(error).__name__}: {error}")

    def _find(self, operands: Sequence[Array], masked: bool) -> Recurrence:
        """The recurrence for the operands of one run."""
        found = self.recurrence(operands[0], operands[1 : 1 + len(self._cell.state_names)], masked)
        if isinstance(found, UntraceableError):
            raise found
        return found

"""A compiled cell as it is at one time: its attributes, and what has been worked out for inputs of each type."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from ..recurrent.cell import Cell
from .errors import UntraceableError
from .fingerprint import Glance, fingerprint, frozen
from .operation import Recomputed, UnrolledRun
from .program import Array, Type
from .recurrence import Recurrence
from .tracing import Traced, trace_step

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
    twins : sequence of Cell
        Others that have to compute the same from parameters of their own.

    Attributes
    ----------
    operation : UnrolledRun
    recomputed : Recomputed
    """

    def __init__(
        self, cell: Cell, backend: str, who: str, operation: Callable[..., UnrolledRun], twins: Sequence[Cell] = ()
    ) -> None:
        self._cell, self._backend, self._who, self._twins = cell, backend, who, twins
        self._cells = (cell, *twins)
        self._glances: list[Glance]
        self._attributes: list[Hashable]
        self._look()
        self._known: dict[tuple[Any, ...], Recurrence | UntraceableError] = {}
        self._foreign = False
        self._lock = threading.RLock()
        self.operation = operation(self._find)
        self.recomputed = Recomputed(f"recomputed {type(cell).__name__}", self._find)

    @property
    def holds(self) -> bool:
        """Whether it is still the cell: no attribute has changed, and no Tensor from elsewhere may be another one
        by now.
        """
        if self._foreign:
            return False
        for glance in self._glances:
            if not glance.holds():
                return self._still()
        return True

    def _still(self) -> bool:
        """The same by what the attributes hold."""
        # Glances first: what changes in between is in the fingerprint then, and the glance will be wrong about it.
        glances = [Glance(cell) if old.sure else old for cell, old in zip(self._cells, self._glances, strict=True)]
        if self._fingerprints() != self._attributes:
            return False
        self._glances = glances
        return True

    def _look(self) -> None:
        """Note down the attributes as they are."""
        self._glances = [Glance(cell) for cell in self._cells]
        self._attributes = self._fingerprints()

    def _fingerprints(self) -> list[Hashable]:
        return [fingerprint(cell) for cell in self._cells]

    def recurrence(self, x: Any, state: Sequence[Any], masked: bool, lead: int = 0) -> Recurrence | UntraceableError:
        """What has been worked out for inputs (T, batch, input_size) and states behind `lead` axes, or why nothing
        can be.
        """
        key: tuple[Any, ...] = (masked, x.shape[1:], x.dtype)
        for value in state:
            key += (value.shape[lead:] if lead else value.shape, value.dtype)
        return self._known.get(key) or self._work_out(key)

    def _work_out(self, key: tuple[Any, ...]) -> Recurrence | UntraceableError:
        masked, *parts = key
        with self._lock:
            if key not in self._known:
                found = self._trace(list(map(Type, parts[::2], parts[1::2])), masked)
                own = {parameter.id for parameter in self._cell.parameters()}
                self._foreign |= isinstance(found, Recurrence) and any(
                    tensor.id not in own for tensor in found.traced.captured
                )
                self._look()  # a step may count its calls
                self._known[key] = found
            return self._known[key]

    def _trace(self, types: Sequence[Type], masked: bool) -> Recurrence | UntraceableError:
        try:
            traced = trace_step(self._cell, types[0], types[1:], masked)
            for number, twin in enumerate(self._twins, 1):
                other = trace_step(twin, types[0], types[1:], masked)
                if _recipe(self._cell, traced) != _recipe(twin, other):
                    raise UntraceableError(
                        f"cell {number} computes something else than cell 0, whatever their parameters hold"
                    )
            return Recurrence(traced, self._backend, self._who)
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


def _recipe(cell: Cell, traced: Traced) -> tuple[Any, ...]:
    """What a traced step computes, with parameters by their names."""
    names = {parameter.id: name for name, parameter in cell.named_parameters()}
    program = traced.program
    return (
        [frozen(part) for part in (program.types, program.inputs, program.constants, program.outputs)],
        [(step.target, step.op, frozen(step.operands), frozen(step.attributes)) for step in program.body],
        [names.get(tensor.id) for tensor in traced.captured],
    )

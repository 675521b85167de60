"""A function of JAX as it is evaluated here: operations in order, on numbered values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from ...autodiff.tensor import Tensor, named

__all__ = ["Call", "Frame", "Graph", "Known", "Operand", "Operation", "plain"]


class Known:
    """A value that is known before anything runs.

    Attributes
    ----------
    array : array
        As JAX has it; of keys an array of JAX.
    value : array or number
        As our operations take it.
    """

    __slots__ = ("array", "value")

    def __init__(self, array: Any) -> None:
        self.array = self.value = array
        if getattr(array, "dtype", None) is None or not _is_key(array):
            self.array = np.asarray(array)
            is_number = self.array.ndim == 0 and self.array.dtype.kind in "fiu"
            self.value = self.array.item() if is_number else self.array

    @property
    def is_floating(self) -> bool:
        """Whether a derivative by it could be asked for."""
        return not _is_key(self.array) and self.array.dtype.kind == "f"


def _is_key(array: Any) -> bool:
    return not isinstance(array.dtype, np.dtype)


Operand: TypeAlias = "int | Known"
"""The number of a value, or the value."""


@dataclass
class Frame:
    """What an evaluation carries along.

    Attributes
    ----------
    runs : dict of str to Run or None
        Where loops put their runs; inside a step of another loop nowhere.
    """

    runs: dict[str, Any] | None = None


Call: TypeAlias = Callable[[Sequence[Any], Frame], Sequence[Any]]


@dataclass(slots=True)
class Operation:
    """One operation.

    Attributes
    ----------
    kind : str
        JAX's name of it.
    call : callable
        From the operands and the frame to the results.
    operands : tuple of int or Known
    outputs : tuple of int
    equation : JaxprEqn
        What JAX evaluates for it.
    given : tuple of int or Known
        Its operands as JAX has them; empty where they are the same.
    positions : tuple of int
        Which of JAX's results the outputs are; empty where they are all.
    """

    kind: str
    call: Call
    operands: tuple[Operand, ...]
    outputs: tuple[int, ...]
    equation: Any
    given: tuple[Operand, ...] = ()
    positions: tuple[int, ...] = ()

    @property
    def reads(self) -> Iterable[int]:
        """The values among its operands."""
        return [operand for operand in (*self.operands, *self.given) if not isinstance(operand, Known)]

    def results(
        self, evaluate: Callable[[Any, list[Any]], Sequence[Any]], value: Callable[[Operand], Any]
    ) -> list[Any]:
        """What the outputs are, given what evaluates an equation and what an operand is."""
        found = evaluate(self.equation, [value(operand) for operand in self.given or self.operands])
        return [found[k] for k in self.positions] if self.positions else list(found)


@dataclass
class Graph:
    """Operations from inputs to outputs; what no output needs is left out.

    Attributes
    ----------
    inputs : tuple of int
    outputs : tuple of int or Known
    operations : list of Operation
    names : dict of int to str
        What values are called.
    """

    inputs: tuple[int, ...]
    outputs: tuple[Operand, ...]
    operations: list[Operation]
    names: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        needed = {operand for operand in self.outputs if not isinstance(operand, Known)}
        kept = []
        for operation in reversed(self.operations):
            if needed.intersection(operation.outputs):
                kept.append(operation)
                needed.update(operation.reads)
        self.operations = kept[::-1]

    def run(self, inputs: Sequence[Any], frame: Frame) -> list[Any]:
        """The outputs for these inputs: arrays, Tensors, or symbols of the compiler."""
        values: dict[int, Any] = dict(zip(self.inputs, inputs, strict=True))

        def value(operand: Operand) -> Any:
            return operand.value if isinstance(operand, Known) else values[operand]

        for operation in self.operations:
            results = operation.call([value(operand) for operand in operation.operands], frame)
            values.update(zip(operation.outputs, results, strict=True))
            for number in operation.outputs:
                if number in self.names:
                    named(**{self.names[number]: values[number]})
        return [value(operand) for operand in self.outputs]


def plain(value: Any) -> Any:
    """The numbers of a value through which no derivative goes."""
    return np.asarray(value.data if isinstance(value, Tensor) else value)

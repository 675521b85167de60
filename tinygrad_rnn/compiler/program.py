"""The intermediate representation of one step: typed values, and one instruction for each operation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from ..autodiff.primitive import Primitive

Array = npt.NDArray[Any]

__all__ = ["Instruction", "Key", "Literal", "Name", "Operand", "Program", "Type", "label"]

Name: TypeAlias = str | int
"""The name of a state or another named value, or the number of an operand or a value."""

Key: TypeAlias = tuple[str, Name]
"""What an input or an output of a program is: its role, such as ``"state"``, and its name, which may be empty."""


class Type(NamedTuple):
    """Shape and dtype of a value; a leading -1 stands for T, which no program depends on."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join('T' if n < 0 else str(n) for n in self.shape)}]"


class Literal(NamedTuple):
    """A number that the step's own text contains, such as the 1 of ``1 - z``."""

    value: Any

    def __str__(self) -> str:
        return repr(self.value)


Operand: TypeAlias = int | Literal
"""A value, by its index, or a number."""


@dataclass(frozen=True)
class Instruction:
    """``target = op(*operands, **attributes)``."""

    target: int
    op: Primitive
    operands: tuple[Operand, ...]
    attributes: Mapping[str, Any]

    @property
    def values(self) -> tuple[int, ...]:
        """The operands that are values rather than numbers."""
        return tuple(o for o in self.operands if isinstance(o, int))


@dataclass(frozen=True)
class Program:
    """Straight-line code in single-assignment form.

    Passes take a program and return a new one; none changes what the outputs are.

    Attributes
    ----------
    types : mapping of value to Type
    inputs : mapping of Key to value
    constants : mapping of value to ndarray
        Arrays that the step itself contains.
    body : tuple of Instruction
        In an order in which every operand precedes its use.
    outputs : mapping of Key to value
    """

    types: Mapping[int, Type]
    inputs: Mapping[Key, int]
    constants: Mapping[int, Array]
    body: tuple[Instruction, ...]
    outputs: Mapping[Key, int]

    def __str__(self) -> str:
        lines = [f"%{v}: {self.types[v]} = input {label(key)}" for key, v in self.inputs.items()]
        lines += [f"%{v}: {self.types[v]} = constant" for v in self.constants]
        for step in self.body:
            arguments = [f"%{o}" if isinstance(o, int) else str(o) for o in step.operands]
            arguments += [f"{name}={_setting(value)}" for name, value in step.attributes.items()]
            lines.append(f"%{step.target}: {self.types[step.target]} = {step.op.name}({', '.join(arguments)})")
        lines += [f"output {label(key)} = %{v}" for key, v in self.outputs.items()]
        return "\n".join(lines)

    def producers(self) -> dict[int, Instruction]:
        """The instruction behind each computed value."""
        return {step.target: step for step in self.body}

    def interior(self) -> dict[int, Instruction]:
        """The instructions that a pass may look through: those behind values that are no outputs.

        An output is a value in its own right, whose gradient is that of its own uses. What reads it has to go on
        reading it, and not what lies behind it, or the adjoint of the rewritten step would lose those uses.
        """
        observed = set(self.outputs.values())
        return {step.target: step for step in self.body if step.target not in observed}

    def uses(self) -> dict[int, list[Instruction]]:
        """The instructions that read each value, once for every time they read it."""
        found: dict[int, list[Instruction]] = {}
        for step in self.body:
            for value in step.values:
                found.setdefault(value, []).append(step)
        return found

    def with_body(self, body: Iterable[Instruction], outputs: Mapping[Key, int] | None = None) -> Program:
        """The same inputs with other instructions."""
        return replace(self, body=tuple(body), outputs=self.outputs if outputs is None else outputs)

    def needed(self, values: Iterable[int]) -> set[int]:
        """Everything that `values` are computed from, themselves included."""
        found = set(values)
        for step in reversed(self.body):
            if step.target in found:
                found.update(step.values)
        return found

    def depending(self, values: Iterable[int]) -> set[int]:
        """Everything that is computed from `values`, themselves included."""
        found = set(values)
        for step in self.body:
            if any(value in found for value in step.values):
                found.add(step.target)
        return found

    def evaluate(self, feeds: Mapping[Key, Any]) -> dict[Key, Any]:
        """What the program means: its instructions run one by one.

        Parameters
        ----------
        feeds : mapping
            An array for every input, or whatever else the primitives take.
        """
        known: dict[int, Any] = dict(self.constants)
        known |= {value: feeds[key] for key, value in self.inputs.items()}
        for step in self.body:
            operands = tuple([known[o] if isinstance(o, int) else o.value for o in step.operands])
            known[step.target] = step.op.on(operands, dict(step.attributes))
        return {key: known[value] for key, value in self.outputs.items()}


def label(key: Key) -> str:
    """A key in words: how programs print it, and what loops call its buffer."""
    role, name = key
    return role if name == "" else f"{role} {name}"


def _setting(value: Any) -> str:
    """An attribute in a line of text; an index as it is written between brackets."""
    if isinstance(value, slice):
        bounds = ["" if bound is None else str(bound) for bound in (value.start, value.stop)]
        return ":".join(bounds) + (f":{value.step}" if value.step is not None else "")
    if isinstance(value, tuple):
        return f"({', '.join(map(_setting, value))})"
    return f"array{value.shape}" if isinstance(value, np.ndarray) else str(value)

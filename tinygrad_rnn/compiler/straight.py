"""What runs around a loop, written out as one function of Python: a line for each operation, nothing looked up.

The text holds nothing but our own words and numbered names, never a name that a user gave.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from .program import Instruction, Key, Operand, Program

__all__ = ["Straight", "rows_of"]


def rows_of(shape: tuple[int, ...], rows: str = "steps") -> str:
    """The shape of a value at all timesteps, in a text."""
    return f"({', '.join([rows, *map(str, shape)])},)"


class Straight:
    """A function in the making.

    Parameters
    ----------
    arguments : str
        What it takes, as it stands in the text.
    """

    def __init__(self, arguments: str) -> None:
        self._lines = [f"def run({arguments}):"]
        self._bound: dict[str, Any] = {"empty": np.empty, "zeros": np.zeros, "add_up": np.add.reduce}
        self._count = 0

    def bind(self, value: Any) -> str:
        """The name that stands for an object in the text."""
        name = self._name("c")
        self._bound[name] = value
        return name

    def line(self, text: str) -> None:
        """Write a statement."""
        self._lines.append(f"    {text}")

    def let(self, expression: str) -> str:
        """Write an assignment, and give the new name."""
        name = self._name("v")
        self.line(f"{name} = {expression}")
        return name

    def program(self, program: Program, known: Mapping[Key, str]) -> dict[Key, str]:
        """Write a program on arrays, and give its outputs; inputs and outputs as expressions."""
        names = {value: known[key] for key, value in program.inputs.items()}
        names |= {value: self.bind(array) for value, array in program.constants.items()}
        for step in program.body:
            names[step.target] = self.let(self._call(step, program, names))
        return {key: names[value] for key, value in program.outputs.items()}

    def function(self) -> Callable[..., Any]:
        """What was written."""
        exec(compile("\n".join(self._lines), "<around a loop>", "exec"), self._bound)
        run: Callable[..., Any] = self._bound["run"]
        return run

    def _name(self, letter: str) -> str:
        self._count += 1
        return f"{letter}{self._count}"

    def _call(self, step: Instruction, program: Program, names: Mapping[int, str]) -> str:
        """An operation as an expression: what its forward does to arrays, or a call of that."""

        def operand(one: Operand) -> str:
            return names[one] if isinstance(one, int) else self.bind(one.value)

        first, *rest = map(operand, step.operands)
        given = step.attributes
        match step.op.name:
            case "getitem":
                return f"{first}[{self.bind(given['index'])}]"
            case "reshape":
                return f"{first}.reshape({self.bind(given['shape'])})"
            case "transpose":
                return f"{first}.transpose({self.bind(given.get('axes'))})"
            case "matmul" if all(len(program.types[value].shape) == 2 for value in step.values):
                return f"{first}.dot({rest[0]})"
            case "sum":
                keepdims = ", keepdims=True" if given.get("keepdims") else ""
                return f"add_up({first}, {self.bind(given.get('axis'))}{keepdims})"
        forward = partial(step.op.forward, **given) if given else step.op.forward
        return f"{self.bind(forward)}({', '.join([first, *rest])})"

"""When each value of a step can be there: what is computed in the same loops, and what has to wait for what."""

from __future__ import annotations

import math
from collections.abc import Collection

from .errors import UnsupportedError
from .expressions import EXPRESSIONS
from .indexing import window
from .program import Instruction, Program

__all__ = ["Levels"]

_REDUCTIONS = ("sum", "max", "min")


class Levels:
    """The order of a step's loop nests and products: those of one level do not wait for each other.

    Parameters
    ----------
    program : Program
    given : collection of values
        Those that lie in memory from the start.
    outputs : collection of values

    Attributes
    ----------
    kind : dict of value to str
        How it comes about: ``"pointwise"``, ``"reduction"``, ``"product"``, ``"join"`` or ``"view"``.
    level : dict of value to int
        A product or a join comes behind the nests of its level.

    Raises
    ------
    UnsupportedError
        If an operation, or its operands' types, are not among those that can be fused.
    """

    def __init__(self, program: Program, given: Collection[int], outputs: Collection[int]) -> None:
        self.program = program
        self.given = given
        self.made = program.producers()
        self.kind = {step.target: self._kind(step) for step in program.body}
        self.level: dict[int, int] = dict.fromkeys(given, 0)
        for step in program.body:
            self.level[step.target] = self._first_level(step)
        self._sink(outputs)

    def in_nest(self, value: int) -> bool:
        """Whether a value is computed in a loop nest."""
        return self.kind.get(value) in ("pointwise", "reduction")

    def nest_shape(self, step: Instruction) -> tuple[int, ...]:
        """What the loops around a pointwise operation or a reduction run over."""
        pointwise = self.kind[step.target] == "pointwise"
        return self.program.types[step.target if pointwise else step.values[0]].shape

    def origin(self, value: int) -> int:
        """What a view is a view of."""
        while self.kind.get(value) == "view":
            value = self.made[value].values[0]
        return value

    def _kind(self, step: Instruction) -> str:
        name, op, types = step.op.name, step.op, self.program.types
        shapes = [types[value].shape for value in step.values]
        for value in (*step.values, step.target):
            if types[value].dtype.char not in "fd?ilqbhBHILQ":
                raise UnsupportedError(f"{name} on {types[value].dtype}")
        if name == "getitem" and window(step.attributes["index"], shapes[0]) is not None:
            return "view"
        if name in ("transpose", "reshape"):
            return "view"
        if name == "concatenate" and len(step.values) == len(step.operands):
            return "join"
        if name == "matmul" and len(shapes[0]) == len(shapes[-1]) >= 2 and self._one_dtype(step):
            return "product"
        if name in _REDUCTIONS and types[step.target].dtype.kind == "f":
            return "reduction"
        if op.elementwise and name in EXPRESSIONS:
            return "pointwise"
        raise UnsupportedError(f"{name} on shapes {', '.join(map(str, shapes))}")

    def _one_dtype(self, step: Instruction) -> bool:
        kinds = {self.program.types[value].dtype.char for value in (*step.values, step.target)}
        return len(kinds) == 1 and kinds <= {"f", "d"}

    def _first_level(self, step: Instruction) -> int:
        """The first level at which a value can be computed."""
        if self.kind[step.target] == "view":
            return self.level[step.values[0]]
        if self.in_nest(step.target):
            shape = self.nest_shape(step)
            return max([0, *(self._readable(value, shape) for value in step.values)])
        return max([0, *(self.level[self.origin(value)] for value in step.values)])

    def _readable(self, value: int, shape: tuple[int, ...]) -> int:
        """The first level whose nests of `shape` can read a value."""
        origin = self.origin(value)
        level = self.level[origin]
        if origin in self.given:
            return level
        if self.kind[origin] != "pointwise" or origin != value:
            return level + 1
        own = self.program.types[value].shape
        return level if own == shape or (math.prod(own), len(own)) < (math.prod(shape), len(shape)) else level + 1

    def _sink(self, outputs: Collection[int]) -> None:
        """Compute what is only read later where it is read.

        The bias of a gate, say, is added when the product has come, not stored before.
        """
        uses = self.program.uses()
        for step in reversed(self.program.body):
            readers = uses.get(step.target, [])
            if self.kind[step.target] != "pointwise" or step.target in outputs or not readers:
                continue
            shape = self.program.types[step.target].shape
            if any(not self.in_nest(reader.target) or self.nest_shape(reader) != shape for reader in readers):
                continue
            self.level[step.target] = min(self.level[reader.target] for reader in readers)

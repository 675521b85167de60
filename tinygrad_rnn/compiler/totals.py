"""Sums over time: the gradients of weights, as one product of matrices over all timesteps where that is possible."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from ..autodiff.primitives import matmul, reshape, transpose
from ..autodiff.primitives import sum as sum_
from .passes.common import share_common
from .passes.dead import remove_dead
from .program import Instruction, Program, Type
from .symbol import Builder, Symbol

__all__ = ["Totals"]

_LINEAR = frozenset({"transpose", "reshape", "getitem", "scatter", "identity", "sum", "astype", "concatenate"})
"""Operations that commute with a sum over time."""


class Totals:
    """The program that gives the sums over time of what an adjoint step adds to the gradients of weights.

    Parameters
    ----------
    program : Program
        One step; its outputs ``("operand", number)`` are what is summed.
    fixed : collection of values
        Those that are the same at every timestep.
    after : collection of values
        Those that are computed for all timesteps at once, behind the loop.

    Attributes
    ----------
    program : Program
        Reads all timesteps of values as ``("keep", value)`` and ``("after", value)``, sums as ``("sum", value)``.
    sums : set of values
        To be added up in the loop.
    kept : set of values
        To be kept for all timesteps.
    """

    def __init__(self, program: Program, fixed: Collection[int], after: Collection[int]) -> None:
        self.step, self.fixed, self.after = program, fixed, after
        self.made = program.producers()
        self.builder = Builder(program)
        self.builder.inputs = {}
        self.sums: set[int] = set()
        self.kept: set[int] = set()
        self._known: dict[int, Symbol] = {}
        outputs = {key: self._total(value) for key, value in program.outputs.items() if key[0] == "operand"}
        whole = remove_dead(share_common(self.builder.program(outputs)))
        needed = whole.needed(whole.outputs.values())
        self.program = replace(whole, inputs={key: v for key, v in whole.inputs.items() if v in needed})

    def _total(self, value: int) -> Symbol:
        """The sum of a value over all timesteps."""
        if value not in self._known:
            self._known[value] = self._compute(value)
        return self._known[value]

    def _compute(self, value: int) -> Symbol:
        step = self.made.get(value)
        if step is not None and value not in self.fixed:
            joined = step.op.name == "concatenate" and value not in self.after
            if step.op.name in _LINEAR and len(step.values) == len(step.operands) and not joined:
                return self.builder.apply(step.op, [self._total(v) for v in step.values], dict(step.attributes))
            if value in self.after:
                return self._late(step)
        self.sums.add(value)
        return self.builder.input(("sum", value), self.step.types[value])

    def _late(self, step: Instruction) -> Symbol:
        """The total of what is computed after the loop."""
        types, apply = self.step.types, self.builder.apply
        factor = self._outer(step)
        if factor is not None:
            flat = self._rows(factor)
            return apply(matmul, (apply(transpose, (flat,), {}), self._rows(step.values[1])), {})
        alike = len({types[v].shape for v in (*step.values, step.target)}) == 1
        if step.op.name in ("add", "subtract") and len(step.values) == 2 and alike:
            return apply(step.op, [self._total(v) for v in step.values], {})
        return apply(sum_, (self._whole(step.target, "after"),), {"axis": 0})

    def _outer(self, step: Instruction) -> int | None:
        """The value whose transpose multiplies another in `step`, if both are matrices that the loop leaves behind."""
        if step.op is not matmul or len(step.values) != 2:
            return None
        before = self.made.get(step.values[0])
        if before is None or before.op is not transpose:
            return None
        matrices = all(len(self.step.types[value].shape) == 2 for value in step.values)
        free = not any(value in self.after or value in self.fixed for value in step.values)
        return before.values[0] if matrices and free else None

    def _whole(self, value: int, role: str) -> Symbol:
        """A value at all timesteps, (T, ...)."""
        self.kept.add(value)
        shape, dtype = self.step.types[value]
        if (role, value) not in self.builder.inputs:
            self.builder.input((role, value), Type((-1, *shape), dtype))
        return Symbol(self.builder, self.builder.inputs[role, value])

    def _rows(self, value: int) -> Symbol:
        """All timesteps of a matrix as the rows of one."""
        every = self._whole(value, "keep")
        flat = self.builder.apply(reshape, (every,), {"shape": (-1, every.shape[-1])})
        self.builder.types[flat.index] = Type((-1, every.shape[-1]), every.dtype)
        return flat

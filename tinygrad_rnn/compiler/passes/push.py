"""Slices of pointwise results: compute only the slice, so that gates never meet in one buffer."""

from __future__ import annotations

from typing import Any

from ...autodiff.primitives import getitem
from ..indexing import Window, window
from ..program import Instruction, Operand, Program
from ..rewrite import rewrite
from ..symbol import Builder, Symbol

__all__ = ["push_slices"]


def push_slices(program: Program) -> Program:
    """Slice the operands of a pointwise operation instead of its result, if the result is only ever sliced."""
    current = program
    while True:
        pushed = _push_once(current)
        if pushed is current:
            return current
        current = pushed


def _push_once(program: Program) -> Program:
    uses = program.uses()
    made = {
        value: step
        for value, step in program.interior().items()
        if step.op.elementwise
        and step.op.name not in ("broadcast_to", "stop_gradient")
        and uses.get(value)
        and all(_window(program, use) is not None for use in uses[value])
    }
    if not made:
        return program

    def rule(builder: Builder, step: Instruction) -> Symbol | None:
        source = made.get(step.values[0]) if step.op is getitem else None
        if source is None:
            return None
        cut = _window(program, step)
        assert cut is not None
        shape = program.types[source.target].shape
        operands = [_cut(builder, operand, cut, shape) for operand in source.operands]
        return builder.apply(source.op, operands, dict(source.attributes))

    pushed = rewrite(program, rule)
    return pushed.with_body(step for step in pushed.body if step.target not in made)


def _window(program: Program, step: Instruction) -> Window | None:
    if step.op is not getitem:
        return None
    return window(step.attributes["index"], program.types[step.values[0]].shape)


def _cut(builder: Builder, operand: Operand, cut: Window, shape: tuple[int, ...]) -> Any:
    """The part of an operand that meets the window of the broadcast result."""
    if not isinstance(operand, int):
        return operand.value
    own = builder.types[operand].shape
    missing = len(shape) - len(own)
    bounds = tuple((0, 1) if n == 1 else cut.bounds[k + missing] for k, n in enumerate(own))
    source = builder.now(operand)
    if bounds == tuple((0, n) for n in own):
        return source
    return builder.apply(getitem, (source,), {"index": Window(bounds).slices})

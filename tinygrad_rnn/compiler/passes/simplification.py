"""Simplification: drop operations that change nothing."""

from __future__ import annotations

from ...autodiff.primitives import getitem, reshape
from ..indexing import Window, window
from ..program import Instruction, Program
from ..rewrite import rewrite
from ..symbol import Builder, Symbol

__all__ = ["simplify"]


def simplify(program: Program) -> Program:
    """Drop transposes of transposes, and views and conversions to what a value already is.

    A slice of a slice becomes one slice, a reshape of a reshape one reshape.
    """

    def rule(builder: Builder, step: Instruction) -> Symbol | None:
        if not step.operands or not isinstance(step.operands[0], int):
            return None
        source, name = step.operands[0], step.op.name
        unchanged = builder.types[source] == builder.types[step.target]
        made = known.get(source)
        if name in ("reshape", "broadcast_to", "astype") and unchanged:
            return Symbol(builder, source)
        if name == "transpose" and made is not None and made.op.name == "transpose":
            inner, outer = (_axes(s, len(builder.types[source].shape)) for s in (made, step))
            if [inner[a] for a in outer] == sorted(inner):
                return Symbol(builder, made.values[0])
        if name == "reshape" and made is not None and made.op is reshape:
            (origin,) = made.values
            same = builder.types[origin] == builder.types[step.target]
            return (
                Symbol(builder, origin) if same else reshape(Symbol(builder, origin), builder.types[step.target].shape)
            )
        if name == "getitem":
            return _slice_of_slice(builder, step, made, unchanged)
        return None

    def remember(builder: Builder, step: Instruction) -> Symbol | None:
        result = rule(builder, step)
        if result is None and step.target in interior:
            known[step.target] = step
        return result

    interior = program.interior()
    known: dict[int, Instruction] = {}
    return rewrite(program, remember)


def _axes(step: Instruction, ndim: int) -> list[int]:
    axes = step.attributes.get("axes")
    return list(range(ndim))[::-1] if axes is None else [a % ndim for a in axes]


def _slice_of_slice(builder: Builder, step: Instruction, made: Instruction | None, unchanged: bool) -> Symbol | None:
    (source,) = step.values
    outer = window(step.attributes["index"], builder.types[source].shape)
    if outer is None:
        return None
    if unchanged:
        return Symbol(builder, source)
    if made is None or made.op.name != "getitem":
        return None
    (origin,) = made.values
    inner = window(made.attributes["index"], builder.types[origin].shape)
    if inner is None:
        return None
    both = Window(tuple((a + c, a + d) for (a, _), (c, d) in zip(inner.bounds, outer.bounds, strict=True)))
    return builder.apply(getitem, (Symbol(builder, origin),), {"index": both.slices})

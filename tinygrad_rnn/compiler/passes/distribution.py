"""Products over concatenations: ``[x, h] @ W`` becomes ``x @ W[:I] + h @ W[I:]``."""

from __future__ import annotations

import itertools

from ...autodiff.primitives import add, getitem, matmul
from ..program import Instruction, Program
from ..rewrite import rewrite
from ..symbol import Builder, Symbol

__all__ = ["distribute"]


def distribute(program: Program) -> Program:
    """Take a product of joined features apart, so that the input's share can leave the loop."""
    made = program.interior()

    def rule(builder: Builder, step: Instruction) -> Symbol | None:
        if step.op is not matmul or len(step.values) < 2:
            return None
        left, right = step.values
        joined = made.get(left)
        if joined is None or joined.op.name != "concatenate" or len(joined.values) < len(joined.operands):
            return None
        if len(builder.types[left].shape) != 2 or len(builder.types[right].shape) != 2:
            return None
        if joined.attributes.get("axis", 0) % 2 != 1:
            return None
        widths = [builder.types[value].shape[1] for value in joined.values]
        cuts = list(itertools.accumulate(widths, initial=0))
        total: Symbol | None = None
        for value, start, stop in zip(joined.values, cuts, cuts[1:], strict=False):
            rows = builder.apply(getitem, (Symbol(builder, right),), {"index": (slice(start, stop), slice(None))})
            share = builder.apply(matmul, (builder.now(value), rows), {})
            total = share if total is None else builder.apply(add, (total, share), {})
        return total

    return rewrite(program, rule)

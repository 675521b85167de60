"""Sums of the parts of a joined value: one sum of the whole."""

from __future__ import annotations

from ...autodiff.primitives import concatenate
from ...autodiff.primitives import sum as sum_
from ..program import Instruction, Program
from ..rewrite import rewrite
from ..symbol import Builder, Symbol

__all__ = ["gather_sums"]


def gather_sums(program: Program) -> Program:
    """Replace ``concatenate(sum(a), sum(b))`` by ``sum(concatenate(a, b))``, if that has been joined anyway.

    The gradients of the gates' biases, which were sliced from one, become one sum over the batch again.
    """
    made = program.interior()
    joined = {
        step.values: step
        for step in program.body
        if step.op is concatenate and step.attributes.get("axis") == 1 and len(step.values) == len(step.operands)
    }

    def rule(builder: Builder, step: Instruction) -> Symbol | None:
        if step.op is not concatenate or step.attributes.get("axis", 0) != 0:
            return None
        sums = [made.get(value) for value in step.values]
        if len(sums) != len(step.operands) or any(not _over_batch(program, one) for one in sums):
            return None
        whole = joined.get(tuple(one.values[0] for one in sums if one is not None))
        if whole is None or whole.target not in {s.target for s in builder.body}:
            return None
        return builder.apply(sum_, (Symbol(builder, whole.target),), {"axis": (0,)})

    return rewrite(_joins_first(program, {step.target for step in joined.values()}), rule)


def _over_batch(program: Program, step: Instruction | None) -> bool:
    return (
        step is not None
        and step.op is sum_
        and step.attributes.get("axis") in (0, (0,))
        and not step.attributes.get("keepdims")
        and len(program.types[step.values[0]].shape) == 2
    )


def _joins_first(program: Program, early: set[int]) -> Program:
    """The same program with sums behind the joined values that may replace them."""
    late = {step.target for step in program.body if step.op is sum_ or step.op is concatenate} - early
    late = program.depending(late)
    first = [step for step in program.body if step.target not in late]
    return program.with_body([*first, *(step for step in program.body if step.target in late)])

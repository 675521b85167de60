"""Products that share an operand: ``x @ A`` and ``x @ B`` become one product with A and B side by side."""

from __future__ import annotations

import itertools

from ...autodiff.primitives import concatenate, getitem, matmul
from ..program import Instruction, Program
from ..rewrite import rewrite
from ..symbol import Builder, Symbol

__all__ = ["merge_products"]


def merge_products(program: Program) -> Program:
    """One product for all that multiply the same matrix by weights, and slices of its result.

    Weights are what depends on parameters and constants alone.
    """
    program = _weights_first(program)
    fixed = _weights(program)
    groups: dict[tuple[int, object], list[Instruction]] = {}
    for step in program.body:
        if step.op is matmul and len(step.values) == 2 and step.values[0] not in fixed and step.values[1] in fixed:
            kinds = [program.types[value] for value in step.values]
            if len(kinds[0].shape) == len(kinds[1].shape) == 2:
                groups.setdefault((step.values[0], kinds[1].dtype), []).append(step)
    member = {step.target: group for group in groups.values() if len(group) > 1 for step in group}
    merged: dict[int, Symbol] = {}

    def rule(builder: Builder, step: Instruction) -> Symbol | None:
        group = member.get(step.target)
        if group is None:
            return None
        first = group[0].target
        if first not in merged:
            weights = [builder.now(other.values[1]) for other in group]
            side_by_side = builder.apply(concatenate, weights, {"axis": 1})
            merged[first] = builder.apply(matmul, (Symbol(builder, step.values[0]), side_by_side), {})
        widths = [program.types[other.target].shape[1] for other in group]
        cuts = list(itertools.accumulate(widths, initial=0))
        at = [other.target for other in group].index(step.target)
        index = (slice(None), slice(cuts[at], cuts[at + 1]))
        return builder.apply(getitem, (merged[first],), {"index": index})

    return rewrite(program, rule)


def _weights(program: Program) -> set[int]:
    """The values that are the same at every timestep."""
    moving = [value for (role, _), value in program.inputs.items() if role != "operand"]
    return set(program.types) - program.depending(moving)


def _weights_first(program: Program) -> Program:
    fixed = _weights(program)
    return program.with_body(sorted(program.body, key=lambda step: step.target not in fixed))

"""What passes over a program are made of: a walk that replaces instructions one by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ..autodiff.primitives import identity
from .program import Instruction, Program
from .symbol import Builder, Symbol

__all__ = ["Rule", "rewrite"]

Rule = Callable[[Builder, Instruction], Symbol | None]
"""Given an instruction, the value to use instead of its result; ``None`` to keep it."""


def rewrite(program: Program, rule: Rule) -> Program:
    """Replace results of instructions by other values, which `rule` computes with the builder it is given.

    A value that is an output keeps an instruction of its own, since the gradient of an output is that of
    its own uses alone.
    """
    builder = Builder(program)
    observed = set(program.outputs.values())
    renamed = builder.renamed
    for step in program.body:
        operands = tuple(renamed.get(o, o) if isinstance(o, int) else o for o in step.operands)
        step = replace(step, operands=operands)
        before = len(builder.body)
        result = rule(builder, step)
        if result is None:
            builder.body.append(step)
        elif step.target not in observed:
            renamed[step.target] = result.index
        elif len(builder.body) > before and builder.body[-1].target == result.index:
            builder.body[-1] = replace(builder.body[-1], target=step.target)
        else:
            builder.body.append(Instruction(step.target, identity, (result.index,), {}))
    outputs = {key: renamed.get(value, value) for key, value in program.outputs.items()}
    return Program(builder.types, program.inputs, builder.constants, tuple(builder.body), outputs)

"""Common subexpressions: compute the same thing once."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np

from ..program import Instruction, Program
from ..rewrite import rewrite
from ..symbol import Builder, Symbol

__all__ = ["share_common"]


def share_common(program: Program) -> Program:
    """Replace an instruction by an earlier one of the same operation, operands and attributes.

    Outputs are left alone: the gradient of a named value is that of its own uses, not of its twin's. Those of operands
    are final.
    """
    observed = {value for (role, _), value in program.outputs.items() if role != "operand"}
    known: dict[Hashable, int] = {}

    def rule(builder: Builder, step: Instruction) -> Symbol | None:
        if step.target in observed:
            return None
        key = (step.op.name, tuple(map(_operand, step.operands)), _frozen(step.attributes))
        if key in known:
            return Symbol(builder, known[key])
        known[key] = step.target
        return None

    return rewrite(program, rule)


def _operand(operand: Any) -> Hashable:
    """Literals with their type: 1 and 1.0 and True are equal, and give different dtypes."""
    return operand if isinstance(operand, int) else (type(operand.value), repr(operand.value))


def _frozen(value: Any) -> Hashable:
    """Attributes as something that can be looked up."""
    if isinstance(value, dict):
        return tuple((name, _frozen(part)) for name, part in sorted(value.items()))
    if isinstance(value, (tuple, list)):
        return (type(value).__name__, tuple(map(_frozen, value)))
    if isinstance(value, slice):
        return ("slice", value.start, value.stop, value.step)
    if isinstance(value, np.ndarray):
        return (value.shape, value.dtype.str, value.tobytes())
    return (type(value).__name__, value)

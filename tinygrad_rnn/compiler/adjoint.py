"""The adjoint of a step: the same VJP rules as the eager sweep, run on symbols."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..autodiff.primitives import add, astype, broadcast_to, sum_to
from .program import Instruction, Key, Operand, Program, label
from .symbol import Builder, Symbol

__all__ = ["derive_adjoint"]


def derive_adjoint(step: Program, seeded: Iterable[Key] = ()) -> Program:
    """The program that takes cotangents back through one step.

    Its inputs are ``("carry", name)``, the cotangent of each new state that comes from the next step;
    ``("seed", name)`` for what comes from outside to an output in `seeded`; and ``("forward", value)``, the values of
    the step that the rules read, by the numbers that they have there. Its outputs are ``("carry", name)`` for each old
    state; ``("operand", number)`` and ``("x", "")``, what this step adds to the cotangents of parameters and input; and
    ``("state" or "value" or "before", name)``, the whole cotangent of each output of the step.

    Parameters
    ----------
    step : Program
        With the inputs and outputs of :class:`~tinygrad_rnn.compiler.tracing.Traced`.
    seeded : Keys
        The outputs that cotangents reach from outside: the loss reads them.
    """
    builder = Builder(step)
    builder.inputs = {}
    found: dict[int, list[Symbol]] = {}
    floating = {value for value, kind in step.types.items() if kind.dtype.kind == "f"}
    for (role, name), value in step.outputs.items():
        if role == "state":
            found.setdefault(value, []).append(builder.input(("carry", name), step.types[value]))
        if (role, name) in seeded:
            found.setdefault(value, []).append(builder.input(("seed", label((role, name))), step.types[value]))
    live = step.depending(value for value in step.inputs.values() if value in floating)
    totals: dict[int, Symbol] = {}
    for instruction in reversed(step.body):
        target = instruction.target
        if target not in found:
            continue
        totals[target] = _sum(builder, found.pop(target))
        for value, share in _shares(builder, step, instruction, totals[target], live & floating):
            found.setdefault(value, []).append(share)
    totals |= {value: _sum(builder, parts) for value, parts in found.items()}
    outputs: dict[Key, Symbol] = {}
    for (role, name), value in step.inputs.items():
        if value in totals and role != "mask":
            outputs["carry" if role == "state" else role, name] = totals[value]
        elif role == "state":
            zero = np.zeros((), step.types[value].dtype)
            outputs["carry", name] = builder.apply(broadcast_to, (zero,), {"shape": step.types[value].shape})
    for key, value in step.outputs.items():
        if key[0] != "output" and value in totals:
            outputs[key] = totals[value]
    for value in sorted(_reads(builder, outputs) & set(step.types) - set(step.constants)):
        builder.inputs["forward", value] = value
    return builder.program(outputs)


def _reads(builder: Builder, outputs: Mapping[Key, Symbol]) -> set[int]:
    return {v for step in builder.body for v in step.values} | {symbol.index for symbol in outputs.values()}


def _sum(builder: Builder, parts: list[Symbol]) -> Symbol:
    total = parts[0]
    for part in parts[1:]:
        total = builder.apply(add, (total, part), {})
    return total


def _operand(builder: Builder, step: Program, operand: Operand) -> Any:
    """An operand as a rule reads it: whole numbers that the step contains, such as indices, as they are."""
    if not isinstance(operand, int):
        return operand.value
    constant = step.constants.get(operand)
    return constant if constant is not None and constant.dtype.kind in "iu" else Symbol(builder, operand)


def _shares(
    builder: Builder, step: Program, instruction: Instruction, total: Symbol, live: set[int]
) -> list[tuple[int, Symbol]]:
    """What an instruction passes on to each operand that has a derivative, in the operand's shape and dtype."""
    op, attributes = instruction.op, dict(instruction.attributes)
    operands = [_operand(builder, step, o) for o in instruction.operands]
    y = Symbol(builder, instruction.target)
    wanted = [k for k, o in enumerate(instruction.operands) if o in live and op.rule(k) is not None]
    if not wanted:
        return []
    every = list(op.rules[0](total, y, *operands, **attributes)) if op.variadic else None  # type: ignore[misc]
    shares = []
    for k in wanted:
        rule: Any = op.rule(k)
        share = every[k] if every is not None else rule(total, y, *operands, **attributes)
        value = instruction.operands[k]
        assert isinstance(value, int)
        shape, dtype = step.types[value]
        if share.shape != shape:
            share = sum_to(share, shape)
        if share.dtype != dtype:
            share = builder.apply(astype, (share,), {"dtype": dtype})
        shares.append((value, share))
    return shares

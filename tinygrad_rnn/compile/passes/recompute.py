"""Recomputation: what is cheaper to compute again than to keep for every timestep."""

from __future__ import annotations

from dataclasses import replace

from ..program import Program
from .dead import remove_dead

__all__ = ["recompute"]

_CHEAP = frozenset({
    "add", "subtract", "multiply", "negative", "square", "identity", "getitem", "where", "greater", "greater_equal",
    "less", "less_equal", "equal", "not_equal",
})  # fmt: skip


def recompute(adjoint: Program, step: Program) -> Program:
    """Let the adjoint compute again what depends on weights alone, or is one cheap operation on what is kept anyway.

    Parameters
    ----------
    adjoint : Program
        Reads values of `step` as ``("forward", value)``.
    step : Program
    """
    adjoint = remove_dead(adjoint)
    used = adjoint.needed(adjoint.outputs.values())
    read = {int(name) for role, name in adjoint.inputs if role == "forward" and int(name) in used}
    fixed = set(step.types) - step.depending(v for (role, _), v in step.inputs.items() if role != "operand")
    kept = {v for (role, _), v in step.outputs.items() if role in ("state", "value")}
    kept |= {v for (role, _), v in step.inputs.items() if role != "operand"}
    again = step.needed(read & fixed) & fixed
    available = kept | again | set(step.constants) | {v for v in read if v not in step.producers()}
    for one in step.body:
        cheap = one.op.name in _CHEAP and all(v in available or v in read for v in one.values)
        if one.target in read - kept - again and cheap:
            again.add(one.target)
            available.add(one.target)
    body = tuple(one for one in step.body if one.target in again) + adjoint.body
    wanted = {v for one in body for v in one.values} | set(adjoint.outputs.values())
    inputs = {key: v for key, v in adjoint.inputs.items() if key[0] != "forward"}
    inputs |= {key: v for key, v in step.inputs.items() if key[0] == "operand" and v in wanted}
    made = {one.target for one in body} | set(inputs.values()) | set(step.constants) | set(adjoint.constants)
    inputs |= {("forward", str(v)): v for v in sorted(wanted - made)}
    return replace(adjoint, inputs=inputs, constants={**step.constants, **adjoint.constants}, body=body)

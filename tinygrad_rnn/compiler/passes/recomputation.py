"""Recomputation: what is cheaper to compute again than to keep for every timestep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..program import Instruction, Program
from .dead import remove_dead

__all__ = ["recompute", "worth_keeping"]

_CHEAP = frozenset(
    {
        "add",
        "subtract",
        "multiply",
        "negative",
        "square",
        "identity",
        "getitem",
        "where",
        "greater",
        "greater_equal",
        "less",
        "less_equal",
        "equal",
        "not_equal",
    }
)


def worth_keeping(adjoint: Program, step: Program) -> set[int]:
    """The values of a step to keep for every timestep, besides its states and named values.

    Not among them is what depends on weights alone, is a view of what is kept, or is one cheap operation on it.

    Parameters
    ----------
    adjoint : Program
        Reads values of `step` as ``("forward", value)``.
    step : Program
    """
    made = step.producers()
    read = {_origin(value, made) for value in _reads(adjoint)}
    fixed = set(step.types) - step.depending(v for (role, _), v in step.inputs.items() if role != "operand")
    given = _on_tape(step) | fixed
    at_hand = {value for value in step.types if _origin(value, made) in given | read}
    cheap = {one.target for one in step.body if one.op.name in _CHEAP and at_hand.issuperset(one.values)}
    return read - given - cheap


def recompute(adjoint: Program, step: Program, kept: set[int]) -> Program:
    """Let the adjoint compute again from what is kept whatever else it reads of the step.

    Parameters
    ----------
    adjoint, step : as for :func:`worth_keeping`
    kept : set of int
        What it says about the adjoint for all outputs at once, which reads whatever any other may read.
    """
    adjoint = remove_dead(adjoint)
    stored = kept | _on_tape(step)
    again: set[int] = set()
    wanted = _reads(adjoint)
    for one in reversed(step.body):
        if one.target in wanted and one.target not in stored:
            again.add(one.target)
            wanted.update(one.values)
    body = tuple(one for one in step.body if one.target in again) + adjoint.body
    wanted = {v for one in body for v in one.values} | set(adjoint.outputs.values())
    inputs = {key: v for key, v in adjoint.inputs.items() if key[0] != "forward"}
    inputs |= {key: v for key, v in step.inputs.items() if key[0] == "operand" and v in wanted}
    made = {one.target for one in body} | set(inputs.values()) | set(step.constants) | set(adjoint.constants)
    inputs |= {("forward", v): v for v in sorted(wanted - made)}
    return replace(adjoint, inputs=inputs, constants={**step.constants, **adjoint.constants}, body=body)


def _origin(value: int, made: Mapping[int, Instruction]) -> int:
    """What a value has the elements of, in another shape or order: to compute that again costs nothing."""
    while value in made and made[value].op.name in ("reshape", "transpose"):
        (value,) = made[value].values
    return value


def _on_tape(step: Program) -> set[int]:
    """What lies on the tape in any case, or is given."""
    states = {v for (role, _), v in step.outputs.items() if role in ("state", "value")}
    return states | {v for (role, _), v in step.inputs.items() if role != "operand"}


def _reads(adjoint: Program) -> set[int]:
    used = adjoint.needed(adjoint.outputs.values())
    return {v for (role, _), v in adjoint.inputs.items() if role == "forward" and v in used}

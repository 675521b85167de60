"""Dead code: drop what no output needs."""

from __future__ import annotations

from dataclasses import replace

from ..program import Program

__all__ = ["remove_dead"]


def remove_dead(program: Program) -> Program:
    """The same outputs without the instructions and constants that none of them is computed from."""
    needed = program.needed(program.outputs.values())
    constants = {value: array for value, array in program.constants.items() if value in needed}
    body = tuple(step for step in program.body if step.target in needed)
    return replace(program, constants=constants, body=body)

"""Values that are no floating numbers, put on the tape as such: booleans become 0 and 1."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..autodiff.primitives import astype
from .program import Instruction, Program

__all__ = ["pack"]

_PACKED = 1_000_000
"""Added to the number of a value to give that of its floating form."""


def pack(step: Program, adjoint: Program, dtype: np.dtype[Any]) -> tuple[Program, Program]:
    """The two programs with conversions where one leaves something on the tape and the other reads it."""
    given = set(step.inputs.values()) | set(step.constants)
    read = {v for (role, _), v in adjoint.inputs.items() if role == "forward"}
    found = [v for v in sorted({*read, *step.outputs.values()} - given) if step.types[v].dtype != dtype]
    types = {v + _PACKED: step.types[v]._replace(dtype=dtype) for v in found}
    to_numbers = [Instruction(v + _PACKED, astype, (v,), {"dtype": dtype}) for v in found]
    back = [Instruction(v, astype, (v + _PACKED,), {"dtype": step.types[v].dtype}) for v in found if v in read]
    inputs = {key: v for key, v in adjoint.inputs.items() if key[0] != "forward" or v not in found}
    inputs |= {("forward", v + _PACKED): v + _PACKED for v in found if v in read}
    outputs = {key: v + _PACKED if v in found else v for key, v in step.outputs.items()}
    return (
        replace(step, types={**step.types, **types}, body=(*step.body, *to_numbers), outputs=outputs),
        replace(adjoint, types={**adjoint.types, **types}, inputs=inputs, body=(*back, *adjoint.body)),
    )

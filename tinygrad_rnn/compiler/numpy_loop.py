"""The loop without a compiler: one NumPy call an operation, into buffers that are there from the start."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .places import Place
from .program import Array, Instruction, Program
from .stages import Output

__all__ = ["interpret"]

_UFUNCS = frozenset(
    {
        "add",
        "subtract",
        "multiply",
        "divide",
        "negative",
        "power",
        "square",
        "sqrt",
        "sign",
        "exp",
        "log",
        "log1p",
        "expm1",
        "sin",
        "cos",
        "tanh",
        "greater",
        "greater_equal",
        "less",
        "less_equal",
        "equal",
        "not_equal",
        "logical_and",
        "logical_or",
        "logical_xor",
        "logical_not",
        "maximum",
        "minimum",
        "matmul",
    }
)
"""Primitives that are a ufunc of that name, and can therefore write into a given array."""


def interpret(
    program: Program,
    inputs: Mapping[int, Place],
    outputs: Sequence[Output],
    buffers: Mapping[str, Array],
    steps: range,
    cut: int = 0,
    shift: int = 0,
    carried: Sequence[Place] = (),
) -> None:
    """Run a program once for every timestep.

    Parameters
    ----------
    program : Program
    inputs, outputs : places of values
        Each fills a row of its buffer.
    buffers : mapping of str to flat ndarray
    steps : range
        The timesteps in order.
    cut, shift, carried : int, int, places
        Every `cut` steps the rows of `carried` are set to zero, where `shift` steps lie before the first row.
    """
    count = max(steps, default=0) + 2

    def rows(place: Place) -> tuple[Array, int]:
        return _rows(buffers, place, count), place.row.value

    home = {output.value: output.place for output in reversed(outputs) if not output.add}
    made = {step.target for step in program.body}
    reads = [(value, *rows(place)) for value, place in inputs.items()]
    calls = [
        (step, _call(step, program), rows(home[step.target]) if step.target in home else None) for step in program.body
    ]
    writes = [
        (value, *rows(place), add) for value, place, add in outputs if add or value not in made or home[value] != place
    ]
    zeroed = [rows(place) for place in carried]
    known: dict[int, Any] = dict(program.constants)
    for k in steps:
        # by the number of a Row; with an ellipsis, so that the row of a scalar is an array too
        at = ((0, ...), (k, ...), (k + 1, ...), (k & 1, ...), (k + 1 & 1, ...))
        for value, buffer, row in reads:
            known[value] = buffer[at[row]]
        for step, call, goes in calls:
            operands = [known[o] if isinstance(o, int) else o.value for o in step.operands]
            known[step.target] = call(operands, None if goes is None else goes[0][at[goes[1]]])
        for value, buffer, row, add in writes:
            target = buffer[at[row]]
            if add:
                target += known[value]
            else:
                target[...] = known[value]
        if cut > 0 and k + shift > 0 and (k + shift) % cut == 0:
            for buffer, row in zeroed:
                buffer[at[row]] = 0


def _rows(buffers: Mapping[str, Array], place: Place, count: int) -> Array:
    """A value at all timesteps; it fills its rows, or is a part of them that has one axis."""
    if not place.size:
        return np.zeros((count, *place.shape))
    rows = buffers[place.buffer].reshape(-1, place.size)
    whole = math.prod(place.shape) == place.size
    return rows.reshape(-1, *place.shape) if whole else rows[:, place.offset : place.offset + place.shape[0]]


def _call(step: Instruction, program: Program) -> Callable[[list[Any], Array | None], Any]:
    """How to run one instruction, into a buffer of its own or into a given array."""
    shape, dtype = program.types[step.target]
    own = np.empty(shape, dtype)
    if step.op.name in _UFUNCS:
        ufunc = getattr(np, step.op.name)
        return lambda operands, out: ufunc(*operands, out=own if out is None else out)

    def run(operands: list[Any], out: Array | None) -> Any:
        result = step.op.evaluate(operands, dict(step.attributes))
        if out is None:
            return result
        out[...] = result
        return out

    return run

"""What goes into loops and programs: places of inputs, flat buffers, all timesteps at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..autodiff.batching import Batched
from ..autodiff.primitives import getitem, matmul, reshape
from .indexing import window
from .passes.dead import remove_dead
from .places import Place, Row
from .program import Array, Instruction, Key, Program, Type, label
from .schedule import Schedule
from .straight import Straight

__all__ = ["AllSteps", "computed_once", "contiguous_flat", "input_places"]


def input_places(
    schedule: Schedule, forward: Callable[[int], Place]
) -> tuple[dict[int, Place], dict[str, np.dtype[Any]], dict[str, Key]]:
    """Where a loop finds its inputs and constants, the dtypes of those buffers, and what fills them from outside.

    Parameters
    ----------
    schedule : Schedule
    forward : callable
        From a value of the step to its place on the tape.
    """
    loop, windows = schedule.loop, _windows(schedule.once)
    places: dict[int, Place] = {}
    fed: dict[str, Key] = {}
    for key, value in loop.inputs.items():
        if key[0] == "forward":
            places[value] = forward(value)
            continue
        source, places[value] = windows.get(key) or (
            key,
            Place.whole(label(key), _ROWS.get(key[0], Row.NOW), loop.types[value].shape),
        )
        if key[0] not in ("state", "carry"):
            fed[places[value].buffer] = source
    places |= {v: Place.whole(label(("constant", v)), Row.ONLY, array.shape) for v, array in loop.constants.items()}
    return places, {place.buffer: loop.types[value].dtype for value, place in places.items()}, fed


_ROWS = {"once": Row.ONLY, "operand": Row.ONLY, "carry": Row.ODD}


def _windows(once: Program) -> dict[Key, tuple[Key, Place]]:
    """What is computed once and is a part of an operand with one axis, such as the bias of a gate: which, and where."""
    sources = {value: key for key, value in once.inputs.items()}
    found: dict[Key, tuple[Key, Place]] = {}
    for step in once.body:
        shape = once.types[step.values[0]].shape if step.values else ()
        if step.op is getitem and len(shape) == 1 and step.values[0] in sources:
            cut = window(step.attributes["index"], shape)
            if cut is not None:
                key = sources[step.values[0]]
                found["once", step.target] = key, Place.whole(label(key), Row.ONLY, shape).cut(cut)
    return found


def computed_once(schedule: Schedule) -> Program:
    """What has to be computed once: not what the loop alone reads, and finds as it lies in an operand."""
    once = schedule.once
    read = {key for part in (schedule.ahead, schedule.after, schedule.total) for key in part.inputs}
    found = set(_windows(once)) - read
    part = remove_dead(once.with_body(once.body, {key: v for key, v in once.outputs.items() if key not in found}))
    needed = part.needed(part.outputs.values())
    return replace(part, inputs={key: value for key, value in part.inputs.items() if value in needed})


class AllSteps:
    """A program run for all timesteps at once; what does not change from one to the next has no axis for them."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._lifted = _lift(program)

    def write(self, text: Straight, known: Mapping[Key, str]) -> dict[Key, str]:
        """As :meth:`Straight.program`; outputs that move are (T, *shape)."""
        if self._lifted is not None:
            return text.program(self._lifted, known)
        found = text.let(f"{text.bind(self._one_by_one)}({', '.join([known[key] for key in self._program.inputs])})")
        return {key: f"{found}[{k}]" for k, key in enumerate(self._program.outputs)}

    def _one_by_one(self, *arrays: Array) -> list[Array]:
        """The outputs, by operations on batches of timesteps."""
        given = zip(self._program.inputs, arrays, strict=True)
        found = self._program.evaluate({key: Batched(array) if _moves(key) else array for key, array in given})
        return [getattr(value, "array", value) for value in found.values()]


def _moves(key: Key) -> bool:
    return key[0] not in ("once", "operand")


def _lift(program: Program) -> Program | None:
    """The program on whole sequences, if each of its operations takes them as it takes one timestep, or is a product
    by weights, which is one of all rows; otherwise None.
    """
    moving = {value for key, value in program.inputs.items() if _moves(key)}
    types, body = dict(program.types), []
    for step in program.body:
        rank = len(types[step.target].shape)
        if not moving.isdisjoint(step.values):
            if _by_weights(program, step, moving):
                (left, right), (flat, product) = step.operands, (max(types) + 1, max(types) + 2)
                rows, out = types[step.values[0]], types[step.target]
                types[flat], types[product] = (Type((-1, n), out.dtype) for n in (rows.shape[-1], out.shape[-1]))
                body += [
                    Instruction(flat, reshape, (left,), {"shape": types[flat].shape}),
                    Instruction(product, matmul, (flat, right), {}),
                ]
                step = Instruction(step.target, reshape, (product,), {"shape": (-1, *out.shape)})
            elif (
                not step.op.elementwise
                or step.attributes
                or any(len(types[v].shape) != rank if v in moving else len(types[v].shape) > rank for v in step.values)
            ):
                return None
            moving.add(step.target)
        body.append(step)
    return replace(program, types=types, body=tuple(body))


def _by_weights(program: Program, step: Instruction, moving: set[int]) -> bool:
    """Whether an instruction multiplies matrices, none of them empty, of which the first alone moves."""
    shapes = [program.types[value].shape for value in step.values]
    return (
        step.op is matmul
        and len(shapes) == 2
        and all(len(shape) == 2 and 0 not in shape for shape in shapes)
        and step.values[1] not in moving
    )


def contiguous_flat(array: Any) -> Array:
    """The elements of an array, one after the other, in memory that may be written."""
    if type(array) is not np.ndarray:
        array = np.asarray(array)
    found: Array = array.ravel() if array.flags.carray else array.flatten()
    return found

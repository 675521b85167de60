"""What goes into loops and programs: places of inputs, flat buffers, all timesteps at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..autodiff.batching import Batched
from .places import Place, Row
from .program import Array, Key, Program, label

__all__ = ["contiguous_flat", "for_all_steps", "input_places"]


def input_places(loop: Program, forward: Callable[[int], Place]) -> tuple[dict[int, Place], dict[str, np.dtype[Any]]]:
    """Where a loop finds its inputs and constants, and the dtypes of those buffers.

    Parameters
    ----------
    loop : Program
    forward : callable
        From a value of the step to its place on the tape.
    """
    places: dict[int, Place] = {}
    rows = {"once": Row.ONLY, "operand": Row.ONLY, "carry": Row.ODD}
    for key, value in loop.inputs.items():
        shape = loop.types[value].shape
        on_tape = key[0] == "forward"
        places[value] = forward(value) if on_tape else Place.whole(label(key), rows.get(key[0], Row.NOW), shape)
    places |= {v: Place.whole(label(("constant", v)), Row.ONLY, array.shape) for v, array in loop.constants.items()}
    return places, {place.buffer: loop.types[value].dtype for value, place in places.items()}


def for_all_steps(program: Program, feeds: Mapping[Key, Any]) -> dict[Key, Array]:
    """A program run for all timesteps at once; what does not change from one to the next has no axis for them."""
    if not program.outputs:
        return {}
    members = {key: feeds[key] if key[0] in ("once", "operand") else Batched(feeds[key]) for key in program.inputs}
    return {key: getattr(value, "array", value) for key, value in program.evaluate(members).items()}


def contiguous_flat(array: Any) -> Array:
    """The elements of an array, one after the other, in memory that may be written."""
    if type(array) is np.ndarray and array.flags.carray:
        return array.reshape(-1)
    flat: Array = np.require(array, requirements=["C", "W", "A"]).reshape(-1)
    return flat

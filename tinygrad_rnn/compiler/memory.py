"""Where each value of a step lies: at a place that is given, in a view of another value, or in scratch memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from .indexing import Window, window
from .levels import Levels
from .places import Place, Row, contiguous
from .program import Instruction, Program
from .stages import Nest, Output, Store, copy_nest

__all__ = ["Memory"]


class Memory:
    """The places of a step's values, found when they are asked for.

    Parameters
    ----------
    program : Program
    levels : Levels
    inputs : mapping of value to Place
    outputs : iterable of Output

    Attributes
    ----------
    places : dict of value to Place
    scratch : dict of str to (dtype, int)
        Scratch buffers, and their elements.
    copies : dict of value to Nest
        Moves the elements of a view that is none: a transposed value, say, in another shape.
    """

    def __init__(
        self, program: Program, levels: Levels, inputs: Mapping[int, Place], outputs: Iterable[Output]
    ) -> None:
        self.types = program.types
        self.levels = levels
        self.places: dict[int, Place] = dict(inputs)
        self.scratch: dict[str, tuple[np.dtype[Any], int]] = {}
        self.copies: dict[int, Nest] = {}
        for value, place, add in outputs:
            if not add and value not in self.places and levels.kind.get(value) != "view":
                self.places[value] = place
        for step in reversed(program.body):
            if levels.kind[step.target] == "join":
                self._place_parts(step)

    def place(self, value: int) -> Place:
        """Where a value lies; scratch memory if it has no place yet."""
        if value not in self.places:
            view = self.levels.kind.get(value) == "view"
            self.places[value] = self._view(self.levels.made[value]) if view else self.reserve(value)
        return self.places[value]

    def parts(self, join: Instruction) -> Iterable[tuple[int, Place]]:
        """The operands of a join, and where in the whole each belongs."""
        whole = self.place(join.target)
        axis = join.attributes.get("axis", 0) % len(whole.shape)
        start = 0
        for value in join.values:
            n = self.types[value].shape[axis]
            bounds = tuple((start, start + n) if k == axis else (0, m) for k, m in enumerate(whole.shape))
            start += n
            if n:
                yield value, whole.cut(Window(bounds))

    def reserve(self, value: int) -> Place:
        """Scratch memory for a value."""
        shape, dtype = self.types[value]
        name = f"scratch {len(self.scratch)}"
        self.scratch[name] = (dtype, math.prod(shape))
        return Place.whole(name, Row.ONLY, shape)

    def _place_parts(self, join: Instruction) -> None:
        """A part of a joined value lies where it belongs in the whole, if it is computed for that alone."""
        for value, place in self.parts(join):
            if value not in self.places and self.levels.kind.get(value) == "pointwise":
                self.places[value] = place

    def _view(self, step: Instruction) -> Place:
        place = self.place(step.values[0])
        if step.op.name == "getitem":
            cut = window(step.attributes["index"], place.shape)
            assert cut is not None
            return place.cut(cut)
        if step.op.name == "transpose":
            axes = step.attributes.get("axes")
            ndim = len(place.shape)
            return place.transpose(tuple(range(ndim))[::-1] if axes is None else tuple(a % ndim for a in axes))
        reshaped = place.reshape(self.types[step.target].shape)
        if reshaped is None:  # its elements have to be moved
            reshaped = self.reserve(step.target)
            target = reshaped._replace(shape=place.shape, strides=contiguous(place.shape))
            self.copies[step.target] = copy_nest(step.values[0], place, Store(step.values[0], target))
        return reshaped

"""Layers that make one of several inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import numpy as np

from ...autodiff import functions
from ...autodiff import primitives as p
from .config import Shape
from .layer import Arguments, Array, Frame, KerasLayer, Signal, register

__all__: list[str] = []

_MANY = 10_000


def _joint(inputs: list[Signal]) -> Array | None:
    """What counts in any of them; everything, if one has no mask."""
    masks = [signal.mask for signal in inputs]
    if any(mask is None for mask in masks):
        return None
    return reduce(np.logical_or, [mask for mask in masks if mask is not None])


@register("Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract")
class Merge(KerasLayer):
    """Number by number, with axes of length 1 stretched."""

    takes = (1, _MANY)
    takes_integers = True
    FUNCTIONS: Mapping[str, Callable[[Any, Any], Any]] = {
        "Add": p.add, "Average": p.add, "Maximum": p.maximum, "Minimum": p.minimum, "Multiply": p.multiply,
        "Subtract": p.subtract,
    }  # fmt: skip

    def setup(self) -> None:
        self.kind = self.config["class_name"]

    def build(self, shapes: list[Shape], named: Mapping[str, Any]) -> list[Shape]:
        if self.kind == "Subtract" and len(shapes) != 2:
            self.config.fail(f"subtracts {len(shapes)} inputs")
        self.depth = max(map(len, shapes))
        result: list[int | None] = [1] * self.depth
        for shape in shapes:
            wide = (*shape[:1], *(1,) * (self.depth - len(shape)), *shape[1:])
            for k, n in enumerate(wide):
                if n == 1 or n == result[k]:
                    continue
                if result[k] not in (1, None) and n is not None:
                    self.config.fail(f"has inputs of shapes {shapes}, which do not fit")
                result[k] = n if result[k] == 1 else None if n is None else n
        return [tuple(result)]

    def run(self, frame: Frame, inputs: list[Signal], call: Arguments) -> list[Signal]:
        values = [
            p.reshape(x, (x.shape[0], *(1,) * (self.depth - x.ndim), *x.shape[1:])) if x.ndim < self.depth else x
            for x in (signal.value for signal in inputs)
        ]
        y = reduce(self.FUNCTIONS[self.kind], values)
        y = p.divide(y, float(len(values))) if self.kind == "Average" else y
        return [Signal(y, _joint(inputs))]


@register("Concatenate")
class Concatenate(KerasLayer):
    """One behind the other along an axis."""

    takes = (1, _MANY)
    takes_integers = True

    def build(self, shapes: list[Shape], named: Mapping[str, Any]) -> list[Shape]:
        if len({len(shape) for shape in shapes}) != 1:
            self.config.fail(f"joins inputs of shapes {shapes}")
        self.place = axis = self.axis(self.config.integer("axis", -1, least=-64), shapes[0])
        result: list[int | None] = list(shapes[0])
        for shape in shapes[1:]:
            for k, (a, b) in enumerate(zip(result, shape, strict=True)):
                if k == axis:
                    result[k] = None if a is None or b is None else a + b
                elif None not in (a, b) and a != b:
                    self.config.fail(f"joins inputs of shapes {shapes} along axis {axis}")
                else:
                    result[k] = b if a is None else a
        return [tuple(result)]

    def run(self, frame: Frame, inputs: list[Signal], call: Arguments) -> list[Signal]:
        y = functions.concatenate([signal.value for signal in inputs], self.place)
        if all(signal.mask is None for signal in inputs):
            return [Signal(y)]
        masks = []
        for x, mask in inputs:
            there = np.ones(x.shape, bool) if mask is None else mask.reshape(mask.shape + (1,) * (x.ndim - mask.ndim))
            masks.append(np.broadcast_to(there, x.shape))
        return [Signal(y, np.asarray(np.concatenate(masks, self.place).any(axis=-1)))]


@register("Dot")
class Dot(KerasLayer):
    """The product over an axis of each of two inputs."""

    takes = (2, 2)

    def build(self, shapes: list[Shape], named: Mapping[str, Any]) -> list[Shape]:
        given = self.config.get("axes")
        pair = self.config.inside({"axes": given}).integers("axes", 2, least=-64)
        self.places = first, second = self.axis(pair[0], shapes[0]), self.axis(pair[1], shapes[1])
        sizes = {shapes[0][first], shapes[1][second]} - {None}
        if 0 in (first, second) or len(sizes) > 1:
            self.config.fail(f"multiplies {shapes} over the axes {pair}")
        rest = [n for k, n in enumerate(shapes[0]) if k not in (0, first)]
        rest += [n for k, n in enumerate(shapes[1]) if k not in (0, second)]
        return [(shapes[0][0], *(rest or [1]))]

    def run(self, frame: Frame, inputs: list[Signal], call: Arguments) -> list[Signal]:
        letters = iter("cdefghijklmnop")
        terms = []
        values = [signal.value for signal in inputs]
        for x, place in zip(values, self.places, strict=True):
            terms.append("".join("a" if k == 0 else "b" if k == place else next(letters) for k in range(x.ndim)))
        if self.config.flag("normalize", False):
            values = [
                p.divide(x, p.sqrt(p.maximum(p.sum(p.square(x), axis=place, keepdims=True), 1e-12)))
                for x, place in zip(values, self.places, strict=True)
            ]
        left = "a" + "".join(c for term in terms for c in term if c not in "ab")
        y = functions.einsum(f"{terms[0]},{terms[1]}->{left}", *values)
        return [Signal(p.reshape(y, (-1, 1)) if y.ndim == 1 else y)]

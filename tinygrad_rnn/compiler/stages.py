"""What a step is made of when it has been fused: loop nests and matrix products over places in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from .places import Place
from .program import Instruction, Program

__all__ = ["Load", "Nest", "Output", "Plan", "Product", "Store", "copy_nest", "layout_of", "spread"]


class Output(NamedTuple):
    """A value that has to be at a place when the step is done, or be added to what is there."""

    value: int
    place: Place
    add: bool = False


class Load(NamedTuple):
    """Read a value inside a nest."""

    value: int
    place: Place


class Store(NamedTuple):
    """Write a value inside a nest: ``how`` is ``"set"``, ``"add"``, or the reduction that goes on there."""

    value: int
    place: Place
    how: str = "set"


@dataclass
class Nest:
    """Loops over `shape` around pointwise operations."""

    shape: tuple[int, ...]
    loads: list[Load] = field(default_factory=list)
    steps: list[Instruction] = field(default_factory=list)
    stores: list[Store] = field(default_factory=list)


class Product(NamedTuple):
    """``out = left @ right`` for matrices of dtype `kind`, or for each of as many that stand in a stack."""

    left: Place
    right: Place
    out: Place
    kind: np.dtype[Any]


def layout_of(place: Place) -> tuple[int, bool] | None:
    """The length of a matrix's rows in memory and whether it is stored transposed; ``None`` if it is neither.

    For a stack, that of each of its matrices.
    """
    (rows, columns), (down, across) = place.shape[-2:], place.strides[-2:]
    if (across == 1 or columns == 1) and (down >= columns or rows == 1):
        return (max(columns, down if rows > 1 else 1), False)
    if (down == 1 or rows == 1) and (across >= rows or columns == 1):
        return (max(rows, across if columns > 1 else 1), True)
    return None


@dataclass(frozen=True)
class Plan:
    """What to do at each timestep, in order, and the scratch buffers it needs: dtype and elements by name."""

    program: Program
    stages: tuple[Nest | Product, ...]
    scratch: Mapping[str, tuple[np.dtype[Any], int]]


def copy_nest(value: int, source: Place, store: Store) -> Nest:
    """A nest that moves a value from one place to another."""
    return Nest(source.shape, [Load(value, source)], [], [store])


def spread(step: Instruction, place: Place, shape: tuple[int, ...]) -> Place:
    """The place of a reduction's result as seen from inside the loops over its operand."""
    axis = step.attributes.get("axis")
    ndim = len(shape)
    axes = set(range(ndim)) if axis is None else {a % ndim for a in (axis if isinstance(axis, tuple) else (axis,))}
    own = list(place.strides)
    if step.attributes.get("keepdims"):
        own = [stride for k, stride in enumerate(own) if k not in axes]
    return place._replace(shape=shape, strides=tuple(0 if k in axes else own.pop(0) for k in range(ndim)))

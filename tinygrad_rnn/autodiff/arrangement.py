"""Elements put elsewhere: arrays joined, cut, repeated, turned and sorted. Composed, no derivative rules here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from ..plurals import counted
from . import primitives as p
from .discrete import argsort, zeros_like
from .functions import concatenate, cut, normal_axis, value_of
from .primitive import Value

__all__ = [
    "append",
    "array_split",
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "broadcast_arrays",
    "column_stack",
    "diag",
    "diagonal",
    "dsplit",
    "dstack",
    "fliplr",
    "flipud",
    "full_like",
    "hsplit",
    "hstack",
    "moveaxis",
    "pad",
    "ravel",
    "repeat",
    "roll",
    "rollaxis",
    "rot90",
    "sort",
    "tile",
    "tril",
    "triu",
    "vsplit",
    "vstack",
]

_Mode: TypeAlias = Literal["constant", "edge", "reflect", "symmetric", "wrap"]

# ------------------------------------------------------------------------------------ dimensions, axes


def ravel(x: Value) -> Value:
    """The elements of `x` in one dimension, in C order."""
    return p.reshape(x, (-1,))


def _atleast(ndim: int, x: Value) -> Value:
    x = value_of(x)
    if x.ndim >= ndim:
        return x
    shapes = {1: (1,), 2: (1, *x.shape) if x.ndim else (1, 1), 3: (*((1,) * (2 - x.ndim)), *x.shape, 1)}
    return p.reshape(x, shapes[ndim])


def _each(ndim: int, arrays: tuple[Value, ...]) -> Any:
    found = tuple(_atleast(ndim, x) for x in arrays)
    return found[0] if len(found) == 1 else found


def atleast_1d(*arrays: Value) -> Any:
    """Every array with at least one dimension; one array comes back alone."""
    return _each(1, arrays)


def atleast_2d(*arrays: Value) -> Any:
    """Every array with at least two dimensions, new ones in front; one array comes back alone."""
    return _each(2, arrays)


def atleast_3d(*arrays: Value) -> Any:
    """Every array with at least three dimensions, a vector in the middle one; one array comes back alone."""
    return _each(3, arrays)


def moveaxis(x: Value, source: int | Sequence[int], destination: int | Sequence[int]) -> Value:
    """`x` with axes moved to other places, the rest in their order."""
    x = value_of(x)
    places = [[axis] if isinstance(axis, (int, np.integer)) else list(axis) for axis in (source, destination)]
    left, right = ([normal_axis("moveaxis", axis, x.ndim) for axis in axes] for axes in places)
    if len(left) != len(right) or len(set(left)) != len(left) or len(set(right)) != len(right):
        raise ValueError(f"moveaxis: {source} and {destination} must be as many axes, each once")
    order = [axis for axis in range(x.ndim) if axis not in left]
    for place, axis in sorted(zip(right, left, strict=True)):
        order.insert(place, axis)
    return p.transpose(x, tuple(order))


def rollaxis(x: Value, axis: int, start: int = 0) -> Value:
    """`x` with an axis moved in front of another."""
    x = value_of(x)
    axis = normal_axis("rollaxis", axis, x.ndim)
    start = start if start == x.ndim else normal_axis("rollaxis", start, x.ndim)
    return moveaxis(x, axis, start - 1 if axis < start else start)


def broadcast_arrays(*arrays: Value) -> tuple[Value, ...]:
    """The arrays repeated to the shape that they broadcast to."""
    shape = np.broadcast_shapes(*(value_of(x).shape for x in arrays))
    return tuple(p.broadcast_to(x, shape) for x in arrays)


# ------------------------------------------------------------------------------------- joined and cut


def vstack(arrays: Sequence[Value]) -> Value:
    """Arrays of at least two dimensions joined along the first axis."""
    return concatenate([_atleast(2, x) for x in arrays], 0)


def hstack(arrays: Sequence[Value]) -> Value:
    """Arrays joined along the second axis, vectors along their only one."""
    whole = [_atleast(1, x) for x in arrays]
    return concatenate(whole, 0 if whole and whole[0].ndim == 1 else 1)


def dstack(arrays: Sequence[Value]) -> Value:
    """Arrays of at least three dimensions joined along the third axis."""
    return concatenate([_atleast(3, x) for x in arrays], 2)


def column_stack(arrays: Sequence[Value]) -> Value:
    """Vectors as columns, and matrices as they are, side by side."""
    whole = [value_of(x) for x in arrays]
    return concatenate([x if x.ndim > 1 else p.reshape(x, (-1, 1)) for x in whole], 1)


def append(x: Value, values: Value, axis: int | None = None) -> Value:
    """`x` and `values` joined along an axis; flattened first when `axis` is None."""
    return concatenate([x, values], axis)


def array_split(x: Value, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Value]:
    """`x` cut into as many sections, the first ones longer by one where it does not divide, or at indices."""
    x = value_of(x)
    axis = normal_axis("array_split", axis, x.ndim)
    if not isinstance(indices_or_sections, (int, np.integer)):
        return cut(x, [int(place) for place in indices_or_sections], axis)
    sections = int(indices_or_sections)
    if sections < 1:
        raise ValueError(f"array_split: needs at least one section, got {sections}")
    size, longer = divmod(x.shape[axis], sections)
    return cut(x, [k * size + min(k, longer) for k in range(1, sections)], axis)


def _exactly(name: str, x: Value, sections: Any, axis: int) -> list[Value]:
    x = value_of(x)
    if x.ndim <= axis:
        raise ValueError(f"{name}: needs at least {counted(axis + 1, 'dimension')}, got shape {x.shape}")
    if isinstance(sections, (int, np.integer)) and (sections < 1 or x.shape[axis] % sections):
        raise ValueError(f"{name}: axis {axis} of shape {x.shape} does not divide into {sections}")
    return array_split(x, sections, axis)


def hsplit(x: Value, indices_or_sections: int | Sequence[int]) -> list[Value]:
    """`x` cut along the second axis, a vector along its only one."""
    return _exactly("hsplit", x, indices_or_sections, 0 if value_of(x).ndim == 1 else 1)


def vsplit(x: Value, indices_or_sections: int | Sequence[int]) -> list[Value]:
    """A value of at least two dimensions cut along the first axis."""
    if value_of(x).ndim < 2:
        raise ValueError(f"vsplit: needs at least 2 dimensions, got shape {value_of(x).shape}")
    return _exactly("vsplit", x, indices_or_sections, 0)


def dsplit(x: Value, indices_or_sections: int | Sequence[int]) -> list[Value]:
    """`x` cut along the third axis."""
    return _exactly("dsplit", x, indices_or_sections, 2)


# -------------------------------------------------------------------------------- repeated and turned


def pad(x: Value, pad_width: Any, mode: _Mode = "constant", constant_values: Any = 0.0) -> Value:
    """`x` with a border of a constant, or of its own elements: `mode` edge, reflect, symmetric or wrap."""
    if mode == "constant":
        return p.pad(x, pad_width, constant_values)
    if mode not in get_args(_Mode):
        raise ValueError(f"pad: mode must be one of {', '.join(get_args(_Mode))}, got {mode!r}")
    if np.any(constant_values):
        raise ValueError(f"pad: mode {mode!r} takes no constant_values")
    x = value_of(x)
    for axis, widths in enumerate(np.broadcast_to(np.asarray(pad_width), (x.ndim, 2))):
        if widths.any():
            x = p.take(x, np.pad(np.arange(x.shape[axis]), widths, mode), axis)
    return x


def repeat(x: Value, repeats: int | Sequence[int], axis: int | None = None) -> Value:
    """Every element along `axis` as many times; those of the flattened `x` when `axis` is None."""
    if axis is None:
        x, axis = ravel(x), 0
    x = value_of(x)
    axis = normal_axis("repeat", axis, x.ndim)
    return p.take(x, np.repeat(np.arange(x.shape[axis]), repeats), axis=axis)


def tile(x: Value, reps: int | Sequence[int]) -> Value:
    """`x` laid side by side as many times along each axis."""
    x = value_of(x)
    counts = [reps] if isinstance(reps, (int, np.integer)) else list(reps)
    rank = max(x.ndim, len(counts))
    counts = [1] * (rank - len(counts)) + counts
    sizes = (1,) * (rank - x.ndim) + x.shape
    apart = p.reshape(x, tuple(n for size in sizes for n in (1, size)))
    laid = p.broadcast_to(apart, tuple(n for pair in zip(counts, sizes, strict=True) for n in pair))
    return p.reshape(laid, tuple(count * size for count, size in zip(counts, sizes, strict=True)))


def roll(x: Value, shift: int | Sequence[int], axis: int | Sequence[int] | None = None) -> Value:
    """`x` with the elements along `axis` moved on by `shift` places, the last ones to the front."""
    x = value_of(x)
    if axis is None:
        return p.reshape(roll(ravel(x), shift, 0), x.shape)
    for by, along in np.broadcast(np.asarray(shift), np.asarray(axis)):
        along = normal_axis("roll", along, x.ndim)
        n = x.shape[along]
        if n and by % n:
            x = concatenate(cut(x, [n - int(by) % n], along)[::-1], along)
    return x


def rot90(x: Value, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Value:
    """`x` turned by a right angle `k` times in the plane of two axes, from the first towards the second."""
    x = value_of(x)
    first, second = (normal_axis("rot90", axis, x.ndim) for axis in axes)
    if first == second:
        raise ValueError(f"rot90: needs two different axes, got {axes}")
    if k % 4 in (0, 2):
        return p.flip(x, (first, second)) if k % 4 else x
    order = list(range(x.ndim))
    order[first], order[second] = second, first
    return p.flip(p.transpose(x, tuple(order)), first if k % 4 == 1 else second)


def fliplr(x: Value) -> Value:
    """`x` with the second axis reversed."""
    return p.flip(x, 1)


def flipud(x: Value) -> Value:
    """`x` with the first axis reversed."""
    return p.flip(x, 0)


def sort(x: Value, axis: int | None = -1) -> Value:
    """The elements in ascending order along `axis`, NaN last; the gradient goes back to where each came from."""
    if axis is None:
        x, axis = ravel(x), 0
    return p.take_along_axis(x, argsort(x, axis), axis)


# -------------------------------------------------------------------------------- parts of matrices


def _below(x: Value, k: int) -> Any:
    n, m = x.shape[-2:]
    return np.tri(n, m, k, dtype=bool)


def triu(x: Value, k: int = 0) -> Value:
    """The matrix, or each of a stack, with zeros below diagonal `k`."""
    x = value_of(x)
    return p.where(~_below(x, k - 1), x, 0.0)


def tril(x: Value, k: int = 0) -> Value:
    """The matrix, or each of a stack, with zeros above diagonal `k`."""
    x = value_of(x)
    return p.where(_below(x, k), x, 0.0)


def diagonal(x: Value, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Value:
    """The diagonal of the matrices in two axes, as the last axis."""
    x = moveaxis(x, (axis1, axis2), (-2, -1))
    n, m = x.shape[-2:]
    length = max(min(n + min(offset, 0), m - max(offset, 0)), 0)
    steps = np.arange(length)
    return x[..., steps + max(-offset, 0), steps + max(offset, 0)]


def diag(x: Value, k: int = 0) -> Value:
    """The diagonal of a matrix; of a vector, the matrix that has it as diagonal `k`."""
    x = value_of(x)
    if x.ndim == 2:
        return diagonal(x, k)
    if x.ndim != 1:
        raise ValueError(f"diag: needs a vector or a matrix, got shape {x.shape}")
    n, steps = x.shape[0] + abs(k), np.arange(x.shape[0])
    return p.scatter(x, (steps + max(-k, 0), steps + max(k, 0)), (n, n))


def full_like(x: Value, fill_value: Value, dtype: Any = None) -> Value:
    """`fill_value` in the shape and, unless told otherwise, the dtype of `x`."""
    zeros = zeros_like(x, dtype)
    return p.astype(p.add(zeros, fill_value), value_of(zeros).dtype)

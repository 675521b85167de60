"""Elements of arrays by their places: indices, and what adds to such places."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..recipe import OfBatch, Range, Rows
from .at import At, Size, axes_of, ints
from .model import Array

__all__ = ["flip", "getitem", "scatter", "scatter_along_axis", "take", "take_along_axis"]

_INT64 = np.iinfo(np.int64)


def flip(at: At, x: Any, axis: Any = None) -> Any:
    axes = axes_of(axis, len(at.shapes[0]))
    count = len(axes)
    ends = ints(*[_INT64.max] * count), ints(*[_INT64.min] * count)
    return at.node("Slice", x, *ends, ints(*axes), ints(*[-1] * count)) if axes else x


def getitem(at: At, x: Any, index: Any) -> Any:
    parts = _parts(at, index, len(at.shapes[0]))
    if any(isinstance(part, (np.ndarray, Range, Rows)) for part in parts):
        return _gather(at, x, parts)
    found, axis = x, 0
    slices: list[tuple[int, Any, Any, Any]] = []
    dropped: list[int] = []
    added: list[int] = []
    for part in parts:
        if part is None:
            added.append(len(added) + axis - len(dropped))
            continue
        if isinstance(part, slice):
            if part != slice(None):
                slices.append((axis, part.start, part.stop, part.step))
        else:
            last = isinstance(part, int) and part == -1
            slices.append((axis, part, None if last else _next(part), None))
            dropped.append(axis)
        axis += 1
    if len(slices) == len(dropped) == 1 and isinstance(slices[0][1], int):
        found = at.node("Gather", found, np.array(slices[0][1], np.int64), axis=dropped[0])
    elif slices:
        found = _sliced(at, found, slices)
        found = at.node("Squeeze", found, ints(*dropped)) if dropped else found
    return at.node("Unsqueeze", found, ints(*added)) if added else found


def _next(size: Any) -> Any:
    return size._replace(offset=size.offset + 1) if isinstance(size, OfBatch) else size + 1


def _parts(at: At, index: Any, rank: int) -> list[Any]:
    """An index by axis: slices, numbers, arrays and None, whole axes at its end included."""
    found: list[Any] = []
    for part in index if isinstance(index, tuple) else (index,):
        if isinstance(part, (list, np.ndarray)):
            array = np.asarray(part)
            if array.dtype == bool:
                found += list(np.nonzero(array))
            else:
                found.append(int(array) if not array.ndim else array.astype(np.int64))
        else:
            found.append(int(part) if isinstance(part, np.integer) else part)
    missing = rank - sum(part is not None and part is not Ellipsis for part in found)
    place = next((k for k, part in enumerate(found) if part is Ellipsis), len(found))
    return [*found[:place], *[slice(None)] * missing, *found[place + 1 :]]


def _sliced(at: At, x: Any, slices: Sequence[tuple[int, Any, Any, Any]]) -> Any:
    starts: list[Any] = []
    stops: list[Any] = []
    steps: list[int] = []
    for _, start, stop, step in slices:
        step = 1 if step is None else int(step)
        ends = (0, _INT64.max) if step > 0 else (_INT64.max, _INT64.min)
        starts.append(int(ends[0]) if start is None else start)
        stops.append(int(ends[1]) if stop is None else stop)
        steps.append(step)
    given = [at.sizes(starts), at.sizes(stops), ints(*[axis for axis, *_ in slices])]
    given += [ints(*steps)] if any(step != 1 for step in steps) else []
    return at.node("Slice", x, *given, dtype=x.dtype)


def _gather(at: At, x: Any, parts: Sequence[Any]) -> Any:
    """Elements at the places of arrays."""
    arrays = [k for k, part in enumerate(parts) if not (part is None or isinstance(part, slice))]
    if len(arrays) == 1 and all(part is not None for part in parts):
        slices = [(k, p.start, p.stop, p.step) for k, p in enumerate(parts) if k not in arrays and p != slice(None)]
        x = _sliced(at, x, slices) if slices else x
        return at.node("Gather", x, at.constant(parts[arrays[0]]), axis=arrays[0])
    lead, places, rest = _places(at, at.shapes[0], parts)
    flat = at.reshape(x, [*at.shapes[0][: int(lead)], math.prod(rest)])
    return at.node("Gather", flat, places, axis=int(lead))


def _places(at: At, shape: Sequence[Size], parts: Sequence[Any]) -> tuple[bool, Array, tuple[int, ...]]:
    """Where the elements of an index stand in the flat array.

    Returns
    -------
    lead : bool
        Whether the first axis is the batch, whole, and the places are those in the rest.
    places : array
    rest : tuple of int
        The shape in which they are.
    """
    lead = bool(shape) and not isinstance(shape[0], int)
    rest, inner = tuple(shape[1:]) if lead else tuple(shape), tuple(parts[1:]) if lead else tuple(parts)
    apart = [k for k, part in enumerate(inner) if not (part is None or isinstance(part, slice))]
    fits = all(isinstance(size, int) for size in rest) and (
        not lead or (isinstance(parts[0], slice) and parts[0] == slice(None))
    )
    fits &= not any(isinstance(part, (Range, Rows)) for part in parts)
    if not fits or (lead and apart and apart[-1] - apart[0] >= len(apart)):
        raise at.refuse("an index by arrays that depend on the batch has no counterpart")
    numbers = np.arange(math.prod(rest), dtype=np.int64).reshape(rest)  # type: ignore[arg-type]
    return lead, numbers[inner], rest  # type: ignore[return-value]


def scatter(at: At, values: Any, index: Any, shape: Any) -> Any:
    """Zeros of `shape` with `values` added at `index`."""
    lead, places, rest = _places(at, at.shape, _parts(at, index, len(at.shape)))
    like: list[Size] = [at.shape[0] if lead else 1]
    flat = at.reshape(values, [*like, places.size])
    zeros = at.fill(0, [*like, math.prod(rest)], at.dtype)
    spread = at.node("Expand", places.reshape(1, -1), at.sizes([*like, places.size]), dtype=np.int64)
    return at.reshape(at.node("ScatterElements", zeros, spread, flat, axis=1, reduction="add"), at.shape)


def take(at: At, x: Any, indices: Any, axis: Any = None) -> Any:
    indices = at.cast(indices, np.dtype(np.int64))
    flat = at.node("Reshape", x, ints(-1), dtype=x.dtype) if axis is None else x
    return at.node("Gather", flat, indices, axis=0 if axis is None else int(axis))


def take_along_axis(at: At, x: Any, indices: Any, axis: int = -1) -> Any:
    indices = at.cast(indices, np.dtype(np.int64))
    if at.shapes[1] != at.shape:
        indices = at.node("Expand", indices, at.sizes(at.shape), dtype=np.int64)
    wide = [at.shapes[0][k] if k == axis % len(at.shape) else size for k, size in enumerate(at.shape)]
    x = x if at.shapes[0] == tuple(wide) else at.node("Expand", x, at.sizes(wide))
    return at.node("GatherElements", x, indices, axis=int(axis))


def scatter_along_axis(at: At, values: Any, indices: Any, length: int, axis: int = -1) -> Any:
    indices = at.cast(indices, np.dtype(np.int64))
    if at.shapes[1] != at.shapes[0]:
        indices = at.node("Expand", indices, at.sizes(at.shapes[0]), dtype=np.int64)
    zeros = at.fill(0, at.shape, at.dtype)
    return at.node("ScatterElements", zeros, indices, values, axis=int(axis), reduction="add")

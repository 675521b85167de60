"""Primitives that read and write at places that are values: gather, scatter, and slices that begin at one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ....autodiff import primitives as p
from ....autodiff.primitive import Value
from ..graph import plain
from ..operators import primitive


def _is_known(x: Value) -> bool:
    return isinstance(x, (int, np.ndarray, np.generic))


def _start(start: Value, n: int, size: int) -> Value:
    """Where a slice begins: so that it lies inside."""
    if _is_known(start):
        return min(max(int(start), 0), n - size)
    return p.minimum(p.maximum(start, 0), n - size)


@primitive("dynamic_slice")
def _dynamic_slice(x: Value, *starts: Value, slice_sizes: Sequence[int]) -> Value:
    sizes = [int(n) for n in slice_sizes]
    begin = [_start(s, n, size) for s, n, size in zip(starts, x.shape, sizes, strict=True)]
    index = tuple(
        slice(b, b + size) if isinstance(b, int) and size != n else slice(None)
        for b, n, size in zip(begin, x.shape, sizes, strict=True)
    )
    if any(part != slice(None) for part in index):
        x = p.getitem.on((x,), {"index": index})
    for axis, (b, size) in enumerate(zip(begin, sizes, strict=True)):
        if not isinstance(b, int) and size != x.shape[axis]:
            x = p.take(x, p.add(p.reshape(b, (1,)), np.arange(size)), axis=axis)
    return x


@primitive("dynamic_update_slice")
def _dynamic_update_slice(x: Value, update: Value, *starts: Value) -> Value:
    sizes = update.shape
    begin = [_start(s, n, size) for s, n, size in zip(starts, x.shape, sizes, strict=True)]
    inside: Any = np.ones((), bool)
    for axis, (b, size, n) in enumerate(zip(begin, sizes, x.shape, strict=True)):
        if size == n:
            continue
        offset = p.subtract(np.arange(n), b if isinstance(b, int) else p.reshape(b, (1,)))
        update = p.take(update, p.minimum(p.maximum(offset, 0), size - 1), axis=axis)
        here = p.logical_and(p.greater_equal(offset, 0), p.less(offset, size))
        inside = p.logical_and(inside, p.reshape(here, tuple(n if k == axis else 1 for k in range(len(x.shape)))))
    return p.where(inside, update, x)


# ----------------------------------------------------------------------------- gather and scatter


def _places(indices: Value, dims: Any, shape: Sequence[int], window: Sequence[int]) -> tuple[Any, Any]:
    """Flat places of every element that is read or written, with those of each window last; and which windows lie
    inside.

    Parameters
    ----------
    indices : array (..., number of indexed axes)
    dims : (axes indexed, axes of the array that are batches, axes of the indices that are)
    shape : tuple of int
        Of the array.
    window : tuple of int
        How much of each axis a window takes.
    """
    indexed, batches, of_indices = dims
    places = plain(indices)
    outside = places.shape[:-1]
    starts = [np.zeros(outside, np.int64) for _ in shape]
    for k, axis in enumerate(indexed):
        starts[axis] = places[..., k].astype(np.int64)
    for axis, of in zip(batches, of_indices, strict=True):
        grid = np.arange(shape[axis]).reshape([-1 if k == of else 1 for k in range(len(outside))])
        starts[axis] = np.broadcast_to(grid, outside)
    is_inside = np.ones(outside, bool)
    for start, n, size in zip(starts, shape, window, strict=True):
        is_inside &= (start >= 0) & (start <= n - size)
    flat = np.zeros((*outside, *window), np.int64)
    step = 1
    for axis in reversed(range(len(shape))):
        start = np.clip(starts[axis], 0, max(shape[axis] - window[axis], 0))
        offsets = np.arange(window[axis]).reshape([-1 if k == axis else 1 for k in range(len(window))])
        flat = flat + step * (start.reshape(*outside, *(1,) * len(window)) + offsets)
        step *= shape[axis]
    return flat, is_inside


def _mode(mode: Any) -> str:
    return str(mode).rpartition(".")[2].lower()


def _one_axis(dims: Any, shape: Sequence[int], window: Sequence[int]) -> int | None:
    """The axis of which whole rows are taken, if it is that simple."""
    axis: int = dims.start_index_map[0] if len(dims.start_index_map) == 1 else -1
    rest = [n for k, n in enumerate(shape) if k != axis]
    simple = (
        axis >= 0
        and window[axis] == 1
        and tuple(dims.collapsed_slice_dims) == (axis,)
        and [n for k, n in enumerate(window) if k != axis] == rest
        and not dims.operand_batching_dims
    )
    return axis if simple else None


@primitive("gather")
def _gather(
    x: Value, indices: Value, *, dimension_numbers: Any, slice_sizes: Sequence[int], mode: Any, fill_value: Any
) -> Value:
    dims, window = dimension_numbers, tuple(int(n) for n in slice_sizes)
    fills = "fill" in _mode(mode)
    axis = _one_axis(dims, x.shape, window)
    outside = len(indices.shape) - 1
    if axis is not None and tuple(dims.offset_dims) == tuple(
        k if k < axis else k + outside for k in range(len(x.shape) - 1)
    ):
        places = p.reshape(indices, indices.shape[:-1])
        last = x.shape[axis] - 1
        taken = p.take(x, p.minimum(p.maximum(places, 0), last), axis=axis)
        if not fills:
            return taken
        good = p.logical_and(p.greater_equal(places, 0), p.less_equal(places, last))
        if isinstance(good, np.ndarray) and good.all():
            return taken
        around = (*(1,) * axis, *good.shape, *(1,) * (len(x.shape) - 1 - axis))
        return p.where(p.reshape(good, around), taken, _fill(fill_value, x.dtype))
    batching = tuple(dims.operand_batching_dims), tuple(dims.start_indices_batching_dims)
    flat, inside = _places(indices, (dims.start_index_map, *batching), x.shape, window)
    gone = {*dims.collapsed_slice_dims, *dims.operand_batching_dims}
    kept = [k for k in range(len(window)) if k not in gone]
    flat = flat.reshape(*flat.shape[:outside], *(window[k] for k in kept))
    taken = p.reshape(p.take(p.reshape(x, (-1,)), flat.reshape(-1), axis=0), flat.shape)
    if fills and not inside.all():
        good = inside.reshape(*inside.shape, *(1,) * len(kept))
        taken = p.where(np.broadcast_to(good, flat.shape), taken, _fill(fill_value, x.dtype))
    order = [0] * len(flat.shape)
    places_outside = [k for k in range(len(flat.shape)) if k not in dims.offset_dims]
    for k, place in enumerate([*places_outside, *dims.offset_dims]):
        order[place] = k
    return taken if order == sorted(order) else p.transpose(taken, tuple(order))


def _fill(value: Any, dtype: Any) -> Any:
    if value is not None:
        return np.asarray(value, dtype)
    return np.asarray(np.nan if dtype.kind == "f" else np.iinfo(dtype).min if dtype.kind == "i" else 0, dtype)


def _updates(x: Value, indices: Value, updates: Value, dims: Any, mode: Any) -> tuple[Any, Any]:
    """Flat places, and the updates that go there, those that fall outside left out."""
    window_axes = tuple(dims.update_window_dims)
    gone = {*dims.inserted_window_dims, *dims.operand_batching_dims}
    sizes = iter([updates.shape[k] for k in window_axes])
    window = tuple(1 if k in gone else next(sizes) for k in range(len(x.shape)))
    batching = tuple(dims.operand_batching_dims), tuple(dims.scatter_indices_batching_dims)
    flat, inside = _places(indices, (dims.scatter_dims_to_operand_dims, *batching), x.shape, window)
    outside = [k for k in range(len(updates.shape)) if k not in window_axes]
    order = (*outside, *window_axes)
    moved = updates if order == tuple(range(len(order))) else p.transpose(updates, order)
    values = p.reshape(moved, (-1,))
    flat = flat.reshape(-1)
    if "clip" not in _mode(mode) and not inside.all():
        kept = np.nonzero(np.broadcast_to(inside.reshape(*inside.shape, 1), (*inside.shape, math.prod(window))).ravel())
        flat, values = flat[kept], p.take(values, kept[0], axis=0)
    return flat, values


@primitive("scatter-add", "scatter_add")
def _scatter_add(x: Value, indices: Value, updates: Value, *, dimension_numbers: Any, mode: Any) -> Value:
    flat, values = _updates(x, indices, updates, dimension_numbers, mode)
    added = p.scatter_along_axis(values, flat, length=math.prod(x.shape), axis=0)
    return p.add(x, p.reshape(added, x.shape))


@primitive("scatter")
def _scatter(x: Value, indices: Value, updates: Value, *, dimension_numbers: Any, mode: Any) -> Value:
    flat, values = _updates(x, indices, updates, dimension_numbers, mode)
    source = np.full(math.prod(x.shape), -1)
    source[flat] = np.arange(len(flat))  # of several at one place the last
    if not len(flat):
        return x
    written = p.take(values, np.maximum(source, 0), axis=0)
    return p.where((source >= 0).reshape(x.shape), p.reshape(written, x.shape), x)

"""Operators that make, join, cut, turn and pick; and what they take for their shapes and places."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ....autodiff import arrangement, functions
from ....autodiff import primitives as p
from ....autodiff.primitive import Value
from ....autodiff.tensor import Tensor
from ..operators import Place, Results, bounded, integers, operator, plain

# ------------------------------------------------------------------------------------------ shapes


@operator("Shape")
def _shape(x: Value, *, start: int = 0, end: int | None = None) -> Value:
    return np.array(x.shape[start:end], np.int64)


@operator("Size")
def _size(x: Value) -> Value:
    return np.array(math.prod(x.shape), np.int64)


@operator("Reshape")
def _reshape(x: Value, shape: Value, *, allowzero: int = 0) -> Value:
    sizes = [x.shape[k] if n == 0 and not allowzero else n for k, n in enumerate(integers(shape))]
    return p.reshape(x, tuple(sizes))


@operator("Flatten")
def _flatten(x: Value, *, axis: int) -> Value:
    axis = axis + len(x.shape) if axis < 0 else axis
    return p.reshape(x, (math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))


@operator("Squeeze")
def _squeeze(x: Value, axes: Value = None) -> Value:
    ones = tuple(k for k, n in enumerate(x.shape) if n == 1) if axes is None else tuple(integers(axes))
    return functions.squeeze(x, ones)


@operator("Unsqueeze")
def _unsqueeze(x: Value, axes: Value) -> Value:
    return functions.expand_dims(x, tuple(integers(axes)))


@operator("Transpose")
def _transpose(x: Value, *, perm: Sequence[int] | None = None) -> Value:
    return p.transpose(x, None if perm is None else tuple(perm))


@operator("Expand")
def _expand(x: Value, shape: Value) -> Value:
    sizes = bounded(np.broadcast_shapes(x.shape, bounded(integers(shape))))
    return x if sizes == x.shape else p.broadcast_to(x, sizes)


@operator("Tile", since=6)
def _tile(x: Value, repeats: Value) -> Value:
    counts = integers(repeats)
    bounded([*counts, *[n for n in x.shape if n]])
    return arrangement.tile(x, counts)


# --------------------------------------------------------------------------------- joined and cut


@operator("Concat")
def _concat(*operands: Value, axis: int) -> Value:
    return functions.concatenate(operands, axis)


@operator("Split")
def _split(x: Value, split: Value = None, *, axis: int, num_outputs: int | None = None, at: Place) -> Any:
    axis = functions.normal_axis("Split", axis, len(x.shape))
    n, count = x.shape[axis], num_outputs or len(at.outputs)
    if split is None:
        size = -(-n // count)
        sizes = [size] * (count - 1) + [n - size * (count - 1)]
    else:
        sizes = integers(split)
    if sum(sizes) != n or min(sizes, default=0) < 0 or len(sizes) != len(at.outputs):
        raise ValueError(f"axis {axis} of length {n} is not to be cut into {sizes}")
    return Results(functions.cut(x, [int(k) for k in np.cumsum(sizes)[:-1]], axis))


@operator("Slice")
def _slice(x: Value, starts: Value, ends: Value, axes: Value = None, steps: Value = None) -> Value:
    first, last = integers(starts), integers(ends)
    over = list(range(len(first))) if axes is None else integers(axes)
    by = [1] * len(first) if steps is None else integers(steps)
    index = [slice(None)] * len(x.shape)
    for start, end, axis, step in zip(first, last, over, by, strict=True):
        axis = functions.normal_axis("Slice", axis, len(x.shape))
        n = x.shape[axis]
        if step > 0:
            index[axis] = slice(start, end, step)
        else:
            start = min(start + n if start < 0 else start, n - 1)
            end = end + n if end < 0 else end
            index[axis] = slice(start, None if end < 0 else end, step) if start >= 0 else slice(0, 0)
    return p.getitem.on((x,), {"index": tuple(index)})


@operator("Pad")
def _pad(
    x: Value, pads: Value, constant_value: Value = None, axes: Value = None, *, mode: str, value: float = 0.0
) -> Value:
    widths, rank = integers(pads), len(x.shape)
    over = [functions.normal_axis("Pad", k, rank) for k in (range(rank) if axes is None else integers(axes))]
    if len(widths) != 2 * len(over):
        raise ValueError(f"{len(widths)} pads for {len(over)} axes")
    pairs = [(0, 0)] * rank
    for k, axis in enumerate(over):
        pairs[axis] = (widths[k], widths[k + len(over)])
    bounded([max(n + a + b, 0) for n, (a, b) in zip(x.shape, pairs, strict=True)])
    cut = tuple(slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(x.shape, pairs, strict=True))
    x = x if min(widths, default=0) >= 0 else p.getitem.on((x,), {"index": cut})
    pairs = [(max(a, 0), max(b, 0)) for a, b in pairs]
    if mode == "constant":
        if isinstance(constant_value, Tensor) and constant_value.dtype.kind == "f":  # which has a gradient
            inside = np.pad(np.ones(x.shape, bool), pairs)
            return p.where(inside, p.pad(x, pairs), p.reshape(constant_value, ()))
        fill = value if constant_value is None else plain(constant_value).reshape(-1)[0].item()
        return p.pad(x, pairs, fill)
    return arrangement.pad(x, pairs, mode)  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------- picking


def _places(indices: Value, n: int) -> Any:
    """Places along an axis of length `n`, which ONNX may count from the end, too."""
    places = plain(indices)
    if places.size and (places.min() < -n or places.max() >= n):
        raise ValueError(f"indices reach from {places.min()} to {places.max()} on an axis of length {n}")
    return np.where(places < 0, places + n, places)


@operator("Gather")
def _gather(x: Value, indices: Value, *, axis: int) -> Value:
    axis = functions.normal_axis("Gather", axis, len(x.shape))
    places = _places(indices, x.shape[axis])
    bounded((*x.shape[:axis], *places.shape, *x.shape[axis + 1 :]))
    return p.take(x, places, axis=axis)


@operator("GatherElements")
def _gather_elements(x: Value, indices: Value, *, axis: int) -> Value:
    axis = functions.normal_axis("GatherElements", axis, len(x.shape))
    places = _places(indices, x.shape[axis])
    corner = tuple(slice(None) if k == axis else slice(n) for k, n in enumerate(places.shape))
    return p.take_along_axis(p.getitem.on((x,), {"index": corner}), places, axis=axis)


@operator("Trilu")
def _trilu(x: Value, k: Value = None, *, upper: int) -> Value:
    diagonal = 0 if k is None else integers(k)[0]
    n, m = x.shape[-2:]
    diagonal = max(-n - 1, min(m + 1, diagonal))
    kept = ~np.tri(n, m, diagonal - 1, dtype=bool) if upper else np.tri(n, m, diagonal, dtype=bool)
    return p.where(kept, x, np.zeros((), x.dtype))


@operator("NonZero")
def _nonzero(x: Value) -> Value:
    return np.array(np.nonzero(plain(x)), np.int64).reshape(len(x.shape), -1)


@operator("Compress")
def _compress(x: Value, condition: Value, *, axis: int | None = None) -> Value:
    x, axis = (p.reshape(x, (-1,)), 0) if axis is None else (x, functions.normal_axis("Compress", axis, len(x.shape)))
    kept = np.flatnonzero(plain(condition))
    if kept.size and kept[-1] >= x.shape[axis]:
        raise ValueError(f"keeps element {kept[-1]} of an axis of length {x.shape[axis]}")
    return p.take(x, kept, axis=axis)


@operator("ReverseSequence")
def _reverse_sequence(x: Value, sequence_lens: Value, *, batch_axis: int, time_axis: int) -> Value:
    if {batch_axis, time_axis} != {0, 1} or len(x.shape) < 2:
        raise ValueError(f"time and batch must be the axes 0 and 1, got {time_axis} and {batch_axis}")
    steps, batch = x.shape[time_axis], x.shape[batch_axis]
    lengths, t = np.asarray(integers(sequence_lens), np.int64), np.arange(steps)[:, None]
    if lengths.shape != (batch,) or (lengths < 0).any() or (lengths > steps).any():
        raise ValueError(f"sequence_lens must be {batch} numbers in 0..{steps}, got {lengths}")
    places, rows = np.where(t < lengths, lengths - 1 - t, t), np.broadcast_to(np.arange(batch), (steps, batch))
    index = (places, rows) if time_axis == 0 else (rows.T, places.T)
    return p.getitem.on((x,), {"index": index})


@operator("Unique")
def _unique(x: Value, *, axis: int | None = None, sorted: int) -> Any:
    x, axis = (p.reshape(x, (-1,)), 0) if axis is None else (x, functions.normal_axis("Unique", axis, len(x.shape)))
    _, first, inverse, counts = np.unique(
        plain(x), return_index=True, return_inverse=True, return_counts=True, axis=axis
    )
    order = np.arange(first.size) if sorted else np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(order.size)
    places = (first[order], rank[inverse.reshape(-1)], counts[order])
    return Results([p.take(x, first[order], axis=axis), *(found.astype(np.int64) for found in places)])


@operator("DepthToSpace")
def _depth_to_space(x: Value, *, blocksize: int, mode: str = "DCR") -> Value:
    batch, depth, *sizes = x.shape
    rank, rest = len(sizes), depth // max(blocksize, 1) ** len(sizes)
    blocks = (blocksize,) * rank
    first = mode == "DCR"
    cut = p.reshape(x, (batch, *blocks, rest, *sizes) if first else (batch, rest, *blocks, *sizes))
    starts = range(1, rank + 1) if first else range(2, rank + 2)
    pairs = [axis for k, start in enumerate(starts) for axis in (2 + rank + k, start)]
    turned = p.transpose(cut, (0, 1 + rank if first else 1, *pairs))
    return p.reshape(turned, (batch, rest, *(n * blocksize for n in sizes)))


@operator("SpaceToDepth")
def _space_to_depth(x: Value, *, blocksize: int, mode: str = "DCR") -> Value:
    batch, depth, *sizes = x.shape
    if blocksize < 1 or any(n % blocksize for n in sizes):
        raise ValueError(f"axes of lengths {sizes} are not to be cut into blocks of {blocksize}")
    rank = len(sizes)
    cut = p.reshape(x, (batch, depth, *(m for n in sizes for m in (n // blocksize, blocksize))))
    blocks, places = [3 + 2 * k for k in range(rank)], [2 + 2 * k for k in range(rank)]
    turned = p.transpose(cut, (0, *blocks, 1, *places) if mode == "DCR" else (0, 1, *blocks, *places))
    return p.reshape(turned, (batch, depth * blocksize**rank, *(n // blocksize for n in sizes)))


# -------------------------------------------------------------------------------------- constants


@operator("Constant")
def _constant(
    *,
    value: Any = None,
    value_float: Any = None,
    value_floats: Any = None,
    value_int: Any = None,
    value_ints: Any = None,
) -> Value:
    if value is not None:
        return value
    for given in (value_float, value_floats):
        if given is not None:
            return np.array(given, np.float32)
    for given in (value_int, value_ints):
        if given is not None:
            return np.array(given, np.int64)
    raise ValueError("holds no number")


@operator("ConstantOfShape")
def _constant_of_shape(shape: Value, *, value: Any = None) -> Value:
    fill = np.zeros(1, np.float32) if value is None else value
    return np.full(bounded(integers(shape)), fill.reshape(-1)[0], fill.dtype)


@operator("Range")
def _range(start: Value, limit: Value, delta: Value) -> Value:
    first, last, step = (plain(x).reshape(-1)[0] for x in (start, limit, delta))
    numbers = np.arange(*bounded([max(math.ceil((last - first) / step), 0)]))
    if first.dtype.kind != "f":
        return (first + numbers * step).astype(first.dtype)
    steps = p.multiply(p.reshape(delta, ()), numbers.astype(first.dtype))
    return p.add(p.reshape(start, ()), steps)


@operator("EyeLike")
def _eye_like(x: Value, *, dtype: Any = None, k: int) -> Value:
    rows, columns = x.shape
    return np.eye(rows, columns, k, dtype=dtype or x.dtype)

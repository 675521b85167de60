"""Primitives that cut, join, turn and spread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ....autodiff import functions
from ....autodiff import primitives as p
from ....autodiff.primitive import Value
from ..operators import Results, primitive


def _array(x: Value) -> Value:
    """A number as an array, which has a shape."""
    return x if hasattr(x, "shape") else np.asarray(x)


@primitive("broadcast_in_dim")
def _broadcast_in_dim(x: Value, *, shape: Sequence[int], broadcast_dimensions: Sequence[int]) -> Value:
    x = _array(x)
    sizes = [1] * len(shape)
    for k, axis in enumerate(broadcast_dimensions):
        sizes[axis] = x.shape[k]
    if tuple(sizes) != tuple(x.shape):
        x = p.reshape(x, tuple(sizes))
    return x if tuple(sizes) == tuple(shape) else p.broadcast_to(x, tuple(int(n) for n in shape))


@primitive("reshape")
def _reshape(x: Value, *, new_sizes: Sequence[int], dimensions: Any = None) -> Value:
    x = _array(x)
    if dimensions is not None:
        x = p.transpose(x, tuple(dimensions))
    return p.reshape(x, tuple(int(n) for n in new_sizes))


@primitive("squeeze")
def _squeeze(x: Value, *, dimensions: Sequence[int]) -> Value:
    return p.reshape(x, tuple(n for k, n in enumerate(x.shape) if k not in dimensions))


@primitive("expand_dims")
def _expand_dims(x: Value, *, dimensions: Sequence[int]) -> Value:
    return functions.expand_dims(x, tuple(dimensions))


@primitive("transpose")
def _transpose(x: Value, *, permutation: Sequence[int]) -> Value:
    order = tuple(int(k) for k in permutation)
    return x if order == tuple(range(len(order))) else p.transpose(x, order)


@primitive("concatenate")
def _concatenate(*operands: Value, dimension: int) -> Value:
    return operands[0] if len(operands) == 1 else functions.concatenate(operands, dimension)


@primitive("split")
def _split(x: Value, *, sizes: Sequence[int], axis: int) -> Any:
    return Results(functions.cut(x, [int(k) for k in np.cumsum(sizes)[:-1]], axis))


@primitive("slice")
def _slice(x: Value, *, start_indices: Sequence[int], limit_indices: Sequence[int], strides: Any = None) -> Value:
    by = strides or [1] * len(start_indices)
    index = tuple(
        slice(int(a), int(b), int(s)) if (a, b, s) != (0, n, 1) else slice(None)
        for a, b, s, n in zip(start_indices, limit_indices, by, x.shape, strict=True)
    )
    return x if all(part == slice(None) for part in index) else p.getitem.on((x,), {"index": index})


@primitive("rev")
def _rev(x: Value, *, dimensions: Sequence[int]) -> Value:
    return p.flip(x, tuple(dimensions)) if dimensions else x


@primitive("pad")
def _pad(x: Value, fill: Value, *, padding_config: Sequence[tuple[int, int, int]]) -> Value:
    config = [tuple(int(n) for n in part) for part in padding_config]
    sizes = [max(n + (n - 1) * gap, 0) if n else 0 for n, (_, _, gap) in zip(x.shape, config, strict=True)]
    mask = None
    if not _is_zero(fill):
        mask = _padded(np.ones(x.shape, x.dtype), config, sizes)
    padded = _padded(x, config, sizes)
    return padded if mask is None else p.where(mask != 0, padded, fill)


def _is_zero(fill: Value) -> bool:
    return not hasattr(fill, "op") and isinstance(fill, (int, float, np.ndarray)) and not np.any(fill)


def _padded(x: Value, config: Any, sizes: Sequence[int]) -> Value:
    """With zeros around it and in between; with less where a width is negative."""
    if any(gap for _, _, gap in config):
        index = tuple(slice(None, None, 1 + gap) for _, _, gap in config)
        x = p.scatter.on((x,), {"index": index, "shape": tuple(sizes)})
    cut = tuple(slice(max(-a, 0), n - max(-b, 0)) for n, (a, b, _) in zip(sizes, config, strict=True))
    if any(a < 0 or b < 0 for a, b, _ in config):
        x = p.getitem.on((x,), {"index": cut})
    widths = [(max(a, 0), max(b, 0)) for a, b, _ in config]
    return p.pad(x, widths) if any(map(any, widths)) else x


@primitive("optimization_barrier")
def _optimization_barrier(*operands: Value) -> Any:
    return Results(operands)

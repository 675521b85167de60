"""Primitives that sum, choose and order along axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ....autodiff import discrete, reductions
from ....autodiff import primitives as p
from ....autodiff.primitive import Value
from ..operators import Results, primitive


def _over(axes: Sequence[int]) -> tuple[int, ...]:
    return tuple(int(axis) for axis in axes)


@primitive("reduce_sum")
def _reduce_sum(x: Value, *, axes: Sequence[int]) -> Value:
    return p.sum(x, axis=_over(axes)) if len(axes) else x


@primitive("reduce_max")
def _reduce_max(x: Value, *, axes: Sequence[int]) -> Value:
    return p.max(x, axis=_over(axes)) if len(axes) else x


@primitive("reduce_min")
def _reduce_min(x: Value, *, axes: Sequence[int]) -> Value:
    return p.min(x, axis=_over(axes)) if len(axes) else x


@primitive("reduce_prod")
def _reduce_prod(x: Value, *, axes: Sequence[int]) -> Value:
    return p.prod(x, axis=_over(axes)) if len(axes) else x


@primitive("reduce_and")
def _reduce_and(x: Value, *, axes: Sequence[int]) -> Value:
    return discrete.all(x, axis=_over(axes))


@primitive("reduce_or")
def _reduce_or(x: Value, *, axes: Sequence[int]) -> Value:
    return discrete.any(x, axis=_over(axes))


@primitive("argmax")
def _argmax(x: Value, *, axes: Sequence[int], index_dtype: Any) -> Value:
    return p.astype(discrete.argmax(x, axis=int(axes[0])), np.dtype(index_dtype))


@primitive("argmin")
def _argmin(x: Value, *, axes: Sequence[int], index_dtype: Any) -> Value:
    return p.astype(discrete.argmin(x, axis=int(axes[0])), np.dtype(index_dtype))


@primitive("cumsum")
def _cumsum(x: Value, *, axis: int, reverse: bool) -> Value:
    return p.flip(p.cumsum(p.flip(x, axis), axis=axis), axis) if reverse else p.cumsum(x, axis=axis)


@primitive("cumprod")
def _cumprod(x: Value, *, axis: int, reverse: bool) -> Value:
    if reverse:
        return p.flip(reductions.cumprod(p.flip(x, axis), axis=axis), axis)
    return reductions.cumprod(x, axis=axis)


def _refuses_keys(num_keys: int, **_: Any) -> str:
    return "" if num_keys == 1 else "sorts by several keys"


@primitive("sort", refuses=_refuses_keys)
def _sort(*operands: Value, dimension: int) -> Any:
    order = discrete.argsort(operands[0], axis=dimension)
    return Results([p.take_along_axis(x, order, axis=dimension) for x in operands])


@primitive("top_k")
def _top_k(x: Value, *, k: int, axis: int = -1) -> Any:
    order = p.getitem.on(
        (discrete.argsort(p.negative(x), axis=axis),), {"index": (*(slice(None),) * (axis % len(x.shape)), slice(0, k))}
    )
    return Results([p.take_along_axis(x, order, axis=axis), p.astype(order, np.dtype(np.int32))])

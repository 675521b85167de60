"""Whole numbers that stand for others: what comes out of them has gradients, what goes in has none."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ....autodiff import primitives as p
from ....autodiff.functions import normal_axis
from ....autodiff.primitive import Value
from ..operators import operator, plain


def _along(value: Value, shape: tuple[int, ...], axis: int, block: int) -> Value:
    """A scale or zero point of one number, or of one a place along an axis, or of one a block of such."""
    if not value.shape or value.shape == (1,):
        return p.reshape(value, ())
    axis = normal_axis("axis", axis, len(shape))
    if block:
        places = np.arange(shape[axis]) // block
        if places.size and places[-1] >= value.shape[axis]:
            raise ValueError(f"{value.shape} are no blocks of {block} of {shape}")
        return p.take(value, places, axis=axis)
    return p.reshape(value, tuple(n if k == axis else 1 for k, n in enumerate(shape)))


@operator("DequantizeLinear")
def _dequantize(
    x: Value, scale: Value, zero_point: Value = None, *, axis: int = 1, block_size: int = 0, output_dtype: Any = None
) -> Value:
    dtype = output_dtype or scale.dtype
    whole: Value = plain(x).astype(np.int64)
    if zero_point is not None:
        whole = whole - plain(_along(plain(zero_point), x.shape, axis, block_size)).astype(np.int64)
    result = p.multiply(whole.astype(scale.dtype), _along(scale, x.shape, axis, block_size))
    return result if result.dtype == dtype else p.astype(result, dtype)


@operator("QuantizeLinear")
def _quantize(
    x: Value,
    scale: Value,
    zero_point: Value = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: Any = None,
    saturate: int = 1,
) -> Value:
    dtype = zero_point.dtype if zero_point is not None else np.dtype(output_dtype or np.uint8)
    whole = np.rint(plain(x) / plain(_along(plain(scale), x.shape, axis, block_size)))
    if zero_point is not None:
        whole = whole + plain(_along(plain(zero_point), x.shape, axis, block_size))
    return _saturated(whole, dtype)


def _saturated(whole: npt.NDArray[Any], dtype: np.dtype[Any]) -> Value:
    limits = np.iinfo(dtype)
    return np.clip(np.nan_to_num(whole, nan=0.0), limits.min, limits.max).astype(dtype)


@operator("MatMulInteger")
def _matmul_integer(a: Value, b: Value, a_zero_point: Value = None, b_zero_point: Value = None) -> Value:
    left, right = plain(a).astype(np.int32), plain(b).astype(np.int32)
    if a_zero_point is not None:
        rows = plain(a_zero_point).astype(np.int32)
        left = left - (rows[:, None] if rows.ndim == 1 and rows.size > 1 else rows)
    if b_zero_point is not None:
        right = right - plain(b_zero_point).astype(np.int32)
    return np.matmul(left, right)

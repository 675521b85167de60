"""Resize and Upsample: along each axis a choice, or a product with a matrix of weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ....autodiff import primitives as p
from ....autodiff.arrangement import moveaxis
from ....autodiff.functions import normal_axis
from ....autodiff.primitive import Value
from ..operators import bounded, integers, operator, plain

Array = npt.NDArray[Any]
MODES = {"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric"}
MODES |= {"tf_crop_and_resize"}


def _places(mode: str, n: int, count: int, scale: float, region: tuple[float, float]) -> Array:
    """Where the elements of the result lie on an axis of length `n`."""
    k = np.arange(count, dtype=float)
    if mode == "asymmetric":
        return k / scale
    if mode == "align_corners":
        return k * ((n - 1) / (n * scale - 1)) if count > 1 else k * 0.0
    if mode == "tf_crop_and_resize":
        start, end = region
        step = (end - start) * (n - 1) / (count - 1) if count > 1 else 0.0
        return start * (n - 1) + k * step if count > 1 else np.full(count, 0.5 * (start + end) * (n - 1))
    if mode == "pytorch_half_pixel" and count == 1:
        return np.zeros(1)
    offset = n / 2 * (1 - count / (scale * n)) if mode == "half_pixel_symmetric" else 0.0
    return offset + (k + 0.5) / scale - 0.5


def _nearest(places: Array, mode: str) -> Array:
    rounded: dict[str, Any] = {
        "floor": np.floor,
        "ceil": np.ceil,
        "round_prefer_floor": lambda x: np.ceil(x - 0.5),
        "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    }
    return np.asarray(rounded[mode](places), np.int64)


def _kernel(mode: str, distance: Array, a: float) -> Array:
    """The weight of what lies so far away."""
    d = np.abs(distance)
    if mode == "linear":
        return np.asarray(np.maximum(1 - d, 0))
    inner = ((a + 2) * d - (a + 3)) * d * d + 1
    outer = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, inner, np.where(d < 2, outer, 0.0))


def _weights(mode: str, places: Array, n: int, stretch: float, a: float, exclude_outside: bool) -> Array:
    """The matrix (result, n) of an axis; `stretch` under 1 lets the kernel reach further."""
    reach = math.ceil((1 if mode == "linear" else 2) / stretch)
    bounded((len(places), max(n, 2 * reach + 1)))
    taps = np.floor(places)[:, None] + np.arange(-reach, reach + 1)
    weights = _kernel(mode, (taps - places[:, None]) * stretch, a)
    if exclude_outside:
        weights = np.where((taps < 0) | (taps >= n), 0.0, weights)
    if exclude_outside or stretch < 1:
        weights = weights / weights.sum(1, keepdims=True)
    matrix = np.zeros((len(places), n))
    np.add.at(matrix, (np.arange(len(places))[:, None], np.clip(taps, 0, n - 1).astype(np.int64)), weights)
    return matrix


def _sizes(
    shape: Sequence[int], axes: Sequence[int], scales: Value, sizes: Value, policy: str
) -> tuple[list[int], list[float]]:
    """The lengths of the axes, and by how much they grow."""
    lengths = [shape[axis] for axis in axes]
    if sizes is not None and sizes.shape != (0,):
        wanted = integers(sizes)
        if len(wanted) != len(axes) or min(lengths, default=1) < 1 or min(wanted, default=1) < 1:
            raise ValueError(f"sizes {wanted} do not fit axes of lengths {lengths}")
        factors = [w / n for w, n in zip(wanted, lengths, strict=True)]
        if policy != "stretch":
            factor = (min if policy == "not_larger" else max)(factors)
            return [math.floor(factor * n + 0.5) for n in lengths], [factor] * len(axes)
        return wanted, factors
    if scales is None or scales.shape != (len(axes),):
        raise ValueError(f"needs scales or sizes of {len(axes)} axes")
    factors = [float(factor) for factor in plain(scales)]
    if not all(0 < factor < 2**31 for factor in factors):
        raise ValueError(f"scales must be positive, got {factors}")
    return [math.floor(n * factor) for n, factor in zip(lengths, factors, strict=True)], factors


def _refuses(*, mode: str, coordinate_transformation_mode: str = "half_pixel", **_: Any) -> str:
    if mode not in ("nearest", "linear", "cubic"):
        return f"there is no mode {mode!r}"
    known = coordinate_transformation_mode in MODES
    return "" if known else f"coordinates {coordinate_transformation_mode!r} have no counterpart here"


@operator("Resize", since=11, refuses=_refuses)
def _resize(
    x: Value,
    roi: Value = None,
    scales: Value = None,
    sizes: Value = None,
    *,
    antialias: int = 0,
    axes: Any = None,
    coordinate_transformation_mode: str,
    cubic_coeff_a: float,
    exclude_outside: int,
    extrapolation_value: float,
    keep_aspect_ratio_policy: str = "stretch",
    mode: str,
    nearest_mode: str,
) -> Value:
    over = [normal_axis("Resize", axis, len(x.shape)) for axis in (range(len(x.shape)) if axes is None else axes)]
    lengths, factors = _sizes(x.shape, over, scales, sizes, keep_aspect_ratio_policy)
    regions = [(0.0, 1.0)] * len(over)
    crops = coordinate_transformation_mode == "tf_crop_and_resize"
    if crops:
        edges = [float(edge) for edge in plain(roi)]
        regions = list(zip(edges[: len(over)], edges[len(over) :], strict=True))
    result = dict(zip(over, lengths, strict=True))
    bounded([result.get(axis, n) for axis, n in enumerate(x.shape)])
    outside = np.zeros((), bool)
    for axis, length, factor, region in zip(over, lengths, factors, regions, strict=True):
        n = x.shape[axis]
        if (length, factor) == (n, 1.0) and not crops:
            continue
        places = _places(coordinate_transformation_mode, n, length, factor, region)
        beyond = (places < 0) | (places > n - 1)
        outside = outside | beyond.reshape(-1, *(1,) * (len(x.shape) - axis - 1))
        if mode == "nearest":
            x = p.take(x, np.clip(_nearest(places, nearest_mode), 0, n - 1), axis=axis)
            continue
        stretch = min(factor, 1.0) if antialias else 1.0
        matrix = _weights(mode, places, n, stretch, cubic_coeff_a, bool(exclude_outside)).astype(x.dtype)
        last = len(x.shape) - 1
        product = p.matmul(moveaxis(x, axis, last), np.ascontiguousarray(matrix.T))
        x = moveaxis(product, last, axis)
    return p.where(outside, extrapolation_value, x) if crops else x


@operator("Resize", since=10, refuses=_refuses)
@operator("Upsample", since=7, refuses=_refuses)
def _upsample(x: Value, scales: Value, *, mode: str) -> Value:
    """As it was before opset 11."""
    return _resize(
        x,
        scales=np.asarray(scales, np.float32) if isinstance(scales, list) else scales,
        coordinate_transformation_mode="asymmetric",
        cubic_coeff_a=-0.75,
        exclude_outside=0,
        extrapolation_value=0.0,
        mode=mode,
        nearest_mode="floor",
    )

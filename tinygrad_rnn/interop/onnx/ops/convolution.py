"""Convolution and pooling, over any number of axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ....autodiff import elementary, functions
from ....autodiff import primitives as p
from ....autodiff.primitive import Value
from ...convolution import convolution, patches
from ..operators import Place, Results, bounded, operator

Pairs = list[tuple[int, int]]


def _pads(
    x: Value, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int], pads: Any, auto_pad: str
) -> Pairs:
    """How much stands before and behind each axis."""
    rank = len(kernel)
    if (
        len(x.shape) != rank + 2
        or min([*strides, *dilations, *kernel]) < 1
        or not len(strides) == len(dilations) == rank
    ):
        raise ValueError(
            f"kernel {tuple(kernel)}, strides {strides} and dilations {dilations} do not fit shape {x.shape}"
        )
    if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        found = []
        for n, k, s, d in zip(x.shape[2:], kernel, strides, dilations, strict=True):
            total = max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
            low, high = total // 2, total - total // 2
            found.append((low, high) if auto_pad == "SAME_UPPER" else (high, low))
        return found
    widths = [0] * 2 * rank if pads is None or auto_pad == "VALID" else list(pads)
    if len(widths) != 2 * rank or min(widths) < 0:
        raise ValueError(f"pads {widths} do not fit {rank} axes")
    return list(zip(widths[:rank], widths[rank:], strict=True))


def _padded(x: Value, pads: Pairs, kernel: Sequence[int], strides: Sequence[int], fill: float = 0.0) -> Value:
    shape = bounded((*x.shape[:2], *(n + a + b for n, (a, b) in zip(x.shape[2:], pads, strict=True))))
    bounded([*shape[:2], math.prod(kernel), *(n // s for n, s in zip(shape[2:], strides, strict=True))])
    return p.pad(x, [(0, 0), (0, 0), *pads], fill) if any(map(any, pads)) else x


@operator("Conv")
def _conv(
    x: Value,
    weight: Value,
    bias: Value = None,
    *,
    auto_pad: str,
    dilations: Any = None,
    group: int,
    kernel_shape: Any = None,
    pads: Any = None,
    strides: Any = None,
) -> Value:
    kernel = weight.shape[2:]
    strides, dilations = strides or [1] * len(kernel), dilations or [1] * len(kernel)
    if kernel_shape and tuple(kernel_shape) != kernel:
        raise ValueError(f"kernel_shape {kernel_shape} is not that of the weight {weight.shape}")
    if group < 1 or x.shape[1] != group * weight.shape[1] or weight.shape[0] % group:
        raise ValueError(f"{x.shape[1]} channels in {group} groups do not fit the weight {weight.shape}")
    padded = _padded(x, _pads(x, kernel, strides, dilations, pads, auto_pad), kernel, strides)
    return convolution(padded, weight, bias, strides, dilations, group)


@operator("ConvTranspose")
def _conv_transpose(
    x: Value,
    weight: Value,
    bias: Value = None,
    *,
    auto_pad: str,
    dilations: Any = None,
    group: int,
    kernel_shape: Any = None,
    output_padding: Any = None,
    output_shape: Any = None,
    pads: Any = None,
    strides: Any = None,
) -> Value:
    """The convolution with the turned kernel of an `x` whose elements stand `strides` apart."""
    kernel = weight.shape[2:]
    rank = len(kernel)
    strides, dilations, extra = strides or [1] * rank, dilations or [1] * rank, output_padding or [0] * rank
    if group < 1 or x.shape[1] != weight.shape[0] or x.shape[1] % group:
        raise ValueError(f"{x.shape[1]} channels in {group} groups do not fit the weight {weight.shape}")
    widths = _pads(x, kernel, strides, dilations, pads, "NOTSET")
    spread = [s * (n - 1) + 1 for s, n in zip(strides, x.shape[2:], strict=True)]
    reach = [d * (k - 1) for d, k in zip(dilations, kernel, strict=True)]
    if output_shape or auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        wanted = output_shape[-rank:] if output_shape else [n * s for n, s in zip(x.shape[2:], strides, strict=True)]
        totals = [max(a + r + e - w, 0) for a, r, e, w in zip(spread, reach, extra, wanted, strict=True)]
        widths = [(t - t // 2, t // 2) if auto_pad != "SAME_UPPER" else (t // 2, t - t // 2) for t in totals]
        extra = [w - (a + r - t) for w, a, r, t in zip(wanted, spread, reach, totals, strict=True)]
    bounded((*x.shape[:2], *spread))
    index = (slice(None), slice(None), *(slice(None, None, s) for s in strides))
    apart = p.scatter.on((x,), {"index": index, "shape": (*x.shape[:2], *spread)})
    around = [(r - a, r - b + e) for r, (a, b), e in zip(reach, widths, extra, strict=True)]
    cut = (
        slice(None),
        slice(None),
        *(slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(spread, around, strict=True)),
    )
    apart = p.getitem.on((apart,), {"index": cut}) if min(map(min, around)) < 0 else apart
    padded = _padded(apart, [(max(a, 0), max(b, 0)) for a, b in around], kernel, [1] * rank)
    axes = tuple(range(3, rank + 3))
    parts = p.reshape(weight, (group, x.shape[1] // group, *weight.shape[1:]))
    turned = p.flip(p.transpose(parts, (0, 2, 1, *axes)), axes)
    turned = p.reshape(turned, (group * weight.shape[1], x.shape[1] // group, *kernel))
    return convolution(padded, turned, bias, [1] * rank, dilations, group)


def _windows(
    x: Value, kernel: Sequence[int], auto_pad: str, ceil_mode: int, dilations: Any, pads: Any, strides: Any, fill: float
) -> tuple[Value, Value]:
    """What stands in each window, and which of it is the input or its declared border, for means."""
    rank = len(kernel)
    strides, dilations = strides or [1] * rank, dilations or [1] * rank
    widths = _pads(x, kernel, strides, dilations, pads, auto_pad)
    more = [0] * rank
    if ceil_mode:
        for k, (n, s, d, (a, b)) in enumerate(zip(x.shape[2:], strides, dilations, widths, strict=True)):
            inside = n + a + b - d * (kernel[k] - 1) - 1
            count = -(-inside // s) + 1
            count -= (count - 1) * s >= n + a  # none begins behind the input
            more[k] = max((count - 1) * s - inside, 0)
    wider = [(a, b + m) for (a, b), m in zip(widths, more, strict=True)]
    border = np.ones((1, 1, *(n + a + b for n, (a, b) in zip(x.shape[2:], widths, strict=True))), x.dtype)
    border = np.pad(border, [(0, 0), (0, 0), *((0, m) for m in more)])
    return (
        patches(_padded(x, wider, kernel, strides, fill), kernel, strides, dilations),
        patches(border, kernel, strides, dilations),
    )


@operator("MaxPool")
def _max_pool(
    x: Value,
    *,
    auto_pad: str,
    ceil_mode: int = 0,
    dilations: Any = None,
    kernel_shape: Any,
    pads: Any = None,
    strides: Any = None,
    storage_order: int = 0,
    at: Place,
) -> Any:
    lowest = -math.inf if x.dtype.kind == "f" else int(np.iinfo(x.dtype).min)
    windows, _ = _windows(x, kernel_shape, auto_pad, ceil_mode, dilations, pads, strides, lowest)
    if len(at.outputs) < 2:
        return p.max(windows, axis=2)
    sizes = x.shape[2:]
    places = np.arange(math.prod(sizes)).reshape(sizes, order="F" if storage_order else "C")
    widths = (auto_pad, ceil_mode, dilations, pads, strides, -1.0)
    where, _ = _windows(places[None, None].astype(float), kernel_shape, *widths)
    data = np.asarray(windows if isinstance(windows, np.ndarray) else windows.data)
    first = np.argmax(np.where(np.asarray(where) < 0, lowest, data), axis=2)[:, :, None]
    found = np.take_along_axis(np.broadcast_to(where, data.shape), first, 2)[:, :, 0]
    planes = np.arange(math.prod(x.shape[:2])).reshape(*x.shape[:2], *(1,) * len(sizes)) * math.prod(sizes)
    return Results([p.max(windows, axis=2), (found + planes).astype(np.int64)])


@operator("AveragePool")
def _average_pool(
    x: Value,
    *,
    auto_pad: str,
    ceil_mode: int = 0,
    count_include_pad: int,
    dilations: Any = None,
    kernel_shape: Any,
    pads: Any = None,
    strides: Any = None,
) -> Value:
    windows, border = _windows(x, kernel_shape, auto_pad, ceil_mode, dilations, pads, strides, 0.0)
    if not count_include_pad:
        ones = np.ones((1, 1, *x.shape[2:]), x.dtype)
        border, _ = _windows(ones, kernel_shape, auto_pad, ceil_mode, dilations, pads, strides, 0.0)
    return p.divide(p.sum(windows, axis=2), np.sum(border, axis=2))


@operator("LpPool")
def _lp_pool(
    x: Value,
    *,
    auto_pad: str,
    ceil_mode: int = 0,
    dilations: Any = None,
    kernel_shape: Any,
    p: int,
    pads: Any = None,
    strides: Any = None,
) -> Value:
    windows, _ = _windows(x, kernel_shape, auto_pad, ceil_mode, dilations, pads, strides, 0.0)
    return _length(windows, (2,), p, False)


@operator("GlobalLpPool")
def _global_lp_pool(x: Value, *, p: int) -> Value:
    return _length(x, tuple(range(2, len(x.shape))), p, True)


def _length(x: Value, axes: tuple[int, ...], order: int, keepdims: bool) -> Value:
    if order == 1:
        return p.sum(p.abs(x), axis=axes, keepdims=keepdims)
    if order == 2:
        return elementary.root(p.sum(p.square(x), axis=axes, keepdims=keepdims))
    return p.power(p.sum(p.power(p.abs(x), float(order)), axis=axes, keepdims=keepdims), 1.0 / order)


@operator("GlobalAveragePool")
def _global_average_pool(x: Value) -> Value:
    return functions.mean(x, tuple(range(2, len(x.shape))), True)


@operator("GlobalMaxPool")
def _global_max_pool(x: Value) -> Value:
    return p.max(x, axis=tuple(range(2, len(x.shape))), keepdims=True)

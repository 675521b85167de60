"""Convolution as patches, one a place of the kernel, and a matrix product with the kernel."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..autodiff import functions
from ..autodiff import primitives as p
from ..autodiff.primitive import Value

__all__ = ["convolution", "patches"]


def patches(x: Value, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> Value:
    """What stands under each place of a kernel.

    Parameters
    ----------
    x : (batch, channels, *sizes)
    kernel, stride, dilation : sequence of int

    Returns
    -------
    (batch, channels, places of the kernel, *sizes of the result)

    Raises
    ------
    ValueError
        If the kernel is larger than `x`.
    """
    sizes = [(n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(x.shape[2:], kernel, stride, dilation, strict=True)]
    if min(sizes) < 1:
        raise ValueError(f"the kernel of {tuple(kernel)} does not fit into {tuple(x.shape[2:])}")
    found = []
    for place in np.ndindex(*kernel):
        starts = [k * d for k, d in zip(place, dilation, strict=True)]
        stops = [start + s * (n - 1) + 1 for start, s, n in zip(starts, stride, sizes, strict=True)]
        index = tuple(slice(a, b, s) for a, b, s in zip(starts, stops, stride, strict=True))
        found.append(p.getitem.on((x,), {"index": (slice(None), slice(None), *index)}))
    return functions.stack(found, 2)


def convolution(
    x: Value, weight: Value, bias: Value | None, stride: Sequence[int], dilation: Sequence[int], groups: int = 1
) -> Value:
    """The convolution of an `x` that is padded already: weight (out, channels / groups, *kernel), bias (out,)."""
    batch, channels = x.shape[:2]
    out, kernel = weight.shape[0], weight.shape[2:]
    under = patches(x, kernel, stride, dilation)
    rows, sizes = channels // groups * math.prod(kernel), under.shape[3:]
    if groups == 1:
        product = p.matmul(p.reshape(weight, (out, -1)), p.reshape(under, (batch, rows, math.prod(sizes))))
    else:
        columns = p.reshape(under, (batch, groups, rows, math.prod(sizes)))
        product = p.matmul(p.reshape(weight, (groups, out // groups, rows)), columns)
        product = p.reshape(product, (batch, out, math.prod(sizes)))
    product = product if bias is None else p.add(product, p.reshape(bias, (-1, 1)))
    return p.reshape(product, (batch, out, *sizes))

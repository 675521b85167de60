"""Convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ....autodiff import primitives as p
from ....autodiff.primitive import Value
from ...convolution import convolution
from ..operators import primitive


def _refuses(lhs_dilation: Sequence[int], batch_group_count: int, padding: Any, **_: Any) -> str:
    if any(step != 1 for step in lhs_dilation):
        return "is a transposed convolution"
    if batch_group_count != 1:
        return "has groups of batches"
    return "cuts its input" if any(width < 0 for pair in padding for width in pair) else ""


def _turned(x: Value, order: Sequence[int]) -> Value:
    return x if list(order) == sorted(order) else p.transpose(x, tuple(int(k) for k in order))


@primitive("conv_general_dilated", refuses=_refuses)
def _conv(
    x: Value,
    kernel: Value,
    *,
    dimension_numbers: Any,
    window_strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    rhs_dilation: Sequence[int],
    feature_group_count: int,
) -> Value:
    x, kernel = _turned(x, dimension_numbers.lhs_spec), _turned(kernel, dimension_numbers.rhs_spec)
    widths = [(0, 0), (0, 0), *((int(a), int(b)) for a, b in padding)]
    x = p.pad(x, widths) if any(map(any, widths)) else x
    strides, dilations = [int(n) for n in window_strides], [int(n) for n in rhs_dilation]
    found = convolution(x, kernel, None, strides, dilations, int(feature_group_count))
    return _turned(found, [int(k) for k in np.argsort(dimension_numbers.out_spec)])

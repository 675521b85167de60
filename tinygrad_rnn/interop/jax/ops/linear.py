"""Products of matrices."""

from __future__ import annotations

from string import ascii_letters
from typing import Any

import numpy as np

from ....autodiff import functions
from ....autodiff import primitives as p
from ....autodiff.primitive import Value
from ..operators import primitive


@primitive("dot_general")
def _dot_general(x: Value, y: Value, *, dimension_numbers: Any, preferred_element_type: Any = None) -> Value:
    (left, right), (left_batch, right_batch) = dimension_numbers
    product = _product(x, y, [*left], [*right], [*left_batch], [*right_batch])
    kind = preferred_element_type and np.dtype(preferred_element_type)
    return product if kind is None or product.dtype == kind else p.astype(product, kind)


def _product(
    x: Value, y: Value, left: list[int], right: list[int], left_batch: list[int], right_batch: list[int]
) -> Value:
    if not left_batch and len(left) == 1 and len(x.shape) in (1, 2) and len(y.shape) in (1, 2):
        a = x if left[0] == len(x.shape) - 1 else x.T
        b = y if right[0] == 0 else y.T
        return p.matmul(a, b)
    if not left_batch and len(left) == 1 and left[0] == len(x.shape) - 1 and right[0] == 0 and len(y.shape) == 2:
        return p.matmul(x, y)
    letters = iter(ascii_letters)
    first = [""] * len(x.shape)
    second = [""] * len(y.shape)
    for a, b in (*zip(left_batch, right_batch, strict=True), *zip(left, right, strict=True)):
        first[a] = second[b] = next(letters)
    free = [[k for k, label in enumerate(term) if not label] for term in (first, second)]
    for term, axes in zip((first, second), free, strict=True):
        for k in axes:
            term[k] = next(letters)
    output = [first[k] for k in left_batch] + [first[k] for k in free[0]] + [second[k] for k in free[1]]
    return functions.einsum(f"{''.join(first)},{''.join(second)}->{''.join(output)}", x, y)

"""Matrix products."""

from __future__ import annotations

import numpy as np

from ....autodiff import functions
from ....autodiff import primitives as p
from ....autodiff.primitive import Value
from ..operators import bounded, operator


@operator("MatMul")
def _matmul(a: Value, b: Value) -> Value:
    stacks = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    bounded((*stacks, *a.shape[-2:-1], *(b.shape[-1:] if len(b.shape) > 1 else ())))
    return p.matmul(a, b)


@operator("Gemm")
def _gemm(a: Value, b: Value, c: Value = None, *, alpha: float, beta: float, transA: int, transB: int) -> Value:
    product = _matmul(a.T if transA else a, b.T if transB else b)
    product = product if alpha == 1 else p.multiply(product, alpha)
    if c is None or beta == 0:
        return product
    return p.add(product, c if beta == 1 else p.multiply(c, beta))


@operator("Einsum")
def _einsum(*operands: Value, equation: str) -> Value:
    bounded([n for x in operands for n in x.shape])
    return functions.einsum(equation, *operands)

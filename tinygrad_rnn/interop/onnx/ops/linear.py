"""Matrix products."""

from __future__ import annotations

import math

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
    inputs, _, output = equation.replace(" ", "").partition("->")
    sizes: dict[str, int] = {}
    for term, x in zip(inputs.split(","), operands, strict=True):
        front, _, back = term.partition("...")
        within = x.shape[len(front) : len(x.shape) - len(back)] if "..." in term else ()
        sizes["..."] = max(sizes.get("...", 1), math.prod(within))
        sizes.update(zip(front, x.shape, strict=False))
        sizes.update(zip(back, x.shape[len(x.shape) - len(back) :], strict=False))
    kept = set(output) if output else {label for label in inputs if inputs.count(label) == 1}
    bounded([sizes["..."], *(n for label, n in sizes.items() if label in kept)])
    return functions.einsum(equation, *operands)

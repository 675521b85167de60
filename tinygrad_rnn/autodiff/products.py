"""Products of vectors, matrices and stacks of them. Composed, no derivative rules here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import primitives as p
from .arrangement import diagonal, moveaxis, ravel
from .functions import normal_axis, value_of
from .primitive import Value

__all__ = ["cross", "dot", "inner", "kron", "outer", "tensordot", "trace", "vdot"]


def dot(a: Value, b: Value) -> Value:
    """Product of numbers, vectors or matrices; beyond, over the last axis of `a` and the last but one of `b`."""
    a, b = value_of(a), value_of(b)
    if a.ndim == 0 or b.ndim == 0:
        return p.multiply(a, b)
    return p.matmul(a, b) if b.ndim <= 2 else tensordot(a, b, (-1, -2))


def inner(a: Value, b: Value) -> Value:
    """Product over the last axes of both."""
    a, b = value_of(a), value_of(b)
    return p.multiply(a, b) if a.ndim == 0 or b.ndim == 0 else tensordot(a, b, (-1, -1))


def vdot(a: Value, b: Value) -> Value:
    """The scalar product of all elements of both."""
    return p.matmul(ravel(a), ravel(b))


def outer(a: Value, b: Value) -> Value:
    """Every element of `a` times every element of `b`: a matrix."""
    return p.multiply(p.reshape(a, (-1, 1)), p.reshape(b, (1, -1)))


def tensordot(a: Value, b: Value, axes: Any = 2) -> Value:
    """Product over the last `axes` of `a` and the first of `b`, or over a pair of lists of axes.

    Raises
    ------
    ValueError
        If the axes do not have the same lengths.
    """
    a, b = value_of(a), value_of(b)
    pair: Any = (range(-axes, 0), range(axes)) if isinstance(axes, (int, np.integer)) else axes
    left, right = (
        [normal_axis("tensordot", int(axis), x.ndim) for axis in np.atleast_1d(over)]
        for x, over in zip((a, b), pair, strict=True)
    )
    if [a.shape[k] for k in left] != [b.shape[k] for k in right]:
        raise ValueError(f"tensordot: axes {axes} of shapes {a.shape} and {b.shape} do not match")
    rows, columns = ([k for k in range(x.ndim) if k not in used] for x, used in ((a, left), (b, right)))
    summed = math.prod(a.shape[k] for k in left)
    outside = tuple(a.shape[k] for k in rows) + tuple(b.shape[k] for k in columns)
    a = p.reshape(p.transpose(a, (*rows, *left)), (math.prod(outside[: len(rows)]), summed))
    b = p.reshape(p.transpose(b, (*right, *columns)), (summed, math.prod(outside[len(rows) :])))
    return p.reshape(p.matmul(a, b), outside)


def kron(a: Value, b: Value) -> Value:
    """Kronecker product: `b` once for every element of `a`, times that element."""
    a, b = value_of(a), value_of(b)
    rank = max(a.ndim, b.ndim)
    left, right = ((1,) * (rank - x.ndim) + x.shape for x in (a, b))
    blocks = p.multiply(_spread(a, left, 0), _spread(b, right, 1))
    return p.reshape(blocks, tuple(n * m for n, m in zip(left, right, strict=True)))


def _spread(x: Value, shape: Sequence[int], place: int) -> Value:
    """`x` with an axis of length 1 behind (0) or in front of (1) every axis."""
    return p.reshape(x, tuple(n for size in shape for n in ((1, size) if place else (size, 1))))


def cross(a: Value, b: Value, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Value:
    """Cross product of vectors of three elements.

    Raises
    ------
    ValueError
        If the vectors do not have three elements.
    """
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = moveaxis(a, axisa, -1), moveaxis(b, axisb, -1)
    if a.shape[-1] != 3 or b.shape[-1] != 3:
        raise ValueError(f"cross: needs vectors of 3 elements, got shapes {a.shape} and {b.shape}")
    following, last = np.array([1, 2, 0]), np.array([2, 0, 1])
    return moveaxis(a[..., following] * b[..., last] - a[..., last] * b[..., following], -1, axisc)


def trace(x: Value, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Value:
    """Sum of the diagonal of the matrices in two axes."""
    return p.sum(diagonal(x, offset, axis1, axis2), axis=-1)

"""Steps, places, counts and truth values: operations that are recorded like any other and have no derivative.

They are nodes all the same, so that a graph that is run again on other inputs, or compiled, decides anew.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import primitives as p
from .primitive import Primitive, Value, elementwise, primitive

__all__ = [
    "all",
    "allclose",
    "any",
    "argmax",
    "argmin",
    "argsort",
    "array_equal",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "ceil",
    "count_nonzero",
    "floor",
    "floor_divide",
    "heaviside",
    "invert",
    "isclose",
    "isfinite",
    "isinf",
    "isnan",
    "ones_like",
    "rint",
    "round",
    "trunc",
    "zeros_like",
]

# ----------------------------------------------------------------------------------------- rounding


@elementwise(None, analytic=False)
def floor(x: Value) -> Value:
    """The largest whole number not above `x`, elementwise; no derivative."""
    return np.floor(x)


@elementwise(None, analytic=False)
def ceil(x: Value) -> Value:
    """The smallest whole number not below `x`, elementwise; no derivative."""
    return np.ceil(x)


@elementwise(None, analytic=False)
def trunc(x: Value) -> Value:
    """The whole part of `x`, elementwise; no derivative."""
    return np.trunc(x)


@elementwise(None)
def rint(x: Value) -> Value:
    """The nearest whole number, the even one of two, elementwise; no derivative."""
    return np.rint(x)


@elementwise(None)
def round(x: Value, decimals: int = 0) -> Value:
    """`x` rounded to that many decimals, elementwise; no derivative."""
    return np.round(x, decimals)


@elementwise(None, None, analytic=False)
def floor_divide(x: Value, y: Value) -> Value:
    """The largest whole number not above ``x / y``, elementwise; no derivative."""
    return np.floor_divide(x, y)


@elementwise(None, None, analytic=False)
def heaviside(x: Value, y: Value) -> Value:
    """0 where `x` is negative, 1 where it is positive, `y` where it is 0, elementwise; no derivative."""
    return np.heaviside(x, y)


# ------------------------------------------------------------------------------------- truth values


@elementwise(None)
def isnan(x: Value) -> Value:
    """Whether an element is NaN, elementwise; boolean, no derivative."""
    return np.isnan(x)


@elementwise(None)
def isinf(x: Value) -> Value:
    """Whether an element is infinite, elementwise; boolean, no derivative."""
    return np.isinf(x)


@elementwise(None)
def isfinite(x: Value) -> Value:
    """Whether an element is neither infinite nor NaN, elementwise; boolean, no derivative."""
    return np.isfinite(x)


@elementwise(None, None)
def isclose(a: Value, b: Value, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Value:
    """``|a - b| <= atol + rtol * |b|``, elementwise; boolean, no derivative."""
    return np.isclose(a, b, rtol, atol, equal_nan)


def _booleans(sign: str, op: Primitive, *operands: Value) -> Value:
    for operand in operands:
        kind = operand.dtype if hasattr(operand, "dtype") else np.asarray(operand).dtype
        if kind != np.bool_:
            raise TypeError(f"{sign}: needs booleans, such as x > 0, got {kind}; {op.name} takes any numbers")
    return op.on(operands, {})


def bitwise_and(x: Value, y: Value) -> Value:
    """``x & y`` of booleans, elementwise; no derivative."""
    return _booleans("&", p.logical_and, x, y)


def bitwise_or(x: Value, y: Value) -> Value:
    """``x | y`` of booleans, elementwise; no derivative."""
    return _booleans("|", p.logical_or, x, y)


def bitwise_xor(x: Value, y: Value) -> Value:
    """``x ^ y`` of booleans, elementwise; no derivative."""
    return _booleans("^", p.logical_xor, x, y)


def invert(x: Value) -> Value:
    """``~x`` of booleans, elementwise; no derivative."""
    return _booleans("~", p.logical_not, x)


@primitive(None, kind="reduction")
def all(x: Value, axis: Any = None, keepdims: bool = False) -> Value:
    """Whether all elements along `axis` are true; boolean, no derivative."""
    return np.all(x, axis=axis, keepdims=keepdims)


@primitive(None, kind="reduction")
def any(x: Value, axis: Any = None, keepdims: bool = False) -> Value:
    """Whether any element along `axis` is true; boolean, no derivative."""
    return np.any(x, axis=axis, keepdims=keepdims)


def allclose(a: Value, b: Value, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
    """Whether :func:`isclose` holds for all elements: a plain bool."""
    return bool(all(isclose(a, b, rtol, atol, equal_nan)))


def array_equal(a: Value, b: Value) -> bool:
    """Whether two values have one shape and the same elements: a plain bool."""
    return np.shape(a) == np.shape(b) and bool(all(p.equal(a, b)))


# ------------------------------------------------------------------------------------------- places


@primitive(None)
def argmax(x: Value, axis: int | None = None, keepdims: bool = False) -> Value:
    """Where the first largest element along `axis` stands; whole numbers, no derivative."""
    return np.argmax(x, axis=axis, keepdims=keepdims)


@primitive(None)
def argmin(x: Value, axis: int | None = None, keepdims: bool = False) -> Value:
    """Where the first smallest element along `axis` stands; whole numbers, no derivative."""
    return np.argmin(x, axis=axis, keepdims=keepdims)


@primitive(None)
def argsort(x: Value, axis: int | None = -1) -> Value:
    """The places of the elements in ascending order along `axis`, equal ones as they stand; no derivative."""
    return np.argsort(x, axis=axis, kind="stable")


def count_nonzero(x: Value, axis: Any = None, keepdims: bool = False) -> Value:
    """How many elements along `axis` are not 0; whole numbers, no derivative."""
    return p.sum(p.not_equal(x, 0), axis=axis, keepdims=keepdims)


# ---------------------------------------------------------------------------------------- constants


@elementwise(None, kind="other")
def zeros_like(x: Value, dtype: Any = None) -> Value:
    """Zeros of the shape of `x`; no derivative."""
    return np.zeros_like(x, dtype=dtype)


@elementwise(None, kind="other")
def ones_like(x: Value, dtype: Any = None) -> Value:
    """Ones of the shape of `x`; no derivative."""
    return np.ones_like(x, dtype=dtype)

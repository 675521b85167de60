"""Elementary functions beyond those that cells are made of: a few with a rule, the others composed."""

from __future__ import annotations

import math

import numpy as np

from . import primitives as p
from .discrete import floor_divide, isinf, isnan
from .primitive import Value, elementwise

__all__ = [
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "cosh",
    "degrees",
    "divmod",
    "exp2",
    "float_power",
    "fmax",
    "fmin",
    "fmod",
    "hypot",
    "log2",
    "log10",
    "logaddexp",
    "logaddexp2",
    "mod",
    "nan_to_num",
    "radians",
    "reciprocal",
    "root",
    "sinh",
    "tan",
]

# ----------------------------------------------------------------------------------------- with a rule


@elementwise(lambda g, y, x: g / (1.0 + p.square(x)), bounds=(-math.pi / 2, math.pi / 2))
def arctan(x: Value) -> Value:
    """Inverse tangent, elementwise."""
    return np.arctan(x)


def _over(x: Value, length: Value) -> Value:
    """``x / length``, and 0 where the length is 0."""
    return x / p.where(p.equal(length, 0), 1.0, length)


@elementwise(lambda g, z, x, y: g * _over(x, z), lambda g, z, x, y: g * _over(y, z), analytic=False, commutative=True)
def hypot(x: Value, y: Value) -> Value:
    """``sqrt(x**2 + y**2)`` without overflow, elementwise; the derivative at the origin is 0."""
    return np.hypot(x, y)


@elementwise(
    lambda g, z, x, y: g * (y / hypot(x, y)) / hypot(x, y),
    lambda g, z, x, y: -g * (x / hypot(x, y)) / hypot(x, y),
    analytic=False,
)
def arctan2(x: Value, y: Value) -> Value:
    """The angle of the point with ordinate `x` and abscissa `y`, elementwise; no derivative (NaN) at the origin."""
    return np.arctan2(x, y)


@elementwise(lambda g, y, x: g * p.where(p.equal(y, 0), 0.0, _over(0.5, y)))
def root(x: Value) -> Value:
    """Square root as of lengths and deviations, elementwise: the derivative at 0 is 0, where :func:`sqrt` has
    infinity.
    """
    return np.sqrt(x)


@elementwise(lambda g, y, x: g / (x * math.log(2.0)))
def log2(x: Value) -> Value:
    """Logarithm to base 2, elementwise."""
    return np.log(x) / math.log(2.0) if np.iscomplexobj(x) else np.log2(x)


@elementwise(lambda g, y, x: g / (x * math.log(10.0)))
def log10(x: Value) -> Value:
    """Logarithm to base 10, elementwise."""
    return np.log10(x)


def _share(x: Value, y: Value) -> Value:
    """What `x` has of ``exp(x) + exp(y)``; half of two equal infinities."""
    same = isinf(x) * p.equal(x, y)
    return p.sigmoid(p.where(same, 0.0, x) - p.where(same, 0.0, y))


@elementwise(lambda g, z, x, y: g * _share(x, y), lambda g, z, x, y: g * _share(y, x), commutative=True)
def logaddexp(x: Value, y: Value) -> Value:
    """``log(exp(x) + exp(y))`` without overflow, elementwise."""
    return np.log(np.exp(x) + np.exp(y)) if np.iscomplexobj(x) or np.iscomplexobj(y) else np.logaddexp(x, y)


@elementwise(lambda g, z, x, y: g, lambda g, z, x, y: -g * floor_divide(x, y), analytic=False)
def mod(x: Value, y: Value) -> Value:
    """``x - y * floor(x / y)``, elementwise, with the sign of `y`."""
    return np.mod(x, y)


# ------------------------------------------------------------------------------------------- composed


def divmod(x: Value, y: Value) -> tuple[Value, Value]:
    """``(floor_divide(x, y), mod(x, y))``: the whole part, which has no derivative, and the rest, elementwise."""
    return floor_divide(x, y), mod(x, y)


def reciprocal(x: Value) -> Value:
    """``1 / x``, elementwise."""
    return p.divide(1.0, x)


def tan(x: Value) -> Value:
    """Tangent, elementwise."""
    return p.divide(p.sin(x), p.cos(x))


def arcsin(x: Value) -> Value:
    """Inverse sine, elementwise."""
    return arctan2(x, _leg(x))


def arccos(x: Value) -> Value:
    """Inverse cosine, elementwise."""
    return arctan2(_leg(x), x)


def _leg(x: Value) -> Value:
    return p.sqrt(p.multiply(p.subtract(1.0, x), p.add(1.0, x)))


def sinh(x: Value) -> Value:
    """Hyperbolic sine, elementwise; accurate near 0."""
    return p.multiply(p.subtract(p.expm1(x), p.expm1(p.negative(x))), 0.5)


def cosh(x: Value) -> Value:
    """Hyperbolic cosine, elementwise."""
    return p.multiply(p.add(p.exp(x), p.exp(p.negative(x))), 0.5)


def arcsinh(x: Value) -> Value:
    """Inverse hyperbolic sine, elementwise; accurate near 0."""
    sign = p.where(p.less(x, 0), -1.0, 1.0)
    size = p.multiply(sign, x)
    square = p.square(size)
    return p.multiply(sign, p.log1p(p.add(size, p.divide(square, p.add(1.0, p.sqrt(p.add(1.0, square)))))))


def arccosh(x: Value) -> Value:
    """Inverse hyperbolic cosine, elementwise; accurate near 1."""
    above = p.subtract(x, 1.0)
    return p.log1p(p.add(above, p.multiply(p.sqrt(above), p.sqrt(p.add(above, 2.0)))))


def arctanh(x: Value) -> Value:
    """Inverse hyperbolic tangent, elementwise; accurate near 0."""
    return p.multiply(p.subtract(p.log1p(x), p.log1p(p.negative(x))), 0.5)


def exp2(x: Value) -> Value:
    """2 to the power `x`, elementwise."""
    return p.power(2.0, x)


def float_power(x: Value, y: Value) -> Value:
    """`x` to the power `y`, elementwise."""
    return p.power(p.multiply(x, 1.0), y)


def logaddexp2(x: Value, y: Value) -> Value:
    """``log2(2**x + 2**y)`` without overflow, elementwise."""
    factor = math.log(2.0)
    return p.divide(logaddexp(p.multiply(x, factor), p.multiply(y, factor)), factor)


def degrees(x: Value) -> Value:
    """An angle in degrees, given in radians, elementwise."""
    return p.multiply(x, 180.0 / math.pi)


def radians(x: Value) -> Value:
    """An angle in radians, given in degrees, elementwise."""
    return p.multiply(x, math.pi / 180.0)


def fmod(x: Value, y: Value) -> Value:
    """The remainder with the sign of `x`, elementwise."""
    negative, y = p.less(x, 0), p.abs(y)
    rest = mod(p.where(negative, p.negative(x), x), y)
    return p.where(negative, p.negative(rest), rest)


def fmax(x: Value, y: Value) -> Value:
    """The larger of two values, of a number and NaN the number, elementwise; a tie shares the derivative evenly."""
    return p.where(isnan(x), y, p.where(isnan(y), x, p.maximum(x, y)))


def fmin(x: Value, y: Value) -> Value:
    """The smaller of two values, of a number and NaN the number, elementwise; a tie shares the derivative evenly."""
    return p.where(isnan(x), y, p.where(isnan(y), x, p.minimum(x, y)))


def nan_to_num(x: Value, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Value:
    """`x` with NaN and infinities replaced, by default by 0 and the largest finite numbers of its dtype.

    What is replaced passes no gradient on.
    """
    largest = float(np.finfo(x.dtype if hasattr(x, "dtype") else float).max)
    high, low = largest if posinf is None else posinf, -largest if neginf is None else neginf
    finite = p.where(p.equal(x, np.inf), high, p.where(p.equal(x, -np.inf), low, x))
    return p.where(isnan(x), nan, finite)

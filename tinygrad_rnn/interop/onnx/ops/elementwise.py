"""Operators that work element by element."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from ....autodiff import discrete, elementary
from ....autodiff import primitives as p
from ....autodiff.primitive import Value
from ..operators import Place, bounded, operator, plain

_UNARY: dict[str, Callable[..., Any]] = {
    "Abs": p.abs,
    "Acos": elementary.arccos,
    "Acosh": elementary.arccosh,
    "Asin": elementary.arcsin,
    "Asinh": elementary.arcsinh,
    "Atan": elementary.arctan,
    "Atanh": elementary.arctanh,
    "Ceil": discrete.ceil,
    "Cos": p.cos,
    "Cosh": elementary.cosh,
    "Erf": p.erf,
    "Exp": p.exp,
    "Floor": discrete.floor,
    "IsNaN": discrete.isnan,
    "Log": p.log,
    "Neg": p.negative,
    "Not": p.logical_not,
    "Reciprocal": elementary.reciprocal,
    "Relu": p.relu,
    "Round": discrete.round,
    "Sigmoid": p.sigmoid,
    "Sign": p.sign,
    "Sin": p.sin,
    "Sinh": elementary.sinh,
    "Softplus": p.softplus,
    "Softsign": lambda x: p.divide(x, p.add(1.0, p.abs(x))),
    "Sqrt": p.sqrt,
    "Tan": elementary.tan,
    "Tanh": p.tanh,
}
_BINARY: dict[str, Callable[..., Any]] = {
    "Add": p.add,
    "And": p.logical_and,
    "Equal": p.equal,
    "Greater": p.greater,
    "GreaterOrEqual": p.greater_equal,
    "Less": p.less,
    "LessOrEqual": p.less_equal,
    "Mul": p.multiply,
    "Or": p.logical_or,
    "Sub": p.subtract,
    "Xor": p.logical_xor,
}


def _unary(function: Callable[..., Any]) -> Callable[[Value], Value]:
    def run(x: Value) -> Value:
        y = function(x)
        return p.astype(y, x.dtype) if y.dtype.kind == "f" and y.dtype != x.dtype else y

    return run


def _binary(function: Callable[..., Any]) -> Callable[[Value, Value], Value]:
    def run(x: Value, y: Value) -> Value:
        _fit(x, y)
        return function(x, y)

    return run


def _fit(*operands: Value) -> None:
    """That operands broadcast, and to no more than may be."""
    bounded(np.broadcast_shapes(*[x.shape for x in operands]))


for _name, _function in _UNARY.items():
    operator(_name)(_unary(_function))
for _name, _function in _BINARY.items():
    operator(_name)(_binary(_function))


_CUT = re.compile(r"(.*/)?stop_?gradient(_\d+)?(\.\d+)?", re.IGNORECASE)
"""The names of nodes that keep gradients back: ONNX has no operator for it, so that exporters leave an Identity."""


@operator("Identity")
def _identity(x: Value, *, at: Place) -> Value:
    return p.stop_gradient(x) if _CUT.fullmatch(at.name) and hasattr(x, "dtype") else x


@operator("Div")
def _div(x: Value, y: Value) -> Value:
    _fit(x, y)
    if x.dtype.kind == "f":
        return p.divide(x, y)
    if x.dtype.kind == "u":
        return discrete.floor_divide(x, y)
    quotient = discrete.floor_divide(p.abs(x), p.abs(y))  # towards 0
    return p.astype(p.multiply(quotient, p.multiply(p.sign(x), p.sign(y))), x.dtype)


@operator("Pow")
def _pow(x: Value, y: Value) -> Value:
    _fit(x, y)
    if type(y) is np.ndarray and y.size == 1 and y.ndim <= len(x.shape) and x.dtype.kind == "f":
        if float(y.flat[0]) in (1.0, 2.0, 0.5):
            return {1.0: p.identity, 2.0: p.square, 0.5: p.sqrt}[float(y.flat[0])](x)
        return p.power(x, float(y.flat[0]))
    if x.dtype.kind == "f":
        return p.power(x, y if y.dtype == x.dtype else p.astype(y, x.dtype))
    return p.astype(p.power(p.astype(x, np.dtype(float)), p.astype(y, np.dtype(float))), x.dtype)


@operator("Mod")
def _mod(x: Value, y: Value, *, fmod: int) -> Value:
    _fit(x, y)
    return elementary.fmod(x, y) if fmod else elementary.mod(x, y)


@operator("Max")
def _max(*operands: Value) -> Value:
    _fit(*operands)
    return functools.reduce(p.maximum, operands)


@operator("Min")
def _min(*operands: Value) -> Value:
    _fit(*operands)
    return functools.reduce(p.minimum, operands)


@operator("Sum")
def _sum(*operands: Value) -> Value:
    _fit(*operands)
    return functools.reduce(p.add, operands)


@operator("Mean")
def _mean(*operands: Value) -> Value:
    return p.divide(_sum(*operands), float(len(operands)))


@operator("Where")
def _where(condition: Value, x: Value, y: Value) -> Value:
    _fit(condition, x, y)
    return p.where(condition, x, y)


@operator("Clip")
def _clip(x: Value, min: Value = None, max: Value = None) -> Value:
    if min is not None:  # on a limit the derivative is 1
        x = p.where(p.less(x, min), min, x)
    return x if max is None else p.where(p.greater(x, max), max, x)


@operator("Cast")
def _cast(x: Value, *, to: Any) -> Value:
    return x if x.dtype == to else p.astype(x, to)


@operator("CastLike")
def _cast_like(x: Value, y: Value) -> Value:
    return _cast(x, to=y.dtype)


@operator("IsInf")
def _isinf(x: Value, *, detect_negative: int, detect_positive: int) -> Value:
    infinite = discrete.isinf(x)
    if not detect_negative:
        infinite = p.logical_and(infinite, p.greater(x, 0))
    return infinite if detect_positive else p.logical_and(infinite, p.less(x, 0))


_BITWISE: dict[str, Callable[..., Any]] = {
    "BitwiseAnd": np.bitwise_and,
    "BitwiseNot": np.invert,
    "BitwiseOr": np.bitwise_or,
    "BitwiseXor": np.bitwise_xor,
}


def _bitwise(function: Callable[..., Any]) -> Callable[..., Value]:
    def run(*operands: Value) -> Value:
        _fit(*operands)
        return np.asarray(function(*map(plain, operands)))

    return run


for _name, _function in _BITWISE.items():
    operator(_name)(_bitwise(_function))


@operator("BitShift")
def _bit_shift(x: Value, y: Value, *, direction: str) -> Value:
    _fit(x, y)
    shift = np.left_shift if direction == "LEFT" else np.right_shift
    return np.asarray(shift(plain(x), plain(y)))


# ---------------------------------------------------------------------------------- nonlinearities


@operator("LeakyRelu")
def _leaky_relu(x: Value, *, alpha: float) -> Value:
    return p.where(p.greater(x, 0), x, p.multiply(x, alpha))


@operator("PRelu")
def _prelu(x: Value, slope: Value) -> Value:
    _fit(x, slope)
    return p.where(p.less(x, 0), p.multiply(x, slope), x)


def _low(x: Value, scale: float) -> Value:
    """``exp(x * scale) - 1`` where `x` is negative, without overflow elsewhere."""
    return p.expm1(p.multiply(p.where(p.greater(x, 0), 0.0, x), scale))


@operator("Elu")
def _elu(x: Value, *, alpha: float) -> Value:
    return p.where(p.greater(x, 0), x, p.multiply(_low(x, 1.0), alpha))


@operator("Selu")
def _selu(x: Value, *, alpha: float, gamma: float) -> Value:
    return p.multiply(_elu(x, alpha=alpha), gamma)


@operator("Celu")
def _celu(x: Value, *, alpha: float) -> Value:
    return p.where(p.greater(x, 0), x, p.multiply(_low(x, 1 / alpha), alpha))


@operator("ThresholdedRelu")
def _thresholded_relu(x: Value, *, alpha: float) -> Value:
    return p.where(p.greater(x, alpha), x, 0.0)


@operator("HardSigmoid")
def _hard_sigmoid(x: Value, *, alpha: float, beta: float) -> Value:
    inner = p.add(p.multiply(x, alpha), beta)
    return p.where(p.less_equal(inner, 0), 0.0, p.where(p.greater_equal(inner, 1), 1.0, inner))


@operator("HardSwish")
def _hard_swish(x: Value) -> Value:
    return p.multiply(x, _hard_sigmoid(x, alpha=1 / 6, beta=0.5))


@operator("Mish")
def _mish(x: Value) -> Value:
    return p.multiply(x, p.tanh(p.softplus(x)))


@operator("Gelu")
def _gelu(x: Value, *, approximate: str) -> Value:
    if approximate == "tanh":
        inner = p.multiply(math.sqrt(2 / math.pi), p.add(x, p.multiply(0.044715, p.power(x, 3.0))))
        return p.multiply(p.multiply(0.5, x), p.add(1.0, p.tanh(inner)))
    return p.multiply(p.multiply(0.5, x), p.add(1.0, p.erf(p.multiply(x, 1 / math.sqrt(2)))))

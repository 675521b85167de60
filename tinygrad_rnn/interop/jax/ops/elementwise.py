"""Primitives that work element by element, with the derivatives that JAX gives them where they are not smooth."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ....autodiff import discrete, elementary
from ....autodiff import primitives as p
from ....autodiff.primitive import Value
from ..graph import plain
from ..operators import primitive

_SAME: dict[str, Callable[..., Any]] = {
    "acos": elementary.arccos,
    "acosh": elementary.arccosh,
    "add": p.add,
    "add_any": p.add,
    "asin": elementary.arcsin,
    "asinh": elementary.arcsinh,
    "atan": elementary.arctan,
    "atan2": elementary.arctan2,
    "atanh": elementary.arctanh,
    "ceil": discrete.ceil,
    "copy": lambda x: x,
    "copy_p": lambda x: x,
    "cosh": elementary.cosh,
    "cos": p.cos,
    "eq": p.equal,
    "erf": p.erf,
    "erfc": lambda x: p.subtract(1.0, p.erf(x)),
    "exp": p.exp,
    "exp2": elementary.exp2,
    "expm1": p.expm1,
    "floor": discrete.floor,
    "ge": p.greater_equal,
    "gt": p.greater,
    "is_finite": discrete.isfinite,
    "le": p.less_equal,
    "log": p.log,
    "log1p": p.log1p,
    "logistic": p.sigmoid,
    "lt": p.less,
    "max": p.maximum,
    "min": p.minimum,
    "mul": p.multiply,
    "ne": p.not_equal,
    "neg": p.negative,
    "pow": p.power,
    "pvary": lambda x: x,
    "reduce_precision": lambda x: x,
    "rsqrt": lambda x: p.divide(1.0, p.sqrt(x)),
    "sign": p.sign,
    "sin": p.sin,
    "sinh": elementary.sinh,
    "sqrt": p.sqrt,
    "square": p.square,
    "stop_gradient": p.stop_gradient,
    "sub": p.subtract,
    "tan": elementary.tan,
    "tanh": p.tanh,
}


def _refuses_accuracy(**params: Any) -> str:
    return "" if params.get("accuracy") is None else "is asked for another accuracy"


for _name, _function in _SAME.items():
    primitive(_name, refuses=_refuses_accuracy)(lambda *operands, _function=_function: _function(*operands))


def _floating(x: Value) -> bool:
    return isinstance(x, float) or (hasattr(x, "dtype") and x.dtype.kind == "f")


@primitive("abs")
def _abs(x: Value) -> Value:
    # its derivative at 0 is 1 there
    return p.where(p.greater_equal(x, 0), x, p.negative(x)) if _floating(x) else p.abs(x)


@primitive("div")
def _div(x: Value, y: Value) -> Value:
    if _floating(x) or _floating(y):
        return p.divide(x, y)
    quotient = discrete.floor_divide(p.abs(x), p.abs(y))  # towards 0
    return p.multiply(quotient, p.multiply(p.sign(x), p.sign(y)))


@primitive("rem")
def _rem(x: Value, y: Value) -> Value:
    return elementary.fmod(x, y)


@primitive("integer_pow")
def _integer_pow(x: Value, *, y: int) -> Value:
    if y == 2:
        return p.square(x)
    return p.power(x, float(y)) if _floating(x) else p.power(x, y)


@primitive("cbrt")
def _cbrt(x: Value) -> Value:
    return p.multiply(p.sign(x), p.power(p.abs(x), 1.0 / 3.0))


@primitive("round")
def _round(x: Value, *, rounding_method: Any) -> Value:
    if int(rounding_method) == 1:  # to even
        return discrete.rint(x)
    whole = discrete.floor(p.add(p.abs(x), 0.5))
    return p.multiply(p.sign(x), whole)


@primitive("clamp")
def _clamp(low: Value, x: Value, high: Value) -> Value:
    # on a limit neither has a derivative there
    inside = p.logical_and(p.greater(x, low), p.less(x, high))
    below = p.logical_and(p.greater(low, x), p.less(low, high))
    on_limit = p.stop_gradient(p.minimum(p.maximum(x, low), high))
    return p.where(inside, x, p.where(below, low, p.where(p.less(high, x), high, on_limit)))


@primitive("select_n")
def _select_n(which: Value, *cases: Value) -> Value:
    if len(cases) == 2:
        return p.where(which if which.dtype == bool else p.equal(which, 1), cases[1], cases[0])
    chosen = cases[-1]
    for k in reversed(range(len(cases) - 1)):
        chosen = p.where(p.equal(which, k), cases[k], chosen)
    return chosen


def _logical(on_booleans: Callable[..., Any], on_integers: Callable[..., Any]) -> Callable[..., Value]:
    def run(*operands: Value) -> Value:
        is_boolean = all(x.dtype.kind == "b" for x in operands if hasattr(x, "dtype"))
        if is_boolean:
            return on_booleans(*operands)
        return on_integers(*map(plain, operands))

    return run


primitive("and")(_logical(p.logical_and, np.bitwise_and))
primitive("or")(_logical(p.logical_or, np.bitwise_or))
primitive("xor")(_logical(p.logical_xor, np.bitwise_xor))
primitive("not")(_logical(p.logical_not, np.invert))


def _refuses_dtype(new_dtype: Any, **_: Any) -> str:
    kind = np.dtype(new_dtype)
    return f"makes {kind}" if kind.kind not in "fiub" or (kind.itemsize < 4 and kind.kind == "f") else ""


@primitive("convert_element_type", refuses=_refuses_dtype)
def _convert(x: Value, *, new_dtype: Any) -> Value:
    kind = np.dtype(new_dtype)
    return x if getattr(x, "dtype", None) == kind else p.astype(x, kind)


@primitive("erf_inv")
def _erf_inv(x: Value) -> Value:
    """By Newton's steps from Winitzki's approximation."""
    inner = p.log(p.subtract(1.0, p.square(p.stop_gradient(x))))
    first = p.add(2.0 / (math.pi * 0.147), p.multiply(0.5, inner))
    start = p.sqrt(p.subtract(p.sqrt(p.subtract(p.square(first), p.divide(inner, 0.147))), first))
    y = p.multiply(p.sign(x), start)
    for _ in range(4):
        slope = p.multiply(2.0 / math.sqrt(math.pi), p.exp(p.negative(p.square(y))))
        y = p.subtract(y, p.divide(p.subtract(p.erf(y), x), slope))
    return y

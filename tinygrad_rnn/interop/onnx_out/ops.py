"""Every primitive in ONNX's operators: a function, by its name, of where it is written, its operands and attributes.

Operands are values, or arrays for numbers that are known. What onnxruntime has no kernel for is written in other
operators.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .at import At, axes_of, ints
from .elements import flip, getitem, scatter, scatter_along_axis, take, take_along_axis
from .model import Array, Operand

__all__ = ["ONNX"]


# ---------------------------------------------------------------------------------------- elementwise


def _same(kind: str) -> Callable[..., Any]:
    """One node, whose operands have the dtype of the result."""
    return lambda at, *operands: at.node(kind, *[at.cast(o, at.dtype) for o in operands])


def _arithmetic(kind: str, of_truth: str) -> Callable[..., Any]:
    def written(at: At, x: Operand, y: Operand) -> Any:
        return at.node(of_truth if at.dtype == bool else kind, at.cast(x, at.dtype), at.cast(y, at.dtype))

    return written


def _comparison(kind: str, negated: bool = False) -> Callable[..., Any]:
    def written(at: At, x: Any, y: Any) -> Any:
        dtype = np.result_type(x.dtype, y.dtype)
        found = at.node(kind, at.cast(x, dtype), at.cast(y, dtype))
        return at.node("Not", found) if negated else found

    return written


def _logical(kind: str) -> Callable[..., Any]:
    return lambda at, *operands: at.node(kind, *[_truth(at, o) for o in operands])


def _truth(at: At, x: Any) -> Any:
    return at.cast(x, np.dtype(bool))


def _number(at: At, value: float) -> Array:
    return np.array(value, at.dtype)


def _where(at: At, condition: Any, x: Any, y: Any) -> Any:
    condition, x, y = _truth(at, condition), at.cast(x, at.dtype), at.cast(y, at.dtype)
    if at.dtype == bool:  # onnxruntime has no such Where
        return at.node("Or", at.node("And", condition, x), at.node("And", at.node("Not", condition), y))
    return at.node("Where", condition, x, y)


def _guarded(at: At, x: Any, rule: Callable[[Any], Any]) -> Any:
    """What a rule makes of x, and 0 where x is 0, without a derivative there."""
    zero = at.node("Equal", x, _number(at, 0), dtype=bool)
    return at.node("Where", zero, _number(at, 0), rule(at.node("Where", zero, _number(at, 1), x)))


def _root(at: At, x: Any) -> Any:
    return _guarded(at, at.cast(x, at.dtype), lambda inside: at.node("Sqrt", inside))


def _hypot(at: At, x: Any, y: Any) -> Any:
    squares = [at.node("Mul", v, v) for v in (at.cast(x, at.dtype), at.cast(y, at.dtype))]
    return _guarded(at, at.node("Add", *squares), lambda inside: at.node("Sqrt", inside))


def _expm1(at: At, x: Any) -> Any:
    return at.node("Sub", at.node("Exp", at.cast(x, at.dtype)), _number(at, 1))


def _log1p(at: At, x: Any) -> Any:
    return at.node("Log", at.node("Add", at.cast(x, at.dtype), _number(at, 1)))


def _log_to(base: float) -> Callable[..., Any]:
    return lambda at, x: at.node("Div", at.node("Log", at.cast(x, at.dtype)), _number(at, math.log(base)))


def _logaddexp(at: At, x: Any, y: Any) -> Any:
    x, y = at.cast(x, at.dtype), at.cast(y, at.dtype)
    apart = at.node("Neg", at.node("Abs", at.node("Sub", x, y)))
    return at.node("Add", at.node("Max", x, y), _log1p(at, at.node("Exp", apart)))


def _square(at: At, x: Any) -> Any:
    x = at.cast(x, at.dtype)
    return at.node("Mul", x, x)


def _trunc(at: At, x: Any) -> Any:
    x = at.cast(x, at.dtype)
    return at.node("Mul", at.node("Sign", x), at.node("Floor", at.node("Abs", x)))


def _round(at: At, x: Any, decimals: int = 0) -> Any:
    x = at.cast(x, at.dtype)
    if not decimals:
        return at.node("Round", x)
    scale = _number(at, 10.0**decimals)
    return at.node("Div", at.node("Round", at.node("Mul", x, scale)), scale)


def _mod(at: At, x: Any, y: Any) -> Any:
    """The remainder with the sign of y; ONNX's own of floating point has that of x."""
    x, y = at.cast(x, at.dtype), at.cast(y, at.dtype)
    if at.dtype.kind != "f":
        return at.node("Mod", x, y)
    rest = at.node("Mod", x, y, fmod=1)
    signs = [at.node("Less", v, _number(at, 0), dtype=bool) for v in (rest, y)]
    is_zero = at.node("Equal", rest, _number(at, 0), dtype=bool)
    other = at.node("And", at.node("Xor", *signs, dtype=bool), at.node("Not", is_zero, dtype=bool), dtype=bool)
    return at.node("Where", other, at.node("Add", rest, y), rest)


def _floor_divide(at: At, x: Any, y: Any) -> Any:
    x, y = at.cast(x, at.dtype), at.cast(y, at.dtype)
    if at.dtype.kind == "f":
        return at.node("Floor", at.node("Div", x, y))
    return at.node("Div", at.node("Sub", x, at.node("Mod", x, y)), y)


def _heaviside(at: At, x: Any, y: Any) -> Any:
    x, y = at.cast(x, at.dtype), at.cast(y, at.dtype)
    above, below = (at.node(kind, x, _number(at, 0), dtype=bool) for kind in ("Greater", "Less"))
    inner = at.node("Where", above, _number(at, 1), at.cut(y))
    return at.node("Where", below, _number(at, 0), inner)


def _arctan2(at: At, y: Any, x: Any) -> Any:
    """The angle by the quotient that is at most 1, so that there are derivatives beside the axes, too."""
    y, x, zero = at.cast(y, at.dtype), at.cast(x, at.dtype), _number(at, 0)
    flat = at.node("GreaterOrEqual", *[at.node("Abs", v) for v in (x, y)], dtype=bool)
    divisor = at.node("Where", flat, x, y)
    divisor = at.node("Where", at.node("Equal", divisor, zero, dtype=bool), _number(at, 1), divisor)
    angle = _single(at, "Atan", at.node("Div", at.node("Where", flat, y, at.node("Neg", x)), divisor))
    left, below = (at.node("Less", v, zero, dtype=bool) for v in (x, y))
    half, quarter = (
        at.node("Where", below, _number(at, -turn), _number(at, turn)) for turn in (math.pi, 0.5 * math.pi)
    )
    return at.node("Add", angle, at.node("Where", flat, at.node("Where", left, half, zero), quarter))


def _single(at: At, kind: str, x: Any) -> Any:
    """An operator that onnxruntime has in float32 alone."""
    if at.dtype == np.float64:
        raise at.refuse(f"onnxruntime has no {kind} of float64; give dtype=np.float32")
    return at.node(kind, at.cast(x, at.dtype))


def _isfinite(at: At, x: Any) -> Any:
    return at.node("Not", at.node("Or", at.node("IsNaN", x), at.node("IsInf", x)))


def _isclose(at: At, a: Any, b: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Any:
    dtype = np.result_type(a.dtype, b.dtype)
    a, b = at.cast(a, dtype), at.cast(b, dtype)
    apart = at.node("Abs", at.node("Sub", a, b, dtype=dtype), dtype=dtype)
    scaled = at.node("Mul", at.node("Abs", b, dtype=dtype), np.array(rtol, dtype), dtype=dtype)
    near = at.node("LessOrEqual", apart, at.node("Add", scaled, np.array(atol, dtype), dtype=dtype))
    found = at.node("Or", at.node("And", near, _isfinite(at, b)), at.node("Equal", a, b))
    if equal_nan:
        return at.node("Or", found, at.node("And", at.node("IsNaN", a), at.node("IsNaN", b)))
    return found


def _like(number: int) -> Callable[..., Any]:
    return lambda at, x, dtype=None: at.fill(number, at.shape, at.dtype)


# ----------------------------------------------------------------------------------------- reductions


def _reduction(kind: str) -> Callable[..., Any]:
    def written(at: At, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        return _reduced(at, kind, at.cast(x, at.dtype), axis, keepdims)

    return written


def _reduced(at: At, kind: str, x: Any, axis: Any, keepdims: bool) -> Any:
    axes = axes_of(axis, len(at.shapes[0]))
    return at.node(kind, x, ints(*axes), dtype=x.dtype, keepdims=int(keepdims)) if axes else x


def _log_softmax(at: At, x: Any, axis: Any = -1) -> Any:
    axes = axes_of(axis, len(at.shape))
    x = at.cast(x, at.dtype)
    if len(axes) == 1:
        return at.node("LogSoftmax", x, axis=axes[0])
    shifted = at.node("Sub", x, _reduced(at, "ReduceMax", x, axis, True))
    return at.node("Sub", shifted, _reduced(at, "ReduceLogSumExp", shifted, axis, True))


def _of_truth(kind: str) -> Callable[..., Any]:
    def written(at: At, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        numbers = at.cast(_truth(at, x), np.dtype(np.int32))
        return at.cast(_reduced(at, kind, numbers, axis, keepdims), np.dtype(bool))

    return written


def _place(kind: str) -> Callable[..., Any]:
    def written(at: At, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        if axis is not None:
            return at.node(kind, x, axis=int(axis), keepdims=int(keepdims))
        flat = at.node("Reshape", x, ints(-1), dtype=x.dtype)
        found = at.node(kind, flat, axis=0, keepdims=0)
        return at.node("Reshape", found, ints(*[1] * len(at.shape))) if keepdims else found

    return written


def _argsort(at: At, x: Any, axis: Any = -1) -> Any:
    sizes = at.shapes[0]
    if axis is None:
        x, axis = at.node("Reshape", x, ints(-1), dtype=x.dtype), 0
        sizes = at.shape
    count = at.sizes([sizes[axis]])
    _, places = at.graph.results("TopK", [x, count], [x.dtype, np.int64], ["", ""], axis=int(axis), largest=0, sorted=1)
    return places


def _cumsum(at: At, x: Any, axis: int) -> Any:
    return at.node("CumSum", at.cast(x, at.dtype), np.array(axis, np.int64))


# --------------------------------------------------------------------------------- shape and movement


def _transpose(at: At, x: Any, axes: Any = None) -> Any:
    rank = len(at.shapes[0])
    perm = list(range(rank))[::-1] if axes is None else axes_of(tuple(axes), rank)
    return at.node("Transpose", x, perm=perm) if rank > 1 else x


def _pad(at: At, x: Any, pad_width: Any, constant_values: float = 0.0) -> Any:
    widths = np.broadcast_to(np.asarray(pad_width, dtype=int), (len(at.shapes[0]), 2))
    return at.node("Pad", x, ints(*widths[:, 0], *widths[:, 1]), np.array(constant_values, at.dtype))


def _concatenate(at: At, *arrays: Any, axis: int = 0) -> Any:
    return at.node("Concat", *[at.cast(array, at.dtype) for array in arrays], axis=int(axis))


def _stack(at: At, *arrays: Any, axis: int = 0) -> Any:
    place = ints(int(axis) % len(at.shape))
    apart = [at.node("Unsqueeze", at.cast(array, at.dtype), place) for array in arrays]
    return at.node("Concat", *apart, axis=int(place[0]))


_NODES = {
    "abs": "Abs",
    "ceil": "Ceil",
    "cos": "Cos",
    "divide": "Div",
    "exp": "Exp",
    "floor": "Floor",
    "log": "Log",
    "matmul": "MatMul",
    "maximum": "Max",
    "minimum": "Min",
    "negative": "Neg",
    "power": "Pow",
    "relu": "Relu",
    "rint": "Round",
    "sigmoid": "Sigmoid",
    "sign": "Sign",
    "sin": "Sin",
    "softplus": "Softplus",
    "sqrt": "Sqrt",
    "subtract": "Sub",
    "tanh": "Tanh",
}
"""What is one node there."""

ONNX: dict[str, Callable[..., Any]] = {
    **{name: _same(kind) for name, kind in _NODES.items()},
    "add": _arithmetic("Add", "Or"),
    "all": _of_truth("ReduceMin"),
    "any": _of_truth("ReduceSum"),
    "arctan": lambda at, x: _single(at, "Atan", x),
    "arctan2": _arctan2,
    "argmax": _place("ArgMax"),
    "argmin": _place("ArgMin"),
    "argsort": _argsort,
    "astype": lambda at, x, dtype: at.cast(x, at.dtype),
    "broadcast_to": lambda at, x, shape: at.node("Expand", x, at.sizes(at.shape)),
    "concatenate": _concatenate,
    "cumsum": _cumsum,
    "einsum": lambda at, *operands, subscripts: at.node(
        "Einsum", *[at.cast(o, at.dtype) for o in operands], equation=subscripts
    ),
    "equal": _comparison("Equal"),
    "erf": lambda at, x: _single(at, "Erf", x),
    "expm1": _expm1,
    "flip": flip,
    "floor_divide": _floor_divide,
    "getitem": getitem,
    "greater": _comparison("Greater"),
    "greater_equal": _comparison("GreaterOrEqual"),
    "heaviside": _heaviside,
    "hypot": _hypot,
    "identity": lambda at, x: x,
    "isclose": _isclose,
    "isfinite": _isfinite,
    "isinf": lambda at, x: at.node("IsInf", x),
    "isnan": lambda at, x: at.node("IsNaN", x),
    "less": _comparison("Less"),
    "less_equal": _comparison("LessOrEqual"),
    "log10": _log_to(10.0),
    "log_softmax": _log_softmax,
    "log1p": _log1p,
    "log2": _log_to(2.0),
    "logaddexp": _logaddexp,
    "logical_and": _logical("And"),
    "logical_not": _logical("Not"),
    "logical_or": _logical("Or"),
    "logical_xor": _logical("Xor"),
    "logsumexp": _reduction("ReduceLogSumExp"),
    "max": _reduction("ReduceMax"),
    "min": _reduction("ReduceMin"),
    "mod": _mod,
    "multiply": _arithmetic("Mul", "And"),
    "not_equal": _comparison("Equal", negated=True),
    "ones_like": _like(1),
    "pad": _pad,
    "prod": _reduction("ReduceProd"),
    "reshape": lambda at, x, shape: at.reshape(x, at.shape),
    "root": _root,
    "round": _round,
    "scatter": scatter,
    "scatter_along_axis": scatter_along_axis,
    "square": _square,
    "stack": _stack,
    "stop_gradient": lambda at, x: at.cut(x),
    "sum": _reduction("ReduceSum"),
    "take": take,
    "take_along_axis": take_along_axis,
    "transpose": _transpose,
    "trunc": _trunc,
    "where": _where,
    "zeros_like": _like(0),
}

"""Operators that reduce along axes, or look for places along one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ....autodiff import discrete, elementary, functions
from ....autodiff import primitives as p
from ....autodiff.primitive import Value
from ..operators import Results, integers, operator


def _extremum(function: Callable[..., Any], x: Value, axis: tuple[int, ...], sign: int) -> Value:
    """The extremum; of nothing, what every number beats."""
    if any(x.shape[k] == 0 for k in axis):
        about = np.iinfo if x.dtype.kind in "iu" else np.finfo
        edge = (
            sign > 0
            if x.dtype.kind == "b"
            else sign * np.inf
            if x.dtype.kind == "f"
            else about(x.dtype).max
            if sign > 0
            else about(x.dtype).min
        )
        return np.full([1 if k in axis else n for k, n in enumerate(x.shape)], edge, x.dtype)
    return function(x, axis=axis, keepdims=True)


_REDUCTIONS: dict[str, Callable[..., Any]] = {
    "ReduceL1": lambda x, axis: p.sum(p.abs(x), axis=axis, keepdims=True),
    "ReduceL2": lambda x, axis: elementary.root(p.sum(p.square(x), axis=axis, keepdims=True)),
    "ReduceLogSum": lambda x, axis: p.log(p.sum(x, axis=axis, keepdims=True)),
    "ReduceLogSumExp": lambda x, axis: p.logsumexp(x, axis=axis, keepdims=True),
    "ReduceMax": lambda x, axis: _extremum(p.max, x, axis, -1),
    "ReduceMean": lambda x, axis: functions.mean(x, axis, True),
    "ReduceMin": lambda x, axis: _extremum(p.min, x, axis, 1),
    "ReduceProd": lambda x, axis: p.prod(x, axis=axis, keepdims=True),
    "ReduceSum": lambda x, axis: p.sum(x, axis=axis, keepdims=True),
    "ReduceSumSquare": lambda x, axis: p.sum(p.square(x), axis=axis, keepdims=True),
}


def _reduction(function: Callable[..., Any]) -> Callable[..., Value]:
    def run(x: Value, axes: Value = None, *, keepdims: int, noop_with_empty_axes: int = 0) -> Value:
        over = tuple(integers(axes)) if axes is not None else ()
        if not over and noop_with_empty_axes:
            return x
        over = tuple(sorted(functions.normal_axis("axes", k, len(x.shape)) for k in over or range(len(x.shape))))
        result = function(x, over)
        result = result if result.dtype == x.dtype else p.astype(result, x.dtype)
        return result if keepdims or not over else functions.squeeze(result, over)

    return run


for _name, _function in _REDUCTIONS.items():
    operator(_name)(_reduction(_function))


def _arg(function: Callable[..., Any]) -> Callable[..., Value]:
    def run(x: Value, *, axis: int, keepdims: int, select_last_index: int = 0) -> Value:
        if not select_last_index:
            return function(x, axis=axis, keepdims=bool(keepdims))
        return p.subtract(x.shape[axis] - 1, function(p.flip(x, axis), axis=axis, keepdims=bool(keepdims)))

    return run


operator("ArgMax")(_arg(discrete.argmax))
operator("ArgMin")(_arg(discrete.argmin))


@operator("Softmax", since=13)
def _softmax(x: Value, *, axis: int) -> Value:
    return functions.softmax(x, axis)


@operator("LogSoftmax", since=13)
def _log_softmax(x: Value, *, axis: int) -> Value:
    return p.log_softmax(x, axis)


def _flat(x: Value, axis: int, function: Callable[..., Any]) -> Value:
    """Before opset 13 they worked on everything from the axis on, as one."""
    axis = axis + len(x.shape) if axis < 0 else axis
    rows = int(np.prod(x.shape[:axis], dtype=int))
    return p.reshape(function(p.reshape(x, (rows, -1)), 1), x.shape)


@operator("Softmax")
def _softmax_flat(x: Value, *, axis: int) -> Value:
    return _flat(x, axis, functions.softmax)


@operator("LogSoftmax")
def _log_softmax_flat(x: Value, *, axis: int) -> Value:
    return _flat(x, axis, p.log_softmax)


@operator("Hardmax", since=13)
def _hardmax(x: Value, *, axis: int) -> Value:
    axis = functions.normal_axis("Hardmax", axis, len(x.shape))
    first = np.argmax(np.asarray(x if isinstance(x, np.ndarray) else x.data), axis=axis)
    hot = np.arange(x.shape[axis]) == np.expand_dims(first, -1)
    return np.moveaxis(hot, -1, axis).astype(x.dtype)


@operator("Hardmax")
def _hardmax_flat(x: Value, *, axis: int) -> Value:
    return _flat(x, axis, lambda rows, _: _hardmax(rows, axis=1))


@operator("CumSum")
def _cumsum(x: Value, axis: Value, *, exclusive: int, reverse: int) -> Value:
    (along,) = integers(axis)
    along = functions.normal_axis("CumSum", along, len(x.shape))
    x = p.flip(x, along) if reverse else x
    total = functions.cumsum(x, along)
    total = total if total.dtype == x.dtype else p.astype(total, x.dtype)
    total = p.subtract(total, x) if exclusive else total
    return p.flip(total, along) if reverse else total


@operator("TopK")
def _top_k(x: Value, k: Value, *, axis: int, largest: int = 1, sorted: int = 1) -> Any:
    axis = functions.normal_axis("TopK", axis, len(x.shape))
    n, (count,) = x.shape[axis], integers(k)
    if not 0 <= count <= n:
        raise ValueError(f"k is {count} on an axis of length {n}")
    data = np.asarray(x if isinstance(x, np.ndarray) else x.data)
    order = np.argsort(data, axis, kind="stable")
    if largest:  # of equal ones the first
        order = n - 1 - np.flip(np.argsort(np.flip(data, axis), axis, kind="stable"), axis)
    places = np.take(order, np.arange(count), axis)
    return Results([p.take_along_axis(x, places, axis=axis), places.astype(np.int64)])

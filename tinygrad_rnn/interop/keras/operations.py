"""Operations of ``keras.ops`` that stand between layers: arithmetic, and what Keras computes masks with."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ...autodiff import discrete, functions
from ...autodiff import primitives as p
from .activations import ACTIVATIONS
from .config import Config, Shape
from .layer import Arguments, Frame, KerasLayer, Reference, Signal

__all__ = ["OPERATIONS", "Operation"]

_LARGEST_TRIAL = 1 << 22


def _reduced(function: Callable[..., Any]) -> Callable[..., Any]:
    def reduce(config: Config, x: Any) -> Any:
        axis = None if config.get("axis") is None else config.axes("axis", -1)
        return function(x, axis if axis is None or len(axis) != 1 else axis[0], config.flag("keepdims", False))

    return reduce


def _plain(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda config, *args: function(*args)


def _sizes(config: Config, name: str) -> tuple[int, ...]:
    return config.axes(name, 0)


def _like(value: int) -> Callable[..., Any]:
    def fill(config: Config, x: Any) -> Any:
        dtype = config.get("dtype")
        return np.full(x.shape, value, x.dtype if dtype is None else config.dtype)

    return fill


def _getitem(config: Config, x: Any, index: Any) -> Any:
    return x[tuple(index) if isinstance(index, list) else index]


def _transposed(config: Config, x: Any) -> Any:
    return p.transpose(x, None if config.get("axes") is None else _sizes(config, "axes"))


_PLAIN: dict[str, Callable[..., Any]] = {
    "Abs": p.abs, "Absolute": p.abs, "Add": p.add, "Cos": p.cos, "Divide": p.divide, "Equal": p.equal, "Exp": p.exp,
    "Greater": p.greater, "GreaterEqual": p.greater_equal, "Less": p.less, "LessEqual": p.less_equal, "Log": p.log,
    "LogicalAnd": p.logical_and, "LogicalNot": p.logical_not, "LogicalOr": p.logical_or, "Matmul": p.matmul,
    "Maximum": p.maximum, "Minimum": p.minimum, "Multiply": p.multiply, "Negative": p.negative,
    "NotEqual": p.not_equal, "Power": p.power, "Relu": p.relu, "Sigmoid": p.sigmoid, "Silu": ACTIVATIONS["silu"],
    "Sin": p.sin, "Softplus": p.softplus, "Sqrt": p.sqrt, "Square": p.square, "Subtract": p.subtract, "Tanh": p.tanh,
    "TrueDivide": p.divide, "Where": p.where,
}  # fmt: skip

OPERATIONS: dict[str, Callable[..., Any]] = {
    **{name: _plain(function) for name, function in _PLAIN.items()},
    "All": _reduced(discrete.all),
    "Any": _reduced(discrete.any),
    "Concatenate": lambda config, xs: functions.concatenate(xs, config.axes("axis", 0)[0]),
    "ExpandDims": lambda config, x: functions.expand_dims(x, config.axes("axis", -1)[0]),
    "Flip": lambda config, x: p.flip(x, None if config.get("axis") is None else config.axes("axis", -1)),
    "GetItem": _getitem,
    "LogSoftmax": lambda config, x: p.log_softmax(x, config.axes("axis", -1)),
    "Max": _reduced(p.max),
    "Mean": _reduced(functions.mean),
    "Min": _reduced(p.min),
    "OnesLike": _like(1),
    "Prod": _reduced(p.prod),
    "Reshape": lambda config, x: p.reshape(x, _sizes(config, "newshape")),
    "Softmax": lambda config, x: functions.softmax(x, config.axes("axis", -1)),
    "Squeeze": lambda config, x: functions.squeeze(x, None if config.get("axis") is None else config.axes("axis", -1)),
    "Stack": lambda config, xs: functions.stack(xs, config.axes("axis", 0)[0]),
    "Sum": _reduced(p.sum),
    "Transpose": _transposed,
    "ZerosLike": _like(0),
}
"""By the name of the class in ``keras.src.ops`` a function of the options and of the arguments."""


class Operation(KerasLayer):
    """An operation between layers; what it is called with may be values and plain numbers, in any order."""

    takes = (0, 10_000)
    takes_integers = True
    template: Any = ((), {})

    def setup(self) -> None:
        self.function = OPERATIONS[self.config["class_name"]]

    def _apply(self, values: list[Any]) -> Any:
        args, named = _with(self.template, iter(values))
        try:
            return self.function(self.config, *args, **named)
        except (TypeError, IndexError, ValueError) as error:
            self.config.fail(f"cannot be done: {error}")

    def build(self, shapes: list[Shape], named: Mapping[str, Any]) -> list[Shape]:
        """Shapes by trial: an axis of any length takes two, and is of any length after it if that shows."""
        if sum(math.prod(n or 3 for n in shape) for shape in shapes) > _LARGEST_TRIAL:
            self.config.refuse(f"works on the shapes {shapes}, which are too large")
        tried = []
        for size in (2, 3):
            whole = [np.ones([size if n is None else n for n in shape], np.float32) for shape in shapes]
            found = self._apply(whole)
            if not hasattr(found, "shape"):
                self.config.refuse("gives several values")
            tried.append(found.shape)
        if len(tried[0]) != len(tried[1]):
            self.config.refuse("has as many axes as its input is long")
        return [tuple(a if a == b else None for a, b in zip(*tried, strict=True))]

    def run(self, frame: Frame, inputs: list[Signal], call: Arguments) -> list[Signal]:
        return [Signal(self._apply([signal.value for signal in inputs]))]


def _with(value: Any, inputs: Any) -> Any:
    """Arguments with values in place of References, in order."""
    if isinstance(value, Reference):
        return next(inputs)
    if isinstance(value, (list, tuple)):
        return [_with(one, inputs) for one in value]
    return {key: _with(one, inputs) for key, one in value.items()} if isinstance(value, Mapping) else value

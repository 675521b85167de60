"""Keras' activations by name, as of the version that wrote the file."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ...autodiff import primitives as p
from ...autodiff.functions import softmax
from ...autodiff.primitive import Value
from ..activated_cells import Function
from ..torch.aten import ATEN
from .config import near

__all__ = ["ACTIVATIONS", "LAYERS", "activation_of"]


def linear(x: Value) -> Value:
    """`x` as it is."""
    return x


def rectified(
    x: Value, *, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0
) -> Value:
    """``x`` above the threshold, up to `max_value`, and ``negative_slope * (x - threshold)`` below it."""
    if not threshold and max_value is None:
        return p.relu(x) if not negative_slope else p.where(p.greater(x, 0.0), x, p.multiply(x, negative_slope))
    above = p.where(p.greater(x, threshold), x, 0.0)
    above = above if max_value is None else _clipped(above, 0.0, max_value)
    if not negative_slope:
        return above
    return p.subtract(above, p.multiply(negative_slope, p.relu(p.subtract(threshold, x))))


def _clipped(x: Value, low: float, high: float) -> Value:
    return ATEN["hardtanh.default"](x, low, high)


def hard_sigmoid(x: Value) -> Value:
    """``relu6(x + 3) / 6``, as of Keras 3."""
    return ATEN["hardsigmoid.default"](x)


def hard_sigmoid_of_keras_2(x: Value) -> Value:
    """``clip(0.2 x + 0.5, 0, 1)``."""
    return _clipped(p.add(p.multiply(0.2, x), 0.5), 0.0, 1.0)


def _hard_silu(x: Value) -> Value:
    return p.multiply(x, hard_sigmoid(x))


def _softsign(x: Value) -> Value:
    return p.divide(x, p.add(1.0, p.abs(x)))


def _log_sigmoid(x: Value) -> Value:
    return p.negative(p.softplus(p.negative(x)))


def _tanh_shrink(x: Value) -> Value:
    return p.subtract(x, p.tanh(x))


def _soft_shrink(x: Value) -> Value:
    return p.where(p.greater(x, 0.5), p.subtract(x, 0.5), p.where(p.less(x, -0.5), p.add(x, 0.5), 0.0))


def _hard_shrink(x: Value) -> Value:
    return p.where(p.greater(p.abs(x), 0.5), x, 0.0)


def _squareplus(x: Value) -> Value:
    return p.multiply(0.5, p.add(x, p.sqrt(p.add(p.square(x), 4.0))))


def _sparse_plus(x: Value) -> Value:
    middle = p.multiply(0.25, p.square(p.add(x, 1.0)))
    return p.where(p.less_equal(x, -1.0), 0.0, p.where(p.less(x, 1.0), middle, x))


def _sparse_sigmoid(x: Value) -> Value:
    return _clipped(p.multiply(0.5, p.add(x, 1.0)), 0.0, 1.0)


ACTIVATIONS: dict[str, Function] = {
    "celu": ATEN["celu.default"],
    "elu": ATEN["elu.default"],
    "exponential": p.exp,
    "gelu": ATEN["gelu.default"],
    "glu": ATEN["glu.default"],
    "hard_shrink": _hard_shrink,
    "hard_sigmoid": hard_sigmoid,
    "hard_silu": _hard_silu,
    "hard_swish": _hard_silu,
    "hard_tanh": partial(_clipped, low=-1.0, high=1.0),
    "leaky_relu": partial(rectified, negative_slope=0.2),
    "linear": linear,
    "log_sigmoid": _log_sigmoid,
    "log_softmax": p.log_softmax,
    "mish": ATEN["mish.default"],
    "relu": p.relu,
    "relu6": partial(_clipped, low=0.0, high=6.0),
    "selu": partial(ATEN["elu.default"], alpha=1.6732632423543772, scale=1.0507009873554805),
    "sigmoid": p.sigmoid,
    "silu": ATEN["silu.default"],
    "soft_shrink": _soft_shrink,
    "softmax": softmax,
    "softplus": p.softplus,
    "softsign": _softsign,
    "sparse_plus": _sparse_plus,
    "sparse_sigmoid": _sparse_sigmoid,
    "squareplus": _squareplus,
    "swish": ATEN["silu.default"],
    "tanh": p.tanh,
    "tanh_shrink": _tanh_shrink,
}


def _rectifier(config: Any) -> Function:
    limit = config.get("max_value")
    return partial(
        rectified,
        negative_slope=config.number("negative_slope", 0.0),
        max_value=None if limit is None else config.number("max_value"),
        threshold=config.number("threshold", 0.0),
    )


def _leaky(config: Any) -> Function:
    slope = "alpha" if config.get("negative_slope") is None and config.get("alpha") is not None else "negative_slope"
    return partial(rectified, negative_slope=config.number(slope, 0.3))


def _exponential_linear(config: Any) -> Function:
    return partial(ATEN["elu.default"], alpha=config.number("alpha", 1.0))


def _thresholded(config: Any) -> Function:
    return partial(rectified, threshold=config.number("theta", 1.0))


def _normalised(config: Any) -> Function:
    return partial(softmax, axis=config.axes("axis", -1))


LAYERS: dict[str, Callable[[Any], Function]] = {
    "ELU": _exponential_linear,
    "LeakyReLU": _leaky,
    "ReLU": _rectifier,
    "Softmax": _normalised,
    "ThresholdedReLU": _thresholded,
}
"""What the layers compute that are an activation with options."""


def activation_of(config: Any, name: str, default: str = "linear") -> Function:
    """The activation that a layer's configuration calls `name`.

    Raises
    ------
    UnsupportedError
        If there is none of that name, such as one of whoever wrote the file.
    """
    given = config.get(name, default)
    if isinstance(given, dict):
        kind, inside = given.get("class_name"), given.get("config")
        if isinstance(kind, str) and kind in LAYERS and isinstance(inside, dict):
            return LAYERS[kind](config.inside(inside))
        given = inside if isinstance(inside, str) and kind == "function" else given.get("registered_name") or kind
    if given is None:
        return linear
    if given == "hard_sigmoid" and config.keras < (3,):
        return hard_sigmoid_of_keras_2
    if not isinstance(given, str) or given not in ACTIVATIONS:
        config.refuse(f"has the {name} {config.quote(given)}, of which nothing is known{near(str(given), ACTIVATIONS)}")
    return ACTIVATIONS[given]

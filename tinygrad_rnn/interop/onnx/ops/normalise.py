"""Normalisation, and dropout where nothing is trained."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....autodiff import functions
from ....autodiff import primitives as p
from ....autodiff.primitive import Value
from ..operators import Place, Results, operator, plain


def _normal(x: Value, axes: tuple[int, ...], epsilon: float) -> tuple[Value, Value, Value]:
    mean = functions.mean(x, axes, True)
    centred = p.subtract(x, mean)
    inverse = p.divide(1.0, p.sqrt(p.add(functions.mean(p.square(centred), axes, True), epsilon)))
    return p.multiply(centred, inverse), mean, inverse


def _by_batch(*, training_mode: int = 0, **_: Any) -> str:
    return "normalises by the batch, as in training; export the model in evaluation mode" if training_mode else ""


@operator("BatchNormalization", refuses=_by_batch)
def _batch_normalization(x: Value, scale: Value, bias: Value, mean: Value, variance: Value, *, epsilon: float) -> Value:
    shape = (1, -1, *(1,) * (len(x.shape) - 2))
    scale, bias, mean, variance = (p.reshape(v, shape) for v in (scale, bias, mean, variance))
    return p.add(p.multiply(p.divide(p.subtract(x, mean), p.sqrt(p.add(variance, epsilon))), scale), bias)


@operator("LayerNormalization")
def _layer_normalization(x: Value, scale: Value, bias: Value = None, *, axis: int, epsilon: float) -> Any:
    first = functions.normal_axis("LayerNormalization", axis, len(x.shape))
    normal, mean, inverse = _normal(x, tuple(range(first, len(x.shape))), epsilon)
    normal = p.multiply(normal, scale)
    return Results([normal if bias is None else p.add(normal, bias), mean, inverse])


@operator("InstanceNormalization")
def _instance_normalization(x: Value, scale: Value, bias: Value, *, epsilon: float) -> Value:
    normal, _, _ = _normal(x, tuple(range(2, len(x.shape))), epsilon)
    shape = (1, -1, *(1,) * (len(x.shape) - 2))
    return p.add(p.multiply(normal, p.reshape(scale, shape)), p.reshape(bias, shape))


def _at_random(*, given: Any, **_: Any) -> str:
    ratio, training = given.get("ratio"), given.get("training_mode")
    if training is None or not training.any() or (ratio is not None and not ratio.any()):
        return ""
    return "drops at random, as in training; export the model in evaluation mode"


@operator("Dropout", refuses=_at_random)
def _dropout(x: Value, ratio: Value = None, training_mode: Value = None, *, at: Place) -> Any:
    if training_mode is not None and plain(training_mode).any() and (ratio is None or plain(ratio).any()):
        raise ValueError("drops at random, as in training; export the model in evaluation mode")
    return Results([x, np.ones(x.shape, bool)][: len(at.outputs)])

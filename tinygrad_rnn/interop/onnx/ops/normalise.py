"""Normalisation, and dropout where nothing is trained."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....autodiff import elementary, functions
from ....autodiff import primitives as p
from ....autodiff.arrangement import moveaxis
from ....autodiff.primitive import Value
from ..operators import Place, Results, bounded, operator, plain


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


@operator("GroupNormalization")
def _group_normalization(x: Value, scale: Value, bias: Value, *, epsilon: float, num_groups: int, at: Place) -> Value:
    if num_groups < 1 or len(x.shape) < 2 or x.shape[1] % num_groups:
        raise ValueError(f"{num_groups} groups do not fit shape {x.shape}")
    grouped = p.reshape(x, (x.shape[0], num_groups, -1))
    normal, _, _ = _normal(grouped, (2,), epsilon)
    if at.version < 21:  # a scale and a bias for each group
        normal = p.add(p.multiply(normal, p.reshape(scale, (1, -1, 1))), p.reshape(bias, (1, -1, 1)))
        return p.reshape(normal, x.shape)
    shape = (1, -1, *(1,) * (len(x.shape) - 2))
    return p.add(p.multiply(p.reshape(normal, x.shape), p.reshape(scale, shape)), p.reshape(bias, shape))


@operator("RMSNormalization")
def _rms_normalization(x: Value, scale: Value, *, axis: int, epsilon: float) -> Value:
    first = functions.normal_axis("RMSNormalization", axis, len(x.shape))
    square = functions.mean(p.square(x), tuple(range(first, len(x.shape))), True)
    return p.multiply(p.divide(x, p.sqrt(p.add(square, epsilon))), scale)


@operator("LpNormalization")
def _lp_normalization(x: Value, *, axis: int, p: int) -> Value:
    return _over_length(x, axis, p)


def _over_length(x: Value, axis: int, order: int) -> Value:
    if order == 1:
        length = p.sum(p.abs(x), axis=axis, keepdims=True)
    else:
        length = elementary.root(p.sum(p.square(x), axis=axis, keepdims=True))
    return p.divide(x, p.where(p.equal(length, 0), 1.0, length))


@operator("LRN")
def _lrn(x: Value, *, alpha: float, beta: float, bias: float, size: int) -> Value:
    """Over channels that stand near."""
    channels = np.arange(*bounded([x.shape[1]]))
    bounded((channels.size, channels.size))
    ahead = channels[:, None] - channels
    near = ((ahead <= (size - 1) // 2) & (ahead >= -(size // 2))).astype(x.dtype)
    last = len(x.shape) - 1
    total = moveaxis(p.matmul(moveaxis(p.square(x), 1, last), near), last, 1)
    return p.divide(x, p.power(p.add(p.multiply(total, alpha / size), bias), beta))


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

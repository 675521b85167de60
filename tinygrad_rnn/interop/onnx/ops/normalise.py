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


def _axis_one(x: Value, value: Value) -> Value:
    return p.reshape(value, (1, -1, *(1,) * (len(x.shape) - 2)))


def _as_in_training(*, outputs: int, **_: Any) -> str:
    return "normalises by the batch, as in training; export the model in evaluation mode" if outputs > 1 else ""


@operator("BatchNormalization", refuses=_as_in_training)
def _batch_normalization(x: Value, scale: Value, bias: Value, mean: Value, variance: Value, *, epsilon: float) -> Value:
    scale, bias, mean, variance = (_axis_one(x, value) for value in (scale, bias, mean, variance))
    return p.add(p.multiply(p.divide(p.subtract(x, mean), p.sqrt(p.add(variance, epsilon))), scale), bias)


@operator("BatchNormalization", since=14)
def _batch_normalization_14(
    x: Value,
    scale: Value,
    bias: Value,
    mean: Value,
    variance: Value,
    *,
    epsilon: float,
    momentum: float,
    training_mode: int,
) -> Any:
    if not training_mode:
        return _batch_normalization(x, scale, bias, mean, variance, epsilon=epsilon)
    axes = tuple(k for k in range(len(x.shape)) if k != 1)
    own_mean = functions.mean(x, axes)
    own_variance = functions.mean(p.square(p.subtract(x, _axis_one(x, own_mean))), axes)
    running = [
        p.add(p.multiply(old, momentum), p.multiply(own, 1 - momentum))
        for old, own in ((mean, own_mean), (variance, own_variance))
    ]
    return Results([_batch_normalization(x, scale, bias, own_mean, own_variance, epsilon=epsilon), *running])


@operator("LayerNormalization")
def _layer_normalization(x: Value, scale: Value, bias: Value = None, *, axis: int, epsilon: float) -> Any:
    first = functions.normal_axis("LayerNormalization", axis, len(x.shape))
    normal, mean, inverse = _normal(x, tuple(range(first, len(x.shape))), epsilon)
    normal = p.multiply(normal, scale)
    return Results([normal if bias is None else p.add(normal, bias), mean, inverse])


@operator("InstanceNormalization")
def _instance_normalization(x: Value, scale: Value, bias: Value, *, epsilon: float) -> Value:
    normal, _, _ = _normal(x, tuple(range(2, len(x.shape))), epsilon)
    return p.add(p.multiply(normal, _axis_one(x, scale)), _axis_one(x, bias))


@operator("GroupNormalization")
def _group_normalization(x: Value, scale: Value, bias: Value, *, epsilon: float, num_groups: int, at: Place) -> Value:
    if num_groups < 1 or len(x.shape) < 2 or x.shape[1] % num_groups:
        raise ValueError(f"{num_groups} groups do not fit shape {x.shape}")
    grouped = p.reshape(x, (x.shape[0], num_groups, -1))
    normal, _, _ = _normal(grouped, (2,), epsilon)
    if at.version < 21:  # a scale and a bias for each group
        normal = p.add(p.multiply(normal, p.reshape(scale, (1, -1, 1))), p.reshape(bias, (1, -1, 1)))
        return p.reshape(normal, x.shape)
    return p.add(p.multiply(p.reshape(normal, x.shape), _axis_one(x, scale)), _axis_one(x, bias))


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

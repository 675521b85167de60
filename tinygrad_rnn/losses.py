"""Loss functions, on Tensors or arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from .autodiff import functions as f
from .autodiff import primitives as p
from .autodiff.arrays import plain
from .autodiff.primitive import Value

__all__ = ["binary_cross_entropy_with_logits", "cross_entropy", "mse_loss"]


def mse_loss(prediction: Value, target: Any, reduction: str = "mean") -> Value:
    """Squared error ``(prediction - target)**2``.

    Parameters
    ----------
    prediction, target : same shape
    reduction : {"mean", "sum", "none"}

    Raises
    ------
    ValueError
        If the shapes differ (a silent broadcast would compare everything with everything).
    """
    _same_shape("mse_loss", prediction, target)
    return _reduce("mse_loss", p.square(p.subtract(prediction, target)), reduction)


def cross_entropy(logits: Value, target: Any, reduction: str = "mean") -> Value:
    """Negative log-probability of the target class under ``softmax(logits)``.

    Parameters
    ----------
    logits : (..., classes)
    target : integers (...), or probabilities (..., classes)
    reduction : {"mean", "sum", "none"}

    Raises
    ------
    ValueError
        If the shapes do not fit, or a class is out of range.
    """
    shape = np.shape(logits)
    if not shape:
        raise ValueError("cross_entropy: logits must be (..., classes), got shape ()")
    classes = shape[-1]
    log_probabilities = p.log_softmax(logits, axis=-1)
    labels = np.asarray(plain(target))
    if labels.dtype.kind not in "biu":
        _same_shape("cross_entropy", logits, target)
        losses = p.negative(p.sum(p.multiply(log_probabilities, target), axis=-1))
        return _reduce("cross_entropy", losses, reduction)
    if labels.shape != shape[:-1]:
        raise ValueError(f"cross_entropy: logits {shape} need labels {shape[:-1]}, got {labels.shape}")
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(f"cross_entropy: labels must lie in 0..{classes - 1}, got {labels.min()}..{labels.max()}")
    flat = p.reshape(log_probabilities, (-1, classes))
    chosen = p.getitem(flat, (np.arange(labels.size), labels.reshape(-1).astype(int)))
    return _reduce("cross_entropy", p.negative(p.reshape(chosen, labels.shape)), reduction)


def binary_cross_entropy_with_logits(logits: Value, target: Any, reduction: str = "mean") -> Value:
    """``-target log sigmoid(logits) - (1 - target) log sigmoid(-logits)``, without overflow.

    Parameters
    ----------
    logits, target : same shape, targets in [0, 1]
    reduction : {"mean", "sum", "none"}

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    _same_shape("binary_cross_entropy_with_logits", logits, target)
    losses = p.subtract(p.softplus(logits), p.multiply(logits, target))
    return _reduce("binary_cross_entropy_with_logits", losses, reduction)


def _same_shape(name: str, prediction: Any, target: Any) -> None:
    if np.shape(prediction) != np.shape(target):
        raise ValueError(f"{name}: shapes {np.shape(prediction)} and {np.shape(target)} differ")


def _reduce(name: str, losses: Value, reduction: str) -> Value:
    if reduction == "none":
        return losses
    if reduction not in ("mean", "sum"):
        raise ValueError(f"{name}: reduction must be 'mean', 'sum' or 'none', got {reduction!r}")
    return f.mean(losses) if reduction == "mean" else p.sum(losses)

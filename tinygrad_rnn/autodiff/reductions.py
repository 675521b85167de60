"""Spread, order, length and differences along axes. Composed, no derivative rules here."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..plurals import counted
from . import primitives as p
from .arrangement import moveaxis, ravel, sort
from .discrete import any, count_nonzero, isinf, isnan
from .elementary import root
from .functions import concatenate, mean, normal_axis, squeeze, value_of
from .primitive import Value

__all__ = ["average", "cumprod", "diff", "median", "norm", "percentile", "ptp", "quantile", "std", "var"]


def _axes(name: str, axis: Any, ndim: int) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(ndim))
    return tuple(normal_axis(name, a, ndim) for a in (axis if isinstance(axis, tuple) else (axis,)))


def var(x: Value, axis: Any = None, ddof: float = 0, keepdims: bool = False) -> Value:
    """Variance over `axis`: squared deviations added up, of float16 in float32, and divided by ``n - ddof``."""
    x = value_of(x)
    if x.dtype == np.float16:
        return p.astype(var(p.astype(x, np.dtype(np.float32)), axis, ddof, keepdims), np.dtype(np.float16))
    n = math.prod(x.shape[k] for k in _axes("var", axis, x.ndim))
    total = p.sum(p.square(p.subtract(x, mean(x, axis, True))), axis=axis, keepdims=keepdims)
    return p.divide(total, float(max(n - ddof, 0)))


def std(x: Value, axis: Any = None, ddof: float = 0, keepdims: bool = False) -> Value:
    """Standard deviation over `axis`; its derivative is 0 where the deviation is 0."""
    return root(var(x, axis, ddof, keepdims))


def average(x: Value, axis: Any = None, weights: Value | None = None, keepdims: bool = False) -> Value:
    """Mean over `axis`, weighted by values of the shape of `x` or, along one axis, of its length."""
    if weights is None:
        return mean(x, axis, keepdims)
    x, weights = value_of(x), value_of(weights)
    if weights.shape != x.shape:
        axes = _axes("average", axis, x.ndim)
        if axis is None or weights.shape != tuple(x.shape[k] for k in axes) or len(axes) != 1:
            raise ValueError(f"average: weights {weights.shape} do not fit shape {x.shape} along axis {axis}")
        weights = p.reshape(weights, tuple(n if k in axes else 1 for k, n in enumerate(x.shape)))
    total = p.sum(p.multiply(x, weights), axis=axis, keepdims=keepdims)
    return p.divide(total, p.sum(p.broadcast_to(weights, x.shape), axis=axis, keepdims=keepdims))


def ptp(x: Value, axis: Any = None, keepdims: bool = False) -> Value:
    """Largest minus smallest element along `axis`."""
    return p.subtract(p.max(x, axis=axis, keepdims=keepdims), p.min(x, axis=axis, keepdims=keepdims))


def quantile(x: Value, q: Any, axis: Any = None, keepdims: bool = False) -> Value:
    """What the share `q` (a number, or an array of them in front) of the elements lies below, interpolated.

    The gradient goes to the two elements between which the quantile lies.

    Raises
    ------
    ValueError
        If `q` is outside 0 to 1, or nothing is there to reduce.
    """
    x = value_of(x)
    axes = _axes("quantile", axis, x.ndim)
    rest = tuple(k for k in range(x.ndim) if k not in axes)
    n = math.prod(x.shape[k] for k in axes)
    shares = np.asarray(q, dtype=float)
    if not n or not np.all((shares >= 0) & (shares <= 1)):
        raise ValueError(f"quantile: needs elements, and shares from 0 to 1; got shape {x.shape}, shares {q}")
    rows = sort(p.reshape(p.transpose(x, rest + axes), (*(x.shape[k] for k in rest), n)))
    place = shares * (n - 1)
    below = np.floor(place).astype(int)
    low, high = rows[..., below], rows[..., np.minimum(below + 1, n - 1)]
    share = (place - below).astype(x.dtype)
    between = p.add(low, p.multiply(p.subtract(high, low), share))
    infinite = p.add(p.multiply(low, 1 - share), p.multiply(high, share))  # whose difference is no number
    found = p.where(share == 0, low, p.where(isinf(low), infinite, between))
    lost = any(isnan(rows), axis=-1)
    found = p.where(p.reshape(lost, lost.shape + (1,) * shares.ndim), np.nan, found)
    found = moveaxis(found, tuple(range(-shares.ndim, 0)), tuple(range(shares.ndim)))
    kept = tuple(1 if k in axes else size for k, size in enumerate(x.shape))
    return p.reshape(found, shares.shape + kept) if keepdims else found


def percentile(x: Value, q: Any, axis: Any = None, keepdims: bool = False) -> Value:
    """:func:`quantile` of the shares ``q / 100``."""
    return quantile(x, np.true_divide(q, 100), axis, keepdims)


def median(x: Value, axis: Any = None, keepdims: bool = False) -> Value:
    """The middle element along `axis`, or the mean of the two in the middle."""
    return quantile(x, 0.5, axis, keepdims)


def diff(x: Value, n: int = 1, axis: int = -1, prepend: Value | None = None, append: Value | None = None) -> Value:
    """Differences of neighbours along `axis`, taken `n` times."""
    x = value_of(x)
    axis = normal_axis("diff", axis, x.ndim)
    if n < 0:
        raise ValueError(f"diff: n must not be negative, got {n}")
    edge = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
    ends = [e if e is None or value_of(e).ndim else p.broadcast_to(e, edge) for e in (prepend, append)]
    x = concatenate([part for part in (ends[0], x, ends[1]) if part is not None], axis)
    before = (slice(None),) * axis
    for _ in range(n):
        x = x[(*before, slice(1, None))] - x[(*before, slice(None, -1))]
    return x


def cumprod(x: Value, axis: int | None = None) -> Value:
    """Running product along `axis`; of the flattened array when `axis` is None."""
    x, axis = (ravel(x), 0) if axis is None else (value_of(x), axis)
    return p.running_product(x, normal_axis("cumprod", axis, x.ndim))


def norm(x: Value, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Value:
    """Length of vectors (one axis) or matrices (two axes), as :func:`numpy.linalg.norm`.

    Parameters
    ----------
    x : value
    ord : optional
        Of vectors any number, ``inf`` and ``-inf`` included; of matrices ``"fro"``, 1, -1, ``inf`` or ``-inf``. When
        omitted, the root of the sum of squares over all of `axis`; its derivative at 0 is 0.
    axis : int or pair of int, optional
        All axes when omitted.
    keepdims : bool

    Raises
    ------
    ValueError
        If the order needs singular values, or does not fit the number of axes.
    """
    x = value_of(x)
    axes = _axes("norm", axis, x.ndim)
    if ord is None or (ord == 2 and len(axes) == 1) or (ord == "fro" and len(axes) == 2):
        return root(p.sum(p.square(x), axis=axes, keepdims=keepdims))
    if len(axes) == 1:
        return _vector_norm(p.abs(x), ord, axes, keepdims)
    if len(axes) != 2 or ord not in (1, -1, np.inf, -np.inf):
        raise ValueError(
            f"norm: order {ord!r} over {counted(len(axes), 'axis', plural='axes')} has no derivative rule here"
        )
    summed, chosen = axes if np.isfinite(ord) else axes[::-1]
    lengths = p.sum(p.abs(x), axis=summed, keepdims=True)
    found = (p.max if ord > 0 else p.min)(lengths, axis=chosen, keepdims=True)
    return found if keepdims else squeeze(found, axes)


def _vector_norm(size: Value, ord: Any, axes: tuple[int, ...], keepdims: bool) -> Value:
    if not isinstance(ord, (int, float, np.number)):
        raise ValueError(f"norm: order {ord!r} is for matrices, of two axes")
    if np.isinf(ord):
        return (p.max if ord > 0 else p.min)(size, axis=axes, keepdims=keepdims)
    if ord == 0:
        return p.astype(count_nonzero(size, axes, keepdims), size.dtype)
    zero = p.equal(size, 0)
    powers = p.where(zero, 0.0 if ord > 0 else np.inf, p.power(p.where(zero, 1.0, size), float(ord)))
    powers = p.sum(powers, axis=axes, keepdims=keepdims)
    zero = p.equal(powers, 0)
    return p.where(zero, 0.0, p.power(p.where(zero, 1.0, powers), 1.0 / ord))

"""A curve as one line of text, for terminals, logs and messages."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

__all__ = ["sparkline"]

_BARS = "▁▂▃▄▅▆▇█"


def sparkline(values: npt.ArrayLike, width: int = 60, *, log: bool = True, like: npt.ArrayLike | None = None) -> str:
    """Draw a curve with blocks, from the lowest ``▁`` to the highest ``█``.

    Zeros on a logarithmic scale show as ``·``, and so do their logarithms, minus infinity; what else is not finite
    shows as ``!``. A curve longer than `width` is thinned out: each character shows the largest value of its stretch.

    Parameters
    ----------
    values : array_like (T,)
    width : int
        Characters at most.
    log : bool
        Whether heights are logarithms.
    like : array_like, optional
        The values that set the scale, for curves to be compared; `values` themselves when omitted.

    Examples
    --------
    >>> from inspector.tracing.sparkline import sparkline
    >>> sparkline([1e-9, 1e-6, 1e-3, 1.0])
    '▁▃▆█'
    >>> sparkline([0.0, 1.0, float("nan")])
    '·█!'
    """
    curve = np.asarray(values, dtype=np.float64).reshape(-1)
    if curve.size > width:
        curve = np.array([_highest(part, log) for part in np.array_split(curve, width)])
    heights = _heights(curve, log)
    scale = heights if like is None else _heights(np.asarray(like, dtype=np.float64).reshape(-1), log)
    usual = np.isfinite(scale)
    low, high = (scale[usual].min(), scale[usual].max()) if usual.any() else (0.0, 0.0)
    marks = []
    for value, height in zip(curve.tolist(), heights.tolist(), strict=True):
        if height == -math.inf and value <= 0:
            marks.append("·")
        elif not math.isfinite(value):
            marks.append("!")
        else:
            place = (
                float(high != 0) if high == low and not log else 1.0 if high == low else (height - low) / (high - low)
            )
            marks.append(_BARS[min(len(_BARS) - 1, max(0, int(place * len(_BARS))))])
    return "".join(marks)


def _heights(curve: npt.NDArray[np.float64], log: bool) -> npt.NDArray[np.float64]:
    if not log:
        return curve
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(np.abs(curve))


def _highest(part: npt.NDArray[np.float64], log: bool) -> float:
    usual = part if log else part[part != -math.inf]
    if not usual.size:
        return -math.inf
    return float("nan") if not np.isfinite(usual).all() else float(usual[np.argmax(np.abs(usual))])

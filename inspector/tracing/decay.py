"""How fast a gradient decays along time: one factor a step back."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tinygrad_rnn.plurals import counted

__all__ = ["Decay", "decay_rate"]


class Decay(NamedTuple):
    """How a gradient changes from each timestep to the one before.

    Attributes
    ----------
    factor : float
        What the norm is multiplied by for one step back; below 1 the gradient vanishes, above 1 it explodes.
        NaN if fewer than two norms are positive and finite.
    half_life : float
        The steps back after which half is left, ``log 2 / -log factor``; infinite if nothing is lost, and
        negative if the gradient grows, when its size is the steps after which it has doubled.
    """

    factor: float
    half_life: float

    def __str__(self) -> str:
        if math.isnan(self.factor):
            return "no decay to measure"
        if math.isinf(self.half_life):
            return "×1 a step back"
        what = "half-life" if self.half_life > 0 else "doubles in"
        return f"×{self.factor:.3g} a step back, {what} {counted(abs(self.half_life), 'step', '.3g')}"


@np.errstate(all="ignore")
def decay_rate(norms: npt.ArrayLike) -> Decay:
    """Fit ``log norm`` by a straight line in time (least squares); zeros and what is not finite are left out.

    Parameters
    ----------
    norms : array_like (T,)
        Gradient norms from the first timestep to the last.
    """
    values = np.asarray(norms, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"decay_rate: norms must be (T,), got {values.shape}")
    usable = np.isfinite(values) & (values > 0)
    if usable.sum() < 2:
        return Decay(math.nan, math.nan)
    t = np.flatnonzero(usable).astype(np.float64)
    slope = float(np.polyfit(t - t.mean(), np.log(values[usable]), 1)[0])
    if abs(slope) < 1e-12:
        return Decay(1.0, math.inf)
    return Decay(math.exp(-slope), math.log(2) / slope)

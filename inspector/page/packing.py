"""Arrays in JSON: base64 of little-endian numbers, a few bytes each, so that thousands of steps stay small."""

from __future__ import annotations

import base64
import math
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

__all__ = ["Packed", "Scaled", "finite", "pack_floats", "pack_levels", "pack_norms", "pooled"]

_DECADES = 40.0
"""How wide a range two bytes tell apart: 65,533 classes of it are 0.14 % each."""
_CLASSES, _ABSENT = 65533, 65535


class Packed(TypedDict):
    """Kind, shape, and the numbers."""

    d: str
    s: list[int]
    b: str


class Scaled(Packed):
    """Numbers that stand for a range."""

    lo: float
    hi: float


def pack_floats(values: npt.ArrayLike) -> Packed:
    """``f4``: float32; NaN is not there."""
    found = np.asarray(values, np.float64).astype("<f4")
    return {"d": "f4", "s": list(found.shape), "b": _text(np.where(np.isfinite(found), found, np.float32(np.nan)))}


def pack_norms(norms: npt.ArrayLike) -> Packed | Scaled:
    """Norms on a logarithmic scale, exactly zero and not there told apart from all others.

    ``l2``: two bytes from 10^lo to 10^hi; 0 is exactly zero, 65535 not there. Norms that are further apart than 40
    decades are ``l4``: the float32 of their decimal logarithm, minus infinity for zero, NaN where not there.
    """
    found = np.asarray(norms, np.float64)
    seen = found[np.isfinite(found) & (found > 0)]
    low, high = (math.log10(seen.min()), math.log10(seen.max())) if seen.size else (0.0, 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        logarithms = np.where(np.isfinite(found), np.log10(found), np.nan)
    if high - low > _DECADES:
        return {"d": "l4", "s": list(found.shape), "b": _text(logarithms.astype("<f4"))}
    place = np.nan_to_num((logarithms - low) / ((high - low) or 1.0), neginf=0.0)
    packed = np.where(np.isnan(logarithms), _ABSENT, np.where(found == 0, 0, 1 + np.round(_CLASSES * place)))
    return {"d": "l2", "s": list(found.shape), "lo": low, "hi": high, "b": _text(packed.astype("<u2"))}


def pack_levels(values: npt.ArrayLike, low: float, high: float) -> Scaled:
    """``u1``: a byte each, 1 to 255 from `low` to `high`; 0 is not there."""
    found = np.asarray(values, np.float64)
    with np.errstate(invalid="ignore"):
        place = np.clip((found - low) / ((high - low) or 1.0), 0.0, 1.0)
    packed = np.where(np.isfinite(found), 1 + np.round(254 * np.nan_to_num(place)), 0).astype(np.uint8)
    return {"d": "u1", "s": list(packed.shape), "lo": float(low), "hi": float(high), "b": _text(packed)}


def pooled(values: npt.NDArray[Any], pool: int, how: Any = np.fmax) -> npt.NDArray[Any]:
    """The last axis in blocks of `pool`, each reduced by `how`, by which NaN counts as not there."""
    if pool == 1:
        return values
    return np.asarray(how.reduceat(values, range(0, values.shape[-1], pool), axis=-1))


def finite(value: float | None) -> float | None:
    """A number that JSON has, with six digits."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.6g}")


def _text(array: npt.NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")

"""Parts of one gradient that a sweep carries side by side, in lanes that add up to it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tinygrad_rnn.autodiff.batching import Batched

Array = npt.NDArray[Any]

__all__ = ["Array", "one_lane", "projections"]


def one_lane(part: Batched, lane: int) -> Batched:
    """All lanes added up in one of them."""
    lanes = np.zeros_like(part.array)
    lanes[lane] = part.array.sum(axis=0)
    return Batched(lanes)


def projections(lanes: Array) -> Array:
    """The signed share of each lane in their sum g: ``<lane, g> / <g, g>``; NaN where g is 0."""
    flat = lanes.reshape(len(lanes), -1).astype(np.float64)
    total = flat.sum(axis=0)
    largest = float(np.abs(total).max(initial=0.0))
    if not largest or not np.isfinite(largest):
        return np.full(len(lanes), np.nan)
    direction = total / largest
    shares: Array = (flat / largest) @ direction / (direction @ direction)
    return shares

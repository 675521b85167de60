"""The criteria of the papers: close to the target, or the right outputs most active."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .task import Array, Batch

__all__ = ["close", "everywhere", "last", "most_active"]


def everywhere(right: Array, batch: Batch) -> Array:
    """Which sequences are right (T, batch) at all asked positions: (batch,) of bool."""
    return np.asarray((right | ~batch.mask).all(axis=0))


def close(outputs: Array, batch: Batch, tolerance: float) -> Array:
    """Which sequences have all outputs nearer to the target than `tolerance` wherever they are asked."""
    return everywhere((np.abs(outputs - batch.targets) < tolerance).all(axis=-1), batch)


def most_active(outputs: Array, chosen: Array) -> Array:
    """Where all chosen outputs (..., outputs) exceed all others; a tie or a NaN does not: (...) of bool."""
    weakest = np.where(chosen, outputs, np.inf).min(axis=-1)
    strongest = np.where(chosen, -np.inf, outputs).max(axis=-1)
    return np.asarray(weakest > strongest)


def last(values: Array, batch: Batch) -> Array:
    """The values (T, batch, ...) at the last step of each sequence: (batch, ...)."""
    return np.asarray(values[batch.lengths - 1, np.arange(len(batch.lengths))])

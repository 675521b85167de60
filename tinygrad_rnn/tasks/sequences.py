"""Sequences of integers as padded one-hot arrays, and numbers asked at the end; -1 stands for no symbol."""

from __future__ import annotations

import numpy as np

from .task import Array, Batch

__all__ = ["at_end", "next_symbols", "one_hot", "within"]


def one_hot(symbols: Array, size: int) -> Array:
    """Unit vectors (..., size) of integers (...); zero where a symbol is negative."""
    vectors = np.zeros((symbols.size, size))
    flat = symbols.ravel()
    (present,) = np.nonzero(flat >= 0)
    vectors[present, flat[present]] = 1.0
    return vectors.reshape(*symbols.shape, size)


def within(lengths: Array, steps: int) -> Array:
    """Where a sequence has not ended yet: (steps, batch) of bool."""
    return np.asarray(np.arange(steps)[:, None] < lengths)


def at_end(values: Array, lengths: Array, steps: int) -> tuple[Array, Array]:
    """Targets and mask that ask for `values` (batch, output_size) at the last step of each sequence."""
    size, outputs = values.shape
    targets, mask = np.zeros((steps, size, outputs)), np.zeros((steps, size), bool)
    targets[lengths - 1, np.arange(size)] = values
    mask[lengths - 1, np.arange(size)] = True
    return targets, mask


def next_symbols(symbols: Array, size: int) -> Batch:
    """Every symbol but the last as input, its successor as target; a string of L symbols asks L - 1 times.

    Parameters
    ----------
    symbols : (T + 1, batch) of int
        Strings from the top, -1 past their end.
    size : int
        Of the alphabet.
    """
    following = symbols[1:]
    asked = following >= 0
    inputs = np.where(asked, symbols[:-1], -1)
    return Batch(one_hot(inputs, size), one_hot(following, size), asked, asked.sum(axis=0))

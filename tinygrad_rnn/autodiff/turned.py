"""Weights that every step multiplies by their transpose, turned once: BLAS reads rows faster than columns.

``x @ W.T`` on a view costs up to twice the product with a matrix that lies as it is read. So the second time that a
weight is transposed it is copied, for as long as its array lives; a new value is a new array. This holds only of arrays
that nobody writes to, as those of Tensors, and that are no views of others.
"""

from __future__ import annotations

import weakref
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

__all__ = ["turned", "unturned"]

_copies: dict[int, tuple[weakref.ref[Array], Array | None]] = {}
"""By the id of an array that was transposed: itself, and its transpose if that was asked for again."""
_origins: dict[int, tuple[weakref.ref[Array], weakref.ref[Array]]] = {}
"""By the id of such a transpose: itself, and what it was made from."""


def turned(array: Array) -> Array:
    """The transpose of a matrix: a view the first time, then a contiguous array, always the same one."""
    key = id(array)
    known = _copies.get(key)
    if known is None:
        _copies[key] = weakref.ref(array, partial(_forget, _copies, key)), None
        return array.T
    itself, copy = known
    if copy is None:
        copy = np.ascontiguousarray(array.T)
        _copies[key] = itself, copy
        back = id(copy)
        _origins[back] = weakref.ref(copy, partial(_forget, _origins, back)), itself
    return copy


def _forget(known: dict[int, Any], key: int, _: object) -> None:
    """An array is gone; also when the interpreter ends, in which names of this module may be gone before."""
    known.pop(key, None)


def unturned(array: Array) -> Array:
    """The transpose of a matrix: of what :func:`turned` has made, what it was made from."""
    known = _origins.get(id(array))
    origin = known[1]() if known is not None else None
    return array.T if origin is None else origin

"""What users hand in as plain numbers: data, cotangents, parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .operators import Operators

__all__ = ["COMPLEX", "plain", "real_array"]

COMPLEX = "complex numbers have no gradient here; keep the real and the imaginary part as two Tensors"


def plain(value: Any) -> Any:
    """The numbers of a Tensor, where it is clear that its history stays behind; anything else as it is."""
    return value.data if isinstance(value, Operators) and hasattr(value, "data") else value


def real_array(role: str, value: Any, dtype: Any = None) -> npt.NDArray[Any]:
    """A new array of `value`.

    Raises
    ------
    TypeError
        If it is complex, or made so; `role` says what it was meant for.
    """
    if type(value) is np.ndarray and value.dtype == dtype and value.dtype.kind == "f":
        return value.copy("K")
    array = np.array(value)
    if array.dtype.kind == "c" or (dtype is not None and np.dtype(dtype).kind == "c"):
        raise TypeError(f"{role}: {COMPLEX}")
    return array if dtype is None else array.astype(dtype, copy=False)

"""Packages that not everybody has, imported when they are needed."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["import_package"]

_TITLES_AND_EXTRAS = {
    "torch": ("PyTorch", "torch"),
    "jax": ("JAX", "jax"),
    "onnx": ("the onnx package", "onnx"),
    "h5py": ("h5py", "keras"),
}


def import_package(name: str, who: str) -> Any:
    """The module ``torch``, ``jax``, ``onnx`` or ``h5py``.

    Parameters
    ----------
    name : str
        Of the package.
    who : str
        The function that needs it, for the error.

    Raises
    ------
    ImportError
        If it is not installed; the message says how to install it.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        title, extra = _TITLES_AND_EXTRAS[name]
        raise ImportError(f"{who}: {title} is not installed: pip install tinygrad-rnn[{extra}]") from None

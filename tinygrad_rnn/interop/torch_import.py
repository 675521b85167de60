"""PyTorch, imported when it is needed."""

from __future__ import annotations

from typing import Any

__all__ = ["import_torch"]


def import_torch(who: str) -> Any:
    """The module ``torch``.

    Parameters
    ----------
    who : str
        The function that needs it, for the error.

    Raises
    ------
    ImportError
        If PyTorch is not installed; the message says how to install it.
    """
    try:
        import torch
    except ImportError:
        raise ImportError(f"{who}: PyTorch is not installed: pip install tinygrad-rnn[torch]") from None
    return torch

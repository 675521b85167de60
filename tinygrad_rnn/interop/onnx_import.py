"""The onnx package, imported when it is needed."""

from __future__ import annotations

from typing import Any

__all__ = ["PRODUCER", "import_onnx"]

PRODUCER = "tinygrad_rnn"
"""Who made a file, if we did: its weights are initialisers, and its nodes of constants are none."""


def import_onnx(who: str) -> Any:
    """The module ``onnx``, which reads and writes the format and knows what each operator takes.

    Parameters
    ----------
    who : str
        The function that needs it, for the error.

    Raises
    ------
    ImportError
        If it is not installed; the message says how to install it.
    """
    try:
        import onnx
    except ImportError:
        raise ImportError(f"{who}: the onnx package is not installed: pip install tinygrad-rnn[onnx]") from None
    return onnx

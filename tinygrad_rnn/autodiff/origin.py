"""Where in the user's code the gradient's way was cut."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

__all__ = ["Origin", "caller"]

_INSIDE = frozenset(
    str(Path(__file__).parent / f"{name}.py") for name in ("origin", "tensor", "primitive", "primitives", "operators")
)


class Origin(NamedTuple):
    """How a value lost its history.

    Attributes
    ----------
    how : {"detach", "stop_gradient", "no_grad"}
    where : str
        File and line, ``model.py:41``; empty for ``no_grad``.
    source : int or None
        The id of the value that was detached.
    """

    how: str
    where: str
    source: int | None = None


def caller() -> str:
    """File and line of the innermost call from outside the machinery of Tensors."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename in _INSIDE:
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"

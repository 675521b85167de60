"""Where in the user's code something of JAX's comes from."""

from __future__ import annotations

import contextlib
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from ..weights import printable

__all__ = ["Line", "is_library", "line_of", "place_of"]

_OURS = str(Path(__file__).resolve().parents[2])


class Line(NamedTuple):
    """A line of source."""

    file: str
    number: int
    function: str


@lru_cache(maxsize=1)
def _strangers() -> tuple[str, ...]:
    import jax

    return (str(Path(jax.__file__).parent), _OURS, contextlib.__file__, "<frozen")


def is_library(file: str) -> bool:
    """Whether a file is JAX's, or ours."""
    return file.startswith(_strangers())


def line_of(equation: Any) -> Line | None:
    """The innermost line outside of JAX that computed it."""
    traceback = getattr(equation.source_info, "traceback", None)
    for frame in getattr(traceback, "frames", ()):
        if not is_library(frame.file_name):
            return Line(frame.file_name, frame.line_num, frame.function_name)
    return None


def place_of(equation: Any) -> str:
    """The same, for errors."""
    line = line_of(equation)
    return "" if line is None else printable(f" ({line.file}:{line.number}, in {line.function})")

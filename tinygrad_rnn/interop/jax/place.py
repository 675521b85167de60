"""Where in the user's code something of JAX's comes from."""

from __future__ import annotations

import contextlib
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from ..weights import printable

__all__ = ["Line", "is_library", "line_of", "lines_of", "place_of"]

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


def lines_of(equation: Any) -> list[Line]:
    """The lines outside of JAX that computed it, the innermost first."""
    traceback = getattr(equation.source_info, "traceback", None)
    frames = getattr(traceback, "frames", ())
    return [Line(f.file_name, f.line_num, f.function_name) for f in frames if not is_library(f.file_name)]


def line_of(equation: Any) -> Line | None:
    """The innermost of them."""
    return next(iter(lines_of(equation)), None)


def place_of(equation: Any) -> str:
    """The same, for errors."""
    line = line_of(equation)
    return "" if line is None else printable(f" ({line.file}:{line.number}, in {line.function})")

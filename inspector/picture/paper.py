"""How wide and high pictures are where they are shown, and how small their type may be there."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

__all__ = ["DPI", "NOTEBOOK", "PAGES", "Page", "Width", "check_dpi", "page_of"]

DPI = 144
"""Pixels an inch of a PNG."""

Width: TypeAlias = "float | str | None"
"""Points of 1/72 inch, one of the names in ``PAGES``, or ``None`` for a picture as large as it likes."""


class Page(NamedTuple):
    """Where a picture is shown.

    Attributes
    ----------
    width, height : float
        In points of 1/72 inch.
    type : float
        The smallest type, in points.
    largest : float
        By how much a small picture is enlarged at most.
    unit : {"pt", "px"}
        In which an SVG says how large it is.
    """

    width: float
    height: float = math.inf
    type: float = 6.0
    largest: float = math.inf
    unit: Literal["pt", "px"] = "pt"


PAGES = {
    "column": Page(241.0, 648.0, 6.0, 1.0),
    "page": Page(468.0, 648.0, 7.0, 1.0),
    "slide": Page(720.0, 405.0, 9.0, 1.5, "px"),
}

_WIDEST = 14_400
"""Points that are 200 inches, the most that a page of a PDF may have."""
_PIXELS = (10, 1_200)
"""Pixels an inch of what can just be recognised, and of the finest print."""

NOTEBOOK = Page(720.0, 900.0, 9.0, 1.0, "px")
"""The room of a notebook's cell, in which one scrolls down but never aside."""


def page_of(width: Width) -> Page | None:
    """The page of that name, or of so many points; ``None`` if none is asked for.

    Raises
    ------
    ValueError
        If there is no such page, or it is wider than any.
    """
    if width is None:
        return None
    if isinstance(width, str) and width in PAGES:
        return PAGES[width]
    if isinstance(width, (str, bool)) or not isinstance(width, (int, float, np.number)) or not 0 < width < math.inf:
        *names, last = map(repr, PAGES)
        raise ValueError(f"width must be a positive number of points, {', '.join(names)} or {last}, got {width!r}")
    if width > _WIDEST:
        raise ValueError(f"width must be at most {_WIDEST:,} points, which are {_WIDEST // 72} inches, got {width:g}")
    return Page(float(width))


def check_dpi(dpi: float) -> float:
    """As it is.

    Raises
    ------
    ValueError
        If it is not a number between 10 and 1,200.
    """
    if isinstance(dpi, bool) or not isinstance(dpi, (int, float)) or not _PIXELS[0] <= dpi <= _PIXELS[1]:
        raise ValueError(f"dpi must be a number of pixels an inch between {_PIXELS[0]} and {_PIXELS[1]:,}, got {dpi!r}")
    return dpi

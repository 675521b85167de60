"""The one look of all plots: a Matplotlib style sheet, used in a context so that nobody else's plots change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import matplotlib

from ..picture.paper import Page
from ..picture.theme import GREY, GRID, INK

__all__ = [
    "BROAD", "DASHED", "DOTTED", "FINE", "HAIR", "HEAVY", "KEY", "LABEL", "PANEL", "SHEET", "SMALL", "THIN", "TITLE",
    "context", "page_at_hand", "scaled",
]  # fmt: skip

TITLE, LABEL, PANEL, KEY, SMALL = 11.0, 10.0, 9.0, 8.5, 8.0
"""Sizes of type in points: of titles, of labels of axes, of the titles of small plots, of legends, of notes, which are
the smallest.
"""
HAIR, THIN, FINE, HEAVY = 0.4, 0.8, 1.4, 2.4
"""Widths of lines in points: around areas, of what something is compared with, of many curves, and of what a plot is
about. The usual one is between the last two.
"""
DASHED, DOTTED = (0, (4, 2)), (0, (1, 1.5))

SHEET: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": TITLE,
    "figure.titlesize": TITLE,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "image.aspect": "auto",
    "image.cmap": "cividis",
    "image.interpolation": "nearest",
    "legend.fontsize": KEY,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.8,
    "lines.markersize": 3.5,
    "text.color": INK,
    "xtick.color": GREY,
    "ytick.color": GREY,
}
"""What Matplotlib is told once, instead of every call."""
_SIZES = {"font.size": LABEL, **{key: size for key, size in SHEET.items() if key.endswith(("titlesize", "fontsize"))}}
_SIZES |= {"lines.linewidth": SHEET["lines.linewidth"], "xtick.major.pad": 3.5, "ytick.major.pad": 3.5}
"""The sizes of type in it, with the one that others are relative to; how wide curves are, and how far numbers stand
from an axis.
"""


BROAD = 600.0
"""The points from which on there is room for two things side by side on a page."""
_USUAL = 576.0
"""How wide most plots are where no page is asked for, in points."""
_PAGE: ContextVar[Page | None] = ContextVar("page", default=None)


def page_at_hand() -> Page | None:
    """The page for which a plot is drawn; ``None`` where none was asked for."""
    return _PAGE.get()


def scaled(points: float) -> float:
    """A size of type on the page at hand: as small as its smallest allows, and larger on what is wider than usual."""
    page = page_at_hand()
    return points if page is None else points * max(page.type / SMALL, page.width / _USUAL)


@contextmanager
def context(page: Page | None = None) -> Iterator[None]:
    """Draw in this style, whatever the user's is, and for that page, or for the one at hand."""
    page = page or page_at_hand()
    token = _PAGE.set(page)
    sizes = {} if page is None else {key: scaled(size) for key, size in _SIZES.items()}
    try:
        with matplotlib.rc_context(SHEET | sizes):  # type: ignore[arg-type]  # its keys are listed there one by one
            yield
    finally:
        _PAGE.reset(token)

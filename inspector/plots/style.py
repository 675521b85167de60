"""The one look of all plots: a Matplotlib style sheet, used in a context so that nobody else's plots change."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, ParamSpec, TypeVar

import matplotlib
import numpy as np

from ..picture.theme import GREY, GRID, INK

__all__ = [
    "DASHED", "DOTTED", "FINE", "HAIR", "HEAVY", "KEY", "PANEL", "SHEET", "SMALL", "THIN", "TITLE", "context",
    "in_style",
]  # fmt: skip

TITLE, PANEL, KEY, SMALL = 11.0, 9.0, 8.5, 8.0
"""Sizes of type in points: of titles, of the titles of small plots, of legends, of notes."""
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


def context() -> AbstractContextManager[None]:
    """Draw in this style, whatever the user's is."""
    return matplotlib.rc_context(SHEET)  # type: ignore[arg-type]  # its keys are listed there one by one


Arguments = ParamSpec("Arguments")
Drawn = TypeVar("Drawn")


def in_style(draw: Callable[Arguments, Drawn]) -> Callable[Arguments, Drawn]:
    """Let a function draw in this style; what is not finite is its own affair, not NumPy's."""

    @functools.wraps(draw)
    def drawing(*args: Arguments.args, **options: Arguments.kwargs) -> Drawn:
        with context(), np.errstate(all="ignore"):
            return draw(*args, **options)

    return drawing

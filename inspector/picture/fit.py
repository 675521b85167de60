"""A picture for a page: as wide as is asked for, in rows and with steps folded where type would become too small."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from ..layout.order import Spacing
from .paper import Page
from .picture import Look, Picture, Shape

__all__ = ["TooWideError", "fitted", "smallest_type"]

_ENDS = ((3, 2), (2, 1), (1, 1))
"""How many of the first and of the last steps remain where the rows of all would not fit."""
_LAST = (0, 1)
"""Where not even those would without their legend, the one at which the gradient begins."""
_TIGHT = Spacing(gap=10.0, left=16.0, right=30.0)
_TRIES = 4
_EDGE = 2.0
"""Points that a picture leaves free around it where the page has margins of its own."""


Drawn: TypeAlias = Callable[[float, "tuple[int, int] | None", Spacing], Picture]


class TooWideError(Exception):
    """A single step is wider than a page; `least` are the points that it takes in the same type."""

    def __init__(self, page: Page, least: int) -> None:
        super().__init__(f"one step is too wide for {page.width:g} points in type of {page.type:g} points")
        self.least = least


def fitted(page: Page, may_fold: bool, draw: Drawn) -> Picture:
    """The picture at the size of a page.

    Parameters
    ----------
    page : Page
    may_fold : bool
        Whether steps may be folded away for the height.
    draw : callable
        Draws with rows of so many points, with so many of the first and last steps, if not with all, and with such
        distances within a step.

    Raises
    ------
    TooWideError
        If a single step is wider than the page even in the smallest type.
    """
    spacing = Spacing()
    try:
        found = _in_rows(page, lambda room: draw(room, None, spacing))
    except TooWideError:
        spacing = _TIGHT
        found = _in_rows(page, lambda room: draw(room, None, spacing))
    for ends in (*_ENDS, _LAST) if may_fold else ():
        if _fits(found, page) or (ends == _LAST and _fits(_without_legend(found), page)):
            break
        found = _in_rows(page, lambda room, ends=ends: draw(room, ends, spacing))  # type: ignore[misc]
    _bound(found, page)
    _widen(found, page.width / _scale(page, found))
    return found


def _bound(picture: Picture, page: Page) -> None:
    """Where the picture is higher than its page, its words say what the legend did, or that it is too high."""
    if _fits(picture, page):
        return
    without = _without_legend(picture)
    if _fits(without, page):
        legend = [shape for shape in picture.shapes if shape.id.startswith("legend.")]
        picture.shapes, picture.lines = without.shapes, without.lines
        picture.words += f" Legend: {_said(legend)}."
    else:
        height = _scale(page, picture) * _size(picture)[1]
        picture.words += f" It is {height:.0f} points high, more than the {page.height:.0f} of its page."


def _fits(picture: Picture, page: Page) -> bool:
    return _scale(page, picture) * _size(picture)[1] <= page.height


def _without_legend(picture: Picture) -> Picture:
    """The picture without its legend, if that makes it lower."""
    legend = [shape for shape in picture.shapes if shape.id.startswith("legend.")]
    low = min((shape.y - shape.height / 2 for shape in legend), default=0.0)
    shapes = [shape for shape in picture.shapes if not shape.id.startswith("legend.")]
    without = replace(picture, shapes=shapes, lines=[line for line in picture.lines if line.use != "legend"])
    return without if without.bounds()[1] > low else picture


def _said(legend: Sequence[Shape]) -> str:
    """What a legend says, in words: its chips, and what is behind a caption from one end of its scale to the other."""
    parts: list[str] = []
    for before, shape in itertools.pairwise([None, *(shape for shape in legend if shape.label)]):
        assert shape is not None
        if "tick" not in shape.id:
            parts.append(shape.label)
        else:
            parts[-1] += f"{' …' if before is not None and 'tick' in before.id else ':'} {shape.label}"
    return "; ".join(parts)


def smallest_type(picture: Picture) -> float:
    """The size of the smallest text, in points."""
    sizes = [shape.font_size for shape in picture.shapes if shape.label]
    return min([*sizes, *([11.0] if picture.frames else [])], default=11.0)


def _in_rows(page: Page, draw: Callable[[float], Picture]) -> Picture:
    """The picture in rows in which its smallest type has the size that the page asks for."""
    room = page.width * 11.0 / page.type - 2 * _EDGE
    least = math.inf
    for _ in range(_TRIES):
        picture = draw(room)
        picture.margin, picture.unit = _EDGE, page.unit
        width = _size(picture)[0]
        most = page.width * smallest_type(picture) / page.type
        least = min(least, width * page.type / smallest_type(picture))
        if width <= most + 1e-6:
            return picture
        room = min(room - 1.0, room - (width - most), most - 2 * _EDGE)
    raise TooWideError(page, math.ceil(least))


def _size(picture: Picture) -> tuple[float, float]:
    left, bottom, right, top = picture.sheet()
    return right - left, top - bottom


def _scale(page: Page, picture: Picture) -> float:
    width, height = _size(picture)
    least = page.type / smallest_type(picture)
    return min(page.width / width, max(least, min(page.largest, page.height / height)))


def _widen(picture: Picture, width: float) -> None:
    """Add the corners of a page on which the picture stands in the middle."""
    left, bottom, right, _ = picture.bounds()
    aside = (width - (right - left)) / 2 - picture.margin
    if aside > 0:
        for side, x in (("left", left - aside), ("right", right + aside)):
            picture.shapes.append(
                Shape(f"page.{side}", "point", x, bottom, 0.0, 0.0, "", None, Look("anchor"), font_size=11.0)
            )

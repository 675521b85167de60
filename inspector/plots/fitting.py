"""Plots for a page: what is too long goes on in the next line, numbers that would touch are thinned out, and nothing
is cut off.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterable
from typing import Any

from matplotlib.axes import Axes
from matplotlib.text import Annotation
from matplotlib.ticker import FixedLocator, MaxNLocator
from matplotlib.transforms import Bbox

from .lettering import in_lines, visible
from .style import scaled

__all__ = ["grow", "lay_out", "limits", "settle"]

_TRIES, _EDGE, _APART, _SHORT, _NARROW = 4, 4.0, 2.0, 60.0, 30.0
"""How often a figure is laid out anew at most; in points what stays free around it, and between numbers along an axis,
what an upright label may take at least, and how wide a plot is at least.
"""


def settle(figure: Any) -> None:
    """Let everything in a figure for a page have its place.

    Its heading, blocks of text with their sizes and colours, makes it higher, as far as the page allows.
    """
    grow(figure, _put_heading(figure))
    lay_out(figure)


def lay_out(figure: Any) -> None:
    """Give all axes their places, and break and thin out what there is no room for.

    What is wider than its axes makes them narrower, and they would never grow back; so that is broken before.

    Raises
    ------
    ValueError
        If there is no room for the plots beside what is written around them.
    """
    engine = figure.get_layout_engine()
    shown = [axes for axes in figure.axes if axes.get_visible()]
    for axes in shown:
        _break_labels(axes)
    for _ in range(_TRIES):
        engine.set(rect=(0.0, 0.0, 1.0, 1.0 - figure.above / 72 / figure.get_figheight()))
        has_room = _execute(engine, figure)
        changes = [change(axes) for axes in shown for change in (_break_labels, _thin_out)]
        if not any(changes):
            break
    least = min(
        (72 / figure.dpi * axes.get_window_extent().width for axes in shown if not _is_bar(axes)), default=_NARROW
    )
    if not has_room or least < _NARROW:
        wide = 72 * figure.get_figwidth()
        raise ValueError(f"width: this plot has no room in {wide:.4g} points; give it more, or none")


def _execute(engine: Any, figure: Any) -> bool:
    """Let Matplotlib lay a figure out; whether there was room for it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", ".*not applied because axes sizes collapsed", UserWarning)
        try:
            engine.execute(figure)
        except UserWarning:
            return False
    return True


def _is_bar(axes: Axes) -> bool:
    return axes.get_label() == "<colorbar>"


def _put_heading(figure: Any) -> float:
    """What stands above all plots, and how many points high it is."""
    used, room = 0.0, 72 * figure.get_figwidth() - 2 * _EDGE
    where: Any = {"xy": (0, 1), "xycoords": "figure fraction", "textcoords": "offset points", "va": "top"}
    for text, size, colour in figure.heading:
        lines = in_lines(visible(text), room, scaled(size))
        block = Annotation(lines, xytext=(_EDGE, -_EDGE - used), fontsize=scaled(size), color=colour, **where)
        block.set_in_layout(False)
        figure.add_artist(block)
        used += block.get_window_extent().height * 72 / figure.dpi + 2
    figure.above = used + _EDGE if used else 0.0
    return float(figure.above)


def grow(figure: Any, points: float) -> None:
    """Make a figure with a layout of its own higher, as far as its page allows."""
    if figure.get_layout_engine() is not None and points > 0:
        page = getattr(figure, "page", None)
        most = math.inf if page is None else page.height / 72
        figure.set_figheight(min(most, figure.get_figheight() + points / 72))


# ------------------------------------------------------------------------------------------- labels


def _break_labels(axes: Axes) -> bool:
    """Break the labels and the title of axes, as they were laid out, into lines that have room; whether any did."""
    scale, box = 72 / axes.figure.dpi, axes.get_window_extent()
    left, right = limits(axes, box)
    middle = (box.x0 + box.x1) / 2
    across = 2 * min(middle - left, right - middle) * scale - _EDGE
    changed = _break(axes.xaxis.label, across)
    if axes.yaxis.label.get_rotation() in (90.0, 270.0):
        changed |= _break(axes.yaxis.label, max(_SHORT, box.height * scale) + _EDGE)
    own = hasattr(axes, "note_room")
    return (own and _break_heading(axes, (right - box.x0) * scale - _EDGE)) or changed


def _break_heading(axes: Any, room: float) -> bool:
    """Break the title of axes, and the note below it, for which it makes room."""
    changed = axes.note is not None and _break(axes.note, room)
    if changed:
        lines = axes.note.get_text().count("\n") + 1
        axes.note_room, title = 1.4 * axes.note.get_fontsize() * lines, axes.headline
        axes.set_title(title.get_text(), fontsize=title.get_fontsize(), color=title.get_color())
    return (axes.headline is not None and _break(axes.headline, room)) or changed


def limits(axes: Axes, box: Bbox) -> tuple[float, float]:
    """From where to where, in pixels, what belongs to axes may stand: up to the middle between them and the next."""
    left, right = axes.figure.figure.bbox.x0, axes.figure.figure.bbox.x1
    for other in axes.figure.axes:
        theirs = other.get_window_extent()
        own_bar = _is_bar(other) and theirs.y0 > box.y0 - 1 and theirs.y1 < box.y1 + 1
        if other is axes or own_bar or theirs.y0 >= box.y1 or theirs.y1 <= box.y0:
            continue
        if theirs.x0 >= box.x1:
            right = min(right, (box.x1 + theirs.x0) / 2)
        elif theirs.x1 <= box.x0:
            left = max(left, (theirs.x1 + box.x0) / 2)
    return left, right


def _break(text: Any, room: float) -> bool:
    """Break a text into lines no wider than that, as it was before any were broken; whether that changed it. For lines
    that lie level the figure grows.
    """
    whole, broken = getattr(text, "whole", ("", ""))
    shown = text.get_text()
    whole = whole if shown == broken else shown
    lines = in_lines(whole, room, text.get_fontsize())
    text.set_text(lines)
    if not text.get_rotation():
        grow(text.figure, 1.2 * text.get_fontsize() * (lines.count("\n") - shown.count("\n")))
    text.whole = whole, lines
    return bool(lines != shown)


# ------------------------------------------------------------------------------------------- numbers


def _thin_out(axes: Axes) -> bool:
    """Leave out numbers along the axes that touch others; whether there were any."""
    changed = _thin(axes.xaxis)
    return _thin(axes.yaxis) or changed


def _thin(axis: Any) -> bool:
    locator = axis.get_major_locator()
    labels = [label for label in axis.get_ticklabels() if label.get_text() and label.get_visible()]
    if not _touch([label.get_window_extent() for label in labels]):
        return False
    if isinstance(locator, FixedLocator):
        words = any(character.isalpha() for label in labels for character in label.get_text())
        if axis.axis_name == "x" and words and not labels[0].get_rotation():
            axis.set_tick_params(labelrotation=90)
        else:
            axis.set_ticks(axis.get_majorticklocs()[::2], [label.get_text() for label in axis.get_ticklabels()[::2]])
    elif isinstance(locator, MaxNLocator):
        locator.set_params(nbins=max(1, len(labels) // 2))
    else:
        return False
    return True


def _touch(boxes: Iterable[Bbox]) -> bool:
    return any(
        a.x0 < b.x1 + _APART and b.x0 < a.x1 + _APART and a.y0 < b.y1 and b.y0 < a.y1
        for a, b in itertools.pairwise(boxes)
    )

"""Titles, notes and legends of plots: shown as they are, and never on top of the data."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection, QuadMesh
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.text import Annotation
from matplotlib.textpath import text_to_path
from matplotlib.transforms import Bbox, ScaledTranslation

from ..picture.theme import GREY
from ..text import visible as printable
from .style import KEY, SMALL, TITLE

__all__ = ["head", "legend", "legend_below", "shortened", "title", "visible", "wrapped"]

_INSIDE, _COLUMNS, _SAMPLE = 8, 4, 34.0
"""Entries that may stand inside a plot, columns that stand below one, and the room in points that an entry takes
beside its text.
"""
_CORNERS = {
    "upper right": (1.0, 1.0),
    "upper left": (0.0, 1.0),
    "lower left": (0.0, 0.0),
    "lower right": (1.0, 0.0),
    "center right": (1.0, 0.5),
    "center left": (0.0, 0.5),
    "upper center": (0.5, 1.0),
    "lower center": (0.5, 0.0),
}


def head(figure: Figure, text: str, note: str = "") -> None:
    """A title over a figure of several plots, and below it in small type what they were made of."""
    room = 72 * figure.get_figwidth() - 12
    lines = wrapped(note, room, SMALL)
    above = figure.suptitle(visible(shortened(text, room, TITLE)) + "\n" * len(lines), x=0.01, ha="left")
    figure.add_artist(Annotation(**_note(lines), xy=(0, 1), xycoords=above, xytext=(0, -1.45 * TITLE), va="top"))


def title(axes: Axes, text: str, note: str = "") -> None:
    """What a picture shows, and in small type what it was made of: below, or in Axes of the user's, whose title
    may be set anew, beside it.
    """
    room = 72 * axes.figure.figure.get_figwidth() * 0.86
    lines, own = wrapped(note, room, SMALL), hasattr(axes, "note_room")
    if own:
        vars(axes)["note_room"] = 1.4 * SMALL * len(lines)
    axes.set_title(visible(shortened(text, room, TITLE)), loc="left")
    look = {**_note(lines), "ha": "left" if own else "right"}
    axes.annotate(xy=(0.0 if own else 1.0, 1.0), xycoords="axes fraction", xytext=(0, 4), va="bottom", **look)


def _note(lines: Iterable[str]) -> dict[str, Any]:
    return {
        "text": "\n".join(map(visible, lines)),
        "textcoords": "offset points",
        "ha": "left",
        "fontsize": SMALL,
        "color": GREY,
    }


def legend(axes: Axes, handles: Iterable[Any], beside: bool = False) -> None:
    """A legend with an entry for each of the handles, under its very label.

    It stands inside, if there it covers nothing, else below the plot, or `beside` it. A figure of our own grows by as
    much, so that the plot keeps its size. Call it last, when the limits of the plot stand.
    """
    handles = list(handles)
    if not handles:
        return
    figure, engine = axes.figure.figure, axes.figure.get_layout_engine()
    own = engine is not None
    if engine is not None:
        engine.execute(figure)
    axes.get_tightbbox()  # takes its place and its limits
    scale = 72 / figure.dpi
    box = axes.get_window_extent()
    room = (figure.bbox.x1 - box.x0) * scale - 12
    labels = _texts(handles, room / (1 if len(handles) <= _INSIDE else 2))
    key = _put(axes, handles, labels, loc="upper right")
    size = key.get_window_extent()
    corner = None if beside else _free(axes, size.width, size.height) if len(handles) <= _INSIDE else None
    if corner is not None:
        key.set_loc(corner)
    elif beside:
        _put(axes, handles, labels, loc="upper left", bbox_to_anchor=(1.0, 1.0))
        _grow(figure, own, (size.height - box.height) * scale)
    else:
        # no wider than the plot, which would grow narrow beside it
        gap = KEY * (rcParams["legend.columnspacing"] - 2 * rcParams["legend.borderpad"])
        fit = int((min(box.width * scale, room) + gap) / (size.width * scale + gap))
        columns = max(1, min(_COLUMNS, len(handles), fit))
        below = axes.xaxis.get_tightbbox() or box
        drop = ScaledTranslation(0, -((box.y0 - below.y0) * scale + 4) / 72, figure.dpi_scale_trans)
        key = _put(
            axes,
            handles,
            labels,
            loc="upper left",
            bbox_to_anchor=(0.0, 0.0),
            bbox_transform=axes.transAxes + drop,
            ncols=columns,
        )
        _grow(figure, own, key.get_window_extent().height * scale)


def legend_below(figure: Figure, handles: Iterable[Any]) -> None:
    """The legend of a figure of small plots."""
    handles = list(handles)
    room = 72 * figure.get_figwidth() - 12
    labels = _texts(handles, room)
    widest = max(_width(line, KEY) for label in labels for line in label.split("\n"))
    columns = max(1, min(len(handles), int(room / (widest + _SAMPLE))))
    _put(figure, handles, labels, loc="outside lower left", ncols=columns)
    figure.set_figheight(figure.get_figheight() + 1.5 * KEY / 72 * -(-len(handles) // columns))


def _texts(handles: list[Any], room: float) -> list[str]:
    """The label of each entry, in lines that leave it no wider than that."""
    return [
        "\n".join(map(visible, wrapped(handle.get_label().replace(r"\$", "$"), room - _SAMPLE, KEY)))
        for handle in handles
    ]


def _put(parent: Any, handles: list[Any], labels: list[str], **where: Any) -> Any:
    """The texts are set afterwards: before its version 3.10 Matplotlib leaves out what begins with an underscore."""
    key = parent.legend(handles, ["."] * len(handles), **where)
    for text, label in zip(key.get_texts(), labels, strict=True):
        text.set_text(label)
    return key


def _grow(figure: Figure, own: bool, points: float) -> None:
    if own and points > 0:
        figure.set_figheight(figure.get_figheight() + points / 72)


def _free(axes: Axes, width: float, height: float) -> str | None:
    """The corner of the plot in which a box of that size covers nothing."""
    if (
        any(isinstance(one, QuadMesh) for one in axes.collections)
        or axes.get_window_extent().width < width
        or axes.get_window_extent().height < height
    ):
        return None
    things, box = list(_drawn(axes)), axes.get_window_extent()
    for corner, (x, y) in _CORNERS.items():
        left, bottom = box.x0 + x * (box.width - width), box.y0 + y * (box.height - height)
        if not any(
            thing.intersects_bbox(Bbox.from_bounds(left, bottom, width, height).padded(3), filled=filled)
            for thing, filled in things
        ):
            return corner
    return None


def _drawn(axes: Axes) -> Iterator[tuple[Path, bool]]:
    """The outlines of all that is drawn, in pixels, and whether they are filled."""
    for line in axes.lines:
        yield line.get_transform().transform_path(line.get_path()), False
    for image in axes.images:
        for row, seen in enumerate(~np.ma.getmaskarray(np.ma.asarray(image.get_array()))):
            if seen.any():
                left, right = np.flatnonzero(seen)[[0, -1]] + (-0.5, 0.5)
                outline = Path([(left, row - 0.5), (right, row - 0.5), (right, row + 0.5), (left, row + 0.5)])
                yield outline.transformed(axes.transData), True
    for patch in axes.patches:
        yield patch.get_transform().transform_path(patch.get_path()), True
    for collection in axes.collections:
        if isinstance(collection, PathCollection):
            points = collection.get_offset_transform().transform(collection.get_offsets())
            yield from (
                (Path(np.array([[x - 4, y - 4], [x + 4, y - 4], [x + 4, y + 4], [x - 4, y + 4]])), True)
                for x, y in points
            )
        else:
            yield from ((path.transformed(collection.get_transform()), True) for path in collection.get_paths())
    for text in axes.texts:
        yield Path(text.get_window_extent().corners()[[0, 1, 3, 2]]), True


def visible(text: str) -> str:
    """Text in which Matplotlib finds no mathematics and nothing that cannot be shown."""
    return printable(text.replace("\n", "↵")).replace("$", r"\$")


def shortened(text: str, room: float, size: float) -> str:
    """Text that is no wider than `room` points, with its middle left out where need be."""
    if _width(text, size) <= room:
        return text
    kept = max(8, int(len(text) * room / _width(text, size)) - 1)
    return f"{text[: kept // 2]}…{text[-(kept - kept // 2) :]}"


def wrapped(text: str, room: float, size: float) -> list[str]:
    """Text in lines no wider than `room` points."""
    if not text:
        return []
    most = max(8, int(len(text) * room / _width(text, size)))
    return textwrap.wrap(text, most, break_long_words=True, break_on_hyphens=False, replace_whitespace=False) or [text]


def _width(text: str, size: float) -> float:
    """In points, as Matplotlib sets it."""
    return max(
        1.0,
        float(
            text_to_path.get_text_width_height_descent(
                visible(text).replace(r"\$", "$"), FontProperties(size=size), False
            )[0]
        ),
    )

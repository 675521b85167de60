"""Titles, notes and legends of plots: shown as they are, and never on top of the data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection, QuadMesh
from matplotlib.figure import Figure
from matplotlib.path import Path
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox, ScaledTranslation

from ..picture.theme import GREY, INK
from .fitting import grow, lay_out, limits
from .lettering import SURE, shortened, text_width, visible, wrapped
from .style import BROAD, KEY, SMALL, TITLE, scaled

__all__ = ["head", "legend", "legend_below", "title"]

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


def head(figure: Any, text: str, note: str = "") -> None:
    """A title over a figure of several plots, and below it in small type what they were made of."""
    if getattr(figure, "page", None) is not None:
        blocks = [(text, TITLE, INK), (note, SMALL, GREY)]
        figure.heading += [block for block in blocks if block[0]]
        return
    room = 72 * figure.get_figwidth() - 12
    lines = wrapped(note, room, SMALL)
    above = figure.suptitle(visible(shortened(text, room, TITLE)) + "\n" * len(lines), x=0.01, ha="left")
    figure.add_artist(Annotation(**{**_note(lines), "va": "top"}, xy=(0, 1), xycoords=above, xytext=(0, -1.45 * TITLE)))


def title(axes: Axes, text: str, note: str = "") -> None:
    """What a picture shows, and in small type what it was made of: below, or in Axes of the user's, whose title
    may be set anew, beside it.
    """
    if getattr(axes.figure, "page", None) is not None:
        vars(axes)["note_room"] = 1.4 * scaled(SMALL) * bool(note)
        below = axes.annotate(xy=(0.0, 1.0), xycoords="axes fraction", xytext=(0, 4), **_note([note]))
        below.set_in_layout(False)  # the title above it is, and of that the height alone
        vars(axes)["note"] = below
        axes.set_title(visible(text))
        return
    room = 72 * axes.figure.figure.get_figwidth() * 0.86
    lines, own = wrapped(note, room, SMALL), hasattr(axes, "note_room")
    if own:
        vars(axes)["note_room"] = 1.4 * SMALL * len(lines)
    axes.set_title(visible(shortened(text, room, TITLE)), loc="left")
    look = {**_note(lines), "ha": "left" if own else "right"}
    axes.annotate(xy=(0.0 if own else 1.0, 1.0), xycoords="axes fraction", xytext=(0, 4), **look)


def _note(lines: Iterable[str]) -> dict[str, Any]:
    return {
        "text": "\n".join(map(visible, lines)),
        "textcoords": "offset points",
        "ha": "left",
        "va": "bottom",
        "fontsize": scaled(SMALL),
        "color": GREY,
    }


def legend(axes: Axes, handles: Iterable[Any], beside: bool = False) -> None:
    """A legend with an entry for each of the handles, under its very label.

    It stands inside, if there it covers nothing, else below the plot, or `beside` it; on a page never inside, and
    beside only where that is broad. A figure of our own grows by as much, so that the plot keeps its size. Call it
    last, when the limits of the plot stand.
    """
    handles = list(handles)
    if not handles:
        return
    figure: Any = axes.figure.figure
    engine = figure.get_layout_engine()
    on_page = getattr(figure, "page", None) is not None
    if on_page:
        lay_out(figure)
    elif engine is not None:
        engine.execute(figure)
    axes.get_tightbbox()  # takes its place and its limits
    scale = 72 / figure.dpi
    box = axes.get_window_extent()
    start, few = limits(axes, box)[0] if on_page else box.x0, len(handles) <= _INSIDE
    room = ((box.x1 if on_page else figure.bbox.x1) - start) * scale - 12
    beside = beside and (not on_page or figure.page.width >= BROAD)
    if on_page and not beside:
        labels, columns = _in_columns(handles, room, figure.page.height / 2)
    else:
        labels, columns = _texts(handles, room / (1 if few else 2)), 1
    key = _put(axes, handles, labels, loc="upper right")
    size = key.get_window_extent()
    corner = _free(axes, size.width, size.height) if few and not (beside or on_page) else None
    if corner is not None:
        key.set_loc(corner)
    elif beside:
        _put(axes, handles, labels, loc="upper left", bbox_to_anchor=(1.0, 1.0))
        grow(figure, (size.height - box.height) * scale)
    else:
        # no wider than the plot, which would grow narrow beside it
        if not on_page:
            gap = KEY * (rcParams["legend.columnspacing"] - 2 * rcParams["legend.borderpad"])
            fit = int((min(box.width * scale, room) + gap) / (size.width * scale + gap))
            columns = max(1, min(_COLUMNS, len(handles), fit))
        below = axes.xaxis.get_tightbbox() or box
        drop = ScaledTranslation(
            (start - box.x0) * scale / 72, -((box.y0 - below.y0) * scale + 4) / 72, figure.dpi_scale_trans
        )
        key = _put(
            axes,
            handles,
            labels,
            loc="upper left",
            bbox_to_anchor=(0.0, 0.0),
            bbox_transform=axes.transAxes + drop,
            ncols=columns,
        )
        grow(figure, key.get_window_extent().height * scale)


def legend_below(figure: Figure, handles: Iterable[Any]) -> None:
    """The legend of a figure of small plots."""
    handles = list(handles)
    room = 72 * figure.get_figwidth() - 12
    labels = _texts(handles, room)
    widest = max(text_width(line, scaled(KEY)) for label in labels for line in label.split("\n"))
    columns = max(1, min(len(handles), int(room / (widest + _SAMPLE))))
    _put(figure, handles, labels, loc="outside lower left", ncols=columns)
    grow(figure, 1.5 * scaled(KEY) * -(-len(handles) // columns))


def _in_columns(handles: list[Any], room: float, most: float) -> tuple[list[str], int]:
    """Labels on a page, and in how many columns they stand; those that would be higher than that are shortened."""
    size, gap = scaled(KEY), 5 * scaled(KEY)
    labels, columns = [""], 1
    for parts, lines in ((1, 2), (2, 2), (2, 1), (4, 1)):
        labels = _texts(handles, SURE * room / parts - gap + _SAMPLE, lines)
        widest = max(text_width(line, size) for label in labels for line in label.split("\n"))
        columns = max(1, min(_COLUMNS, len(handles), int(SURE * room / (widest + gap))))
        if 1.4 * size * sum(1 + label.count("\n") for label in labels) / columns <= most:
            break
    return labels, columns


def _texts(handles: list[Any], room: float, most: int | None = None) -> list[str]:
    """The label of each entry, in lines that leave it no wider than that, and in so many at most."""
    room, size = room - _SAMPLE, scaled(KEY)
    labels = [handle.get_label().replace(r"\$", "$") for handle in handles]
    if most is not None:
        labels = [shortened(label, SURE**most * most * room, size) for label in labels]
    return ["\n".join(map(visible, wrapped(label, room, size))) for label in labels]


def _put(parent: Any, handles: list[Any], labels: list[str], **where: Any) -> Any:
    """The texts are set afterwards: before its version 3.10 Matplotlib leaves out what begins with an underscore."""
    key = parent.legend(handles, ["."] * len(handles), **where)
    for text, label in zip(key.get_texts(), labels, strict=True):
        text.set_text(label)
    return key


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

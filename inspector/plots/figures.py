"""Figures of ours: drawn in one style, shown by notebooks, written whole or not at all."""

from __future__ import annotations

import functools
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, cast

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tinygrad_rnn import files

from .. import notebook
from ..picture.theme import ALARM, PAPER
from . import style
from .legends import visible, wrapped

__all__ = ["Canvas", "axes_of", "picture", "save", "warn"]

_WARNING = 9.0
_UNDATED: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "png": {}, "pdf": {"CreationDate": None}}
"""The formats in which figures are written, with what keeps the date out of each."""

Drawing = ParamSpec("Drawing")


class Canvas(Figure):
    """A figure in our style, which a notebook shows, as it does its Axes."""

    def __init__(self, width: float, height: float) -> None:
        super().__init__(figsize=(width, height), layout="constrained")

    def add_subplot(self, *args: Any, **options: Any) -> Any:
        with style.context():
            return super().add_subplot(*args, **{"axes_class": Plot, **options})

    def save(self, path: str | Path) -> Path:
        """Write it, see :func:`save`."""
        return save(self, path)

    def _repr_html_(self) -> str:
        return notebook.image(_bytes(self, "svg"))


class Plot(Axes):
    """Axes that a notebook shows as the figure they belong to, and whose title stays clear of the note below it."""

    note_room = 0.0

    def set_title(self, label: str, *args: Any, **options: Any) -> Any:
        return super().set_title(label, *args, **{"pad": 6 + self.note_room, **options})

    def _repr_html_(self) -> str:
        return notebook.image(_bytes(self.figure, "svg"))


def axes_of(ax: Axes | None, width: float, height: float) -> Axes:
    """The Axes given, or those of a new figure."""
    return _checked(ax) if ax is not None else cast(Axes, Canvas(width, height).add_subplot())


def picture(draw: Callable[Drawing, Axes]) -> Callable[Drawing, Axes]:
    """Make a ``plot`` of a result: a method with `ax` as its first argument draws in our style, and above it stands
    what is not finite.

    Raises
    ------
    TypeError
        If a path is given where Axes belong.
    """

    @functools.wraps(draw)
    @style.in_style
    def plot(*args: Drawing.args, **options: Drawing.kwargs) -> Axes:
        _checked(args[1] if len(args) > 1 else options.get("ax"))
        axes = draw(*args, **options)
        warn(axes, getattr(args[0], "not_finite", None))
        return axes

    return plot


def _checked(ax: Any) -> Any:
    if isinstance(ax, (str, os.PathLike)):
        raise TypeError(f"plot draws on Matplotlib Axes and writes nothing; to write a file, use .save({str(ax)!r})")
    return ax


def save(figure: Any, path: str | Path) -> Path:
    """Write a figure, or that of some Axes, whole or not at all; figures made alike give the same bytes.

    Parameters
    ----------
    figure : matplotlib Figure or Axes
    path : path
        Ends in ``.svg``, ``.png`` or ``.pdf``.

    Raises
    ------
    ValueError
        If the suffix is none of these.
    """
    kind = files.suffix_of(path, tuple(_UNDATED))
    return files.write(path, _bytes(figure.figure if isinstance(figure, Axes) else figure, kind))


def _bytes(figure: Any, kind: str) -> bytes:
    data = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "tinygrad-rnn", "svg.fonttype": "none"}), np.errstate(all="ignore"):
        figure.savefig(data, format=kind, dpi=144, bbox_inches="tight", metadata=_UNDATED[kind])
    return data.getvalue()


def warn(axes: Axes, note: object) -> None:
    """Say something, if there is anything to say, once above all of a figure of ours; in somebody else's, which may cut
    off what stands there, in the Axes.
    """
    if note is None:
        return
    figure: Any = axes.get_figure()
    ours = isinstance(figure, Canvas)
    room = 72 * (figure.get_figwidth() if ours else 0.9 * axes.get_position().width * figure.figure.get_figwidth())
    lines = "\n".join(map(visible, wrapped(str(note), room, _WARNING)))
    look: Any = {"color": ALARM, "fontsize": _WARNING}
    if not ours:
        ground = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.85, "pad": 1.5}
        axes.annotate(lines, (0.01, 0.98), xycoords="axes fraction", va="top", zorder=9, bbox=ground, **look)
    elif lines not in [one.get_text() for one in figure.texts]:
        above = sum(one.get_text().count("\n") + 1 for one in figure.texts)
        figure.text(0.01, 1.0 + 0.17 * above / figure.get_figheight(), lines, ha="left", va="bottom", **look)

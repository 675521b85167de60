"""Figures of ours: drawn in one style, shown by notebooks, written whole or not at all."""

from __future__ import annotations

import functools
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tinygrad_rnn import files

from .. import notebook
from ..picture.paper import DPI, check_dpi, page_of
from ..picture.theme import ALARM, PAPER
from . import style
from .fitting import settle
from .lettering import visible, wrapped

__all__ = ["Canvas", "axes_of", "in_style", "panels_and_plot", "picture", "save", "side_by_side", "warn"]

_WARNING = 9.0
_UNDATED: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "png": {}, "pdf": {"CreationDate": None}}
"""The formats in which figures are written, with what keeps the date out of each."""

Drawing = ParamSpec("Drawing")
Drawn = TypeVar("Drawn")


class Canvas(Figure):
    """A figure in our style, so many inches large or for the page at hand, which a notebook shows, as it does its Axes.

    Attributes
    ----------
    page : Page or None
    heading : list of (str, float, str)
        On a page: what stands above all plots, with its usual size and its colour.
    above : float
        How many points that takes.
    """

    def __init__(self, width: float, height: float) -> None:
        self.page = style.page_at_hand()
        self.heading: list[tuple[str, float, str]] = []
        self.above = 0.0
        self._settled = self.page is None
        if self.page is not None:
            wide = self.page.width / 72
            # between what keeps its shape and what keeps room for type, nearer to that
            height *= style.scaled(1.0) ** 0.75 * (wide / width) ** 0.25
            width, height = wide, min(height, self.page.height / 72)
        super().__init__(figsize=(width, height), layout="constrained")

    def add_subplot(self, *args: Any, **options: Any) -> Any:
        with style.context():
            return super().add_subplot(*args, **{"axes_class": Plot, **options})

    def save(self, path: str | Path, dpi: float | None = None) -> Path:
        """Write it, see :func:`save`."""
        return save(self, path, dpi)

    def settle(self) -> None:
        """Let everything have its place, on a page and once."""
        if not self._settled:
            self._settled = True
            with style.context(self.page):
                settle(self)

    def _repr_html_(self) -> str:
        return notebook.image(_bytes(self, "svg"))


class Plot(Axes):
    """Axes that a notebook shows as the figure they belong to, and whose title stays clear of the note below it."""

    note_room = 0.0
    note: Any = None
    headline: Any = None

    def set_title(self, label: str, *args: Any, **options: Any) -> Any:
        self.headline = super().set_title(label, *args, **{"pad": 6 + self.note_room, **options})
        return self.headline

    def _repr_html_(self) -> str:
        return notebook.image(_bytes(self.figure, "svg"))


def axes_of(ax: Axes | None, width: float, height: float) -> Axes:
    """The Axes given, or those of a new figure."""
    return _checked(ax) if ax is not None else cast(Axes, Canvas(width, height).add_subplot())


def side_by_side(width: float, height: float, ratios: tuple[float, float] = (1.0, 1.0)) -> tuple[Axes, Axes]:
    """Two plots of a new figure side by side; on a page where they would be narrow, one above the other."""
    page = style.page_at_hand()
    if page is None or page.width >= style.BROAD:
        left, right = Canvas(width, height).subplots(1, 2, width_ratios=ratios)
    else:
        left, right = Canvas(0.6 * width, 1.6 * height).subplots(2, 1)
    return left, right


def panels_and_plot(count: int, width: float, height: float, plot: float, **options: Any) -> tuple[list[Axes], Axes]:
    """Panels of a new figure one above the other, and below them, on a broad page beside them, a plot so many times as
    high.
    """
    figure, page = Canvas(width, height), style.page_at_hand()
    if not count or page is None or page.width < style.BROAD:
        *panels, last = figure.subplots(
            count + 1, 1, squeeze=False, height_ratios=[1.0] * count + [plot], **options
        ).reshape(-1)
        return panels, last
    grid = figure.add_gridspec(count, 2)
    last = figure.add_subplot(grid[:, 1])
    return [figure.add_subplot(grid[k, 0], **({"sharex": last} if options else {})) for k in range(count)], last


def in_style(draw: Callable[Drawing, Drawn]) -> Callable[Drawing, Drawn]:
    """Let a function draw in our style, and for the page that its option `width` asks for, if it has one; what is not
    finite is its own affair, not NumPy's.
    """

    @functools.wraps(draw)
    def drawing(*args: Drawing.args, **options: Drawing.kwargs) -> Drawn:
        page = page_of(cast(Any, options.get("width")))
        with style.context(page), np.errstate(all="ignore"):
            drawn = draw(*args, **options)
            if page is not None and isinstance(figure := getattr(drawn, "figure", drawn), Canvas):
                figure.settle()
            return drawn

    return drawing


def picture(draw: Callable[Drawing, Axes]) -> Callable[Drawing, Axes]:
    """Make a ``plot`` of a result: a method with `ax` as its first argument draws in our style, and above it stands
    what is not finite.

    Raises
    ------
    TypeError
        If a path is given where Axes belong.
    ValueError
        If Axes of somebody else's are given, and a width.
    """

    @functools.wraps(draw)
    @in_style
    def plot(*args: Drawing.args, **options: Drawing.kwargs) -> Axes:
        _checked(args[1] if len(args) > 1 else options.get("ax"))
        axes = draw(*args, **options)
        warn(axes, getattr(args[0], "not_finite", None))
        return axes

    return plot


def _checked(ax: Any) -> Any:
    if isinstance(ax, (str, os.PathLike)):
        raise TypeError(f"plot draws on Matplotlib Axes and writes nothing; to write a file, use .save({str(ax)!r})")
    if ax is not None and getattr(ax.figure, "page", None) != style.page_at_hand() is not None:
        raise ValueError("width says how wide a new figure is, and these Axes belong to one: give one of the two")
    return ax


def save(figure: Any, path: str | Path, dpi: float | None = None) -> Path:
    """Write a figure, or that of some Axes, whole or not at all; figures made alike give the same bytes.

    Parameters
    ----------
    figure : matplotlib Figure or Axes
    path : path
        Ends in ``.svg``, ``.png`` or ``.pdf``.
    dpi : float, optional
        Pixels an inch of a PNG; 144 when omitted.

    Raises
    ------
    ValueError
        If the suffix is none of these, or `dpi` is not between 10 and 1,200.
    """
    kind = files.suffix_of(path, tuple(_UNDATED))
    pixels = DPI if dpi is None else check_dpi(dpi)
    return files.write(path, _bytes(figure.figure if isinstance(figure, Axes) else figure, kind, pixels))


def _bytes(figure: Any, kind: str, dpi: float = DPI) -> bytes:
    on_page = getattr(figure, "page", None) is not None
    if on_page:
        figure.settle()
    how = {"svg.hashsalt": "tinygrad-rnn", "svg.fonttype": "none", "savefig.bbox": "standard" if on_page else "tight"}
    data = io.BytesIO()
    with matplotlib.rc_context(how), np.errstate(all="ignore"):  # type: ignore[arg-type]
        figure.savefig(data, format=kind, dpi=dpi, metadata=_UNDATED[kind])
    return data.getvalue()


def warn(axes: Axes, note: object) -> None:
    """Say something, if there is anything to say, once above all of a figure of ours; in somebody else's, which may cut
    off what stands there, in the Axes.
    """
    if note is None:
        return
    figure: Any = axes.get_figure()
    ours = isinstance(figure, Canvas)
    if ours and figure.page is not None:
        block = (str(note), _WARNING, ALARM)
        figure.heading = [block, *(other for other in figure.heading if other != block)]
        return
    room = 72 * (figure.get_figwidth() if ours else 0.9 * axes.get_position().width * figure.figure.get_figwidth())
    lines = "\n".join(map(visible, wrapped(str(note), room, _WARNING)))
    look: Any = {"color": ALARM, "fontsize": _WARNING}
    if not ours:
        ground = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.85, "pad": 1.5}
        axes.annotate(lines, (0.01, 0.98), xycoords="axes fraction", va="top", zorder=9, bbox=ground, **look)
    elif lines not in [one.get_text() for one in figure.texts]:
        above = sum(one.get_text().count("\n") + 1 for one in figure.texts)
        figure.text(0.01, 1.0 + 0.17 * above / figure.get_figheight(), lines, ha="left", va="bottom", **look)

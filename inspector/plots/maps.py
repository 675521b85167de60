"""What the pictures of several analyses have in common: maps over two times, bands, the limits of number formats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from .colours import Style
from .curves import ALARM, GREY, INK, title, visible

__all__ = ["FORMATS", "QUANTILES", "draw_band", "draw_limits", "draw_map", "quantiles", "title"]

Array = npt.NDArray[np.float64]

FORMATS = {
    f"{kind.__name__} {which}": float(getattr(np.finfo(kind), f"smallest_{which}"))
    for kind in (np.float16, np.float32, np.float64)
    for which in ("normal", "subnormal")
}
"""Below the smallest normal number precision is lost, below the smallest subnormal one there is 0."""

QUANTILES = {"5 %": 0.05, "25 %": 0.25, "median": 0.5, "75 %": 0.75, "95 %": 0.95}


def quantiles(rows: npt.ArrayLike, levels: Sequence[float]) -> Array:
    """Quantiles (levels, rows) of what is finite in each row of a matrix; NaN where nothing is."""
    finite = (row[np.isfinite(row)] for row in np.asarray(rows, np.float64))
    found: Array = np.array([np.quantile(row, levels) if row.size else np.full(len(levels), np.nan) for row in finite])
    return found.reshape(-1, len(levels)).T


def draw_map(axes: Axes, matrix: Array, label: str, decades: int, possible: npt.NDArray[np.bool_]) -> None:
    """A matrix as a heat map on a logarithmic scale of so many decades; what lies below, zeros too, is hatched, what is
    not finite red.

    Places that are not `possible` stay empty.
    """
    some = matrix[np.isfinite(matrix) & (matrix > 0)]
    high = float(some.max(initial=0.0)) or 1.0
    low = max(float(some.min(initial=high)), high * 10.0**-decades)
    ill, lost = possible & ~np.isfinite(matrix), possible & (matrix < low)
    for row in np.flatnonzero(lost.any(axis=1)).tolist():
        starts, ends = np.flatnonzero(np.diff(lost[row], prepend=False, append=False)).reshape(-1, 2).T
        axes.broken_barh(
            list(zip(starts - 0.5, ends - starts, strict=True)),
            (row - 0.5, 1),
            facecolor="#EEF1F4",
            edgecolor="#C8D1DA",
            hatch="////",
            linewidth=0,
        )
    if ill.any():
        axes.imshow(
            np.ma.masked_where(~ill, ill.astype(float)),
            cmap=ListedColormap([ALARM]),
            aspect="auto",
            interpolation="nearest",
            zorder=2,
        )
    shown = np.ma.masked_where(~possible | ill | (matrix < low), matrix)
    image = axes.imshow(
        shown,
        norm=LogNorm(low if low < high else high / 10, high),
        cmap="cividis",
        aspect="auto",
        interpolation="nearest",
        zorder=2,
    )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.tick_params(colors=GREY)
    axes.spines[:].set_visible(False)
    figure = axes.get_figure()
    assert figure is not None
    bar = figure.colorbar(image, ax=axes, shrink=0.85, pad=0.02)
    notes = [note for note, there in (("hatched: below", lost.any()), ("red: not finite", ill.any())) if there]
    bar.set_label(visible("        ".join([label, *notes])), color=INK)
    bar.ax.tick_params(colors=GREY)
    bar.outline.set_visible(False)


def draw_band(axes: Axes, x: Any, quantiles: Array, look: Style, label: str) -> Line2D:
    """A median as a line, with a band of half and a lighter one of nine tenths of what there is; see ``QUANTILES``."""
    rows = np.where(quantiles > 0, quantiles, np.nan)
    axes.fill_between(x, rows[0], rows[4], color=look.colour, alpha=0.14, linewidth=0)
    axes.fill_between(x, rows[1], rows[3], color=look.colour, alpha=0.26, linewidth=0)
    (line,) = axes.plot(x, rows[2], linewidth=2.0, label=visible(label), **look.line(len(rows[2])))
    return line


def draw_limits(axes: Axes) -> None:
    """Lines where floating-point formats underflow, as far as they lie in the picture."""
    low, high = axes.get_ylim()
    for name, limit in FORMATS.items():
        if low < limit < high:
            axes.axhline(limit, color=GREY, linewidth=0.8, linestyle=(0, (1, 1.5)), zorder=1)
            axes.annotate(
                f"smallest {name}",
                (1.0, limit),
                xycoords=("axes fraction", "data"),
                xytext=(-2, 2),
                textcoords="offset points",
                ha="right",
                va="bottom",
                fontsize=7,
                color=GREY,
            )
    axes.set_ylim(low, high)

"""Maps over two axes: of norms on a logarithmic scale, and of what has a sign."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.ticker import MaxNLocator

from ..picture.paper import Width
from ..picture.theme import ALARM, HATCH, INK, LOST, PAPER, SIGNED
from .figures import axes_of, in_style, save
from .legends import title as put_title
from .lettering import visible

__all__ = ["colour_bar", "norm_map", "plot_heat_map", "signed_map"]

Array = npt.NDArray[np.float64]

_DECADES = 6


@in_style
def plot_heat_map(
    values: npt.ArrayLike,
    rows: Sequence[str],
    columns: Sequence[str],
    path: str | Path | None = None,
    ax: Axes | None = None,
    title: str = "",
    label: str = "gradient norm",
    *,
    width: Width = None,
) -> Axes:
    """Draw a matrix of norms as a heat map on a logarithmic colour scale of at most six decades.

    Parameters
    ----------
    values : array_like (rows, columns)
        Not negative. What lies below the scale, zeros too, is hatched rather than given a colour; what is not finite is
        red.
    rows, columns : sequences of str
    path, ax, width
        As for :func:`plot_decay`.
    title, label : str
        Above the map, and beside the colour bar.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If the shape does not fit the labels, or a value is negative.
    """
    matrix = np.asarray(values, dtype=np.float64)
    if matrix.shape != (len(rows), len(columns)):
        raise ValueError(f"plot_heat_map: values have shape {matrix.shape}, labels give {(len(rows), len(columns))}")
    if (matrix < 0).any():
        raise ValueError("plot_heat_map: values must not be negative")
    axes = axes_of(ax, 1.9 + 0.52 * len(columns), 1.6 + 0.42 * len(rows))
    norm_map(axes, matrix, label, _DECADES)
    axes.set_xticks(range(len(columns)), [visible(one) for one in columns])
    axes.set_yticks(range(len(rows)), [visible(one) for one in rows])
    axes.tick_params(length=0, colors=INK)
    put_title(axes, title)
    if path is not None:
        save(axes.figure, path)
    return axes


def norm_map(
    axes: Axes, matrix: Array, label: str, decades: int, possible: npt.NDArray[np.bool_] | None = None
) -> None:
    """A matrix of norms on a logarithmic scale of so many decades; what lies below, zeros too, is hatched, what is
    not finite red.

    Places that are not `possible` stay empty.
    """
    possible = np.ones(matrix.shape, bool) if possible is None else possible
    usual = matrix[np.isfinite(matrix) & (matrix > 0)]
    high = float(usual.max(initial=0.0)) or 1.0
    low = max(float(usual.min(initial=high)), high * 10.0**-decades)
    ill, lost = possible & ~np.isfinite(matrix), possible & (matrix < low)
    for row in np.flatnonzero(lost.any(axis=1)).tolist():
        starts, ends = np.flatnonzero(np.diff(lost[row], prepend=False, append=False)).reshape(-1, 2).T
        spans = list(zip(starts - 0.5, ends - starts, strict=True))
        axes.broken_barh(spans, (row - 0.5, 1), facecolor=LOST, edgecolor=HATCH, hatch="////", linewidth=0)
    if ill.any():
        axes.imshow(np.ma.masked_where(~ill, ill.astype(float)), cmap=ListedColormap([ALARM]), zorder=2)
    shown = np.ma.masked_where(~possible | ill | (matrix < low), matrix)
    image = axes.imshow(shown, norm=LogNorm(low if low < high else high / 10, high), zorder=2)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.spines[:].set_visible(False)
    notes = [note for note, there in (("hatched: below", lost.any()), ("red: not finite", ill.any())) if there]
    colour_bar(axes, image, "        ".join([label, *notes]), shrink=0.85)


def signed_map(axes: Axes, matrix: Array, label: str, missing: str = ALARM, **options: Any) -> None:
    """A matrix in two hues that meet at 0; what is not finite is hatched in the colour `missing`."""
    usual = np.where(np.isfinite(matrix), matrix, np.nan)
    largest = float(np.abs(np.nan_to_num(usual)).max(initial=0.0)) or 1.0
    axes.patch.set(hatch="xxx" if missing == ALARM else "///", facecolor=PAPER, edgecolor=missing)
    image = axes.imshow(usual, cmap=SIGNED, vmin=-largest, vmax=largest, **options)
    axes.spines[:].set_visible(False)
    colour_bar(axes, image, label)


def colour_bar(axes: Any, image: Any, label: str, **options: Any) -> None:
    """What the colours beside some Axes mean."""
    first = axes if isinstance(axes, Axes) else axes[0]
    bar = first.figure.colorbar(image, ax=axes, **{"pad": 0.02, **options})
    bar.set_label("\n".join(map(visible, label.split("\n"))))
    bar.outline.set_visible(False)

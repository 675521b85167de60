"""Curves of gradient norms along time, and what they are compared with."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from tinygrad_rnn.plurals import counted

from ..picture.curve_styles import Style, styles
from ..picture.paper import Width
from ..picture.theme import ALARM, GREY, INK, PAPER
from ..tracing.decay import decay_rate
from ..tracing.names import own_name
from ..tracing.trace import GradientTrace
from .figures import axes_of, in_style, save, warn
from .legends import legend, title
from .lettering import shortened, visible
from .style import DASHED, DOTTED, HAIR, LABEL, SMALL, THIN, scaled

__all__ = [
    "BACKWARDS", "FORMATS", "QUANTILES", "along_time", "areas", "band", "base_line", "curve", "level", "limit",
    "log_scale", "mark_norms", "mark_rows", "marked", "norms_along_time", "note", "number_formats", "plain_axes",
    "plot_decay", "quantiles", "whole_steps",
]  # fmt: skip

Array: TypeAlias = npt.NDArray[np.float64]

BACKWARDS = "timestep t        (the gradient flows from right to left)"
"""What stands below a time axis."""

FORMATS = {
    f"{kind.__name__} {which}": float(getattr(np.finfo(kind), f"smallest_{which}"))
    for kind in (np.float16, np.float32, np.float64)
    for which in ("normal", "subnormal")
}
"""Below the smallest normal number precision is lost, below the smallest subnormal one there is 0."""

QUANTILES = {"5 %": 0.05, "25 %": 0.25, "median": 0.5, "75 %": 0.75, "95 %": 0.95}

_TICKS = 1e200
"""Above it Matplotlib may look for ticks beyond the largest number."""


@in_style
def plot_decay(
    traces: GradientTrace | Mapping[str, GradientTrace],
    path: str | Path | None = None,
    ax: Axes | None = None,
    names: Sequence[str] | None = None,
    *,
    width: Width = None,
) -> Axes:
    """Plot gradient norms against time on a logarithmic scale.

    The legend gives for each curve the factor by which it changes per step back, and its half-life, see
    :class:`Decay`. Below stands how the parameters were initialised, without which no decay can be
    reproduced. Timesteps at which the gradient is exactly 0 are marked at the lower edge.

    Parameters
    ----------
    traces : GradientTrace, or mapping of label to GradientTrace
    path : path, optional
        Where to write the picture, too; the suffix ``.svg``, ``.png`` or ``.pdf`` says what.
    ax : matplotlib Axes, optional
        Where to draw; a new figure when omitted.
    names : sequence of str, optional
        What to plot of each trace; its states when omitted.
    width : float or {"column", "page", "slide"}, optional
        How wide a new figure is where it is shown: so many points of 1/72 inch, ``"column"`` 241 points, ``"page"`` 468
        points, ``"slide"`` 960 pixels. It is laid out for that width, with no type smaller than 6 points, 7 on a page
        and 12 pixels on a slide; only exponents are, as exponents are.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If there is nothing to plot, the suffix or the width is unknown, or Axes of another figure and a width are
        given.
    KeyError
        If a trace has no value of a given name.
    """
    found = {traces.label: traces} if isinstance(traces, GradientTrace) else traces
    if not (isinstance(found, Mapping) and all(isinstance(one, GradientTrace) for one in found.values())):
        raise TypeError(
            "plot_decay: give what inspector.trace(run, loss) returns, or a mapping from labels to several; got a"
            f" {type(traces).__name__}"
        )
    if not found:
        raise ValueError("plot_decay: give at least one trace")
    axes = axes_of(ax, 8.0, 4.6)
    shown = {label: list(names if names is not None else trace.states) for label, trace in found.items()}
    looks, curves = _looks(found, shown), []
    for label, trace in found.items():
        for name in shown[label]:
            norms = trace.norm(name)
            text = name if len(found) == 1 else f"{label} {name}" if len(shown[label]) > 1 else label
            curves.append((f"{text}: {decay_rate(norms)}", norms, looks[label, name]))
    lines = norms_along_time(axes, curves, _subject(names))
    steps = max(trace.steps for trace in found.values())
    axes.set_xlim(-0.02 * steps - 0.5, steps - 0.5 + 0.02 * steps)
    first = f"{next(iter(found))}: gradient" if len(found) == 1 else "Gradient"
    title(axes, f"{first} of the loss along time", f"initialisation: {_initialisation(found)}")
    legend(axes, lines)
    for label, trace in found.items():
        if trace.not_finite:
            warn(axes, f"{label}: {trace.not_finite}" if len(found) > 1 else trace.not_finite)
    if path is not None:
        save(axes.figure, path)
    return axes


def _looks(traces: Mapping[str, GradientTrace], shown: Mapping[str, Sequence[str]]) -> dict[tuple[str, str], Style]:
    """Of one trace each name has its colour; of several each trace, and its names differ in dash."""
    if len(traces) == 1:
        ((label, trace),) = traces.items()
        found = styles((*trace.states, *shown[label]))
        return {(label, name): found[name] for name in shown[label]}
    found, most = styles(traces), max(map(len, shown.values()))
    return {
        (label, name): found[label].among(k, most) for label, names in shown.items() for k, name in enumerate(names)
    }


def _subject(names: Sequence[str] | None) -> str:
    """What the gradient is taken by, where that is one thing."""
    kinds = {own_name(name) for name in names or ()}
    return f"{next(iter(kinds))}_t" if len(kinds) == 1 else "state_t"


def _initialisation(traces: Mapping[str, GradientTrace]) -> str:
    kinds = {label: trace.initialisation for label, trace in traces.items()}
    if len(set(kinds.values())) == 1:
        return next(iter(kinds.values()))
    return ", ".join(f"{label} {kind}" for label, kind in kinds.items())


# --------------------------------------------------------------------------------------------- curves


def norms_along_time(axes: Axes, curves: Iterable[tuple[str, Array, Style]], subject: str) -> list[Line2D]:
    """Curves of gradient norms by `subject`, each with its label and look; what is 0 or not finite is marked, and the
    labels say how often. The lines, for a legend.
    """
    curves = list(curves)
    lines = [curve(axes, np.arange(len(norms)), norms, look, text + marked(norms)) for text, norms, look in curves]
    along_time(axes, subject)
    mark_rows(
        axes,
        [(norms == 0, look.colour) for _, norms, look in curves],
        [(~np.isfinite(norms), look.colour) for _, norms, look in curves],
    )
    return lines


def curve(axes: Axes, x: Any, values: Array, look: Style, label: str, **options: Any) -> Line2D:
    """A curve with gaps where it is not positive, or not finite."""
    shown = np.where(np.isfinite(values) & (values > 0), values, np.nan)
    (line,) = axes.plot(x, shown, label=visible(label), **{**look.line(len(values)), **options})
    return line


def band(axes: Axes, x: Any, levels: Array, look: Style, label: str) -> Line2D:
    """A median as a line, with a band of half and a lighter one of nine tenths of what there is; see ``QUANTILES``."""
    rows = np.where(levels > 0, levels, np.nan)
    axes.fill_between(x, rows[0], rows[4], color=look.colour, alpha=0.14, linewidth=0)
    axes.fill_between(x, rows[1], rows[3], color=look.colour, alpha=0.26, linewidth=0)
    return curve(axes, x, rows[2], look, label)


def areas(
    axes: Axes, edges: Array, parts: Mapping[str, Array], looks: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Parts (T,) between edges (T + 1,) stacked: positive ones upwards from 0, negative ones downwards.

    Returns
    -------
    dict of str to artist
        Of the parts that are not 0 everywhere.
    """
    drawn = {}
    for sign in (1.0, -1.0):
        base = np.zeros(len(edges))
        for name, values in parts.items():
            part = np.where(sign * values > 0, values, 0.0)
            if np.any(part):
                top = base + np.append(part, part[-1])
                drawn[name] = axes.fill_between(edges, base, top, step="post", linewidth=HAIR, **looks[name])
                base = top
    return drawn


def quantiles(rows: npt.ArrayLike, levels: Iterable[float] = tuple(QUANTILES.values())) -> Array:
    """Quantiles (levels, rows) of what is finite in each row of a matrix; NaN where nothing is."""
    levels = list(levels)
    finite = (row[np.isfinite(row)] for row in np.asarray(rows, np.float64))
    found: Array = np.array([np.quantile(row, levels) if row.size else np.full(len(levels), np.nan) for row in finite])
    return found.reshape(-1, len(levels)).T


# ------------------------------------------------------------------------------------------------ axes


def along_time(axes: Axes, subject: str) -> None:
    """Axes for norms of the gradient by `subject`, such as ``h_t``, against time."""
    log_scale(axes)
    axes.set(xlabel=BACKWARDS, ylabel=visible(f"‖∂L/∂{shortened(subject, scaled(180), scaled(LABEL))}‖₂"))
    whole_steps(axes)
    plain_axes(axes)


def whole_steps(axes: Axes) -> None:
    """Ticks at whole numbers of steps."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def log_scale(axes: Axes, values: npt.ArrayLike | None = None) -> None:
    """A logarithmic scale for what has been plotted, or for `values`; where nothing is positive, one without
    numbers.
    """
    usual = None if values is None else np.asarray(values)[np.isfinite(values)]
    highest = float(axes.dataLim.y1 if usual is None else usual.max(initial=0.0))
    if 0 < highest < _TICKS:
        axes.set_yscale("log")
        return
    least = axes.dataLim.minposy if usual is None else float(usual[usual > 0].min(initial=highest))
    lowest = max(least, 1e-300) if highest > 0 else 0.1
    axes.set_ylim(lowest, np.finfo(np.float64).max if highest > 0 else 10.0)  # no margin: it would overflow
    axes.set_yscale("log")
    first, last = math.floor(math.log10(lowest)), 308
    axes.yaxis.set_major_locator(
        FixedLocator([10.0**k for k in range(last, first, -max(1, (last - first) // 6))] if highest > 0 else [])
    )
    axes.yaxis.set_minor_locator(NullLocator())


def plain_axes(axes: Axes) -> None:
    """A light grid, and no box."""
    axes.set_axisbelow(True)
    axes.grid(True, which="major")
    axes.spines[["top", "right"]].set_visible(False)


# ------------------------------------------------------------------------------- marks, levels and notes


Row: TypeAlias = tuple[npt.NDArray[np.bool_], str]
"""Where in time there is something to mark, and in which colour."""


def mark_norms(axes: Axes, norms: Array, first: int = 0) -> None:
    """Marks where norms that are no curve are exactly 0, and where they are not finite."""
    mark_rows(axes, [(norms == 0, GREY)], [(~np.isfinite(norms), ALARM)], first)


def mark_rows(axes: Axes, zeros: Iterable[Row], broken: Iterable[Row] = (), first: int = 0) -> None:
    """Triangles at the lower edge where norms are exactly 0, crosses at the upper one where they are not finite.

    Each curve has a row of its own, for which room is made beyond the data; their time begins at `first`, and is shown
    whole.
    """
    zeros, broken = list(zeros), list(broken)
    left, right = axes.get_xlim()
    last = first + max((len(hit) for hit, _ in (*zeros, *broken)), default=1) - 1
    axes.set_xlim(min(left, first - 0.5), max(right, last + 0.5))
    whole_steps(axes)
    edges = [[(hit, colour) for hit, colour in rows if hit.any()] for rows in (zeros, broken)]
    height = min(0.035, 0.3 / max(1, *map(len, edges)))
    below, above = (height * len(rows) + 0.01 * bool(rows) for rows in edges)
    log, (low, high) = axes.get_yscale() == "log", axes.get_ylim()
    if log:
        low, high = math.log10(low), math.log10(high)
    scale = (high - low) / (1 - below - above)
    low, high = low - below * scale, high + above * scale
    axes.set_ylim(*((10.0 ** max(low, -323.0), 10.0 ** min(high, 308.2)) if log else (low, high)))
    for rows, marker, start, way in ((edges[0], "v", 0.015, 1), (edges[1], "x", 0.985, -1)):
        for k, (hit, colour) in enumerate(rows):
            axes.scatter(
                first + np.flatnonzero(hit),
                np.full(hit.sum(), start + way * k * height),
                color=colour,
                marker=marker,
                s=630 * height * scaled(1.0) ** 2,
                clip_on=False,
                transform=axes.get_xaxis_transform(),
                zorder=5,
            )


def marked(norms: Array) -> str:
    """What a legend adds about the marks of :func:`mark_rows`."""
    hits = {"▾ exactly 0": int((norms == 0).sum()), "× not finite": int((~np.isfinite(norms)).sum())}
    return "".join(f", {what} at {counted(count, 'step')}" for what, count in hits.items() if count)


def level(axes: Axes, y: float, text: str = "") -> None:
    """A dashed line that a curve crosses, with what it means beside the plot."""
    axes.axhline(y, color=INK, linewidth=THIN, linestyle=DASHED, zorder=1)
    where: Any = {"xycoords": ("axes fraction", "data"), "xytext": (3, 0), "textcoords": "offset points"}
    axes.annotate(text, (1.0, y), va="center", fontsize=scaled(SMALL), **where)


def base_line(axes: Axes, y: float = 0.0) -> None:
    """The line on which bars or areas stand."""
    axes.axhline(y, color=INK, linewidth=THIN)


def limit(axes: Axes, y: float, text: str) -> None:
    """A dotted line that no curve crosses unharmed, with what it means above its end."""
    axes.axhline(y, color=GREY, linewidth=THIN, linestyle=DOTTED, zorder=1)
    where: Any = {"xycoords": ("axes fraction", "data"), "xytext": (-2, 2), "textcoords": "offset points"}
    axes.annotate(text, (1.0, y), ha="right", va="bottom", fontsize=scaled(SMALL), color=GREY, **where)


def number_formats(axes: Axes) -> None:
    """Lines where floating-point formats underflow, as far as they lie in the picture."""
    low, high = axes.get_ylim()
    for name, smallest in FORMATS.items():
        if low < smallest < high:
            limit(axes, smallest, f"smallest {name}")
    axes.set_ylim(low, high)


def note(axes: Axes, text: str, x: float, y: float, colour: str = INK) -> None:
    """A few words in the picture, at a place between 0 and 1 from whose nearer edges they grow."""
    ha, va = ("left" if x < 0.4 else "right" if x > 0.6 else "center"), ("bottom" if y < 0.5 else "top")
    ground = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.85, "pad": 1.5}
    look: Any = {"ha": ha, "va": va, "fontsize": scaled(SMALL), "color": colour, "bbox": ground}
    axes.annotate("\n".join(map(visible, text.split("\n"))), (x, y), xycoords="axes fraction", **look)

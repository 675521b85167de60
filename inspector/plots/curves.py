"""Curves and maps of gradient norms, drawn with Matplotlib."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from tinygrad_rnn import files
from tinygrad_rnn.plurals import counted

from .. import notebook
from ..lettering import ALARM, GREY, INK, head, legend, legend_below, shortened, title, visible, wrapped
from ..lettering import title as _title
from ..tracing.decay import decay_rate
from ..tracing.trace import GradientTrace
from .colours import Style, styles

__all__ = [
    "ALARM",
    "GREY",
    "INK",
    "head",
    "legend",
    "legend_below",
    "plot_decay",
    "plot_heat_map",
    "save",
    "title",
    "visible",
]

FORMATS = ("svg", "png", "pdf")
_DECADES = 6
_TICKS = 1e200
"""Above it Matplotlib may look for ticks beyond the largest number."""


@np.errstate(all="ignore")
def plot_decay(
    traces: GradientTrace | Mapping[str, GradientTrace],
    path: str | Path | None = None,
    ax: Axes | None = None,
    names: Sequence[str] | None = None,
) -> Path | Axes:
    """Plot gradient norms against time on a logarithmic scale.

    The legend gives for each curve the factor by which it changes per step back, and its half-life, see
    :class:`Decay`. Below stands how the parameters were initialised, without which no decay can be
    reproduced. Timesteps at which the gradient is exactly 0 are marked at the lower edge.

    Parameters
    ----------
    traces : GradientTrace, or mapping of label to GradientTrace
    path : path, optional
        Where to write the picture; the suffix ``.svg``, ``.png`` or ``.pdf`` says what.
    ax : matplotlib Axes, optional
        Where to draw; a new figure when omitted.
    names : sequence of str, optional
        What to plot of each trace; its states when omitted.

    Returns
    -------
    Path or Axes
        The path, if one was given, otherwise the Axes.

    Raises
    ------
    ValueError
        If there is nothing to plot, or the suffix is unknown.
    KeyError
        If a trace has no value of a given name.
    """
    found = {traces.label: traces} if isinstance(traces, GradientTrace) else dict(traces)
    if not found:
        raise ValueError("plot_decay: give at least one trace")
    axes = axes_of(ax, (8.0, 4.6))
    shown = {label: list(names if names is not None else trace.states) for label, trace in found.items()}
    curves = {(label, name): trace.norm(name) for label, trace in found.items() for name in shown[label]}
    looks = _looks(found, shown)
    texts = {
        (label, name): name if len(found) == 1 else f"{label} {name}" if len(shown[label]) > 1 else label
        for label, name in curves
    }
    lines = [_curve(axes, norms, texts[key], looks[key]) for key, norms in curves.items()]
    _dress(axes, found, names)
    mark_rows(
        axes,
        [(norms == 0, looks[key].colour) for key, norms in curves.items()],
        [(~np.isfinite(norms), looks[key].colour) for key, norms in curves.items()],
    )
    legend(axes, lines)
    ill = [
        f"{label}: {trace.not_finite}" if len(found) > 1 else f"{trace.not_finite}"
        for label, trace in found.items()
        if trace.not_finite
    ]
    return finish(axes, path, *ill)


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


def _curve(axes: Axes, norms: npt.NDArray[np.float64], text: str, look: Style) -> Line2D:
    shown = np.where(np.isfinite(norms) & (norms > 0), norms, np.nan)
    (line,) = axes.plot(
        np.arange(len(norms)),
        shown,
        linewidth=1.8,
        label=visible(f"{text}: {decay_rate(norms)}{marked(norms)}"),
        **look.line(len(norms)),
    )
    return line


def marked(norms: npt.NDArray[np.float64]) -> str:
    """What a legend adds about the marks of :func:`mark_rows`."""
    hits = {"▾ exactly 0": int((norms == 0).sum()), "× not finite": int((~np.isfinite(norms)).sum())}
    return "".join(f", {what} at {counted(count, 'step')}" for what, count in hits.items() if count)


def _dress(axes: Axes, traces: Mapping[str, GradientTrace], names: Sequence[str] | None) -> None:
    """Title, axes, the direction of flow and the initialisation."""
    steps = max(trace.steps for trace in traces.values())
    what = {name.rpartition("/")[2] for name in names} if names is not None else {"state"}
    along_time(axes, f"{next(iter(what))}_t" if len(what) == 1 and names is not None else "state_t")
    axes.set_xlim(-0.02 * steps - 0.5, steps - 0.5 + 0.02 * steps)
    kinds = {label: trace.initialisation for label, trace in traces.items()}
    if len(set(kinds.values())) == 1:
        note = f"initialisation: {next(iter(kinds.values()))}"
    else:
        note = "initialisation: " + ", ".join(f"{label} {kind}" for label, kind in kinds.items())
    title(
        axes,
        f"{next(iter(traces))}: gradient of the loss along time"
        if len(traces) == 1
        else "Gradient of the loss along time",
        note,
    )


def along_time(axes: Axes, subject: str) -> None:
    """Axes for norms of the gradient by `subject`, such as ``h_t``, against time."""
    log_scale(axes)
    axes.set_xlabel("timestep t        (the gradient flows from right to left)", color=INK)
    axes.set_ylabel(visible(f"‖∂L/∂{shortened(subject, 180, 10)}‖₂"), color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    plain_axes(axes)


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
    axes.grid(True, which="major", color="#D8DEE4", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=GREY)


Row: TypeAlias = tuple[npt.NDArray[np.bool_], str]
"""Where in time there is something to mark, and in which colour."""


def mark_rows(axes: Axes, zeros: Iterable[Row], broken: Iterable[Row] = (), first: int = 0) -> None:
    """Triangles at the lower edge where norms are exactly 0, crosses at the upper one where they are not finite.

    Each curve has a row of its own, for which room is made beyond the data; their time begins at `first`, and is shown
    whole.
    """
    zeros, broken = list(zeros), list(broken)
    left, right = axes.get_xlim()
    last = first + max((len(hit) for hit, _ in (*zeros, *broken)), default=1) - 1
    axes.set_xlim(min(left, first - 0.5), max(right, last + 0.5))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
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
                s=630 * height,
                clip_on=False,
                transform=axes.get_xaxis_transform(),
                zorder=5,
            )


@np.errstate(all="ignore")
def plot_heat_map(
    values: npt.ArrayLike,
    rows: Sequence[str],
    columns: Sequence[str],
    path: str | Path | None = None,
    ax: Axes | None = None,
    title: str = "",
    label: str = "gradient norm",
) -> Path | Axes:
    """Draw a matrix of norms as a heat map on a logarithmic colour scale of at most six decades.

    Parameters
    ----------
    values : array_like (rows, columns)
        Not negative. What lies below the scale, zeros too, is hatched rather than given a colour; what is not finite is
        red.
    rows, columns : sequences of str
    path, ax
        As for :func:`plot_decay`.
    title, label : str
        Above the map, and beside the colour bar.

    Returns
    -------
    Path or Axes

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
    ill = ~np.isfinite(matrix)
    some = matrix[~ill & (matrix > 0)]
    high = float(some.max(initial=0.0)) or 1.0
    low = max(float(some.min(initial=high)), high * 10.0**-_DECADES)
    axes = axes_of(ax, (1.9 + 0.52 * len(columns), 1.6 + 0.42 * len(rows)))
    axes.patch.set(hatch="///", facecolor="#FFFFFF", edgecolor="#C8D1DA")
    shown = np.ma.masked_where(ill | (matrix < low), matrix)
    if ill.any():
        axes.imshow(np.ma.masked_where(~ill, ill), cmap=ListedColormap([ALARM]), aspect="auto")
    scale = LogNorm(low if low < high else high / 10, high)
    image = axes.imshow(shown, norm=scale, cmap="cividis", aspect="auto")
    axes.set_xticks(range(len(columns)), [visible(c) for c in columns])
    axes.set_yticks(range(len(rows)), [visible(r) for r in rows])
    axes.tick_params(length=0, colors=INK)
    axes.spines[:].set_visible(False)
    _title(axes, title)
    figure = axes.get_figure()
    assert figure is not None
    bar = figure.colorbar(image, ax=axes, shrink=0.85, pad=0.02)
    bar.set_label(visible(f"{label}        red: not finite" if ill.any() else label), color=INK)
    bar.outline.set_visible(False)
    return finish(axes, path)


# ------------------------------------------------------------------------------------------- files


class Canvas(Figure):
    """A figure that a notebook shows, as it does its Axes."""

    def __init__(self, width: float, height: float) -> None:
        super().__init__(figsize=(width, height), layout="constrained")

    def add_subplot(self, *args: Any, **options: Any) -> Any:
        return super().add_subplot(*args, **{"axes_class": Plot, **options})

    def _repr_html_(self) -> str:
        return notebook.image(written(self, "svg"))


class Plot(Axes):
    """Axes that a notebook shows as the figure they belong to, and whose title stays clear of the note below it."""

    note_room = 0.0

    def set_title(self, label: str, *args: Any, **options: Any) -> Any:
        return super().set_title(label, *args, **{"pad": 6 + self.note_room, **options})

    def _repr_html_(self) -> str:
        return notebook.image(written(self.figure, "svg"))


def written(figure: Any, kind: str) -> bytes:
    """The bytes of a figure, the same for the same one."""
    undated: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}[kind]
    data = io.BytesIO()
    with (
        matplotlib.rc_context({"svg.hashsalt": "tinygrad-rnn", "svg.fonttype": "none"}),
        np.errstate(all="ignore"),
    ):  # ticks beyond 1e308
        figure.savefig(data, format=kind, dpi=144, bbox_inches="tight", metadata=undated)
    return data.getvalue()


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure whole or not at all; the same figure gives the same bytes.

    Raises
    ------
    ValueError
        If the suffix is none of ``.svg``, ``.png`` and ``.pdf``.
    """
    target = Path(path)
    kind = target.suffix.lower().removeprefix(".")
    if kind not in FORMATS:
        raise ValueError(f"{target}: the name must end in .svg, .png or .pdf")
    return files.write(target, written(figure, kind))


def axes_of(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """The Axes given, or those of a new figure."""
    if ax is not None:
        return ax
    axes: Axes = Canvas(*size).add_subplot()
    return axes


def finish(axes: Axes, path: str | Path | None, *notes: object) -> Path | Axes:
    """Write the figure if there is a path, else hand back its Axes; notes say where what it shows is not finite."""
    figure = axes.get_figure()
    for note in notes:
        if note is not None and figure is not None:
            _warn(axes, figure, str(note))
    if path is None:
        return axes
    assert isinstance(figure, Figure)
    return save(figure, path)


def _warn(axes: Axes, figure: Any, note: str) -> None:
    """Say it once above all of a figure of our own; in somebody else's, which may cut off what stands there, in
    the Axes.
    """
    own = isinstance(figure, Canvas)
    room = 72 * (figure.get_figwidth() if own else 0.9 * axes.get_position().width * figure.figure.get_figwidth())
    lines = "\n".join(map(visible, wrapped(note, room, 9.0)))
    if not own:
        axes.annotate(
            lines,
            (0.01, 0.98),
            xycoords="axes fraction",
            va="top",
            fontsize=9,
            color=ALARM,
            zorder=9,
            bbox={"facecolor": "#FFFFFF", "edgecolor": "none", "alpha": 0.85, "pad": 1.5},
        )
    elif lines not in [one.get_text() for one in figure.texts]:
        above = sum(one.get_text().count("\n") + 1 for one in figure.texts)
        figure.text(
            0.01, 1.0 + 0.17 * above / figure.get_figheight(), lines, ha="left", va="bottom", fontsize=9, color=ALARM
        )

"""Curves and maps of gradient norms, drawn with Matplotlib."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from tinygrad_rnn import files

from .drawing import theme
from .trace import GradientTrace

__all__ = ["Decay", "decay_rate", "plot_decay", "plot_heat_map", "save"]

FORMATS = ("svg", "png", "pdf")
_COLOURS = {"RNN": "#D55E00", "LSTM": "#0072B2", "GRU": "#009E73"}
OTHERS = ("#CC79A7", "#E69F00", "#56B4E9", "#000000", "#D55E00", "#0072B2", "#009E73")
DASHES = ("-", (0, (4, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))
INK, GREY = theme.INK, "#57606A"
_DECADES = 6


class Decay(NamedTuple):
    """How a gradient changes from each timestep to the one before.

    Attributes
    ----------
    factor : float
        What the norm is multiplied by for one step back; below 1 the gradient vanishes, above 1 it explodes.
        NaN if fewer than two norms are positive and finite.
    half_life : float
        The steps back after which half is left, ``log 2 / -log factor``; infinite if nothing is lost, and
        negative if the gradient grows, when its size is the steps after which it has doubled.
    """

    factor: float
    half_life: float

    def __str__(self) -> str:
        if math.isnan(self.factor):
            return "no decay to measure"
        if math.isinf(self.half_life):
            return "×1 a step back"
        what = "half-life" if self.half_life > 0 else "doubles in"
        return f"×{_short(self.factor)} a step back, {what} {_short(abs(self.half_life))} steps"


def decay_rate(norms: npt.ArrayLike) -> Decay:
    """Fit ``log norm`` by a straight line in time (least squares); zeros and what is not finite are left out.

    Parameters
    ----------
    norms : array_like (T,)
        Gradient norms from the first timestep to the last.
    """
    values = np.asarray(norms, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"decay_rate: norms must be (T,), got {values.shape}")
    usable = np.isfinite(values) & (values > 0)
    if usable.sum() < 2:
        return Decay(math.nan, math.nan)
    t = np.flatnonzero(usable).astype(np.float64)
    slope = float(np.polyfit(t - t.mean(), np.log(values[usable]), 1)[0])
    if abs(slope) < 1e-12:
        return Decay(1.0, math.inf)
    return Decay(math.exp(-slope), math.log(2) / slope)


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
    palette = itertools.cycle(OTHERS)
    single = len(found) == 1
    for label, trace in found.items():
        shown = names if names is not None else trace.states
        colours = [_colour(label, palette)] if not single else [_colour(label, palette), *OTHERS]
        for k, name in enumerate(shown):
            colour = colours[k % len(colours)]
            style = DASHES[0 if single else k % len(DASHES)]
            text = name if single else f"{label} {name}" if len(shown) > 1 else label
            _curve(axes, trace.norm(name), visible(text), colour, style, 2.2 if k == 0 else 1.5)
    _dress(axes, found, names)
    return finish(axes, path)


def _colour(label: str, palette: Iterator[str]) -> str:
    """The same colour for the same kind of cell in every picture."""
    known = [colour for kind, colour in sorted(_COLOURS.items(), key=lambda k: -len(k[0])) if kind in label.upper()]
    return known[0] if known else next(palette)


def _curve(axes: Axes, norms: npt.NDArray[np.float64], text: str, colour: str, style: Any, width: float) -> None:
    t = np.arange(len(norms))
    shown = np.where(np.isfinite(norms) & (norms > 0), norms, np.nan)
    marker = "o" if len(norms) <= 30 else None
    axes.plot(t, shown, color=colour, linestyle=style, linewidth=width, marker=marker, markersize=3.5,
              label=f"{text}: {decay_rate(norms)}")  # fmt: skip
    for mark, hit, y in (("v", norms == 0, 0.015), ("x", ~np.isfinite(norms), 0.985)):
        if hit.any():
            what = "exactly 0" if mark == "v" else "not finite"
            axes.scatter(t[hit], np.full(hit.sum(), y), color=colour, marker=mark, s=22, clip_on=False,
                         transform=axes.get_xaxis_transform(), label=f"{text}: {what} at {hit.sum()} {'step' if hit.sum() == 1 else 'steps'}", zorder=5)  # fmt: skip


def _dress(axes: Axes, traces: Mapping[str, GradientTrace], names: Sequence[str] | None) -> None:
    """Title, axes, the direction of flow and the initialisation."""
    steps = max(trace.steps for trace in traces.values())
    what = {name.rpartition("/")[2] for name in names} if names is not None else {"state"}
    subject = f"{next(iter(what))}_t" if len(what) == 1 and names is not None else "state_t"
    along_time(axes, subject)
    if len(traces) == 1:
        axes.set_title(visible(f"{next(iter(traces))}: gradient of the loss along time"), loc="left", color=INK, fontsize=11)
    else:
        axes.set_title("Gradient of the loss along time", loc="left", color=INK, fontsize=11)
    axes.set_xlim(-0.02 * steps - 0.5, steps - 0.5 + 0.02 * steps)
    kinds = {label: trace.initialisation for label, trace in traces.items()}
    if len(set(kinds.values())) == 1:
        note = f"initialisation: {next(iter(kinds.values()))}"
    else:
        note = "initialisation: " + ", ".join(f"{label} {kind}" for label, kind in kinds.items())
    axes.annotate(visible(note), (1.0, 1.01), xycoords="axes fraction", ha="right", va="bottom", fontsize=8, color=GREY)
    axes.legend(frameon=False, fontsize=8.5, labelcolor=INK)


def along_time(axes: Axes, subject: str) -> None:
    """Axes for norms of the gradient by `subject`, such as ``h_t``, against time."""
    axes.set_yscale("log")
    axes.set_xlabel("timestep t        (the gradient flows from right to left)", color=INK)
    axes.set_ylabel(visible(f"‖∂L/∂{subject}‖₂"), color=INK)
    plain_axes(axes)


def plain_axes(axes: Axes) -> None:
    """A light grid, and no box."""
    axes.set_axisbelow(True)
    axes.grid(True, which="major", color="#D8DEE4", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=GREY)


def head(figure: Figure, title: str, note: str) -> None:
    """A title over a figure of several plots, and in small type what they were made of."""
    figure.suptitle(visible(title), x=0.01, ha="left", color=INK, fontsize=12)
    figure.text(0.995, 0.985, visible(note), ha="right", va="top", fontsize=8, color=GREY)


def mark_zeros(axes: Axes, t: npt.NDArray[Any], hit: npt.NDArray[np.bool_], colour: str | None = None) -> None:
    """Triangles at the lower edge of a logarithmic scale, where a norm is exactly 0."""
    if hit.any():
        axes.scatter(t[hit], np.full(hit.sum(), 0.015), color=colour or GREY, marker="v", s=22, clip_on=False,
                     transform=axes.get_xaxis_transform(), zorder=5)  # fmt: skip


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
        Not negative. What lies below the scale, zeros too, is hatched rather than given a colour.
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
        If the shape does not fit the labels, a value is negative or not finite, or all are 0.
    """
    matrix = np.asarray(values, dtype=np.float64)
    if matrix.shape != (len(rows), len(columns)):
        raise ValueError(f"plot_heat_map: values have shape {matrix.shape}, labels give {(len(rows), len(columns))}")
    if not np.isfinite(matrix).all() or (matrix < 0).any() or not (matrix > 0).any():
        raise ValueError("plot_heat_map: values must be finite, not negative, and not all 0")
    high = float(matrix.max())
    low = max(float(matrix[matrix > 0].min()), high * 10.0**-_DECADES)
    axes = axes_of(ax, (1.9 + 0.52 * len(columns), 1.6 + 0.42 * len(rows)))
    axes.patch.set(hatch="///", facecolor="#FFFFFF", edgecolor="#C8D1DA")
    shown = np.ma.masked_less(matrix, low)
    scale = LogNorm(low if low < high else high / 10, high)
    image = axes.imshow(shown, norm=scale, cmap="cividis", aspect="auto")
    axes.set_xticks(range(len(columns)), [visible(c) for c in columns])
    axes.set_yticks(range(len(rows)), [visible(r) for r in rows])
    axes.tick_params(length=0, colors=INK)
    axes.spines[:].set_visible(False)
    axes.set_title(visible(title), loc="left", fontsize=11, color=INK)
    figure = axes.get_figure()
    assert figure is not None
    bar = figure.colorbar(image, ax=axes, shrink=0.85, pad=0.02)
    bar.set_label(visible(label), color=INK)
    bar.outline.set_visible(False)
    return finish(axes, path)


# ------------------------------------------------------------------------------------------- files


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
    undated: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}[kind]
    data = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "tinygrad-rnn", "svg.fonttype": "none"}):
        figure.savefig(data, format=kind, dpi=144, bbox_inches="tight", metadata=undated)
    return files.write(target, data.getvalue())


def axes_of(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """The Axes given, or those of a new figure."""
    if ax is not None:
        return ax
    figure = Figure(figsize=size, layout="constrained")
    axes: Axes = figure.add_subplot()
    return axes


def finish(axes: Axes, path: str | Path | None) -> Path | Axes:
    """Write the figure if there is a path, else hand back its Axes."""
    if path is None:
        return axes
    figure = axes.get_figure()
    assert isinstance(figure, Figure)
    return save(figure, path)


def visible(text: str) -> str:
    """Text in which Matplotlib finds no mathematics and nothing that cannot be shown."""
    return theme.visible(text).replace("$", r"\$")


def _short(value: float) -> str:
    return f"{value:.3g}"

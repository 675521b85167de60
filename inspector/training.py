"""How far the gradient reaches while a network trains: a hook for tg.fit, and its pictures."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tinygrad_rnn import files
from tinygrad_rnn.plurals import counted
from tinygrad_rnn.training import Step

from .picture.curve_styles import styles
from .picture.paper import Width
from .picture.theme import TIME
from .plots.curves import along_time, curve, log_scale, plain_axes
from .plots.figures import Canvas, axes_of, in_style, save, warn
from .plots.legends import head, legend, legend_below, title
from .plots.maps import colour_bar
from .plots.style import FINE, PANEL, page_at_hand, scaled
from .results import Labelled, Result
from .tracing.decay import decay_rate
from .tracing.sparkline import sparkline
from .tracing.trace import GradientTrace, trace

__all__ = ["DecayRecorder", "animate_training", "plot_snapshots", "plot_training"]

_CURVES, _PLOTS = 6, 12
_NARROW = 130.0
"""How narrow a small plot may be on a page, in points at the usual size of type."""


class DecayRecorder(Result):
    """Records the norm of the gradient at every timestep, every so many training steps.

    Give it to :func:`tinygrad_rnn.fit` as one of the `hooks`. Each record costs about one backward pass more.

    Parameters
    ----------
    every : int
        Training steps between two records; the first step is always recorded.
    names : sequence of str or "all", optional
        What to record; the states when omitted. A name may be that of any gate, or of a parameter, of which the norm of
        each timestep's share is recorded. ``"all"`` are the inputs, all states, gates and parameters.

    Attributes
    ----------
    steps : list of int
        The training steps recorded.
    curves : dict of str to list of (T,) arrays
        For each name the norms of dL/d(name)_t at those steps, over batch and units; for a parameter of timestep t's
        share of its gradient.
    not_finite : str or None
        The first training step recorded at which the run or its gradient was not finite, and where.

    Raises
    ------
    ValueError
        If `every` is not a positive number of steps, or `names` a single name.

    Examples
    --------
    >>> import inspector
    >>> import tinygrad_rnn as tg
    >>> task = tg.tasks.ModernAdding(T=10)
    >>> model = tg.models.SequenceModel(tg.cells.LSTMCell(2, 4, seed=0), 1, seed=0)
    >>> recorder = inspector.DecayRecorder(every=10)
    >>> history = tg.fit(model, task, steps=20, hooks=[recorder])
    >>> recorder.steps, len(recorder.curves["h"]), recorder.curves["h"][0].shape
    ([1, 10, 20], 3, (10,))
    """

    def __init__(self, every: int = 100, names: Sequence[str] | str | None = None) -> None:
        if isinstance(names, str) and names != "all":
            raise ValueError(f"DecayRecorder: names must be a sequence of names or 'all', got {names!r}")
        if not isinstance(every, (int, np.integer)) or every < 1:
            raise ValueError(f"DecayRecorder: every must be a positive number of steps, got {every!r}")
        self.every = int(every)
        self.names = names
        self.not_finite: str | None = None
        self.steps: list[int] = []
        self.curves: dict[str, list[npt.NDArray[np.float64]]] = {}

    def __call__(self, step: Step) -> None:
        if step.number != 1 and step.number % self.every:
            return
        self.record(step.number, {"": trace(step.prediction.run, step.loss)})

    def record(self, number: int, traces: Mapping[str, GradientTrace]) -> None:
        """Record a training step.

        Parameters
        ----------
        number : int
        traces : mapping of str to GradientTrace
            By what stands in front of their names.
        """
        self.steps.append(number)
        for prefix, found in traces.items():
            if self.not_finite is None and found.not_finite is not None:
                self.not_finite = f"training step {number}: {found.not_finite}"
            self._take(prefix, found)

    def _take(self, prefix: str, found: GradientTrace) -> None:
        every = tuple(dict.fromkeys([*found.names, *found.parameters]))
        for name in found.states if self.names is None else every if self.names == "all" else self.names:
            norms = (
                found.parameter_norm(name) if name in found.parameters and name not in found.names else found.norm(name)
            )
            self.curves.setdefault(prefix + name, []).append(norms)

    def state_dict(self) -> dict[str, npt.NDArray[Any]]:
        """What was recorded, for a checkpoint of :func:`tinygrad_rnn.fit`: of each name all curves one after the
        other.
        """
        lengths = [len(curve) for curve in next(iter(self.curves.values()), [])]
        found = {"every": np.array(self.every), "steps": np.array(self.steps, int), "lengths": np.array(lengths, int)}
        return {
            **found,
            **{f"norms.{k}.{name}": np.concatenate(curves) for k, (name, curves) in enumerate(self.curves.items())},
        }

    def load_state_dict(self, mapping: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take up where :meth:`state_dict` left off. Nothing changes unless everything fits.

        Raises
        ------
        ValueError
            If it is no record of a recorder with the same `every` and `names`.
        """
        keys = sorted((int(key.split(".")[1]), key) for key in mapping if key.startswith("norms."))
        curves = {key.split(".", 2)[2]: np.asarray(mapping[key]) for _, key in keys}
        every, steps, lengths = (np.asarray(mapping.get(key, 0.5)) for key in ("every", "steps", "lengths"))
        if (
            any(array.dtype.kind != "i" for array in (every, steps, lengths))
            or steps.ndim != 1
            or steps.shape != lengths.shape
        ):
            raise ValueError(
                "DecayRecorder.load_state_dict: every, steps and lengths must be whole numbers, one a record"
            )
        if every != self.every or (
            steps.size and not isinstance(self.names, (str, type(None))) and list(curves) != list(self.names)
        ):
            raise ValueError(
                f"DecayRecorder.load_state_dict: was made with every={every} and names {list(curves)}, this is {self!r}"
            )
        for name, norms in curves.items():
            if norms.shape != (lengths.sum(),) or norms.dtype.kind != "f" or (lengths < 0).any():
                raise ValueError(
                    f"DecayRecorder.load_state_dict: {name} must hold {counted(lengths.sum(), 'norm')}, got"
                    f" {norms.dtype}{norms.shape}"
                )
        ends = np.cumsum(lengths)
        self.steps = steps.tolist()
        self.curves = {
            name: [norms[end - size : end] for end, size in zip(ends, lengths, strict=True)]
            for name, norms in curves.items()
        }

    def __repr__(self) -> str:
        return f"DecayRecorder(every={self.every}, names={self.names!r})"

    def plot(self, ax: Axes | None = None, name: str | None = None, *, width: Width = None) -> Axes:
        """Plot how the decay changed during training, see :func:`plot_training`."""
        return plot_training(self, ax=ax, name=name, width=width)

    def _text(self) -> str:
        if not self.steps:
            return "no training step recorded yet"
        wide = max(map(len, self.curves))
        lines = [
            f"gradient along time at {counted(len(self.steps), 'training step')}, {self.steps[0]} to {self.steps[-1]}"
        ]
        lines += [
            f"  {name:{wide}}  {sparkline(curves[-1], 40)}  {decay_rate(curves[0])}; at the end"
            f" {decay_rate(curves[-1])}"
            for name, curves in self.curves.items()
        ]
        return "\n".join(lines)

    def tables(self) -> dict[str, Labelled]:
        """The norms of each name by training step and timestep; NaN beyond the end of a shorter sequence."""
        longest = max((len(norms) for curves in self.curves.values() for norms in curves), default=0)
        found = {}
        for name, curves in self.curves.items():
            values = np.full((len(curves), longest), math.nan)
            for row, norms in zip(values, curves, strict=True):
                row[: len(norms)] = norms
            found[name] = Labelled(values, {"step": self.steps, "t": range(longest)}, "gradient norm")
        return found

    def facts(self) -> dict[str, Any]:
        """How often it records."""
        return {"every": self.every}

    def records(self) -> tuple[Sequence[str], Iterable[Sequence[Any]]]:
        """One line for each training step, name and timestep."""
        rows = (
            (step, name, t, float(norm))
            for name, curves in self.curves.items()
            for step, norms in zip(self.steps, curves, strict=True)
            for t, norm in enumerate(norms)
        )
        return ("step", "name", "t", "norm"), rows


@in_style
def plot_training(
    recorder: DecayRecorder,
    path: str | Path | None = None,
    ax: Axes | None = None,
    name: str | None = None,
    *,
    width: Width = None,
) -> Axes:
    """Plot how the decay of the gradient changes during training: a curve a record, coloured by its step.

    Parameters
    ----------
    recorder : DecayRecorder
    path : path, optional
        Where to write the picture, too; the suffix ``.svg``, ``.png`` or ``.pdf`` says what.
    ax : matplotlib Axes, optional
        Where to draw; a new figure when omitted.
    name : str, optional
        What to plot; the first that was recorded when omitted.
    width : float or str, optional
        Of a new figure; as for :func:`plot_decay`.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If nothing was recorded.
    KeyError
        If that name was not.
    """
    name = _recorded(recorder, [name] if name is not None else None, "plot_training")[0]
    axes = axes_of(ax, 8.0, 4.6)
    scale = Normalize(recorder.steps[0], max(recorder.steps[-1], recorder.steps[0] + 1))
    for step, norms in zip(recorder.steps, recorder.curves[name], strict=True):
        axes.plot(np.arange(len(norms)), _positive(norms), color=colormaps[TIME](scale(step)), linewidth=FINE)
    along_time(axes, f"{name}_t")
    title(axes, "Reach of the gradient during training")
    colour_bar(axes, ScalarMappable(scale, TIME), "training step")
    warn(axes, recorder.not_finite)
    if path is not None:
        save(axes.figure, path)
    return axes


@in_style
def plot_snapshots(
    recorder: DecayRecorder,
    path: str | Path | None = None,
    names: Sequence[str] | None = None,
    steps: Sequence[int] | None = None,
    *,
    width: Width = None,
) -> Figure:
    """Plot the decay of the gradient as small multiples: a plot a training step, all on the same axes.

    Parameters
    ----------
    recorder : DecayRecorder
    path : path, optional
        Where to write the picture, too; the suffix ``.svg``, ``.png`` or ``.pdf`` says what.
    names : sequence of str, optional
        What to plot, a curve each; all that was recorded, six at most, when omitted.
    steps : sequence of int, optional
        Which of the recorded training steps; when omitted twelve at most, from the first to the last.
    width : float or str, optional
        As for :func:`plot_decay`.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If nothing was recorded, or not at one of `steps`.
    KeyError
        If one of `names` was not.
    """
    names = _recorded(recorder, names, "plot_snapshots")[:_CURVES]
    chosen = list(steps) if steps is not None else [recorder.steps[k] for k in _spread(len(recorder.steps), _PLOTS)]
    if not chosen or not set(chosen) <= set(recorder.steps):
        raise ValueError(
            f"plot_snapshots: choose from the recorded steps {', '.join(map(str, recorder.steps))}, got {chosen}"
        )
    page = page_at_hand()
    columns = min(4, len(chosen), max(1, int(page.width / scaled(_NARROW))) if page else 4)
    rows = math.ceil(len(chosen) / columns)
    figure = Canvas(1.0 + 2.1 * columns, 1.2 + 1.6 * rows)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).reshape(-1)
    lines = [_snapshot(axes, recorder, names, step) for axes, step in zip(grid, chosen, strict=False)]
    for axes in grid[len(chosen) :]:
        axes.set_visible(False)
    head(figure, "Reach of the gradient during training")
    for axes in grid[columns * (rows - 1) : len(chosen)]:
        axes.set_xlabel("timestep t")
    figure.supylabel("‖∂L/∂·_t‖₂", fontsize="medium")
    legend_below(figure, lines[0])
    warn(grid[0], recorder.not_finite)
    if path is not None:
        save(figure, path)
    return figure


@in_style
def animate_training(
    recorder: DecayRecorder, path: str | Path, names: Sequence[str] | None = None, seconds: float = 0.25
) -> Path:
    """Write an animated GIF of the decay of the gradient, a frame a recorded training step.

    Parameters
    ----------
    recorder : DecayRecorder
    path : path
        Ends in ``.gif``.
    names : sequence of str, optional
        As for :func:`plot_snapshots`.
    seconds : float
        How long a frame stands.

    Returns
    -------
    Path

    Raises
    ------
    ValueError
        If nothing was recorded, the suffix is another, or Pillow, which writes the GIF, is not installed.
    KeyError
        If one of `names` was not recorded.
    """
    names = _recorded(recorder, names, "animate_training")[:_CURVES]
    files.suffix_of(path, ["gif"])
    try:
        from PIL import Image
    except ModuleNotFoundError:
        raise ValueError(
            "animate_training: writing a GIF needs Pillow: pip install pillow; plot_snapshots does without"
        ) from None
    every = np.concatenate([_positive(curve) for name in names for curve in recorder.curves[name]])
    frames = []
    for step in recorder.steps:
        figure = Canvas(6.4, 3.8)
        axes = figure.add_subplot()
        lines = _snapshot(axes, recorder, names, step)
        along_time(axes, f"{names[0]}_t" if len(names) == 1 else "·_t")
        if np.isfinite(every).any():
            axes.set_ylim(np.nanmin(every) / 2, np.nanmax(every) * 2)
        legend(axes, lines)
        frame = io.BytesIO()
        figure.savefig(frame, format="png", dpi=96)
        frames.append(Image.open(frame).convert("P", palette=Image.Palette.ADAPTIVE))
    film = io.BytesIO()
    frames[0].save(film, format="gif", save_all=True, append_images=frames[1:], duration=round(1000 * seconds), loop=0)
    return files.write(path, film.getvalue())


def _snapshot(axes: Axes, recorder: DecayRecorder, names: Sequence[str], step: int) -> list[Line2D]:
    """The curves of one training step."""
    at, looks = recorder.steps.index(step), styles(recorder.curves)
    curves = {name: recorder.curves[name][at] for name in names}
    lines = [
        curve(axes, np.arange(len(norms)), norms, looks[name], name, linewidth=FINE) for name, norms in curves.items()
    ]
    log_scale(axes, np.concatenate([one for name in names for one in recorder.curves[name]]))
    plain_axes(axes)
    broken = np.any([~np.isfinite(norms) for norms in curves.values()], axis=0).sum()
    axes.set_title(f"step {step:,}" + (f", not finite at {broken} t" if broken else ""), fontsize=scaled(PANEL))
    return lines


def _recorded(recorder: DecayRecorder, names: Sequence[str] | None, who: str) -> list[str]:
    """The names asked for, or all."""
    if not recorder.steps:
        raise ValueError(f"{who}: nothing was recorded; give the recorder to tg.fit as one of its hooks")
    for name in names or ():
        if name not in recorder.curves:
            raise KeyError(f"{who}: {name!r} was not recorded; there are {', '.join(recorder.curves)}")
    return list(names if names is not None else recorder.curves)


def _positive(norms: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.where(np.isfinite(norms) & (norms > 0), norms, math.nan)


def _spread(count: int, most: int) -> list[int]:
    """Places from the first to the last, `most` of them."""
    return sorted({round(float(k)) for k in np.linspace(0, count - 1, min(count, most))})

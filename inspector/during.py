"""How far the gradient reaches while a network trains: a hook for tg.fit, and its picture."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from tinygrad_rnn import files
from tinygrad_rnn.training import Step

from . import plot
from .trace import trace

__all__ = ["DecayRecorder", "plot_training"]


class DecayRecorder:
    """Records the norm of the gradient at every timestep, every so many training steps.

    Give it to :func:`tinygrad_rnn.fit` as one of the `hooks`. Each record costs about one backward pass more.

    Parameters
    ----------
    every : int
        Training steps between two records; the first step is always recorded.
    names : sequence of str, optional
        What to record; the states when omitted. A name may be that of any gate.

    Attributes
    ----------
    steps : list of int
        The training steps recorded.
    curves : dict of str to list of (T,) arrays
        For each name the norms of dL/d(name)_t at those steps, over batch and units.

    Raises
    ------
    ValueError
        If `every` is not a positive number of steps.

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

    def __init__(self, every: int = 100, names: Sequence[str] | None = None) -> None:
        if not isinstance(every, (int, np.integer)) or every < 1:
            raise ValueError(f"DecayRecorder: every must be a positive number of steps, got {every!r}")
        self.every = int(every)
        self.names = names
        self.steps: list[int] = []
        self.curves: dict[str, list[npt.NDArray[np.float64]]] = {}

    def __call__(self, step: Step) -> None:
        if step.number != 1 and step.number % self.every:
            return
        found = trace(step.prediction.run, step.loss)
        self.steps.append(step.number)
        for name in self.names if self.names is not None else found.states:
            self.curves.setdefault(name, []).append(found.norm(name))

    def to_csv(self, path: str | Path) -> Path:
        """Write one line for each training step, name and timestep."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["step", "name", "t", "norm"])
        for name, curves in self.curves.items():
            for step, norms in zip(self.steps, curves, strict=True):
                writer.writerows([step, name, t, repr(float(norm))] for t, norm in enumerate(norms))
        return files.write(path, text.getvalue())


def plot_training(
    recorder: DecayRecorder, path: str | Path | None = None, ax: Axes | None = None, name: str | None = None
) -> Path | Axes:
    """Plot how the decay of the gradient changes during training: a curve a record, coloured by its step.

    Parameters
    ----------
    recorder : DecayRecorder
    path : path, optional
        Where to write the picture; the suffix ``.svg``, ``.png`` or ``.pdf`` says what.
    ax : matplotlib Axes, optional
        Where to draw; a new figure when omitted.
    name : str, optional
        What to plot; the first that was recorded when omitted.

    Returns
    -------
    Path or Axes
        The path, if one was given, otherwise the Axes.

    Raises
    ------
    ValueError
        If nothing was recorded.
    KeyError
        If that name was not.
    """
    if not recorder.steps:
        raise ValueError("plot_training: nothing was recorded; give the recorder to tg.fit as one of its hooks")
    name = next(iter(recorder.curves)) if name is None else name
    if name not in recorder.curves:
        raise KeyError(f"plot_training: {name!r} was not recorded; there are {', '.join(recorder.curves)}")
    axes = plot.axes_of(ax, (8.0, 4.6))
    scale = Normalize(recorder.steps[0], max(recorder.steps[-1], recorder.steps[0] + 1))
    for step, norms in zip(recorder.steps, recorder.curves[name], strict=True):
        shown = np.where(np.isfinite(norms) & (norms > 0), norms, math.nan)
        axes.plot(np.arange(len(norms)), shown, color=colormaps["viridis_r"](scale(step)), linewidth=1.4)
    plot.along_time(axes, f"{name}_t")
    axes.set_title("Reach of the gradient during training", loc="left", color=plot.INK, fontsize=11)
    figure = axes.get_figure()
    assert figure is not None
    bar = figure.colorbar(ScalarMappable(scale, "viridis_r"), ax=axes, pad=0.02)
    bar.set_label("training step", color=plot.INK)
    return plot.finish(axes, path)

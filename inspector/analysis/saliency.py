"""Which inputs a score owes itself to: gradient, gradient x input, integrated gradients over a sequence."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from tinygrad_rnn import Graph, Tensor, grad
from tinygrad_rnn.plurals import counted
from tinygrad_rnn.recurrent.unroll import Run

from ..picture.paper import Width
from ..picture.theme import ALARM, GREY, INK, PAPER, SIGNED
from ..plots.curves import base_line, mark_rows, plain_axes
from ..plots.figures import Canvas, axes_of, picture
from ..plots.legends import title
from ..plots.lettering import in_lines, visible
from ..plots.maps import signed_map
from ..plots.style import HAIR, SMALL, TITLE, page_at_hand, scaled
from ..results import Analysis, Labelled
from ..tracing.finite import in_words
from ..tracing.replay import recorded
from ..tracing.sparkline import sparkline
from ..tracing.trace import norms, trace
from .side_by_side import side_by_side

Floats = npt.NDArray[np.float64]

__all__ = ["METHODS", "Saliency", "saliency"]

METHODS = ("gradient_x_input", "integrated", "gradient")
_RULE, _MOST, _CLOSE = 8, 600, 1e-6
_LINE = 48
_WHAT = {"gradient_x_input": "x · ∂score/∂x", "integrated": "integrated gradient", "gradient": "∂score/∂x"}


@dataclass(frozen=True, eq=False)
class Saliency(Analysis):
    """What each input contributes to a score, made by :func:`saliency`.

    Attributes
    ----------
    cell : str
    method : str
    score : float
        Of the run.
    baseline_score : float
        With the baseline in place of the inputs; NaN for ``"gradient"``, which has none.
    residual : float
        The sum of all contributions less the difference of the two scores. It is 0 for a complete method; for
        gradient x input it tells how far from linear the score is.
    inputs : Labelled (t, sequence, feature)
    contributions : Labelled (t, sequence, feature)
    per_step : Labelled (t, sequence)
        Their sum over features; of the gradient its L2 norm.
    labels : Labelled (t,), or None
        What is read at each step, such as a character.
    """

    cell: str
    method: str
    score: float
    baseline_score: float
    residual: float
    inputs: Labelled
    contributions: Labelled
    per_step: Labelled
    labels: Labelled | None = None

    @picture
    def plot(self, ax: Axes | None = None, sequence: int = 0, *, width: Width = None) -> Axes:
        """Plot the contribution of each timestep: on the text itself where steps have labels, else as bars.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw. When omitted a new figure, which without labels also has a map of all features.
        sequence : int
            Which of the batch.
        width : float or str, optional
            Of a new figure; as for :func:`~inspector.plot_decay`.

        Raises
        ------
        KeyError
            If there is no such sequence.
        """
        values = self.per_step["sequence", sequence]
        if self.labels is not None:
            axes = axes_of(ax, 8.4, 1.5 + 0.42 * math.ceil(len(values) / _characters()))
            self._plot_text(axes, values)
        elif ax is None:
            axes, below = Canvas(8.0, 5.0).subplots(2, 1, sharex=True, height_ratios=[1.0, 1.2])
            self._plot_bars(axes, values)
            axes.set_xlabel("")
            self._plot_map(below, self.contributions["sequence", sequence].T)
        else:
            axes = ax
            self._plot_bars(axes, values)
        title(axes, f"What the score owes to each input: {self.method.replace('_', ' ')}", self._sums())
        return axes

    def _plot_bars(self, axes: Axes, values: Floats) -> None:
        heights = np.where(np.isfinite(values), values, 0.0)
        look: Any = {"color": _colours(values), "edgecolor": GREY, "linewidth": HAIR}
        axes.bar(np.arange(len(values)), heights, width=0.86, **look)
        base_line(axes)
        plain_axes(axes)
        if not 1e-4 < _largest(values) < 1e5:
            axes.yaxis.set_major_formatter("{x:.3g}")  # the usual one puts a common power of ten onto the note above
        axes.set_xlim(-0.5, len(values) - 0.5)
        mark_rows(axes, [], [(~np.isfinite(values), ALARM)])
        what = f"{_WHAT[self.method]}_t"
        axes.set(xlabel="timestep t", ylabel=f"‖{what}‖₂" if self.method == "gradient" else what)

    def _plot_map(self, axes: Axes, values: Floats) -> None:
        signed_map(axes, values, _WHAT[self.method])
        axes.set_yticks(range(0, len(values), math.ceil(len(values) / 12)))
        axes.set(xlabel="timestep t", ylabel="feature")

    def _plot_text(self, axes: Axes, values: Floats) -> None:
        """Characters on a ground of their colour, in lines."""
        assert self.labels is not None
        colours, line = _colours(values), _characters()
        rows = math.ceil(len(values) / line)
        for t, (label, colour) in enumerate(zip(self.labels.values.tolist(), colours, strict=True)):
            row, column = divmod(t, line)
            ill = {} if np.isfinite(values[t]) else {"hatch": "xxx", "edgecolor": ALARM, "linewidth": 0}
            look: Any = {"facecolor": colour, "edgecolor": "none", **ill}
            axes.add_patch(Rectangle((column, -row - 0.9), 0.97, 0.8, **look))
            dark = float(np.dot(colour[:3], (0.299, 0.587, 0.114))) < 0.5
            look = {"family": "monospace", "fontsize": scaled(TITLE), "color": PAPER if dark else INK}
            axes.text(column + 0.48, -row - 0.5, visible(_shown(label)), ha="center", va="center", **look)
        axes.set_xlim(0, min(line, len(values)))
        axes.set_ylim(-rows - 0.1, 0.1)
        axes.set_axis_off()
        largest = f"{_largest(values):.3g}" if values[np.isfinite(values)].any() else "0"
        words = (
            f":  violet towards a higher score, orange against it; darkest ±{largest}"
            if (values < 0).any()
            else f": darkest {largest}"
        )
        where: Any = {"xycoords": "axes fraction", "va": "top", "fontsize": scaled(SMALL), "color": GREY}
        says, page = _WHAT[self.method] + words, page_at_hand()
        says = says if page is None else in_lines(says, page.width - 12, scaled(SMALL))
        axes.annotate(says, (0.0, -0.02), **where)

    def _sums(self) -> str:
        if self.method == "gradient":
            return f"score {in_words(self.score)}"
        missed = (
            f"contributions miss the difference by {self.residual:.2g}"
            if math.isfinite(self.residual)
            else "their difference is not finite"
        )
        return f"score {in_words(self.score)}, of the baseline {in_words(self.baseline_score)}; {missed}"

    def _lines(self, sequence: Any) -> list[str]:
        """Under each line of text how much every step contributes, and a minus where that is against the score."""
        values, lines = self.per_step["sequence", sequence], []
        for start in range(0, len(values), _LINE):
            part = slice(start, start + _LINE)
            if self.labels is not None:
                lines.append("".join(visible(_shown(label))[:1] for label in self.labels.values[part].tolist()))
            lines.append(sparkline(np.abs([*values[part], 0.0, _largest(values)]), _LINE + 2, log=False)[:-2])
            lines.append("".join("−" if value < 0 else " " for value in values[part]))
        return [f"sequence {sequence}", *(line.rstrip() for line in lines if line.strip()), ""]

    def _text(self) -> str:
        lines = [f"{self.cell}: what the score owes to each input, {self.method.replace('_', ' ')}", self._sums(), ""]
        for sequence in self.per_step.axes["sequence"]:
            lines += self._lines(sequence)
        sums = self.per_step.values.sum(axis=1)
        sizes, most = np.abs(self.per_step.values).sum(axis=1), []
        for t in [t for t in np.argsort(-sizes, kind="stable").tolist() if 0 < sizes[t] < np.inf][:3]:
            label = f" {self.labels.values[t]!r}" if self.labels is not None else ""
            most.append(f"t = {t}{label} ({sums[t]:.3g})")
        ill = int((~np.isfinite(sizes)).sum())
        told = ["most at " + ", ".join(most)] if most else ["no input contributes"] if not ill else []
        return "\n".join(
            [*lines, *told, *([f"not finite at {ill} of {counted(len(sizes), 'timestep')}"] if ill else [])]
        )


@np.errstate(all="ignore")
def saliency(
    run: Run,
    score: Tensor,
    method: str = "gradient_x_input",
    *,
    baseline: Any = None,
    points: int | None = None,
    labels: Sequence[str] | None = None,
) -> Saliency:
    """What each feature of each timestep's input contributes to a score.

    Parameters
    ----------
    run : Run
        What :func:`tinygrad_rnn.unroll` returned; a compiled one is replayed step by step.
    score : Tensor
        A single number computed from the run, such as one logit.
    method : {"gradient_x_input", "integrated", "gradient"}
        x · ∂score/∂x; or integrated gradients along the straight line from the baseline to the inputs, all timesteps
        at once, which are complete: they sum to the difference of the two scores (Sundararajan et al. 2017); or the
        gradient alone.
    baseline : array_like, optional
        What the inputs are compared with, of a shape that broadcasts to (T, batch, features); zeros when omitted.
        Gradient x input uses (x - baseline) · ∂score/∂x.
    points : int, optional
        At how many places integrated gradients take the gradient (Gauss-Legendre). When omitted the line is halved
        where it is needed, until on every part of it the contributions sum to the difference of its scores to a
        millionth, or 600 places have been used: a trained net may switch within a small part of the line.
    labels : sequence of str, optional
        What is read at each step, such as its character, for picture and text.

    Returns
    -------
    Saliency

    Raises
    ------
    TypeError
        If `run` is no Run, or `score` no Tensor.
    ValueError
        If `score` is not a single number, or does not depend on the run; if the method is unknown, or labels,
        baseline or points do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> import inspector
    >>> import tinygrad_rnn as tg
    >>> cell = tg.cells.GRUCell(2, 4, seed=0)
    >>> run = tg.unroll(cell, np.random.default_rng(0).normal(size=(10, 1, 2)))
    >>> found = inspector.saliency(run, run.outputs[-1].sum(), "integrated")
    >>> abs(found.residual) < 1e-9
    True
    >>> bool(np.isclose(found.contributions.values.sum(), found.score - found.baseline_score))
    True
    """
    if method not in METHODS:
        raise ValueError(f"saliency: method must be one of {', '.join(METHODS)}, got {method!r}")
    if points is not None and (not isinstance(points, (int, np.integer)) or points < 1):
        raise ValueError(f"saliency: points must be a positive number, got {points!r}")
    run, score = recorded(run, score)
    found = trace(run, score)
    inputs = np.array([x.data for x in run.inputs], np.float64)
    start = _baseline(baseline, inputs)
    if labels is not None and len(labels) != len(run):
        raise ValueError(
            f"saliency: {counted(len(run), 'timestep needs', plural='timesteps need')} as many labels, got"
            f" {len(labels)}"
        )
    slope = np.array([found.gradient("x", t) for t in range(len(run))], np.float64)
    before = residual = math.nan
    if method != "gradient":
        at = _along(run, score, slope)
        before = float(at(start[None])[0][0])
        if method == "integrated":
            slope = _mean_slope(at, start, inputs, points)
        slope = slope * (inputs - start)
        residual = float(slope.sum() - (float(score.item()) - before))
    axes = {"t": range(len(run)), "sequence": range(inputs.shape[1]), "feature": range(inputs.shape[2])}
    short = dict(itertools.islice(axes.items(), 2))
    lengths = norms(slope.reshape(-1, slope.shape[2])).reshape(slope.shape[:2])
    steps = lengths if method == "gradient" else slope.sum(axis=2)
    return Saliency(
        found.label,
        method,
        float(score.item()),
        before,
        residual,
        Labelled(inputs, axes, "x"),
        Labelled(slope, axes, _WHAT[method]),
        Labelled(steps, short, _WHAT[method]),
        None if labels is None else Labelled(np.array(list(labels), dtype=object), {"t": range(len(run))}, "label"),
        not_finite=found.not_finite,
    )


def _baseline(given: Any, inputs: Floats) -> Floats:
    try:
        return np.broadcast_to(np.asarray(0.0 if given is None else given, np.float64), inputs.shape)
    except (TypeError, ValueError):
        raise ValueError(f"saliency: the baseline must broadcast to {inputs.shape}, got {np.shape(given)}") from None


def _along(run: Run, score: Tensor, slope: Floats) -> Callable[[Floats], tuple[Floats, Floats]]:
    """Scores (K,) and gradients with K other inputs: side by side where that gives the score and the gradient
    there are, else in turn.
    """
    graph = Graph(score)
    there = [t for t, x in enumerate(run.inputs) if x in graph]

    def together(inputs: Floats) -> tuple[Floats, Floats]:
        scores, found = side_by_side(score, {run.inputs[t].id: inputs[:, t].astype(run.inputs[t].dtype) for t in there})
        slopes = np.zeros(inputs.shape)
        for t in there:
            slopes[:, t] = found[run.inputs[t].id]
        return scores.astype(np.float64), slopes

    def in_turn(inputs: Floats) -> tuple[Floats, Floats]:
        scores, slopes = np.zeros(len(inputs)), np.zeros(inputs.shape)
        for k, own in enumerate(inputs):
            fed = {t: Tensor(np.array(own[t], run.inputs[t].dtype)) for t in there}
            value = graph.run({run.inputs[t]: x for t, x in fed.items()})
            scores[k] = value.item()
            for t, found in zip(there, grad(value, list(fed.values())), strict=True):
                slopes[k, t] = found.data
        return scores, slopes

    here = np.array([x.data for x in run.inputs], np.float64)
    if not there:
        return in_turn
    try:
        scores, slopes = together(np.stack([here, here]))
    except (TypeError, ValueError):  # an operation that cannot be applied to several values at once
        return in_turn
    rough = 100 * float(np.finfo(score.dtype).eps)
    same = np.allclose(scores, score.item(), rtol=rough, atol=0, equal_nan=True)
    return (
        together
        if same and np.allclose(slopes, slope, rtol=rough, atol=rough * _largest(slope), equal_nan=True)
        else in_turn
    )


def _mean_slope(
    at: Callable[[Floats], tuple[Floats, Floats]], start: Floats, end: Floats, points: int | None
) -> Floats:
    """The mean gradient along the straight line between two inputs."""
    between = end - start
    places, weights = np.polynomial.legendre.leggauss(_RULE if points is None else points)

    def parts(*bounds: tuple[float, float]) -> tuple[Floats, list[Floats]]:
        """The scores at the upper bounds, and the integrals of the gradient between each two."""
        on_line = [0.5 * (low + high) + 0.5 * (high - low) * a for low, high in bounds for a in places.tolist()]
        chosen = np.array([*(high for _, high in bounds), *on_line])
        scores, slopes = at(start + chosen.reshape(-1, *(1,) * start.ndim) * between)
        each = slopes[len(bounds) :].reshape(len(bounds), len(places), *start.shape)
        return scores, [
            0.5 * (high - low) * np.tensordot(weights, slope, 1)
            for (low, high), slope in zip(bounds, each, strict=True)
        ]

    scores, (slope,) = parts((0.0, 1.0))
    if points is not None:
        return slope
    ends = float(at(start[None])[0][0]), float(scores[0])

    def piece(low: float, high: float, first: float, last: float, slope: Floats) -> _Piece:
        return _Piece(-abs(float((slope * between).sum()) - (last - first)), low, high, first, last, slope)

    pieces = [piece(0.0, 1.0, *ends, slope)]
    while len(pieces) * 2 * _RULE < _MOST and -pieces[0].miss > _CLOSE * (abs(ends[0]) + abs(ends[1])):
        worst = heapq.heappop(pieces)
        middle = 0.5 * (worst.low + worst.high)
        scores, slopes = parts((worst.low, middle), (middle, worst.high))
        heapq.heappush(pieces, piece(worst.low, middle, worst.first, float(scores[0]), slopes[0]))
        heapq.heappush(pieces, piece(middle, worst.high, float(scores[0]), worst.last, slopes[1]))
    return sum((one.slope for one in pieces), np.zeros_like(end))


class _Piece(NamedTuple):
    """A part of the line: minus how far its contributions miss the difference of its scores, then where it lies,
    which orders ties.
    """

    miss: float
    low: float
    high: float
    first: float
    last: float
    slope: Floats


def _largest(values: Floats) -> float:
    return float(np.abs(values[np.isfinite(values)]).max(initial=0.0)) or 1.0


def _colours(values: Floats) -> Any:
    return colormaps[SIGNED](0.5 + 0.5 * np.where(np.isfinite(values), values, 0.0) / _largest(values))


def _characters() -> int:
    """How many of the text's characters stand in a line of the picture."""
    page = page_at_hand()
    return _LINE if page is None else max(8, min(_LINE, int(page.width / (1.15 * scaled(TITLE)))))


def _shown(label: str) -> str:
    """A character for one that cannot be seen."""
    return {" ": "␣", "\n": "⏎", "\t": "⇥"}.get(label, label)

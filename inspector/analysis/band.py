"""Band: gradient decay over many initialisations or all sequences of a batch, so that one run is not taken for the
rule.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from tinygrad_rnn import Tensor
from tinygrad_rnn.plurals import counted
from tinygrad_rnn.recurrent.unroll import Run

from ..picture.curve_styles import styles
from ..picture.paper import Width
from ..plots.curves import QUANTILES, along_time, mark_rows, number_formats, quantiles
from ..plots.curves import band as band_of
from ..plots.figures import axes_of, picture
from ..plots.legends import legend, title
from ..results import Analysis, Labelled
from ..tracing.decay import decay_rate
from ..tracing.sparkline import sparkline
from ..tracing.trace import GradientTrace, norms, trace

__all__ = ["Band", "band"]


@dataclass(frozen=True, eq=False)
class Band(Analysis):
    """Made by :func:`band`.

    Attributes
    ----------
    cell, initialisation : str
    over : str
        What differs from curve to curve: ``sequence``, ``member`` of an ensemble, or ``run``.
    norms : Labelled (state, t, over)
        L2 norms of the gradient of the loss by the state.
    quantiles : Labelled (state, quantile, t)
        Of these.
    factor, half_life : Labelled (state, over)
        How each curve decays, see :class:`inspector.Decay`.
    """

    cell: str
    initialisation: str
    over: str
    norms: Labelled
    quantiles: Labelled
    factor: Labelled
    half_life: Labelled

    @property
    def states(self) -> tuple[str, ...]:
        """The names of the states."""
        return tuple(map(str, self.norms.axes["state"]))

    @picture
    def plot(self, ax: Axes | None = None, states: Sequence[str] | None = None, *, width: Width = None) -> Axes:
        """Plot the median and the band over all curves, with lines where number formats underflow.

        Raises
        ------
        KeyError
            If there is no such state.
        """
        axes, looks = axes_of(ax, 8.0, 4.6), styles(self.states)
        lines, zeros, broken = [], [], []
        for name in self.states if states is None else states:
            rows, norms, look = self.quantiles["state", name], self.norms["state", name], looks[name]
            lines.append(band_of(axes, self.norms.axes["t"], rows, look, f"{name}, median: {decay_rate(rows[2])}"))
            zeros.append(((norms == 0).all(axis=1), look.colour))
            broken.append((~np.isfinite(norms).all(axis=1), look.colour))
        along_time(axes, "state_t")
        mark_rows(axes, zeros, broken)
        number_formats(axes)
        title(
            axes,
            f"{self.cell}: gradient of the loss along time, {counted(len(self.norms.axes[self.over]), self.over)}",
            f"initialisation: {self.initialisation}; bands: half and nine tenths of all",
        )
        legend(axes, lines)
        return axes

    def _text(self) -> str:
        wide = max(map(len, self.states))
        lines = [
            f"gradient along time in {self.cell}, {counted(len(self.norms.axes[self.over]), self.over)}, initialisation"
            f" {self.initialisation}"
        ]
        for name in self.states:
            (low,), (middle,), (high,) = quantiles([self.factor["state", name]], (0.05, 0.5, 0.95))
            curve = sparkline(self.quantiles["state", name][2], 40)
            rate = (
                "no decay to measure"
                if math.isnan(middle)
                else f"×{middle:.3g} a step back (5 to 95 %: {low:.3g} to {high:.3g})"
            )
            lines.append(f"  {name:<{wide}}  {curve}  {rate}")
        return "\n".join(lines)


@np.errstate(all="ignore")
def band(run: Run | Sequence[Run], loss: Tensor | Sequence[Tensor]) -> Band:
    """Measure the decay of many gradients side by side.

    Parameters
    ----------
    run : Run, or sequence of Runs
        Of an ensemble, what :func:`tinygrad_rnn.compile` makes of a list of cells: one curve a member. Of any other
        cell: one a sequence of the batch. Several runs of equal length and states: one each.
    loss : Tensor, or sequence of Tensors
        A single number, or one for each run.

    Returns
    -------
    Band

    Raises
    ------
    TypeError, ValueError
        As from :func:`inspector.trace`; ValueError also if there is no run, not one loss for each, or the runs differ
        in length or states.

    Examples
    --------
    >>> import numpy as np
    >>> import inspector
    >>> import tinygrad_rnn as tg
    >>> x = np.ones((20, 1, 2))
    >>> runs = [tg.unroll(tg.cells.GRUCell(2, 3, seed=seed), x) for seed in range(8)]
    >>> inspector.band(runs, [run.outputs[-1].sum() for run in runs]).norms.shape
    (1, 20, 8)
    """
    if isinstance(run, Sequence):
        losses = list(loss) if isinstance(loss, Sequence) else [loss]
        if not run or len(run) != len(losses):
            raise ValueError(
                f"band: {counted(len(run), 'run needs', plural='runs need')} as many losses, at least one; got"
                f" {len(losses)}"
            )
        traces = [trace(one, of) for one, of in zip(run, losses, strict=True)]
        kinds = {(found.steps, found.states) for found in traces}
        if len(kinds) > 1:
            raise ValueError(f"band: runs must be alike in length and states, got {sorted(kinds)}")
        return _measured(
            traces, "run", [np.stack([found.norm(name) for found in traces], axis=1) for name in traces[0].states]
        )
    if not isinstance(loss, Tensor):
        raise TypeError(f"band: one run needs one loss, a Tensor, got {type(loss).__name__}")
    found = trace(run, loss)
    if getattr(run.cell, "members", None) is not None:
        return _measured([found], "member", [found.member_norms(name) for name in found.states])
    rows = [np.stack([norms(found.gradient(name, t)) for t in range(found.steps)]) for name in found.states]
    return _measured([found], "sequence", rows)


def _measured(traces: Sequence[GradientTrace], over: str, curves: list[npt.NDArray[Any]]) -> Band:
    found, values = traces[0], np.stack(curves)
    rates = [[decay_rate(curve) for curve in one.T] for one in values]
    state, steps, each = {"state": found.states}, range(found.steps), {over: range(values.shape[2])}
    return Band(
        found.label,
        found.initialisation,
        over,
        Labelled(values, {**state, "t": steps, **each}, "‖∂L/∂state_t‖₂"),
        Labelled(
            np.stack([quantiles(rows) for rows in values]),
            {**state, "quantile": list(QUANTILES), "t": steps},
            "‖∂L/∂state_t‖₂",
        ),
        Labelled([[rate.factor for rate in row] for row in rates], {**state, **each}, "factor a step back"),
        Labelled([[rate.half_life for rate in row] for row in rates], {**state, **each}, "half-life in steps"),
        not_finite=next((one.not_finite for one in traces if one.not_finite), None),
    )

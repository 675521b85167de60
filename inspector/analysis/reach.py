"""Reach: how far back in time the loss of each step sends its gradient, and what of a gradient is direct."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
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
from ..picture.theme import LIMIT, PAPER
from ..plots.curves import FORMATS, QUANTILES, along_time, band, level, norms_along_time, note, number_formats
from ..plots.figures import axes_of, picture
from ..plots.legends import legend, title
from ..plots.lettering import visible
from ..plots.maps import norm_map
from ..plots.style import DASHED, FINE
from ..results import Analysis, Labelled
from ..tracing.decay import decay_rate
from ..tracing.replay import recorded
from ..tracing.sparkline import sparkline
from ..tracing.trace import behind, check, norms, trace
from ..tracing.values import recorded_values
from .loss_steps import LossSteps

Array = npt.NDArray[np.float64]

__all__ = ["Reach", "reach", "reach_of"]

_LEVELS = {"1/e": math.exp(-1), "1 %": 0.01}


@dataclass(frozen=True, eq=False)
class Reach(Analysis):
    """Made by :func:`reach`. L_s is what the loss reads at step s, L the whole loss.

    States go by name, ``h`` and ``c``, or ``layer0/h``. ``(h, c)`` is the whole state of a cell that has several: the
    gradient by its numbers as independent coordinates, which leaves out what c_t sends through h_t in the same step.

    Attributes
    ----------
    cell, initialisation : str
    loss : float
    map : Labelled (state, s, t)
        The norm of the gradient of L_s by the state at step t, over batch and units.
    share : Labelled (state, s, t)
        ⟨∂L_s/∂state_t, ∂L/∂state_t⟩ / ‖∂L/∂state_t‖²: what L_s adds to the total, with its sign; sums to 1 over s. NaN
        where the total is 0 or not finite.
    total, direct : Labelled (state, t)
        Norms of the gradient of the whole loss, and of that of the own step's L_t alone.
    profile : Labelled (state, quantile, lag)
        How the rows of the map fall with the steps back from s, relative to their largest: quantiles over s.
    horizon : Labelled (state, level, s)
        Steps back after which the gradient of L_s stays at or below that part of its largest norm, ``eps`` being the
        rounding error of the run's dtype; infinite if that lies before the first step, NaN if L_s is nothing.
    memory : Labelled (state, s)
        Effective memory length: the sum of a row of the map relative to its largest, 1/(1-ρ) steps if the gradient
        shrinks by ρ a step.
    half_life : Labelled (state,)
        In steps, of the median profile; negative if it grows, see :class:`inspector.Decay`.
    underflow : Labelled (state, format)
        The steps back after which, by that half-life, the largest norm of the map has sunk to the smallest number of a
        format.
    """

    cell: str
    initialisation: str
    loss: float
    map: Labelled
    share: Labelled
    total: Labelled
    direct: Labelled
    profile: Labelled
    horizon: Labelled
    memory: Labelled
    half_life: Labelled
    underflow: Labelled

    @property
    def states(self) -> tuple[str, ...]:
        """The names of the states."""
        return tuple(map(str, self.map.axes["state"]))

    @picture
    def plot(self, ax: Axes | None = None, state: str | None = None, *, width: Width = None) -> Axes:
        """Draw the map of one state, the last of :attr:`states` when omitted: loss steps downwards, state steps to the
        right.

        Only the loss steps from the first to the last that reach it are shown, and a single one as a curve.

        Raises
        ------
        KeyError
            If there is no such state.
        """
        state = self.states[-1] if state is None else state
        matrix, steps = self.map["state", state], len(self.map.axes["s"])
        readers = np.flatnonzero((matrix != 0).any(axis=1)).tolist()
        if len(readers) == 1:
            return self._plot_row(ax, state, readers[0])
        first, last = (readers[0], readers[-1]) if readers else (0, steps - 1)
        axes = axes_of(ax, 7.6, min(6.2, 1.9 + 0.35 * (last - first + 1)))
        usual = np.where(np.isfinite(matrix), matrix, 0.0)
        before, after = bool(np.tril(usual, -1).any()), bool(np.triu(usual, 1).any())
        possible = np.ones(matrix.shape, bool)
        if not (before and after):
            possible = np.triu(possible) if after else np.tril(possible)
        norm_map(axes, matrix, f"‖∂L_s/∂{state}_t‖₂", 12, possible)
        lines = self._plot_horizons(axes, state, turned=after and not before)
        flow = "        (the gradient flows from the diagonal to the left)" if before or not after else ""
        axes.set(xlim=(-0.5, steps - 0.5), ylim=(last + 0.5, first - 0.5))
        axes.set(xlabel=f"timestep t of the state{flow}", ylabel="timestep s of the loss L_s")
        self._title(axes, "where the loss of each step sends its gradient")
        if readers:
            legend(axes, lines)
        else:
            note(axes, f"no step's loss reaches {state}", 0.98, 0.9)
        return axes

    def _plot_horizons(self, axes: Axes, state: str, turned: bool) -> list[Any]:
        """Lines where the gradient of each step's loss has fallen to a level."""
        lines, s = [], np.arange(len(self.map.axes["s"]))
        for name, style in zip(_LEVELS, ("-", DASHED), strict=True):
            back = self.horizon.sel(state=state, level=name).values
            edge = np.where(np.isfinite(back), s + (0.5 + back if turned else 0.5 - back), np.nan)
            axes.step(edge, s, where="mid", color=PAPER, linewidth=3, zorder=3)
            look: Any = {"color": LIMIT, "linestyle": style, "linewidth": FINE, "zorder": 4}
            lines += axes.step(edge, s, where="mid", label=f"fallen to {name} of its largest", **look)
        return lines

    def _plot_row(self, ax: Axes | None, state: str, s: int) -> Axes:
        """The map of a loss that reads one step alone, as a curve."""
        axes, row = axes_of(ax, 8.0, 4.6), self.map.sel(state=state, s=s).values
        lines = norms_along_time(axes, [(state, row, styles(self.states)[state])], f"{state}_t")
        low, high = axes.get_ylim()
        for name, part in _LEVELS.items() if np.isfinite(row).all() else ():
            if low <= part * row.max() <= high:
                level(axes, part * row.max(), name)
        axes.set_ylabel(visible(f"‖∂L_{s}/∂{state}_t‖₂"))
        what = f"where the loss, which reads step {s} alone, sends its gradient"
        self._title(axes, what, "; dashed: fallen to that part of its largest")
        legend(axes, lines)
        return axes

    def _title(self, axes: Axes, what: str, more: str = "") -> None:
        title(axes, f"{self.cell}: {what}", f"initialisation: {self.initialisation}{more}")

    @picture
    def plot_gradients(
        self, ax: Axes | None = None, states: Sequence[str] | None = None, *, width: Width = None
    ) -> Axes:
        """Plot total and direct gradients along time, with lines where number formats underflow.

        Raises
        ------
        KeyError
            If there is no such state.
        """
        axes, looks = axes_of(ax, 8.0, 4.6), styles(self.states)
        curves = [
            (f"{name} {what}", table["state", name], looks[name].among(k, 2))
            for name in (self.states if states is None else states)
            for k, (table, what) in enumerate(((self.total, "total"), (self.direct, "direct, from L_t alone")))
        ]
        lines = norms_along_time(axes, curves, "state_t")
        number_formats(axes)
        self._title(axes, "total and direct gradient")
        legend(axes, lines)
        return axes

    @picture
    def plot_lags(self, ax: Axes | None = None, states: Sequence[str] | None = None, *, width: Width = None) -> Axes:
        """Plot how the gradient of one step's loss falls with the steps back, median and band over the loss steps.

        Raises
        ------
        KeyError
            If there is no such state.
        """
        axes, looks, lines = axes_of(ax, 8.0, 4.6), styles(self.states), []
        for name in self.states if states is None else states:
            rows = self.profile["state", name]
            text = f"{name}: {decay_rate(rows[2][::-1])}"
            lines.append(band(axes, self.profile.axes["lag"], rows, looks[name], text))
        along_time(axes, "state_t")
        for name, part in _LEVELS.items():
            level(axes, part, name)
        key = "(line: median over loss steps s; bands: half and nine tenths of them)"
        axes.set(xlabel=f"steps back from the loss        {key}", ylabel="‖∂L_s/∂state_t‖₂ relative to its largest")
        self._title(axes, "how far back the loss of one step reaches")
        legend(axes, lines)
        return axes

    def _text(self) -> str:
        wide = max(map(len, self.states))
        lines = [
            f"reach of the loss in {self.cell}, {counted(len(self.map.axes['s']), 'step')}, initialisation"
            f" {self.initialisation}"
        ]
        for name in self.states:
            median = self.profile["state", name][2]
            if np.isnan(median).all():
                ill = not np.isfinite(self.map["state", name]).all()
                lines.append(f"  {name:<{wide}}  {'the gradient is not finite' if ill else 'no loss reaches it'}")
                continue
            median = median[~np.isnan(median)]
            told = [f"{level} after {_steps(_fallen(median, part))}" for level, part in _LEVELS.items()]
            lines.append(
                f"  {name:<{wide}}  {sparkline(median[::-1], 40)}  {decay_rate(median[::-1])}, {', '.join(told)}"
            )
        return "\n".join(lines)


@np.errstate(all="ignore")
def reach(run: Run, loss: Tensor) -> Reach:
    """Take the gradient apart by the step at which the loss reads the run, in batched sweeps over all these steps.

    The loss of step s is whatever it takes from the values that step s has computed; for a sum over outputs, the term
    of that step. A gradient taken at the stacked outputs, as other tools take it, is the direct one only: that Tensor
    stands beside the recurrence.

    Parameters
    ----------
    run : Run
        What :func:`tinygrad_rnn.unroll` returned; of a compiled cell it is run once more step by step.
    loss : Tensor
        A single number computed from the run.

    Returns
    -------
    Reach

    Raises
    ------
    TypeError, ValueError
        As from :func:`inspector.trace`; ValueError also if the run is that of an ensemble.

    Examples
    --------
    >>> import numpy as np
    >>> import inspector
    >>> import tinygrad_rnn as tg
    >>> run = tg.unroll(tg.cells.LSTMCell(2, 3, seed=0), np.ones((20, 1, 2)))
    >>> found = inspector.reach(run, (run.stacked**2).sum())
    >>> found.states
    ('h', 'c', '(h, c)')
    >>> bool(np.allclose(found.share["state", "h"].sum(axis=0), 1.0))
    True
    """
    check(run, loss, "reach")
    cell, initialisation = repr(run.cell), run.cell.initialisation
    run, loss = recorded(run, loss)
    behind(loss, recorded_values(run).values(), "reach")
    parts = LossSteps(run, loss)
    steps, count = range(len(run)), len(parts.names)
    total = np.zeros((count, len(run)))
    directions = {(piece.name, piece.t, piece.tensor): piece.gradient.astype(np.float64) for piece in parts.total()}
    for (name, t, _), gradient in directions.items():
        total[name, t] = math.hypot(total[name, t], float(norms(gradient[None])[0]))
    matrix, share = _by_loss_step(parts, total, directions)
    if not np.isfinite(matrix).all():
        matrix, share = _by_loss_step(parts, total, directions, apart=True)
    share[np.broadcast_to(~((total > 0) & np.isfinite(total))[:, None], share.shape)] = np.nan
    state = {"state": parts.names}
    profile, horizon, memory = _by_lag(matrix, parts.backward, run.cell.dtype)
    lives = np.array([decay_rate(rows[2][::-1]).half_life for rows in profile])
    peaks = np.log2(np.maximum(matrix.max(axis=(1, 2)), 5e-324))[:, None] - np.log2(list(FORMATS.values()))
    return Reach(
        cell,
        initialisation,
        float(loss.item()),
        Labelled(matrix, {**state, "s": steps, "t": steps}, "‖∂L_s/∂state_t‖₂"),
        Labelled(share, {**state, "s": steps, "t": steps}, "⟨∂L_s/∂state_t, ∂L/∂state_t⟩ / ‖∂L/∂state_t‖²"),
        Labelled(total, {**state, "t": steps}, "‖∂L/∂state_t‖₂"),
        Labelled(np.diagonal(matrix, axis1=1, axis2=2), {**state, "t": steps}, "‖∂L_t/∂state_t‖₂"),
        Labelled(
            profile,
            {**state, "quantile": list(QUANTILES), "lag": steps},
            "gradient norm relative to the largest of its loss step",
        ),
        Labelled(horizon, {**state, "level": [*_LEVELS, "eps"], "s": steps}, "steps back until below"),
        Labelled(memory, {**state, "s": steps}, "effective memory length in steps"),
        Labelled(lives, state, "half-life in steps"),
        Labelled(
            np.where(lives[:, None] > 0, peaks * lives[:, None], np.inf),
            {**state, "format": list(FORMATS)},
            "steps back until below the smallest number",
        ),
        not_finite=trace(run, loss).not_finite,
    )


@np.errstate(all="ignore")
def reach_of(parts: LossSteps, name: str, read: Sequence[int]) -> tuple[Array, Array]:
    """The rows of the map of one state for some loss steps, and their horizons at 1 %: of thousands of steps the whole
    map would not fit into memory.
    """
    matrix = _rows_of(parts, name, read, parts.each())
    if not np.isfinite(matrix).all():
        matrix = _rows_of(parts, name, read, parts.each_apart())
    horizon = np.full(len(read), np.nan)
    for k, (s, row) in enumerate(zip(read, matrix, strict=True)):
        lagged = row[s:] if parts.backward[parts.names.index(name)] else row[s::-1]
        if 0 < lagged.max() < np.inf:
            horizon[k] = _fallen(lagged / lagged.max(), _LEVELS["1 %"])
    return matrix, horizon


def _rows_of(parts: LossSteps, name: str, read: Sequence[int], pieces: Iterable[tuple[slice | Array, Any]]) -> Array:
    matrix, place = np.zeros((len(read), parts.steps)), np.full(parts.steps, -1)
    place[list(read)] = range(len(read))
    for rows, piece in pieces:
        wanted = np.flatnonzero(place[rows] >= 0)
        if parts.names[piece.name] == name and len(wanted):
            gradient = piece.gradient[wanted].astype(np.float64, copy=False)
            cells = place[rows][wanted], piece.t
            matrix[cells] = np.hypot(matrix[cells], norms(gradient.reshape(len(wanted), -1)))
    return matrix


def _by_loss_step(
    parts: LossSteps, total: Array, directions: dict[tuple[int, int, int], Array], apart: bool = False
) -> tuple[Array, Array]:
    """The map, and each entry's part in the direction of the total."""
    matrix, share = np.zeros((2, len(parts.names), parts.steps, parts.steps))  # by t, then s: as the pieces come
    for rows, piece in parts.each_apart() if apart else parts.each():
        found = piece.gradient.astype(np.float64, copy=False).reshape(len(piece.gradient), -1)
        place = (piece.name, piece.t, rows)
        matrix[place] = np.hypot(matrix[place], norms(found))
        scale = total[piece.name, piece.t]
        if scale > 0:
            share[place] += found @ (directions[piece.name, piece.t, piece.tensor].reshape(-1) / scale) / scale
    return matrix.swapaxes(1, 2).copy(), share.swapaxes(1, 2).copy()


def _by_lag(matrix: Array, backward: Sequence[bool], dtype: np.dtype[Any]) -> tuple[Array, Array, Array]:
    """Profile, horizon and memory of every map, along the steps back from each loss step."""
    count, steps, _ = matrix.shape
    levels = [*_LEVELS.values(), float(np.finfo(dtype).eps)]
    profile = np.full((count, len(QUANTILES), steps), np.nan)
    horizon = np.full((count, len(levels), steps), np.nan)
    memory = np.full((count, steps), np.nan)
    for k, (one, turned) in enumerate(zip(matrix, backward, strict=True)):
        lagged = np.full((steps, steps), np.nan)
        for s in range(steps):
            row = one[s, s:] if turned else one[s, s::-1]
            if 0 < row.max() < np.inf:
                row = row / row.max()
                lagged[s, : len(row)] = row
                memory[k, s] = row.sum()
                for j, level in enumerate(levels):
                    horizon[k, j, s] = _fallen(row, level)
        profile[k] = _quantiles(lagged, list(QUANTILES.values()))
    return profile, horizon, memory


def _quantiles(columns: Array, levels: Sequence[float]) -> Array:
    """Those of every column, NaNs left out, as :func:`numpy.nanquantile` has them, which takes columns one by one."""
    ordered = np.sort(columns, axis=0)  # NaNs last
    place = np.multiply.outer(levels, np.maximum((~np.isnan(columns)).sum(axis=0) - 1, 0))
    low = place.astype(int)
    below, above = (np.take_along_axis(ordered, k, axis=0) for k in (low, np.ceil(place).astype(int)))
    found: Array = below + (above - below) * (place - low)
    return found


def _fallen(row: Array, level: float) -> float:
    """The steps back after which a row stays at or below a level; infinite if it does not within the run."""
    last = int(np.flatnonzero(row > level)[-1]) + 1
    return last if last < len(row) else math.inf


def _steps(value: float) -> str:
    return counted(value, "step", ".3g") if math.isfinite(value) else "more than all steps"

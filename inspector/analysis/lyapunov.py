"""Lyapunov exponents: the rates at which small changes of the state grow or die in the long run."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from tinygrad_rnn import Cell
from tinygrad_rnn.autodiff.anomaly import kind_of
from tinygrad_rnn.plurals import counted
from tinygrad_rnn.recurrent.stacks import Stacked
from tinygrad_rnn.recurrent.states import leaves_of, rebuild
from tinygrad_rnn.recurrent.unroll import Run, unroll

from ..picture.curve_styles import Style, styles
from ..picture.paper import Width
from ..plots.curves import level, note, plain_axes, whole_steps
from ..plots.figures import picture, side_by_side
from ..plots.legends import head, legend, title
from ..plots.style import FINE, THIN
from ..results import Analysis, Labelled
from ..tracing.finite import NotFinite, first_not_finite, in_words
from ..tracing.sparkline import sparkline
from .step_jacobians import StepMaps

Array = npt.NDArray[np.float64]

__all__ = ["Lyapunov", "lyapunov"]

_CHUNK, _POINTS = 500, 200
"""Steps run at a time, and points of the curves of convergence."""


@dataclass(frozen=True, eq=False)
class Lyapunov(Analysis):
    """Made by :func:`lyapunov`.

    Attributes
    ----------
    cell, initialisation : str
        Empty if only matrices were given.
    steps, discarded : int
        Steps that were averaged over, those that are finite, and steps before them that were not.
    exponents : Labelled (i,)
        λ_i in nats a step, largest first.
    errors : Labelled (i,)
        Standard errors, from the means of blocks of steps of every sequence.
    running : Labelled (step, i)
        The mean up to a step: how they converge.
    half_life : float
        In steps, ``ln 2 / -λ_1``; infinite if λ_1 is 0, negative if changes grow.
    dimension : float
        Kaplan and Yorke's: up to which dimension volumes do not shrink.
    entropy : float
        The sum of the positive exponents, in nats a step.
    """

    cell: str
    initialisation: str
    steps: int
    discarded: int
    exponents: Labelled
    errors: Labelled
    running: Labelled
    half_life: float
    dimension: float
    entropy: float

    @picture
    def plot(self, ax: Axes | None = None, *, width: Width = None) -> Axes:
        """Draw the spectrum with its error bars, and beside it how it converged; given Axes, the spectrum only."""
        if ax is not None:
            self._plot_spectrum(ax)
            title(ax, f"{self.cell}: Lyapunov spectrum")
            return ax
        left, right = side_by_side(11.0, 4.4)
        head(
            left.figure,
            f"{self.cell}: Lyapunov exponents of {counted(self.steps, 'step')}".lstrip(": "),
            f"initialisation: {self.initialisation}" if self.initialisation else "",
        )
        self._plot_spectrum(left)
        self._plot_running(right)
        return left

    def _plot_spectrum(self, axes: Axes) -> None:
        i = np.arange(1, len(self.exponents.values) + 1)
        values = np.where(np.isfinite(self.exponents.values), self.exponents.values, np.nan)
        level(axes, 0.0)
        look: Any = {"color": _looks(1)["λ_1"].colour, "marker": "o", "linewidth": THIN, "elinewidth": FINE}
        axes.errorbar(
            i, values, np.nan_to_num(self.errors.values), capsize=3, markersize=4 if len(i) > 20 else 5, **look
        )
        plain_axes(axes)
        axes.set(xlabel="i", ylabel="Lyapunov exponent λ_i in nats a step")
        whole_steps(axes)
        size = f"dimension {self.dimension:.3g}, entropy {self.entropy:.3g} nats a step"
        lines = [f"λ_1 = {self._largest('.3g')}", self._life(), size] if self.steps else [self._life()]
        note(axes, "\n".join(lines), 0.03, 0.04)

    def _plot_running(self, axes: Axes) -> None:
        lines = []
        for k, (name, look) in enumerate(_looks(min(3, self.running.shape[1])).items()):
            values = self.running.values[:, k]
            lines += axes.plot(self.running.axes["step"], values, label=name, **look.line(len(values)))
        plain_axes(axes)
        axes.set_xscale("log")
        axes.set(xlabel=f"steps averaged over, after {self.discarded} discarded", ylabel="mean of ln |R_ii| so far")
        legend(axes, lines)

    def _largest(self, spec: str) -> str:
        """With its standard error, if there is more than one block of steps to take it from."""
        first, error = float(self.exponents.values[0]), float(self.errors.values[0])
        return f"{first:{spec}} ± {error:.1g}" if math.isfinite(error) else in_words(first, spec, "minus infinity")

    def _life(self) -> str:
        if math.isnan(self.half_life):
            return "nothing finite to measure"
        if self.half_life == 0:
            return "changes die within a step"
        if math.isinf(self.half_life):
            return "changes neither grow nor die"
        return (
            f"half-life {counted(self.half_life, 'step', '.3g')}"
            if self.half_life > 0
            else f"changes double in {counted(-self.half_life, 'step', '.3g')}"
        )

    def _text(self) -> str:
        head = f"Lyapunov exponents of {self.cell or 'given matrices'}"
        if not self.steps:
            return f"{head}: no step after the first {self.discarded} is finite"
        return "\n".join(
            [
                f"{head}, {counted(self.steps, 'step')} after {self.discarded}",
                f"  {sparkline(self.exponents.values, 40, log=False)}",
                f"  largest {self._largest('.4g')} nats a step, {self._life()}",
                (
                    f"  sum {in_words(self.exponents.values.sum(), instead='minus infinity')}, dimension"
                    f" {self.dimension:.3g}, entropy {self.entropy:.3g} nats a step"
                ),
            ]
        )


def _looks(count: int) -> dict[str, Style]:
    return styles(f"λ_{k + 1}" for k in range(count))


@np.errstate(all="ignore")
def lyapunov(
    source: Run | Cell | Stacked | npt.ArrayLike,
    inputs: npt.ArrayLike | None = None,
    *,
    state: Any = None,
    layer: str | None = None,
    count: int | None = None,
    discard: int | None = None,
    blocks: int = 10,
) -> Lyapunov:
    """Measure Lyapunov exponents by QR: J_t Q_{t-1} = Q_t R_t at every step, λ_i the mean of ln |R_ii|.

    Of the full state: for an LSTM (h, c). Benettin et al. 1980; for recurrent networks Vogt et al. 2022.

    Parameters
    ----------
    source : Run, Cell, Stacked or array (T, batch, n, n)
        A run; a cell to be run over `inputs`, however many, a few hundred steps being held at a time; or the Jacobians.
    inputs : array (T, batch, input_size), optional
        For a cell.
    state : state, optional
        Where the cell starts; zeros when omitted.
    layer : str, optional
        As for :func:`~inspector.step_jacobians`.
    count : int, optional
        How many exponents, from the largest on; all when omitted.
    discard : int, optional
        Steps at the start that do not count; a tenth when omitted.
    blocks : int
        Into how many blocks the steps are cut for the standard errors.

    Returns
    -------
    Lyapunov

    Raises
    ------
    TypeError
        If `source` is none of these, or inputs are missing or superfluous.
    ValueError
        As from :func:`~inspector.step_jacobians` and :func:`tinygrad_rnn.unroll`; also if a number is out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> import inspector
    >>> import tinygrad_rnn as tg
    >>> cell = tg.cells.RNNCell(1, 4, nonlinearity="identity", init="orthogonal", seed=0)
    >>> found = inspector.lyapunov(cell, np.ones((100, 1, 1)))
    >>> bool(np.allclose(found.exponents, 0.0))
    True
    """
    ill: list[NotFinite] = []
    matrices, cell = _matrices(source, inputs, state, layer, ill)
    logs: list[Array] = []
    frame: Array | None = None
    for block in matrices:
        size = block.shape[-1]
        if count is not None and not 1 <= count <= size:
            raise ValueError(f"lyapunov: count must lie in 1..{size}, got {count}")
        if frame is None:
            start = np.random.default_rng(0).normal(size=(block.shape[1], size, size if count is None else count))
            frame = np.linalg.qr(start)[0]
        for one in block:
            frame, stretch = np.linalg.qr(one.astype(np.float64) @ frame)
            logs.append(np.log(np.abs(np.diagonal(stretch, axis1=1, axis2=2))))
    first = len(logs) // 10 if discard is None else discard
    if not 0 <= first < len(logs):
        raise ValueError(f"lyapunov: discard must lie in 0..{len(logs) - 1}, got {discard}")
    if blocks < 1:
        raise ValueError(f"lyapunov: blocks must be at least 1, got {blocks}")
    label = repr(cell) + (f", {layer}" if layer else "") if cell is not None else ""
    usable = [rates for rates in logs[first:] if (rates < np.inf).all()]
    found = _averaged(
        label,
        cell.initialisation if cell is not None else "",
        np.stack(usable or [np.full_like(logs[0], np.nan)]),
        first,
        blocks,
        next(iter(ill), None),
    )
    return replace(found, steps=len(usable))


def _matrices(
    source: Any, inputs: Any, state: Any, layer: str | None, ill: list[NotFinite]
) -> tuple[Iterator[npt.NDArray[Any]], Any]:
    """Jacobians (steps, batch, n, n) in the order of processing, block by block, and the cell; `ill` gets what is
    not finite.
    """
    if isinstance(source, (Cell, Stacked)):
        if inputs is None:
            raise TypeError("lyapunov: a cell needs inputs (T, batch, input_size) to run over")
        return _running(source, np.asarray(inputs), state, layer, ill), source
    if inputs is not None or state is not None:
        raise TypeError(f"lyapunov: inputs and state go with a cell, not with {type(source).__name__}")
    if isinstance(source, Run):
        ill += filter(None, [first_not_finite(source)])
        return _of_run(source, layer), source.cell
    try:
        given = np.asarray(source, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"lyapunov: needs a Run, a Cell, a Stacked or matrices, got {type(source).__name__}") from None
    if given.ndim != 4 or given.shape[2] != given.shape[3] or 0 in given.shape:
        raise ValueError(f"lyapunov: matrices must be (T, batch, n, n), got {given.shape}")
    t = next(iter(np.flatnonzero(~np.isfinite(given).all(axis=(1, 2, 3)))), None)
    if t is not None:
        ill.append(NotFinite(kind_of(given[t]), "constant", int(t), None, None, "matrices"))
    return iter([given]), None


def _of_run(run: Run, layer: str | None) -> Iterator[npt.NDArray[Any]]:
    maps = StepMaps(run, layer, "lyapunov")
    for _, found in maps.jacobians(range(len(maps)), last_first=maps.reverse):
        yield found[::-1] if maps.reverse else found


def _running(
    cell: Any, inputs: npt.NDArray[Any], state: Any, layer: str | None, ill: list[NotFinite]
) -> Iterator[npt.NDArray[Any]]:
    for start in range(0, max(len(inputs), 1), _CHUNK):
        run = unroll(cell, inputs[start : start + _CHUNK], state)
        found = first_not_finite(run)
        ill += [replace(found, timestep=start + (found.timestep or 0))] if found is not None else []
        yield from _of_run(run, layer)
        state = rebuild(run.final_state, (np.array(leaf.data) for leaf in leaves_of(run.final_state)))


def _averaged(
    cell: str, initialisation: str, logs: Array, discarded: int, blocks: int, not_finite: NotFinite | None
) -> Lyapunov:
    """The exponents from the local rates (T, batch, k)."""
    exponents = logs.mean(axis=(0, 1))
    order = np.argsort(-exponents, kind="stable")
    logs, exponents = logs[:, :, order], exponents[order]
    means = np.stack([part.mean(axis=0) for part in np.array_split(logs, min(blocks, len(logs)))])
    samples = means.reshape(-1, len(order))
    errors = samples.std(axis=0, ddof=1) / math.sqrt(len(samples)) if len(samples) > 1 else np.full(len(order), np.nan)
    sums = np.cumsum(logs.mean(axis=1), axis=0)
    points = np.unique(np.geomspace(1, len(logs), min(len(logs), _POINTS)).round().astype(int))
    i = {"i": range(1, len(order) + 1)}
    largest = float(exponents[0])
    flat = abs(largest) < 1e-12
    return Lyapunov(
        cell,
        initialisation,
        len(logs),
        discarded,
        Labelled(exponents, i, "Lyapunov exponent in nats a step"),
        Labelled(errors, i, "standard error in nats a step"),
        Labelled(sums[points - 1] / points[:, None], {"step": points.tolist(), **i}, "mean up to a step"),
        math.inf if flat else math.log(2) / -largest,
        _dimension(exponents),
        float(exponents[~(exponents <= 0)].sum()),
        not_finite=not_finite,
    )


def _dimension(exponents: Array) -> float:
    """Kaplan and Yorke's dimension."""
    if np.isnan(exponents).any():
        return math.nan
    sums = np.cumsum(exponents)
    whole = int(np.searchsorted(-sums, 0.0, side="right")) if sums[0] >= 0 else 0
    if whole == 0 or whole == len(exponents):
        return float(whole)
    return whole + float(sums[whole - 1] / -exponents[whole])

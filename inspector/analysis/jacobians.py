"""Jacobians: how each step stretches, turns and flattens small changes of the full state, and what is left after
many.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from tinygrad_rnn.plurals import counted
from tinygrad_rnn.recurrent.unroll import Run

from ..picture.curve_styles import Style, styles
from ..picture.paper import Width
from ..picture.theme import ALARM
from ..plots.curves import level, log_scale, mark_rows, plain_axes, quantiles
from ..plots.figures import Canvas, picture
from ..plots.legends import head, legend
from ..plots.lettering import visible
from ..results import Analysis, Labelled
from ..tracing.finite import first_not_finite, in_words
from ..tracing.sparkline import sparkline
from ..tracing.trace import norms
from .step_jacobians import StepMaps

Array = npt.NDArray[np.float64]

__all__ = ["Jacobians", "effective_rank", "jacobians"]

_LOOKS = styles(("values", "radius", "bound", "rank", "surviving"))
_POWERS, _MATRICES = 50, 40
"""Powers of single Jacobians, and for how many of them: one costs as much as fifty steps."""


@dataclass(frozen=True, eq=False)
class Jacobians(Analysis):
    """Made by :func:`jacobians`. J_t = ∂s_t/∂s_{t-1}, s_t the full state of one cell, T its last step.

    Attributes
    ----------
    cell, initialisation : str
    states : str
        What the full state is made of.
    size : int
        n, its numbers.
    singular_values : Labelled (t, sequence, rank)
        Of J_t, largest first.
    radius : Labelled (t, sequence)
        Spectral radius of J_t, its largest eigenvalue by absolute value.
    non_normality : Labelled (t, sequence)
        Largest singular value of J_t over its spectral radius: 1 for a normal matrix; above, changes can grow although
        all eigenvalues are below 1.
    rank : Labelled (t, sequence)
        Effective rank of J_t, the participation ratio (Σσ²)²/Σσ⁴: how many directions it keeps.
    surviving : Labelled (t, sequence)
        The same of the product ∂s_T/∂s_t.
    product : Labelled (t, sequence)
        ln ‖∂s_T/∂s_t‖₂, the norm of J_T ··· J_{t+1}: natural logarithms, which do not underflow.
    bound : Labelled (t, sequence)
        Its upper bound Σ ln ‖J_k‖₂ over k = t+1 ... T (Pascanu et al. 2013, sec. 2.1, who bound the factors further).
    gap : Labelled (t, sequence)
        (bound - product)/(T - t): by how much the bound is too large, in nats a step; NaN at T.
    transient : Labelled (t, sequence, k)
        ‖J_t^k‖₂: what a step, repeated, makes of a change before its eigenvalues decide; for some of the steps.
    """

    cell: str
    initialisation: str
    states: str
    size: int
    singular_values: Labelled
    radius: Labelled
    non_normality: Labelled
    rank: Labelled
    surviving: Labelled
    product: Labelled
    bound: Labelled
    gap: Labelled
    transient: Labelled

    @picture
    def plot(self, ax: Axes | None = None, *, width: Width = None) -> Axes:
        """Draw singular values, products with their bound, and effective ranks above each other along time.

        Given Axes, the products only. Lines are medians over the sequences, bands nine tenths of them.
        """
        if ax is not None:
            self._plot_products(ax)
            return ax
        figure = Canvas(8.4, 9.0)
        top, middle, bottom = figure.subplots(3, 1, sharex=True)
        head(
            figure,
            f"{self.cell}: Jacobians of the full state {self.states}, n = {self.size}",
            f"initialisation: {self.initialisation}",
        )
        self._plot_values(top)
        self._plot_products(middle, time="")
        self._plot_ranks(bottom)
        return cast(Axes, middle)

    def _plot_values(self, axes: Axes) -> None:
        t, values = self.singular_values.axes["t"], self.singular_values.values
        line = _curve(axes, t, values[:, :, 0], _LOOKS["values"], "largest singular value ‖J_t‖₂", zero=0.0)
        largest = np.asarray(line.get_ydata())
        low, quarter, upper = quantiles(values.reshape(len(values), -1), (0.0, 0.25, 0.75))
        bottom = 1e-6 * float(np.min(largest, initial=1.0, where=largest > 0))
        look: Any = {"color": _LOOKS["values"].colour, "linewidth": 0}
        bands = [
            axes.fill_between(t, np.maximum(down, bottom), np.maximum(up, bottom), alpha=alpha, label=text, **look)
            for down, up, alpha, text in (
                (low, largest, 0.14, "all singular values"),
                (quarter, upper, 0.24, "the middle half of them"),
            )
        ]
        radius = _curve(axes, t, self.radius.values, _LOOKS["radius"], "spectral radius |λ|ₘₐₓ of J_t", zero=0.0)
        level(axes, 1.0)
        log_scale(axes)
        _finish(axes, t, values[:, :, 0], 0.0, _LOOKS["values"], "singular values of J_t", [line, *bands, radius], "")

    def _plot_products(self, axes: Axes, time: str = "timestep t") -> None:
        t, tens, none = self.product.axes["t"], math.log(10.0), -math.inf
        lines = [
            _curve(axes, t, table.values / tens, _LOOKS[look], text, zero=none)
            for table, look, text in (
                (self.bound, "bound", "bound: product of the norms, Π ‖J_k‖₂"),
                (self.product, "values", "truth: norm of the product"),
            )
        ]
        level(axes, 0.0)
        _finish(axes, t, self.product.values, none, _LOOKS["values"], "log₁₀ ‖∂s_T/∂s_t‖₂", lines, time)

    def _plot_ranks(self, axes: Axes) -> None:
        t, values, look = self.rank.axes["t"], self.surviving.values, _LOOKS["surviving"]
        lines = [
            _curve(axes, t, self.rank.values, _LOOKS["rank"], "J_t: directions one step keeps"),
            _curve(axes, t, values, look, "∂s_T/∂s_t: directions that survive to the end"),
        ]
        axes.set_ylim(0, 1.05 * self.size)
        _finish(axes, t, values, 0.0, look, "effective rank (Σσ²)²/Σσ⁴", lines, "timestep t")

    def _text(self) -> str:
        t = self.singular_values.axes["t"]
        median = {
            name: _median(table.values)
            for name, table in self.tables().items()
            if table.axes.keys() == {"t", "sequence"}
        }
        first, bound = (_power(np.median(table.values[_first(self)])) for table in (self.product, self.bound))
        if not np.isfinite(self.singular_values.values).any():
            return (
                f"Jacobians of {self.cell}, state {self.states}, n = {self.size}, {counted(len(t), 'step')}: none is"
                " finite"
            )
        peak = np.fmax.reduce(self.transient.values, axis=(0, 1))
        return "\n".join(
            [
                (
                    f"Jacobians of {self.cell}, state {self.states}, n = {self.size}, {counted(len(t), 'step')},"
                    f" initialisation {self.initialisation}"
                ),
                (
                    f"  ‖∂s_T/∂s_t‖    {sparkline(np.median(self.product.values, axis=1), 40, log=False)}  {first} over"
                    f" all steps, bound {bound}"
                ),
                (
                    f"  one step       largest singular value {_median(self.singular_values.values[:, :, 0]):.3g},"
                    f" spectral radius {median['radius']:.3g}, non-normality"
                    f" {in_words(median['non_normality'], '.3g', 'undefined')}"
                ),
                (
                    f"  directions     effective rank {median['rank']:.3g} of {self.size} for one step,"
                    f" {_median(self.surviving.values[_first(self)]):.3g} for all"
                ),
                f"  repeated step  ‖J^k‖ reaches {float(np.nanmax(peak)):.3g} at k = {int(np.nanargmax(peak))}",
            ]
        )


@np.errstate(all="ignore")
def jacobians(run: Run, layer: str | None = None, steps: slice | None = None) -> Jacobians:
    """Analyse the Jacobians of the full state of a cell, step by step and multiplied.

    Parameters
    ----------
    run, layer, steps
        As for :func:`~inspector.step_jacobians`, which gives the matrices themselves; here a few are held at a time.

    Returns
    -------
    Jacobians

    Raises
    ------
    TypeError, ValueError
        As from :func:`~inspector.step_jacobians`.

    Examples
    --------
    >>> import numpy as np
    >>> import inspector
    >>> import tinygrad_rnn as tg
    >>> cell = tg.cells.RNNCell(2, 3, nonlinearity="identity", init="orthogonal", seed=0)
    >>> found = inspector.jacobians(tg.unroll(cell, np.ones((50, 1, 2))))
    >>> bool(np.allclose(found.singular_values, 1.0)), bool(np.allclose(found.product, 0.0))
    (True, True)
    """
    maps = StepMaps(run, layer, "jacobians")
    chosen = maps.chosen(steps)
    shape = (len(chosen), maps.batch)
    values = np.empty((*shape, maps.size))
    radius, surviving, product, bound = np.empty((4, *shape))
    thinned = np.unique(
        np.linspace(0, len(chosen) - 1, min(len(chosen), max(1, _MATRICES // maps.batch))).round().astype(int)
    )
    powers: dict[int, Array] = {}
    chain, scale, total = (
        np.broadcast_to(np.eye(maps.size), (maps.batch, maps.size, maps.size)),
        np.zeros(maps.batch),
        np.zeros(maps.batch),
    )
    for block, found in maps.jacobians(chosen, last_first=not maps.reverse):
        matrices = found.astype(np.float64)
        for k in range(len(block)) if maps.reverse else reversed(range(len(block))):
            place, one = block[k] - chosen.start, matrices[k]
            left = _each(_singular_values, chain, maps.size)
            with np.errstate(divide="ignore"):
                product[place], bound[place] = scale + np.log(left[:, 0]), total
            surviving[place] = effective_rank(left)
            values[place] = _each(_singular_values, one, maps.size)
            radius[place] = _each(_radii, one)
            if place in thinned:
                powers[place] = _powers(one)
            with np.errstate(divide="ignore"):
                total = total + np.log(values[place, :, 0])
                chain, scale = _scaled(chain @ one, scale)
    axes = {"t": chosen, "sequence": range(maps.batch)}
    with np.errstate(divide="ignore", invalid="ignore"):
        left_to_go = np.arange(len(chosen)) if maps.reverse else np.arange(len(chosen))[::-1]
        gap = np.where(left_to_go[:, None] > 0, (bound - product) / left_to_go[:, None], np.nan)
        normal = np.where(values[:, :, 0] > 0, values[:, :, 0] / radius, np.nan)
    repeated = {**axes, "t": [chosen[place] for place in thinned], "k": range(_POWERS + 1)}
    return Jacobians(
        cell=maps.label,
        initialisation=maps.cell.initialisation,
        states=f"({', '.join(maps.names)})" if len(maps.names) > 1 else maps.names[0],
        size=maps.size,
        singular_values=Labelled(values, {**axes, "rank": range(maps.size)}, "singular value of J_t"),
        radius=Labelled(radius, axes, "spectral radius of J_t"),
        non_normality=Labelled(normal, axes, "largest singular value / spectral radius"),
        rank=Labelled(effective_rank(values), axes, "effective rank of J_t"),
        surviving=Labelled(surviving, axes, "effective rank of ∂s_T/∂s_t"),
        product=Labelled(product, axes, "ln ‖∂s_T/∂s_t‖₂"),
        bound=Labelled(bound, axes, "Σ ln ‖J_k‖₂, k > t"),
        gap=Labelled(gap, axes, "nats a step by which the bound is too large"),
        transient=Labelled(np.stack([powers[place] for place in thinned]), repeated, "‖J_t^k‖₂"),
        not_finite=first_not_finite(run),
    )


def _each(measure: Callable[[Array], Array], matrices: Array, *shape: int) -> Array:
    """A measure of each matrix; NaN for those that are not finite, which LAPACK refuses."""
    found, usable = np.full((len(matrices), *shape), np.nan), np.isfinite(matrices).all(axis=(1, 2))
    if usable.any():
        found[usable] = measure(matrices[usable])
    return found


def _singular_values(matrices: Array) -> Array:
    return np.linalg.svd(matrices, compute_uv=False).astype(np.float64)


def _radii(matrices: Array) -> Array:
    found: Array = np.abs(np.linalg.eigvals(matrices)).max(axis=1)
    return found


def _norms(matrices: Array) -> Array:
    return _singular_values(matrices)[:, 0]


def effective_rank(values: Array) -> Array:
    """The participation ratio ``(Σσ²)²/Σσ⁴`` of singular values along the last axis; 0 where all are 0."""
    largest = values.max(axis=-1, keepdims=True)
    squares = (values / np.where(largest > 0, largest, 1.0)) ** 2
    found: Array = squares.sum(axis=-1) ** 2 / np.where(largest[..., 0] > 0, (squares**2).sum(axis=-1), 1.0)
    return found


def _scaled(chain: Array, scale: Array) -> tuple[Array, Array]:
    """The matrices with their norms taken out, and the logarithms of all that has been."""
    size = norms(chain)
    return chain / np.where(size > 0, size, 1.0)[:, None, None], scale + np.log(size)


def _powers(matrices: Array) -> Array:
    """The norms of the powers 0 ... K of matrices, (batch, K+1)."""
    power, found = np.broadcast_to(np.eye(matrices.shape[-1]), matrices.shape), []
    for _ in range(_POWERS + 1):
        found.append(_each(_norms, power))
        power = power @ matrices
    return np.stack(found, axis=1)


def _first(found: Jacobians) -> int:
    """The place in time that lies farthest from T."""
    return 0 if np.isnan(found.gap.values[-1]).all() else -1


def _median(values: Array) -> float:
    """Of what is finite."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else math.nan


def _power(logarithm: float) -> str:
    """A number given by its natural logarithm, as a power of ten."""
    if math.isnan(logarithm):
        return "not finite"
    return "0" if logarithm == -math.inf else f"10^{logarithm / math.log(10):.1f}"


def _curve(axes: Axes, t: Sequence[Any], values: Array, look: Style, label: str, zero: float | None = None) -> Line2D:
    """A median with its band, over the sequences that are finite there; `zero` is the value that has no place on
    the scale.
    """
    levels = quantiles(np.where(values == zero, np.nan, values), (0.05, 0.5, 0.95))
    if values.shape[1] > 1:
        axes.fill_between(t, levels[0], levels[2], color=look.colour, alpha=0.2, linewidth=0)
    (line,) = axes.plot(t, levels[1], label=visible(label), **look.line(len(values)))
    return line


def _finish(
    axes: Axes, t: Sequence[Any], values: Array, zero: float, look: Style, label: str, handles: list[Any], time: str
) -> None:
    """Marks where a curve is 0 in all sequences, and where it is not finite in one; and what is on the axes."""
    broken = (np.isnan(values) | (values == np.inf)).any(axis=1)
    mark_rows(axes, [((values == zero).all(axis=1), look.colour)], [(broken, ALARM)], first=int(t[0]))
    plain_axes(axes)
    axes.set(xlabel=time, ylabel=label)
    legend(axes, handles)

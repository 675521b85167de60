"""How far gates and other nonlinearities are saturated over time, and which of them kills the gradient."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from tinygrad_rnn import Primitive, Tensor
from tinygrad_rnn.plurals import counted
from tinygrad_rnn.recurrent.unroll import Run

from ..picture.curve_styles import styles
from ..picture.paper import Width
from ..picture.theme import ALARM, GREY, INK, LIMIT, SHARES
from ..plots.curves import QUANTILES, curve, limit, log_scale, mark_rows, note, plain_axes
from ..plots.figures import panels_and_plot, picture
from ..plots.legends import head, legend, title
from ..plots.lettering import shortened, visible
from ..plots.style import DASHED, FINE, KEY, LABEL, SMALL, THIN, page_at_hand, scaled
from ..results import Analysis, Label, Labelled
from ..text import percent
from ..tracing.finite import first_not_finite
from ..tracing.names import states_of
from ..tracing.nonlinearities import Nonlinearity, named_values, nonlinearities
from ..tracing.replay import recorded, step_by_step
from ..tracing.sparkline import sparkline
from ..tracing.trace import trace

Floats = npt.NDArray[np.float64]

__all__ = ["Gates", "gates"]

_LEVELS = tuple(QUANTILES.values())
_SIDES = ("low", "high")
BINS, _SHOWN = 24, 8
_NEAR = 0.05


@dataclass(frozen=True, eq=False)
class Gates(Analysis):
    """How saturated each nonlinearity is at each timestep, made by :func:`gates`.

    Gates are all that a cell names and all nonlinear operations, those without a name too: ``f``, ``tanh(c)``. A
    *nonlinearity* is one of the latter. Statistics are over batch and units, sequences that have ended left out; NaN
    where a gate has no value.

    Attributes
    ----------
    cell, initialisation : str
    steps : int
        T.
    states : tuple of str
        The names of the run's states, in whose colours they are drawn here, too.
    ops : Labelled (gate,)
        The operation that gives it, or ``"handed on"`` for one that stays from an earlier step.
    quantiles : Labelled (gate, t, quantile)
    counts : Labelled (gate, t, bin)
        How many values lie between the edges of each bin.
    edges : Labelled (gate, edge)
        Between the primitive's ``bounds``, 0 to 1 for a sigmoid and -1 to 1 for tanh; otherwise from the least to the
        largest value of all.
    ill : Labelled (gate, t)
        How many values are not finite, and so in no bin.
    saturated : Labelled (nonlinearity, t, side)
        The share of values on the ``"low"`` side, at or below 0.05 (sigmoid), -0.95 (tanh) or 0 (a dead ReLU), and on
        the ``"high"`` side, at or above 0.95: within 0.05 of the primitive's ``bounds``, or at the only one; NaN where
        it has none.
    limits : Labelled (gate, side)
        Those values, at or beyond which it counts as saturated: infinite on a side that has no bound, NaN where the
        primitive has none at all.
    derivatives : Labelled (nonlinearity, t)
        The mean of φ'(z).
    log_ratios : Labelled (nonlinearity, t), or None
        log(‖φ'(z) ∂L/∂φ‖ / ‖∂L/∂φ‖): what the gradient's norm is multiplied by on its way through. NaN where none
        arrives; minus infinity where none leaves; infinity where one of the two is not finite.
    ranking : Labelled (nonlinearity, quantity), or None
        Worst first: ``"mean log ratio"`` over the steps at which a gradient gets through, the ``"factor"`` whose
        logarithm that is, and at how many ``"steps"`` a gradient arrives, is ``"stopped"`` altogether, and is ``"not
        finite"``.
    """

    cell: str
    initialisation: str
    steps: int
    ops: Labelled
    quantiles: Labelled
    counts: Labelled
    edges: Labelled
    ill: Labelled
    saturated: Labelled
    limits: Labelled
    derivatives: Labelled
    log_ratios: Labelled | None = None
    ranking: Labelled | None = None
    states: tuple[str, ...] = ()

    @picture
    def plot(self, ax: Axes | None = None, gates: Sequence[str] | None = None, *, width: Width = None) -> Axes:
        """Plot a strip a gate with the distribution of its values over time, and the mean derivatives below.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw the derivatives alone; a figure with all of it when omitted.
        gates : sequence of str, optional
            Which strips; all nonlinearities when omitted, or all gates where there is none, eight at most.
        width : float or str, optional
            Of a new figure; as for :func:`~inspector.plot_decay`.

        Returns
        -------
        Axes
            Those of the derivatives.

        Raises
        ------
        KeyError
            If there is no such gate.
        """
        if ax is not None:
            self._plot_derivatives(ax)
            return ax
        nonlinear = [str(label) for label in self.derivatives.axes["nonlinearity"]]
        shown = list(gates) if gates is not None else (nonlinear or [str(g) for g in self.ops.axes["gate"]])[:_SHOWN]
        strips, plot = panels_and_plot(len(shown), 8.0, 1.3 + 0.95 * len(shown) + 2.4, 2.3, sharex=True)
        for axes, gate in zip(strips, shown, strict=True):
            self._plot_strip(axes, gate)
        made_of = f"{self.cell}, initialisation: {self.initialisation}"
        keys = "shade: share of values;  line: median;  dotted: 5 % and 95 %;  orange: limits of saturation"
        if page_at_hand() is None:
            head(plot.figure, "Gates over time", made_of)
            (strips[0] if strips else plot).set_title(keys, color=GREY, fontsize=KEY)
        else:
            head(plot.figure, "Gates over time", f"{made_of};  {keys}")
        self._plot_derivatives(plot)
        if strips and strips[-1].get_position().x1 < plot.get_position().x0:
            strips[-1].tick_params(labelbottom=True)
            strips[-1].set_xlabel("timestep t")
        return plot

    def _plot_strip(self, axes: Axes, gate: str) -> None:
        counts, edges, op = self.counts["gate", gate], self.edges["gate", gate], str(self.ops["gate", gate])
        shares = np.where(counts > 0, counts / counts.sum(axis=1, keepdims=True), np.nan)
        t, quantiles = np.arange(self.steps), self.quantiles["gate", gate]
        steps = np.arange(self.steps + 1) - 0.5
        axes.pcolormesh(steps, edges, shares.T, cmap=SHARES, vmin=0, vmax=0.5, rasterized=True)
        axes.plot(t, quantiles[:, 2], color=INK, linewidth=FINE, marker="o" if self.steps == 1 else None)
        axes.plot(t, quantiles[:, [0, 4]], color=INK, linewidth=THIN, linestyle=":")
        words = visible(op)
        limits = self.limits["gate", gate]
        for edge in limits[np.isfinite(limits)]:
            axes.axhline(edge, color=LIMIT, linewidth=THIN, linestyle=DASHED)
        if np.isfinite(limits).any():
            share = self._saturation(gate).sum()
            words += (
                f"\n{percent(share)} {'dead' if np.isinf(limits).any() else 'saturated'}"
                if share >= 0
                else "\nnot finite"
            )
        axes.annotate(words, (1.01, 0.5), xycoords="axes fraction", va="center", fontsize=scaled(KEY))
        axes.set_ylabel(visible(shortened(gate, scaled(110), scaled(LABEL))), rotation=0, ha="right", va="center")
        axes.tick_params(labelsize=scaled(SMALL), labelbottom=False)
        mark_rows(axes, [], [(self.ill["gate", gate] > 0, ALARM)])

    def _plot_derivatives(self, axes: Axes) -> None:
        looks, lines = styles((*self.states, *map(str, self.ops.axes["gate"]))), []
        for label in map(str, (self.ranking or self.derivatives).axes["nonlinearity"]):
            slopes = np.abs(self.derivatives["nonlinearity", label])
            text = label if self.ranking is None else f"{label}: gradient {_passing(_quantities(self.ranking, label))}"
            lines.append(curve(axes, np.arange(len(slopes)), slopes, looks[label], text))
        for ceiling, op, law in ((0.25, "sigmoid", "σ′ ≤ ¼"), (1.0, "tanh", "tanh′ ≤ 1")):
            if op in self.ops.values:
                limit(axes, ceiling, law)
        log_scale(axes)
        low, high = axes.get_ylim()
        axes.set_ylim(min(low, high / 20), high * 1.5)
        axes.set(xlim=(-0.5, self.steps - 0.5), xlabel="timestep t", ylabel="mean φ′(z_t)")
        worst = "; what each leaves of the gradient's norm, worst first" if self.ranking else ""
        title(axes, f"Derivative of each nonlinearity{worst}")
        plain_axes(axes)
        legend(axes, lines)
        if not lines:
            note(axes, "no nonlinearity", 0.5, 0.5)

    def _saturation(self, label: str) -> Floats:
        """The shares on both sides over the whole run."""
        found = self.saturated["nonlinearity", label]
        there = np.isfinite(found).all(axis=1)
        return found[there].mean(axis=0) if there.any() else np.full(2, math.nan)

    def _text(self) -> str:
        lines = [f"{self.cell}: distribution of gates and nonlinearities over {counted(self.steps, 'timestep')}", ""]
        nonlinear = list(self.derivatives.axes["nonlinearity"])
        width = max([len(str(gate)) for gate in self.ops.axes["gate"]], default=0)
        for k, gate in enumerate(self.ops.axes["gate"]):
            edges, counts = self.edges.values[k], self.counts.values[k].sum(axis=0)
            line = (
                f"{gate!s:{width}}  {self.ops.values[k]:9} {edges[0]:6.2g} {sparkline(counts, BINS, log=False)}"
                f" {edges[-1]:<6.2g}"
            )
            ill = int(self.ill.values[k].sum())
            line += f"  {percent(ill / (ill + counts.sum()))} not finite" if ill else ""
            if gate in nonlinear:
                slopes = self.derivatives["nonlinearity", gate]
                line += (
                    f"  mean derivative {np.mean(slopes[np.isfinite(slopes)]):.3g}" if np.isfinite(slopes).any() else ""
                )
                low, high = self._saturation(str(gate))
                line += f", saturated {percent(low)} low, {percent(high)} high" if low >= 0 else ""
            lines.append(line)
        if self.ranking is not None:
            lines += ["", "what the gradient's norm is multiplied by on its way through, worst first"]
            for k, label in enumerate(self.ranking.axes["nonlinearity"], start=1):
                lines.append(f"{k:2}. {label!s:{width}}  {_passing(_quantities(self.ranking, str(label)))}")
        return "\n".join(lines)


@np.errstate(all="ignore")
def gates(run: Run, loss: Tensor | None = None) -> Gates:
    """How the gates of a run are distributed over time, how far they are saturated, and which kills the gradient.

    Parameters
    ----------
    run : Run
        What :func:`tinygrad_rnn.unroll` returned; a compiled one is replayed step by step.
    loss : Tensor, optional
        A single number computed from the run; needed for the ranking.

    Returns
    -------
    Gates

    Raises
    ------
    TypeError
        If `run` is no Run, or `loss` no Tensor.
    ValueError
        If `loss` is not a single number, or does not depend on the run, or the run is that of an ensemble.

    Examples
    --------
    >>> import numpy as np
    >>> import inspector
    >>> import tinygrad_rnn as tg
    >>> cell = tg.cells.LSTMCell(1, 4, seed=0)
    >>> run = tg.unroll(cell, np.random.default_rng(0).normal(size=(30, 1, 1)))
    >>> found = inspector.gates(run, (run.outputs[-1] ** 2).sum())
    >>> sorted(found.derivatives.axes["nonlinearity"])
    ['f', 'g', 'i', 'o', 'tanh(c)']
    >>> bool(found.derivatives["nonlinearity", "f"].max() <= 0.25)
    True
    """
    if not isinstance(run, Run):
        raise TypeError(f"gates: run must be what unroll returned, got {type(run).__name__}")
    if loss is not None:
        run, loss = recorded(run, loss)
    elif any(part.tape is not None for part in run.cells):
        run = step_by_step(run)
    nonlinear = list(nonlinearities(run))
    values: dict[str, dict[int, Floats]] = {}
    for one in nonlinear:
        values.setdefault(one.label, {})[one.t] = one.values
    labels = {"nonlinearity": tuple(values)}
    ops: dict[str, Primitive | None] = {one.label: one.node.op for one in nonlinear}
    for name, t, array in named_values(run):
        values.setdefault(name, {}).setdefault(t, array)
    ops |= {name: _operation(value, t) for (name, t), value in run.names.items() if name in values and name not in ops}
    edges, counts, quantiles, ill = _distributions(values, ops, len(run))
    limits = [_limits(ops[name]) or (math.nan, math.nan) for name in values]
    saturated, slopes = _saturations(nonlinear, labels["nonlinearity"], len(run))
    each: Mapping[str, Sequence[Label]] = {"gate": tuple(values), "t": range(len(run))}
    along: Mapping[str, Sequence[Label]] = {**labels, "t": range(len(run))}
    ratios = (
        None
        if loss is None
        else Labelled(
            _log_ratios(run, loss, nonlinear, labels["nonlinearity"]), along, "log of norm after to norm before"
        )
    )
    return Gates(
        repr(run.cell),
        run.cell.initialisation,
        len(run),
        Labelled([_name(ops[name]) for name in values], {"gate": tuple(values)}, "operation"),
        Labelled(quantiles, {**each, "quantile": _LEVELS}, "value"),
        Labelled(counts, {**each, "bin": range(BINS)}, "values in bin"),
        Labelled(edges, {"gate": tuple(values), "edge": range(BINS + 1)}, "edge of bin"),
        Labelled(ill, each, "values that are not finite"),
        Labelled(saturated, {**along, "side": _SIDES}, "share saturated"),
        Labelled(np.reshape(limits, (-1, 2)), {"gate": tuple(values), "side": _SIDES}, "limit of saturation"),
        Labelled(slopes, along, "mean derivative"),
        ratios,
        None if ratios is None else _ranked(ratios),
        states_of(run),
        not_finite=first_not_finite(run) if loss is None else trace(run, loss).not_finite,
    )


def _operation(value: Tensor, t: int) -> Primitive | None:
    """What gives a value at a timestep; nothing does if it has only been handed on."""
    return value.op if value.timestep == t else None


def _name(op: Primitive | None) -> str:
    return "handed on" if op is None else op.name


def _distributions(
    values: Mapping[str, Mapping[int, Floats]], ops: Mapping[str, Primitive | None], steps: int
) -> tuple[Floats, Floats, Floats, Floats]:
    """Edges of bins, counts, quantiles, and how many values are not finite, of each gate at each step."""
    edges, counts = np.zeros((len(values), BINS + 1)), np.zeros((len(values), steps, BINS), dtype=int)
    quantiles, ill = np.full((len(values), steps, len(_LEVELS)), math.nan), np.zeros((len(values), steps), dtype=int)
    for k, (label, series) in enumerate(values.items()):
        usual = {t: value[np.isfinite(value)] for t, value in series.items()}
        ill[k, list(series)] = [value.size - usual[t].size for t, value in series.items()]
        usual = {t: value for t, value in usual.items() if value.size}
        low, high = _range(ops[label]) or (
            min((float(v.min()) for v in usual.values()), default=0.0),
            max((float(v.max()) for v in usual.values()), default=1.0),
        )
        edges[k] = (
            np.linspace(low, high, BINS + 1)
            if high - low > 1e-9 * abs(high)
            else np.linspace(low - 0.5, high + 0.5, BINS + 1)
        )
        for t, value in usual.items():
            counts[k, t] = np.histogram(value, edges[k])[0]
            quantiles[k, t] = np.quantile(value, _LEVELS)
    return edges, counts, quantiles, ill


def _saturations(nonlinear: Sequence[Nonlinearity], labels: Sequence[str], steps: int) -> tuple[Floats, Floats]:
    """The share saturated on either side, and the mean derivative, of each nonlinearity at each step."""
    place = {label: k for k, label in enumerate(labels)}
    saturated, slopes = np.full((len(labels), steps, 2), math.nan), np.full((len(labels), steps), math.nan)
    for one in nonlinear:
        assert one.node.op is not None
        values, at = one.values, (place[one.label], one.t)
        if not values.size:
            continue
        known = np.isfinite(values)
        if not known.any():
            continue
        slopes[at] = np.mean(one.derivatives[known], dtype=np.float64)
        limits = _limits(one.node.op)
        if limits is not None:
            low, high = limits
            saturated[at] = np.mean(values[known] <= low), np.mean(values[known] >= high)
    return saturated, slopes


def _log_ratios(run: Run, loss: Tensor, nonlinear: Sequence[Nonlinearity], labels: Sequence[str]) -> Floats:
    found = trace(run, loss)
    place = {label: k for k, label in enumerate(labels)}
    ratios = np.full((len(labels), len(run)), math.nan)
    for one in nonlinear:
        before, after = found.node_norms.get(one.node.id, 0.0), found.edge_norms.get((one.node.id, one.operand), 0.0)
        if not (math.isfinite(before) and math.isfinite(after)):
            ratios[place[one.label], one.t] = math.inf
        elif before > 0:
            ratios[place[one.label], one.t] = math.log(after / before) if after > 0 else -math.inf
    return ratios


def _ranked(ratios: Labelled) -> Labelled:
    """The nonlinearities with their means, one that stops the gradient first, and one that nothing reaches last."""
    rows = {}
    for label, row in zip(ratios.axes["nonlinearity"], ratios.values, strict=True):
        through = row[np.isfinite(row)]
        mean = float(through.mean()) if through.size else -math.inf if np.isneginf(row).any() else math.nan
        rows[label] = (
            mean,
            math.exp(mean),
            float(np.sum(~np.isnan(row))),
            float(np.isneginf(row).sum()),
            float(np.isposinf(row).sum()),
        )
    order = sorted(rows, key=lambda label: (math.isnan(rows[label][0]), -rows[label][3], rows[label][0]))
    quantities = ("mean log ratio", "factor", "steps", "stopped", "not finite")
    return Labelled(
        np.array([rows[label] for label in order]).reshape(len(order), len(quantities)),
        {"nonlinearity": order, "quantity": quantities},
        "ranking",
    )


def _quantities(ranking: Labelled, label: str) -> dict[Label, float]:
    return dict(zip(ranking.axes["quantity"], ranking["nonlinearity", label].tolist(), strict=True))


def _passing(numbers: Mapping[Label, float]) -> str:
    if not numbers["steps"]:
        return "no gradient arrives"
    hits = [
        f"{what} at {numbers[what]:.0f} of {counted(numbers['steps'], 'step', '.0f')}"
        for what in ("stopped", "not finite")
        if numbers[what]
    ]
    return ", ".join([*([] if math.isnan(numbers["factor"]) else [f"×{numbers['factor']:.3g}"]), *hits])


def _bounds(op: Primitive | None) -> tuple[float, float] | None:
    return None if op is None else op.bounds


def _range(op: Primitive | None) -> tuple[float, float] | None:
    """What the results of an operation lie between, if it has both ends."""
    bounds = _bounds(op)
    return bounds if bounds is not None and all(map(math.isfinite, bounds)) else None


def _limits(op: Primitive | None) -> tuple[float, float] | None:
    """At or below the first and at or above the second, an operation passes next to no gradient on."""
    found = _range(op)
    return (found[0] + _NEAR, found[1] - _NEAR) if found is not None else _bounds(op)

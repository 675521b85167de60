"""waterfall: which operation takes how much of a gradient on its way from each step to the one before."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from tinygrad_rnn import Graph, Node, Tensor
from tinygrad_rnn.autodiff.ancestry import parts as parts_of
from tinygrad_rnn.recurrent.unroll import Run

from ..picture.curve_styles import styles
from ..picture.paper import Width
from ..picture.theme import GREY, INK, NEUTRAL, PAPER
from ..plots.curves import BACKWARDS, areas, base_line, mark_norms
from ..plots.figures import picture, side_by_side
from ..plots.legends import legend, title
from ..plots.lettering import shortened, visible
from ..plots.style import FINE, HEAVY, KEY, LABEL, THIN, scaled
from ..results import Analysis, Labelled
from ..steps.labels import APPLIED, formula, is_silent, symbol
from ..tracing.finite import NotFinite
from ..tracing.names import is_reversed, names_by_id, recorded, state_values
from ..tracing.sparkline import sparkline
from ..tracing.trace import GradientTrace
from ..tracing.trace import trace as trace_of

__all__ = ["Factor", "Waterfall", "waterfall", "waterfall_of"]

SIDE = "side branches"


class Factor(NamedTuple):
    """What an operation multiplies a gradient by on the way to one of its operands.

    Attributes
    ----------
    text : str
        How it reads: ``× f``, ``× (1 − z)``, ``σ′ of g``, ``weight_hhᵀ``.
    by : str
        What multiplies where that is the whole of it: ``f``, ``(1 − z)``.
    gate : str
        The named value that multiplies, in a stack ``layer0/f``.
    closes : bool
        Whether one less that does.
    slope : str
        The value whose nonlinear function's derivative it is, in a stack ``layer0/h``.
    parameter : str
        The parameter that multiplies.
    """

    text: str
    by: str = ""
    gate: str = ""
    closes: bool = False
    slope: str = ""
    parameter: str = ""


@dataclass(frozen=True, eq=False)
class Waterfall(Analysis):
    """The change of a gradient's norm per step back, split over operations. Made by :func:`waterfall`.

    Attributes
    ----------
    label, state : str
        The cell, and the state that the gradient is followed along.
    parts : Labelled (t, part)
        What each operation adds to ``log(‖∂L/∂s_u‖ / ‖∂L/∂s_t‖)``, where u is the step before t, in nats; the last
        part is that of side branches. NaN where one of both gradients is 0 or not finite.
    mean : Labelled (part,)
        The mean over those timesteps at which there is something to measure.
    total : Labelled (t,)
        The whole log ratio: the sum over the parts.
    norms : Labelled (t,)
        ‖∂L/∂s_t‖, which is 0 or not finite where there is nothing to measure, or the step before is.
    factors : mapping of str to Factor
        What the parts are by their names, but for side branches.
    """

    label: str
    state: str
    parts: Labelled
    mean: Labelled
    total: Labelled
    norms: Labelled
    factors: Mapping[str, Factor] = field(repr=False)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the parts in the order in which the gradient meets them."""
        return tuple(map(str, self.mean.axes["part"]))

    @picture
    def plot(self, ax: Axes | None = None, *, width: Width = None) -> Axes:
        """Draw the mean parts as a waterfall, and beside it the parts at every timestep.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw the mean parts alone.
        width : float or str, optional
            Of a new figure; as for :func:`~inspector.plot_decay`.
        """
        if ax is not None:
            self._plot_bars(ax)
            return ax
        left, right = side_by_side(12.0, 1.9 + 0.42 * max(3.5, len(self.names)), (1, 1.15))
        self._plot_bars(left)
        self._plot_over_time(right)
        return left

    def _fills(self) -> dict[str, dict[str, Any]]:
        """Colour and hatching of each part, and of the total."""
        by = {name: factor.by for name, factor in self.factors.items() if factor.by}
        looks = styles([*by.values(), *(name for name in self.names if name not in by)])
        fills: dict[str, dict[str, Any]] = {}
        for name in self.names:
            look = looks[by.get(name, name)]
            fills[name] = {"facecolor": look.colour, "hatch": look.hatch, "edgecolor": PAPER}
        return {**fills, SIDE: {"facecolor": NEUTRAL}, "total": {"facecolor": INK}}

    def _plot_bars(self, axes: Axes) -> None:
        """Bars that each begin where the one before ended, and the whole below."""
        fills, sizes = self._fills(), np.nan_to_num(self.mean.values)
        ends = np.cumsum(sizes)
        reach = max(float(np.ptp([0.0, *ends])), 1e-12)
        bars = [*zip(self.names, sizes, ends, strict=True), ("total", ends[-1], ends[-1])]
        for k, (name, size, end) in enumerate(bars):
            axes.barh(k, size, left=end - size, height=0.66, **fills[name])
            text = f"{size:+.3f}".replace("-", "−")
            where: Any = {"textcoords": "offset points", "va": "center", "fontsize": scaled(KEY)}
            axes.annotate(text, (max(end, end - size), k), (4, 0), **where)
            if k < len(sizes):
                axes.plot([end, end], [k + 0.33, k + 0.67], color=GREY, linewidth=THIN)
        axes.axvline(0.0, color=INK, linewidth=THIN)
        axes.set_xlim(min(0.0, *ends) - 0.04 * reach, max(0.0, *ends) + 0.16 * reach)
        axes.set_yticks(range(len(bars)), [visible(shortened(name, scaled(160), scaled(LABEL))) for name, _, _ in bars])
        axes.set_ylim(max(len(sizes) + 0.6, 3.6), -0.6)
        axes.set_xlabel("nats a step back: mean of log(‖gradient sent on‖ / ‖received‖)")
        mean = _mean(self.total.values)
        change = "has nothing to measure" if math.isnan(mean) else f"changes ×{math.exp(mean):.3g} a step back"
        title(axes, f"{self.label}: ‖∂L/∂{self.state}_t‖ {change}")
        axes.spines[["left"]].set_visible(False)
        axes.tick_params(axis="y", length=0, colors=INK)

    def _plot_over_time(self, axes: Axes) -> None:
        t = np.asarray(self.parts.axes["t"], dtype=np.float64)
        parts = {name: np.nan_to_num(self.parts["part", name]) for name in self.names}
        areas(axes, np.append(t, t[-1] + 1) - 0.5, parts, self._fills())
        halo: Any = [withStroke(linewidth=HEAVY + THIN, foreground=PAPER)]
        look: Any = {"color": INK, "linewidth": FINE, "path_effects": halo}
        total = axes.step(t, self.total.values, where="mid", label="total", **look)
        title(axes, "The same at every timestep")
        base_line(axes)
        axes.set(xlabel=BACKWARDS, ylabel="nats from t to the step before")
        mark_norms(axes, self.norms.values, first=int(t[0]))
        legend(axes, total)

    def _text(self) -> str:
        total = _mean(self.total.values)
        if math.isnan(total):
            return (
                f"{self.label}: log ‖∂L/∂{self.state}‖ has nothing to measure: of every two steps one has no"
                f" gradient{' that is finite' * bool(self.not_finite)}"
            )
        parts = ", ".join(f"{value:+.3f} {name}" for name, value in _ranked(self))
        return (
            f"{self.label}: log ‖∂L/∂{self.state}‖ changes by {total:+.3f} nats a step back (×{math.exp(total):.3g})\n"
            f"  {sparkline(self.total.values, log=False)}\n  {parts}"
        )


@np.errstate(all="ignore")
def waterfall(run: Run, loss: Tensor, state: str | None = None) -> Waterfall:
    """Split the log ratio of the gradient's norm at a state between consecutive steps over the operations on the way.

    Between a state at one step and at the step before, follow the path on which most gets through. Each operation on
    it counts with ``log(‖e‖ / ‖g‖)``: g is the gradient at its result, e what the operation sends along the path. Where
    other ways join, so that e is not yet the gradient g' at the operand, ``log(‖g'‖ / ‖e‖)`` counts for side branches:
    positive where they add, negative where they cancel. The terms telescope, so they add up to the whole exactly, and
    since every norm is one that is there, nothing depends on an order in which operations would be switched off.

    Parameters
    ----------
    run : Run
    loss : Tensor
        A single number computed from the run.
    state : str, optional
        The state to follow, in a stack ``layer0/c``; when omitted the one along whose paths most gets through.

    Returns
    -------
    Waterfall

    Raises
    ------
    TypeError
        If `run` is no Run, or `loss` no Tensor.
    ValueError
        If `loss` is not a single number or does not depend on any value of the run, or there is only one step.
    KeyError
        If there is no such state.

    Examples
    --------
    >>> import numpy as np
    >>> import inspector
    >>> import tinygrad_rnn as tg
    >>> run = tg.unroll(tg.cells.LSTMCell(2, 3, seed=0), np.ones((9, 1, 2)))
    >>> found = inspector.waterfall(run, run.outputs[-1].sum(), state="c")
    >>> found.names
    ('× f', 'side branches')
    >>> bool(np.allclose(found.parts.values.sum(axis=1), found.total))
    True
    """
    run, loss = recorded(run, loss, "waterfall")
    if len(run) < 2:
        raise ValueError("waterfall: a run of one step has no step before; give it at least two")
    values = state_values(run)
    if state is not None and state not in values:
        raise KeyError(f"waterfall: no state is called {state!r}; there are {', '.join(values)}")
    return waterfall_of(trace_of(run, loss), state)


def waterfall_of(trace: GradientTrace, state: str | None = None) -> Waterfall:
    """:func:`waterfall` of a run of several steps that has been traced, every operation on record."""
    run, names = trace.run, _Names(trace.run, trace.loss)
    found, factors = {}, {}
    for name, series in state_values(run).items():
        if state in (None, name):
            factors[name] = names.factors = {}  # layers have the same names
            found[name] = _falls(trace, names, series, is_reversed(run, name))
    chosen = state if state is not None else max(found, key=lambda name: _kept(found[name]))
    return _result(repr(run.cell), chosen, found[chosen], factors[chosen], trace.not_finite)


class _Fall:
    """One step back: the parts in order, and the whole."""

    def __init__(self, t: int, norm: float, total: float, bars: dict[str, float]) -> None:
        self.t, self.norm, self.total, self.bars = t, norm, total, bars


def _kept(falls: Sequence[_Fall]) -> float:
    """How much the paths themselves let through, on average."""
    kept = [sum(value for name, value in fall.bars.items() if name != SIDE) for fall in falls if len(fall.bars) > 1]
    return sum(kept) / len(kept) if kept else -math.inf


def _falls(trace: GradientTrace, names: _Names, series: Sequence[Tensor], reverse: bool) -> list[_Fall]:
    order = series[::-1] if reverse else series
    steps = range(len(series))[::-1] if reverse else range(len(series))
    found = []
    for (_, earlier), (t, later) in itertools.pairwise(zip(steps, order, strict=True)):
        low, high, norm = _norm(trace, earlier), _norm(trace, later), trace.node_norms.get(later.id, 0.0)
        if not (low and high):
            found.append(_Fall(t, norm, math.nan, {}))
            continue
        total = math.log(low) - math.log(high)
        bars: dict[str, float] = {}
        for node, operand in _dominant(trace, later, earlier):
            name = names.factor(node, operand)
            bars[name] = (
                bars.get(name, 0.0) + math.log(trace.edge_norms[node.id, operand]) - math.log(_norm(trace, node))
            )
        bars[SIDE] = total - sum(bars.values())
        found.append(_Fall(t, norm, total, bars))
    return sorted(found, key=lambda fall: fall.t)


def _norm(trace: GradientTrace, value: Tensor) -> float:
    """The norm of the gradient by a value; 0 where there is none to go on with."""
    norm = trace.node_norms.get(value.id, 0.0)
    return norm if math.isfinite(norm) else 0.0


def _dominant(trace: GradientTrace, later: Tensor, earlier: Tensor) -> list[tuple[Tensor, int]]:
    """The edges of the path from `later` back to `earlier` on which most gets through; empty if there is none.

    Ids are a topological order: when a node is taken from the heap, all that read it have been.
    """
    best: dict[int, tuple[float, Tensor, tuple[Tensor, int] | None]] = {later.id: (0.0, later, None)}
    heap = [-later.id]
    while heap:
        key = -heapq.heappop(heap)
        gain, node, _ = best[key]
        norm = _norm(trace, node)
        if key <= earlier.id or not norm:
            continue
        for operand, value in enumerate(node.inputs):
            through = trace.edge_norms.get((key, operand), 0.0)
            if not isinstance(value, Tensor) or value.id < earlier.id or not through or not math.isfinite(through):
                continue
            candidate = gain + math.log(through) - math.log(norm)
            if value.id not in best:
                heapq.heappush(heap, -value.id)
            if value.id not in best or candidate > best[value.id][0]:
                best[value.id] = (candidate, value, (node, operand))
    edges = []
    step = best[earlier.id][2] if earlier.id in best else None
    while step is not None:
        edges.append(step)
        step = best[step[0].id][2]
    return edges[::-1]


class _Names:
    """What the operations of a run are called in a waterfall."""

    def __init__(self, run: Run, loss: Tensor) -> None:
        ends = [loss, *(value for series in state_values(run).values() for value in series)]
        self.owners, self.graph = parts_of(ends), Graph(ends)
        self.parameters = {parameter.id: name for name, parameter in run.cell.named_parameters()}
        self.full = {key: name for key, (name, _) in names_by_id(run).items()}
        self.factors: dict[str, Factor] = {}

    def factor(self, value: Tensor, operand: int) -> str:
        """How the derivative of a value by one of its operands reads; :attr:`factors` has what it is."""
        factor = self._factor(value, operand)
        return self.factors.setdefault(factor.text, factor).text

    def _factor(self, value: Tensor, operand: int) -> Factor:
        node, owner = self.graph.find(value), self.owners.get(value.id)
        operands = [self.graph.nodes[k] for k in node.inputs]
        sign = symbol(node.op)
        if node.op == "divide" and operand == 1:
            return Factor(f"÷′ of {self._text(node)}")
        if node.op in ("multiply", "divide", "maximum", "minimum", "matmul"):
            other = self._shown(operands[1 - operand])
            text, parameter = self._text(other), self._parameter(other)
            if node.op == "matmul":
                return Factor(f"{text}ᵀ", parameter=parameter)
            if node.op != "multiply":
                return Factor(f"{sign} {text}")
            return Factor(f"{sign} {text}", text, *self._gate(other), parameter=parameter)
        if node.primitive.activation:
            inner, of = operands[0].name, node.name or owner
            if inner and not node.name:
                return Factor(f"{sign}′({inner})")
            return Factor(f"{sign}′ of {of or '…'}", slope=self._full(node) or of or "")
        return Factor(f"{sign} of {owner}" if owner else sign)

    def _gate(self, node: Node) -> tuple[str, bool]:
        """The name of a value, or of what one less it is, and which of both."""
        operands = [self._shown(self.graph.nodes[k]) for k in node.inputs]
        if node.name is None and node.op == "subtract" and operands[0].op == "constant":
            return self._full(operands[1]), bool(np.all(operands[0].value == 1))
        return self._full(node), False

    def _full(self, node: Node) -> str:
        """The name of a value among all of the run; empty if it has none."""
        own = node.name or ""
        return self.full.get(node.tensor.id, own) if node.tensor is not None else own

    def _shown(self, node: Node) -> Node:
        """The value that a nameless slice or view shows."""
        while node.name is None and (node.op == "getitem" or is_silent(node)):
            node = self.graph.nodes[node.inputs[0]]
        return node

    def _text(self, node: Node) -> str:
        """A value in a few signs: its name, a number, or a short expression in brackets where it needs them."""
        return formula(node, self.graph, self._name, "…", depth=2, within=APPLIED) or "…"

    def _parameter(self, node: Node) -> str:
        return self.parameters.get(node.tensor.id, "") if node.tensor is not None else ""

    def _name(self, node: Node) -> str | None:
        return self._parameter(node) or node.name or ("constant" if node.is_leaf and node.value.size > 1 else None)


def _result(
    label: str, state: str, falls: Sequence[_Fall], factors: Mapping[str, Factor], not_finite: NotFinite | None
) -> Waterfall:
    seen = dict.fromkeys(name for fall in falls for name, value in fall.bars.items() if value != 0 and name != SIDE)
    names = (*seen, SIDE)
    table = np.array([[fall.bars.get(name, 0.0) if fall.bars else math.nan for name in names] for fall in falls])
    t = [fall.t for fall in falls]
    return Waterfall(
        label=label,
        state=state,
        parts=Labelled(table, {"t": t, "part": names}, "nats"),
        mean=Labelled([_mean(column) for column in table.T], {"part": names}, "nats"),
        total=Labelled([fall.total for fall in falls], {"t": t}, "nats"),
        norms=Labelled([fall.norm for fall in falls], {"t": t}, "gradient norm"),
        factors={name: factors[name] for name in seen},
        not_finite=not_finite,
    )


def _mean(values: Any) -> float:
    known = np.asarray(values)[np.isfinite(values)]
    return float(known.mean()) if len(known) else math.nan


def _ranked(found: Waterfall) -> Iterator[tuple[str, float]]:
    """The parts that say something, the largest loss first."""
    parts = zip(found.names, found.mean.values.tolist(), strict=True)
    yield from sorted(((name, value) for name, value in parts if math.isfinite(value)), key=lambda part: part[1])

"""path_orders: how much of a gradient crossed a class of edges exactly k times, as from h to the gates."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from matplotlib.axes import Axes

from tinygrad_rnn import Tensor
from tinygrad_rnn.autodiff.ancestry import ancestors
from tinygrad_rnn.autodiff.batching import Batched
from tinygrad_rnn.autodiff.sweep import sweep
from tinygrad_rnn.recurrent.unroll import Run

from ..picture.paper import Width
from ..picture.theme import ALARM, GREY, HATCH, INK, NEGATIVE, POSITIVE
from ..plots.curves import BACKWARDS, base_line, mark_rows, note
from ..plots.figures import axes_of, picture, side_by_side
from ..plots.legends import title
from ..plots.lettering import visible
from ..plots.maps import signed_map
from ..results import Analysis, Labelled
from ..tracing.finite import NotFinite
from ..tracing.lanes import Array, projections
from ..tracing.names import cut_set, first_reached, gates_of, is_reversed, recorded, state_values, states_of, value_at
from ..tracing.sparkline import sparkline
from ..tracing.trace import norms, trace
from ..tracing.values import recorded_values

__all__ = ["PathOrders", "path_orders"]

Names: TypeAlias = str | Sequence[str]
Edges: TypeAlias = tuple[Names, Names] | Callable[[Tensor, Tensor], bool]
_MOST = 32
_LITTLE = 1e-3
_SHARE = "share ⟨part k, g⟩ / ⟨g, g⟩"


@dataclass(frozen=True, eq=False)
class PathOrders(Analysis):
    """The gradient at one value by how often its paths crossed a class of edges. Made by :func:`path_orders`.

    Attributes
    ----------
    label, value, edges : str
        The cell; the value, such as ``c_0``; the class of edges, such as ``h → f, i, g, o``.
    total : float
        The L2 norm of the whole gradient.
    projections : Labelled (order,)
        ``<part, g> / <g, g>`` for the part of the gradient g that crossed exactly k times; they add up to 1. The last
        is called ``≥K`` where paths may cross more often than was told apart.
    norms : Labelled (order,)
        The L2 norm of each part. Norms do not add up: parts may cancel.
    by_step : Labelled (t, order)
        The projections at the value of the same name at every timestep; NaN where there is no gradient.
    totals : Labelled (t,)
        The L2 norm of the whole gradient there.
    parts : Labelled (order, batch, unit)
        The parts themselves, which add up to the gradient. A value of other than two dimensions is one row.
    """

    label: str
    value: str
    edges: str
    total: float
    projections: Labelled
    norms: Labelled
    by_step: Labelled
    totals: Labelled
    parts: Labelled
    _name: str

    @property
    def orders(self) -> tuple[str, ...]:
        """The orders as text."""
        return tuple(map(str, self.projections.axes["order"]))

    @picture
    def plot(self, ax: Axes | None = None, *, width: Width = None) -> Axes:
        """Draw the signed share of every order, and beside it the same for every timestep as a map.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw the shares alone.
        width : float or str, optional
            Of a new figure; as for :func:`~inspector.plot_decay`.
        """
        if ax is not None or len(self.by_step.values) < 2:
            left = axes_of(ax, 6.4, 3.8)
        else:
            left, right = side_by_side(11.5, 4.2, (1, 1.35))
            self._plot_map(right)
        self._plot_bars(left)
        return left

    def _plot_bars(self, axes: Axes) -> None:
        shares = np.nan_to_num(self.projections.values)
        axes.bar(np.arange(len(shares)), shares, color=np.where(shares >= 0, POSITIVE, NEGATIVE).tolist(), width=0.8)
        base_line(axes)
        self._number(axes.xaxis)
        axes.set_xlim(-0.6, self._last_shown() + 0.6)
        axes.set(xlabel=visible(f"order k: how often a path crossed {self.edges}"), ylabel=_SHARE)
        title(axes, f"{self.label}: g = ∂L/∂{self.value} by order")
        if not np.isfinite(self.projections.values).any():
            known = self.total == 0
            note(axes, "g is 0" if known else "g is not finite", 0.5, 0.8, INK if known else ALARM)

    def _plot_map(self, axes: Axes) -> None:
        signed_map(axes, self.by_step.values.T, _SHARE, HATCH, origin="lower", interpolation="none")
        self._number(axes.yaxis)
        axes.set_ylim(-0.5, self._last_shown() + 0.5)
        mark_rows(axes, [], [(~np.isfinite(self.totals.values), ALARM)])
        axes.set(xlabel=BACKWARDS, ylabel="order k")
        title(axes, f"The same for g = ∂L/∂{self._name}_t at every timestep")

    def _last_shown(self) -> int:
        """The highest order with a share worth a place in the picture, at any timestep."""
        table = np.nan_to_num(np.vstack([self.by_step.values, self.projections.values]))
        shown = np.flatnonzero(np.abs(table).max(axis=0) >= _LITTLE).max(initial=1)
        return min(int(shown), len(self.orders) - 1)

    def _number(self, axis: Any) -> None:
        """Ticks at about ten of the orders that are shown; a note where higher ones are left out."""
        last = self._last_shown()
        places = list(range(0, last + 1, max(1, -(-last // 8))))
        if isinstance(self.projections.axes["order"][last], str) and places[-1] != last:  # the open one
            places = [*(k for k in places if last - k > 1), last]
        axis.set_ticks(places, [self.orders[k] for k in places])
        if last + 1 < len(self.orders) and np.isfinite(self.by_step.values).any():
            note(axis.axes, f"higher orders: less than {_LITTLE:.1%} each", 1.0, 0.98, GREY)

    def _text(self) -> str:
        shares = self.projections.values
        norm = f"norm {self.total:.3g}" if math.isfinite(self.total) else "not finite"
        head = f"{self.label}: ∂L/∂{self.value} ({norm}) by how often its paths crossed {self.edges}"
        if not np.isfinite(shares).any():
            return f"{head}\n  {'no gradient arrives' if self.total == 0 else 'nothing to tell apart'}"
        order = np.argsort(-np.abs(np.nan_to_num(shares)))[:5]
        strongest = ", ".join(f"k={self.orders[k]} {shares[k]:.1%}" for k in sorted(order.tolist()) if shares[k])
        return f"{head}\n  k = 0…{self.orders[-1]}  {sparkline(np.nan_to_num(shares), log=False)}  {strongest}"


@np.errstate(all="ignore")
def path_orders(
    run: Run, loss: Tensor, edges: Edges | None = None, wrt: tuple[str, int] | None = None, orders: int | None = None
) -> PathOrders:
    """Split the gradient at a value by how often its paths cross a class of edges: exactly 0, 1, 2, ... times.

    In an LSTM, with the edges from h to the gates, order 0 is what comes back along the cell state alone.

    Give each of those edges a formal weight z, and the gradient becomes a polynomial in z whose coefficient k is the
    part that crossed k times. The reverse sweep carries these coefficients in K + 1 lanes: crossing an edge moves
    each of them up by one, and what leaves lane K - 1 stays in the last, which so holds exactly the orders from K on.
    Nothing is sampled, so nothing is aliased, and small coefficients keep all of their digits.

    Parameters
    ----------
    run : Run
    loss : Tensor
        A single number computed from the run.
    edges : pair of names, or function, optional
        ``(from, to)``: a path crosses when it goes from a value called `from` to one called `to` and meets no other
        named value, state or gate, between. Each is a name, several of them, ``"states"`` or ``"gates"``. Or a function
        of two Tensors, an operand and what was computed from it, that is true for the edges that count. From the
        outputs' states to the gates when omitted; from all states if the next step does not read the output's, and to
        all states if none of the gates does.
    wrt : pair (name, timestep), optional
        Where to take the gradient; when omitted at the first step, by the state that the cell keeps to itself, such as
        c.
    orders : int, optional
        K, how many orders to tell apart; at most 32 when omitted.

    Returns
    -------
    PathOrders

    Raises
    ------
    TypeError
        If `run` is no Run, `loss` no Tensor, or `edges` or `wrt` no such thing.
    ValueError
        If `loss` is not a single number or does not depend on any value of the run, or `orders` is below 1.
    KeyError
        If there is no value of a name.

    Examples
    --------
    >>> import numpy as np
    >>> import inspector
    >>> import tinygrad_rnn as tg
    >>> run = tg.unroll(tg.cells.LSTMCell(2, 3, seed=0), np.ones((4, 1, 2)))
    >>> found = inspector.path_orders(run, run.outputs[-1].sum(), wrt=("c", 0))
    >>> found.edges, found.orders
    ('h → i, f, g, o', ('0', '1', '2', '3'))
    >>> bool(np.isclose(found.projections.values.sum(), 1))
    True
    """
    run, loss = recorded(run, loss, "path_orders")
    if orders is not None and (not isinstance(orders, (int, np.integer)) or isinstance(orders, bool) or orders < 1):
        raise ValueError(f"path_orders: orders must be a positive number, got {orders!r}")
    count = min(len(run), _MOST) if orders is None else int(orders)
    key = wrt if wrt is not None else first_reached(run, loss)
    value, (name, t) = value_at(run, key, "path_orders"), key
    ladder = _ladder(run, loss, edges, count)
    series = {step: v for (own, step), v in recorded_values(run).items() if own == name}
    wanted = {v.id: v for v in series.values()}
    found: dict[int, Array] = {}
    for node, total, _ in sweep([loss], [ladder.start(loss)], list(wanted.values()), edit=ladder.edit):
        if node.id in wanted:
            found[node.id] = ladder.read(node, total)
    zeros = np.zeros((count + 1, *value.shape))
    along = [found.get(series[s].id) if s in series else None for s in range(len(run))]
    return _result(
        run, (name, int(t) % len(run)), ladder.told, found.get(value.id, zeros), along, trace(run, loss).not_finite
    )


class _Ladder:
    """Lanes of a sweep that count crossings.

    With names, lanes come twice: the second time for paths whose nearest named value is one that counts as a
    target, so that leaving a source towards the past is a crossing for those alone. With a function, the first
    half is empty.

    Parameters
    ----------
    owner : mapping
        The name of each named value, by Tensor id; empty with a function.
    sources, targets : frozenset of str
    crosses : function or None
    count : int
        K.
    told : str
        The class of edges in words.
    """

    def __init__(
        self,
        owner: dict[int, str],
        sources: frozenset[str],
        targets: frozenset[str],
        crosses: Any,
        count: int,
        told: str,
    ) -> None:
        self.owner, self.sources, self.targets = owner, sources, targets
        self.crosses, self.count, self.told = crosses, count, told

    def start(self, loss: Tensor) -> Batched:
        """The cotangent of the loss: not crossed, and no named value met."""
        lanes = np.zeros((2 * (self.count + 1), *loss.shape), loss.dtype)
        lanes[0] = 1
        return Batched(lanes)

    def edit(self, node: Tensor, operand: int, part: Batched, cotangent: Batched) -> Batched:
        """What flows from `node` to its operand, sorted anew."""
        if self.crosses is not None:
            if not self.crosses(node.inputs[operand], node):
                return part
            return Batched(np.concatenate([_up(part.array[: self.count + 1]), part.array[self.count + 1 :]]))
        if node.id not in self.owner:
            return part
        merged = self.read(node, part)
        empty = np.zeros_like(merged)
        return Batched(np.concatenate([empty, merged] if self.owner[node.id] in self.targets else [merged, empty]))

    def read(self, node: Tensor, total: Batched) -> Array:
        """The parts of the gradient at a value, by order."""
        near, far = total.array[self.count + 1 :], total.array[: self.count + 1]
        merged: Array = far + (_up(near) if self.owner.get(node.id) in self.sources else near)
        return merged


def _up(lanes: Array) -> Array:
    """Every order one higher; the last stays where it is."""
    higher = np.zeros_like(lanes)
    higher[1:] = lanes[:-1]
    higher[-1] += lanes[-1]
    return higher


def _ladder(run: Run, loss: Tensor, edges: Edges | None, count: int) -> _Ladder:
    states, gates = states_of(run), gates_of(run)
    if edges is None:
        edges = _recurrent(run, loss, states, gates)
    if callable(edges):
        return _Ladder(
            {},
            frozenset(),
            frozenset(),
            edges,
            count,
            getattr(edges, "__name__", "the chosen edges").replace("<lambda>", "the chosen edges"),
        )
    if isinstance(edges, str) or not isinstance(edges, (tuple, list)) or len(edges) != 2:
        raise TypeError(
            f"path_orders: edges must be a pair (from, to) of names, or a function of two Tensors, got {edges!r}"
        )
    words = {"states": states, "gates": gates}
    ends = []
    for end in edges:
        listed = (end,) if isinstance(end, str) else tuple(end)
        ends.append(tuple(dict.fromkeys(name for one in listed for name in words.get(one, (one,)))))
    owner = cut_set(run, loss, dict.fromkeys([*states, *gates, *ends[0], *ends[1]]), "path_orders")
    told = " → ".join(", ".join(end) for end in ends)
    return _Ladder(owner, frozenset(ends[0]), frozenset(ends[1]), None, count, told)


def _recurrent(
    run: Run, loss: Tensor, states: Sequence[str], gates: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """From the outputs' states to the gates; from all states where a step does not read the output's, to all where
    no gate does.
    """
    values, named = state_values(run), cut_set(run, loss, [*states, *gates], "path_orders")
    readers: dict[int, list[Tensor]] = {}
    for node in ancestors([loss, *run.names.values()]):
        for operand in node.inputs:
            if isinstance(operand, Tensor):
                readers.setdefault(operand.id, []).append(node)
    read = {name: _read_by_next(values[name][-1 if is_reversed(run, name) else 0], readers, named) for name in states}
    outputs = {value.id for part in run.cells for value in part.states[-1][:1]}
    of_output = tuple(name for name in states if values[name][-1].id in outputs)
    first = tuple(name for name in of_output if read[name]) or tuple(name for name in states if read[name]) or of_output
    reads_any = any(read[name] & set(gates) for name in first) or not any(read[name] for name in first)
    return first, tuple(gates) if gates and reads_any else tuple(states)


def _read_by_next(value: Tensor, readers: dict[int, list[Tensor]], named: dict[int, str]) -> set[str]:
    """The named values of other timesteps that are computed from a value with none between."""
    found, ways = set(), [value]
    while ways:
        for node in readers.get(ways.pop().id, []):
            if node.timestep is not None and node.timestep != value.timestep:
                if node.id in named:
                    found.add(named[node.id])
                else:
                    ways.append(node)
    return found


def _result(
    run: Run,
    key: tuple[str, int],
    told: str,
    parts: Array,
    series: Sequence[Array | None],
    not_finite: NotFinite | None,
) -> PathOrders:
    count = len(parts) - 1
    labels: list[str | int] = [*range(count), f"≥{count}"]
    if not any(np.any(lanes[-1]) for lanes in (parts, *(s for s in series if s is not None))):
        labels.pop()  # no path crosses so often
    kept = len(labels)
    rows = parts.reshape(len(parts), parts.shape[1] if parts.ndim == 3 else 1, -1)[:kept]
    steps = [np.full(kept, np.nan) if s is None else projections(s[:kept]) for s in series]
    t, order, share = {"t": range(len(series))}, {"order": labels}, "signed share of the gradient"
    totals = [0.0 if s is None else float(norms(s.sum(axis=0)[None])[0]) for s in series]
    return PathOrders(
        label=repr(run.cell),
        value=f"{key[0]}_{key[1]}",
        edges=told,
        total=float(norms(rows.sum(axis=0)[None])[0]),
        projections=Labelled(projections(rows), order, share),
        norms=Labelled(norms(rows), order, "gradient norm"),
        by_step=Labelled(steps, {**t, **order}, share),
        totals=Labelled(totals, t, "gradient norm"),
        parts=Labelled(rows, {**order, "batch": range(rows.shape[1]), "unit": range(rows.shape[2])}, "gradient"),
        not_finite=not_finite,
        _name=key[0],
    )

"""shares: by which ways the gradient of a loss arrives at every state, split exactly."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes

from tinygrad_rnn import Tensor
from tinygrad_rnn.autodiff.batching import Batched
from tinygrad_rnn.autodiff.sweep import sweep
from tinygrad_rnn.recurrent.unroll import Run

from ..picture.curve_styles import styles
from ..picture.paper import Width
from ..picture.theme import NEUTRAL, PAPER
from ..plots.curves import BACKWARDS, along_time, areas, base_line, curve, mark_norms, note
from ..plots.figures import Canvas, picture
from ..plots.legends import legend, title
from ..plots.lettering import visible
from ..results import Analysis, Label, Labelled
from ..tracing.lanes import Array, one_lane, projections
from ..tracing.names import cut_set, gates_of, recorded, state_values, states_of
from ..tracing.sparkline import sparkline
from ..tracing.trace import GradientTrace, norms, trace

__all__ = ["LOSS", "Shares", "shares", "shares_of"]

LOSS = "loss"
_LIMITS = (-1.5, 2.5)


@dataclass(frozen=True, eq=False)
class Shares(Analysis):
    """By which ways the gradient arrives at every state. Made by :func:`shares`.

    Attributes
    ----------
    label : str
        The cell and its sizes.
    shares : Labelled (state, t, way)
        ``<part, g> / <g, g>`` for the part of the gradient g that arrives along each way. They add up to 1; a
        negative one cancels others. NaN where the gradient is 0.
    norms : Labelled (state, t, way)
        The L2 norm of each part.
    totals : Labelled (state, t)
        The L2 norm of the whole gradient.
    highway : Labelled (state, t)
        What would be left of the state's last gradient if it came back along the state itself alone: in an LSTM
        the norm of ``dL/dc_T`` times all forget gates from t + 1 on.
    """

    label: str
    shares: Labelled
    norms: Labelled
    totals: Labelled
    highway: Labelled

    @property
    def states(self) -> tuple[str, ...]:
        """The names of the states."""
        return tuple(map(str, self.shares.axes["state"]))

    @property
    def ways(self) -> tuple[str, ...]:
        """The names of the ways, the loss last."""
        return tuple(map(str, self.shares.axes["way"]))

    @picture
    def plot(self, ax: Axes | None = None, state: str | None = None, *, width: Width = None) -> Axes:
        """Draw the shares of each state as areas over time, and below the norms and what the highway alone would carry.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw the areas of one state, without the norms.
        state : str, optional
            The one state to draw; all when omitted, but on `ax` only the first.
        width : float or str, optional
            Of a new figure; as for :func:`~inspector.plot_decay`.

        Raises
        ------
        KeyError
            If there is no such state.
        """
        shown = (state,) if state is not None else self.states
        self.shares.sel(state=shown)
        if ax is not None:
            self._plot_areas(ax, shown[0])
            ax.set_xlabel(BACKWARDS)
            return ax
        figure = Canvas(9.4, 1.4 + 2.1 * len(shown) + 2.4)
        *panels, below = figure.subplots(len(shown) + 1, 1, sharex=True)
        for axes, name in zip(panels, shown, strict=True):
            self._plot_areas(axes, name)
        self._plot_norms(below, shown)
        title(panels[0], f"{self.label}: the ways by which g = ∂L/∂state_t arrives; share = ⟨part, g⟩ / ⟨g, g⟩")
        return cast(Axes, panels[0])

    def _plot_areas(self, axes: Axes, state: str) -> None:
        table, looks = self.shares["state", state], styles((*self.states, *self.ways))
        fills: dict[str, dict[str, Any]] = {
            way: {"facecolor": looks[way].colour, "hatch": looks[way].hatch, "edgecolor": PAPER} for way in self.ways
        }
        fills[LOSS] = {"facecolor": NEUTRAL, "edgecolor": PAPER}
        for way in self.ways:
            through = "loss, direct" if way == LOSS else f"{way}, itself" if way == state else f"through {way}"
            fills[way]["label"] = visible(through)
        handles = areas(axes, np.arange(-0.5, len(table)), dict(zip(self.ways, table.T, strict=True)), fills)
        for share in (0.0, 1.0):
            base_line(axes, share)
        largest = float(np.abs(np.nan_to_num(table)).max())
        if largest > _LIMITS[1]:
            note(axes, f"cut off: parts cancel, shares up to {largest:.2g}", 0.99, 0.95)
        low, high = axes.get_ylim()
        axes.set_ylim(max(_LIMITS[0], low), min(_LIMITS[1], high))
        mark_norms(axes, self.totals["state", state])
        axes.set_ylabel(visible(f"share in g = ∂L/∂{state}_t"))
        legend(axes, handles.values(), beside=True)

    def _plot_norms(self, axes: Axes, shown: Sequence[str]) -> None:
        """The norms, and dashed what the states alone would carry."""
        looks, lines = styles(self.states), []
        for name in shown:
            for k, (table, text) in enumerate(((self.totals, f"∂L/∂{name}_t"), (self.highway, f"along {name} alone"))):
                norms = table["state", name]
                if (np.isfinite(norms) & (norms > 0)).any():
                    lines.append(curve(axes, np.arange(len(norms)), norms, looks[name].among(k, 2), text))
        along_time(axes, "state_t")
        legend(axes, lines, beside=True)

    def _text(self) -> str:
        lines = [f"{self.label}: the ways by which the gradient arrives"]
        for state in self.states:
            table = self.shares["state", state]
            known = np.isfinite(table).all(axis=1)
            mean = table[known].mean(axis=0) if known.any() else np.full(len(self.ways), np.nan)
            parts = ", ".join(
                f"{way} {share:.1%}" for way, share in zip(self.ways, mean.tolist(), strict=True) if share
            )
            none = "no gradient" if np.isfinite(self.totals["state", state]).all() else "not finite"
            lines.append(
                f"  ∂L/∂{state}_t {sparkline(self.totals['state', state])} "
                f" {f'mean shares: {parts}' if known.any() else none}"
            )
        return "\n".join(lines)


def shares(run: Run, loss: Tensor, by: Iterable[str] | None = None) -> Shares:
    """Split the gradient by every state at every timestep into what arrives along each way.

    A path from a state to the loss belongs to the first of the named values that it meets, and to ``loss`` if it
    meets none: that is the direct part, in which no later step has a share. Every path belongs to exactly one way,
    so the parts add up to the gradient. They are found by one reverse sweep with one lane a way: behind a named
    value everything is in that value's own lane, and from there the lanes are pulled back side by side.

    Parameters
    ----------
    run : Run
    loss : Tensor
        A single number computed from the run.
    by : sequence of str, optional
        The named values that tell ways apart: states, gates, preactivations as ``z_f``, in a stack ``layer0/f``; the
        name of a parameter stands for the operations that read it. All states and gates when omitted.

    Returns
    -------
    Shares

    Raises
    ------
    TypeError
        If `run` is no Run, or `loss` no Tensor.
    ValueError
        If `loss` is not a single number, or does not depend on any value of the run.
    KeyError
        If nothing is called by one of the names in `by`.

    Examples
    --------
    >>> import numpy as np
    >>> import inspector
    >>> import tinygrad_rnn as tg
    >>> run = tg.unroll(tg.cells.LSTMCell(2, 3, seed=0), np.ones((4, 1, 2)))
    >>> found = inspector.shares(run, run.outputs[-1].sum())
    >>> found.ways
    ('c', 'h', 'i', 'f', 'g', 'o', 'loss')
    >>> bool(np.allclose(found.shares.values.sum(axis=2), 1))
    True
    """
    return shares_of(trace(*recorded(run, loss, "shares")), by)


@np.errstate(all="ignore")
def shares_of(found: GradientTrace, by: Iterable[str] | None = None) -> Shares:
    """The same from a trace of a run with every operation on record."""
    run, loss = found.run, found.loss
    states = state_values(run)
    every = _ordered(run)
    names = every if by is None else tuple(dict.fromkeys([by] if isinstance(by, str) else by))
    lanes = _lanes(run, loss, names)
    ways = (*names, LOSS)
    order = [lanes.get(value.id, np.zeros((len(ways), 1))) for values in states.values() for value in values]
    shape = (len(states), len(run))
    axes: dict[str, Sequence[Label]] = {"state": tuple(states), "t": range(len(run))}
    split = {**axes, "way": ways}
    return Shares(
        repr(run.cell),
        Labelled(np.reshape([projections(part) for part in order], (*shape, -1)), split, "share of the gradient"),
        Labelled(np.reshape([norms(part) for part in order], (*shape, -1)), split, "gradient norm"),
        Labelled(np.reshape([norms(part.sum(axis=0)[None]) for part in order], shape), axes, "gradient norm"),
        Labelled(_highway(run, loss, states, every, lanes), axes, "gradient norm along the state alone"),
        not_finite=found.not_finite,
    )


def _ordered(run: Run) -> tuple[str, ...]:
    """States and gates, in the order in which areas are stacked: memory first."""
    states = states_of(run)
    return (*states[::-1], *gates_of(run))


def _lanes(run: Run, loss: Tensor, names: Sequence[str]) -> dict[int, Array]:
    """For every state, by Tensor id, the parts of its gradient (ways, *shape)."""
    ways = {name: lane for lane, name in enumerate(names)}
    lane_of = {key: ways[name] for key, name in cut_set(run, loss, names, "shares").items()}

    def edit(node: Tensor, operand: int, part: Batched, cotangent: Batched) -> Batched:
        lane = lane_of.get(node.id)
        return part if lane is None else one_lane(part, lane)

    start = np.zeros((len(names) + 1, *loss.shape), loss.dtype)
    start[-1] = 1
    wanted = {value.id: value for values in state_values(run).values() for value in values}
    found = {}
    for node, total, _ in sweep([loss], [Batched(start)], list(wanted.values()), edit=edit):
        if node.id in wanted:
            found[node.id] = total.array
    return found


def _highway(
    run: Run, loss: Tensor, states: dict[str, list[Tensor]], names: Sequence[str], lanes: dict[int, Array]
) -> Array:
    """The norm that each state's gradient has if it goes from its last step back along that state alone (state, T)."""
    order = {name: lane for lane, name in enumerate(states)}
    owner = cut_set(run, loss, names, "shares")
    ends = {name: next((v for v in _latest_first(values) if v.id in lanes), None) for name, values in states.items()}

    def edit(node: Tensor, operand: int, part: Batched, cotangent: Batched) -> Batched:
        if node.id not in owner:
            return part
        kept = np.zeros_like(part.array)
        lane = order.get(owner[node.id])
        if lane is not None:
            kept[lane] = part.array[lane]
        return Batched(kept)

    outputs, starts = [], []
    for name, value in ends.items():
        if value is not None:
            start = np.zeros((len(states), *value.shape), value.dtype)
            start[order[name]] = lanes[value.id].sum(axis=0)
            outputs.append(value)
            starts.append(Batched(start))
    wanted = {value.id: value for values in states.values() for value in values}
    found = {}
    for node, total, _ in sweep(outputs, starts, list(wanted.values()), edit=edit):
        if node.id in wanted:
            found[node.id] = norms(total.array)
    return np.array(
        [[found[v.id][order[name]] if v.id in found else 0.0 for v in values] for name, values in states.items()]
    )


def _latest_first(values: Sequence[Tensor]) -> list[Tensor]:
    return sorted(values, key=lambda value: -value.id)

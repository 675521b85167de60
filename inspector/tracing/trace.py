"""GradientTrace: the gradient of a loss by every named value at every timestep, from one reverse sweep."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tinygrad_rnn import Scope, Tensor
from tinygrad_rnn.autodiff.ancestry import ancestors
from tinygrad_rnn.autodiff.cotangent import Product, Scatter, dense, is_basic_index
from tinygrad_rnn.autodiff.sweep import Recurrent, sweep
from tinygrad_rnn.plurals import counted
from tinygrad_rnn.recurrent.inner import RowsOf
from tinygrad_rnn.recurrent.unroll import Run

from ..results import Labelled, Result
from .decay import decay_rate
from .finite import NotFinite, first_not_finite, in_words
from .replay import recorded
from .sparkline import sparkline
from .values import (
    gradients_inside,
    in_order,
    inputs_as_one,
    insides,
    mask_held,
    recorded_values,
    shares_inside,
    zeros,
    zeros_inside,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = npt.NDArray[Any]

__all__ = ["GradientTrace", "behind", "check", "norm_of", "norms", "timestep_in", "trace"]


class _Series(NamedTuple):
    """A value that is there at every timestep: its gradients (T, ...) and their norms (T,)."""

    gradients: Array
    norms: npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class GradientTrace(Result):
    """Where in time, and along which lines, the gradient of a loss flows.

    Made by :func:`trace`.

    Attributes
    ----------
    run : Run
    loss : Tensor
        A single number.
    steps : int
        T, the number of timesteps.
    names : tuple of str
        Everything that can be asked for: the input ``x``, states, gates, and as ``z_f`` the value in
        front of the nonlinearity that gives ``f``. In a stack ``layer0/f``, in two directions ``forward/f``.
    states : tuple of str
        Those of them that are states.
    parameters : tuple of str
        The parameters of the cell.
    label : str
        What a legend calls it: the cell and its sizes.
    initialisation : str
        How the parameters were filled.
    node_norms : mapping of Tensor id to float
        L2 norm of the gradient of every value that the loss depends on. A compiled run has no nodes inside.
    edge_norms : mapping of (Tensor id of the consumer, operand) to float
        L2 norm of what flows back through that one edge, before contributions are added up.
    """

    run: Run
    loss: Tensor
    names: tuple[str, ...]
    parameters: tuple[str, ...]
    node_norms: Mapping[int, float] = field(repr=False)
    edge_norms: Mapping[tuple[int, int], float] = field(repr=False)
    _gradients: Mapping[tuple[str, int], Array] = field(repr=False)
    _norms: Mapping[tuple[str, int], float] = field(repr=False)
    _series: Mapping[str, _Series] = field(repr=False)
    _shares: Mapping[str, tuple[Iterable[tuple[int | None, Any]], ...]] = field(repr=False)
    _wholes: Mapping[str, Array] = field(repr=False)

    @property
    def steps(self) -> int:
        return len(self.run)

    @property
    def label(self) -> str:
        return repr(self.run.cell)

    @property
    def initialisation(self) -> str:
        return self.run.cell.initialisation

    @property
    def states(self) -> tuple[str, ...]:
        """The names of the run's states, in a stack or two directions those of every layer."""
        return tuple(_state_names(self.run))

    @cached_property
    def not_finite(self) -> NotFinite | None:
        """Where NaN or infinity first appears in the run, or else in its gradient; none if all is finite."""
        found = first_not_finite(self.run, self)
        if found is None or all(part.tape is None for part in self.run.cells):
            return found
        from tinygrad_rnn.compiler import CompiledEnsemble

        if isinstance(self.run.cell, CompiledEnsemble):
            return found
        with np.errstate(all="ignore"):
            return trace(*recorded(self.run, self.loss)).not_finite or found

    def has(self, name: str, t: int) -> bool:
        """Whether anything has this name at timestep `t`."""
        return (name, t) in self._norms or (name in self._series and 0 <= t < self.steps)

    def plot(
        self, ax: Axes | None = None, names: Sequence[str] | None = None, *, width: float | str | None = None
    ) -> Axes:
        """Plot the norms along time, see :func:`~inspector.plot_decay`."""
        from ..plots.curves import plot_decay  # a trace is made for every drawing, and Matplotlib takes long to import

        return plot_decay(self, ax=ax, names=names, width=width)

    def _text(self) -> str:
        wide = max(map(len, self.states), default=0)
        lines = [
            f"{self.label}, {counted(self.steps, 'step')}, loss {in_words(float(self.loss.item()))}, initialisation"
            f" {self.initialisation}: ‖∂L/∂state_t‖₂"
        ]
        lines += [
            f"  {state:{wide}}  {sparkline(self.norm(state), 40)}  {decay_rate(self.norm(state))}"
            for state in self.states
        ]
        return "\n".join(lines)

    def gradient(self, name: str, t: int) -> Array:
        """The gradient of the loss by the value `name` at timestep `t`.

        Parameters
        ----------
        name : str
        t : int
            From 0; negative ones count from the end.

        Returns
        -------
        ndarray
            Of the value's shape, such as (batch, hidden_size); zeros where the loss does not depend on it, and at
            padded positions.

        Raises
        ------
        KeyError
            If there is no such name, or not at this timestep.
        IndexError
            If there is no such timestep.
        """
        self._known(name, self.names)
        t = self._timestep(t)
        if name in self._series:
            return np.array(self._series[name].gradients[t])
        if (name, t) not in self._gradients:
            raise KeyError(f"trace: {name!r} has no value at timestep {t}")
        return self._gradients[name, t].copy()

    def norm(self, name: str) -> npt.NDArray[np.float64]:
        """The L2 norm of the gradient by `name` at every timestep, over batch and units.

        Returns
        -------
        ndarray (T,)
            0 where the loss does not depend on the value, NaN at timesteps at which nothing has this name.

        Raises
        ------
        KeyError
            If there is no such name.
        """
        self._known(name, self.names)
        if name in self._series:
            return self._series[name].norms.copy()
        return np.array([self._norms.get((name, t), math.nan) for t in range(self.steps)])

    def member_norms(self, name: str) -> npt.NDArray[np.float64]:
        """The L2 norm of the gradient by `name`, for every member of an ensemble, over batch and units.

        Returns
        -------
        ndarray (T, members)
            NaN at timesteps at which nothing has this name. Statistics of decay over many initialisations are its means
            or quantiles along the last axis.

        Raises
        ------
        KeyError
            If there is no such name.
        TypeError
            If the run is not that of an ensemble, or `name` is the input, which its members share.
        """
        self._known(name, self.names)
        members = getattr(self.run.cell, "members", None)
        if members is None or name == "x":
            raise TypeError(f"trace: {name} of {self.label} has no members; compile a list of cells for an ensemble")
        if name in self._series:
            rows = self._series[name].gradients
            return norms(rows.reshape(self.steps * len(members), -1)).reshape(self.steps, -1)
        found = np.full((self.steps, len(members)), np.nan)
        for t in range(self.steps):
            if (name, t) in self._gradients:
                found[t] = norms(self._gradients[name, t].reshape(len(members), -1))
        return found

    def parameter_gradient(self, name: str, t: int | None = None) -> Array:
        """The gradient by a parameter: the share of timestep `t` alone, or the whole when `t` is omitted.

        The shares of all timesteps add up to the whole, unless the parameter is also used outside the steps
        of this run, by another run for instance.

        Raises
        ------
        KeyError
            If there is no such parameter.
        IndexError
            If there is no such timestep.
        """
        self._known(name, self.parameters)
        if t is None:
            return self._wholes[name].copy()
        wanted = self._timestep(t)
        total = np.zeros_like(self._wholes[name])
        with np.errstate(all="ignore"):
            for step, share in chain.from_iterable(self._shares[name]):
                if step == wanted:
                    total += dense(share)
        return total

    @np.errstate(all="ignore")
    def parameter_norm(self, name: str) -> npt.NDArray[np.float64]:
        """The L2 norm of each timestep's own share of a parameter's gradient.

        Returns
        -------
        ndarray (T,)

        Raises
        ------
        KeyError
            If there is no such parameter.
        """
        return np.array([_norm_of_sum(step) for step in self._by_step(name)])

    def parameter_shares(self, name: str) -> Iterator[Array]:
        """Each timestep's own share of a parameter's gradient, one after the other, so that one at a time is held.

        Raises
        ------
        KeyError
            If there is no such parameter.
        """
        parameter = dict(self.run.cell.named_parameters()).get(name)
        for step in self._by_step(name):
            assert parameter is not None
            yield sum((dense(share) for share in step), np.zeros(parameter.shape, parameter.dtype))

    def _by_step(self, name: str) -> list[list[Any]]:
        self._known(name, self.parameters)
        shares: list[list[Any]] = [[] for _ in range(self.steps)]
        for t, share in chain.from_iterable(self._shares[name]):
            if t is not None:
                shares[t].append(share)
        return shares

    def tables(self) -> dict[str, Labelled]:
        """The norms of every name and every parameter at every timestep, NaN where nothing has that name."""
        return {
            "norms": self._norms_of("name", self.names, self.norm),
            "parameters": self._norms_of("parameter", self.parameters, self.parameter_norm),
        }

    def _norms_of(self, axis: str, names: tuple[str, ...], norm: Callable[[str], Array]) -> Labelled:
        values = np.array([norm(name) for name in names]).reshape(len(names), self.steps)
        return Labelled(values, {axis: names, "t": range(self.steps)}, "gradient norm")

    def facts(self) -> dict[str, Any]:
        """The cell, how it was initialised, the number of steps and the loss."""
        return {
            "cell": self.label,
            "initialisation": self.initialisation,
            "steps": self.steps,
            "loss": float(self.loss.item()),
        }

    def to_dict(self) -> dict[str, Any]:
        """All facts, and by name the norms of everything as plain lists, fit for JSON.

        JSON has no NaN and no infinity: a norm that is not finite is ``None``, and so is a missing one;
        ``"not_finite"`` then says where that begins, and is ``None`` if all is finite.
        """
        found = super().to_dict()
        for table in self.tables():
            labels = next(iter(found[table]["axes"].values()))
            found[table] = dict(zip(labels, found[table]["values"], strict=True))
        return found

    def records(self) -> tuple[Sequence[str], Iterable[Sequence[Any]]]:
        """One line a name and timestep; its kind is ``value`` or ``parameter``. What is missing has no line."""
        tables = zip(("value", "parameter"), self.tables().values(), strict=True)
        rows = (
            (kind, name, t, norm)
            for kind, table in tables
            for name, t, norm in table.rows()
            if kind == "parameter" or self.has(name, t)
        )
        return ("kind", "name", "timestep", "norm"), rows

    def _known(self, name: str, names: tuple[str, ...]) -> None:
        if name not in names:
            raise KeyError(f"trace: nothing is called {name!r}; there are {', '.join(names) or 'none'}")

    def _timestep(self, t: int) -> int:
        if not -self.steps <= t < self.steps:
            raise IndexError(f"trace: timestep {t} is not in 0..{self.steps - 1}")
        return int(t) % self.steps


@np.errstate(all="ignore")
def trace(run: Run, loss: Tensor) -> GradientTrace:
    """Sweep once from `loss` to everything it depends on, and keep what matters of a recurrent run.

    Parameters
    ----------
    run : Run
        What :func:`tinygrad_rnn.unroll` returned.
    loss : Tensor
        A single number computed from the run.

    Returns
    -------
    GradientTrace

    Raises
    ------
    TypeError
        If `run` is no Run, or `loss` no Tensor.
    ValueError
        If `loss` is not a single number, or does not depend on any value of the run.
    """
    check(run, loss, "trace")
    inputs = inputs_as_one(run)
    values = recorded_values(run, inputs is None)
    inside = insides(run)
    ours = [*values.values(), *([] if inputs is None else [inputs])]
    everything = behind(loss, [*ours, *[node.inputs[0] for node in inside]], "trace")
    shares = _Shares(run)
    wanted = {value.id for value in ours}
    found: dict[int, Array] = {}
    within: dict[str, Array] = {}
    node_norms: dict[int, float] = {}
    edge_norms: dict[tuple[int, int], float] = {}
    sent: dict[int, tuple[Any, float]] = {}
    for node, total, edges in sweep([loss], [np.ones(loss.shape, loss.dtype)], [*everything, *ours, *inside]):
        if node in inside:
            prefix, part = inside[node]
            within |= gradients_inside(prefix, part, total)
            shares.add_inside(part, total)
            continue
        if not isinstance(node.op, Recurrent):
            latest, norm = sent.pop(node.id, (None, 0.0))  # mostly all that arrives comes along one edge
            node_norms[node.id] = norm if latest is total else norm_of(total)
        if node.id in wanted or node.id in shares.owner:
            found[node.id] = np.array(dense(total))
        for operand, contribution in edges:
            norm = edge_norms[node.id, operand] = norm_of(contribution)
            sent[node.inputs[operand].id] = contribution, norm
            shares.add(node, operand, contribution)
    gradients: dict[tuple[str, int], Array] = {}
    for key, value in values.items():
        gradients[key] = found[value.id] if value.id in found else zeros(value.shape, value.dtype)
    mask_held(run, values, gradients)
    if inputs is not None:
        within["x"] = found[inputs.id] if inputs.id in found else zeros(inputs.shape, inputs.dtype)
    for prefix, part in inside.values():
        within |= zeros_inside(prefix, part, within)
    wholes = {
        name: found[parameter.id] if parameter.id in found else np.zeros(parameter.shape, parameter.dtype)
        for name, parameter in shares.parameters.items()
    }
    known = {id(array): node_norms[key] for key, array in found.items() if key in node_norms}
    names = in_order(run, [*(name for name, _ in gradients), *within])
    return GradientTrace(
        run,
        loss,
        names,
        tuple(shares.found),
        MappingProxyType(node_norms),
        MappingProxyType(edge_norms),
        gradients,
        {key: known[id(g)] if id(g) in known else norm_of(g) for key, g in gradients.items()},
        {name: _Series(series, norms(series)) for name, series in within.items()},
        {name: tuple(found) for name, found in shares.found.items()},
        wholes,
    )


def check(run: Any, loss: Any, who: str) -> None:
    """Refuse what is no run, or no single number; `who` asks.

    Raises
    ------
    TypeError
        If `run` is no Run, or `loss` no Tensor.
    ValueError
        If `loss` is not a single number.
    """
    if not isinstance(run, Run):
        raise TypeError(f"{who}: run must be what unroll returned, got {type(run).__name__}")
    if not isinstance(loss, Tensor):
        raise TypeError(f"{who}: loss must be a Tensor, got {type(loss).__name__}")
    if loss.size != 1:
        raise ValueError(f"{who}: loss must be a single number, got shape {loss.shape}; take its sum or mean")


def behind(loss: Tensor, values: Iterable[Tensor], who: str) -> list[Tensor]:
    """Everything that `loss` was computed from, oldest first; one of `values` must be among it.

    Raises
    ------
    ValueError
        If none is.
    """
    everything = ancestors([loss])
    reached = {node.id for node in everything}
    if not any(value.id in reached for value in values):
        raise ValueError(f"{who}: the loss does not depend on any value of this run")
    return everything


class _Shares:
    """What each timestep adds to the gradients of the parameters."""

    def __init__(self, run: Run) -> None:
        self.parameters = dict(run.cell.named_parameters())
        self._edges: dict[str, list[tuple[int | None, Any]]] = {name: [] for name in self.parameters}
        self.found: dict[str, list[Iterable[tuple[int | None, Any]]]] = {n: [own] for n, own in self._edges.items()}
        self.owner = {parameter.id: name for name, parameter in self.parameters.items()}
        self._steps = {scope: t for part in run.cells if part.tape is None for t, scope in enumerate(part.scopes)}
        self._tapes = {part.tape.id for part in run.cells if part.tape is not None}

    def add(self, node: Tensor, operand: int, contribution: Any) -> None:
        """What flows back through one edge."""
        name = self.owner.get(node.inputs[operand].id)
        if name is not None and node.id not in self._tapes:
            self._edges[name].append((timestep_in(node.scope, self._steps), contribution))

    def add_inside(self, part: Run, cotangents: Any) -> None:
        """What flows back inside a compiled run, worked out step by step when somebody asks."""
        assert part.tape is not None
        for name, of_steps in shares_inside(part, cotangents, self.owner):
            self.found[name].append(of_steps)


def _state_names(run: Run, prefix: str = "") -> Iterator[str]:
    if not run.children:
        yield from (prefix + name for name in run.initial_state._fields)
    for name, child in run.children.items():
        yield from _state_names(child, f"{prefix}{name}/")


def timestep_in(scope: Scope | None, own: Mapping[Scope, int]) -> int | None:
    """The timestep of this run that a scope belongs to; ``None`` outside the steps, and in those of another run."""
    step = scope.step if scope is not None else None
    return own.get(step) if step is not None else None


def norm_of(cotangent: Any) -> float:
    """The L2 norm of a cotangent, without forming it where it is kept in factors."""
    if type(cotangent) is Product and len(cotangent.left) < min(cotangent.shape):
        left, right = (np.asarray(f, np.float64) for f in (cotangent.left, cotangent.right))
        square = float(np.sum((left @ left.T) * (right @ right.T)))
        if _SMALL < square < _LARGE:
            return math.sqrt(square)
    if type(cotangent) is Scatter and is_basic_index(cotangent.index):
        cotangent = cotangent.values
    elif type(cotangent) is RowsOf:
        cotangent = cotangent.rows
    flat = np.asarray(dense(cotangent)).reshape(-1).astype(np.float64, copy=False)
    square = float(np.dot(flat, flat))
    if _SMALL < square < _LARGE:  # nearly always; a trace asks hundreds of thousands of times
        return math.sqrt(square)
    peak = float(np.abs(flat).max(initial=0.0))
    if not 0.0 < peak < math.inf:
        return peak
    flat = flat / peak
    return math.sqrt(np.dot(flat, flat)) * peak


_SMALL, _LARGE = 1e-280, 1e280
"""Sums of squares between them have lost nothing to underflow, and are not infinite by overflow."""


def norms(rows: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """The L2 norm of every row, right even where the squares would underflow or overflow."""
    flat = rows.reshape(len(rows), -1).astype(np.float64, copy=False)
    squares = np.einsum("ij,ij->i", flat, flat)
    found: npt.NDArray[np.float64] = np.sqrt(squares)
    within = (squares > _SMALL) & (squares < _LARGE)
    if flat.size and not within.all():
        beyond = np.flatnonzero(~within)
        peak = np.abs(flat[beyond]).max(axis=1)
        safe = np.where((peak > 0) & np.isfinite(peak), peak, 1.0)
        found[beyond] = np.linalg.norm(flat[beyond] / safe[:, None], axis=1) * safe
    return found


def _norm_of_sum(shares: list[Any]) -> float:
    if len(shares) <= 1:
        return norm_of(shares[0]) if shares else 0.0
    return norm_of(sum(dense(share) for share in shares))

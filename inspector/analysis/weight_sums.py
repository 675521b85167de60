"""Gradients of weights, a row a lag or a window: where timesteps use them, and what many cotangents at once bring."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tinygrad_rnn import Scope, Tensor
from tinygrad_rnn.autodiff.ancestry import ancestors
from tinygrad_rnn.autodiff.batching import Batched
from tinygrad_rnn.autodiff.cotangent import dense
from tinygrad_rnn.autodiff.primitives import add, matmul, sum_to
from tinygrad_rnn.autodiff.sweep import sweep
from tinygrad_rnn.recurrent.unroll import Run

from .wide_sweep import Lanes

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

__all__ = ["Products", "Use", "WeightSums", "formula", "uses_of", "within_blocks"]

_BUFFER = 1 << 21
"""Numbers of cotangents that are multiplied at a time."""


class Use(NamedTuple):
    """An operation that one timestep applies to a weight: to a parameter, or to what the step makes of parameters
    alone.
    """

    node: Tensor
    operands: list[int]
    t: int
    reverse: bool

    def pull(self, total: Any) -> Iterator[tuple[Tensor, Any]]:
        """What a cotangent of the result, or a batch of them, brings to each weight."""
        node, op = self.node, self.node.op
        assert op is not None
        for k in self.operands:
            rule, weight = op.rule(k), node.inputs[k]
            if rule is not None:
                part = rule(total, node.data, *node.values, **node.attributes)
                part = list(part)[k] if op.variadic else part
                yield weight, dense(part if part.shape == weight.shape else sum_to(part, weight.shape))

    def factor(self) -> Array | None:
        """Where the gradient of the weight is the product of a matrix, transposed, and the cotangent, that matrix."""
        node, k = self.node, self.operands[0]
        if len(self.operands) > 1 or node.ndim != 2 or len(node.inputs) != 2 or formula(node.inputs[k]) is None:
            return None
        weight, other = node.values[k], node.values[1 - k]
        if node.op is matmul and k == 1 and np.ndim(other) == weight.ndim == 2:
            return np.asarray(other)
        if node.op is add and weight.shape in (node.shape[1:], (1, *node.shape[1:])) and weight.dtype == node.dtype:
            return np.ones((len(node.data), 1), node.dtype)
        return None


def uses_of(run: Run, outputs: list[Tensor]) -> dict[int, Use]:
    """Every use of weights in the steps of a run on the way to some values, by the id of its result."""
    steps: dict[Scope | None, tuple[int, bool]]
    steps = {scope: (t, part.reverse) for part in run.cells for t, scope in enumerate(part.scopes)}
    order = [node for node in ancestors(outputs) if node.scope is not None and node.scope.step in steps]
    found = _operands(order, outputs, {parameter.id for parameter in run.cell.parameters()})
    return {node.id: Use(node, found[node.id], *steps[node.scope.step]) for node in order if node.id in found}


def _operands(order: list[Tensor], outputs: list[Tensor], parameters: set[int]) -> dict[int, list[int]]:
    """For each use of a weight, by the id of its result, which operands are weights.

    A weight is a parameter, or what is made of weights alone within one timestep and used there only, such as the
    transpose of a matrix. So no weight is as large as the cotangents of a whole batch of lags would be.
    """
    leaving = {value.id for value in outputs}
    for node in order:
        leaving.update(v.id for v in node.inputs if isinstance(v, Tensor) and v.scope is not node.scope)
    weights, uses = set(parameters), {}
    for node in order:
        values = [k for k, v in enumerate(node.inputs) if isinstance(v, Tensor)]
        made_of = [k for k in values if node.inputs[k].id in weights]
        if made_of and len(made_of) == len(values) and node.id not in leaving:
            weights.add(node.id)
        elif made_of:
            uses[node.id] = made_of
    return uses


class WeightSums:
    """Sums of gradients, a row a lag or window; weights that are made alike at all timesteps count as one.

    Parameters
    ----------
    parameters : dict of str to Tensor
    rows : int
    """

    def __init__(self, parameters: dict[str, Tensor], rows: int) -> None:
        self._parameters, self._rows = parameters, rows
        self._names = {parameter.id: name for name, parameter in parameters.items()}
        self._weights: dict[Any, Tensor] = {}
        self._sums: dict[Any, Floats] = {}

    def add(self, weight: Tensor, rows: slice, part: Array) -> None:
        """Add to some rows of a weight."""
        key = formula(weight)
        if key is not None:
            if key not in self._sums:
                self._weights[key], self._sums[key] = weight, np.zeros((self._rows, *weight.shape))
            self._sums[key][rows] += part
            return
        for node, total, _ in sweep([weight], [Batched(part)], list(self._parameters.values())):
            if node.id in self._names:
                self.add(node, rows, dense(total).array)

    def of_weights(self) -> Iterator[tuple[Tensor, Floats]]:
        """Each weight and its rows."""
        for key, weight in self._weights.items():
            yield weight, self._sums[key]

    def of_parameters(self) -> dict[str, Floats]:
        """The sums by name of the parameters: one batched sweep for each weight that is made of them."""
        found = {name: np.zeros((self._rows, *parameter.shape)) for name, parameter in self._parameters.items()}
        wanted = list(self._parameters.values())
        for weight, rows in self.of_weights():
            for node, total, _ in sweep([weight], [Batched(rows)], wanted):
                if node.id in self._names:
                    found[self._names[node.id]] += dense(total).array
        return found


def formula(weight: Tensor) -> Any:
    """How a weight is made of parameters, as something to compare; none where an operand or attribute is no plain
    one.
    """
    if weight.op is None:
        return weight.id
    parts = [formula(v) if isinstance(v, Tensor) else _plain(v) for v in weight.inputs]
    parts += [_plain(value) for value in weight.attributes.values()]
    return None if None in parts else (weight.op, *weight.attributes, *parts)


def _plain(value: Any) -> str | None:
    if isinstance(value, (tuple, list)):
        parts = [_plain(part) for part in value]
        return None if None in parts else repr(parts)
    return repr(value) if value is None or isinstance(value, (bool, int, float, str, slice, type(...))) else None


class Products:
    """The gradients of weights that the same cotangents reach: products of what stands beside them with these.

    Several timesteps are multiplied at once, one product a lag, and one for blocks of every length.

    Parameters
    ----------
    weights : sequence of Tensor
    steps : int
    blocks : bool
        Whether blocks can be told at all.
    """

    def __init__(self, weights: Sequence[Tensor], steps: int, blocks: bool) -> None:
        self._blocks, self._weights, self._waiting = blocks, weights, list[tuple[Array, Lanes, int]]()
        self._sizes = [len(weight.data) if weight.ndim == 2 else 1 for weight in weights]
        self._by_lag, self._first, self._later = np.zeros((3, steps, sum(self._sizes), weights[0].shape[-1]))

    def add(self, factor: Array, by_lag: Lanes, place: int) -> None:
        """The factors of one timestep side by side (batch, n), and the cotangents of what they are multiplied by."""
        self._waiting.append((factor, by_lag, place))
        if (len(self._waiting) + 1) * len(self._by_lag) * by_lag.array[0].size > _BUFFER:
            self._multiply()

    def sums(self) -> Iterator[tuple[Tensor, Floats, Floats]]:
        """The rows of each weight, by lag and by length of blocks."""
        self._multiply()
        blocks = np.cumsum(self._first, axis=0) + self._later
        stops = np.cumsum(self._sizes)
        for weight, stop, size in zip(self._weights, stops, self._sizes, strict=True):
            by_lag, within = (rows[:, stop - size : stop] for rows in (self._by_lag, blocks))
            yield weight, by_lag.reshape(-1, *weight.shape), within.reshape(-1, *weight.shape)

    def _multiply(self) -> None:
        """All that waits: by lag; for the first block of every length by the place of the loss; for later blocks, which
        end with the step's own.
        """
        if not self._waiting:
            return
        factors = np.concatenate([factor for factor, _, _ in self._waiting]).T
        rows = np.empty((len(self._by_lag), len(self._waiting), *self._waiting[0][1].array.shape[1:]), factors.dtype)
        self._add(self._by_lag, factors, rows, [lanes for _, lanes, _ in self._waiting])
        if self._blocks:
            ends = [(lanes, place) for _, lanes, place in self._waiting]
            self._add(self._first, factors, rows, [Lanes(n.first + place, n.array) for n, place in ends])
            self._add(self._later, factors, rows, [Lanes(0, within_blocks(n, place, place)) for n, place in ends])
        self._waiting = []

    @staticmethod
    def _add(sums: Floats, factors: Array, rows: Array, cotangents: Sequence[Lanes]) -> None:
        first, last = min(lanes.first for lanes in cotangents), max(lanes.rows.stop for lanes in cotangents)
        for k, lanes in enumerate(cotangents):
            rows[first : lanes.first, k] = 0
            rows[lanes.rows, k] = lanes.array
            rows[lanes.rows.stop : last, k] = 0
        chosen = rows[first:last]
        sums[first:last] += np.matmul(factors, chosen.reshape(len(chosen), factors.shape[1], rows.shape[-1]))


def within_blocks(by_lag: Lanes, place: int, longest: int) -> Array:
    """For blocks of each length, the sum of the cotangents from steps of the loss in the same block as a place."""
    lengths = np.arange(1, longest + 1)
    last = lengths - 1 - place % lengths
    needed = by_lag.array[: max(0, last.max(initial=-1) + 1 - by_lag.first)]
    running = np.concatenate([np.zeros_like(by_lag.array[:1]), np.cumsum(needed, axis=0, dtype=needed.dtype)])
    found: Array = running[np.clip(last + 1 - by_lag.first, 0, len(running) - 1)]
    return found

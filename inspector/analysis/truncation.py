"""What truncated BPTT would leave of each weight's gradient, for windows of every length from one sweep."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tinygrad_rnn import Scope, Stacked, Tensor
from tinygrad_rnn.autodiff.ancestry import ancestors
from tinygrad_rnn.autodiff.batching import Batched
from tinygrad_rnn.autodiff.cotangent import dense
from tinygrad_rnn.autodiff.primitives import sum_to
from tinygrad_rnn.autodiff.sweep import sweep
from tinygrad_rnn.recurrent.unroll import Run

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

__all__ = ["Kept", "direct", "kept"]


class Kept(NamedTuple):
    """The gradient of a parameter that windows of each length k = 1..T leave, (T, *shape) each."""

    sliding: Floats
    fixed: Floats


def kept(run: Run, loss: Tensor) -> dict[str, Kept]:
    """The gradient of every parameter under truncated BPTT, for every length of window.

    A contribution to a weight at step t of what the loss takes from step s has the *lag* |s - t|. *Sliding* windows
    of length k keep the lags below k: at every step its loss is sent back through k steps, Williams and Peng's
    BPTT(k) (1990). *Fixed* windows are those of ``unroll(..., truncate=k)``: time is cut into blocks of k steps,
    counted as the cell reads them, and what crosses a cut is lost.

    Parameters
    ----------
    run : Run
        With every operation on record, not compiled.
    loss : Tensor
        A single number.

    Returns
    -------
    dict of str to Kept
        Fixed windows are NaN where layers that read in different directions lie on top of each other: what crosses
        their cuts cannot be told from the two ends of a path.
    """
    windows = np.arange(1, len(run) + 1)
    blind = _mixes_directions(run)
    parameters = dict(run.cell.named_parameters())
    lagged, fixed = _Sums(parameters, len(run)), _Sums(parameters, len(run))
    for use in _uses(run, loss):
        by_lag = use.by_lag(blind)
        lagged.add(use, by_lag)
        if not blind:
            last = windows - 1 - use.place % windows  # the largest lag within the block
            fixed.add(use, np.cumsum(by_lag, axis=0)[np.minimum(last, len(by_lag) - 1)])
    lost = math.nan if blind else 0.0
    return {name: Kept(np.cumsum(lagged.of(name), axis=0), fixed.of(name) + lost) for name in parameters}


class _Use(NamedTuple):
    """An operation that one timestep applies to a weight: to a parameter, or to what the step makes of parameters
    alone.

    `cotangents` (T, *shape) are those of its result, row s from what the loss takes from step s.
    """

    node: Tensor
    operands: list[int]
    t: int
    reverse: bool
    cotangents: Array

    @property
    def place(self) -> int:
        """The place of the timestep in the order in which the cell reads."""
        return len(self.cotangents) - 1 - self.t if self.reverse else self.t

    def by_lag(self, both: bool) -> Array:
        """The cotangents by the distance of loss and timestep; by `both` sides of it where paths can turn around."""
        later, earlier = self.cotangents[self.t :], self.cotangents[: self.t + 1][::-1]
        if not both:
            return earlier if self.reverse else later
        found = np.zeros((max(len(later), len(earlier)), *later.shape[1:]), later.dtype)
        found[: len(later)] += later
        found[1 : len(earlier)] += earlier[1:]
        return found

    def pull(self, rows: Array) -> Iterator[tuple[Tensor, Array]]:
        """What cotangents of the result bring to each weight."""
        node, op = self.node, self.node.op
        assert op is not None
        for k in self.operands:
            rule, weight = op.rule(k), node.inputs[k]
            if rule is not None:
                part = rule(Batched(rows), node.data, *node.values, **node.attributes)
                part = list(part)[k] if op.variadic else part
                yield weight, dense(part if part.shape == weight.shape else sum_to(part, weight.shape)).array


class _Sums:
    """Sums of gradients of parameters, a row a lag or window."""

    def __init__(self, parameters: dict[str, Tensor], rows: int) -> None:
        self._parameters, self._rows = parameters, rows
        self._names = {parameter.id: name for name, parameter in parameters.items()}
        self._sums: dict[str, Floats] = {}

    def add(self, use: _Use, cotangents: Array) -> None:
        wanted = list(self._parameters.values())
        for weight, part in use.pull(cotangents):
            for node, total, _ in sweep([weight], [Batched(part)], wanted):
                if node.id in self._names:
                    self._add(self._names[node.id], dense(total).array)

    def _add(self, name: str, part: Array) -> None:
        if name not in self._sums:  # laid out in memory like the parts, which are transposed more often than not
            whole = np.broadcast_to(part[:1], (self._rows, *part.shape[1:]))
            order = np.argsort([-abs(stride) for stride in part.strides[1:]], kind="stable") + 1
            shape = [self._rows, *(whole.shape[k] for k in order)]
            self._sums[name] = np.zeros(shape).transpose(0, *(np.argsort(order) + 1))
        self._sums[name][: len(part)] += part

    def of(self, name: str) -> Floats:
        return self._sums.get(name, np.zeros((self._rows, *self._parameters[name].shape)))


def _uses(run: Run, loss: Tensor) -> Iterator[_Use]:
    """Every use of weights in the steps of a run, with the cotangents of its result by the step of the loss.

    One ordinary sweep finds where the loss takes values from the run; one batched sweep sends them all back, the
    contribution of step s in row s.
    """
    steps: dict[Scope | None, tuple[int, bool]]
    steps = {scope: (t, part.reverse) for part in run.cells for t, scope in enumerate(part.scopes)}
    outputs, cotangents = [], []
    for value, s, cotangent in direct(run, loss):
        rows = np.zeros((len(run), *value.shape), value.dtype)
        rows[s] = cotangent
        outputs.append(value)
        cotangents.append(Batched(rows))
    order = [node for node in ancestors(outputs) if node.scope is not None and node.scope.step in steps]
    uses = _operands(order, outputs, {parameter.id for parameter in run.cell.parameters()})
    for node, total, _ in sweep(outputs, cotangents, [node for node in order if node.id in uses]):
        if node.id in uses:
            yield _Use(node, uses[node.id], *steps[node.scope.step], dense(total).array)


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


def direct(run: Run, loss: Tensor) -> Iterator[tuple[Tensor, int, Array]]:
    """What the loss takes from the run: the value, its timestep, and the cotangent that comes from outside the run.

    Outside is what no step of the run depends on, such as a readout, or a second run that begins where this one ends.
    """
    steps: dict[Scope | None, int] = {scope: t for part in run.cells for t, scope in enumerate(part.scopes)}
    order = ancestors([loss])
    inside = _inside(order, steps)
    at = _timestep(loss, steps)
    if loss.id in inside and at is not None:
        yield loss, at, np.ones(loss.shape, loss.dtype)
    wanted = [node for node in order if node.id in inside]
    for node, _, edges in sweep([loss], [np.ones(loss.shape, loss.dtype)], wanted):
        for operand, contribution in edges if node.id not in inside else []:
            value = node.inputs[operand]
            at = _timestep(value, steps)
            if value.id in inside and at is not None:
                yield value, at, dense(contribution)


def _inside(order: list[Tensor], steps: dict[Scope | None, int]) -> set[int]:
    """The steps' own operations, and all that they depend on."""
    found: set[int] = set()
    for node in reversed(order):
        if node.id in found or (node.scope is not None and node.scope.step in steps):
            found.add(node.id)
            found.update(operand.id for operand in node.inputs if isinstance(operand, Tensor))
    return found


def _timestep(value: Tensor, steps: dict[Scope | None, int]) -> int | None:
    """Of a step's own value, or of one between two layers; none for weights and initial states."""
    step = value.scope.step if value.scope is not None else None
    return steps.get(step, value.timestep)


def _mixes_directions(run: Run) -> bool:
    """Whether a path can go through cells that read in both directions, one on top of the other."""
    parts = [run]
    for part in parts:
        if isinstance(part.cell, Stacked) and len(part.children) > 1 and len({cell.reverse for cell in part.cells}) > 1:
            return True
        parts += part.children.values()
    return False

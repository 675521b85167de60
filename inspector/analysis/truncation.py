"""What truncated BPTT would leave of each weight's gradient, for windows of every length from one sweep."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tinygrad_rnn import Scope, Tensor
from tinygrad_rnn.autodiff.ancestry import ancestors
from tinygrad_rnn.autodiff.batching import Batched
from tinygrad_rnn.autodiff.cotangent import dense
from tinygrad_rnn.autodiff.sweep import sweep
from tinygrad_rnn.recurrent.unroll import Run

from .weight_sums import Products, Use, WeightSums, formula, uses_of, within_blocks
from .wide_sweep import Lanes, Seed, Step, lanes_at_once, mixes_directions, wide_sweep

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Reads = list[tuple[Tensor, int, Array]]

__all__ = ["Kept", "direct", "kept"]

_FEW = 8
"""Steps that the loss reads up to which each is swept on its own; more go side by side."""


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
    blind, count = mixes_directions(run), len(run)
    parameters, reads = dict(run.cell.named_parameters()), list(direct(run, loss))
    lagged, fixed = WeightSums(parameters, count), WeightSums(parameters, count)
    steps = sorted({s for _, s, _ in reads})
    if len(steps) <= _FEW:
        for s in steps:
            _add_alone(lagged, fixed, run, s, [read for read in reads if read[1] == s])
    else:
        at_once = lanes_at_once(run)
        for first in range(0, count, at_once):
            _add_together(lagged, fixed, run, [read for read in reads if first <= read[1] < first + at_once], blind)
    by_lag, within, lost = lagged.of_parameters(), fixed.of_parameters(), math.nan if blind else 0.0
    return {name: Kept(np.cumsum(by_lag[name], axis=0), within[name] + lost) for name in parameters}


def _add_alone(lagged: WeightSums, fixed: WeightSums, run: Run, s: int, reads: Reads) -> None:
    """The contributions to what the loss takes from one step: a window keeps the latest of them."""
    count, outputs = len(run), [value for value, _, _ in reads]
    uses, found = uses_of(run, outputs), {}
    for node, total, _ in sweep(outputs, [cotangent for *_, cotangent in reads], [use.node for use in uses.values()]):
        use = uses.get(node.id)
        if use is not None:
            if use.reverse not in found:
                found[use.reverse] = WeightSums(dict(run.cell.named_parameters()), count)
            lag = abs(s - use.t)
            for weight, part in use.pull(total):
                found[use.reverse].add(weight, slice(lag, lag + 1), part[None])
    for reverse, by_lag in found.items():
        last = _place(run, s, reverse) % np.arange(1, count + 1)
        for weight, rows in by_lag.of_weights():
            lagged.add(weight, slice(None), rows)
            fixed.add(weight, slice(None), np.cumsum(rows, axis=0)[last])


def _add_together(lagged: WeightSums, fixed: WeightSums, run: Run, reads: Reads, both: bool) -> None:
    """The contributions to what the loss takes from many steps, sent back side by side; on `both` sides of them where
    paths can turn around.
    """
    uses = uses_of(run, [value for value, _, _ in reads])
    steps = {
        scope: Step(_place(run, t, part.reverse), k, t)
        for k, part in enumerate(run.cells)
        for t, scope in enumerate(part.scopes)
    }
    products: dict[Any, Products] = {}
    seeds = [Seed(value, s, cotangent) for value, s, cotangent in reads]
    for passage in wide_sweep(seeds, [use.node for use in uses.values()], partial(_step_in, steps)):
        alike: dict[int, list[Use]] = {}
        for key, lanes in passage.totals.items():
            alike.setdefault(id(lanes), []).append(uses[key])
        for together in alike.values():
            one = together[0]
            place = _place(run, one.t, one.reverse)
            factors = {use.node.id: factor for use in together if (factor := use.factor()) is not None}
            weights = [use.node.inputs[use.operands[0]] for use in together if use.node.id in factors]
            for by_lag in _by_lag(passage.totals[one.node.id], one, both):
                if not len(by_lag.array):
                    continue
                if factors:
                    made = tuple(map(formula, weights))
                    if made not in products:
                        products[made] = Products(weights, len(run), not both)
                    products[made].add(np.concatenate(list(factors.values()), axis=1), by_lag, place)
                for use in together:
                    if use.node.id not in factors:
                        for weight, part in use.pull(Batched(by_lag.array)):
                            lagged.add(weight, by_lag.rows, part.array)
                        for weight, part in () if both else use.pull(Batched(within_blocks(by_lag, place, len(run)))):
                            fixed.add(weight, slice(None), part.array)
    for product in products.values():
        for weight, by_lag_rows, within_rows in product.sums():
            lagged.add(weight, slice(None), by_lag_rows)
            fixed.add(weight, slice(None), within_rows)


def _place(run: Run, t: int, reverse: bool) -> int:
    """The place of a timestep in the order in which the cell reads."""
    return len(run) - 1 - t if reverse else t


def _step_in(steps: dict[Scope, Step], node: Tensor) -> Step | None:
    step = node.scope.step if node.scope is not None else None
    return steps.get(step) if step is not None else None


def _by_lag(lanes: Lanes, use: Use, both: bool) -> Iterator[Lanes]:
    """Cotangents by the distance of loss and timestep, from the side of it that the cell reads later, or both."""
    at = use.t - lanes.first
    if both or not use.reverse:
        yield Lanes(max(0, -at), lanes.array[max(0, at) :])
    if both or use.reverse:
        earlier = lanes.array[: max(0, at if both else at + 1)][::-1]
        yield Lanes(max(0, at - len(lanes.array) + 1, int(both)), earlier)


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
    for node, _, edges in sweep([loss], [np.ones(loss.shape, loss.dtype)], wanted, ends=inside):
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

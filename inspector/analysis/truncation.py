"""What truncated BPTT would leave of each weight's gradient, for windows of every length from one sweep."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tinygrad_rnn import Scope, Stacked, Tensor
from tinygrad_rnn.ancestry import ancestors
from tinygrad_rnn.batching import Batched
from tinygrad_rnn.cotangent import dense
from tinygrad_rnn.sweep import sweep
from tinygrad_rnn.unroll import Run

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

__all__ = ["Kept", "Use", "direct", "kept", "shares_by_loss_step"]


class Use(NamedTuple):
    """What one timestep's use of a parameter adds to the gradient, apart for each step of the loss.

    Attributes
    ----------
    name : str
        The parameter.
    t : int
        The timestep that uses it.
    reverse : bool
        Whether the cell that uses it reads from the last step to the first.
    shares : ndarray (T, *shape)
        Entry s is the part of ∂L/∂W at t that comes from what of the loss depends on step s directly.
    """

    name: str
    t: int
    reverse: bool
    shares: Array


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
    steps = len(run)
    blind = _mixes_directions(run)
    lagged = {name: np.zeros((steps, *p.shape)) for name, p in run.cell.named_parameters()}
    fixed = {name: np.full_like(whole, np.nan) if blind else np.zeros_like(whole) for name, whole in lagged.items()}
    windows = np.arange(1, steps + 1)
    for use in shares_by_loss_step(run, loss):
        by_lag = _by_lag(use.shares, use.t)
        lagged[use.name][: len(by_lag)] += by_lag
        if not blind:
            place = steps - 1 - use.t if use.reverse else use.t
            last = windows - 1 - place % windows  # the largest lag within the block
            fixed[use.name] += np.cumsum(by_lag, axis=0)[np.minimum(last, len(by_lag) - 1)]
    return {name: Kept(np.cumsum(lagged[name], axis=0), fixed[name]) for name in lagged}


def _by_lag(shares: Array, t: int) -> Floats:
    """Shares by the distance from step `t`, later and earlier steps together."""
    later, earlier = shares[t:], shares[:t][::-1]
    found = np.zeros((max(len(later), len(earlier) + 1), *shares.shape[1:]))
    found[: len(later)] += later
    found[1 : len(earlier) + 1] += earlier
    return found


def shares_by_loss_step(run: Run, loss: Tensor) -> Iterator[Use]:
    """Every use of every parameter in the steps of `run`, with its share of the gradient split by the step of the loss.

    One ordinary sweep finds where the loss takes values from the run; one batched sweep sends them all back, the
    contribution of step s in row s. Memory is that of T cotangents of each value on the way.
    """
    steps: dict[Scope | None, tuple[int, bool]]
    steps = {scope: (t, part.reverse) for part in run.cells for t, scope in enumerate(part.scopes)}
    parameters = dict(run.cell.named_parameters())
    owner = {parameter.id: name for name, parameter in parameters.items()}
    outputs, cotangents = [], []
    for value, s, cotangent in direct(run, loss):
        rows = np.zeros((len(run), *value.shape), value.dtype)
        rows[s] = cotangent
        outputs.append(value)
        cotangents.append(Batched(rows))
    for node, _, edges in sweep(outputs, cotangents, list(parameters.values())):
        at = steps.get(node.scope.step) if node.scope is not None else None
        for operand, contribution in edges:
            name = owner.get(node.inputs[operand].id)
            if name is not None and at is not None:
                yield Use(name, *at, dense(contribution).array)


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

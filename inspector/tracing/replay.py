"""A compiled run once more, step by step, so that there is a graph to draw."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_rnn import Graph, Tensor, concatenate, stack
from tinygrad_rnn.autodiff.arrays import plain
from tinygrad_rnn.recurrent.inner import TRAJECTORY, TRAJECTORY_AGAIN, VALUE, VALUE_AGAIN
from tinygrad_rnn.recurrent.lazy import stacked
from tinygrad_rnn.recurrent.states import leaves_of, rebuild
from tinygrad_rnn.recurrent.unroll import Run, unroll

__all__ = ["loss_step_by_step", "member_of", "recorded", "step_by_step"]

_ONE, _EVERY = (VALUE, VALUE_AGAIN), (TRAJECTORY, TRAJECTORY_AGAIN)
"""What reads a value of a compiled run at one timestep, and at all; of a checkpointed run it is computed again."""


def recorded(run: Run, loss: Tensor) -> tuple[Run, Tensor]:
    """A run and its loss with every operation on record: themselves, or if any of it is compiled, a replay.

    What is no run is handed back as it is, for :func:`inspector.trace` to refuse.

    Raises
    ------
    ValueError
        If the run is that of an ensemble.
    """
    if not isinstance(run, Run) or all(part.tape is None for part in run.cells):
        return run, loss
    replayed = step_by_step(run)
    return replayed, loss_step_by_step(loss, run, replayed)


def step_by_step(run: Run) -> Run:
    """The same cell over the same inputs from the same states, every operation recorded."""
    from tinygrad_rnn.compiler import CompiledEnsemble, uncompiled

    if isinstance(run.cell, CompiledEnsemble):
        raise ValueError(f"{run.cell!r} are many graphs; unroll one of its members and look at that")
    return _again(run, uncompiled(run.cell), [plain(leaf) for leaf in leaves_of(run.initial_state)])


def _again(run: Run, cell: Any, start: list[Any]) -> Run:
    """A cell that records what it does over the inputs of a compiled run, from the leaves of a state."""
    tape = next(part.tape for part in run.cells if part.tape is not None)
    mask = tape.attributes.get("mask")
    return unroll(
        cell,
        stacked(run.inputs).data,
        rebuild(run.initial_state, iter(start)),
        truncate=tape.attributes.get("truncate"),
        mask=None if mask is None else mask[:, :, 0],
        reverse=run.reverse,
        between=run.between or None,
    )


def member_of(run: Run, loss: Tensor, k: int) -> tuple[Run, Tensor]:
    """One member of an ensemble's run with every operation on record, and the same loss, which depends on it alone.

    What the loss reads of the other members is constant.
    """
    ensemble: Any = run.cell
    cell, stacked_parameters = copy.deepcopy(ensemble.members[k]), dict(ensemble.named_parameters())
    for name, parameter in cell.named_parameters():
        parameter.data = stacked_parameters[name].data[k].copy()
    replayed = _again(run, cell, [plain(leaf)[k] for leaf in leaves_of(run.initial_state)])
    graph = Graph(loss)
    feeds: dict[Any, Tensor] = {}
    for node in graph.nodes:
        tensor = node.tensor
        if tensor is None or tensor.op not in _ONE + _EVERY or tensor.inputs[0] is not run.tape:
            continue
        one, axis = _same(tensor, run, replayed), int(tensor.op in _EVERY)  # members stand behind time
        before, _, after = np.split(tensor.data, [k, k + 1], axis)
        feeds[node] = concatenate([before, one.reshape((*one.shape[:axis], 1, *one.shape[axis:])), after], axis)
    result: Tensor = graph.run(feeds)
    return replayed, result


def loss_step_by_step(loss: Tensor, run: Run, replayed: Run) -> Tensor:
    """The loss of a compiled run, computed from its replay."""
    parts = {
        old.tape.id: (old, new) for old, new in zip(run.cells, replayed.cells, strict=True) if old.tape is not None
    }
    graph = Graph(loss)
    feeds: dict[Any, Tensor] = {}
    for old, new in zip(run.cells, replayed.cells, strict=True):
        if old.tape is None:
            feeds.update((graph.find(one), other) for one, other in _pairs(old, new) if one in graph)
    for node in graph.nodes:
        tensor = node.tensor
        if tensor is None or tensor.op not in _ONE + _EVERY or tensor.inputs[0].id not in parts:
            continue
        old, new = parts[tensor.inputs[0].id]
        feeds[node] = _same(tensor, old, new)
    result: Tensor = graph.run(feeds)
    return result


def _pairs(old: Run, new: Run) -> Iterator[tuple[Tensor, Tensor]]:
    """The values of a layer that is not compiled itself, and what they are in the replay."""
    yield from zip(old.outputs, new.outputs, strict=True)
    yield from ((value, new.names[key]) for key, value in old.names.items() if key[0] != "x")


def _same(tensor: Tensor, old: Run, new: Run) -> Tensor:
    """The value of the replay that a value of the compiled run stands for."""
    _, name = tensor.attributes["key"]
    series = new.outputs if not name else [new.names[name, t] for t in range(len(new))]
    if tensor.op in _ONE:
        row = tensor.attributes["row"]
        value: Tensor = series[len(new) - 1 - row if old.reverse else row]
        return value
    return stack(list(series)[::-1] if old.reverse else series)  # type: ignore[no-any-return]

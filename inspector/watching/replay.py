"""A record run once more, by our own cells: a run and a loss whose gradients are those of the model's loss."""

from __future__ import annotations

import importlib.util
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

import tinygrad_rnn as tg
from tinygrad_rnn.interop.weights import Group
from tinygrad_rnn.recurrent.states import leaves_of, rebuild
from tinygrad_rnn.recurrent.unroll import Run

from .record import Record

Array = npt.NDArray[Any]

__all__ = ["Replay", "replay"]

_LONG, _MANY = 1024, 2**22
"""Timesteps times weights, or numbers on the tape, from which compiling pays."""
_MUCH = 2**30
"""Bytes on the tape from which it is computed again piece by piece instead."""


@dataclass(frozen=True, eq=False)
class Replay:
    """A record as a run of ours.

    Attributes
    ----------
    run : Run
    loss : Tensor
        The sum of what went out times the gradient that came to it: its derivatives are those of the model's own loss.
    inputs : Tensor (T, batch, features)
    states : dict of str to list of Tensors
        By name those before the first step, where they were given.
    """

    run: Run
    loss: tg.Tensor
    inputs: tg.Tensor
    states: dict[str, list[tg.Tensor]]


@np.errstate(all="ignore")  # what is not finite in the model is not news, and said where it is looked at
def replay(record: Record, dtype: Any) -> Replay:
    """Run a record through cells with its weights."""
    cell = _cell(record, dtype)
    batch = record.inputs.shape[1]
    inputs = tg.tensor(record.inputs.astype(dtype, copy=False), requires_grad=True)
    start, states = _start(record, cell, batch, dtype)
    run = tg.unroll(
        cell,
        inputs,
        start,
        lengths=record.lengths,
        between=[mask.astype(dtype, copy=False) for mask in record.masks] or None,
        restarts={
            t: [None if one is None else one.astype(dtype, copy=False) for one in row]
            for t, row in record.restarts.items()
        }
        or None,
    )
    return Replay(run, _loss(record, run, dtype), inputs, states)


def _cell(record: Record, dtype: Any) -> Any:
    """Our cells with the weights of a record, compiled where that pays."""
    cell = Group("", dict(record.weights), record.kind.nonlinearity).network(dtype)
    small = len(record.inputs) * len(record.weights) < _LONG and record.numbers < _MANY
    if small or record.restarts or importlib.util.find_spec("numba") is None:
        return cell
    return tg.compile(cell, checkpoint="sqrt" if record.numbers * np.dtype(dtype).itemsize > _MUCH else None)


def _start(record: Record, cell: Any, batch: int, dtype: Any) -> tuple[Any, dict[str, list[tg.Tensor]]]:
    """The initial state in the nesting of the cell, and its Tensors by name."""
    if not record.states:
        return None, {}
    rows = {name: state if state.ndim == 3 else state[None] for name, state in record.states.items()}
    made = {
        name: [tg.tensor(row.astype(dtype, copy=False), requires_grad=True) for row in state]
        for name, state in rows.items()
    }
    in_order = (tensor for one in zip(*[made[name] for name in record.kind.states], strict=True) for tensor in one)
    return rebuild(cell.initial_state(batch), in_order), made


def _loss(record: Record, run: Run, dtype: Any) -> tg.Tensor:
    terms: list[tg.Tensor] = []
    names = record.kind.states
    for name, seed in record.seeds.items():
        seed = seed.astype(dtype, copy=False)
        if name == "outputs":
            terms += _product(run.outputs, run, seed)
        elif record.kind.steps_once:
            terms += _product([run.names[name, t] for t in range(len(run))], run, seed)
        else:
            finals = leaves_of(run.final_state)[names.index(name) :: len(names)]
            terms += [(final * row).sum() for final, row in zip(finals, seed, strict=True) if row.any()]
    return reduce(operator.add, terms) if terms else (run.outputs[-1] * 0.0).sum()


def _product(values: Sequence[tg.Tensor], run: Run, seed: Array) -> Iterator[tg.Tensor]:
    """The sum of values times their seeds, over the steps that have any."""
    steps = [t for t in range(len(run)) if seed[t].any()]
    if len(steps) == len(run) and values is run.outputs:
        yield (run.stacked * seed).sum()
    elif steps:
        yield (tg.stack([values[t] for t in steps]) * seed[steps]).sum()

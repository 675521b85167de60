"""Mistakes in time: what the loss sends, or what is handed on from step to step, is cut off somewhere."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from tinygrad_rnn import Tensor
from tinygrad_rnn.autodiff.primitives import where
from tinygrad_rnn.plurals import counted
from tinygrad_rnn.recurrent.inner import HELD
from tinygrad_rnn.recurrent.states import leaves_of

from .altered import CUT, Change, Changes, Key, Mistake, Pull
from .step_roles import Steps

Array = npt.NDArray[Any]

__all__ = ["cut_short"]

_SHORT = 16
_ROUND = (
    20,
    24,
    25,
    30,
    32,
    35,
    40,
    48,
    50,
    60,
    64,
    70,
    75,
    80,
    90,
    96,
    100,
    120,
    128,
    150,
    200,
    250,
    256,
    300,
    400,
    500,
)
"""The lengths of windows that are tried: all that are short, and those that people choose."""


def cut_short(steps: Steps) -> Iterator[Mistake]:
    """All of them, and a padding that is not cut off."""
    yield from _loss(steps)
    yield from _truncated(steps)
    yield from _carried(steps)
    yield from _unmasked(steps)


def _loss(steps: Steps) -> Iterator[Mistake]:
    """Not all that the loss reads sends its gradient."""
    read: dict[int, list[Key]] = defaultdict(list)
    named: dict[str, list[Key]] = defaultdict(list)
    count = len(steps.run)
    times = {scope: t for part in steps.run.cells for t, scope in enumerate(part.scopes)}
    states = {
        leaf.id: name
        for layer in steps.layers
        for state in layer.states
        for name, leaf in zip(layer.fields, leaves_of(state), strict=True)
    }
    for node in steps.outside:
        for operand, value in enumerate(node.inputs):
            if isinstance(value, Tensor) and value.scope is not None and value.timestep is not None:
                step = value.scope.step
                read[times.get(step, value.timestep)].append((node.id, operand))  # type: ignore[arg-type]
                named[states.get(value.id, "the output")].append((node.id, operand))
    if len(read) > 1:
        last, first = max(read), min(read)
        for says, kept in (
            (f"only the loss of the last step, t = {last}, is sent back", {last}),
            (f"only the loss of the first step, t = {first}, is sent back", {first}),
            (f"the loss of the last step, t = {last}, is left out", set(range(count)) - {last}),
            (f"the loss of the first step, t = {first}, is left out", set(range(count)) - {first}),
        ):
            yield Mistake(says, {key: (CUT,) for t, keys in read.items() if t not in kept for key in keys})
    if len(named) > 1:
        for name, keys in named.items():
            yield Mistake(f"what the loss sends to {name} is left out", dict.fromkeys(keys, (CUT,)))


def _truncated(steps: Steps) -> Iterator[Mistake]:
    """Windows of many lengths."""
    count = len(steps.run)
    crossing = [[key for layer in steps.layers for key in layer.crossing(k)] for k in range(count)]
    for length in [*range(1, _SHORT + 1), *_ROUND]:
        if length >= count:
            return
        forwards = [k for k in range(1, count) if k % length == 0]
        backwards = [k for k in range(1, count) if (count - k) % length == 0]
        window = f"truncated: windows of {counted(length, 'step')}"
        yield Mistake(f"{window}, counted from the first step", _cut(crossing[k] for k in forwards))
        if backwards != forwards and len(backwards) > 1:
            yield Mistake(f"{window}, counted from the last step", _cut(crossing[k] for k in backwards))
        if len(backwards) > 1 or forwards != backwards:
            says = f"truncated: nothing goes back further than {counted(length, 'step')} from the end"
            yield Mistake(says, _cut([crossing[count - length]]))


def _cut(keys: Iterable[Iterable[Key]]) -> Changes:
    return {key: (CUT,) for group in keys for key in group}


def _carried(steps: Steps) -> Iterator[Mistake]:
    """A state's gradient that is not handed on to the step before."""
    for layer in steps.layers:
        if len(layer.fields) > 1 or len(steps.layers) > 1:
            for field in layer.fields:
                keys = [key for k in range(len(layer.nodes)) for key in layer.crossing(k, field)]
                says = f"{layer.label}the gradient by {field}ₜ₋₁ is not handed on to the step before"
                yield Mistake(says, dict.fromkeys(keys, (CUT,)))


def _unmasked(steps: Steps) -> Iterator[Mistake]:
    """Where sequences have ended, the gradient goes on as if they had not."""
    changes: Changes = {}
    for layer in steps.layers:
        for operations in layer.nodes:
            for node in operations:
                if node.op is HELD or (node.op is where and isinstance(node.inputs[0], np.ndarray)):
                    changes[node.id, 1] = (Change(_through, replaces=True),)
                    changes[node.id, 2] = (CUT,)
    if any(node.op is HELD for layer in steps.layers for step in layer.nodes for node in step):
        yield Mistake("the padding is not masked", changes)


def _through(rows: Array, lane: int, pull: Pull) -> None:
    if rows.shape == pull.cotangent.array.shape:
        rows[lane] = pull.cotangent.array[lane]

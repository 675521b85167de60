"""Checkpoints: keep the states at intervals, and compute the rest again when it is needed.

Chen et al. 2016, "Training deep nets with sublinear memory cost": with an interval of sqrt(T) both what is kept and
what is computed again at a time grow with sqrt(T), for one more forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .backward import Cotangents, Seeds
from .program import Array, Key
from .recurrence import Recurrence
from .tape import Track

__all__ = ["backward", "forward", "interval", "segment", "segments", "tracks", "trajectory"]


def interval(checkpoint: str | int, steps: int) -> int:
    """The number of steps between checkpoints: ``"sqrt"`` or a number."""
    return max(1, round(steps**0.5)) if checkpoint == "sqrt" else min(int(checkpoint), steps)


def segments(steps: int, every: int) -> list[tuple[int, int]]:
    """The ranges of steps between checkpoints."""
    return [(start, min(start + every, steps)) for start in range(0, steps, every)]


def tracks(recurrence: Recurrence, steps: int, every: int) -> dict[Key, Track]:
    """What a checkpointed tape holds: the states in front of each segment, and the final ones."""
    rows = len(segments(steps, every)) + 1
    found: dict[Key, Track] = {}
    start = 0
    for name in recurrence.state_names:
        shape = recurrence.step.types[recurrence.step.outputs["state", name]].shape
        found["state", name] = Track(start, rows, shape)
        start = found["state", name].stop
    return found


def forward(
    recurrence: Recurrence, x: Array, states: Sequence[Array], operands: Sequence[Array], mask: Array | None, every: int
) -> Array:
    """The checkpointed tape of a run."""
    layout = tracks(recurrence, len(x), every)
    tape = np.empty(max(track.stop for track in layout.values()), recurrence.dtype)
    for name, state in zip(recurrence.state_names, states, strict=True):
        layout["state", name].on(tape)[0] = state
    room: dict[int, Array] = {}
    for number, (start, stop) in enumerate(segments(len(x), every)):
        piece = _again(recurrence, tape, x, operands, mask, every, number, room)
        inner = recurrence.tracks(stop - start)
        for name in recurrence.state_names:
            layout["state", name].on(tape)[number + 1] = inner["state", name].on(piece)[-1]
    return tape


def segment(
    recurrence: Recurrence,
    tape: Array,
    x: Array,
    operands: Sequence[Array],
    mask: Array | None,
    every: int,
    number: int,
) -> Array:
    """The full tape of one segment."""
    return _again(recurrence, tape, x, operands, mask, every, number, {})


def trajectory(
    recurrence: Recurrence, tape: Array, x: Array, operands: Sequence[Array], mask: Array | None, every: int, key: Key
) -> Array:
    """One value at all timesteps, (T, ...)."""
    room: dict[int, Array] = {}
    whole = np.empty((len(x), *recurrence.tracks(1)[key].shape), recurrence.dtype)
    for number, (start, stop) in enumerate(segments(len(x), every)):
        piece = _again(recurrence, tape, x, operands, mask, every, number, room)
        whole[start:stop] = recurrence.tracks(stop - start)[key].on(piece)[int(key[0] == "state") :]
    return whole


def _again(
    recurrence: Recurrence,
    tape: Array,
    x: Array,
    operands: Sequence[Array],
    mask: Array | None,
    every: int,
    number: int,
    room: dict[int, Array],
) -> Array:
    """A segment computed again, in the room where one of its length was before."""
    layout = tracks(recurrence, len(x), every)
    start, stop = segments(len(x), every)[number]
    states = [layout["state", name].on(tape)[number] for name in recurrence.state_names]
    part = None if mask is None else mask[start:stop]
    room[stop - start] = recurrence.forward(x[start:stop], states, operands, part, room.get(stop - start))
    return room[stop - start]


def backward(
    recurrence: Recurrence,
    tape: Array,
    x: Array,
    operands: Sequence[Array],
    mask: Array | None,
    seeds: Seeds,
    cut: int,
    detail: str,
    wanted: Iterable[Key] | None,
    every: int,
) -> Cotangents:
    """As :meth:`Recurrence.backward`, segment by segment from the last."""
    loop = recurrence.adjoint_loop(seeds.everywhere, detail)
    ranges = segments(len(x), every)
    room: dict[int, Array] = {}
    carry: Mapping[str, Array] = seeds.last
    dx: Array | None = None
    totals: list[Any] = [None] * len(operands)
    inner: dict[Key, Array] = {}
    shares: list[Callable[[int], Sequence[Any]]] = []
    for number, (start, stop) in reversed(list(enumerate(ranges))):
        piece = _again(recurrence, tape, x, operands, mask, every, number, room if detail != "all" else {})
        outside = Seeds({key: array[start:stop] for key, array in seeds.everywhere.items()}, carry)
        part = None if mask is None else mask[start:stop]
        found = loop.run(piece, x[start:stop], operands, part, outside, cut, start, wanted)
        carry = {name: np.array(state) for name, state in found.states.items()}
        totals = [_plus(total, share) for total, share in zip(totals, found.operands, strict=True)]
        if found.x is not None:
            dx = np.empty((len(x), *found.x.shape[1:]), found.x.dtype) if dx is None else dx
            dx[start:stop] = found.x
        for key, rows in found.inner.items():
            whole = inner.setdefault(key, np.empty((len(x), *rows.shape[1:]), rows.dtype))
            whole[start:stop] = rows
        shares.append(found.share)

    def share(k: int) -> Sequence[Any]:
        return shares[len(ranges) - 1 - k // every](k % every)

    result = Cotangents(dx, carry, totals, inner, share)
    return replace(result, inner=recurrence.as_named(inner, carry, mask, cut)) if detail else result


def _plus(total: Any, share: Any) -> Any:
    if total is None or share is None:
        return share if total is None else total
    return total + share

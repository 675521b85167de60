"""Checkpoints: keep the states at intervals, and compute the rest again when it is needed.

Chen et al. 2016, "Training deep nets with sublinear memory cost": with an interval of sqrt(T) both what is kept and
what is computed again at a time grow with sqrt(T), for one more forward pass.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .backward import Cotangents, Seeds
from .given import Given
from .program import Array, Key, Name
from .recurrence import Recurrence
from .tape import Track

__all__ = ["Checkpointed", "interval"]


def interval(checkpoint: str | int, steps: int) -> int:
    """The number of steps between checkpoints: ``"sqrt"`` or a number."""
    return max(1, round(steps**0.5)) if checkpoint == "sqrt" else min(int(checkpoint), steps)


class Checkpointed:
    """A recurrence whose tape holds the states in front of each segment of a run, and the final ones.

    Parameters
    ----------
    recurrence : Recurrence
    every : int
        Steps of a segment.
    """

    def __init__(self, recurrence: Recurrence, every: int) -> None:
        self.recurrence = recurrence
        self.every = every
        self._tracks: dict[int, dict[Key, Track]] = {}

    def segments(self, steps: int) -> list[tuple[int, int]]:
        """The ranges of steps between checkpoints."""
        return [(start, min(start + self.every, steps)) for start in range(0, steps, self.every)]

    def tracks(self, steps: int) -> dict[Key, Track]:
        """What the tape of a run of that many timesteps holds, and where."""
        if steps not in self._tracks:
            self._tracks[steps] = self._lay_out(len(self.segments(steps)) + 1)
        return self._tracks[steps]

    def _lay_out(self, rows: int) -> dict[Key, Track]:
        found: dict[Key, Track] = {}
        start = 0
        for name in self.recurrence.state_names:
            shape = self.recurrence.step.types[self.recurrence.step.outputs["state", name]].shape
            found["state", name] = Track.of(shape, start, rows)
            start = found["state", name].stop
        return found

    def forward(self, given: Given) -> Array:
        """The tape of a run."""
        tracks = self.tracks(given.steps)
        tape = np.empty(max(track.stop for track in tracks.values()), self.recurrence.dtype)
        for track, state in zip(tracks.values(), given.operands[1:], strict=False):
            track.on(tape)[0] = state
        room: dict[int, Array] = {}
        for number, (start, stop) in enumerate(self.segments(given.steps)):
            inner = self.recurrence.tracks(stop - start)
            piece = self.segment(tape, given, number, room)
            for key, track in tracks.items():
                track.on(tape)[number + 1] = inner[key].on(piece)[-1]
        return tape

    def segment(self, tape: Array, given: Given, number: int, room: dict[int, Array] | None = None) -> Array:
        """The full tape of one segment, computed again; in the `room` where one of its length was before."""
        start, stop = self.segments(given.steps)[number]
        states = [track.on(tape)[number] for track in self.tracks(given.steps).values()]
        room = {} if room is None else room
        found = self.recurrence.forward(given.part(start, stop, states), room.get(stop - start))
        room[stop - start] = found
        return found

    def trajectory(self, tape: Array, given: Given, key: Key) -> Array:
        """One value at all timesteps, (T, ...)."""
        room: dict[int, Array] = {}
        whole = np.empty((given.steps, *self.recurrence.tracks(1)[key].shape), self.recurrence.dtype)
        for number, (start, stop) in enumerate(self.segments(given.steps)):
            track = self.recurrence.tracks(stop - start)[key]
            whole[start:stop] = track.on(self.segment(tape, given, number, room))[int(key[0] == "state") :]
        return whole

    def backward(
        self, tape: Array, given: Given, seeds: Seeds, detail: str = "", wanted: Sequence[int] | None = None
    ) -> Cotangents:
        """As :meth:`Recurrence.backward`, segment by segment from the last."""
        loop = self.recurrence.adjoint_loop(seeds.everywhere, detail)
        segments = self.segments(given.steps)
        room: dict[int, Array] = {}
        carry: Mapping[Name, Array] = seeds.last
        arriving: dict[int, Mapping[Name, Array]] = {}
        dx: Array | None = None
        totals: list[Any] = [None] * (len(given.operands) - 1 - len(self.recurrence.state_names))
        inner: dict[Key, Array] = {}

        def go_back(number: int, room: dict[int, Array] | None) -> Cotangents:
            start, stop = segments[number]
            outside = {key: array[start:stop] for key, array in seeds.everywhere.items()}
            piece = self.segment(tape, given, number, room)
            return loop.run(piece, given.part(start, stop), Seeds(outside, arriving[number]), wanted)

        for number, (start, stop) in reversed(list(enumerate(segments))):
            arriving[number] = carry
            found = go_back(number, room)
            carry = {name: np.array(state) for name, state in found.states.items()}
            totals = [_plus(total, share) for total, share in zip(totals, found.operands, strict=True)]
            if found.x is not None:
                dx = np.empty((given.steps, *found.x.shape[1:]), found.x.dtype) if dx is None else dx
                dx[start:stop] = found.x
            for key, rows in found.inner.items():
                whole = inner.setdefault(key, np.empty((given.steps, *rows.shape[1:]), rows.dtype))
                whole[start:stop] = rows

        @functools.cache  # whoever asks for one share, asks for those of all parameters
        def share_in(number: int) -> Callable[[int], Sequence[Any]]:
            return go_back(number, None).share

        def share(k: int) -> Sequence[Any]:
            return share_in(k // self.every)(k % self.every)

        result = Cotangents(dx, carry, totals, inner, share)
        return result._replace(inner=self.recurrence.as_named(inner, carry, given)) if detail else result


def _plus(total: Any, share: Any) -> Any:
    if total is None or share is None:
        return share if total is None else total
    return total + share

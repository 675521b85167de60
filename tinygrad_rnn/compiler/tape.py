"""The tape: one array that holds everything a run leaves behind, and where on it each value lies."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from .places import Place, Row
from .program import Array, Key, Program, label

__all__ = ["Layout", "Track", "place_on_tape"]


class Track(NamedTuple):
    """A value at all timesteps: the element it begins at, its rows (T, or T + 1 for a state), its shape."""

    start: int
    rows: int
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Elements of a row."""
        return math.prod(self.shape)

    @property
    def stop(self) -> int:
        return self.start + self.rows * self.size

    def on(self, tape: Array) -> Array:
        """The value at all timesteps, (rows, *shape)."""
        start, rows, shape = self
        return tape[start : start + rows * math.prod(shape)].reshape(rows, *shape)


class Layout:
    """What the tape of a run of a given length holds, and where.

    Parameters
    ----------
    step : Program
    taped : mapping of Key to value
    steps : int

    Attributes
    ----------
    tracks : dict of Key to Track
    length : int
        Elements of the tape.
    slices : dict of str to slice
        The tracks, by the names that places use.
    starts : list of slice
        Where the initial states lie.
    """

    def __init__(self, step: Program, taped: Mapping[Key, int], steps: int) -> None:
        self.tracks: dict[Key, Track] = {}
        self.length = 0
        for key, value in taped.items():
            track = Track(self.length, steps + (key[0] == "state"), step.types[value].shape)
            self.tracks[key] = track
            self.length = track.stop
        self.slices = {label(key): slice(t.start, t.stop) for key, t in self.tracks.items()}
        self.starts = [slice(t.start, t.start + t.size) for key, t in self.tracks.items() if key[0] == "state"]

    def buffers(self, tape: Array) -> dict[str, Array]:
        """Every track as a flat buffer, by the name that places use."""
        return {name: tape[where] for name, where in self.slices.items()}


def place_on_tape(key: Key, shape: tuple[int, ...]) -> Place:
    """Where step k finds what it has computed itself: a state behind the one it started from."""
    return Place.whole(label(key), Row.NEXT if key[0] == "state" else Row.NOW, shape)

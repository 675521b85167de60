"""The tape: one array that holds everything a run leaves behind, and where on it each value lies."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from .places import Place, Row
from .program import Array, Key, Program, label

__all__ = ["Layout", "Track", "place_on_tape", "tracks_on_tape"]


class Track(NamedTuple):
    """A value at all timesteps: the element it begins at, its rows (T, or T + 1 for a state), its shape, and how many
    elements that is.
    """

    start: int
    rows: int
    shape: tuple[int, ...]
    size: int

    @classmethod
    def of(cls, shape: tuple[int, ...], start: int, rows: int) -> Track:
        """A value of that shape."""
        return cls(start, rows, shape, math.prod(shape))

    @property
    def stop(self) -> int:
        return self.start + self.rows * self.size

    def on(self, tape: Array) -> Array:
        """The value at all timesteps, (rows, *shape)."""
        return tape[self.start : self.stop].reshape(self.rows, *self.shape)


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
    slices : tuple of slice
        Where each track lies, in their order.
    starts : tuple of slice
        Where the initial states lie.
    """

    def __init__(self, step: Program, taped: Mapping[Key, int], steps: int) -> None:
        self.tracks: dict[Key, Track] = {}
        self.length = 0
        for key, value in taped.items():
            track = Track.of(step.types[value].shape, self.length, steps + (key[0] == "state"))
            self.tracks[key] = track
            self.length = track.stop
        self.slices = tuple([slice(t.start, t.stop) for t in self.tracks.values()])
        self.starts = tuple([slice(t.start, t.start + t.size) for key, t in self.tracks.items() if key[0] == "state"])


def place_on_tape(key: Key, shape: tuple[int, ...]) -> Place:
    """Where step k finds what it has computed itself: a state behind the one it started from."""
    return Place.whole(label(key), Row.NEXT if key[0] == "state" else Row.NOW, shape)


def tracks_on_tape(taped: Iterable[Key]) -> dict[str, str]:
    """Every track as a flat buffer, by the name that places use: as an expression of a layout's ``slices``."""
    return {label(key): f"tape[slices[{k}]]" for k, key in enumerate(taped)}

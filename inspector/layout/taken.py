"""What is taken of the plane: where something small, such as a badge or a name, may still stand."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from .grid import Box
from .polylines import Path

__all__ = ["Taken"]

_TILE = 64.0
_HEAD = (9.0, 5.0)
"""Points of an arrowhead along its line, and to each side of it."""


class Taken:
    """Boxes on which nothing may lie, found by where they are."""

    def __init__(self) -> None:
        self._tiles: dict[tuple[int, int], list[Box]] = {}

    def add(self, box: Box) -> None:
        """Left, bottom, right and top of what is there."""
        for tile in _tiles(box):
            self._tiles.setdefault(tile, []).append(box)

    def add_line(self, path: Path, width: float, arrow: bool = True) -> None:
        """A line of upright and level stretches, with room on both sides of it, and its arrowhead."""
        for a, b in itertools.pairwise(path):
            self.add(_around(a, b, width / 2 + 1, width / 2 + 1))
        if arrow:
            (ax, ay), (bx, by) = path[-2:]
            long, wide = _HEAD
            if abs(ax - bx) < abs(ay - by):
                self.add(_around((bx, by + math.copysign(long, ay - by)), (bx, by), wide, 0.0))
            else:
                self.add(_around((bx + math.copysign(long, ax - bx), by), (bx, by), 0.0, wide))

    def is_free(self, box: Box) -> bool:
        """Whether nothing is there."""
        return not any(self._hits(box))

    def covered(self, box: Box) -> float:
        """How much of it is taken, in square points; what lies on what else counts twice."""
        return sum({(x0, y0, x1, y1): across * up for x0, y0, x1, y1, across, up in self._hits(box)}.values())

    def _hits(self, box: Box) -> Iterator[tuple[float, ...]]:
        """What is there, and how far it reaches into the box."""
        left, bottom, right, top = box
        for tile in _tiles(box):
            for x0, y0, x1, y1 in self._tiles.get(tile, ()):
                if x0 < right and left < x1 and y0 < top and bottom < y1:
                    yield x0, y0, x1, y1, min(right, x1) - max(left, x0), min(top, y1) - max(bottom, y0)


def _around(a: tuple[float, float], b: tuple[float, float], across: float, up: float) -> Box:
    (ax, ay), (bx, by) = a, b
    return min(ax, bx) - across, min(ay, by) - up, max(ax, bx) + across, max(ay, by) + up


def _tiles(box: Box) -> Iterator[tuple[int, int]]:
    left, bottom, right, top = (int(side // _TILE) for side in box)
    return itertools.product(range(left, right + 1), range(bottom, top + 1))

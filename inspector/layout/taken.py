"""What is taken of the plane: where something small, such as a badge or a name, may still stand."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from .grid import Box
from .polylines import Path

__all__ = ["Taken"]

_TILE = 64.0
_HEAD = (12.0, 6.0)
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
            self.add(_around(a, b, width / 2 + 1))
        if arrow:
            (ax, ay), (bx, by) = path[-2:]
            long, wide = _HEAD
            upright = abs(ax - bx) < abs(ay - by)
            back = (bx, by + (long if ay > by else -long)) if upright else (bx + (long if ax > bx else -long), by)
            self.add(_around(back, (bx, by), wide))

    def is_free(self, box: Box) -> bool:
        """Whether nothing is there."""
        left, bottom, right, top = box
        return not any(
            x0 < right and left < x1 and y0 < top and bottom < y1
            for tile in _tiles(box)
            for x0, y0, x1, y1 in self._tiles.get(tile, ())
        )

    def first_free(self, boxes: Sequence[Box]) -> Box | None:
        """The first of some places where nothing is."""
        return next((box for box in boxes if self.is_free(box)), None)


def _around(a: tuple[float, float], b: tuple[float, float], by: float) -> Box:
    (ax, ay), (bx, by_) = a, b
    return min(ax, bx) - by, min(ay, by_) - by, max(ax, bx) + by, max(ay, by_) + by


def _tiles(box: Box) -> Iterator[tuple[int, int]]:
    left, bottom, right, top = (int(side // _TILE) for side in box)
    return itertools.product(range(left, right + 1), range(bottom, top + 1))

"""Where the names of gates stand: beside the lines that carry them, as in the textbooks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ..steps.items import Item, Key, Step
from ..text import label_width, shortened, subscript
from .grid import Box
from .place import Placement
from .polylines import Path
from .route import Wire
from .taken import Taken

__all__ = ["HEIGHT", "Spot", "name_of", "names_beside"]

HEIGHT = 11.0
_ROOMS = (60.0, 48.0, 36.0, 28.0, 20.0)
"""Points of a name, by how little room there is."""
_LINE, _APART, _STRIDE = 4.3, 1.5, 4.0
"""Points of the widest line, from a name to what it stands beside, and from one try to the next along a line."""


class Spot(NamedTuple):
    """Where the middle of a name stands, in the step's coordinates, and how wide the name may be."""

    x: float
    y: float
    room: float


def name_of(item: Item, timestep: int, room: float) -> str:
    """What stands beside the line of a gate."""
    return shortened(item.name, room) + subscript(timestep)


def names_beside(step: Step, placement: Placement, wires: Mapping[Wire, Path], last: int) -> dict[Key, Spot]:
    """Where the names of a step's items stand; there is room for them up to timestep `last`."""
    named = [item for item in step.inside if item.name]
    taken = _taken(step, placement, wires) if named else Taken()
    found = {}
    for item in named:
        lines = [path for wire, path in wires.items() if wire.source == item.key]
        for room in _ROOMS:
            width = label_width(name_of(item, last, room))
            tries = itertools.chain(*(_along(path, width) for path in lines), _around(item, placement, width))
            inside = (box for box in tries if _is_inside(box, placement))
            box = next((box for box in inside if taken.is_free(box)), None)
            if box is not None:
                taken.add(box)
                found[item.key] = Spot((box[0] + box[2]) / 2, (box[1] + box[3]) / 2, room)
                break
    return found


def _taken(step: Step, placement: Placement, wires: Mapping[Wire, Path]) -> Taken:
    taken = Taken()
    for item in step.inside:
        taken.add(_outline(item, placement))
    for wire, path in wires.items():
        taken.add_line(path, _LINE, not wire.target.is_port)
    taken.add((8.0, placement.height - 22.0, 16.0 + placement.title, placement.height))
    return taken


def _outline(item: Item, placement: Placement) -> Box:
    (x, y), (width, height) = placement.at[item.key], item.size
    return x - width / 2 - 1, y - height / 2 - 1, x + width / 2 + 1, y + height / 2 + 1


def _is_inside(box: Box, placement: Placement) -> bool:
    left, bottom, right, top = box
    return left > 2 and bottom > 2 and right < placement.width - 2 and top < placement.height - 2


def _along(path: Path, width: float) -> Iterator[Box]:
    """Beside a line, from where it begins: right of it and left of it, or above and below."""
    aside = _LINE / 2 + _APART
    for (ax, ay), (bx, by) in itertools.pairwise(path):
        upright = abs(ax - bx) < abs(ay - by)
        long, half = abs(bx - ax) + abs(by - ay), (HEIGHT if upright else width) / 2
        steps = max(1, int((long - 2 * half) // _STRIDE) + 1) if long > half else 1
        for k in range(steps):
            part = min(1.0, (half + 1 + _STRIDE * k) / long) if long > 2 * half else 0.5
            x, y = ax + (bx - ax) * part, ay + (by - ay) * part
            for away, side in itertools.product((aside, aside + 3.0), (1, -1)):
                dx, dy = (away + width / 2, 0.0) if upright else (0.0, away + HEIGHT / 2)
                yield _box(x + side * dx, y + side * dy, width)


def _around(item: Item, placement: Placement, width: float) -> Iterator[Box]:
    """Beside a shape."""
    (x, y), dx, dy = placement.at[item.key], item.size[0] / 2 + 1 + _APART, item.size[1] / 2 + 1 + _APART
    aside = dx - width / 2, width / 2 - dx, width / 2, 0.0
    for up, shift in itertools.product((1, -1), aside):
        yield _box(x + shift, y + up * (dy + HEIGHT / 2), width)
    for side in (1, -1):
        yield _box(x + side * (dx + width / 2), y, width)


def _box(x: float, y: float, width: float) -> Box:
    return x - width / 2, y - HEIGHT / 2, x + width / 2, y + HEIGHT / 2

"""The grid of centre lines, gutters and channels along which lines may run."""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from ..steps.items import Item
from .order import Spacing
from .place import Placement

__all__ = ["Box", "grid", "nearest", "pins_of"]

Box: TypeAlias = tuple[float, float, float, float]
_PASSAGE, _CLEAR = 12.0, 4.5
"""Points between two shapes that a line may pass between, and that it keeps from each."""
_TAP = 14.0
"""Points from a list of chips to the line that feeds them."""


def pins_of(item: Item) -> tuple[float, ...]:
    """How far from the middle of an item lines may enter from below or above; one place is enough for up to three
    lines.
    """
    beside = round(item.size[0] / 2 - 8, 1)
    return (0.0,) if len({link.source for link in item.links}) <= 3 or beside < 8 else (-beside, 0.0, beside)


def grid(
    placement: Placement, boxes: Iterable[Box], spacing: Spacing, lists: Sequence[Box], pins: set[float]
) -> tuple[list[float], list[float]]:
    """The coordinates along which lines may run, none of them too close beside the chips of `lists`."""
    boxes = list(boxes)
    centres = sorted({round((b[0] + b[2]) / 2, 1) for b in boxes})
    with_port = sorted({*centres, round(placement.x_port, 1)})
    edge = placement.width
    tracks = range(1, max(2, len(placement.rails) - len(placement.highways)))
    xs = {0.0, 9.0, 17.0, edge - 32, edge - 9, edge, round(placement.output_port, 1), *with_port}
    xs |= {9.0 + spacing.track * k for k in tracks} | {edge - 32 - spacing.track * (k - 1) for k in tracks}
    for a, b in [*itertools.pairwise(centres), *itertools.pairwise(with_port)]:
        if b - a > 16:
            xs |= {round((a + b) / 2, 1), round((a + b) / 2 - 5, 1), round((a + b) / 2 + 5, 1)}
    xs |= pins
    xs |= set(_missing_gutters(boxes, xs))
    xs -= {x for x in xs - set(with_port) for x0, _, x1, _ in lists if x0 - _TAP < x < x0 or x1 < x < x1 + _TAP}
    xs |= {round(x, 1) for x0, _, x1, _ in lists for x in (x0 - _TAP, x1 + _TAP)}
    rows = sorted({round((b[1] + b[3]) / 2, 1) for b in boxes})
    ys = {0.0, placement.height, *rows, *(round(y, 1) for y in placement.rails.values())}
    for y in rows:
        ys |= {round(y + d, 1) for d in (-28.0, -22.0, -16.0, 16.0, 22.0, 28.0)}
    buses = sorted(set(placement.rails) - placement.highways)
    if len(buses) > 1:  # room to change places
        ys |= {round(placement.rails[state] + spacing.bus / 2, 1) for state in buses}
        xs |= {4.5, edge - 4.5}
    ys |= {spacing.bus * k for k in range(1, int(min(rows, default=30) - 14) // int(spacing.bus))}
    columns = _thin(xs, 0.0, placement.width, {*with_port, *pins})
    return columns, _thin(ys, 0.0, placement.height, set(rows) | set(placement.rails.values()))


def _missing_gutters(boxes: Sequence[Box], xs: set[float]) -> Iterator[float]:
    """The middle between neighbours in a row that no line could pass between: the wide beside the narrow."""
    by_row: dict[float, list[Box]] = {}
    for box in sorted(boxes):
        by_row.setdefault(round((box[1] + box[3]) / 2, 1), []).append(box)
    for row in by_row.values():
        for (_, _, left, _), (right, _, _, _) in itertools.pairwise(row):
            if right - left >= _PASSAGE and not any(left + _CLEAR < x < right - _CLEAR for x in xs):
                yield round((left + right) / 2, 1)


def _thin(values: set[float], low: float, high: float, keep: set[float]) -> list[float]:
    """Sorted coordinates within the frame; of two that are too close the less important goes."""
    rounded = {round(v, 1) for v in keep} | {low, high}
    result: list[float] = []
    for value in sorted(v for v in values if low <= v <= high):
        if result and value - result[-1] < 3.5 and value not in rounded:
            continue
        while result and value in rounded and value - result[-1] < 3.5 and result[-1] not in rounded:
            result.pop()
        result.append(value)
    return result


def nearest(values: list[float], wanted: float) -> int:
    k = bisect_left(values, wanted)
    near = [n for n in (k - 1, k) if 0 <= n < len(values)]
    return min(near, key=lambda n: abs(values[n] - wanted))

"""How lines bend and end, and where labels stand: what all formats draw alike."""

from __future__ import annotations

import math

from ..layout.polylines import Path, joined
from ..text import label_width
from .picture import Frame, Line, Shape

__all__ = ["ARROW", "ROUND", "arrow_size", "curve", "frame_label", "up_to"]

ARROW, ROUND = 10.0, 12.0
"""Constants of Graphviz: length of an arrowhead of size 1, and the corner radius of boxes."""
_CORNER = 7.0


def frame_label(frame: Frame) -> tuple[float, float, float]:
    """The middle of a frame's label, and its width."""
    width = label_width(frame.label)
    x = frame.right - 12 - width / 2 if frame.label_right else frame.left + 12 + width / 2
    return x, frame.top - 12, width


def arrow_size(line: Line) -> float:
    """Larger for wider lines, but never longer than most of the last stretch."""
    stretch = math.dist(*line.pieces[-1][-2:])
    return min(0.5 + 0.09 * line.width, 0.75 * stretch / ARROW)


def curve(path: Path, head: float = 0.0) -> list[tuple[float, float]]:
    """The path with rounded corners, as the 3n + 1 points of a cubic spline.

    Parameters
    ----------
    path : sequence of points
    head : float
        Length of the arrowhead, which takes the place of the end of the line; 0 for none.
    """
    points = list(path)
    if head:
        points[-1] = _towards(points[-1], points[-2], head)
    bent = [points[0]]
    for k, corner in enumerate(points[1:-1], 1):
        before, after = points[k - 1], points[k + 1]
        radius = min(_CORNER, math.dist(before, corner) / 2, math.dist(corner, after) / 2)
        start, end = _towards(corner, before, radius), _towards(corner, after, radius)
        _straight(bent, start)
        bent += [_towards(start, corner, 0.55 * radius), _towards(end, corner, 0.55 * radius), end]
    _straight(bent, points[-1])
    return bent


def _towards(a: tuple[float, float], b: tuple[float, float], distance: float) -> tuple[float, float]:
    length = math.dist(a, b) or 1.0
    return a[0] + (b[0] - a[0]) / length * distance, a[1] + (b[1] - a[1]) / length * distance


def _straight(bent: list[tuple[float, float]], end: tuple[float, float]) -> None:
    (ax, ay), (bx, by) = bent[-1], end
    bent += [(ax + (bx - ax) / 3, ay + (by - ay) / 3), (ax + (bx - ax) * 2 / 3, ay + (by - ay) * 2 / 3), end]


def up_to(start: Shape, box: Shape, detour: float | None) -> Path:
    """Straight up from the top row, otherwise along the gap at `detour`, and into the nearer side of the box."""
    if detour is not None:
        side = start.x + start.width / 2
        return joined(((side, start.y), (detour, start.y), (detour, box.y), (box.x + box.width / 2, box.y)))
    half = box.width / 2 if start.x > box.x else -box.width / 2
    if abs(start.x - box.x) < box.width / 2:
        return joined(((start.x, start.y + start.height / 2), (start.x, box.y - box.height / 2)))
    return joined(((start.x, start.y + start.height / 2), (start.x, box.y), (box.x + half, box.y)))

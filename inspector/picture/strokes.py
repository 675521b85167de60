"""How lines bend and end, and where labels stand: what all formats draw alike."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..layout.polylines import Path, joined
from ..text import label_width
from .picture import Frame, Line, Shape

__all__ = ["ARROW", "ROUND", "alike_curves", "arrow_size", "curves", "frame_label", "up_to"]

ARROW, ROUND = 10.0, 12.0
"""Constants of Graphviz: length of an arrowhead of size 1, and the corner radius of boxes."""
_CORNER = 7.0
Points: TypeAlias = npt.NDArray[Any]


def frame_label(frame: Frame) -> tuple[float, float, float]:
    """The middle of a frame's label, and its width."""
    width = label_width(frame.label)
    x = frame.right - 12 - width / 2 if frame.label_right else frame.left + 12 + width / 2
    return x, frame.top - 12, width


def arrow_size(line: Line) -> float:
    """Larger for wider lines, but never longer than most of the last stretch."""
    stretch = math.dist(*line.pieces[-1][-2:])
    return min(0.5 + 0.09 * line.width, 0.75 * stretch / ARROW)


def curves(lines: Sequence[Line]) -> Iterator[list[list[tuple[float, float]]]]:
    """Of each line, its pieces with rounded corners, as the 3n + 1 points of cubic splines; the last ends where the
    arrowhead begins.
    """
    found: dict[int, list[tuple[float, float]]] = {}
    for places, points, _ in alike_curves(lines):
        found.update(zip(places, ([(x, y) for x, y in one] for one in points.tolist()), strict=True))
    place = itertools.count()
    for line in lines:
        yield [found[next(place)] for _ in line.pieces]


def alike_curves(lines: Iterable[Line]) -> Iterator[tuple[list[int], Points, Points]]:
    """The pieces of all lines with rounded corners, those together that have as many corners.

    Yields
    ------
    places : list of int
        Which of the pieces they are, in the order of the lines.
    points : ndarray
        The 3n + 1 points of a cubic spline for each, of shape ``(pieces, 3n + 1, 2)``.
    sizes : ndarray
        Those of the arrowheads, see :func:`arrow_size`, which take the place of the ends; 0 for none.
    """
    alike: dict[int, tuple[list[int], list[Path], list[float]]] = {}
    count = 0
    for line in lines:
        for path in line.pieces:
            places, paths, sizes = alike.setdefault(len(path), ([], [], []))
            places.append(count)
            paths.append(path)
            sizes.append(0.0)
            count += 1
        sizes[-1] = arrow_size(line) if line.arrow else 0.0
    for corners, (places, paths, sizes) in alike.items():
        flat = np.fromiter(itertools.chain.from_iterable(itertools.chain.from_iterable(paths)), np.float64)
        yield places, *_shortened(flat.reshape(-1, corners, 2), np.array(sizes))


def _shortened(corners: Points, sizes: Points) -> tuple[Points, Points]:
    """The splines of paths that end where their arrowheads begin, and the sizes of these."""
    headed = sizes != 0
    corners[headed, -1] = _towards(corners[headed, -1], corners[headed, -2], ARROW * sizes[headed])
    return _rounded(corners), sizes


def _rounded(corners: Points) -> Points:
    """Splines along paths with as many corners, of shape ``(paths, corners, 2)``."""
    bent = [corners[:, 0]]
    for k in range(1, corners.shape[1] - 1):
        before, corner, after = corners[:, k - 1], corners[:, k], corners[:, k + 1]
        radius = np.minimum(_CORNER, np.minimum(_distance(before, corner) / 2, _distance(corner, after) / 2))
        start, end = _towards(corner, before, radius), _towards(corner, after, radius)
        _straight(bent, start)
        bent += [_towards(start, corner, 0.55 * radius), _towards(end, corner, 0.55 * radius), end]
    _straight(bent, corners[:, -1])
    return np.stack(bent, axis=1)


def _distance(a: Points, b: Points) -> Points:
    found: Points = np.hypot(a[:, 0] - b[:, 0], a[:, 1] - b[:, 1])
    return found


def _towards(a: Points, b: Points, distance: Points) -> Points:
    length = _distance(a, b)
    length[length == 0] = 1.0
    return a + (b - a) / length[:, None] * distance[:, None]


def _straight(bent: list[Points], end: Points) -> None:
    start = bent[-1]
    bent += [start + (end - start) / 3, start + (end - start) * 2 / 3, end]


def up_to(start: Shape, box: Shape, detour: float | None) -> Path:
    """Straight up from the top row, otherwise along the gap at `detour`, and into the nearer side of the box."""
    if detour is not None:
        side = start.x + start.width / 2
        return joined(((side, start.y), (detour, start.y), (detour, box.y), (box.x + box.width / 2, box.y)))
    half = box.width / 2 if start.x > box.x else -box.width / 2
    if abs(start.x - box.x) < box.width / 2:
        return joined(((start.x, start.y + start.height / 2), (start.x, box.y - box.height / 2)))
    return joined(((start.x, start.y + start.height / 2), (start.x, box.y), (box.x + half, box.y)))

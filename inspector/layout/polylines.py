"""Lines as corner points, and what is done to them before they are drawn: moved, straightened, freed of shared
trunks, led under rails.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TypeAlias

__all__ = ["Path", "bridged", "joined", "moved", "without_trunk"]

Path: TypeAlias = tuple[tuple[float, float], ...]
"""Corner points; distances are in points and y grows upwards."""

_SAME = 0.05
_CURVE = 7.0


def joined(path: Sequence[tuple[float, float]]) -> Path:
    """Without repeated points and points on a straight line."""
    kept = [path[0]]
    before: tuple[float, float] | None = None
    for point in path[1:]:
        if math.dist(kept[-1], point) < _SAME:
            continue
        heading = _heading(kept[-1], point)
        if heading == before:
            kept.pop()
            heading = _heading(kept[-1], point)
        before = heading
        kept.append(point)
    return tuple(kept)


def without_trunk(path: Path, drawn: Sequence[Path]) -> Path:
    """The part of `path` that leaves the stronger lines from the same source, which are drawn in full.

    It starts a little before the fork, so that it curves out of the trunk; how lines lie above each
    other is the engine's choice and must not matter.
    """
    best, length = path, 0.0
    for other in drawn:
        rest, shared = _fork(path, other)
        if shared > length:
            best, length = rest, shared
    return best


def _fork(path: Path, trunk: Path) -> tuple[Path, float]:
    """`path` from where it leaves `trunk`, and how long the two run together."""
    if math.dist(path[0], trunk[0]) > _SAME:
        return path, 0.0
    at, i, j, shared = path[0], 1, 1, 0.0
    walked = [at]
    for _ in range(len(path) + len(trunk)):
        if i == len(path) or j == len(trunk) or _heading(at, path[i]) != _heading(at, trunk[j]):
            break
        heading = _heading(at, path[i])
        step = min(math.dist(at, path[i]), math.dist(at, trunk[j]))
        shared += step
        at = (at[0] + heading[0] * step, at[1] + heading[1] * step)
        i += math.dist(at, path[i]) < _SAME
        j += math.dist(at, trunk[j]) < _SAME
        parted = i < len(path) and (j == len(trunk) or _heading(at, path[i]) != _heading(at, trunk[j]))
        if parted:
            return joined((*_last(_CURVE, [*walked, at]), *path[i:])), shared
        walked.append(at)
    return ((at, *path[i:]) if i < len(path) else _last(10.0, path)), shared


def _last(length: float, path: Sequence[tuple[float, float]]) -> Path:
    """The end of the path, beginning so far in front of a corner that the trunk is straight there."""
    (ax, ay), end = path[-2:]
    heading, long = _heading((ax, ay), end), math.dist((ax, ay), end)
    if long < 2 * length and len(path) > 2:
        return (*_last(length, path[:-1]), end)
    back = min(length, long)
    return (end[0] - heading[0] * back, end[1] - heading[1] * back), end


def moved(
    path: Sequence[tuple[float, float]],
    dx: float,
    dy: float = 0.0,
    mirror: float | None = None,
    flip: float | None = None,
) -> Path:
    """The path shifted; `mirror` and `flip` give the width and height of a frame in which it is first turned over."""
    if mirror is not None:
        path = [(mirror - x, y) for x, y in path]
    if flip is not None:
        path = [(x, flip - y) for x, y in path]
    return tuple([(x + dx, y + dy) for x, y in path])


def bridged(path: Path, rails: Sequence[float], gap: float = 6.0) -> tuple[Path, ...]:
    """The path with an opening wherever it crosses the height of a rail upright."""
    heights = [y for _, y in path]
    lowest, highest = min(heights) + gap, max(heights) - gap
    if not any(lowest < y < highest for y in rails):
        return (path,)
    pieces: list[list[tuple[float, float]]] = [[path[0]]]
    for (ax, ay), (bx, by) in itertools.pairwise(path):
        low, high = (ay + gap, by - gap) if ay < by else (by + gap, ay - gap)
        if low >= high or abs(ax - bx) >= _SAME:
            pieces[-1].append((bx, by))
            continue
        for y in sorted([y for y in rails if low < y < high], reverse=by < ay):
            step = gap if by > ay else -gap
            pieces[-1].append((ax, y - step))
            pieces.append([(ax, y + step)])
        pieces[-1].append((bx, by))
    return tuple(tuple(piece) for piece in pieces)


def _heading(a: tuple[float, float], b: tuple[float, float]) -> tuple[float, float]:
    """Unit vector from a to b; exact for the upright and level lines that drawings are made of."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    if abs(dx) < _SAME:
        return 0.0, math.copysign(1.0, dy)
    if abs(dy) < _SAME:
        return math.copysign(1.0, dx), 0.0
    length = math.hypot(dx, dy)
    return round(dx / length, 6), round(dy / length, 6)

"""A picture in rows: time goes on below where a row would be wider than the page on which it is shown."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..layout.columns import GAP
from ..layout.polylines import Path
from ..text import label_width
from .canvas import Canvas
from .picture import Line, Look, Picture, Shape

__all__ = ["wrap"]

_APART, _SIZE, _BESIDE, _NEAR = 30.0, 11.0, 3.0, 26.0
"""Points between rows, the size of the names at their ends, from there to the line, and between lines past a fold."""
Place = tuple[float, float]


def wrap(canvas: Canvas, room: float) -> int:
    """Cut the picture between its timesteps into rows of at most `room` points, and stack these.

    What crosses a cut stays one line in two pieces, and its name stands at both ends. A single timestep, the loss
    behind the last one, or what else cannot be cut, has a row of its own, however wide it is.

    Returns
    -------
    int
        How many rows there are.
    """
    picture = canvas.picture
    cuts = _cuts(canvas, room)
    if not cuts:
        return 1
    heights = _drawn_together(picture, cuts)
    picture.shapes = [_raised(shape, picture, cuts, heights) for shape in picture.shapes]
    shifts = _shifts(picture, cuts, heights, canvas.left, _margins(canvas)[0])
    crossings: dict[tuple[int, float], list[Line]] = {}

    def row_of(x: float) -> int:
        return bisect_right(cuts, x)

    def moved(row: int, x: float, y: float) -> Place:
        return x + shifts[row][0], heights.get((row, round(y, 1)), y) + shifts[row][1]

    def shifted(line: Line) -> Line:
        pieces: list[Path] = []
        for row, piece in (part for whole in line.pieces for part in _parts(whole, cuts)):
            pieces.append(tuple(moved(row, *point) for point in piece))
        for whole in line.pieces:
            for cut, y in _crossed(whole, cuts):
                crossings.setdefault((cut, round(y, 1)), []).append(line)
        at = line.label_at and moved(row_of(line.label_at[0]), *line.label_at)
        return replace(line, pieces=tuple(pieces), label_at=at)

    labels = {shape.id: shape.label for shape in picture.shapes}
    picture.lines = [shifted(line) for line in picture.lines]
    picture.frames = [
        replace(one, left=one.left + dx, right=one.right + dx, bottom=one.bottom + dy, top=one.top + dy)
        for one in picture.frames
        for dx, dy in [shifts[row_of((one.left + one.right) / 2)]]
    ]
    picture.bands = [
        replace(one, left=one.left + dx, right=one.right + dx, bottom=one.bottom + dy, top=one.top + dy)
        for one in picture.bands
        for dx, dy in [shifts[row_of((one.left + one.right) / 2)]]
    ]
    picture.shapes = [
        replace(shape, x=x, y=y if shape.kind == "point" else shape.y + shifts[row_of(shape.x)][1])
        for shape in picture.shapes
        for x, y in [moved(row_of(shape.x), shape.x, shape.y)]
    ]
    said = {shape.label for shape in picture.shapes if shape.look.part == "label"}
    for (cut, y), lines in crossings.items():
        state = _name(canvas, cuts[cut], y)
        sources = {labels.get(line.source, "") for line in lines}
        came_from = sources.pop() if len(sources) == 1 else "…"
        for row, side, name in ((cut, 1, state or labels.get(lines[0].target, "")), (cut + 1, -1, state or came_from)):
            if side > 0 and name in said:
                continue
            width = label_width(name, _SIZE) + 2
            x, height = moved(row, cuts[cut] + side * (width / 2 + _BESIDE), y)
            own = picture.unused(f"continued.{cut}.{'out' if side > 0 else 'in'}")
            picture.shapes.append(Shape(own, "text", x, height, width, 14, name, None, Look("label"), font_size=_SIZE))
    left, bottom, right, _ = picture.bounds()
    canvas.left, canvas.right, canvas.bottom = left, right, bottom - 17
    return len(cuts) + 1


def _drawn_together(picture: Picture, cuts: Sequence[float]) -> dict[tuple[int, float], float]:
    """The new heights of lines that pass a fold which has a row of its own, by the row and the height they had: no
    further from each other than names take.
    """
    parts: dict[int, list[Path]] = {}
    for row, part in (part for line in picture.lines for whole in line.pieces for part in _parts(whole, cuts)):
        parts.setdefault(row, []).append(part)
    busy = {bisect_right(cuts, frame.left) for frame in picture.frames}
    busy |= {bisect_right(cuts, s.x) for s in picture.shapes if s.kind != "point" and s.look.part != "more"}
    found: dict[tuple[int, float], float] = {}
    for row in {bisect_right(cuts, s.x) for s in picture.shapes if s.look.part == "more"} - busy:
        if all(y == part[0][1] for part in parts[row] for _, y in part):
            last = math.inf
            for y in sorted({round(part[0][1], 1) for part in parts[row]}, reverse=True):
                last = found[row, y] = max(y, last - _NEAR) if last < math.inf else y
    return found


def _raised(shape: Shape, picture: Picture, cuts: Sequence[float], heights: dict[tuple[int, float], float]) -> Shape:
    """The box of a fold that has a row of its own, right below the lines that pass it if it stood far below them."""
    row = bisect_right(cuts, shape.x)
    if shape.look.part != "more" or row in {bisect_right(cuts, frame.left) for frame in picture.frames}:
        return shape
    parts = (part for line in picture.lines for whole in line.pieces for part in _parts(whole, cuts))
    lowest = min(heights.get((row, round(y, 1)), y) for k, part in parts if k == row for _, y in part)
    below = lowest - shape.height / 2 - 12
    return replace(shape, y=below if heights else max(shape.y, min(lowest, below)))


def _cuts(canvas: Canvas, room: float) -> list[float]:
    """Where rows end, each as late as it can."""
    left, _, right, _ = canvas.picture.bounds()
    before, behind = _margins(canvas)
    cuts: list[float] = []
    seams = [*canvas.seams, *_outside(canvas)]
    start = left
    for seam, following in itertools.pairwise([*seams, None]):
        assert seam is not None
        end = right if following is None else following + behind
        if end - start + (before if cuts else 0.0) > room:
            cuts.append(seam)
            start = seam
    return cuts


def _outside(canvas: Canvas) -> Iterator[float]:
    """Before each column of what follows the last step."""
    edges = {s.x - s.width / 2 for s in canvas.picture.shapes if s.id in canvas.after}
    yield from (edge - 26.0 for edge in sorted(edges))


def _margins(canvas: Canvas) -> Place:
    """What the names take before the beginning and behind the end of a row."""
    said = {shape.label for shape in canvas.picture.shapes if shape.look.part == "label"}
    names = [name for _, _, name in canvas.passing]
    ends = [name for name in names if name not in said]
    ends += [shape.label for shape in canvas.picture.shapes if shape.id in canvas.after]
    before, behind = (max((label_width(name, _SIZE) for name in part), default=-_BESIDE) for part in (names, ends))
    return before + 2 + _BESIDE, behind + 2 + _BESIDE


def _shifts(
    picture: Picture, cuts: Sequence[float], heights: dict[tuple[int, float], float], left: float, margin: float
) -> list[Place]:
    """By how much each row is moved."""
    ends: list[list[float]] = [[] for _ in range(len(cuts) + 1)]
    for shape in picture.shapes:
        row = bisect_right(cuts, shape.x)
        y = heights.get((row, round(shape.y, 1)), shape.y) if shape.kind == "point" else shape.y
        ends[row] += [y - shape.height / 2, y + shape.height / 2]
    for frame in picture.frames:
        ends[bisect_right(cuts, frame.left)] += [frame.bottom, frame.top]
    for line in picture.lines:
        for row, piece in (part for whole in line.pieces for part in _parts(whole, cuts)):
            ends[row] += [heights.get((row, round(y, 1)), y) for _, y in piece]
    start = min(picture.bounds()[0], left)
    shifts = [(0.0, 0.0)]
    for row, cut in enumerate(cuts, 1):
        bottom = min(ends[row - 1]) + shifts[-1][1]
        shifts.append((start + margin - cut, bottom - _APART - max(ends[row])))
    return shifts


def _parts(path: Path, cuts: Sequence[float]) -> Iterator[tuple[int, Path]]:
    """The path cut where it crosses from row to row, with the row of each part."""
    points = list(path)
    part = points[:1]
    row = bisect_right(cuts, points[0][0])
    for (ax, ay), (bx, by) in itertools.pairwise(points):
        to = bisect_right(cuts, bx)
        while row != to:
            cut, further = (cuts[row], row + 1) if to > row else (cuts[row - 1], row - 1)
            at = (cut, ay + (by - ay) * (cut - ax) / (bx - ax))
            yield row, (*part, at)
            part, row = [at], further
        part.append((bx, by))
    yield row, tuple(part)


def _crossed(path: Path, cuts: Sequence[float]) -> Iterator[tuple[int, float]]:
    """The number of each cut that the path crosses, and at which height."""
    for (ax, ay), (bx, by) in itertools.pairwise(path):
        for k in range(*sorted((bisect_right(cuts, ax), bisect_right(cuts, bx)))):
            yield k, ay + (by - ay) * (cuts[k] - ax) / (bx - ax)


def _name(canvas: Canvas, cut: float, y: float) -> str:
    """The state that passes there."""
    near = [(abs(x - cut), name) for x, at, name in canvas.passing if abs(at - y) < 1 and abs(x - cut) < GAP]
    return min(near, default=(0.0, ""))[1]

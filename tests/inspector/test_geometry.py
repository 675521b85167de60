"""Laws of geometry, checked on the SVG that is produced, by Graphviz and by ourselves, for any cell at any level."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given

import inspector
import tinygrad_rnn as tg
from inspector.drawing.columns import GAP
from inspector.drawing.picture import Picture
from inspector.drawing.svg import to_svg
from inspector.render import LEVELS, picture
from tinygrad_rnn.unroll import Run

from ..random_cells import runs
from ..strategies import FEW
from .drawn import Box, Drawn, Edge, Node, Point, read

CELLS = tg.cells.names()
Segment = tuple[Point, Point]


def segments(edge: Edge) -> Iterator[Segment]:
    for piece in edge.pieces:
        yield from itertools.pairwise(piece)
    if edge.tip is not None:
        yield edge.pieces[-1][-1], edge.tip


def distance(point: Point, segment: Segment) -> float:
    """From a point to an upright or level stretch, or to the hull of a bend."""
    (ax, ay), (bx, by) = segment
    length = math.dist(*segment) ** 2
    along = 0.0 if length == 0 else max(0.0, min(1.0, ((point[0] - ax) * (bx - ax) + (point[1] - ay) * (by - ay)) / length))
    return math.dist(point, (ax + along * (bx - ax), ay + along * (by - ay)))


def to_border(point: Point, node: Node) -> float:
    """How far a point is from the outline of a shape."""
    assert node.box is not None
    (x, y), (cx, cy) = point, node.box.centre
    if node.round:
        rx, ry = (node.box.right - node.box.left) / 2, (node.box.bottom - node.box.top) / 2
        away = math.hypot((x - cx) / rx, (y - cy) / ry)
        return abs(away - 1) * math.dist(point, node.box.centre) / away if away else min(rx, ry)
    corners = [(node.box.left, node.box.top), (node.box.right, node.box.top), (node.box.right, node.box.bottom), (node.box.left, node.box.bottom)]
    return min(distance(point, side) for side in itertools.pairwise([*corners, corners[0]]))


# ---------------------------------------------------------------------------------------------- laws


def overlapping(drawn: Drawn) -> Iterator[str]:
    """Shapes on shapes, words on shapes or on other words."""
    solid = [(node.id, node.box) for node in drawn.nodes.values() if node.box is not None]
    words = [(node.id, node.text) for node in drawn.nodes.values() if node.box is None and node.text is not None]
    words += [(frame.id, frame.text) for frame in drawn.frames.values() if frame.text is not None]
    words += [(edge.id, edge.text) for edge in drawn.edges.values() if edge.text is not None]
    both = [*((key, box, False) for key, box in solid), *((key, box, True) for key, box in words)]
    for (a, one, _), (b, other, _) in near(both):
        if one.overlap(other) > 0.15:
            yield f"{a} and {b} overlap by {one.overlap(other):.1f}"


def near(boxes: list[tuple[str, Box, bool]]) -> Iterator[tuple[tuple[str, Box, bool], tuple[str, Box, bool]]]:
    """Pairs whose extents across meet, found in one sweep from left to right."""
    active: list[tuple[str, Box, bool]] = []
    for one in sorted(boxes, key=lambda entry: entry[1].left):
        active = [other for other in active if other[1].right > one[1].left]
        yield from ((one, other) for other in active)
        active.append(one)


def spilling(drawn: Drawn) -> Iterator[str]:
    """Labels that do not fit their shape or frame."""
    for node in [*drawn.nodes.values(), *drawn.frames.values()]:
        if node.box is None or node.text is None:
            continue
        if not node.box.holds(node.text):
            yield f"{node.id}: {node.words!r} {node.text} leaves {node.box}"
        elif node.round:
            (cx, cy), corners = node.box.centre, [(x, y) for c in node.characters for x in (c.left, c.right) for y in (c.top, c.bottom)]
            if any(math.hypot((x - cx) / (node.box.right - cx), (y - cy) / (node.box.bottom - cy)) > 1 for x, y in corners):
                yield f"{node.id}: {node.words!r} leaves its ellipse"


def astray(drawn: Drawn, drawing: Picture) -> Iterator[str]:
    """Lines that are neither upright nor level, begin nowhere, or whose arrows miss what they point at."""
    origin = shift(drawn, drawing)
    anchors = {s.id: (s.x + origin[0], -s.y + origin[1]) for s in drawing.shapes if s.kind == "point"}
    siblings: dict[str, list[str]] = {}
    for line in drawing.lines:
        siblings.setdefault(line.source, []).append(line.id)
    for line in drawing.lines:
        edge = drawn.edges[line.id]
        for (ax, ay), (bx, by) in segments(edge):
            if min(abs(ax - bx), abs(ay - by)) > 0.1 and math.dist((ax, ay), (bx, by)) > 7.5:
                yield f"{line.id} runs askew from {ax, ay} to {bx, by}"
        start = edge.pieces[0][0]
        trunks = [s for other in siblings[line.source] if other != line.id for s in segments(drawn.edges[other])]
        away = math.dist(start, anchors[line.source]) if line.source in anchors else to_border(start, drawn.nodes[line.source])
        if min([away, *(distance(start, s) for s in trunks)]) > 1.5:
            yield f"{line.id} begins {away:.1f} from {line.source}"
        for one, other in itertools.pairwise(edge.pieces):
            if not 11 < math.dist(one[-1], other[0]) < 13:
                yield f"{line.id} is broken at {one[-1]}"
        if (edge.tip is not None) != line.arrow:
            yield f"{line.id}: arrowhead {edge.tip}"
        end = edge.tip or edge.pieces[-1][-1]
        missed = math.dist(end, anchors[line.target]) if line.target in anchors else to_border(end, drawn.nodes[line.target])
        if missed > 1.5:
            yield f"{line.id} ends {missed:.1f} from {line.target}"


def shift(drawn: Drawn, drawing: Picture) -> Point:
    """What the writer added to the picture's coordinates."""
    shape = next(s for s in drawing.shapes if s.kind != "point" and s.kind != "text")
    box = drawn.nodes[shape.id].box
    assert box is not None
    return box.centre[0] - shape.x, box.centre[1] + shape.y


def trespassing(drawn: Drawn, drawing: Picture) -> Iterator[str]:
    """Lines that run through shapes other than their source and target, or through words."""
    solid = [(n.id, n.box.grown(-1.0)) for n in drawn.nodes.values() if n.box is not None]
    solid += [(n.id, n.text) for n in [*drawn.nodes.values(), *drawn.frames.values()] if n.text is not None and (n.box is None or n.id in drawn.frames)]
    solid.sort(key=lambda entry: entry[1].left)
    for line in drawing.lines:
        for (ax, ay), (bx, by) in segments(drawn.edges[line.id]):
            way = Box(min(ax, bx), min(ay, by), max(ax, bx), max(ay, by))
            for key, box in solid:
                if box.left > way.right:
                    break
                if box.overlap(way) > 0 and key not in (line.source, line.target):
                    yield f"{line.id} runs through {key}"


def meetings(drawn: Drawn, drawing: Picture) -> tuple[int, list[str]]:
    """How often lines of different sources cross, and which of them run along each other."""
    level: list[tuple[float, float, float, str, str]] = []
    upright: list[tuple[float, float, float, str, str]] = []
    for line in drawing.lines:
        for (ax, ay), (bx, by) in segments(drawn.edges[line.id]):
            if math.dist((ax, ay), (bx, by)) < 0.5:
                continue
            if abs(ay - by) < 0.1:
                level.append((ay, min(ax, bx), max(ax, bx), line.source, line.id))
            elif abs(ax - bx) < 0.1:
                upright.append((ax, min(ay, by), max(ay, by), line.source, line.id))
    crossed = {
        (round(x), round(y), frozenset((one, other)))
        for y, left, right, one, _ in level for x, top, bottom, other, _ in upright
        if one != other and left < x < right and top < y < bottom
    }  # fmt: skip
    along = []
    for lines in (level, upright):
        lines.sort()
        for k, (at, low, high, one, a) in enumerate(lines):
            for at2, low2, high2, other, b in itertools.takewhile(lambda entry, at=at: entry[0] < at + 1.5, lines[k + 1 :]):
                if one != other and min(high, high2) - max(low, low2) > 2:
                    along.append(f"{a} and {b} run along each other at {at:.1f} {at2:.1f}")
    return len(crossed), along


def wandering(drawn: Drawn, drawing: Picture) -> Iterator[str]:
    """Shapes that do not repeat exactly from one alike step to the next, and rails that do not keep their height."""
    frames = sorted((f for f in drawing.frames), key=lambda f: f.left)
    prefix = {f.id: f.id.removesuffix("step") for f in frames}
    for one, other in itertools.pairwise(frames):
        if one.bottom != other.bottom:
            continue
        a = {k.removeprefix(prefix[one.id]): drawn.nodes[k] for k in one.members}
        b = {k.removeprefix(prefix[other.id]): drawn.nodes[k] for k in other.members}
        if a.keys() != b.keys() or any(drawn.edges.keys() and a[k].box is None for k in a):
            continue
        offsets = [(b[k].box.centre[0] - a[k].box.centre[0], b[k].box.centre[1] - a[k].box.centre[1]) for k in a if a[k].box and b[k].box]  # type: ignore[union-attr]
        left, right = drawn.frames[one.id].box, drawn.frames[other.id].box
        assert left is not None and right is not None
        offsets.append((right.left - left.left, 0.0))
        for dx, dy in offsets:
            if abs(dy) > 0.02 or abs(dx - offsets[0][0]) > 0.02:
                yield f"{one.id} to {other.id}: {dx, dy} is not {offsets[0]}"
                break

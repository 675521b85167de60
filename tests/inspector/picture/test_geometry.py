"""Laws of geometry, checked on the SVG that is produced, by Graphviz and by ourselves, for any cell at any level."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given

import inspector
import tinygrad_rnn as tg
from inspector.formats.svg import to_svg
from inspector.picture.compose import picture
from inspector.picture.picture import Line, Picture
from inspector.picture.scene import LEVELS
from tests.cells_aside import CELLS_ASIDE
from tests.inspector.picture.drawn import Box, Drawn, Edge, Node, Point, produced, read
from tests.inspector.picture.test_drawing import RUNS, run_of
from tests.marks import slow_unless
from tests.random_cells import runs
from tests.strategies import FEW
from tests.user_cells import USER_CELLS
from tinygrad_rnn.recurrent.unroll import Run

CELLS = tg.cells.names()
OTHERS = ["masked", "truncated", "reversed", "stacked", "directions", "scoped", "folded", "three folded"]
IN_TURN = [(name, LEVELS[k // 2 % len(LEVELS)]) for k, name in enumerate(CELLS)]
"""Every cell at one of the levels: Graphviz, which is told where everything stands, draws no more."""
QUICK = IN_TURN[::2]
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
    along = (
        0.0 if length == 0 else max(0.0, min(1.0, ((point[0] - ax) * (bx - ax) + (point[1] - ay) * (by - ay)) / length))
    )
    return math.dist(point, (ax + along * (bx - ax), ay + along * (by - ay)))


def to_border(point: Point, node: Node) -> float:
    """How far a point is from the outline of a shape."""
    assert node.box is not None
    (x, y), (cx, cy) = point, node.box.centre
    if node.round:
        rx, ry = (node.box.right - node.box.left) / 2, (node.box.bottom - node.box.top) / 2
        away = math.hypot((x - cx) / rx, (y - cy) / ry)
        return abs(away - 1) * math.dist(point, node.box.centre) / away if away else min(rx, ry)
    corners = [
        (node.box.left, node.box.top),
        (node.box.right, node.box.top),
        (node.box.right, node.box.bottom),
        (node.box.left, node.box.bottom),
    ]
    return min(distance(point, side) for side in itertools.pairwise([*corners, corners[0]]))


def away_from(point: Point, node: Node) -> float:
    """How far a point is from the outline of a shape, of a flat ellipse too."""
    assert node.box is not None
    if not node.round:
        return to_border(point, node)
    (cx, cy), turns = node.box.centre, np.linspace(0.0, 2 * math.pi, 73)
    xs, ys = cx + (node.box.right - cx) * np.cos(turns), cy + (node.box.bottom - cy) * np.sin(turns)
    return float(np.hypot(xs - point[0], ys - point[1]).min())


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
            (cx, cy), corners = (
                node.box.centre,
                [(x, y) for c in node.characters for x in (c.left, c.right) for y in (c.top, c.bottom)],
            )
            if any(
                math.hypot((x - cx) / (node.box.right - cx), (y - cy) / (node.box.bottom - cy)) > 1 for x, y in corners
            ):
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
        away = (
            math.dist(start, anchors[line.source])
            if line.source in anchors
            else to_border(start, drawn.nodes[line.source])
        )
        if min([away, *(distance(start, s) for s in trunks)]) > 1.5:
            yield f"{line.id} begins {away:.1f} from {line.source}"
        for one, other in itertools.pairwise(edge.pieces):
            if not 11 < math.dist(one[-1], other[0]) < 13:
                yield f"{line.id} is broken at {one[-1]}"
        if (edge.tip is not None) != line.arrow:
            yield f"{line.id}: arrowhead {edge.tip}"
        end = edge.tip or edge.pieces[-1][-1]
        missed = (
            math.dist(end, anchors[line.target]) if line.target in anchors else to_border(end, drawn.nodes[line.target])
        )
        if missed > 1.5:
            yield f"{line.id} ends {missed:.1f} from {line.target}"


def shift(drawn: Drawn, drawing: Picture) -> Point:
    """What the writer added to the picture's coordinates."""
    shape = next(s for s in drawing.shapes if s.kind != "point" and s.kind != "text")
    box = drawn.nodes[shape.id].box
    assert box is not None
    return box.centre[0] - shape.x, box.centre[1] + shape.y


def trespassing(drawn: Drawn, drawing: Picture) -> Iterator[str]:
    """Lines that run through shapes, their source and target included, or through words."""
    solid = [(n.id, n.box.grown(-1.0)) for n in drawn.nodes.values() if n.box is not None]
    solid += [
        (n.id, n.text)
        for n in [*drawn.nodes.values(), *drawn.frames.values()]
        if n.text is not None and (n.box is None or n.id in drawn.frames)
    ]
    solid.sort(key=lambda entry: entry[1].left)
    for line in drawing.lines:
        for (ax, ay), (bx, by) in segments(drawn.edges[line.id]):
            way = Box(min(ax, bx), min(ay, by), max(ax, bx), max(ay, by)).grown(0.1)
            for key, box in solid:
                if box.left > way.right:
                    break
                inner = box.grown(-0.5) if key in (line.source, line.target) else box
                node = drawn.nodes.get(key)
                if inner.overlap(way) > 0 and not (node and node.round and beside(((ax, ay), (bx, by)), inner)):
                    yield f"{line.id} runs through {key}"


def beside(segment: Segment, box: Box) -> bool:
    """Whether a stretch leaves out the ellipse in a box."""
    (x, y), rx, ry = box.centre, (box.right - box.left) / 2, (box.bottom - box.top) / 2
    (ax, ay), (bx, by) = (((px - x) / rx, (py - y) / ry) for px, py in segment)
    return distance((0.0, 0.0), ((ax, ay), (bx, by))) >= 1


def stretches(drawn: Drawn, drawing: Picture) -> Iterator[tuple[bool, float, float, float, Line]]:
    """The straight parts of all lines: whether upright, the coordinate that they keep, and from where to where
    they run.
    """
    inside = {key for frame in drawing.frames for key in frame.members}
    for line in drawing.lines:
        if (line.target.startswith(("out.", "loss")) and line.target not in inside) or line.use == "ribbon":
            continue  # what leads to the loss merges into one track on purpose, and a ribbon lies on its state's line
        for (ax, ay), (bx, by) in segments(drawn.edges[line.id]):
            if abs(ay - by) < 0.1 < abs(ax - bx):
                yield False, ay, min(ax, bx), max(ax, bx), line
            elif abs(ax - bx) < 0.1 < abs(ay - by):
                yield True, ax, min(ay, by), max(ay, by), line


def crossings(drawn: Drawn, drawing: Picture) -> int:
    """How often lines of different sources cross, where the one does not open for the other."""
    found = list(stretches(drawn, drawing))
    level, upright = [s for s in found if not s[0]], [s for s in found if s[0]]
    return len(
        {
            (round(x), round(y), frozenset((one.source, other.source)))
            for _, y, left, right, one in level
            for _, x, top, bottom, other in upright
            if one.source != other.source and left < x < right and top < y < bottom
        }
    )


def hiding(drawn: Drawn, drawing: Picture) -> Iterator[str]:
    """Lines of different sources that run along each other, so that nobody can tell them apart."""
    found = sorted(stretches(drawn, drawing), key=lambda stretch: stretch[:4])
    for k, (upright, at, low, high, one) in enumerate(found):
        for other_upright, near_by, start, end, other in found[k + 1 :]:
            if other_upright != upright or near_by > at + 1.5:
                break
            if one.source != other.source and min(high, end) - max(low, start) > 2:
                yield f"{one.id} and {other.id} run along each other"


def escaping(drawn: Drawn, drawing: Picture) -> Iterator[str]:
    """Lines that run along the border of a frame, or outside of the frame in which both of their ends are."""
    frames = {frame.id: frame.box for frame in drawn.frames.values() if frame.box is not None}
    home = {key: frame.id for frame in drawing.frames for key in frame.members}
    for upright, at, low, high, line in stretches(drawn, drawing):
        own = home.get(line.source) if home.get(line.source) == home.get(line.target) else None
        for key, box in frames.items():
            across, along = (box.left, box.right), (box.top, box.bottom)
            if not upright:
                across, along = along, across
            beside = min(abs(at - side) for side in across) < 3 and min(high, along[1]) - max(low, along[0]) > 2
            outside = key == own and not (across[0] < at < across[1] and along[0] < low and high < along[1])
            if beside or outside:
                yield f"{line.id} runs {'along the border' if beside else 'outside'} of {key}"


def wandering(drawn: Drawn, drawing: Picture) -> Iterator[str]:
    """Shapes that do not repeat exactly from one alike step to the next, and rails that do not keep their height."""
    periods: dict[float, float] = {}
    places = {key: node.box.centre for key, node in drawn.nodes.items() if node.box is not None}
    for one, other in itertools.pairwise(sorted(drawing.frames, key=lambda frame: (frame.bottom, frame.left))):
        here, there = (frame.id.removesuffix("step") for frame in (one, other))
        keys = [key.removeprefix(here) for key in one.members]
        if one.bottom != other.bottom or keys != [key.removeprefix(there) for key in other.members]:
            continue
        left, right = drawn.frames[one.id].box, drawn.frames[other.id].box
        assert left is not None and right is not None
        period = right.left - left.left
        if abs(one.timestep - other.timestep) == 1 and abs(periods.setdefault(one.bottom, period) - period) > 0.021:
            yield f"{other.id} stands {period} from {one.id}"
        for key in keys:
            (ax, ay), (bx, by) = places[here + key], places[there + key]
            if abs(bx - ax - period) > 0.021 or abs(by - ay) > 0.011:
                yield f"{there}{key} stands {bx - ax, by - ay} from {here}{key} and not {period}"
    for line in drawing.lines:
        heights = {round(y) for piece in drawn.edges[line.id].pieces for _, y in piece}
        if line.grade == "rail" and len(heights) > 1:
            yield f"{line.id} is not straight"


def colliding(drawn: Drawn) -> Iterator[str]:
    """Arrowheads inside of shapes, on other heads or on words; they touch what they point at.

    What leads to the loss merges into one track, and so into one head, on purpose.
    """
    heads = {f"head of {edge.id}": edge.head for edge in drawn.edges.values() if edge.head}
    solid = [(node.id, box, False) for node in drawn.nodes.values() if (box := node.box or node.text) is not None]
    for (a, one, _), (b, other, _) in near([*((key, around(head), True) for key, head in heads.items()), *solid]):
        both, deep = (a in heads) + (b in heads), one.overlap(other)
        node = drawn.nodes.get(b if a in heads else a)
        if both == 1 and node is not None and node.round:
            corners = [corner for corner in heads.get(a) or heads[b] if inside(corner, node)]
            deep = max((to_border(corner, node) for corner in corners), default=0.0)
        merged = both == 2 and heads[a][1] == heads[b][1] and all("--loss--" in c or "--out." in c for c in (a, b))
        if deep > (math.inf, 1.5, 0.5)[both] and not merged:
            yield f"{a} and {b} overlap by {deep:.1f}"


def around(points: Sequence[Point]) -> Box:
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return Box(min(xs), min(ys), max(xs), max(ys))


def covering(drawn: Drawn) -> Iterator[str]:
    """Badges on shapes, words, lines or other badges, and those that stand beside nothing."""
    for badge in drawn.badges.values():
        assert badge.box is not None
        middle, radius = badge.box.centre, (badge.box.right - badge.box.left) / 2
        shapes = [node for node in [*drawn.nodes.values(), *drawn.badges.values()] if node.box and node is not badge]
        away = {node.id: to_border(middle, node) if not inside(middle, node) else 0.0 for node in shapes}
        may = badge.id.removesuffix(".mark")  # where there is no room, marks lie on a corner of their own shape
        yield from (f"{badge.id} lies on {k}" for k, distance in away.items() if distance < radius - 0.2 and k != may)
        words = [
            n for n in [*drawn.nodes.values(), *drawn.frames.values()] if n.text and (not n.box or n.id in drawn.frames)
        ]
        yield from (f"{badge.id} lies on {n.id}" for n in words if n.text is not None and n.text.overlap(badge.box) > 0)
        for edge in drawn.edges.values():
            if min(distance(middle, segment) for segment in segments(edge)) < radius:
                yield f"{badge.id} lies on {edge.id}"
        if away_from(middle, drawn.nodes[badge.id.rsplit(".", 1)[0]]) > 19.5:
            yield f"{badge.id} stands away from its shape"


def inside(point: Point, node: Node) -> bool:
    assert node.box is not None
    (x, y), (cx, cy) = point, node.box.centre
    half, up = (node.box.right - node.box.left) / 2, (node.box.bottom - node.box.top) / 2
    far = math.hypot((x - cx) / half, (y - cy) / up) if node.round else max(abs(x - cx) / half, abs(y - cy) / up)
    return far < 1


EMPTY, HELD, TILE = 0.45, 3, 5.0


def hollow(drawn: Drawn) -> Iterator[str]:
    """Frames in which a rectangle of nearly half of the frame is empty; a title alone is wider than a few shapes."""
    things = [box for node in drawn.nodes.values() if (box := node.box or node.text) is not None]
    for edge in drawn.edges.values():
        things += [around(segment).grown(1.0) for segment in segments(edge)]
    for frame in drawn.frames.values():
        assert frame.box is not None
        held = sum(frame.box.holds(node.box) for node in drawn.nodes.values() if node.box is not None)
        share = largest_hole(frame.box, things) if held > HELD else 0.0
        if share > EMPTY:
            yield f"{share:.0%} of {frame.id} is empty"


def largest_hole(frame: Box, things: Sequence[Box]) -> float:
    """The largest empty rectangle of a frame, as a share of it: that of the largest bar below a skyline."""
    columns, rows = (max(1, int(side // TILE)) for side in (frame.right - frame.left, frame.bottom - frame.top))
    full = np.zeros((rows, columns), bool)
    for box in things:
        top, bottom = (int((y - frame.top) // TILE) for y in (box.top, box.bottom))
        left, right = (int((x - frame.left) // TILE) for x in (box.left, box.right))
        full[max(0, top) : max(0, bottom + 1), max(0, left) : max(0, right + 1)] = True
    best, height = 0, np.zeros(columns, int)
    for row in full:
        height = np.where(row, 0, height + 1)
        skyline: list[tuple[int, int]] = []
        for at, tall in enumerate([*height.tolist(), 0]):
            start = at
            while skyline and skyline[-1][1] >= tall:
                start, lower = skyline.pop()
                best = max(best, lower * (at - start))
            skyline.append((start, tall))
    return best / full.size


def missing(drawn: Drawn, drawing: Picture) -> Iterator[str]:
    """What the picture has and the drawing has not, or the other way round; :func:`read` finds what is there twice."""
    yield from {shape.id for shape in drawing.shapes if shape.kind != "point"} ^ {*drawn.nodes, *drawn.badges}
    yield from {band.id for band in drawing.bands} ^ set(drawn.bands)
    yield from {line.id for line in drawing.lines} ^ set(drawn.edges)
    yield from {frame.id for frame in drawing.frames} ^ set(drawn.frames)
    yield from (
        shape.id
        for shape in drawing.shapes
        if shape.kind != "point" and (drawn.nodes | drawn.badges)[shape.id].words != shape.label.replace("\n", "↵")
    )


def broken_laws(svg: str, drawing: Picture) -> list[str]:
    drawn = read(svg)
    of_svg = [law(drawn) for law in (overlapping, spilling, colliding, covering, hollow)]
    of_both = [law(drawn, drawing) for law in (missing, astray, trespassing, hiding, escaping, wandering)]
    return list(itertools.chain(*of_svg, *of_both))


# --------------------------------------------------------------------------------------------- tests


@pytest.mark.parametrize(
    ("name", "level", "writer"),
    slow_unless(
        [(*one, writer) for one in QUICK for writer in ("graphviz", "own")],
        [*((*one, "own") for one in itertools.product(CELLS, LEVELS)), *((*one, "graphviz") for one in IN_TURN)],
    ),
)
def test_the_laws_of_geometry_hold_for_every_cell(name: str, level: str, writer: str) -> None:
    drawing, theirs, ours = produced(name, level)
    assert broken_laws(theirs if writer == "graphviz" else ours, drawing) == []


ASIDE = [(name, LEVELS[k % len(LEVELS)]) for k, name in enumerate(CELLS_ASIDE)]
USERS = [case for case in itertools.product(USER_CELLS, LEVELS) if case != ("Twelve", "operation")]  # takes long


@pytest.mark.parametrize(
    ("name", "level"), slow_unless([("ThreeStates", "cell"), ("Attention", "gate")], [*USERS, *ASIDE])
)
def test_the_laws_of_geometry_hold_for_cells_of_users(name: str, level: str) -> None:
    cell = (USER_CELLS | CELLS_ASIDE)[name](3, 4, seed=0)
    run = tg.unroll(cell, np.random.default_rng(0).normal(size=(3, 2, 3)))
    drawing = picture(run, level=level, trace=inspector.trace(run, run.outputs[-1].sum()))
    svg = to_svg(drawing)
    assert broken_laws(svg, drawing) == []
    if level in CROSSINGS:
        assert crossings(read(svg), drawing) <= 3 * CROSSINGS[level].get(name, 0)


@pytest.mark.parametrize(
    ("law", "spoiled"),
    [
        (colliding, {"t1.h": (0.0, -8.0)}),
        (covering, {"t0.f.badge": (-12.0, 0.0)}),
        (covering, {"t0.f.badge": (0.0, 30.0)}),
        (overlapping, {"t1.f.name": (0.0, -12.0)}),
    ],
)
def test_a_law_is_broken_by_what_it_forbids(law: Any, spoiled: dict[str, Point]) -> None:
    drawing, _, ours = produced("lstm", "cell")
    assert list(law(read(ours))) == []
    moved = [
        replace(shape, x=shape.x + dx, y=shape.y + dy)
        for shape in drawing.shapes
        for dx, dy in [spoiled.get(shape.id, (0.0, 0.0))]
    ]
    assert list(law(read(to_svg(replace(drawing, shapes=moved)))))


def test_a_head_on_another_head_collides() -> None:
    one, other = ("a", ((0, 0), (4, 9), (8, 0))), ("b", ((7, 0), (11, 9), (15, 0)))
    edges = {key: Edge(key, "", (((4, -20), (4, 0)),), head[1], None, head) for key, head in (one, other)}
    assert len(list(colliding(Drawn(edges=edges)))) == 1


def test_a_hole_is_measured() -> None:
    frame = Box(0, 0, 100, 200)
    assert largest_hole(frame, []) == 1.0
    assert largest_hole(frame, [Box(0, 90, 100, 109)]) == pytest.approx(0.45)
    assert largest_hole(frame, [Box(51, 0, 54, 200), Box(0, 151, 100, 154)]) == pytest.approx(0.375)


@pytest.mark.parametrize("level", LEVELS)
@FEW
@given(run=runs())
def test_the_laws_of_geometry_hold_for_cells_nobody_has_drawn_yet(level: str, run: Run) -> None:
    drawing = picture(run, level=level)
    assert broken_laws(to_svg(drawing), drawing) == []


@pytest.mark.parametrize(
    ("kind", "level"), slow_unless(zip(OTHERS, [*LEVELS] * 3, strict=False), itertools.product(OTHERS, LEVELS))
)
def test_the_laws_of_geometry_hold_for_other_runs(kind: str, level: str) -> None:
    run = run_of("narx" if kind == "three folded" else "lstm", 30) if "folded" in kind else RUNS[kind]
    drawing = picture(
        run, level=level, trace=inspector.trace(run, tg.losses.mse_loss(run.stacked, np.zeros(run.stacked.shape)))
    )
    assert broken_laws(to_svg(drawing), drawing) == []


COMPARED = [(a, b, level) for a, b in (("lstm", "gru"), ("gru", "gru_before")) for level in ("cell", "operation")]
SEVENTH = [(name, CELLS[(7 * k + 3) % len(CELLS)], "cell") for k, name in enumerate(CELLS)]
CROWDED = ("lstm1997", "second_order", "cell")
"""The seven lines that meet there in one dot are more than find a way."""


@pytest.mark.parametrize(
    ("a", "b", "level"),
    slow_unless(COMPARED, [*COMPARED, ("lstm", "coupled", "operation"), *(c for c in SEVENTH[1::2] if c != CROWDED)]),
)
def test_the_laws_of_geometry_hold_for_comparisons(a: str, b: str, level: str) -> None:
    drawing = inspector.compare_graphs(
        tg.cells.get(a)(3, 4, seed=0), tg.cells.get(b)(3, 4, seed=0), level=level
    ).picture
    assert broken_laws(to_svg(drawing), drawing) == []


CROSSINGS = {
    "cell": {
        **dict.fromkeys(["jordan", "peephole", "nog", "niaf", "noaf", "gru", "gru_before", "mgu", "clockwork"], 1),
        "lru": 1, "layernorm": 3, "sru": 3, "narx": 5, "chunker": 2, "lstm1997": 7, "slstm": 6, "fgr": 23,
        "ThreeStates": 4, "Attention": 10, "Highway": 4, "Twelve": 7, "OddNames": 1,
        "ChaosFree": 1, "Delta": 5, "Multiplicative": 2, "Mutated": 2, "RecurrentHighway": 2,
        "StructurallyConstrained": 1,
    },
    "gate": {
        **dict.fromkeys(["jordan", "peephole", "nog", "niaf", "noaf", "gru", "gru_before", "clockwork", "lru"], 1),
        "mgu": 2, "layernorm": 2, "sru": 2, "narx": 5, "chunker": 2, "lstm1997": 8, "slstm": 6, "fgr": 27,
        "ThreeStates": 2, "Attention": 10, "Highway": 2, "Twelve": 8, "OddNames": 3,
        "ChaosFree": 1, "Delta": 4, "Multiplicative": 3, "Mutated": 1, "RecurrentHighway": 1,
        "StructurallyConstrained": 2,
    },
}  # fmt: skip
"""A step's crossings where there are some. lstm1997, sLSTM and fgr feed every gate from every gate."""


@pytest.mark.parametrize(("name", "level"), slow_unless(QUICK, itertools.product(CELLS, ["cell", "gate"])))
def test_lines_hardly_cross(name: str, level: str) -> None:
    drawing, _, ours = produced(name, level)
    assert crossings(read(ours), drawing) <= 3 * CROSSINGS[level].get(name, 0)


@pytest.mark.parametrize("level", ["cell", "gate"])
@pytest.mark.parametrize("name", ["rnn", "lstm", "nfg", "cifg", "np", "minlstm", "mingru"])
def test_lines_do_not_cross_where_none_has_to(name: str, level: str) -> None:
    drawing, _, ours = produced(name, level)
    assert crossings(read(ours), drawing) == 0

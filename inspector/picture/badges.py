"""Badges on what is special: where the gradient is exactly 0, or not finite, or where a value is not."""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from ..layout.grid import Box
from ..layout.taken import Taken
from . import theme
from .picture import Grade, Look, Picture, Shape
from .strokes import frame_label

__all__ = ["BADGES", "Badge", "add_badges", "beside"]

_WIDE, _SIZE, _APART = 13.0, 11.0, 2.0
_DIAGONAL = 0.7071
_AWAY, _OVER = (1.5, 5.0, 9.0, 12.0), -0.3
"""Points from a shape to where else a badge may stand, and the part of its width by which it lies over a corner of its
shape where there is no room.
"""
_STRIPE, _REACH = 64.0, 40.0
"""Points across of the stripes in which what stands in a badge's way is looked for, and how far beside its shape."""


class Badge(NamedTuple):
    """What a badge shows and means, for which grade of the gradient, and how its id ends."""

    mark: str
    says: str
    grade: Literal["none", "bad", "unreached"] | None = None
    ending: str = "badge"


_OF_VALUE = Badge("×", "value not finite", ending="ill")
BADGES = (
    Badge("0", "gradient exactly 0", "none"),
    Badge("!", "gradient not finite", "bad"),
    Badge("–", "no gradient: the loss does not depend on it", "unreached"),
    _OF_VALUE,
)
_OF_GRADIENT: dict[Grade | None, Badge] = {badge.grade: badge for badge in BADGES if badge.grade}


def add_badges(picture: Picture) -> None:
    """One badge for all shapes of a timestep that hang together and need the same: beside the one where the gradient
    is lost, coming from the loss, or where values cease to be numbers.

    What stands outside the steps has its own only where it hangs together with none of them.
    """
    groups = list(_groups(picture))
    for (badge, _), (shape, (x, y)) in zip(groups, beside(picture, [group for _, group in groups]), strict=True):
        picture.shapes.append(
            Shape(
                f"{shape.id}.{badge.ending}",
                "circle",
                x,
                y,
                _WIDE,
                _WIDE,
                badge.mark,
                theme.paint("badge"),
                Look("badge"),
                tooltip=badge.says,
                font_size=_SIZE,
                border=0.8,
            )
        )


def beside(
    picture: Picture, groups: Sequence[Sequence[Shape]], wide: float = _WIDE, apart: float = _APART
) -> list[tuple[Shape, tuple[float, float]]]:
    """For each group the first of its shapes beside which a badge stands on nothing, or else where it covers least, and
    where its middle is.
    """
    taken = _taken(picture, {k for group in groups for shape in group for k in _columns(*_sides(shape, _REACH))})
    found = []
    for group in groups:
        ways = [
            (shape, box)
            for places, away in ((_places, apart), (_places, 9.0), *itertools.product((_along, _places), _AWAY))
            for shape in group
            for box in places(shape, wide / 2, away)
        ]
        free = (way for way in ways if taken.is_free(_grown(way[1], apart)))
        shape, box = next(free, None) or min(
            [*ways, *((shape, box) for shape in group for box in _places(shape, wide / 2, _OVER * wide))],
            key=lambda way: taken.covered(_grown(way[1], apart)),
        )
        taken.add(box)
        found.append((shape, ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)))
    return found


def _groups(picture: Picture) -> Iterator[tuple[Badge, list[Shape]]]:
    """What shares a badge, in the order in which shapes are tried."""
    special = [shape for shape in picture.shapes if shape.look.ill or shape.look.grade in _OF_GRADIENT]
    home = {key: frame.id for frame in picture.frames for key in frame.members} if special else {}
    for badge in BADGES:
        marked = {shape.id: shape for shape in special if badge in _badges_of(shape)}
        place = {key: k for k, key in enumerate(marked)}
        group = {key: [key] for key in marked}
        beside = set[str]()
        for line in picture.lines if marked else ():
            if not {line.source, line.target} <= marked.keys():
                continue
            one, other = home.get(line.source), home.get(line.target)
            if one == other:
                _joined(group, line.source, line.target)
            elif one is None or other is None:
                beside.add(line.source if one is None else line.target)
        for keys in {id(keys): keys for keys in group.values()}.values():
            if beside.isdisjoint(keys):
                shapes = sorted((marked[key] for key in keys), key=lambda shape: place[shape.id])
                yield badge, shapes if badge is _OF_VALUE else shapes[::-1]


def _joined(group: dict[str, list[str]], a: str, b: str) -> None:
    """Make the groups of both one."""
    if group[a] is not group[b]:
        small, large = sorted((group[a], group[b]), key=len)
        large += small
        group.update(dict.fromkeys(small, large))


def _badges_of(shape: Shape) -> Iterable[Badge]:
    return filter(None, (_OF_GRADIENT.get(shape.look.grade), _OF_VALUE if shape.look.ill else None))


def _places(shape: Shape, half: float, apart: float) -> Iterator[Box]:
    """Around a shape, first at its upper right."""
    away = half + apart
    for up, side in itertools.product((1, -1), (1, -1)):
        yield _box(shape, half, *_corner(shape, away, side, up))
    for side, up in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        yield _box(shape, half, side * (shape.width / 2 + away), up * (shape.height / 2 + away))


def _along(shape: Shape, half: float, apart: float) -> Iterator[Box]:
    """Along the sides of a shape, between its corners and their middles."""
    across, high = shape.width / 2, shape.height / 2
    for up, part in itertools.product((1, -1), (0.75, -0.75, 0.4, -0.4)):
        yield _box(shape, half, part * across, up * (high + half + apart))
    for side, part in itertools.product((1, -1), (0.75, -0.75, 0.4, -0.4)):
        yield _box(shape, half, side * (across + half + apart), part * high)


def _corner(shape: Shape, away: float, side: int, up: int) -> tuple[float, float]:
    """How far from the middle of a shape something of radius `away` touches its corner."""
    part = 1.0 if shape.kind == "box" else _DIAGONAL
    return side * (part * shape.width / 2 + _DIAGONAL * away), up * (part * shape.height / 2 + _DIAGONAL * away)


def _box(shape: Shape, half: float, dx: float, dy: float) -> Box:
    x, y = shape.x + dx, shape.y + dy
    return x - half, y - half, x + half, y + half


def _grown(box: Box, by: float) -> Box:
    left, bottom, right, top = box
    by -= 0.1
    return left - by, bottom - by, right + by, top + by


def _columns(left: float, right: float) -> range:
    """The stripes of the picture from there to there."""
    return range(int(left // _STRIPE), int(right // _STRIPE) + 1)


def _sides(shape: Shape, room: float) -> tuple[float, float]:
    return shape.x - shape.width / 2 - room, shape.x + shape.width / 2 + room


def _taken(picture: Picture, columns: Container[int]) -> Taken:
    """Shapes, lines, the borders of frames and what they say, as far as they reach into some stripes."""
    taken = Taken()

    def is_near(left: float, right: float) -> bool:
        return any(k in columns for k in _columns(left, right))

    for shape in picture.shapes:
        if shape.kind != "point" and is_near(*_sides(shape, 0.0)):
            for box in _outline(shape):
                taken.add(box)
    for line in picture.lines:
        for k, piece in enumerate(line.pieces):
            across = [x for x, _ in piece]
            if is_near(min(across) - line.width, max(across) + line.width):
                taken.add_line(piece, line.width, line.arrow and k == len(line.pieces) - 1)
    for frame in picture.frames:
        if not is_near(frame.left, frame.right):
            continue
        corners = ((frame.left, frame.bottom), (frame.left, frame.top), (frame.right, frame.top))
        taken.add_line((*corners, (frame.right, frame.bottom), corners[0]), 1.2, arrow=False)
        x, y, width = frame_label(frame)
        taken.add((x - width / 2, y - 7, x + width / 2, y + 7))
    return taken


def _outline(shape: Shape) -> Sequence[Box]:
    """Boxes that cover a shape; of a round one two that leave its corners free."""
    parts = [(0.5, 0.5)] if shape.kind in ("box", "text") else [(0.5, 0.3), (0.38, 0.38), (0.3, 0.5)]
    return [
        (
            shape.x - across * shape.width,
            shape.y - up * shape.height,
            shape.x + across * shape.width,
            shape.y + up * shape.height,
        )
        for across, up in parts
    ]

"""A picture as SVG: by Graphviz, or by ourselves with the same shapes at the same places.

Ids and classes are those that Graphviz would write, so that style sheets and scripts need not know who drew.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from html import escape

import numpy as np

from tinygrad_rnn.autodiff.collector import without_collections

from ..picture import theme
from ..picture.picture import Band, Frame, Line, Picture, Shape
from ..picture.strokes import ARROW, ROUND, Points, alike_curves, frame_label
from ..text import visible
from . import Fit
from .css import class_of_line, class_of_part, class_of_shape, style_sheet
from .dot import to_dot
from .graphviz import GraphvizMissingError, draw

__all__ = ["animated", "complete", "to_svg", "write_svg"]

_TURN, _REST = 0.22, 4.0
"""Seconds from one line of a moving drawing to the next, and at its end."""
_OBEYED = re.compile("[&<>\"']")
_LARGE = 1000
"""Shapes beyond which we write the SVG ourselves, in a fifth of the time that Graphviz takes."""


def write_svg(picture: Picture, fit: Fit = None) -> str:
    """The picture as a complete SVG, by Graphviz where that is there and does not take long."""
    if len(picture.shapes) <= _LARGE:
        try:
            return complete(draw(to_dot(picture), "svg").decode("utf-8"), picture, fit)
        except GraphvizMissingError:
            pass
    head, *parts = _parts(picture)
    return "\n".join([complete(head, picture, fit), *parts])


def animated(picture: Picture, turns: Mapping[str, int]) -> str:
    """The picture as an SVG in which what has a turn, by its id, is lit when that comes, over and over."""
    count = 1 + max(turns.values(), default=0)
    seconds = _TURN * count + _REST
    running = f"animation-duration:{seconds:.2f}s;animation-iteration-count:infinite"
    rules = [f".edge,.node path,.node ellipse{{{running}}}"]
    pale = f"stroke:{theme.GRADIENT[0][0]}"
    for turn in range(count):
        lit = f"{100 * (turn + 1) * _TURN / seconds:.2f}%"
        for what, look in (("line", "opacity:.08"), ("shape", pale)):
            rules.append(f"@keyframes {what}{turn}{{0%{{{look}}}{lit}{{{look};animation-timing-function:step-start}}}}")
    lines = {line.id for line in picture.lines}
    for key, turn in turns.items():
        name = f'"{escape(key)}"'
        rules.append(
            f".edge[id={name}]{{animation-name:line{turn}}}"
            if key in lines
            else f".node[id={name}] :is(path,ellipse){{animation-name:shape{turn}}}"
        )
    svg = complete(to_svg(picture), picture)
    moving = "\n".join(["@media (prefers-reduced-motion:no-preference){", *rules, "}"])
    return svg.replace("\n]]></style>", f"\n{moving}\n]]></style>", 1)


def complete(svg: str, picture: Picture, fit: Fit = None) -> str:
    """The SVG of a picture with a title and a description that screen readers say, its style sheet, and its size."""
    title, words = _text(picture.title), _text(picture.words)
    number = f"{zlib.crc32((title + words).encode()):08x}"

    def root(found: re.Match[str]) -> str:
        attributes = found[1]
        if fit is not None:
            unit, larger = picture.unit, 96 / 72 if picture.unit == "px" else 1.0
            width, height = (f"{side * larger:.2f}{unit}" for side in picture.page(fit))
            attributes = re.sub(r'width="[^"]*" height="[^"]*"', f'width="{width}" height="{height}"', attributes)
        return (
            f'<svg{attributes} role="img" aria-labelledby="title-{number} desc-{number}">\n'
            f'<title id="title-{number}">{title}</title>\n<desc id="desc-{number}">{words}</desc>\n'
            f"<style><![CDATA[\n{style_sheet(picture.gates)}\n]]></style>"
        )

    return re.sub(r"<svg\b([^>]*)>", root, svg, count=1)


def to_svg(picture: Picture) -> str:
    """The picture as SVG text; tooltips are titles."""
    return "\n".join(_parts(picture))


def _parts(picture: Picture) -> list[str]:
    """The lines of the SVG text, or several of them at a time; the first is the tag in which all others stand."""
    left, bottom, right, top = picture.sheet()
    width, height = right - left, top - bottom
    backdrop = _polygon([(left, bottom), (left, top), (right, top), (right, bottom)])
    parts = [
        '<?xml version="1.0" encoding="UTF-8" standalone="no"?>\n'
        f'<svg width="{width:.0f}pt" height="{height:.0f}pt" viewBox="0 0 {width:.2f} {height:.2f}" '
        f'xmlns="http://www.w3.org/2000/svg" font-family="{escape(theme.FONT)}">',
        f'<g id="graph0" class="graph" transform="translate({-left:.2f} {top:.2f})">',
        f'<polygon fill="{theme.PAPER.lower()}" stroke="none" points="{backdrop}"/>',
    ]
    with without_collections():
        parts += map(_frame, picture.frames)
        parts += map(_band, picture.bands)
        parts += _lines(picture.lines)
        parts += [_shape(shape, picture.gates) for shape in picture.shapes if shape.kind != "point"]
    return [*parts, "</g>", "</svg>", ""]


def _text(value: str) -> str:
    """User text that is shown and never obeyed."""
    return escape(visible(value, "\n"), quote=False)


def _group(kind: str, key: str, tooltip: str, inside: str) -> str:
    title = f"<title>{_text(tooltip)}</title>\n" if tooltip else ""
    return f'<g id="{_attribute(key)}" class="{kind}">\n{title}{inside}\n</g>'


def _attribute(value: str) -> str:
    return escape(value) if _OBEYED.search(value) else value


def _label(value: str, x: float, y: float, size: float, colour: str, anchor: str = "middle") -> str:
    shown = _text(value.replace("\n", "↵"))
    return f'<text text-anchor="{anchor}" x="{x:.2f}" {_type(y, size, colour)}>{shown}</text>'


@lru_cache(maxsize=1024)
def _type(y: float, size: float, colour: str) -> str:
    return f'y="{-y + 0.34 * size:.2f}" font-size="{size:.2f}" fill="{colour}"'


def _frame(frame: Frame) -> str:
    x, y, _ = frame_label(frame)
    box = _box(frame.left, frame.bottom, frame.right, frame.top)
    path = f'<path fill="{frame.paint.fill}" stroke="{frame.paint.stroke}" stroke-width="1.2" d="{box}"/>\n'
    inside = path + _label(frame.label, x, y, 11.0, theme.GREY)
    return _group(f"cluster frame {class_of_part(frame.part)}", frame.id, frame.tooltip or frame.label, inside)


def _band(band: Band) -> str:
    corners = [(band.left, band.bottom), (band.left, band.top), (band.right, band.top), (band.right, band.bottom)]
    inside = (
        f'<polygon fill="{band.paint.fill}" stroke="{band.paint.stroke}" stroke-width="0"'
        f' points="{_polygon(corners)}"/>'
    )
    return _group(f"cluster {class_of_part(band.part)}", band.id, band.tooltip, inside)


def _shape(shape: Shape, gates: tuple[str, ...]) -> str:
    inside = []
    if shape.kind != "text":
        assert shape.paint is not None
        look = _look(shape.paint, shape.border, shape.has_dashes)
        if shape.kind == "box":
            inside.append(f'<path {look} d="{_box(*_sides(shape))}"/>')
        else:
            radii = f'rx="{shape.width / 2:.2f}" ry="{shape.height / 2:.2f}"'
            inside.append(f'<ellipse {look} cx="{shape.x:.2f}" cy="{-shape.y:.2f}" {radii}/>')
    if shape.label:
        colour = shape.paint.stroke if shape.kind == "text" and shape.paint else theme.INK
        x = shape.x - shape.width / 2 if shape.align == "start" else shape.x
        inside.append(_label(shape.label, x, shape.y, shape.font_size, colour, shape.align))
    return _group(f"node {class_of_shape(shape.look, gates)}", shape.id, shape.tooltip, "\n".join(inside))


@lru_cache(maxsize=1024)
def _look(paint: theme.Paint, border: float, dashed: bool) -> str:
    dashes = ' stroke-dasharray="5,2"' if dashed else ""
    return f'fill="{paint.fill}" stroke="{paint.stroke}" stroke-width="{border:g}"{dashes}'


def _sides(shape: Shape) -> tuple[float, float, float, float]:
    half, up = shape.width / 2, shape.height / 2
    return shape.x - half, shape.y - up, shape.x + half, shape.y + up


def _box(left: float, bottom: float, right: float, top: float) -> str:
    r = min(ROUND, (right - left) / 3, (top - bottom) / 3)
    low, side, high = _corners(r, bottom, top)
    start, end = f"{left + r:.2f}", f"{right - r:.2f}"
    return f"M{start}{low}{end}{side}{start}{high}"


@lru_cache(maxsize=1024)
def _corners(r: float, bottom: float, top: float) -> tuple[str, str, str]:
    """What stands behind each place across of the outline of a box: boxes side by side have that in common."""
    return (
        f",{-bottom:.2f} H",
        f" q{r:.2f},0 {r:.2f},{-r:.2f} V{-top + r:.2f} q0,{-r:.2f} {-r:.2f},{-r:.2f} H",
        f" q{-r:.2f},0 {-r:.2f},{r:.2f} V{-bottom - r:.2f} q0,{r:.2f} {r:.2f},{r:.2f} Z",
    )


def _lines(lines: Sequence[Line]) -> Iterator[str]:
    """All lines; their numbers are computed and written many at a time."""
    pieces = [piece for line in lines for piece in line.pieces]
    ways, tips = [""] * len(pieces), [""] * len(pieces)
    for places, points, sizes in alike_curves(lines):
        for place, text in zip(places, _written(points, "M", "C"), strict=True):
            ways[place] = text
        headed = np.flatnonzero(sizes)
        ends = [places[k] for k in headed.tolist()]
        if ends:
            corners = _heads(points[headed, -1], np.array([pieces[k][-1] for k in ends]), 0.35 * ARROW * sizes[headed])
            for place, text in zip(ends, _written(corners, "", " "), strict=True):
                tips[place] = text
    place = 0
    for line in lines:
        stroke = _stroke(line.colour, line.width)
        dashes = ' stroke-dasharray="5,2"' if line.dashed else ""
        inside = []
        for _ in line.pieces:
            inside.append(f'<path fill="none" {stroke}{dashes} d="{ways[place]}"/>')
            if tips[place]:
                inside.append(f'<polygon fill="{line.colour}" {stroke} points="{tips[place]}"/>')
            place += 1
        if line.label and line.label_at:
            inside.append(_label(line.label, *line.label_at, 11.0, theme.INK))
        yield _group(f"edge {class_of_line(line)}", line.id, line.tooltip, "\n".join(inside))


@lru_cache(maxsize=1024)
def _stroke(colour: str, width: float) -> str:
    return f'stroke="{colour}" stroke-width="{width:g}"'


def _heads(base: Points, tip: Points, half: Points) -> Points:
    """The corners of arrowheads, of shape ``(heads, 3, 2)``."""
    along = tip - base
    length = np.hypot(along[:, 0], along[:, 1])
    length[length == 0] = 1.0
    across = np.stack([-along[:, 1], along[:, 0]], axis=1) / length[:, None] * half[:, None]
    return np.stack([base - across, tip, base + across], axis=1)


def _written(points: Points, first: str, then: str) -> list[str]:
    """Rows of points of shape ``(rows, points, 2)`` as text, with a word in front of the first and of the next.

    Those of the same heights, as of timesteps side by side, have these written once.
    """
    across, up = points[:, :, 0], -points[:, :, 1]
    alike: dict[bytes, list[int]] = {}
    for row, heights in enumerate(up.copy().view(f"V{up.itemsize * up.shape[1]}").ravel().tolist()):
        alike.setdefault(heights, []).append(row)
    found = [""] * len(points)
    for rows in alike.values():
        start, *others = [f"%.2f,{y:.2f}" for y in up[rows[0]].tolist()]
        form = f"{first}{start}{then}{' '.join(others)}"
        text: str = "\n".join([form] * len(rows)) % tuple(across[rows].ravel().tolist())
        for row, written in zip(rows, text.split("\n"), strict=True):
            found[row] = written
    return found


def _polygon(points: Sequence[tuple[float, float]]) -> str:
    numbers = [number for x, y in points for number in (x, -y)]
    return " ".join(["%.2f,%.2f"] * len(points)) % tuple(numbers)

"""What an SVG shows, read back from its text: the geometry that a reader's eye meets, whoever wrote the file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree as ET

import matplotlib
import numpy as np
from matplotlib import font_manager, ft2font

import inspector
import tinygrad_rnn as tg
from inspector.formats.dot import to_dot
from inspector.formats.graphviz import draw
from inspector.formats.svg import to_svg
from inspector.picture.compose import picture
from inspector.picture.picture import Picture

SVG = "{http://www.w3.org/2000/svg}"
Point = tuple[float, float]
_LARGE = 1000
"""The size in which glyphs are measured, in which hinting moves nothing."""


class Box(NamedTuple):
    """Sides in the SVG's coordinates, in which y grows downwards."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def centre(self) -> Point:
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    def overlap(self, other: Box) -> float:
        """How deep one reaches into the other; negative where they are apart."""
        across = min(self.right, other.right) - max(self.left, other.left)
        return min(across, min(self.bottom, other.bottom) - max(self.top, other.top))

    def holds(self, other: Box, slack: float = 0.0) -> bool:
        return (
            self.left - slack <= other.left
            and other.right <= self.right + slack
            and self.top - slack <= other.top
            and other.bottom <= self.bottom + slack
        )

    def grown(self, by: float) -> Box:
        return Box(self.left - by, self.top - by, self.right + by, self.bottom + by)


@dataclass(frozen=True)
class Node:
    """A shape, or bare text: then `box` is None."""

    id: str
    css: str
    box: Box | None
    round: bool
    words: str
    text: Box | None
    """Where the words may lie, in the widest of the fonts at hand."""
    characters: tuple[Box, ...] = ()


@dataclass(frozen=True)
class Edge:
    """A line in one piece or several, the tip of its arrow, and the corners of that, the tip between the others."""

    id: str
    css: str
    pieces: tuple[tuple[Point, ...], ...]
    tip: Point | None
    text: Box | None = None
    head: tuple[Point, ...] = ()


@dataclass
class Drawn:
    nodes: dict[str, Node] = field(default_factory=dict)
    frames: dict[str, Node] = field(default_factory=dict)
    edges: dict[str, Edge] = field(default_factory=dict)
    badges: dict[str, Node] = field(default_factory=dict)
    """They lie on the corners of shapes on purpose."""
    bands: dict[str, Node] = field(default_factory=dict)
    """They lie behind lines and shapes on purpose."""
    sizes: list[float] = field(default_factory=list)
    """Of all text, in points."""


@cache
def produced(name: str, level: str) -> tuple[Picture, str, str]:
    """A cell of the registry over three steps with a trace: the picture, Graphviz's SVG of it, and ours."""
    run = tg.unroll(tg.cells.get(name)(3, 4, seed=0), np.random.default_rng(0).normal(size=(3, 2, 3)))
    drawing = picture(run, level=level, trace=inspector.trace(run, run.outputs[-1].sum()))
    return drawing, draw(to_dot(drawing), "svg").decode(), to_svg(drawing)


def read(svg: str) -> Drawn:
    """What is drawn; a group that stands twice is an error."""
    drawn = Drawn()
    for g in ET.fromstring(svg.encode()).iter(f"{SVG}g"):
        kind, _, css = (g.get("class") or "").partition(" ")
        key = g.get("id", "")
        if kind not in ("node", "cluster", "edge"):
            continue
        assert key not in drawn.nodes and key not in drawn.frames and key not in drawn.edges, f"{key} is drawn twice"
        texts = list(g.iter(f"{SVG}text"))
        drawn.sizes += [float(text.get("font-size", 0)) for text in texts]
        characters = tuple(box for text in texts for box in _ink(text))
        ink = _union(characters)
        if kind == "edge":
            pieces = tuple(tuple(_outline(path.get("d", ""))) for path in g.iter(f"{SVG}path"))
            heads = [_points(polygon.get("points", "")) for polygon in g.iter(f"{SVG}polygon")]
            head = tuple(heads[0][:3]) if heads else ()
            drawn.edges[key] = Edge(key, css, pieces, head[1] if heads else None, ink, head)
            continue
        outline, is_round = _shape(g)
        words = "".join("".join(text.itertext()) for text in texts)
        kept = (
            drawn.bands
            if css == "highway"
            else drawn.frames
            if kind == "cluster"
            else drawn.badges
            if css in ("badge", "added mark", "removed mark")
            else drawn.nodes
        )
        kept[key] = Node(key, css, outline, is_round, words, ink, characters)
    return drawn


def _shape(g: ET.Element) -> tuple[Box | None, bool]:
    ellipse = next(g.iter(f"{SVG}ellipse"), None)
    if ellipse is not None:
        x, y, rx, ry = (float(ellipse.get(key, 0)) for key in ("cx", "cy", "rx", "ry"))
        return Box(x - rx, y - ry, x + rx, y + ry), True
    corners = [point for path in g.iter(f"{SVG}path") for point in _outline(path.get("d", ""))]
    corners += [point for polygon in g.iter(f"{SVG}polygon") for point in _points(polygon.get("points", ""))]
    return (_around(corners) if corners else None), False


def _around(points: Sequence[Point]) -> Box:
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return Box(min(xs), min(ys), max(xs), max(ys))


def _union(boxes: Sequence[Box]) -> Box | None:
    return _around([p for b in boxes for p in ((b.left, b.top), (b.right, b.bottom))]) if boxes else None


def _points(text: str) -> list[Point]:
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in text.split())]


def _outline(d: str) -> Iterator[Point]:
    """The points of a path, control points included, which never lie outside of what is drawn here."""
    x = y = 0.0
    for command, rest in re.findall(r"([MLCHVqZ])([^MLCHVqZ]*)", d):
        numbers = [float(n) for n in re.findall(r"-?\d+(?:\.\d+)?(?:e-?\d+)?", rest)]
        if command == "H":
            x = numbers[-1]
        elif command == "V":
            y = numbers[-1]
        pairs = [(x, y)] if command in "HV" else list(zip(numbers[::2], numbers[1::2], strict=True))
        if command == "q":
            pairs = [(x + dx, y + dy) for dx, dy in pairs]
        yield from pairs
        x, y = pairs[-1] if pairs else (x, y)


# ---------------------------------------------------------------------------------------------- text


def _ink(text: ET.Element) -> list[Box]:
    """The characters' boxes, in the font in which the words are widest."""
    words, size = "".join(text.itertext()), float(text.get("font-size", 0))
    x, y = float(text.get("x", 0)), float(text.get("y", 0))
    metrics = max(([metric(font, c) for c in words] for font in fonts()), key=lambda found: sum(m[0] for m in found))
    x -= {"middle": 0.5, "start": 0.0}[text.get("text-anchor", "")] * sum(advance for advance, _, _ in metrics) * size
    boxes = []
    for advance, low, high in metrics:
        boxes.append(Box(x, y - high * size, x + advance * size, y - low * size))
        x += advance * size
    return boxes


def text_width(words: str, size: float) -> float:
    """The width of a line of text in the widest of the fonts, in points."""
    return size * max(sum(metric(font, c)[0] for c in words) for font in fonts())


@lru_cache(maxsize=1)
def fonts() -> tuple[str, ...]:
    """DejaVu Sans, which Matplotlib brings along, and Liberation Sans, which has Arial's widths, where it is
    installed.
    """
    own = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return (
        str(own),
        *sorted(
            f.fname
            for f in font_manager.fontManager.ttflist
            if f.name == "Liberation Sans" and f.weight == 400 and f.style == "normal"
        )[:1],
    )


@lru_cache(maxsize=4096)
def metric(font: str, character: str) -> tuple[float, float, float]:
    """Advance, lowest and highest ink, in ems; what the font lacks is taken from DejaVu Sans, or is an em wide."""
    face = _face(font)
    index = face.get_char_index(ord(character))
    if not index:
        return metric(fonts()[0], character) if font != fonts()[0] else (1.0, -0.2, 0.8)
    loaded = face.load_glyph(index)
    _, low, _, high = loaded.bbox
    return loaded.linearHoriAdvance / 65536 / _LARGE, low / 64 / _LARGE, high / 64 / _LARGE


@lru_cache(maxsize=4)
def _face(font: str) -> Any:
    face = ft2font.FT2Font(font)
    face.set_size(_LARGE, 72)
    return face

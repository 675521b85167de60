"""What explains a drawing: title, parameters, legend and equations around it."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tinygrad_rnn import Graph, Node

from ..layout.polylines import Path
from ..steps.items import Gate, safe
from ..text import label_width, number, shortened
from . import theme
from .badges import BADGES
from .canvas import Canvas
from .ink import Ink
from .picture import Line, Look, Part, Picture, Shape

__all__ = ["Formula", "add_formulas", "add_legend", "add_warning"]

_LEAST, _PITCH, _SIZE = 400.0, 30.0, 11.0
"""Points that a row may be wide under a narrow drawing (in print it is then no wider than a page's text), from row
to row, and of text.
"""
_NAME = 400.0
"""Points of the name of a parameter."""
_BIN, _VALUE = 28.0, 22.0
_TEXT, _LINE = 12.0, 21.0
"""Font size of equations, and the distance from line to line."""


def add_legend(
    canvas: Canvas, graph: Graph, own_steps: set[int], names: dict[int, str], room: float | None = None
) -> None:
    """The title above, and the parameters and the legend below.

    `own_steps` are the indices of all operations in the steps of the layers drawn, shown or folded away; `names` are
    those of parameters by their Tensors' ids. On a page it has `room` points.
    """
    picture, ink = canvas.picture, canvas.ink
    folds = [shape for shape in picture.shapes if shape.look.part == "more"]
    if room is None:
        left = min([canvas.left, *(fold.x - fold.width / 2 for fold in folds)])
        right = max([canvas.right, left + _LEAST, *(fold.x + fold.width / 2 for fold in folds)])
    else:
        left = picture.bounds()[0]
        right = left + room
    canvas.title(left, None if room is None else right)
    rows = _Rows(left, right, canvas.bottom - 34)
    taken = {shape.id for shape in picture.shapes}
    if _parameters(canvas, graph, own_steps, names, rows, taken):
        rows.feed(34)
    _roles(picture, ink, rows, taken)
    if any(frame.part == "backward" for frame in picture.frames):
        _caption(picture, "legend.backward", _BACKWARD, *rows.place(label_width(_BACKWARD, _SIZE), 24))
    if ink.largest:
        _values(picture, ink, *rows.place(_VALUES_WIDTH, 24))
    if ink.norms is not None:
        _scale(picture, ink, *rows.place(_SCALE_WIDTH, 24))
    canvas.bottom = rows.y - 20


class _Rows:
    """Places side by side, in rows that are no wider than the drawing."""

    def __init__(self, left: float, right: float, y: float) -> None:
        self.left, self.right, self.x, self.y = left, right, left, y

    def place(self, width: float, space: float = 8.0) -> tuple[float, float]:
        """The left end and the height of the next place; `space` points from the one before."""
        x = self.x + space if self.x > self.left else self.left
        if x + width > self.right and x > self.left:
            self.feed(_PITCH)
            x = self.left
        self.x = x + width
        return x, self.y

    def feed(self, pitch: float) -> None:
        """Begin a new row."""
        self.x, self.y = self.left, self.y - pitch


def _parameters(
    canvas: Canvas, graph: Graph, own_steps: set[int], names: dict[int, str], rows: _Rows, taken: set[str]
) -> bool:
    """A chip for each parameter, and for each input that is none of the circles.

    What is read by other cells' steps only, or by what the box of everything outside stands for, has none.
    """
    readers = own_steps | canvas.shown.keys() | canvas.folded
    read = {edge.source for edge in graph.edges if edge.target in readers}
    leaves = [n for n in graph.nodes if n.is_leaf and n.op != "constant" and n.index not in canvas.shown]
    leaves = [n for n in leaves if n.op == "parameter" or n.timestep is None]
    leaves = [n for n in leaves if n.index in read]
    for node in leaves:
        name = names.get(node.tensor.id) if node.tensor is not None else None
        shape = f" {_shape(node)}"
        room = min(_NAME, rows.right - rows.left - 14) - label_width(shape, _SIZE)
        label = shortened(name or node.name or _whole(node, graph), room, _SIZE) + shape
        width = label_width(label, _SIZE) + 14
        x, y = rows.place(width)
        shape_id = canvas.picture.unused(f"parameter.{safe(node.name or node.op)}", taken)
        taken.add(shape_id)
        canvas.value(node, shape_id, "box", (x + width / 2, y), (width, 20), label, "parameter", 1.4)
        canvas.shown[node.index] = (shape_id, x + width / 2, y)
    return bool(leaves)


def _whole(node: Node, graph: Graph) -> str:
    """What a leaf without a name is called: as its slices are, if it is a whole sequence; else parameter."""
    readers = {graph.nodes[edge.target].name for edge in graph.edges if edge.source == node.index}
    name = readers.pop() if len(readers) == 1 else None
    return name or node.op


def _shape(node: Node) -> str:
    return "×".join(str(n) for n in node.shape) if node.shape else "scalar"


def _roles(picture: Picture, ink: Ink, rows: _Rows, taken: set[str]) -> None:
    """One chip for each colour in use, for highways, and for badges."""
    used = {shape.look.part for shape in picture.shapes}
    chips: list[tuple[str, Part]] = []
    alike: dict[tuple[theme.Paint, bool], list[Gate]] = {}
    for gate in map(Gate, picture.gates):
        if gate in used:
            alike.setdefault((theme.paint(gate, picture.gates), theme.dashed(gate, picture.gates)), []).append(gate)
    for found in alike.values():
        chips.append((", ".join(theme.gate_label(gate.name, picture.gates) for gate in found), found[0]))
    words: dict[Part, str] = {
        "layer": "learned layer",
        "pointwise": "pointwise",
        "shared": "shared by gates",
        "cell": "state",
        "hidden": "output",
        "input": "input x",
        "loss": "loss",
    }
    chips += [(word, part) for part, word in words.items() if part in used]
    if any(band.part == "highway" for band in picture.bands):
        chips.append(("highway: diagonal Jacobians", "highway"))
    if ink.highlight:
        chips.append(("highlighted path", "highlight"))
    badges = {shape.tooltip for shape in picture.shapes if shape.look.part == "badge"}
    chips += [(f"{badge.mark} = {badge.says}", "badge") for badge in BADGES if badge.says in badges]
    grades = {f"{badge.mark} = {badge.says}": badge.grade for badge in BADGES}
    for says, part in chips:
        label = shortened(says, rows.right - rows.left - 16, _SIZE)
        width = label_width(label, _SIZE) + 16
        x, y = rows.place(width)
        paint, look = theme.paint(part, picture.gates), Look(part, grade=grades.get(says), legend=True)
        if look.grade is not None:
            paint = paint._replace(stroke=theme.LINES["bad" if look.grade == "bad" else "none"][0])
        if ink.largest and part not in ("highway", "badge"):  # there, fills are values
            middle = len(theme.VALUES) // 2
            paint, look = paint._replace(fill=theme.VALUES[middle][0]), look._replace(value=middle)
        shape_id = picture.unused(f"legend.{safe(label)}", taken)
        taken.add(shape_id)
        picture.shapes.append(
            Shape(
                shape_id,
                "box",
                x + width / 2,
                y,
                width,
                20,
                label,
                paint,
                look,
                font_size=_SIZE,
                dashed=theme.dashed(part, picture.gates),
            )
        )


_BACKWARD = "δv = dL/dv, the whole gradient by v;  ∂L/∂h: what the loss adds itself"
_VALUES_CAPTION, _SCALE_CAPTION = "mean of its values, of σ from 0 to 1, of tanh from −1 to 1", "gradient norm ‖∂L/∂·‖"
_VALUES_WIDTH = _VALUE * len(theme.VALUES) + 12 + label_width(_VALUES_CAPTION, _SIZE)
_SCALE_WIDTH = _BIN * len(theme.GRADIENT) + 12 + label_width(_SCALE_CAPTION, _SIZE)


def _values(picture: Picture, ink: Ink, x: float, y: float) -> None:
    """The classes of values with the ends of the scale."""
    x = _caption(picture, "legend.values", _VALUES_CAPTION, x, y)
    last = len(theme.VALUES) - 1
    for k, (fill, _) in enumerate(theme.VALUES):
        paint = theme.paint("value")._replace(fill=fill)
        picture.shapes.append(
            Shape(
                f"legend.value{k}",
                "box",
                x + _VALUE / 2,
                y + 3,
                _VALUE,
                12,
                "",
                paint,
                Look("value", value=k, legend=True),
                font_size=9,
                border=0.6,
            )
        )
        if k in (0, last // 2, last):
            label = number(ink.largest * (2 * k / last - 1), 2)
            picture.shapes.append(_tick(f"legend.value{k}.tick", label, x + _VALUE / 2, y - 10))
        x += _VALUE


def _scale(picture: Picture, ink: Ink, x: float, y: float) -> None:
    """The classes of gradient norm with the ends of the scale."""
    x = _caption(picture, "legend.scale", _SCALE_CAPTION, x, y)
    steps = len(theme.GRADIENT)
    for k, (colour, thickness, _) in enumerate(theme.GRADIENT):
        ends = []
        for side, at in (("a", x), ("b", x + _BIN - 4)):
            own = f"legend.scale.{k}{side}"
            picture.shapes.append(Shape(own, "point", at, y + 3, 0.4, 0.4, "", None, Look("anchor")))
            ends.append(own)
        path: Path = ((x, y + 3), (x + _BIN - 4, y + 3))
        picture.lines.append(
            Line(f"legend.bin{k}", ends[0], ends[1], (path,), colour, thickness, k, "", False, use="legend")
        )
        if k in (0, steps // 2, steps - 1):
            exact = {0: 0.0, steps - 1: 1.0}.get(k, k / steps)
            value = ink.low * (ink.high / ink.low) ** exact
            label = ("≤ " if k == 0 and ink.below else "") + number(value, 2)
            picture.shapes.append(_tick(f"legend.tick{k}", label, x + _BIN / 2 - 2, y - 9))
        x += _BIN


def _tick(own: str, label: str, x: float, y: float) -> Shape:
    return Shape(own, "text", x, y, 46, 12, label, None, Look("legend"), font_size=_SIZE)


def _caption(picture: Picture, own: str, caption: str, x: float, y: float) -> float:
    width = label_width(caption, _SIZE)
    picture.shapes.append(
        Shape(own, "text", x + width / 2, y, width, 18, caption, None, Look("legend"), font_size=_SIZE, align="start")
    )
    return x + width + 12


def add_warning(picture: Picture, says: str) -> None:
    """A sentence above the title, in as many lines as the drawing is wide for."""
    title = next(shape for shape in picture.shapes if shape.id == "title")
    right = max(shape.x + shape.width / 2 for shape in picture.shapes)
    left, y = title.x - title.width / 2, max(shape.y + shape.height / 2 for shape in picture.shapes)
    lines = textwrap.wrap(says, max(40, int((right - left) / label_width("n", 12))))
    for k, line in enumerate(reversed(lines)):
        width = label_width(line, 12) + 20
        picture.shapes.append(
            Shape(
                f"not-finite.{len(lines) - k}",
                "text",
                left + width / 2,
                y + 14 + 18 * k,
                width,
                18,
                line,
                theme.paint("warning"),
                Look("warning"),
                tooltip=says,
                font_size=12,
                align="start",
            )
        )


class Formula(NamedTuple):
    """A line of text, what it is about (an id), its tooltip, the same in LaTeX, and whether it is about a highway."""

    text: str
    about: str
    tooltip: str = ""
    latex: str = ""
    rail: bool = False


def add_formulas(picture: Picture, left: float, formulas: Sequence[Formula], room: float | None = None) -> None:
    """The lines below everything that is drawn, beginning at `left`; those about a highway in the colour of a rail,
    and those of more than `room` points in several.
    """
    if room is not None:
        formulas = [part for formula in formulas for part in _broken(formula, room)]
    y = min(shape.y - shape.height / 2 for shape in picture.shapes) - _LINE - 4
    for formula in formulas:
        width = _width(formula.text)
        picture.shapes.append(
            Shape(
                picture.unused(f"equation.{safe(formula.about)}"),
                "text",
                left + width / 2,
                y,
                width,
                _LINE,
                formula.text,
                theme.ROLES["cell"] if formula.rail else None,
                Look("equation", "rail" if formula.rail else ""),
                tooltip=formula.tooltip,
                font_size=_TEXT,
                align="start",
                latex=formula.latex,
            )
        )
        y -= _LINE


def _broken(formula: Formula, room: float) -> Iterator[Formula]:
    """A formula in lines that have room, broken where it has spaces."""
    if _width(formula.text) <= room:
        yield formula
        return
    line = ""
    for word in formula.text.split(" "):
        if line.strip() and _width(f"{line} {word}") > room:
            yield formula._replace(text=line, latex="")
            line = f"      {word}"
        else:
            line = f"{line} {word}" if line else word
    yield formula._replace(text=line, latex="")


def _width(text: str) -> float:
    """What the text takes; raised and lowered characters are narrow."""
    plain = "".join(
        "x" if unicodedata.category(c) == "Lm" or unicodedata.decomposition(c).startswith("<su") else c for c in text
    )
    return label_width(plain, _TEXT)

"""A picture in the making: what it is drawn with, and where things stand so far."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from tinygrad_rnn import Node

from ..layout.polylines import Path, bridged, without_trunk
from ..steps.items import Key, Role
from ..text import label_width
from . import theme
from .ink import Ink, Stroke
from .picture import At, Line, Look, Picture, Shape

__all__ = ["Canvas", "Outfit"]


class Outfit(NamedTuple):
    """How a shape looks before values and gradients have a say."""

    paint: theme.Paint
    look: Look
    border: float
    dashed: bool
    font_size: float


@dataclass
class Canvas:
    """What the parts of a drawing are added to.

    Attributes
    ----------
    picture : Picture
    ink : Ink
    note_of : callable
        What the tooltip of a node says.
    outputs : dict
        Node index of an output to the id, centre and radius of the circle that shows it.
    shown : dict
        Node index to the id and centre of the shape that shows it.
    columns : dict
        Timestep to the x of the middle of its column, those that are folded away included.
    outfits : dict
        How an item looks, by the `id` of the step that those alike are copies of, and its key.
    folded : set
        Node indices of operations outside the steps that another's shape stands for.
    stood_for : set
        Node indices of operations in the steps that a shape stands for.
    seams : list of float
        Where the drawing can be cut between two columns.
    passing : list of (x, y, name)
        Where a state passes from column to column.
    after : set
        Ids of what follows the last step.
    left, right, bottom, top : float
        The extent of what surrounds the frames.
    whole_lines : bool
        Whether lines within a step begin at their source, since which of them is the strongest may change.
    """

    picture: Picture
    ink: Ink
    note_of: Callable[[Node], str] = lambda node: ""
    outputs: dict[int, tuple[str, float, float, float]] = field(default_factory=dict)
    shown: dict[int, tuple[str, float, float]] = field(default_factory=dict)
    columns: dict[int, float] = field(default_factory=dict)
    outfits: dict[tuple[int, Key], Outfit] = field(default_factory=dict)
    folded: set[int] = field(default_factory=set)
    stood_for: set[int] = field(default_factory=set)
    seams: list[float] = field(default_factory=list)
    passing: list[tuple[float, float, str]] = field(default_factory=list)
    after: set[str] = field(default_factory=set)
    left: float = 0.0
    right: float = 0.0
    bottom: float = 0.0
    top: float = 0.0
    whole_lines: bool = False
    _lines: list[tuple[float, Line, Sequence[float]]] = field(default_factory=list)
    _pairs: dict[str, int] = field(default_factory=dict)

    def note(self, node: Node | None) -> str:
        """The tooltip of a node."""
        return "" if node is None else self.note_of(node)

    def value(
        self,
        node: Node,
        shape_id: str,
        kind: str,
        place: tuple[float, float],
        size: tuple[float, float],
        label: str,
        role: Role,
        border: float,
        font_size: float = 11,
        at: At | None = None,
    ) -> Shape:
        """A shape for a value that is no item of a step; dashed where another shape stands for it already."""
        again = node.index in self.shown
        variant: Literal["copy", ""] = "copy" if again and role == "input" else ""
        paint, look, border = self.ink.outline(node, theme.paint(role), Look(role, variant), border)
        note, nodes = self.note(node), () if again else (node.index,)
        shape = Shape(
            shape_id,
            kind,
            *place,
            *size,
            label,
            paint,
            look,
            tooltip=note,
            font_size=font_size,
            border=border,
            dashed=again,
            nodes=nodes,
            value=node.index,
            at=at,
        )
        self.picture.shapes.append(shape)
        return shape

    def title(self, left: float, right: float | None = None) -> None:
        """Write the title above everything; smaller, or in lines, where it has to end at `right`."""
        size, lines = 16.0, [self.picture.title]
        if right is not None and label_width(lines[0], size) + 20 > right - left:
            size = 12.0
            lines = textwrap.wrap(lines[0], max(20, int((right - left - 20) / label_width("n", size))))
        for k, text in enumerate(reversed(lines)):
            own = f"title.{len(lines) - k}" if k < len(lines) - 1 else "title"
            width = label_width(text, size) + 20
            x, y = left + width / 2, self.top + 16 + 18 * k
            self.picture.shapes.append(
                Shape(own, "text", x, y, width, 24, text, None, Look("title"), font_size=size, align="start")
            )

    def anchor(self, shape_id: str, x: float, y: float) -> None:
        """A place that lines may begin and end at."""
        self.picture.shapes.append(Shape(shape_id, "point", x, y, 0.4, 0.4, "", None, Look("anchor")))

    def line(
        self, source: str, target: str, path: Path, stroke: Stroke, *, arrow: bool = True, rails: Sequence[float] = ()
    ) -> None:
        """Add a line, without needless corners, for :meth:`draw_lines` to lead under the highways at the heights of
        `rails`.
        """
        pair = f"{source}--{target}"
        before = self._pairs.get(pair, 0)
        self._pairs[pair] = before + 1
        line_id = f"{pair}--{before}" if before else pair
        self._lines.append((stroke.rank, stroke.line(line_id, source, target, path, arrow), rails))

    def ribbon(self, line: Line) -> None:
        """Add a line above those that pass a fold."""
        self._lines.append((0.6, line, ()))

    def draw_lines(self) -> None:
        """Draw the lines, weakest first, each from where it leaves a stronger one of the same source; with
        `whole_lines` only from where it leaves one that goes on into another step.
        """
        trunks: dict[str, list[Path]] = {}
        steps = {shape.id: (shape.at.layer, shape.at.timestep) for shape in self.picture.shapes if shape.at is not None}

        def is_whole(line: Line) -> bool:
            ends = {steps[end] for end in (line.source, line.target) if end in steps}
            return self.whole_lines and len(ends) < 2

        entries = sorted(self._lines, key=lambda entry: (is_whole(entry[1]), -entry[0]))
        for _, line, rails in entries:
            path, laid = line.pieces[0], trunks.setdefault(line.source, [])
            rest = without_trunk(path, laid) if laid else path
            line.pieces = bridged(rest, rails) if rails else (rest,)
            if not is_whole(line):
                laid.append(path)
        self.picture.lines += [line for _, line, _ in reversed(entries)]

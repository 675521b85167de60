"""A picture as data: frames, shapes and lines at fixed places, ready for any engine to draw."""

from __future__ import annotations

import itertools
from collections.abc import Container
from dataclasses import KW_ONLY, dataclass, field
from typing import Literal, NamedTuple, TypeAlias

from ..layout.polylines import Path
from ..steps.items import Role
from .theme import Paint

__all__ = ["MARGIN", "At", "Band", "Change", "Curve", "Frame", "Grade", "Line", "Look", "Part", "Picture", "Shape"]

MARGIN = 18.0
"""Points that a page leaves free on each side."""


class At(NamedTuple):
    """Where in a run something stands; what agrees in layer and key is the same thing at another timestep."""

    layer: str
    timestep: int
    key: str


class Curve(NamedTuple):
    """What belongs to a plotted curve, by the place of its colour in the theme."""

    place: int


Change: TypeAlias = Literal["kept", "removed", "added"]
"""What became of something from one of two cells that are compared to the other."""
Part: TypeAlias = (
    "Role | Change | Literal['step', 'cellbox', 'backward', 'highway', 'more', 'badge', 'warning', 'title', 'label',"
    " 'legend', 'highlight', 'equation', 'chart', 'anchor']"
)
"""What something is to the drawing: what it is to the cell, or a frame, a fold, a text..."""
Grade: TypeAlias = (
    "int | Curve | Change"
    " | Literal['plain', 'rail', 'path', 'cut', 'unreached', 'none', 'bad', 'loose', 'fold', 'grid']"
)
"""What the look of a line says: the class of the norm of the gradient that flows through it, or why there is none."""


class Look(NamedTuple):
    """What a shape is, and what its look says: the class of the mean of its values, if it is filled by that; whether
    one of them is not finite; the grade of its gradient; and whether it stands in the legend.
    """

    part: Part | Curve
    variant: Literal["", "named", "copy", "mark", "hollow", "rail"] = ""
    value: int | None = None
    ill: bool = False
    grade: Grade | None = None
    legend: bool = False


@dataclass
class Shape:
    """A box, circle, ellipse or bare text around a centre.

    It is never changed, and not frozen only since there are many: making one then takes four times as long.

    `nodes` are the indices of the graph nodes that it stands for; each node is stood for once. `value` is the index of
    the one whose value it shows, `at` its place in the run, ``None`` beside the steps. `align` is
    ``"start"`` for a label that begins at the left edge. Bare text takes its colour from the stroke of `paint`.
    `latex` is the label as a formula, for engines that set formulas.
    """

    id: str
    kind: str
    x: float
    y: float
    width: float
    height: float
    label: str
    paint: Paint | None
    look: Look
    _: KW_ONLY
    tooltip: str = ""
    font_size: float = 11.0
    border: float = 1.2
    dashed: bool = False
    nodes: tuple[int, ...] = ()
    value: int | None = None
    at: At | None = None
    align: str = "middle"
    latex: str = ""

    @property
    def has_dashes(self) -> bool:
        """Whether its border is dashed, by what it is or as the lines are through which no gradient flows."""
        return self.dashed or self.look.grade in ("none", "unreached")


@dataclass
class Line:
    """A line from one shape to another, in one piece or, where it passes under a rail, in several.

    It is never changed, and not frozen only since there are many.

    `norm` is that of the gradient that flows through it, ``None`` where there is no trace or the line is
    `cut`; `edge` is what it flows along, see :class:`~inspector.steps.items.Link`. `use` says
    what it is if it is none of the graph.
    """

    id: str
    source: str
    target: str
    pieces: tuple[Path, ...]
    colour: str
    width: float
    grade: Grade
    tooltip: str = ""
    arrow: bool = True
    dashed: bool = False
    label: str = ""
    label_at: tuple[float, float] | None = None
    norm: float | None = None
    cut: bool = False
    edge: tuple[int, int] | None = field(default=None, compare=False)  # it is drawn alike whatever its Tensors' ids
    use: Literal["", "ribbon", "chart", "legend"] = ""


@dataclass(frozen=True)
class Frame:
    """A rounded box behind the shapes of one timestep."""

    id: str
    left: float
    bottom: float
    right: float
    top: float
    label: str
    paint: Paint
    part: Part
    tooltip: str = ""
    members: tuple[str, ...] = ()
    label_right: bool = False
    timestep: int = 0


@dataclass(frozen=True)
class Band:
    """A stripe behind lines and shapes, above frames."""

    id: str
    left: float
    bottom: float
    right: float
    top: float
    paint: Paint
    part: Part
    tooltip: str = ""


@dataclass
class Picture:
    """Everything that is drawn; later lines lie above earlier ones. `words` say it to those who cannot see it.

    `margin` is what its page leaves free, `unit` that in which an SVG says how large it is, once it is scaled.
    """

    title: str
    frames: list[Frame] = field(default_factory=list)
    bands: list[Band] = field(default_factory=list)
    shapes: list[Shape] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    gates: tuple[str, ...] = ()
    words: str = ""
    margin: float = MARGIN
    unit: Literal["pt", "px"] = "pt"

    def unused(self, base: str, taken: Container[str] | None = None) -> str:
        """An id that no shape has yet: `base`, or `base` with a number; `taken` are the shapes' ids, where they
        are at hand.
        """
        taken = {shape.id for shape in self.shapes} if taken is None else taken
        numbered = (f"{base}.{k}" for k in itertools.count(2))
        return next(own for own in itertools.chain((base,), numbered) if own not in taken)

    def bounds(self) -> tuple[float, float, float, float]:
        """What it reaches to: left, bottom, right, top."""
        pieces = itertools.chain.from_iterable([line.pieces for line in self.lines])
        points = list(itertools.chain.from_iterable(pieces))
        for shape in self.shapes:
            half, up = shape.width / 2, shape.height / 2
            points += [(shape.x - half, shape.y - up), (shape.x + half, shape.y + up)]
        for frame in self.frames:
            points += [(frame.left, frame.bottom), (frame.right, frame.top)]
        xs, ys = [x for x, _ in points], [y for _, y in points]
        return min(xs, default=0.0), min(ys, default=0.0), max(xs, default=0.0), max(ys, default=0.0)

    def sheet(self) -> tuple[float, float, float, float]:
        """What it reaches to with a margin around it."""
        left, bottom, right, top = self.bounds()
        return left - self.margin, bottom - self.margin, right + self.margin, top + self.margin

    def page(self, fit: tuple[float, float] | None = None) -> tuple[float, float]:
        """Width and height of the page that holds it, scaled so that it fills `fit` in one direction."""
        left, bottom, right, top = self.sheet()
        width, height = right - left, top - bottom
        scale = 1.0 if fit is None else min(fit[0] / width, fit[1] / height)
        return scale * width, scale * height

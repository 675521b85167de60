"""How a line looks: by the norm of the gradient that flows through it, or plain when there is no trace."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from tinygrad_rnn import Node

from ..layout.polylines import Path
from ..text import number
from . import theme
from .extremes import Extremes
from .picture import Grade, Line, Look

__all__ = ["Ink", "Stroke"]

_DECADES = 10.0
_GAP, _FEW = 1e5, 0.1
"""What is this much weaker than everything else, and no more than this share of it, is rounding noise, for which the
scale is not stretched.
"""


class Stroke(NamedTuple):
    """Colour, width in points, grade, tooltip, whether dashed, rank: higher ones lie on top; the norm, if known;
    whether no gradient flows back; and the edge along which it would.
    """

    colour: str
    width: float
    grade: Grade
    tooltip: str
    dashed: bool
    rank: float
    norm: float | None = None
    cut: bool = False
    edge: tuple[int, int] | None = None

    def line(self, own: str, source: str, target: str, path: Path, arrow: bool = True) -> Line:
        """A line that looks like this."""
        return Line(
            own,
            source,
            target,
            (path,),
            self.colour,
            self.width,
            self.grade,
            self.tooltip,
            arrow,
            self.dashed,
            norm=self.norm,
            cut=self.cut,
            edge=self.edge,
        )


_Drawn: TypeAlias = "int | Literal['plain', 'rail', 'path', 'cut', 'unreached', 'none', 'bad']"
_STROKES: dict[_Drawn, Stroke] = {
    "path": Stroke(theme.LINES["path"][0], 5.0, "path", "on the path", False, 100.0),
    "cut": Stroke(theme.LINES["cut"][0], 1.2, "cut", "cut: no gradient flows back here", True, 0.0),
    "rail": Stroke(theme.LINES["rail"][0], 3.0, "rail", "gradient —", False, 1.0),
    "plain": Stroke(theme.LINES["plain"][0], 1.5, "plain", "gradient —", False, 0.0),
    "unreached": Stroke(
        theme.LINES["none"][0], 0.9, "unreached", "no gradient: the loss does not depend on this", True, 0.0
    ),
    "bad": Stroke(theme.LINES["bad"][0], 3.0, "bad", "gradient ", False, 99.0),
    "none": Stroke(theme.LINES["none"][0], 0.9, "none", "gradient exactly 0", True, 0.0),
    **{
        k: Stroke(colour, width, k, "gradient norm ", False, 1.0 + k)
        for k, (colour, width, _) in enumerate(theme.GRADIENT)
    },
}
"""What a line looks like by its grade, and what it says in front of its norm."""


class Ink:
    """Colours on a logarithmic scale that spans the norms of everything drawn.

    Parameters
    ----------
    norms : mapping or None
        From (Tensor id, operand) to the norm of the gradient through that edge; ``None`` without a trace.
    edges : iterable
        The edges that are drawn.
    valued : iterable
        Nodes whose shapes are filled by the mean of their values; none where shapes keep the colours of their kind.
    highlight : iterable
        The edges to draw wide and red.
    extremes : Extremes, optional
        Those of the nodes that are drawn.

    Attributes
    ----------
    low, high : float
        The ends of the scale; at most ten decades apart.
    below : bool
        Whether some norms are less than `low`.
    largest : float
        The end of the scale of values, which has 0 in its middle; 0 where shapes keep the colours of their kind. What
        saturates has a scale of its own, from one of its limits to the other.
    """

    def __init__(
        self,
        norms: Mapping[tuple[int, int], float] | None,
        edges: Iterable[tuple[int, int] | None],
        valued: Iterable[Node] = (),
        highlight: Iterable[tuple[int, int]] = (),
        extremes: Extremes | None = None,
    ) -> None:
        self.norms, self.extremes = norms, extremes or Extremes()
        self.highlight = frozenset(highlight)
        free = [0.0 if _limits(node) else abs(_mean(node)) for node in valued]
        self.largest = (max(free) or 1.0) if free else 0.0
        known = [] if norms is None else [norms.get(edge, 0.0) for edge in edges if edge is not None]
        seen = sorted(norm for norm in known if norm > 0 and math.isfinite(norm)) or [1.0]
        noise = (k for k in range(int(_FEW * len(seen)), 0, -1) if seen[k] > _GAP * seen[k - 1])
        self.high = seen[-1]
        self.low = max(seen[next(noise, 0)], self.high * 10**-_DECADES)
        self.below = seen[0] < self.low

    def stroke(self, edge: tuple[int, int] | None, cut: bool = False, rail: bool = False) -> Stroke:
        """The look of the line that carries the gradient of `edge`."""
        grade, norm = self._grade(edge, cut, rail)
        colour, width, _, says, dashed, rank, *_ = _STROKES[grade]
        if isinstance(grade, int):
            says += number(norm or 0.0)
        elif norm is not None and grade == "path":
            says += f": gradient norm {number(norm)}"
        elif grade == "bad":
            says += str(norm)
        return Stroke(colour, width, grade, says, dashed, rank, norm, grade == "cut", edge)

    def _grade(
        self, edge: tuple[int, int] | None, cut: bool = False, rail: bool = False
    ) -> tuple[_Drawn, float | None]:
        """Which of the strokes it is, and the norm, if that is known."""
        if edge in self.highlight:
            return "path", None if self.norms is None else self.norms.get(edge)
        if cut:
            return "cut", None
        if self.norms is None or edge is None:
            return "rail" if rail else "plain", None
        norm = self.norms.get(edge)
        if norm is None:
            return "unreached", None
        if not math.isfinite(norm):
            return "bad", norm
        return (theme.gradient_bin(norm, self.low, self.high) if norm else "none"), norm

    def outline(
        self, node: Node | None, paint: theme.Paint, look: Look, border: float
    ) -> tuple[theme.Paint, Look, float]:
        """A shape's border in the colour and width of the gradient of its value, its fill by the value, where that is
        asked for; and whether that is finite.
        """
        if node is None:
            return paint, look, border
        value = theme.value_class(_mean(node), *self._ends(node)) if self.largest else None
        traced = None if self.norms is None else node.tensor
        grade = None if traced is None else self._grade((traced.id, -1))[0]
        ill = not self.extremes.are_finite(node)
        if value is None and grade is None and ill == look.ill:
            return paint, look, border
        return _outlined(paint, look, border, value, ill, grade)

    def _ends(self, node: Node) -> tuple[float, float]:
        """The ends of the scale of a node's values."""
        return _limits(node) or (-self.largest, self.largest)


def _limits(node: Node) -> tuple[float, float] | None:
    """Between which values it saturates."""
    bounds = node.primitive.bounds
    return bounds if bounds is not None and all(map(math.isfinite, bounds)) else None


@lru_cache(maxsize=4096)
def _outlined(
    paint: theme.Paint, look: Look, border: float, value: int | None, ill: bool, grade: _Drawn | None
) -> tuple[theme.Paint, Look, float]:
    """The look of a shape by the class of its values, whether they are not finite, and the grade of their gradient."""
    if value is not None:
        paint, look = paint._replace(fill=theme.VALUES[value][0]), look._replace(value=value)
    look = look._replace(ill=ill)
    if grade is None:
        return paint, look, border
    stroke = _STROKES[grade]
    return paint._replace(stroke=stroke.colour), look._replace(grade=grade), max(1.0, 0.8 * stroke.width)


def _mean(node: Node) -> float:
    mean = float(np.mean(node.value)) if node.value.size and node.value.dtype.kind in "fiub" else 0.0
    return mean if math.isfinite(mean) else 0.0

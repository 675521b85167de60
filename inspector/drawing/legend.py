"""What explains a drawing: the title above, the parameters and the legend below."""

from __future__ import annotations

from tinygrad_rnn import Graph, Node

from . import theme
from .columns import safe
from .ink import Ink, inked, number
from .picture import Line, Path, Picture, Shape
from .tile import Tiling

__all__ = ["add_legend"]

_LEAST = 400.0
"""Points that a row of the legend may be wide under a narrow drawing; in print it is then no wider than a page's text."""
_CAPTION, _BIN = "gradient norm ‖∂L/∂·‖", 28.0
_SCALE = theme.label_width(_CAPTION, 11) + 12 + _BIN * len(theme.GRADIENT)


def add_legend(
    picture: Picture, tiling: Tiling, graph: Graph, own_steps: set[int], ink: Ink, notes: dict[int, str]
) -> None:
    """The title above, and the parameters and the legend below.

    `own_steps` are the indices of all operations in the steps of the layers drawn, shown or folded away.
    """
    width = theme.label_width(picture.title, 16) + 20
    folds = [shape for shape in picture.shapes if shape.css == "more"]
    left = min([tiling.left, *(fold.x - fold.width / 2 for fold in folds)]) - 10
    right = max([tiling.right, left + _LEAST, *(fold.x + fold.width / 2 for fold in folds)])
    picture.shapes.append(
        Shape("title", "text", left + width / 2, tiling.top + 16, width, 24, picture.title, None, "title", "", 16)
    )
    y = tiling.bottom - 34
    y = _parameters(picture, tiling, graph, own_steps, ink, notes, left, right, y)
    x, y = _roles(picture, left, right, y)
    if ink.norms is not None:
        x, y = (x + 24, y) if x + 24 + _SCALE <= right else (left, y - 40)
        _scale(picture, ink, x, y)


def _parameters(
    picture: Picture, tiling: Tiling, graph: Graph, own_steps: set[int], ink: Ink, notes: dict[int, str], left: float,
    right: float, y: float,
) -> float:  # fmt: skip
    """A chip for each parameter, and for each input that is none of the circles.

    What is read by other cells' steps only, or by what the box of everything outside stands for, has none.
    """
    read = {edge.source for edge in graph.edges if edge.target in tiling.shown or edge.target in own_steps}
    leaves = [n for n in graph.nodes if n.is_leaf and n.op != "constant" and n.index not in tiling.shown]
    leaves = [n for n in leaves if n.op == "parameter" or n.timestep is None]
    leaves = [n for n in leaves if n.index in read]
    x = left
    for node in leaves:
        label = f"{node.name or node.op} {_shape(node)}"
        width = theme.label_width(label, 11) + 14
        if x + width > right and x > left:
            x, y = left, y - 28
        own = picture.unused(f"parameter.{safe(node.name or node.op)}")
        paint, css, border = inked(ink, node, theme.paint("parameter"), "parameter", 1.4)
        picture.shapes.append(
            Shape(own, "box", x + width / 2, y, width, 20, label, paint, css, notes.get(node.index, ""), 11, border,
                  nodes=(node.index,))
        )  # fmt: skip
        tiling.shown[node.index] = (own, x + width / 2, y)
        x += width + 8
    return y - 34 if leaves else y


def _shape(node: Node) -> str:
    return "×".join(str(n) for n in node.shape) if node.shape else "scalar"


def _roles(picture: Picture, left: float, right: float, y: float) -> tuple[float, float]:
    """One chip for each colour in use; gives back where the last row ends."""
    used = {shape.css.split()[0] for shape in picture.shapes}
    chips: list[tuple[str, str, str]] = []
    for k, gate in enumerate(picture.gates):
        if f"gate{k}" in used:
            chips.append((theme.gate_label(gate, picture.gates), f"gate:{gate}", f"gate{k}"))
    words = {
        "layer": "learned layer", "pointwise": "pointwise", "shared": "shared by gates", "cell": "state",
        "hidden": "output", "input": "input x", "loss": "loss",
    }  # fmt: skip
    chips += [(word, role, role) for role, word in words.items() if role in used]
    x = left
    for label, role, css in chips:
        width = theme.label_width(label, 11) + 16
        if x + width > right and x > left:
            x, y = left, y - 28
        picture.shapes.append(
            Shape(picture.unused(f"legend.{safe(label)}"), "box", x + width / 2, y, width, 20, label,
                  theme.paint(role, picture.gates), f"{css} legend", "", 11)
        )  # fmt: skip
        x += width + 8
    return x, y


def _scale(picture: Picture, ink: Ink, x: float, y: float) -> None:
    """The eight classes of gradient norm with the ends of the scale."""
    width = theme.label_width(_CAPTION, 11)
    picture.shapes.append(Shape("legend.scale", "text", x + width / 2, y, width, 18, _CAPTION, None, "legend", "of each line and border", 11))
    x += width + 12
    steps = len(theme.GRADIENT)
    for k, (colour, thickness, _) in enumerate(theme.GRADIENT):
        ends = []
        for side, at in (("a", x), ("b", x + _BIN - 4)):
            own = f"legend.scale.{k}{side}"
            picture.shapes.append(Shape(own, "point", at, y + 3, 0.4, 0.4, "", None, "anchor"))
            ends.append(own)
        path: Path = ((x, y + 3), (x + _BIN - 4, y + 3))
        picture.lines.append(Line(f"legend.bin{k}", ends[0], ends[1], (path,), colour, thickness, f"g{k} legend", "", False))
        if k in (0, steps // 2, steps - 1):
            exact = {0: 0.0, steps - 1: 1.0}.get(k, k / steps)
            value = ink.low * (ink.high / ink.low) ** exact
            label = number(float(f"{value:.1e}"))
            picture.shapes.append(
                Shape(f"legend.tick{k}", "text", x + _BIN / 2 - 2, y - 9, 46, 12, label, None, "legend", "", 11)
            )
        x += _BIN

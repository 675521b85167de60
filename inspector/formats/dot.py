"""A picture as DOT, with every position fixed, so that all Graphviz engines draw it alike.

All text is escaped here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence

import graphviz

from ..picture import theme
from ..picture.picture import Band, Frame, Line, Picture, Shape
from ..picture.strokes import arrow_size, curves, frame_label
from ..text import visible
from . import Fit
from .css import class_of_line, class_of_part, class_of_shape

__all__ = ["text", "to_dot", "write_dot"]

_ENDLESS = 1e6


def write_dot(picture: Picture, fit: Fit = None) -> str:
    """The text of :func:`to_dot`."""
    source: str = to_dot(picture, fit).source
    return source


def to_dot(picture: Picture, fit: Fit = None) -> graphviz.Digraph:
    """The picture as a DOT graph for ``neato -n2``, which keeps every position as it is."""
    dot = graphviz.Digraph("run", engine="neato")
    if fit is not None:
        dot.attr("graph", size=f"{','.join(f'{min(side, _ENDLESS) / 72:.4f}' for side in fit)}!", margin="0")
    dot.attr(
        "graph",
        outputorder="edgesfirst",
        splines="true",
        pad=f"{picture.margin / 72:g}",
        bgcolor=theme.PAPER,
        fontname=theme.FONT,
        forcelabels="false",
        tooltip=text(picture.title),
    )
    dot.attr("node", fontname=theme.FONT, fixedsize="true", fontcolor=theme.INK, label="", margin="0")
    dot.attr("edge", fontname=theme.FONT, fontsize="11", arrowsize="0.7", fontcolor=theme.INK)
    shapes = {shape.id: shape for shape in picture.shapes}
    inside: set[str] = set()
    for number, frame in enumerate(picture.frames):
        with dot.subgraph(name=f"cluster_{number}") as cluster:
            _frame(cluster, frame)
            for key in frame.members:
                _shape(cluster, shapes[key], picture.gates)
        inside.update(frame.members)
    for number, band in enumerate(picture.bands):
        with dot.subgraph(name=f"cluster_band_{number}") as cluster:
            _band(cluster, band)
    for shape in picture.shapes:
        if shape.id not in inside:
            _shape(dot, shape, picture.gates)
    for line, pieces in zip(picture.lines, curves(picture.lines), strict=True):
        _line(dot, line, pieces)
    return dot


def text(value: str) -> str:
    """User text as a DOT string in which nothing has a meaning: no escapes, no HTML, no entities."""
    escaped: str = graphviz.escape(visible(value, "\n").replace("&", "&amp;"))
    return escaped


def _label(value: str) -> str:
    """Text on one line."""
    return text(value.replace("\n", "↵"))


def _frame(dot: graphviz.Digraph, frame: Frame) -> None:
    x, y, width = frame_label(frame)
    dot.attr(
        bb=f"{frame.left:.2f},{frame.bottom:.2f},{frame.right:.2f},{frame.top:.2f}",
        style="rounded,filled",
        fillcolor=frame.paint.fill,
        color=frame.paint.stroke,
        penwidth="1.2",
        label=_label(frame.label),
        fontsize="11",
        fontcolor=theme.GREY,
        lp=f"{x:.1f},{y:.1f}",
        lwidth=f"{width / 72:.3f}",
        lheight="0.2",
        id=frame.id,
        tooltip=text(frame.tooltip or frame.label),
        **{"class": f"frame {class_of_part(frame.part)}"},
    )


def _band(dot: graphviz.Digraph, band: Band) -> None:
    dot.attr(
        bb=f"{band.left:.1f},{band.bottom:.1f},{band.right:.1f},{band.top:.1f}",
        style="filled",
        fillcolor=band.paint.fill,
        color=band.paint.stroke,
        penwidth="0",
        label="",
        id=band.id,
        tooltip=text(band.tooltip),
        **{"class": class_of_part(band.part)},
    )


def _shape(dot: graphviz.Digraph, shape: Shape, gates: tuple[str, ...]) -> None:
    attributes = {
        "pos": f"{shape.x:.2f},{shape.y:.2f}!",
        "width": f"{max(shape.width, 0.4) / 72:.4f}",
        "height": f"{max(shape.height, 0.4) / 72:.4f}",
        "label": _label(shape.label),
        "id": shape.id,
        "class": class_of_shape(shape.look, gates),
        "fontsize": f"{shape.font_size:g}",
    }
    if shape.kind == "point":
        attributes |= {"shape": "point", "style": "invis"}
    elif shape.kind == "text":
        attributes |= {"shape": "plaintext"} | ({"fontcolor": shape.paint.stroke} if shape.paint else {})
        if shape.align == "start":
            attributes["label"] += r"\l"
    else:
        assert shape.paint is not None
        style = "filled" + (",rounded" if shape.kind == "box" else "") + (",dashed" if shape.has_dashes else "")
        attributes |= {
            "shape": shape.kind,
            "style": style,
            "fillcolor": shape.paint.fill,
            "color": shape.paint.stroke,
            "penwidth": f"{shape.border:g}",
        }
    if shape.tooltip:
        attributes["tooltip"] = text(shape.tooltip)
    dot.node(shape.id, **attributes)


def _line(dot: graphviz.Digraph, line: Line, pieces: Sequence[Sequence[tuple[float, float]]]) -> None:
    size = arrow_size(line)
    last = len(line.pieces) - 1
    tips = [
        f"e,{_point(*path[-1])} " if line.arrow and size and k == last else "" for k, path in enumerate(line.pieces)
    ]
    attributes = {
        "pos": ";".join(tip + " ".join(_point(*at) for at in piece) for tip, piece in zip(tips, pieces, strict=True)),
        "color": line.colour,
        "penwidth": f"{line.width:g}",
        "id": line.id,
        "class": class_of_line(line),
        "arrowhead": "normal" if line.arrow else "none",
        "arrowsize": f"{size:.3f}",
    }
    if line.dashed:
        attributes["style"] = "dashed"
    if line.tooltip:
        attributes["tooltip"] = attributes["edgetooltip"] = text(line.tooltip)
    if line.label and line.label_at:
        attributes |= {"label": _label(line.label), "lp": f"{line.label_at[0]:.1f},{line.label_at[1]:.1f}"}
    dot.edge(line.source, line.target, **attributes)


def _point(x: float, y: float) -> str:
    return f"{x:.2f},{y:.2f}"

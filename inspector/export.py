"""A drawing for other programs: NetworkX, GraphML, JSON, Mermaid, DOT and LaTeX."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import networkx as nx

from tinygrad_rnn import files
from tinygrad_rnn.recurrent.unroll import Run

from .formats.dot import to_dot
from .formats.tikz import to_tikz
from .picture import theme
from .picture.compose import picture
from .picture.picture import Picture
from .tracing.trace import GradientTrace

__all__ = ["EXPORTS", "export", "to_networkx"]

EXPORTS = ("graphml", "json", "mmd", "dot", "tex")


def to_networkx(
    run: Run | Sequence[Run],
    *,
    level: str = "operation",
    trace: GradientTrace | None = None,
    steps: slice | Sequence[int] | None = None,
    fold: bool | None = None,
) -> Any:
    """The drawing of a run as a graph, with its positions.

    Parameters
    ----------
    run, level, trace, steps, fold : see :func:`inspector.render`

    Returns
    -------
    networkx.MultiDiGraph
        Nodes have the ids of the drawing, such as ``t7.f.sigmoid``, and the attributes ``label``, ``kind`` (its CSS
        classes), ``timestep`` where it has one, ``x`` and ``y`` in points with y upwards, and ``about``, which is the
        tooltip. Edges are keyed by the ids of their lines and have ``cut`` and, with a trace, ``gradient``, the norm
        that flows through them. If something is not finite, the graph's attribute ``not_finite`` says where that
        begins.

    Examples
    --------
    >>> import numpy as np
    >>> import inspector
    >>> import tinygrad_rnn as tg
    >>> run = tg.unroll(tg.cells.RNNCell(2, 3, seed=0), np.ones((2, 1, 2)))
    >>> graph = inspector.to_networkx(run)
    >>> graph.nodes["t1.h.tanh"]["timestep"]
    1
    """
    return _graph(picture(run, level=level, trace=trace, steps=steps, fold=fold))


def export(
    run: Run | Sequence[Run],
    path: str | Path,
    *,
    level: str = "operation",
    trace: GradientTrace | None = None,
    steps: slice | Sequence[int] | None = None,
    fold: bool | None = None,
    values: bool = False,
    equations: bool = False,
    backward: bool = False,
) -> Path:
    """Write the drawing of a run for another program.

    Parameters
    ----------
    run, level, trace, steps, fold, values, equations, backward : see :func:`inspector.render`
    path : path
        The suffix says what: ``.graphml`` for Gephi, yEd and Cytoscape; ``.json`` for NetworkX's node-link format,
        which D3 reads too, with ``null`` for a gradient that is not finite; ``.mmd`` for Mermaid, as in Markdown;
        ``.dot`` for Graphviz, with every position fixed (``neato -n2``); ``.tex`` for LaTeX, as a TikZ picture in a
        file that compiles as it is and that a paper can input, which its first lines explain.

    Returns
    -------
    Path

    Raises
    ------
    ValueError
        If the suffix is none of these, or the drawing cannot be made, or is wider than TeX can hold.
    """
    kind = Path(path).suffix.lower().removeprefix(".")
    if kind not in EXPORTS:
        raise ValueError(f"export: {path} must end in .{', .'.join(EXPORTS)}")
    drawing = picture(
        run, level=level, trace=trace, steps=steps, fold=fold, values=values, equations=equations, backward=backward
    )
    if kind == "dot":
        return files.write(path, to_dot(drawing).source)
    if kind == "tex":
        return files.write(path, to_tikz(drawing))
    graph = _graph(drawing)
    if kind == "mmd":
        return files.write(path, "\n".join(_mermaid(graph)) + "\n")
    if kind == "json":
        return files.write(
            path,
            json.dumps(_finite(nx.node_link_data(graph, edges="links")), indent=1, ensure_ascii=False, allow_nan=False),
        )
    for attributes in (graph.graph, *(facts for _, facts in graph.nodes(data=True))):
        attributes.update({key: _storable(value) for key, value in attributes.items()})
    return files.write(path, "\n".join(nx.generate_graphml(graph)) + "\n")


def _finite(value: Any) -> Any:
    """What JSON can hold, in which there is neither NaN nor infinity: they become ``None``."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _graph(drawing: Picture) -> Any:
    """Everything in the drawing that stands for something, and the lines between."""
    ill = next((shape.tooltip for shape in drawing.shapes if shape.css == "warning"), None)
    graph: Any = nx.MultiDiGraph(name=drawing.title)
    graph.graph.update({} if ill is None else {"not_finite": ill})
    timestep = {key: frame.timestep for frame in drawing.frames for key in frame.members}
    ends = {key for line in drawing.lines for key in (line.source, line.target)}
    for shape in drawing.shapes:
        if shape.kind == "point" or not (shape.nodes or shape.id in ends) or "legend" in shape.css:
            continue
        facts: dict[str, Any] = {
            "label": shape.label,
            "kind": shape.css,
            "x": shape.x,
            "y": shape.y,
            "about": shape.tooltip,
        }
        if shape.id in timestep:
            facts["timestep"] = timestep[shape.id]
        graph.add_node(shape.id, **facts)
    for line in drawing.lines:
        if line.source in graph and line.target in graph:
            gradient = {} if line.norm is None else {"gradient": line.norm}
            graph.add_edge(line.source, line.target, key=line.id, cut=line.css == "cut", **gradient)
    return graph


def _storable(value: Any) -> Any:
    """Text that XML can hold; names may be anything."""
    return theme.visible(value, "\n") if isinstance(value, str) else value


def _mermaid(graph: Any) -> Iterator[str]:
    """A flow chart with one box a timestep."""
    names = {key: f"n{k}" for k, key in enumerate(graph)}
    steps: dict[int | None, list[str]] = {}
    for key, facts in graph.nodes(data=True):
        steps.setdefault(facts.get("timestep"), []).append(f'{names[key]}["{_quoted(facts["label"])}"]')
    yield "flowchart LR"
    for step in sorted(steps, key=lambda t: -1 if t is None else t):
        if step is not None:
            yield f'  subgraph t{step}["step t = {step}"]'
        yield from (f"    {line}" for line in steps[step])
        if step is not None:
            yield "  end"
    for source, target, facts in graph.edges(data=True):
        yield f"  {names[source]} {'-.->' if facts['cut'] else '-->'} {names[target]}"


def _quoted(label: str) -> str:
    """Text in which Mermaid finds no syntax."""
    plain = theme.visible(label) or " "
    return "".join(f"#{ord(c)};" if c in '"&<>#;`*_\\[]{}()|' else c for c in plain)

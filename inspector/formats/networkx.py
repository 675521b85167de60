"""A picture as a graph, for other programs: NetworkX, GraphML, JSON and Mermaid."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import networkx as nx

from ..picture.picture import Picture
from ..results import as_json
from ..text import visible
from . import Fit
from .css import class_of_shape

__all__ = ["to_networkx", "write_graphml", "write_json", "write_mmd"]


def to_networkx(picture: Picture) -> Any:
    """Everything in the picture that stands for something, and the lines between."""
    ill = next((shape.tooltip for shape in picture.shapes if shape.look.part == "warning"), None)
    graph: Any = nx.MultiDiGraph(name=picture.title)
    graph.graph.update({} if ill is None else {"not_finite": ill})
    timestep = {key: frame.timestep for frame in picture.frames for key in frame.members}
    ends = {key for line in picture.lines for key in (line.source, line.target)}
    for shape in picture.shapes:
        if shape.kind == "point" or shape.look.legend or not (shape.nodes or shape.id in ends):
            continue
        facts: dict[str, Any] = {
            "label": shape.label,
            "kind": class_of_shape(shape.look, picture.gates),
            "x": shape.x,
            "y": shape.y,
            "about": shape.tooltip,
        }
        if shape.id in timestep:
            facts["timestep"] = timestep[shape.id]
        graph.add_node(shape.id, **facts)
    for line in picture.lines:
        if line.source in graph and line.target in graph:
            gradient = {} if line.norm is None else {"gradient": line.norm}
            graph.add_edge(line.source, line.target, key=line.id, cut=line.cut, **gradient)
    return graph


def write_graphml(picture: Picture, fit: Fit = None) -> str:
    """The graph as GraphML."""
    graph = to_networkx(picture)
    for attributes in (graph.graph, *(facts for _, facts in graph.nodes(data=True))):
        attributes.update({key: _storable(value) for key, value in attributes.items()})
    return "\n".join(nx.generate_graphml(graph)) + "\n"


def _storable(value: Any) -> Any:
    """Text that XML can hold; names may be anything."""
    return visible(value, "\n") if isinstance(value, str) else value


def write_json(picture: Picture, fit: Fit = None) -> str:
    """The graph in NetworkX's node-link format."""
    return as_json(nx.node_link_data(to_networkx(picture), edges="links"))


def write_mmd(picture: Picture, fit: Fit = None) -> str:
    """The graph as a Mermaid flow chart, with one box a timestep."""
    return "\n".join(_mermaid(to_networkx(picture))) + "\n"


def _mermaid(graph: Any) -> Iterator[str]:
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
    plain = visible(label) or " "
    return "".join(f"#{ord(c)};" if c in '"&<>#;`*_\\[]{}()|' else c for c in plain)

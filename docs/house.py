"""The rooms of the code and the imports between them, and a picture of both, drawn as if it were a step of a cell."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import networkx as nx

from inspector.layout.columns import Row
from inspector.layout.order import Spacing
from inspector.picture.canvas import Canvas
from inspector.picture.frames import tile
from inspector.picture.ink import Ink
from inspector.picture.picture import Picture
from inspector.steps.items import Item, Key, Link, Step
from inspector.steps.labels import Label
from inspector.text import label_width

ROOT = Path(__file__).resolve().parents[1]

FLOORS = {
    "tinygrad_rnn": [
        {"plurals", "files", "arguments"},
        {"autodiff"},
        {"recurrent"},
        {"compiler", "cells", "losses"},
        {"models", "optim"},
        {"interop"},
        {"tasks"},
        {"training"},
        {"baselines"},
    ],
    "inspector": [
        {"text", "lazily"},
        {"notebook"},
        {"results"},
        {"tracing", "loading"},
        {"steps"},
        {"layout", "algebra"},
        {"picture"},
        {"formats", "plots"},
        {"drawing", "program"},
        {"analysis", "sweeps", "training", "compare"},
        {"page"},
        {"reports"},
        {"lectures"},
        {"watching"},
        {"cli"},
    ],
}
"""The rooms of each package from the ground up."""

GROUND = {"lazily", "plurals", "arguments", "files", "text", "notebook", "results"}
"""What nearly every room stands on; not drawn."""
LOOKS = {
    **dict.fromkeys(("autodiff", "recurrent", "picture", "formats", "drawing"), "cell"),
    **dict.fromkeys(("training", "compare", "sweeps", "analysis", "plots"), "layer"),
    "tracing": "input",
}


@cache
def imports(file: Path) -> frozenset[str]:
    """What a file imports when it is itself imported: not what only type checkers see, or a call needs."""
    return frozenset(_imports(file))


def _imports(file: Path) -> Iterator[str]:
    package = file.relative_to(ROOT).parts[:-1]
    todo: list[ast.stmt] = list(ast.parse(file.read_text(encoding="utf-8")).body)
    for node in todo:
        if isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join((*start, *((node.module or "").split(".") if node.module else ())))
            yield from (f"{base}.{name.name}" if _is_module(f"{base}.{name.name}") else base for name in node.names)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, (ast.If, ast.Try)) and "TYPE_CHECKING" not in ast.dump(node):
            todo += node.body


def _is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def modules(package: str) -> dict[str, set[str]]:
    """What each module of a package imports from it."""
    found = {}
    for file in sorted((ROOT / package).rglob("*.py")):
        name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = {to for to in imports(file) if to.startswith(f"{package}.")}
    return found


def rooms(package: str) -> nx.DiGraph:
    """From each room to those that import it."""
    graph = nx.DiGraph()
    for module, others in modules(package).items():
        pairs = {(other.split(".")[1], module.split(".")[1]) for other in others if "." in module}
        graph.add_edges_from(pair for pair in pairs if pair[0] != pair[1] and "__main__" not in pair)
    return graph


def house(package: str) -> Picture:
    """Every room above those that it imports, but for imports that others imply."""
    graph = rooms(package)
    graph.remove_nodes_from(GROUND)
    graph = nx.transitive_reduction(graph)
    floor = {room: number for number, level in enumerate(FLOORS[package]) for room in level}
    items = []
    for room in sorted(graph, key=lambda room: (floor[room], room)):
        label = room if (ROOT / package / room).is_dir() else f"{room}.py"
        links = tuple(Link(Key("value", other)) for other in sorted(graph.predecessors(room), key=floor.__getitem__))
        size = (label_width(label) + 18, 24.0)
        items.append(Item(Key("value", room), "box", Label(label), LOOKS.get(room, "shared"), size, links))
    picture = Picture(f"{package}: each room above what it imports")
    step = Step("", 0, tuple(items), (), None)
    tile(Canvas(picture, Ink(None, [])), [Row((step,), False, (), (None,))], "step", Spacing(row=56.0))
    picture.frames = [replace(frame, label=package, tooltip=package) for frame in picture.frames]
    return picture

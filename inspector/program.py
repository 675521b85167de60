"""render_program: the drawing of what a cell is compiled to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import graphviz

from tinygrad_rnn import files
from tinygrad_rnn.compiler.program import Program

from .formats.graphviz import FORMATS, check_size, draw
from .picture import theme

__all__ = ["render_program"]

_ROLES = {"input": "input", "output": "cellbox", "constant": "kept", "matmul": "removed", "pointwise": "value"}
"""The role in the drawings whose colour each kind of box has."""


def render_program(program: Program, path: str | Path | None = None, *, title: str = "") -> str | Path:
    """Draw a program, one box an instruction.

    Parameters
    ----------
    program : Program
        One of those that :meth:`tinygrad_rnn.compiler.CompiledCell.programs` gives.
    path : path, optional
        Where to write; the suffix ``.svg``, ``.png`` or ``.pdf`` says what.
    title : str

    Returns
    -------
    str or Path
        The SVG text if no path was given, otherwise the path written.

    Raises
    ------
    TypeError
        If `program` is no Program.
    ValueError
        If the suffix is unknown, or the drawing is larger than a PNG or a PDF can be.
    GraphvizMissingError
        If no Graphviz engine is there, saying how to get one.
    """
    if not isinstance(program, Program):
        raise TypeError(f"render_program: needs a Program, got {type(program).__name__}")
    target = None if path is None else Path(path)
    kind = "svg" if target is None else target.suffix.lower().removeprefix(".")
    if kind not in FORMATS:
        raise ValueError(f"render_program: write one of {', '.join(FORMATS)}, got {target}")
    dot = _dot(program, title)
    drawn = draw(dot, "svg", "dot")
    if kind != "svg":
        check_size(_size(drawn.decode()), kind)
        drawn = draw(dot, kind, "dot")
    return drawn.decode() if target is None else files.write(target, drawn)


def _size(svg: str) -> tuple[float, float]:
    """Width and height in points, which are known once Graphviz has placed the boxes."""
    size = re.search(r'<svg width="([\d.]+)pt" height="([\d.]+)pt"', svg)
    assert size is not None
    return float(size[1]), float(size[2])


def _dot(program: Program, title: str) -> graphviz.Digraph:
    font = {"fontname": theme.FONT}
    picture = graphviz.Digraph(
        "program",
        graph_attr={
            **font,
            "bgcolor": "white",
            "label": graphviz.escape(title),
            "labelloc": "t",
            "nodesep": "0.2",
            "ranksep": "0.35",
        },
        node_attr={**font, "shape": "box", "style": "rounded,filled", "color": theme.INK, "fontsize": "10"},
        edge_attr={"color": theme.INK, "arrowsize": "0.6"},
    )

    def box(name: str, kind: str, *lines: Any) -> None:
        text = graphviz.escape("\n".join(str(line) for line in lines))
        picture.node(name, text, fillcolor=theme.ROLES[_ROLES[kind]].fill)

    for (role, name), value in program.inputs.items():
        box(f"v{value}", "input", f"{role} {name}".strip(), program.types[value])
    for value in program.constants:
        box(f"v{value}", "constant", "constant", program.types[value])
    for step in program.body:
        numbers = [str(operand) for operand in step.operands if not isinstance(operand, int)]
        kind = "matmul" if step.op.name == "matmul" else "pointwise"
        box(f"v{step.target}", kind, " ".join([step.op.name, *numbers]), program.types[step.target])
        for value in step.values:
            picture.edge(f"v{value}", f"v{step.target}")
    for number, ((role, name), value) in enumerate(program.outputs.items()):
        box(f"out{number}", "output", f"{role} {name}".strip())
        picture.edge(f"v{value}", f"out{number}")
    return picture

"""render_program: the drawing of what a cell is compiled to."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Any

import graphviz

from tinygrad_rnn import files
from tinygrad_rnn.compiler.program import Program
from tinygrad_rnn.plurals import counted

from .formats.graphviz import FORMATS, check_size, draw
from .notebook import Svg, brief
from .picture import theme

__all__ = ["ProgramDrawing", "render_program"]

_ROLES = {"input": "input", "output": "cellbox", "constant": "kept", "matmul": "removed", "pointwise": "value"}
"""The role in the drawings whose colour each kind of box has."""


class ProgramDrawing:
    """A drawn program: shows itself in a notebook, and says in words what it is.

    Attributes
    ----------
    program : Program
    title : str
    """

    def __init__(self, program: Program, title: str = "") -> None:
        self.program, self.title = program, title

    @cached_property
    def svg(self) -> Svg:
        """The text of the SVG.

        Raises
        ------
        GraphvizMissingError
            If no Graphviz engine is there, saying how to get one.
        """
        return Svg(draw(_dot(self.program, self.title), "svg", "dot").decode())

    def save(self, path: str | Path) -> Path:
        """Write the drawing.

        Parameters
        ----------
        path : path
            The suffix ``.svg``, ``.png`` or ``.pdf`` says what.

        Raises
        ------
        ValueError
            If the suffix is none of these, or the drawing is larger than a PNG or a PDF can be.
        GraphvizMissingError
            As for :attr:`svg`.
        """
        kind = files.suffix_of(path, FORMATS)
        if kind == "svg":
            return files.write(path, self.svg)
        check_size(_size(self.svg), kind)
        return files.write(path, draw(_dot(self.program, self.title), kind, "dot"))

    def _repr_html_(self) -> str:
        return self.svg._repr_html_()

    def _repr_svg_(self) -> str:
        return self.svg._repr_svg_()

    def __str__(self) -> str:
        return "\n".join(filter(None, [self.title, str(self.program)]))

    def __repr__(self) -> str:
        return brief(type(self), self.title or counted(len(self.program.body), "instruction"))


def render_program(program: Program, path: str | Path | None = None, *, title: str = "") -> ProgramDrawing:
    """Draw a program, one box an instruction.

    Parameters
    ----------
    program : Program
        One of those that :meth:`tinygrad_rnn.compiler.CompiledCell.programs` gives.
    path : path, optional
        Where to write it, too; see :meth:`ProgramDrawing.save`.
    title : str

    Returns
    -------
    ProgramDrawing

    Raises
    ------
    TypeError
        If `program` is no Program.
    ValueError, GraphvizMissingError
        As from :meth:`ProgramDrawing.save`.
    """
    if not isinstance(program, Program):
        raise TypeError(f"render_program: needs a Program, got {type(program).__name__}")
    drawing = ProgramDrawing(program, title)
    if path is not None:
        drawing.save(path)
    return drawing


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

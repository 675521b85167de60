"""render: the drawing of a run at three levels of detail, plain or coloured by its gradient."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from tinygrad_rnn import files
from tinygrad_rnn.recurrent.unroll import Run

from . import notebook
from .formats.dot import styled, to_dot
from .formats.graphviz import FORMATS, GraphvizMissingError, check_size, draw
from .formats.svg import to_svg
from .picture import theme
from .picture.compose import LEVELS, picture
from .picture.description import told
from .picture.picture import Picture
from .tracing.trace import GradientTrace

__all__ = ["LEVELS", "Drawing", "finished", "picture", "render", "suffix_of"]

_DPI, _MARGIN = 144, 36.0
"""Pixels an inch of a PNG, and points that Graphviz leaves free around a drawing, both sides together."""
_LARGE = 1000
"""Shapes beyond which we write the SVG ourselves, in a fifth of the time that Graphviz takes."""


class Drawing(str):
    """SVG text that shows itself in a notebook."""

    def _repr_svg_(self) -> str:
        return notebook.drawing(str(self))


def render(
    run: Run | Sequence[Run],
    path: str | Path | None = None,
    *,
    level: str = "operation",
    trace: GradientTrace | None = None,
    steps: slice | Sequence[int] | None = None,
    fold: bool | None = None,
    values: bool = False,
    equations: bool = False,
    backward: bool = False,
    highlight: Iterable[tuple[int, int]] | None = None,
) -> str | Path:
    """Draw a run's graph, one frame a timestep.

    Parameters
    ----------
    run : Run or sequence of Run
        What :func:`tinygrad_rnn.unroll` returned, for a cell, a stack or two directions. Several runs, such as an
        encoder's and its decoder's, stand side by side; each begins in the state in which the one before ended.
    path : path, optional
        Where to write; the suffix ``.svg``, ``.png`` or ``.pdf`` says what.
    level : {"operation", "gate", "cell"}
        Every primitive operation; one box a gate; or the notation of the textbooks, with a box for each
        learned layer and circles for pointwise operations.
    trace : GradientTrace, optional
        Colours and widens each line by the norm of the gradient that flows through it, on a logarithmic
        scale, and adds the loss to the drawing.
    steps : slice or sequence of int, optional
        The timesteps to show; all when omitted.
    fold : bool, optional
        Show only the first three and the last two of them. What is not shown is folded into a box that says how
        many steps it stands for, past which each state runs as a ribbon in the colour of its gradient, step for
        step. When omitted, a run of more than 20 steps is folded unless `steps` chooses some.
    values : bool
        Fill each shape by the mean of its values, blue below 0 and orange above, instead of by its kind.
    equations : bool
        Adds what a timestep computes, and the derivative along each highway, below the drawing; see
        :func:`inspector.equations`.
    backward : bool
        Draws below each step what the reverse sweep did there, from right to left, at the operation level: the
        operations of the VJP rules, with lines coloured by the norm of the cotangents that they carry.
    highlight : iterable of (Tensor id, operand), optional
        Edges to draw wide and red at the operation level, such as the `edges` of :func:`inspector.strongest_path`.

    Returns
    -------
    str or Path
        The SVG text if no path was given, which a notebook shows as a drawing; otherwise the path written.

    Raises
    ------
    ValueError
        If the level, the suffix or a timestep is unknown, several runs do not follow each other,
        `backward` is asked for without a trace or at another level than the operation level, edges are to be
        highlighted at another or are none of the graph, or the drawing is larger than a PNG or a PDF can be.
    TypeError
        If `run` is no Run.
    GraphvizMissingError
        If a PNG or PDF is asked for and no Graphviz engine is there, saying how to get one; an SVG is then
        written without.
    """
    suffix_of(path, "render")
    drawing = picture(
        run,
        level=level,
        trace=trace,
        steps=steps,
        fold=fold,
        values=values,
        equations=equations,
        backward=backward,
        highlight=highlight,
    )
    return finished(drawing, path, "render")


def suffix_of(path: str | Path | None, caller: str) -> str:
    """The format that the suffix of `path` asks for; SVG text if there is no path.

    Raises
    ------
    ValueError
        If it is none that can be drawn, in the name of `caller`.
    """
    kind = "svg" if path is None else Path(path).suffix.lower().removeprefix(".")
    if kind not in FORMATS:
        raise ValueError(f"{caller}: {path} must end in .svg, .png or .pdf")
    return kind


def finished(drawing: Picture, path: str | Path | None, caller: str) -> str | Path:
    """The picture as SVG text, or written to `path`; see :func:`render` for what is returned and raised."""
    kind, target = suffix_of(path, caller), None if path is None else Path(path)
    if kind == "svg":
        text = told(styled(_svg(drawing), theme.style_sheet(drawing.gates)), drawing.title, drawing.words)
        return Drawing(text) if target is None else files.write(target, text)
    left, bottom, right, top = drawing.bounds()
    check_size(caller, (right - left + _MARGIN, top - bottom + _MARGIN), kind, _DPI)
    dot = to_dot(drawing)
    if kind == "png":
        dot.attr("graph", dpi=str(_DPI))
    assert target is not None
    return files.write(target, draw(dot, kind))


def _svg(drawing: Picture) -> str:
    """By Graphviz, or, where none is there or the drawing is so large that it would take long, by ourselves."""
    if len(drawing.shapes) <= _LARGE:
        try:
            return draw(to_dot(drawing), "svg").decode("utf-8")
        except GraphvizMissingError:
            pass
    return to_svg(drawing)

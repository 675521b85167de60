"""draw: a run as a picture, and what can be done with it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from tinygrad_rnn import Tensor, files
from tinygrad_rnn.autodiff.collector import without_collections
from tinygrad_rnn.recurrent.unroll import Run

from .formats import WRITERS, writer_of
from .formats.svg import write_svg
from .layout.order import Spacing
from .notebook import Svg, brief
from .picture.compose import picture
from .picture.fit import TooWideError, fitted
from .picture.paper import DPI, NOTEBOOK, Page, Width, check_dpi, page_of
from .picture.picture import Picture
from .picture.scene import LEVELS
from .tracing.trace import GradientTrace, trace

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Drawing", "draw", "export", "figure", "render", "to_networkx"]


_SHRUNK = 1.5
"""By how much a notebook makes a drawing smaller before it draws it in rows instead."""


class _Look(TypedDict, total=False):
    """What :func:`figure` lets choose."""

    level: str
    steps: slice | Sequence[int] | None
    fold: bool | None
    values: bool
    equations: bool
    backward: bool
    highlight: Iterable[tuple[int, int]] | None
    width: Width


class _Options(_Look, total=False):
    """What :func:`draw` takes beside the run."""

    trace: GradientTrace | None
    decay: bool


class Drawing:
    """A picture of a run: shows itself in a notebook, and says in words what it shows.

    Attributes
    ----------
    picture : Picture
        Everything that is drawn, as data.
    """

    def __init__(self, picture: Picture, width: Width = None, narrow: Callable[[], Picture] | None = None) -> None:
        page = page_of(width)
        self.picture, self._fit, self._narrow = picture, page and (page.width, math.inf), narrow

    @cached_property
    def svg(self) -> Svg:
        """The text of the SVG, which a notebook shows in rows if one is too wide for it."""
        with without_collections():
            svg = Svg(write_svg(self.picture, self._fit))
            left, _, right, _ = self.picture.sheet()
        if self._narrow is not None and right - left > _SHRUNK * NOTEBOOK.width:
            svg.narrow = partial(_narrow_svg, self._narrow, svg)
        return svg

    def save(self, path: str | Path, dpi: float = DPI) -> Path:
        """Write the drawing.

        Parameters
        ----------
        path : path
            The suffix says what: ``.svg``, ``.png`` or ``.pdf``; ``.tex`` for LaTeX, as a TikZ picture in a file that
            compiles as it is and that a paper can input, which its first lines explain; ``.dot`` for Graphviz, with
            every position fixed (``neato -n2``); ``.mmd`` for Mermaid, as in Markdown; ``.json`` for NetworkX's
            node-link format, which D3 reads too, with ``null`` for a gradient that is not finite; ``.graphml`` for
            Gephi, yEd and Cytoscape.
        dpi : float
            Pixels an inch of a PNG.

        Raises
        ------
        ValueError
            If the suffix is none of these, `dpi` is not between 10 and 1,200, or the drawing is larger than a PNG, a
            PDF or TeX can hold.
        GraphvizMissingError
            If a PNG or PDF is asked for and no Graphviz engine is there, saying how to get one; an SVG is then
            written without.
        """
        check_dpi(dpi)
        more = {"dpi": dpi} if files.suffix_of(path, WRITERS) == "png" else {}
        return files.write(path, writer_of(path)(self.picture, self._fit, **more))

    def to_networkx(self) -> Any:
        """The drawing as a graph, with its positions.

        Returns
        -------
        networkx.MultiDiGraph
            Nodes have the ids of the drawing, such as ``t7.f.sigmoid``, and the attributes ``label``, ``kind`` (its
            CSS classes), ``timestep`` where it has one, ``x`` and ``y`` in points with y upwards, and ``about``, which
            is the tooltip. Edges are keyed by the ids of their lines and have ``cut`` and, with a trace,
            ``gradient``, the norm that flows through them. If something is not finite, the graph's attribute
            ``not_finite`` says where that begins.
        """
        from .formats.networkx import to_networkx  # NetworkX takes longer than a drawing does

        return to_networkx(self.picture)

    def _repr_html_(self) -> str:
        return self.svg._repr_html_()

    def _repr_svg_(self) -> str:
        return self.svg._repr_svg_()

    def __str__(self) -> str:
        return "\n".join(filter(None, [self.picture.title, self.picture.words]))

    def __repr__(self) -> str:
        return brief(type(self), str(self))


def draw(
    run: Run | Sequence[Run],
    level: str = "operation",
    *,
    trace: GradientTrace | None = None,
    steps: slice | Sequence[int] | None = None,
    fold: bool | None = None,
    values: bool = False,
    equations: bool = False,
    backward: bool = False,
    decay: bool = False,
    highlight: Iterable[tuple[int, int]] | None = None,
    width: Width = None,
) -> Drawing:
    """Draw a run's graph, one frame a timestep.

    Parameters
    ----------
    run : Run or sequence of Run
        What :func:`tinygrad_rnn.unroll` returned, for a cell, a stack or two directions. Several runs, such as an
        encoder's and its decoder's, stand side by side; each begins in the state in which the one before ended.
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
        Fill each shape by the mean of its values, violet below 0 and green above, instead of by its kind; what
        saturates, from one of its limits to the other, so that σ is white at one half.
    equations : bool
        Adds what a timestep computes, and the derivative along each highway, below the drawing; see
        :func:`inspector.equations`.
    backward : bool
        Draws below each step what the reverse sweep did there, from right to left, at the operation level: the
        operations of the VJP rules, with lines coloured by the norm of the cotangents that they carry.
    decay : bool
        Plots below the drawing how the gradient by each state decays; see :func:`figure`.
    highlight : iterable of (Tensor id, operand), optional
        Edges to draw wide and red at the operation level, such as the `edges` of :func:`inspector.strongest_path`.
    width : float or {"column", "page", "slide"}, optional
        How wide the SVG, PNG, PDF or Graphviz's own drawing is: so many points of 1/72 inch, ``"column"`` 241 points,
        ``"page"`` 468 points, ``"slide"`` 960 pixels. Time goes on in rows where one would be wider, so that no type
        is smaller than 6 points, 7 on a page and 12 pixels on a slide; where the rows of all steps would be higher
        than a page (648 points) or a slide (540 pixels) and neither `steps` nor `fold` decide, more steps are folded.
        Where that does not do either, the legend goes into the description, which says if it is too high all the same.
        In LaTeX, the paper says how wide it is.

    Returns
    -------
    Drawing

    Raises
    ------
    ValueError
        If the level, the width or a timestep is unknown, a single step is wider than `width` in the smallest type,
        several runs do not follow each other, `backward` or `decay`
        is asked for without a trace, or `backward` at another level than the operation level, or edges are to be
        highlighted at another or are none of the graph.
    TypeError
        If `run` is no Run.

    Examples
    --------
    >>> import numpy as np
    >>> import inspector
    >>> import tinygrad_rnn as tg
    >>> run = tg.unroll(tg.cells.RNNCell(2, 3, seed=0), np.ones((2, 1, 2)))
    >>> drawing = inspector.draw(run, "cell", width="column")
    >>> drawing
    <Drawing: RNNCell(2, 3) · T = 2 · cell level>
    >>> '<svg width="241.00pt"' in drawing.svg
    True
    >>> drawing.to_networkx().nodes["t1.h.tanh"]["timestep"]
    1
    """
    page = page_of(width)
    chosen: dict[str, Any] = {
        "trace": trace,
        "steps": steps,
        "values": values,
        "equations": equations,
        "backward": backward,
        "decay": decay,
        "highlight": None if highlight is None else frozenset(highlight),
    }
    with without_collections():
        if page is None:
            narrow = partial(_in_rows, NOTEBOOK, run, level, fold, chosen)
            return Drawing(picture(run, level=level, fold=fold, **chosen), narrow=narrow)
        return Drawing(_fitted(page, run, level, fold, chosen), width)


def _fitted(page: Page, run: Run | Sequence[Run], level: str, fold: bool | None, chosen: dict[str, Any]) -> Picture:
    """The picture of a run on a page; where that is too narrow, the error says what would do."""
    try:
        return _in_rows(page, run, level, fold, chosen)
    except TooWideError as error:
        coarser = () if chosen["backward"] or chosen["highlight"] else LEVELS[LEVELS.index(level) + 1 :]
        for other in coarser:
            with suppress(TooWideError):
                _in_rows(page, run, other, fold, chosen)
                raise ValueError(f"{error}; the level {other} fits, or a width of {error.least}") from None
        raise ValueError(f"{error}; it takes a width of {error.least}") from None


def _narrow_svg(narrow: Callable[[], Picture], wide: str) -> str:
    """What a notebook shows: rows, unless a single step is too wide even so."""
    with without_collections():
        try:
            return write_svg(narrow(), (NOTEBOOK.width, math.inf))
        except TooWideError:
            return wide


def _in_rows(page: Page, run: Run | Sequence[Run], level: str, fold: bool | None, chosen: dict[str, Any]) -> Picture:
    """The picture of a run on a page; ``chosen`` is what :func:`draw` takes apart from its level and folding."""

    def rows(room: float, ends: tuple[int, int] | None, spacing: Spacing) -> Picture:
        return picture(run, level=level, fold=fold, room=room, ends=ends, spacing=spacing, **chosen)

    return fitted(page, fold is None and chosen["steps"] is None, rows)


def render(run: Run | Sequence[Run], path: str | Path | None = None, **options: Unpack[_Options]) -> str | Path:
    """Draw a run, and write it to `path` if there is one.

    Parameters
    ----------
    run, **options
        As for :func:`draw`.
    path : path, optional
        As for :meth:`Drawing.save`.

    Returns
    -------
    str or Path
        The SVG text if no path was given, which a notebook shows as a drawing; otherwise the path written.

    Raises
    ------
    ValueError, TypeError, GraphvizMissingError
        As from :func:`draw` and :meth:`Drawing.save`.
    """
    if path is not None:
        return export(run, path, **options)
    with without_collections():  # until the picture is gone, too
        return draw(run, **options).svg


def export(run: Run | Sequence[Run], path: str | Path, **options: Unpack[_Options]) -> Path:
    """Draw a run and write it to `path`, as an image or for another program: :func:`draw` and :meth:`Drawing.save`."""
    writer_of(path)  # before the work
    return draw(run, **options).save(path)


def to_networkx(run: Run | Sequence[Run], **options: Unpack[_Options]) -> Any:
    """Draw a run as a graph with positions: :func:`draw` and :meth:`Drawing.to_networkx`."""
    return draw(run, **options).to_networkx()


def figure(run: Run, loss: Tensor, path: str | Path | None = None, **options: Unpack[_Look]) -> str | Path:
    """Draw a run coloured by the gradient of `loss`, and below it plot how that gradient decays along time.

    Timestep t of the plot stands exactly under step t of the drawing. Where steps are folded away, the plot goes on
    through all of them on an even axis of its own, to which a line leads from each step that is drawn.

    Parameters
    ----------
    run : Run
    loss : Tensor
        A single number computed from the run.
    path, **options
        As for :func:`render`; the level is ``"cell"`` when omitted.

    Returns
    -------
    str or Path
        As from :func:`render`.

    Raises
    ------
    ValueError, TypeError, GraphvizMissingError
        As from :func:`~inspector.trace` and :func:`render`.

    Examples
    --------
    >>> import numpy as np
    >>> import inspector
    >>> import tinygrad_rnn as tg
    >>> run = tg.unroll(tg.cells.LSTMCell(2, 3, seed=0), np.ones((40, 1, 2)))
    >>> svg = inspector.figure(run, run.outputs[-1].sum())
    >>> 'id="chart.h.t39"' in svg
    True
    """
    if path is not None:
        writer_of(path)
    chosen: _Look = {"level": "cell", **options}
    return render(run, path, trace=trace(run, loss), decay=True, **chosen)

"""From a run to a picture: everything that is drawn, before an engine sees it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

import numpy as np

from tinygrad_rnn import Graph, Node
from tinygrad_rnn.recurrent.unroll import Run

from ..algebra.equations import Highway
from ..algebra.equations import equations as equations_of
from ..layout.order import Spacing
from ..text import number
from ..tracing.decay import decay_rate
from ..tracing.finite import first_not_finite
from ..tracing.trace import GradientTrace
from .badges import add_badges
from .canvas import Canvas
from .chart import add_chart
from .description import description
from .extremes import Extremes
from .frames import tile
from .ink import Ink
from .legend import Formula, add_formulas, add_legend, add_warning
from .outside import add_outside
from .picture import Picture
from .scene import LEVELS, Scene, scene_of
from .wrap import wrap

__all__ = ["compose", "picture"]

_SPACING = Spacing()


@np.errstate(all="ignore")
def picture(
    run: Run | Sequence[Run],
    *,
    level: str = "operation",
    trace: GradientTrace | None = None,
    steps: slice | Sequence[int] | None = None,
    fold: bool | None = None,
    values: bool = False,
    equations: bool = False,
    backward: bool = False,
    decay: bool = False,
    highlight: Iterable[tuple[int, int]] | None = None,
    room: float | None = None,
    ends: tuple[int, int] | None = None,
    spacing: Spacing | None = None,
) -> Picture:
    """The drawing as data, before Graphviz sees it; parameters as for :func:`~inspector.draw`.

    It has rows of at most `room` points, and shows so many of the first and last steps as `ends` says, if that does;
    `spacing` is that within a step, if not the usual one.
    """
    _check(level, trace, backward, decay, highlight is not None)
    scene = scene_of(run, level, trace, steps, fold, backward, ends)
    return compose(scene, values, equations, decay, highlight, room, spacing or _SPACING)


@np.errstate(all="ignore")
def compose(
    scene: Scene,
    values: bool = False,
    equations: bool = False,
    decay: bool = False,
    highlight: Iterable[tuple[int, int]] | None = None,
    room: float | None = None,
    spacing: Spacing = _SPACING,
    whole_lines: bool = False,
) -> Picture:
    """A scene drawn; parameters as for :func:`picture`. `whole_lines` are those that begin at their source, whichever
    is the strongest of those that begin there.
    """
    canvas = _canvas(scene, _highlighted(highlight, scene.graph, with_loss=scene.trace is not None), values)
    canvas.whole_lines = whole_lines
    tile(canvas, scene.rows, "cellbox" if scene.level == "cell" else "step", spacing)
    add_outside(canvas, scene.graph, *scene.outside(), together=scene.level != "operation")
    add_badges(canvas.picture)
    rows = 1 if room is None else wrap(canvas, room)
    if rows > 1:
        canvas.picture.words += f" Time goes on in {rows} rows, from top to bottom."
    if decay:
        _add_decay(canvas, scene, rows > 1)
    add_legend(canvas, scene.graph, set(scene.timesteps), scene.parameter_names, room)
    _add_what_is_not_finite(canvas.picture, scene)
    if equations:
        formulas = [line for run in scene.runs for line in _formulas(run)]
        add_formulas(canvas.picture, canvas.left, formulas, room)
    return canvas.picture


def _check(level: str, trace: GradientTrace | None, backward: bool, decay: bool, highlight: bool) -> None:
    if level not in LEVELS:
        raise ValueError(f"level must be one of {', '.join(LEVELS)}, got {level!r}")
    if backward and trace is None:
        raise ValueError("backward=True draws the reverse sweep of a loss; pass trace=inspector.trace(run, loss)")
    if decay and trace is None:
        raise ValueError("decay=True plots the gradient of a loss; pass trace=inspector.trace(run, loss)")
    if backward and level != "operation":
        raise ValueError(f"backward=True draws at the operation level, got level={level!r}")
    if highlight and level != "operation":
        raise ValueError(f"edges are highlighted at the operation level, not at the {level} level")


def _highlighted(
    highlight: Iterable[tuple[int, int]] | None, graph: Graph, with_loss: bool
) -> frozenset[tuple[int, int]]:
    """The edges to highlight, all of them edges of the graph; without a trace, those of a later loss are left out
    as it is.
    """
    wanted = frozenset(highlight or ())
    if not wanted:
        return wanted
    operands = {node.tensor.id: len(node.inputs) for node in graph.nodes if node.tensor is not None}
    newest = max(operands)
    known = {edge for edge in wanted if -1 <= edge[1] < operands.get(edge[0], -1)}
    unknown = sorted(edge for edge in wanted - known if with_loss or edge[0] <= newest)
    if unknown or not known:
        raise ValueError(
            f"highlight has {(unknown or sorted(wanted))[0]}, which is no edge of this run's graph; an edge is "
            "(Tensor id of the consumer, operand), as inspector.strongest_path gives them"
        )
    return frozenset(known)


def _canvas(scene: Scene, highlight: Iterable[tuple[int, int]], values: bool) -> Canvas:
    """What the scene is drawn on, with its title, its words, its ink and what its tooltips say."""
    trace = scene.trace
    forward = [row for row in scene.rows if not row.backward]
    norms = {name: trace.norm(name) for name in trace.states} if trace else {}
    words = description(scene.runs, scene.level, forward, norms)
    nodes = list(scene.nodes())
    extremes = Extremes(nodes)
    ink = Ink(scene.norms, scene.edges(), nodes if values else (), highlight, extremes)
    drawn: set[int | None] = {None, *(t for steps in scene.shown for t in steps)}
    timesteps = scene.timesteps

    def note(node: Node) -> str:
        return _note(node, trace, extremes) if timesteps.get(node.index) in drawn else ""

    return Canvas(Picture(scene.title, gates=scene.gates, words=words), ink, note)


_text = lru_cache(maxsize=64)(str)  # of a scope or a dtype, which are put together anew every time


def _note(node: Node, trace: GradientTrace | None, extremes: Extremes) -> str:
    """What a tooltip says of a node."""
    path = f"{_text(node.scope)}/{node.name or node.op}" if node.scope is not None else node.path
    lines = [f"{path} = {node.op}" if node.op != "parameter" else f"{path}: parameter"]
    lines.append(f"shape {node.shape}, {_text(node.dtype)}")
    found = extremes.of(node)
    if found is not None:
        lines.append(f"values {number(found[0])} … {number(found[1])}")
    if node.scope is not None and node.scope.is_backward:
        lines.append(f"norm {number(float(np.linalg.norm(node.value)))}")
    elif trace is None or node.tensor is None:
        lines.append("gradient —")
    elif node.tensor.id not in trace.node_norms:
        lines.append("no gradient: the loss does not depend on it")
    else:
        lines.append(f"gradient norm {number(float(trace.node_norms[node.tensor.id]))}")
    return "\n".join(lines)


def _add_decay(canvas: Canvas, scene: Scene, in_rows: bool) -> None:
    """The decay of the gradient by each state, below the steps."""
    assert scene.trace is not None
    curves = {name: scene.trace.norm(name).tolist() for name in scene.trace.states}
    words = {name: str(decay_rate(curve)) for name, curve in curves.items()}
    add_chart(canvas, curves, words, "‖∂L/∂state‖ at every timestep", in_rows)


def _add_what_is_not_finite(picture: Picture, scene: Scene) -> None:
    """Where that begins, if anything is not."""
    trace = scene.trace
    ill = trace.not_finite if trace is not None else next(filter(None, map(first_not_finite, scene.runs)), None)
    if ill is not None:
        add_warning(picture, str(ill))
        picture.words = f"{ill}. {picture.words}"


def _formulas(run: Run) -> Iterator[Formula]:
    """The equations as lines of text; a tooltip gives the LaTeX and says where the values are drawn."""
    for layer in equations_of(run).layers:
        if layer.name:
            yield Formula(f"{layer.name}:", layer.name)
        for line in layer.lines:
            rail = isinstance(line, Highway)
            places = f"\nin the drawing: {', '.join(line.keys)}" if line.keys else ""
            about = f"{line.name}.highway" if rail else line.name
            yield Formula(
                line.unicode, f"{layer.name}.{about}" if layer.name else about, line.latex + places, line.latex, rail
            )

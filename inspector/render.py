"""render: the drawing of a run at three levels of detail, plain or coloured by its gradient."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from tinygrad_rnn import Graph, Node, Tensor, files, parts
from tinygrad_rnn.unroll import Run

from .drawing import theme
from .drawing.badges import add_badges
from .drawing.chart import add_chart
from .drawing.columns import Fold, Row
from .drawing.dot import styled, to_dot
from .drawing.engines import FORMATS, GraphvizMissingError, draw
from .drawing.flow import layer_flow
from .drawing.ink import Ink, number
from .drawing.items import Step
from .drawing.legend import add_legend
from .drawing.levels import cell_step, gate_step
from .drawing.operations import Source, operation_step, step_nodes
from .drawing.outside import add_outside
from .drawing.picture import Picture
from .drawing.place import Spacing
from .drawing.svg import to_svg
from .drawing.tile import tile
from .plot import decay_rate
from .replay import loss_step_by_step, step_by_step
from .trace import GradientTrace
from .trace import trace as trace_of

__all__ = ["LEVELS", "picture", "render", "write"]

_DETAIL: dict[str, Callable[[Step], Step]] = {"operation": lambda step: step, "gate": gate_step, "cell": cell_step}
LEVELS = tuple(_DETAIL)
_ALL, _FIRST, _LAST = 20, 3, 2
_LARGE = 3000
"""Shapes beyond which we write the SVG ourselves, in a fifth of the time that Graphviz takes."""


class Drawing(str):
    """SVG text that shows itself in a notebook."""

    def _repr_svg_(self) -> str:
        return str(self)


def render(
    run: Run | Sequence[Run],
    path: str | Path | None = None,
    *,
    level: str = "operation",
    trace: GradientTrace | None = None,
    steps: slice | Sequence[int] | None = None,
    fold: bool | None = None,
    values: bool = False,
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
    highlight : iterable of (Tensor id, operand), optional
        Edges to draw wide and red at the operation level, such as the `edges` of :func:`inspector.strongest_path`.

    Returns
    -------
    str or Path
        The SVG text if no path was given, which a notebook shows as a drawing; otherwise the path written.

    Raises
    ------
    ValueError
        If the level, the suffix or a timestep is unknown, several runs do not follow each other, or edges are to be
        highlighted at another level than that of operations.
    TypeError
        If `run` is no Run.
    GraphvizMissingError
        If a PNG or PDF is asked for and no Graphviz engine is there, saying how to get one; an SVG is then
        written without.
    """
    _kind(path)
    return write(picture(run, level=level, trace=trace, steps=steps, fold=fold, values=values, highlight=highlight), path)


def write(drawing: Picture, path: str | Path | None = None) -> str | Path:
    """The drawing as SVG text, or written to `path` as its suffix says."""
    target, kind = None if path is None else Path(path), _kind(path)
    if kind == "svg":
        text = styled(_svg(drawing), theme.style_sheet(drawing.gates))
        return Drawing(text) if target is None else files.write(target, text)
    dot = to_dot(drawing)
    if kind == "png":
        dot.attr("graph", dpi="144")
    assert target is not None
    return files.write(target, draw(dot, kind))


def _kind(path: str | Path | None) -> str:
    kind = "svg" if path is None else Path(path).suffix.lower().removeprefix(".")
    if kind not in FORMATS:
        raise ValueError(f"render: {path} must end in .svg, .png or .pdf")
    return kind


def _svg(drawing: Picture) -> str:
    """By Graphviz, or, where none is there or the drawing is so large that it would take long, by ourselves."""
    if len(drawing.shapes) <= _LARGE:
        try:
            return draw(to_dot(drawing), "svg").decode("utf-8")
        except GraphvizMissingError:
            pass
    return to_svg(drawing)


def picture(
    run: Run | Sequence[Run],
    *,
    level: str = "operation",
    trace: GradientTrace | None = None,
    steps: slice | Sequence[int] | None = None,
    fold: bool | None = None,
    values: bool = False,
    decay: bool = False,
    highlight: Iterable[tuple[int, int]] | None = None,
) -> Picture:
    """The drawing as data, before Graphviz sees it; parameters as for :func:`render`, and `decay` for the plot below."""
    runs = _in_turn(run, steps)
    if level not in LEVELS:
        raise ValueError(f"render: level must be one of {', '.join(LEVELS)}, got {level!r}")
    if highlight is not None and level != "operation":
        raise ValueError(f"render: edges are highlighted at the operation level, not at the {level} level")
    if any(part.tape is not None for part in runs[0].cells):
        replayed = step_by_step(runs[0])
        trace = trace and trace_of(replayed, loss_step_by_step(trace.loss, runs[0], replayed))
        runs = (replayed,)
    graph = Graph(_everything(runs, trace))
    sources = _sources(runs, graph)
    shown = [_shown(len(run), steps, fold) for run in runs]
    rows = [_row(layer, shown, upper, _DETAIL[level]) for layer, upper in zip(sources, [*sources[1:], None], strict=True)]
    title = f"{' → '.join(repr(run.cell) for run in runs)} · T = {' + '.join(str(len(run)) for run in runs)} · {level} level"
    drawing = Picture(title, gates=tuple(dict.fromkeys(_gates(rows))))
    norms: dict[tuple[int, int], float] | None = None
    if trace is not None:
        norms = {**trace.edge_norms, **{(key, -1): norm for key, norm in trace.node_norms.items()}}
        for k, row in enumerate(rows):
            steps_, through = layer_flow(row.steps, graph, trace.loss)
            rows[k] = replace(row, steps=steps_)
            norms.update(through)
    ink = Ink(norms, _drawn_edges(rows), valued=_drawn_nodes(rows) if values else (), highlight=highlight or ())
    notes = {node.index: _note(node, graph, trace) for node in graph.nodes}
    tiling = tile(rows, drawing, ink, "cellbox" if level == "cell" else "step", notes, Spacing())
    own_steps = {node.index for layer in sources for source in layer for nodes in source.nodes.values() for node in nodes}
    above, after = _outside(runs, graph, own_steps, shown)
    add_outside(drawing, tiling, above, after, graph, ink, notes, together=level != "operation")
    add_badges(drawing)
    if decay and trace is not None:
        curves = {name: trace.norm(name) for name in trace.states}
        words = {name: str(decay_rate(norms)) for name, norms in curves.items()}
        add_chart(drawing, tiling, {name: norms.tolist() for name, norms in curves.items()}, words, "‖∂L/∂state‖ at every timestep")
    add_legend(drawing, tiling, graph, own_steps, ink, notes, _parameter_names(runs, sources[0]))
    return drawing


def _parameter_names(runs: Sequence[Run], layer: Sequence[Source]) -> dict[int, str]:
    """What each parameter is called, by its Tensor's id; of several runs, with the run's name in front."""
    names: dict[int, str] = {}
    for run, source in zip(runs, layer, strict=len(runs) > 1):
        of = source.layer.partition("/")[0] + "." if len(runs) > 1 else ""
        names.update((parameter.id, of + name) for name, parameter in run.cell.named_parameters())
    return names


def _in_turn(run: Run | Sequence[Run], steps: slice | Sequence[int] | None) -> tuple[Run, ...]:
    """The runs to draw side by side, each of which goes on where the one before ended."""
    runs = (run,) if isinstance(run, Run) else tuple(run)
    for one in runs:
        if not isinstance(one, Run):
            raise TypeError(f"render: run must be what unroll returned, got {type(one).__name__}")
    if len(runs) > 1 and (steps is not None or any(part.tape is not None or part.reverse for one in runs for part in one.cells)):
        raise ValueError("render: of several runs, all steps are drawn, or folded; and none may be compiled or run in reverse")
    for before, after in itertools.pairwise(runs):
        ends, starts = (
            [(name, leaf.id) for state in states for name, leaf in state._asdict().items()]
            for states in ([part.states[-1] for part in before.cells], [part.initial_state for part in after.cells])
        )
        if ends != starts:
            raise ValueError(f"render: {after.cell!r} does not begin in the state in which {before.cell!r} ends")
    return runs


def _drawn_edges(rows: Sequence[Row]) -> Iterator[tuple[int, int] | None]:
    """The edges whose gradient is drawn, as those of states that pass a fold."""
    for row in rows:
        for step in row.steps:
            if isinstance(step, Step):
                yield from (link.edge for item in step.items for link in item.links)
            else:
                yield from ((state.id, -1) for t in step.steps for state in step.run.states[t])


def _drawn_nodes(rows: Sequence[Row]) -> Iterator[Node]:
    """The nodes whose values the shapes of the steps show."""
    items = (item for row in rows for step in row.steps if isinstance(step, Step) for item in step.items)
    yield from (item.value or item.nodes[0] for item in items if item.value or item.nodes)


def _shown(count: int, steps: slice | Sequence[int] | None, fold: bool | None) -> list[int]:
    """The timesteps to draw, ascending."""
    chosen = _chosen(count, steps)
    fold = steps is None and count > _ALL if fold is None else fold
    return [*chosen[:_FIRST], *chosen[-_LAST:]] if fold and len(chosen) > _FIRST + _LAST + 1 else chosen


def _chosen(count: int, steps: slice | Sequence[int] | None) -> list[int]:
    if steps is None:
        return list(range(count))
    chosen = range(count)[steps] if isinstance(steps, slice) else steps
    wanted = sorted({int(t) + count if t < 0 else int(t) for t in chosen})
    if not wanted or wanted[0] < 0 or wanted[-1] >= count:
        raise ValueError(f"render: steps {steps!r} choose nothing drawable from timesteps 0..{count - 1}")
    return wanted


def _everything(runs: Sequence[Run], trace: GradientTrace | None) -> list[Tensor]:
    """All that the drawing has to show: every named value, every state, and the loss."""
    values = [value for run in runs for value in (*run.names.values(), *run.outputs)]
    return values if trace is None else [*values, trace.loss]


def _sources(runs: Sequence[Run], graph: Graph) -> list[list[Source]]:
    """Layer by layer, what each run in turn has there."""
    owners = parts(graph.outputs)
    owned = {n.index: owners.get(n.tensor.id) for n in graph.nodes if n.tensor is not None}
    cuts = frozenset((edge.target, edge.operand) for edge in graph.edges if edge.cut)
    by_step = step_nodes(graph)
    layers = []
    for turns in zip(*(run.cells for run in runs), strict=True):
        names = [str(part.scopes[0].parent or "") for part in turns]
        if len(set(names)) < len(names):
            names = [f"run{k}/{name}".removesuffix("/") for k, name in enumerate(names)]
        nodes = [{t: by_step.get(scope, []) for t, scope in enumerate(part.scopes)} for part in turns]
        layers.append([Source(*one[:2], graph, owned, one[2], cuts) for one in zip(turns, names, nodes, strict=True)])
    return layers


def _row(
    layer: Sequence[Source], shown: Sequence[list[int]], upper: Sequence[Source] | None, detail: Callable[[Step], Step]
) -> Row:
    """One layer of the drawing, its runs side by side."""
    feeds_next = upper is not None and upper[0].run.inputs[0].id == layer[0].run.outputs[0].id
    parts = [_one_run(source, steps, feeds_next, detail) for source, steps in zip(layer, shown, strict=True)]
    steps = itertools.chain.from_iterable(part.steps for part in parts)
    inputs = itertools.chain.from_iterable(part.inputs for part in parts)
    return replace(parts[0], steps=tuple(steps), inputs=tuple(inputs))


def _one_run(source: Source, shown: list[int], feeds_next: bool, detail: Callable[[Step], Step]) -> Row:
    run = source.run
    steps: list[Step | Fold] = []
    inputs: list[Node | None] = []
    before = -1
    for t in shown:
        if t > before + 1:
            steps.append(Fold(run, source.layer, range(before + 1, t)))
            inputs.append(None)
        steps.append(detail(operation_step(source, t)))
        x = source.run.inputs[t]
        inputs.append(source.graph.find(x) if x in source.graph else None)
        before = t
    if before < len(run) - 1:
        steps.append(Fold(run, source.layer, range(before + 1, len(run))))
        inputs.append(None)
    edge = len(run) - 1 if source.run.reverse else 0
    initial = source.run.initial_state._asdict()
    first = [(name, source.graph.find(v)) for name, v in initial.items() if edge in shown and v in source.graph]
    return Row(tuple(steps), run.reverse, tuple(first), tuple(inputs), feeds_next)


def _outside(runs: Sequence[Run], graph: Graph, own: set[int], shown: Sequence[list[int]]) -> tuple[list[Node], list[Node]]:
    """The operations outside the steps: outputs that are put together, above; and what follows from the run.

    What inputs and initial states were computed from, an earlier run for instance, is not drawn.
    """
    outputs = {value.id for run in runs for value in run.outputs}
    drawn = {t for steps in shown for t in steps}
    before: set[int] = set()
    for node in reversed(graph.nodes):
        if node.index in own or node.index in before:
            before.update(k for k in node.inputs if k not in own)
    above, after = [], []
    for node in graph.nodes:
        if node.is_leaf or node.index in own or node.index in before or node.tensor is None:
            continue
        if node.tensor.id in outputs and node.timestep is not None:
            above += [node] if node.timestep in drawn else []
        elif not (node.scope is not None and node.scope.is_backward):
            after.append(node)
    return above, after


def _gates(rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        for step in row.steps:
            if isinstance(step, Step):
                roles = [item.role for item in step.items]
                yield from (role.removeprefix("gate:") for role in roles if role.startswith("gate:"))


def _note(node: Node, graph: Graph, trace: GradientTrace | None) -> str:
    """What a tooltip says of a node."""
    lines = [f"{node.path} = {node.op}" if node.op != "parameter" else f"{node.path}: parameter"]
    lines.append(f"shape {node.shape}, {node.dtype}")
    if node.value.size and node.value.dtype.kind in "fiu":
        lines.append(f"values {number(float(node.value.min()))} … {number(float(node.value.max()))}")
    if trace is None or node.tensor is None:
        lines.append("gradient —")
    else:
        lines.append(f"gradient norm {number(float(trace.node_norms.get(node.tensor.id, 0.0)))}")
    return "\n".join(lines)

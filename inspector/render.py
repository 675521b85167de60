"""render: the drawing of a run at three levels of detail, plain or coloured by its gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tinygrad_rnn import Graph, Node, Scope, Tensor, files, parts
from tinygrad_rnn.unroll import Run

from .drawing import theme
from .drawing.columns import Row
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
from .drawing.words import description, told
from .replay import loss_step_by_step, step_by_step
from .trace import GradientTrace
from .trace import trace as trace_of

__all__ = ["LEVELS", "picture", "render"]

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
    run: Run,
    path: str | Path | None = None,
    *,
    level: str = "operation",
    trace: GradientTrace | None = None,
    steps: slice | Sequence[int] | None = None,
) -> str | Path:
    """Draw a run's graph, one frame a timestep.

    Parameters
    ----------
    run : Run
        What :func:`tinygrad_rnn.unroll` returned, for a cell, a stack or two directions.
    path : path, optional
        Where to write; the suffix ``.svg``, ``.png`` or ``.pdf`` says what.
    level : {"operation", "gate", "cell"}
        Every primitive operation; one box a gate; or the notation of the textbooks, with a box for each
        learned layer and circles for pointwise operations.
    trace : GradientTrace, optional
        Colours and widens each line by the norm of the gradient that flows through it, on a logarithmic
        scale, and adds the loss to the drawing.
    steps : slice or sequence of int, optional
        The timesteps to show. When omitted, all of up to 20, and the first three and last two of more.

    Returns
    -------
    str or Path
        The SVG text if no path was given, which a notebook shows as a drawing; otherwise the path written.

    Raises
    ------
    ValueError
        If the level, the suffix or a timestep is unknown.
    TypeError
        If `run` is no Run.
    GraphvizMissingError
        If a PNG or PDF is asked for and no Graphviz engine is there, saying how to get one; an SVG is then
        written without.
    """
    target = None if path is None else Path(path)
    kind = "svg" if target is None else target.suffix.lower().removeprefix(".")
    if kind not in FORMATS:
        raise ValueError(f"render: {target} must end in .svg, .png or .pdf")
    drawing = picture(run, level=level, trace=trace, steps=steps)
    if kind == "svg":
        text = told(styled(_svg(drawing), theme.style_sheet(drawing.gates)), drawing.title, drawing.words)
        return Drawing(text) if target is None else files.write(target, text)
    dot = to_dot(drawing)
    if kind == "png":
        dot.attr("graph", dpi="144")
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


def picture(
    run: Run,
    *,
    level: str = "operation",
    trace: GradientTrace | None = None,
    steps: slice | Sequence[int] | None = None,
) -> Picture:
    """The drawing as data, before Graphviz sees it; parameters as for :func:`render`."""
    if not isinstance(run, Run):
        raise TypeError(f"render: run must be what unroll returned, got {type(run).__name__}")
    if level not in LEVELS:
        raise ValueError(f"render: level must be one of {', '.join(LEVELS)}, got {level!r}")
    shown = _shown(len(run), steps)
    if any(part.tape is not None for part in run.cells):
        replayed = step_by_step(run)
        trace = trace and trace_of(replayed, loss_step_by_step(trace.loss, run, replayed))
        run = replayed
    graph = Graph(_everything(run, trace))
    owners = parts(graph.outputs)
    by_step = step_nodes(graph)
    sources = [_source(part, graph, owners, by_step) for part in run.cells]
    rows: list[Row] = []
    for source, upper in zip(sources, [*sources[1:], None], strict=True):
        feeds = upper is not None and upper.run.inputs[0].id == source.run.outputs[0].id
        rows.append(_row(source, shown, feeds, _DETAIL[level]))
    gates = tuple(dict.fromkeys(_gates(rows)))
    drawing = Picture(f"{run.cell!r} · T = {len(run)} · {level} level", gates=gates)
    drawing.words = description(repr(run.cell), len(run), level, rows, {name: trace.norm(name) for name in trace.states} if trace else {})
    norms: dict[tuple[int, int], float] | None = None
    if trace is not None:
        norms = {**trace.edge_norms, **{(key, -1): norm for key, norm in trace.node_norms.items()}}
        for k, row in enumerate(rows):
            steps_, through = layer_flow(row.steps, graph, trace.loss)
            rows[k] = replace(row, steps=steps_)
            norms.update(through)
    edges = [link.edge for row in rows for step in row.steps if isinstance(step, Step) for item in step.items for link in item.links]
    ink = Ink(norms, edges)
    notes = {node.index: _note(node, graph, trace) for node in graph.nodes}
    tiling = tile(rows, drawing, ink, "cellbox" if level == "cell" else "step", notes, Spacing())
    own_steps = {node.index for source in sources for nodes in source.nodes.values() for node in nodes}
    above, after = _outside(run, graph, own_steps, shown)
    add_outside(drawing, tiling, above, after, graph, ink, notes, together=level != "operation")
    add_legend(drawing, tiling, graph, own_steps, ink, notes)
    return drawing


def _shown(count: int, steps: slice | Sequence[int] | None) -> list[int]:
    """The timesteps to draw, ascending."""
    if steps is None:
        return list(range(count)) if count <= _ALL else [*range(_FIRST), *range(count - _LAST, count)]
    chosen = range(count)[steps] if isinstance(steps, slice) else steps
    wanted = sorted({int(t) + count if t < 0 else int(t) for t in chosen})
    if not wanted or wanted[0] < 0 or wanted[-1] >= count:
        raise ValueError(f"render: steps {steps!r} choose nothing drawable from timesteps 0..{count - 1}")
    return wanted


def _everything(run: Run, trace: GradientTrace | None) -> list[Tensor]:
    """All that the drawing has to show: every named value, every state, and the loss."""
    values = [*run.names.values(), *run.outputs]
    return values if trace is None else [*values, trace.loss]


def _source(run: Run, graph: Graph, owners: Any, by_step: Mapping[Scope, list[Node]]) -> Source:
    owned = {n.index: owners.get(n.tensor.id) for n in graph.nodes if n.tensor is not None}
    cuts = frozenset((edge.target, edge.operand) for edge in graph.edges if edge.cut)
    nodes = {t: by_step.get(scope, []) for t, scope in enumerate(run.scopes)}
    return Source(run, str(run.scopes[0].parent or ""), graph, owned, nodes, cuts)


def _row(source: Source, shown: list[int], feeds_next: bool, detail: Callable[[Step], Step]) -> Row:
    run = source.run
    steps: list[Step | int] = []
    inputs: list[Node | None] = []
    before = -1
    for t in shown:
        if t > before + 1:
            steps.append(t - before - 1)
            inputs.append(None)
        steps.append(detail(operation_step(source, t)))
        x = source.run.inputs[t]
        inputs.append(source.graph.find(x) if x in source.graph else None)
        before = t
    if before < len(run) - 1:
        steps.append(len(run) - 1 - before)
        inputs.append(None)
    edge = len(run) - 1 if source.run.reverse else 0
    initial = source.run.initial_state._asdict()
    first = [(name, source.graph.find(v)) for name, v in initial.items() if edge in shown and v in source.graph]
    return Row(tuple(steps), run.reverse, tuple(first), tuple(inputs), feeds_next)


def _outside(run: Run, graph: Graph, own: set[int], shown: list[int]) -> tuple[list[Node], list[Node]]:
    """The operations outside the steps: outputs that are put together, above; and what follows from the run.

    What inputs and initial states were computed from, an earlier run for instance, is not drawn.
    """
    outputs = {value.id for value in run.outputs}
    before: set[int] = set()
    for node in reversed(graph.nodes):
        if node.index in own or node.index in before:
            before.update(k for k in node.inputs if k not in own)
    above, after = [], []
    for node in graph.nodes:
        if node.is_leaf or node.index in own or node.index in before or node.tensor is None:
            continue
        if node.tensor.id in outputs and node.timestep is not None:
            above += [node] if node.timestep in shown else []
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

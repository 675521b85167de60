"""From a run to a picture: everything that is drawn, before an engine sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from tinygrad_rnn import Graph, Node, Tensor
from tinygrad_rnn.recurrent.unroll import Run

from ..algebra.equations import Highway
from ..algebra.equations import equations as equations_of
from ..layout.columns import Row
from ..layout.order import Spacing
from ..steps.items import Gate, Step
from ..steps.levels import cell_step, gate_step
from ..steps.reverse import Reverse, reverse_sweep
from ..steps.source import Source, sources_of
from ..text import number
from ..tracing.decay import decay_rate
from ..tracing.finite import first_not_finite
from ..tracing.replay import loss_step_by_step, step_by_step
from ..tracing.trace import GradientTrace
from ..tracing.trace import trace as trace_of
from .canvas import Canvas
from .chart import add_chart
from .description import description
from .frames import tile
from .ink import Ink
from .layer_gradients import layer_flow
from .legend import Formula, add_badges, add_formulas, add_legend, add_warning
from .outside import add_outside, is_folded, of_one_step
from .picture import Picture
from .timeline import backward_row_of, in_turn, row_of, steps_shown

__all__ = ["DETAIL", "LEVELS", "picture"]

DETAIL: dict[str, Callable[[Step], Step]] = {"operation": lambda step: step, "gate": gate_step, "cell": cell_step}
LEVELS = tuple(DETAIL)


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
) -> Picture:
    """The drawing as data, before Graphviz sees it; parameters as for :func:`~inspector.draw`."""
    runs = in_turn(run, steps)
    _check(level, trace, backward, decay, len(runs), highlight is not None)
    if any(part.tape is not None for part in runs[0].cells):
        replayed = step_by_step(runs[0])
        trace = trace and trace_of(replayed, loss_step_by_step(trace.loss, runs[0], replayed))
        runs = (replayed,)
    reverse = reverse_sweep(runs[0], trace.loss) if backward and trace is not None else None
    graph = Graph(_everything(runs, trace, reverse))
    highlighted = _highlighted(highlight, graph, with_loss=trace is not None)
    sources = sources_of(runs, graph)
    shown = [steps_shown(len(run), steps, fold) for run in runs]
    rows = [
        row_of(layer, shown, upper, DETAIL[level]) for layer, upper in zip(sources, [*sources[1:], None], strict=True)
    ]
    title = (
        f"{' → '.join(repr(run.cell) for run in runs)} · T = {' + '.join(str(len(run)) for run in runs)} · {level}"
        " level"
    )
    title += " · forward and backward" if reverse is not None else ""
    drawing = Picture(title, gates=tuple(dict.fromkeys(_gates(rows))))
    drawing.words = description(runs, level, rows, {name: trace.norm(name) for name in trace.states} if trace else {})
    norms = None if trace is None else _norms(rows, graph, trace)
    if reverse is not None and norms is not None:
        layers = frozenset(scope for part in runs[0].cells for scope in part.scopes)
        rows = [*(backward_row_of(source, shown[0], reverse, layers, norms) for (source,) in sources), *rows]
    own_steps = {
        node.index: t for layer in sources for source in layer for t, nodes in source.nodes.items() for node in nodes
    }
    beside = [node for node in graph.nodes if node.op != "constant" and (node.is_leaf or node.index not in own_steps)]
    ink = Ink(norms, _drawn_edges(rows), valued=[*_drawn_nodes(rows), *beside] if values else (), highlight=highlighted)
    drawn: set[int | None] = {None, *(t for one in shown for t in one)}
    notes = {node.index: _note(node, trace) for node in graph.nodes if own_steps.get(node.index) in drawn}
    canvas = Canvas(drawing, ink, notes)
    tile(canvas, rows, "cellbox" if level == "cell" else "step", Spacing())
    above, after = _outside(runs, graph, own_steps, shown)
    add_outside(canvas, graph, above, after, together=level != "operation")
    add_badges(drawing)
    if decay and trace is not None:
        curves = {name: trace.norm(name).tolist() for name in trace.states}
        words = {name: str(decay_rate(curve)) for name, curve in curves.items()}
        add_chart(canvas, curves, words, "‖∂L/∂state‖ at every timestep")
    add_legend(canvas, graph, set(own_steps), _parameter_names(runs, sources[0]))
    ill = trace.not_finite if trace is not None else next(filter(None, map(first_not_finite, runs)), None)
    if ill is not None:
        add_warning(drawing, str(ill))
        drawing.words = f"{ill}. {drawing.words}"
    if equations:
        add_formulas(drawing, canvas.left - 10, [line for run in runs for line in _formulas(run)])
    return drawing


def _check(level: str, trace: GradientTrace | None, backward: bool, decay: bool, runs: int, highlight: bool) -> None:
    if level not in LEVELS:
        raise ValueError(f"level must be one of {', '.join(LEVELS)}, got {level!r}")
    if backward and trace is None:
        raise ValueError("backward=True draws the reverse sweep of a loss; pass trace=inspector.trace(run, loss)")
    if decay and trace is None:
        raise ValueError("decay=True plots the gradient of a loss; pass trace=inspector.trace(run, loss)")
    if backward and level != "operation":
        raise ValueError(f"backward=True draws at the operation level, got level={level!r}")
    if backward and runs > 1:
        raise ValueError("backward=True draws the reverse sweep of one run, got several")
    if highlight and level != "operation":
        raise ValueError(f"edges are highlighted at the operation level, not at the {level} level")


def _highlighted(
    highlight: Iterable[tuple[int, int]] | None, graph: Graph, with_loss: bool
) -> frozenset[tuple[int, int]]:
    """The edges to highlight, all of them edges of the graph; without a trace, those of a later loss are left out
    as it is.
    """
    wanted = frozenset(highlight or ())
    operands = {node.tensor.id: len(node.inputs) for node in graph.nodes if node.tensor is not None}
    newest = max(operands)
    known = {edge for edge in wanted if -1 <= edge[1] < operands.get(edge[0], -1)}
    unknown = sorted(edge for edge in wanted - known if with_loss or edge[0] <= newest)
    if unknown or (wanted and not known):
        raise ValueError(
            f"highlight has {(unknown or sorted(wanted))[0]}, which is no edge of this run's graph; an edge is "
            "(Tensor id of the consumer, operand), as inspector.strongest_path gives them"
        )
    return frozenset(known)


def _norms(rows: list[Row], graph: Graph, trace: GradientTrace) -> dict[tuple[int, int], float]:
    """The gradient norm of every edge and value; lines into layers get edges of their own, in `rows`."""
    norms = {**trace.edge_norms, **{(key, -1): norm for key, norm in trace.node_norms.items()}}
    for k, row in enumerate(rows):
        steps, through = layer_flow(row.steps, graph, trace.loss)
        rows[k] = replace(row, steps=steps)
        norms.update(through)
    return norms


def _everything(runs: Sequence[Run], trace: GradientTrace | None, reverse: Reverse | None) -> list[Tensor]:
    """All that the drawing has to show: every named value, every state, the loss, and the cotangents."""
    values = [value for run in runs for value in (*run.names.values(), *run.outputs)]
    return values if trace is None else [*values, trace.loss, *(reverse.totals.values() if reverse else ())]


def _parameter_names(runs: Sequence[Run], layer: Sequence[Source]) -> dict[int, str]:
    """What each parameter is called, by its Tensor's id; of several runs, with the run's name in front."""
    names: dict[int, str] = {}
    for run, source in zip(runs, layer, strict=len(runs) > 1):
        of = source.layer.partition("/")[0] + "." if len(runs) > 1 else ""
        names.update((parameter.id, of + name) for name, parameter in run.cell.named_parameters())
    return names


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


def _outside(
    runs: Sequence[Run], graph: Graph, own: dict[int, int], shown: Sequence[list[int]]
) -> tuple[dict[int, list[Node]], list[Node]]:
    """The operations outside the steps: by timestep those that stand above it; and what follows from the run.

    What inputs and initial states were computed from, an earlier run for instance, is not drawn.
    """
    outputs = {value.id for run in runs for value in run.outputs}
    before: set[int] = set()
    for node in reversed(graph.nodes):
        if node.index in own or node.index in before:
            before.update(k for k in node.inputs if k not in own)
    meeting: dict[int, list[Node]] = {}
    after = []
    for node in graph.nodes:
        if node.is_leaf or node.index in own or node.index in before or node.tensor is None:
            continue
        if node.tensor.id in outputs and node.timestep is not None:
            meeting.setdefault(node.timestep, []).append(node)
        elif not (node.scope is not None and node.scope.is_backward) and not is_folded(node, graph):
            after.append(node)
    steps = own | {node.index: t for t, nodes in meeting.items() for node in nodes}
    single = of_one_step(after, steps) if len(runs) == 1 else {}
    for node in after:
        if node.index in single:
            meeting.setdefault(single[node.index], []).append(node)
    drawn = {t for steps in shown for t in steps}
    return {t: meeting[t] for t in sorted(meeting) if t in drawn}, [node for node in after if node.index not in single]


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


def _gates(rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        for step in row.steps:
            if isinstance(step, Step):
                yield from (item.role.name for item in step.items if isinstance(item.role, Gate))


def _note(node: Node, trace: GradientTrace | None) -> str:
    """What a tooltip says of a node."""
    lines = [f"{node.path} = {node.op}" if node.op != "parameter" else f"{node.path}: parameter"]
    lines.append(f"shape {node.shape}, {node.dtype}")
    if node.value.size and node.value.dtype.kind in "fiu":
        lines.append(f"values {number(float(node.value.min()))} … {number(float(node.value.max()))}")
    if node.scope is not None and node.scope.is_backward:
        lines.append(f"norm {number(float(np.linalg.norm(node.value)))}")
    elif trace is None or node.tensor is None:
        lines.append("gradient —")
    elif node.tensor.id not in trace.node_norms:
        lines.append("no gradient: the loss does not depend on it")
    else:
        lines.append(f"gradient norm {number(float(trace.node_norms[node.tensor.id]))}")
    return "\n".join(lines)

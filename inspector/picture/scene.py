"""What a drawing shows of which runs, before anything has a place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from tinygrad_rnn import Graph, Node, Tensor
from tinygrad_rnn.recurrent.unroll import Run

from ..layout.columns import Row
from ..steps.items import Gate, Step
from ..steps.levels import cell_step, gate_step
from ..steps.reverse import Reverse, reverse_sweep
from ..steps.source import Source, sources_of
from ..tracing.replay import loss_step_by_step, step_by_step
from ..tracing.trace import GradientTrace
from ..tracing.trace import trace as trace_of
from .layer_gradients import layer_flow
from .outside import is_folded, of_one_step
from .timeline import backward_row_of, in_turn, row_of, steps_shown

__all__ = ["DETAIL", "LEVELS", "Scene", "scene_of"]

DETAIL: dict[str, Callable[[Step], Step]] = {"operation": lambda step: step, "gate": gate_step, "cell": cell_step}
LEVELS = tuple(DETAIL)


@dataclass
class Scene:
    """The runs, their graph, and the rows of steps that show them.

    Attributes
    ----------
    runs : tuple of Run
        Those that follow each other; compiled ones as they run step by step.
    level : str
    trace : GradientTrace or None
    reverse : Reverse or None
        The sweep that is drawn below.
    graph : Graph
        Of everything that is drawn.
    sources : list of list of Source
        Layer by layer, what each run has there.
    shown : list of list of int
        The timesteps of each run that are not folded away.
    rows : list of Row
        The layers from the bottom up, the backward ones first.
    norms : dict or None
        The gradient norm of every edge and value, by (Tensor id, operand); ``None`` without a trace.
    """

    runs: tuple[Run, ...]
    level: str
    trace: GradientTrace | None
    reverse: Reverse | None
    graph: Graph
    sources: list[list[Source]]
    shown: list[list[int]]
    rows: list[Row]
    norms: dict[tuple[int, int], float] | None

    @property
    def title(self) -> str:
        """The cells, how long they run, and how much is drawn."""
        cells = " → ".join(repr(run.cell) for run in self.runs)
        more = " · forward and backward" if self.reverse is not None else ""
        return f"{cells} · T = {' + '.join(str(len(run)) for run in self.runs)} · {self.level} level{more}"

    @cached_property
    def timesteps(self) -> dict[int, int]:
        """Node index to timestep, of all operations in the steps, shown or folded away."""
        layers = (source.nodes for layer in self.sources for source in layer)
        return {node.index: t for steps in layers for t, nodes in steps.items() for node in nodes}

    @cached_property
    def steps(self) -> list[Step]:
        """The steps that are shown."""
        return [step for row in self.rows for step in row.steps if isinstance(step, Step)]

    @property
    def gates(self) -> tuple[str, ...]:
        """The names of the gates, in the order in which they are drawn."""
        roles = (item.role for step in self.steps if not step.backward for item in step.items)
        return tuple(dict.fromkeys(role.name for role in roles if isinstance(role, Gate)))

    def edges(self) -> Iterator[tuple[int, int] | None]:
        """The edges whose gradient is drawn, as those of states that pass a fold."""
        for row in self.rows:
            for step in row.steps:
                if isinstance(step, Step):
                    yield from (link.edge for item in step.items for link in item.links)
                else:
                    yield from ((state.id, -1) for t in step.steps for state in step.run.states[t])

    def nodes(self) -> Iterator[Node]:
        """The nodes whose values shapes show, in the steps and beside them."""
        items = (item for step in self.steps for item in step.items)
        yield from (item.value or item.nodes[0] for item in items if item.value or item.nodes)
        for node in self.graph.nodes:
            if node.op != "constant" and (node.is_leaf or node.index not in self.timesteps):
                yield node

    @property
    def parameter_names(self) -> dict[int, str]:
        """What each parameter is called, by its Tensor's id; of several runs, with the run's name in front."""
        names: dict[int, str] = {}
        for run, source in zip(self.runs, self.sources[0], strict=len(self.runs) > 1):
            of = f"{source.run_name}." if len(self.runs) > 1 else ""
            names.update((parameter.id, of + name) for name, parameter in run.cell.named_parameters())
        return names

    def showing(self, steps: slice | Sequence[int]) -> Scene:
        """The same runs in the same graph with other timesteps shown, without a reverse sweep."""
        shown = [steps_shown(len(run), steps, False) for run in self.runs]
        rows, norms = _rows(self.sources, shown, self.level, self.graph, self.trace)
        scene = replace(self, reverse=None, shown=shown, rows=rows, norms=norms)
        scene.timesteps = self.timesteps
        return scene

    def outside(self) -> tuple[dict[int, list[Node]], list[Node]]:
        """The operations outside the steps: by timestep those that stand above it; and what follows from the run.

        What inputs and initial states were computed from, an earlier run for instance, is not drawn.
        """
        timesteps = self.timesteps
        outputs = {value.id for run in self.runs for value in run.outputs}
        before: set[int] = set()
        for node in reversed(self.graph.nodes):
            if node.index in timesteps or node.index in before:
                before.update(k for k in node.inputs if k not in timesteps)
        meeting: dict[int, list[Node]] = {}
        after = []
        for node in self.graph.nodes:
            if node.is_leaf or node.index in timesteps or node.index in before or node.tensor is None:
                continue
            if node.tensor.id in outputs and node.timestep is not None:
                meeting.setdefault(node.timestep, []).append(node)
            elif not (node.scope is not None and node.scope.is_backward) and not is_folded(node, self.graph):
                after.append(node)
        steps = timesteps | {node.index: t for t, nodes in meeting.items() for node in nodes}
        single = of_one_step(after, steps) if len(self.runs) == 1 else {}
        for node in after:
            if node.index in single:
                meeting.setdefault(single[node.index], []).append(node)
        drawn = {t for steps in self.shown for t in steps}
        return {t: meeting[t] for t in sorted(meeting) if t in drawn}, [
            node for node in after if node.index not in single
        ]


def scene_of(
    run: Run | Sequence[Run],
    level: str,
    trace: GradientTrace | None,
    steps: slice | Sequence[int] | None,
    fold: bool | None,
    backward: bool,
    ends: tuple[int, int] | None = None,
) -> Scene:
    """The scene of a run, or of several that follow each other; parameters as for :func:`~inspector.draw`, and how
    many of the first and of the last steps it shows, if not all.
    """
    runs = in_turn(run, steps)
    if trace is not None and not isinstance(trace, GradientTrace):
        raise TypeError(f"trace must come from inspector.trace(run, loss), got {type(trace).__name__}")
    if trace is not None and not any(trace.run is one for one in runs):
        raise ValueError("the trace is of another run: its gradients are not those of what is drawn")
    if backward and len(runs) > 1:
        raise ValueError("backward=True draws the reverse sweep of one run, got several")
    if any(part.tape is not None for part in runs[0].cells):
        replayed = step_by_step(runs[0])
        trace = trace and trace_of(replayed, loss_step_by_step(trace.loss, runs[0], replayed))
        runs = (replayed,)
    reverse = reverse_sweep(runs[0], trace.loss) if backward and trace is not None else None
    graph = Graph(_everything(runs, trace, reverse), [weight for run in runs for weight in run.cell.parameters()])
    sources = sources_of(runs, graph)
    shown = [steps_shown(len(run), steps, fold, ends) for run in runs]
    rows, norms = _rows(sources, shown, level, graph, trace)
    if reverse is not None and norms is not None:
        layers = frozenset(scope for part in runs[0].cells for scope in part.scopes)
        rows = [*(backward_row_of(source, shown[0], reverse, layers, norms) for (source,) in sources), *rows]
    return Scene(runs, level, trace, reverse, graph, sources, shown, rows, norms)


def _everything(runs: Sequence[Run], trace: GradientTrace | None, reverse: Reverse | None) -> list[Tensor]:
    """All that the drawing has to show: every named value, every state, the loss, and the cotangents."""
    values = [value for run in runs for value in (*run.names.values(), *run.outputs)]
    return values if trace is None else [*values, trace.loss, *(reverse.totals.values() if reverse else ())]


def _rows(
    sources: list[list[Source]], shown: list[list[int]], level: str, graph: Graph, trace: GradientTrace | None
) -> tuple[list[Row], dict[tuple[int, int], float] | None]:
    """The layers with the timesteps that are shown, and the norms of their lines."""
    uppers = [*sources[1:], None]
    rows = [row_of(layer, shown, upper, DETAIL[level]) for layer, upper in zip(sources, uppers, strict=True)]
    return rows, None if trace is None else _norms(rows, graph, trace)


def _norms(rows: list[Row], graph: Graph, trace: GradientTrace) -> dict[tuple[int, int], float]:
    """The gradient norm of every edge and value; lines into layers get edges of their own, in `rows`."""
    norms = {**trace.edge_norms, **{(key, -1): norm for key, norm in trace.node_norms.items()}}
    for k, row in enumerate(rows):
        steps, through = layer_flow(row.steps, graph, trace.loss)
        rows[k] = replace(row, steps=steps)
        norms.update(through)
    return norms

"""A run in its graph: which nodes each timestep has, which gate or state each of them serves, and their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from tinygrad_rnn import Graph, Node, Scope, Tensor, parts
from tinygrad_rnn.recurrent.unroll import Run

__all__ = ["Source", "sources_of"]


@dataclass
class Source:
    """A single cell's run in the graph that is drawn or read.

    Attributes
    ----------
    run : Run
        Of a single cell.
    layer : str
        Its layer's path; empty for a single cell.
    graph : Graph
        Of everything that is drawn.
    owners : mapping
        Node index to the gate or state it serves.
    nodes : mapping
        Timestep to the nodes recorded in it.
    cuts : frozenset of (node index, operand)
        The edges along which no gradient flows.
    run_name : str
        What tells its run from others that are drawn beside it: the outermost layer, or a number.
    """

    run: Run
    layer: str
    graph: Graph
    owners: Mapping[int, str | None]
    nodes: Mapping[int, list[Node]] = field(repr=False)
    cuts: frozenset[tuple[int, int]] = field(repr=False)
    run_name: str

    @cached_property
    def names(self) -> dict[int, dict[int, str]]:
        """Timestep to what values are called in it, by Tensor id."""
        found: dict[int, dict[int, str]] = {}
        for (name, t), value in self.run.names.items():
            if name != "x":
                found.setdefault(t, {})[value.id] = name
        return found

    def states_before(self, t: int) -> dict[str, Tensor]:
        """The states that enter timestep `t`."""
        previous = t + 1 if self.run.reverse else t - 1
        inside = 0 <= previous < len(self.run)
        states: dict[str, Tensor] = (self.run.states[previous] if inside else self.run.initial_state)._asdict()
        return states


def sources_of(runs: Sequence[Run], graph: Graph) -> list[list[Source]]:
    """Layer by layer, what each run in turn has there."""
    owner_of = parts(graph.outputs)
    owners = {node.index: owner_of.get(node.tensor.id) for node in graph.nodes if node.tensor is not None}
    cuts = frozenset((edge.target, edge.operand) for edge in graph.edges if edge.cut)
    by_step = _nodes_by_step(graph)
    layers = []
    for turns in zip(*(run.cells for run in runs), strict=True):
        names = [str(part.scopes[0].parent or "") for part in turns]
        runs_names = [(*part.scopes[0].layers, "")[0] for part in turns]
        if len(set(names)) < len(names):
            runs_names = [f"run{k}" for k in range(len(names))]
            names = ["/".join(filter(None, pair)) for pair in zip(runs_names, names, strict=True)]
        layer = []
        for part, name, run_name in zip(turns, names, runs_names, strict=True):
            nodes = {t: by_step.get(scope, []) for t, scope in enumerate(part.scopes)}
            layer.append(Source(part, name, graph, owners, nodes, cuts, run_name))
        layers.append(layer)
    return layers


def _nodes_by_step(graph: Graph) -> dict[Scope, list[Node]]:
    """The nodes of `graph` by the step that they were recorded in."""
    found: dict[Scope, list[Node]] = {}
    for node in graph.nodes:
        step = node.scope.step if node.scope is not None and not node.scope.is_backward else None
        if step is not None:
            found.setdefault(step, []).append(node)
    return found

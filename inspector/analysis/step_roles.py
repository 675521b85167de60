"""The operations of a run's steps by the part they play, which is the same at every step, and how they read."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from tinygrad_rnn import Graph, Scope, Tensor
from tinygrad_rnn.autodiff.ancestry import ancestors
from tinygrad_rnn.recurrent.inner import HELD
from tinygrad_rnn.recurrent.states import leaves_of
from tinygrad_rnn.recurrent.unroll import Run

from ..steps.labels import ATOM, formula, slice_label, symbol
from ..tracing.names import names_by_id
from ..tracing.values import parts_of, recorded_values
from .slips import listed

__all__ = ["Edge", "Layer", "Role", "Steps", "Words"]


class Role(NamedTuple):
    """What an operation is in every step of a layer: the how-manieth of its kind."""

    op: str
    number: int


class Edge(NamedTuple):
    """What flows back from an operation of a step into one of its operands.

    `kind` says what the operand is: an ``"inner"`` value of the same step, a ``"state"`` of the step before, an
    ``"input"``, something made of ``"weights"`` alone, or ``"other"``.
    """

    role: Role
    operand: int
    kind: str


class Layer:
    """The steps of a single cell, in the order in which it reads.

    Attributes
    ----------
    prefix : str
        Of its names: ``layer0/``, ``forward/`` or nothing.
    run : Run
    states : list of T + 1 states
        Those that enter the steps, and the last one.
    nodes : list of T lists of Tensor
        The operations of every step, oldest first.
    roles : dict of Role to dict of int to Tensor
        The operation that plays a part, by the number of the step.
    """

    def __init__(self, prefix: str, run: Run, nodes: dict[Scope, list[Tensor]]) -> None:
        self.prefix, self.run = prefix, run
        order = range(len(run))[:: -1 if run.reverse else 1]
        self.times = list(order)
        self.states = [run.initial_state, *(run.states[t] for t in order)]
        self.nodes = [nodes.get(run.scopes[t], []) for t in order]
        self.roles: dict[Role, dict[int, Tensor]] = defaultdict(dict)
        for k, operations in enumerate(self.nodes):
            seen: Counter[str] = Counter()
            for node in operations:
                assert node.op is not None
                self.roles[Role(node.op.name, seen[node.op.name])][k] = node
                seen[node.op.name] += 1

    def entering(self, k: int) -> dict[int, str]:
        """The names of the states that enter step `k`, by Tensor id; cut off from their history, too."""
        found = {leaf.id: name for name, leaf in zip(self.fields, leaves_of(self.states[k]), strict=True)}
        for node in self.nodes[k]:
            if node.op is not None and node.op.name == "stop_gradient" and _id(node.inputs[0]) in found:
                found[node.id] = found[node.inputs[0].id]
        return found

    def crossing(self, k: int, field: str | None = None) -> Iterator[tuple[int, int]]:
        """The edges from step `k` into the states that enter it, or one of them: id of the operation, operand."""
        entering = self.entering(k)
        for node in self.nodes[k]:
            for operand, value in enumerate(node.inputs):
                name = entering.get(_id(value))
                if name is not None and node.id not in entering and field in (None, name):
                    yield node.id, operand

    @property
    def label(self) -> str:
        """What stands in front of what is said about one of several layers."""
        return f"{self.prefix.removesuffix('/')}: " if self.prefix else ""

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the states."""
        names: tuple[str, ...] = self.run.initial_state._fields
        return names


class Steps:
    """What a run's steps are made of.

    Attributes
    ----------
    layers : list of Layer
    weights : set of int
        Ids of parameters, and of what is made of parameters alone.
    outside : list of Tensor
        What the loss was computed with, and no step depends on.
    """

    def __init__(self, run: Run, loss: Tensor) -> None:
        self.run, self.loss = run, loss
        states = [leaf for part in run.cells for state in part.states for leaf in leaves_of(state)]
        everything = ancestors([loss, *recorded_values(run).values(), *states])
        steps = {scope for part in run.cells for scope in part.scopes}
        known: dict[Scope | None, Scope | None] = {None: None}
        nodes: dict[Scope, list[Tensor]] = defaultdict(list)
        self.weights = {parameter.id for parameter in run.cell.parameters()}
        self.readers: Counter[int] = Counter()
        for node in everything:
            if node.scope not in known:
                known[node.scope] = node.scope.step if node.scope.step in steps else None
            step = known[node.scope]
            if node.op is not None and step is not None:
                nodes[step].append(node)
            operands = [value.id for value in node.inputs if isinstance(value, Tensor)]
            if operands and self.weights.issuperset(operands):
                self.weights.add(node.id)
        self.layers = [Layer(prefix, part, nodes) for prefix, part in parts_of(run)]
        self.owned = {node.id for layer in self.layers for step in layer.nodes for node in step}
        self.outside = self._outside(ancestors([loss]))

    def _outside(self, behind: list[Tensor]) -> list[Tensor]:
        inside: set[int] = set()
        for node in reversed(behind):
            self.readers.update(value.id for value in node.inputs if isinstance(value, Tensor))
            if node.id in inside or node.id in self.owned:
                inside.update(value.id for value in (node, *node.inputs) if isinstance(value, Tensor))
        return [node for node in behind if node.id not in inside]

    def edges(self, layer: Layer) -> Iterator[Edge]:
        """The differentiable edges of a step, read off one in the middle."""
        k = len(layer.nodes) // 2
        entering, own = layer.entering(k), {node.id for node in layer.nodes[k]}
        for role, nodes in layer.roles.items():
            op = nodes[k].op if k in nodes else None
            if op is None or not op.differentiable:
                continue
            for operand, value in enumerate(nodes[k].inputs):
                if op.rule(operand) is None or not isinstance(value, Tensor) or value.dtype.kind != "f":
                    continue
                kind = "weights" if value.id in self.weights else "state" if value.id in entering else "other"
                if kind == "other":
                    kind = (
                        "input" if value is layer.run.inputs[layer.times[k]] else "inner" if value.id in own else kind
                    )
                yield Edge(role, operand, kind)

    def is_link(self, layer: Layer, edge: Edge) -> bool:
        """Whether an edge is only the continuation of the edge that leads to it."""
        node = layer.roles[edge.role][len(layer.nodes) // 2]
        tensors = [value for value in node.inputs if isinstance(value, Tensor) and value.dtype.kind == "f"]
        return edge.kind == "inner" and len(tensors) == 1 and self.readers[node.id] == 1


class Words:
    """How the values of a step in the middle read."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self.graph = Graph([steps.loss, *(node for one in steps.layers for node in one.nodes[len(one.nodes) // 2])])
        self.names: dict[int, str] = {}
        given = names_by_id(steps.run)
        for layer in steps.layers:
            k = len(layer.nodes) // 2
            for node in layer.nodes[k]:
                if node.id in given:
                    own = given[node.id][0].removeprefix(layer.prefix)
                    self.names[node.id] = f"{own}ₜ" if own in layer.fields else own
                    if node.op is HELD and isinstance(node.inputs[1], Tensor):
                        self.names[node.inputs[1].id] = self.names[node.id]
            for key, name in layer.entering(k).items():
                self.names[key] = f"{name}ₜ₋₁"
            self.names.setdefault(layer.run.inputs[layer.times[k]].id, "xₜ")

    def of(self, value: Tensor) -> str:
        """The name of a value, or a formula of what has names."""
        node = self.graph.find(value)
        found = formula(node, self.graph, self._name, "…", depth=4)
        return found if found and len(found) < 60 else symbol(node.op)

    def edge(self, layer: Layer, edge: Edge) -> tuple[str, str]:
        """The two ends of an edge."""
        node = layer.roles[edge.role][len(layer.nodes) // 2]
        return self.of(node), self.of(node.inputs[edge.operand])

    def gradients(self, layer: Layer, edges: Iterable[Edge]) -> str:
        """The gradients by what some edges lead to."""
        return f"the gradient by {listed([*dict.fromkeys(self.edge(layer, edge)[1] for edge in edges)])}"

    def _name(self, node: Any) -> str | None:
        if node.tensor is not None and node.tensor.id in self.names:
            return self.names[node.tensor.id]
        if node.op == "getitem":
            whole = formula(self.graph.nodes[node.inputs[0]], self.graph, self._name, "…", depth=4, within=ATOM)
            return f"{whole}{slice_label(node.attributes['index'])}"
        return node.name if node.is_leaf else None


def _id(value: Any) -> int:
    return getattr(value, "id", -1)

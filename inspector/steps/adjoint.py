"""The backward step: how the cotangents of one timestep flow, on the operations that the reverse sweep recorded.

Every line carries the cotangent of a forward value, and every shape is an operation of a rule, a sum over the readers
of a value, or ``δf``, the whole gradient by the named value ``f``. What comes in from the next step, from the loss or
from a layer above enters by a port; what goes on to the step before, to the inputs or to the parameters leaves by one
or as a chip. Forward values that a rule reads are chips beside the operation that reads them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from tinygrad_rnn import Node, Scope, Tensor

from ..text import label_width, subscript
from ..tracing.trace import norm_of
from .chips import fold_into_shares, share
from .contributions import Contributions
from .factors import Factors
from .items import Item, Key, Link, Role, Step, entering
from .labels import Label, is_view, operation_label, slice_label
from .operations import Shapes, is_straight
from .reverse import Reverse, Use
from .source import Source

__all__ = ["adjoint_step"]

Norms = dict[tuple[int, int], float]


def adjoint_step(
    source: Source, reverse: Reverse, t: int, layers: frozenset[Scope], norms: Norms
) -> tuple[Step, dict[str, Link]]:
    """Timestep `t` of the reverse sweep.

    Parameters
    ----------
    source : Source
        Its graph holds the recorded sweep too.
    reverse : Reverse
    t : int
    layers : frozenset of Scope
        The steps of all layers that are drawn.
    norms : dict
        Gets the norm of every cotangent that a line carries, by the line's edge.

    Returns
    -------
    step : Step
        Its states are those that leave, towards the step before.
    links : dict of state to Link
        What carries them on if there is no step before.
    """
    return _Adjoint(source, reverse, t, layers, norms).step()


class _Flow(NamedTuple):
    """Where a line starts, and the cotangents whose sum it carries."""

    key: Key
    parts: tuple[Tensor, ...]


class _Adjoint(Shapes):
    """Walks the operations of one timestep, newest first, as the sweep does."""

    def __init__(self, source: Source, reverse: Reverse, t: int, layers: frozenset[Scope], norms: Norms) -> None:
        super().__init__(source, t)
        self.reverse, self.norms = reverse, norms
        self.contributions = Contributions(self.run, reverse, t, layers)
        self.factors = Factors(self)
        self.given: dict[int, Key] = {}
        self.attached: dict[Key, list[Node]] = {}
        self.seed: Item | None = None
        self.joined: Node | None = None
        self.leaving: list[Use] = []

    def step(self) -> tuple[Step, dict[str, Link]]:
        for node in reversed(self.source.nodes[self.t]):
            if node.tensor is not None and not node.is_leaf and node.tensor.id in self.reverse.totals:
                self._visit(node, node.tensor)
        flows = {state: self._sum_passed_on(value, state) for state, value in _distinct(self.before)}
        states = {state: flow for state, flow in flows.items() if flow is not None}
        output = self._input_gradient()
        self._add_shares()
        totals = tuple((state, self.given.get(value.id)) for state, value in self.states.items())
        items = tuple(
            fold_into_shares([replace(i, nodes=(*i.nodes, *self.attached.get(i.key, ()))) for i in self.items])
        )
        keys = tuple((state, flow.key) for state, flow in states.items())
        step = Step(self.source.layer, self.t, items, keys, output, self.seed, totals, self.joined)
        return step, {state: self._link(flow) for state, flow in states.items()}

    # ------------------------------------------------------------------------------- one forward node

    def _visit(self, node: Node, value: Tensor) -> None:
        """The cotangent of `node`, and the operations of its rule."""
        owner = self.source.owners.get(node.index)
        flow = self._sum(*self._arriving(value), owner)
        name = self.names.get(value.id)
        if name is not None:
            self._weigh((self._total(value),), _norm(flow))
            key = self._key(Key("gradient", name))
            item = self.named_value(key, name, node, self._link(flow), self._total(value), "δ")
            self.items.append(item)
            flow = flow._replace(key=item.key)
        self.given[value.id] = self.at[self._total(value).index] = flow.key
        for recorded in self.reverse.rules.get(value.id, ()):
            self._add(self.graph.find(recorded), owner, node)
        self.leaving += [use for use in self.reverse.gives.get(value.id, ()) if not self._is_own(use.value)]

    def _total(self, value: Tensor) -> Node:
        return self.graph.find(self.reverse.totals[value.id])

    def _is_own(self, value: Tensor) -> bool:
        return value.op is not None and value.scope is not None and value.scope.step is self.run.scopes[self.t]

    def _arriving(self, value: Tensor) -> tuple[list[_Flow], list[Tensor | None]]:
        """The lines that are added up to the cotangent of `value`, and the additions that it takes."""
        readers = self.contributions.to(value)
        flows = self._by_state(value, readers.later)
        flows += [self._from_elsewhere(value, group) for group in readers.elsewhere]
        flows += [self._flow(use) for use in readers.own]
        return flows, self.contributions.additions(readers)

    def _by_state(self, value: Tensor, later: Sequence[Use]) -> list[_Flow]:
        """The line that brings what later steps contribute, if the value leaves as a state."""
        state = next((name for name, other in self.states.items() if other is value), None)
        return [_Flow(entering(state), tuple(use.part for use in later))] if later and state is not None else []

    def _flow(self, use: Use) -> _Flow:
        """The line that carries what a reader in this step contributes."""
        if use.part is self.reverse.totals[use.consumer.id]:
            return _Flow(self.given[use.consumer.id], (use.part,))
        return _Flow(self.at[self.graph.find(use.part).index], (use.part,))

    # --------------------------------------------------------------------------------- between steps

    def _sum_passed_on(self, value: Tensor, owner: str | None = None) -> _Flow | None:
        """What this step passes on to a value in front of it: its own contributions, and what passes through."""
        readers = self.contributions.to(value)
        passing = self._by_state(value, readers.later)
        flows = [*passing, *(self._flow(use) for use in readers.own)]
        self.leaving = [use for use in self.leaving if use.value is not value]
        additions = [use.sum for use in (readers.own if passing else readers.own[1:])]
        return self._sum(flows, additions, owner) if flows else None

    def _from_elsewhere(self, value: Tensor, uses: list[Use]) -> _Flow:
        """What the loss, another layer or a step that is no neighbour adds: by the port for the output, or a
        stand-in.
        """
        nodes = tuple(self.graph.find(use.sum) for use in uses[1:] if use.sum is not None)
        origin = self.contributions.origin(uses[0])
        name = self.names.get(value.id, "·")
        label = Label(f"∂L/∂{name}", time=subscript(self.t) if name in (*self.states, self.output) else "")
        if isinstance(origin, int):
            label = Label(f"from t = {abs(origin)}")
        key, width = self._key(Key("outside", str(label))), label_width(str(label), 12) + 14
        item = Item(key, "ellipse", label, "loss", (width, 20.0), (), nodes)
        parts = tuple(use.part for use in uses)
        if value is self.run.outputs[self.t] and not isinstance(origin, int) and self.seed is None:
            self.seed = replace(
                item, size=(item.size[0], 28.0), value=self.graph.find(value) if origin == "layer" else None
            )
            reader = uses[0].consumer
            self.joined = (
                self.graph.find(reader) if origin == "loss" and len(uses) == 1 and reader in self.graph else None
            )
            return _Flow(entering("x"), parts)
        self.items.append(item)
        return _Flow(item.key, parts)

    # ------------------------------------------------------------------------------------- operations

    def _add(self, node: Node, owner: str | None, rule: Node) -> None:
        """One operation of the rule of `rule`."""
        lines = [index for index in node.inputs if index in self.at]
        if not lines:
            self.factors.put_aside(node)
            return
        if is_view(node):
            self.at[node.index] = self.at[lines[0]]
            self.attached.setdefault(self.at[lines[0]], []).append(node)
            return
        chips = [self._chip(index, rule) for index in dict.fromkeys(node.inputs) if index not in self.at]
        label = self._operation_label(node)
        key = self._key(Key("rule", node.op, owner))
        folded = self.factors.take(index for index in node.inputs if index in self.labels)
        links = [self._link(_Flow(self.at[index], (self._tensor(index),))) for index in lines]
        links += [Link(chip, None) for chip in chips if chip is not None]
        straight = is_straight(node) and is_straight(rule)
        self.items.append(self.operation(key, label, owner, links, (node, *folded), straight))
        self.at[node.index] = key
        self._weigh((node,), norm_of(node.value))

    def _weigh(self, nodes: tuple[Node, ...], norm: float) -> None:
        """What colours the border of a shape that stands for `nodes`."""
        if nodes and nodes[0].tensor is not None:
            self.norms[nodes[0].tensor.id, -1] = norm

    def _tensor(self, index: int) -> Tensor:
        tensor = self.graph.nodes[index].tensor
        assert tensor is not None
        return tensor

    def _chip(self, index: int, rule: Node) -> Key | None:
        """The forward value, or what was made of some, that an operation reads; ``None`` if its label says it."""
        node = self.graph.nodes[index]
        fixed = self.factors.fixed(node)
        if fixed is not None:
            self.labels[index] = fixed
            return None
        label, role = Label(self.factors.label(node, rule)), self.factors.role(node, rule)
        made = self.factors.take([index])
        key, size = self._key(Key("factor", label.full)), (max(24.0, label_width(str(label), 10) + 10), 17.0)
        value = None if made else node
        self.items.append(Item(key, "ellipse", label, role, size, (), made, value=value, beside=True))
        return key

    def _operation_label(self, node: Node) -> Label:
        """The label of an operation on a cotangent."""
        if node.op == "scatter":
            return Label("←", slice_label(node.attributes.get("index")), leads=True)
        if node.op == "matmul":
            weight = next((self.labels[index] for index in node.inputs if index in self.labels), None)
            if weight is not None:
                return Label("·", f"{weight}ᵀ", leads=True)
            return Label("⊗" if node.inputs[1] in self.at else "·")
        return operation_label(node.primitive, [self.labels.get(index) for index in node.inputs])

    # ----------------------------------------------------------------------------------- what leaves

    def _input_gradient(self) -> Key | None:
        """The gradient by the input, outside the frame; its key, if the loss depends on it."""
        x = self.run.inputs[self.t]
        flow = self._sum_passed_on(x)
        if flow is None:
            return None
        key, label = self._key(Key("gradient", "x")), Label("δx", time=subscript(self.t))
        self.items.append(
            Item(key, "circle", label, "input", (34.0, 34.0), (self._link(flow),), value=self.graph.find(x))
        )
        return key

    def _add_shares(self) -> None:
        """What this step adds to the gradients of parameters and of whatever else lies outside."""
        for value in dict.fromkeys(self.graph.find(use.value) for use in self.leaving):
            assert value.tensor is not None
            flow = self._sum_passed_on(value.tensor)
            assert flow is not None
            name = self.factors.name(value) or value.op
            role: Role = "parameter" if value.op == "parameter" else "value"
            self.items.append(share(self._key(Key("gradient", name)), Label(f"δ{name}"), role, self._link(flow)))

    # -------------------------------------------------------------------------------------- lines

    def _sum(self, flows: list[_Flow], sums: Iterable[Tensor | None], owner: str | None) -> _Flow:
        """One line for several: the sum of what they carry."""
        if len(flows) == 1:
            return flows[0]
        key = self._key(Key("rule", "sum", owner))
        nodes = tuple(self.graph.find(one) for one in sums if one is not None)
        links = tuple(self._link(flow) for flow in flows)
        self.items.append(self.operation(key, Label("+"), owner, links, nodes, True))
        total = _Flow(key, tuple(part for flow in flows for part in flow.parts))
        self._weigh(nodes, _norm(total))
        return total

    def _link(self, flow: _Flow) -> Link:
        """A line that is coloured by the norm of what it carries."""
        first = flow.parts[0]
        edge = (first.id, -1) if len(flow.parts) == 1 else (first.id, -2 - len(self.norms))
        self.norms[edge] = _norm(flow)
        return Link(flow.key, edge)


def _norm(flow: _Flow) -> float:
    total = sum((part.data for part in flow.parts[1:]), flow.parts[0].data)
    return norm_of(total)


def _distinct(states: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Each value once, under its first name."""
    seen: set[int] = set()
    for name, value in states.items():
        if value.id not in seen:
            seen.add(value.id)
            yield name, value

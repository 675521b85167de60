"""Steps that are alike are found out once: the others are copies that show nodes of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from tinygrad_rnn import Graph, Node

from ..text import subscript
from .items import Item, Link, Step, copied
from .labels import is_view
from .operations import operation_step
from .source import Source

__all__ = ["steps_of"]

_PLAIN = (bool, int, float, str, slice, type(None))


def steps_of(source: Source, timesteps: Iterable[int], detail: Callable[[Step], Step]) -> Iterator[Step]:
    """What `detail` makes of the operations of each of the timesteps."""
    kinds: dict[tuple[object, ...], _Kind] = {}
    for t in timesteps:
        nodes = _nodes(source, t)
        kind = _signature(source, t, nodes)
        if kind in kinds:
            yield kinds[kind].step(t, nodes)
        else:
            step = detail(operation_step(source, t))
            kinds[kind] = _Kind(step, nodes)
            yield step


class _Nodes(NamedTuple):
    """The nodes that tell a step from others: those that enter it, with their ports, and its own."""

    ports: dict[str, Node]
    own: list[Node]

    def all(self) -> list[Node]:
        return [*self.ports.values(), *self.own]


def _nodes(source: Source, t: int) -> _Nodes:
    graph = source.graph
    entering = {**source.states_before(t), "x": source.run.inputs[t]}
    ports = {name: graph.find(value) for name, value in entering.items() if value in graph}
    return _Nodes(ports, source.nodes[t])


def _signature(source: Source, t: int, nodes: _Nodes) -> tuple[object, ...]:
    """All that the items of a step depend on, but for which nodes they show and when.

    Nodes of the step, and those that enter it, are told by their places, all others by their own numbers. Where no
    gradient flows is the operation's matter.
    """
    graph, run, ports = source.graph, source.run, nodes.ports
    place: dict[int, object] = {node.index: k for k, node in enumerate(nodes.own)}
    place.update((node.index, name) for name, node in ports.items())
    names, owners = source.names.get(t, {}), source.owners
    rows: list[tuple[object, ...]] = []
    for node in nodes.own:
        index, tensor, inputs = node.index, node.tensor, node.inputs
        rows.append(
            (
                node.op,
                node.name,
                node.shape,
                node.dtype,
                owners.get(index),
                None if tensor is None else names.get(tensor.id),
                tuple([place.get(k, -1 - k) for k in inputs]),
                tuple([(key, _setting(value)) for key, value in node.attributes.items()]) if node.attributes else (),
                None if inputs else node.value.tobytes() if node.op == "constant" else -1 - index,
                place[index],
            )
        )
    entered = [(name, _is_learned(node, graph)) for name, node in ports.items()]
    output = run.outputs[t]
    left = {**run.states[t]._asdict(), "": output}
    leaving = [(name, _place(source, value, place)) for name, value in left.items()]
    return (*rows, *entered, *leaving)


def _is_learned(node: Node, graph: Graph) -> bool:
    """Whether it is a parameter, or shows one in another shape."""
    operands = [graph.nodes[k] for k in node.inputs] if is_view(node) else []
    return any(one.op == "parameter" for one in (node, *operands))


def _place(source: Source, value: Any, place: dict[int, object]) -> object:
    if value not in source.graph:
        return None
    index = source.graph.find(value).index
    return place.get(index, -1 - index)


def _setting(value: object) -> object:
    """What tells a setting of an operation from others; of what may be large that is which object it is."""
    parts = value if isinstance(value, tuple) else (value,)
    return repr(value) if all(isinstance(part, _PLAIN) for part in parts) else id(value)


class _Kind:
    """A step, and where the nodes come from that its items show."""

    def __init__(self, step: Step, nodes: _Nodes) -> None:
        self.pattern = step
        self.nodes = {node.index: k for k, node in enumerate(nodes.all())}
        self.tensors = {node.tensor.id: k for k, node in enumerate(nodes.all()) if node.tensor is not None}
        self.items = [self._places(item) for item in step.items]

    def _places(self, item: Item) -> tuple[Item, list[int | Node], int | Node | None, list[_Place]]:
        shown = [self.nodes.get(node.index, node) for node in item.nodes]
        value = None if item.value is None else self.nodes.get(item.value.index, item.value)
        return item, shown, value, [self._link(link) for link in item.links]

    def _link(self, link: Link) -> _Place:
        consumer = None if link.edge is None else self.tensors.get(link.edge[0])
        return link, consumer, self.nodes.get(link.node)

    def step(self, t: int, nodes: _Nodes) -> Step:
        """The same step at another time."""
        pattern, new, time = self.pattern, nodes.all(), subscript(t)
        items = []
        for item, shown, value, links in self.items:
            label = item.label._replace(time=time) if item.key.kind == "value" and item.label.time else item.label
            changed = {
                "label": label,
                "links": tuple([_linked(*link, new) for link in links]),
                "nodes": tuple([new[node] if isinstance(node, int) else node for node in shown]),
                "value": new[value] if isinstance(value, int) else value,
            }
            items.append(copied(item, changed))
        copy = Step(pattern.layer, t, tuple(items), pattern.states, pattern.output, pattern=pattern)
        vars(copy).update(shape=pattern.shape, ids=pattern.ids)  # neither depends on nodes
        return copy


_Place = tuple[Link, "int | None", "int | None"]
"""A link, and the places of its consumer and of the node whose value it carries."""


def _linked(link: Link, consumer: int | None, carried: int | None, new: list[Node]) -> Link:
    source, edge, cut, layer, node = link
    if consumer is not None and edge is not None:
        tensor = new[consumer].tensor
        assert tensor is not None
        edge = (tensor.id, edge[1])
    return Link(source, edge, cut, layer, node if carried is None else new[carried].index)

"""What the rules of a timestep multiply cotangents by: forward values, and what is made of some on the way."""

from __future__ import annotations

from collections.abc import Iterable

from tinygrad_rnn import Node

from ..text import subscript
from .items import Role
from .labels import formula, is_view, slice_label, symbol
from .operations import Shapes

__all__ = ["Factors"]

_FEW = 12


class Factors:
    """How forward values read beside the operations of one timestep's rules, and what was made of them."""

    def __init__(self, shapes: Shapes) -> None:
        self.shapes, self.graph = shapes, shapes.graph
        self.made: dict[int, tuple[Node, ...]] = {}

    def put_aside(self, node: Node) -> None:
        """Keep an operation on forward values alone for the one that reads it."""
        self.made[node.index] = (node, *self.take(node.inputs))

    def take(self, indices: Iterable[int]) -> tuple[Node, ...]:
        """The operations that were put aside for these values."""
        return tuple(node for index in dict.fromkeys(indices) for node in self.made.pop(index, ()))

    def fixed(self, node: Node) -> str | None:
        """What is made of parameters and constants alone, for the label of its reader; ``None`` for anything else."""
        if not self._is_fixed(node):
            return None
        return formula(node, self.graph, self.name) or ("mask" if node.dtype.kind == "b" else "c")

    def label(self, node: Node, rule: Node) -> str:
        """A value that the rule of `rule` reads, in a few signs."""
        short = formula(node, self.graph, self.name)
        if short is not None:
            return short
        if node.index in self.made:
            return f"{symbol(rule.op)}′"
        while is_view(node):
            node = self.graph.nodes[node.inputs[0]]
        return slice_label(node.attributes.get("index")) if node.op == "getitem" else symbol(node.op)

    def name(self, node: Node) -> str | None:
        """The name of a forward value, with its timestep where that matters."""
        shapes, tensor = self.shapes, node.tensor
        if tensor is not None and tensor.id in shapes.names:
            name = shapes.names[tensor.id]
            return name + subscript(shapes.t) if name in (*shapes.states, shapes.output) else name
        if tensor is not None and tensor is shapes.run.inputs[shapes.t]:
            return f"x{subscript(shapes.t)}"
        if node.name is None or node.op == "parameter" or node.timestep is None:
            return node.name
        return node.name + subscript(node.timestep)

    def role(self, node: Node, rule: Node) -> Role:
        """That of the value, or of the operation whose derivative was made of it."""
        shapes, made = self.shapes, node.index in self.made
        while is_view(node) and node.name is None:
            node = self.graph.nodes[node.inputs[0]]
        tensor = node.tensor
        if tensor is not None and any(tensor is value for value in (*shapes.before.values(), *shapes.states.values())):
            return "hidden" if node.name == shapes.output and len(shapes.states) > 1 else "cell"
        if tensor is shapes.run.inputs[shapes.t]:
            return "input"
        return shapes.role_of(shapes.source.owners.get(rule.index if made else node.index))

    def _is_fixed(self, node: Node) -> bool:
        stack, seen = [node], {node.index}
        while stack:
            one = stack.pop()
            if one.op == "input" or (one.name is not None and not one.is_leaf):
                return False
            stack += [self.graph.nodes[k] for k in one.inputs if k not in seen]
            seen.update(one.inputs)
            if len(seen) > _FEW:
                return False
        return True

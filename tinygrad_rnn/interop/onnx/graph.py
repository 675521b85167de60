"""A model's graph as it is evaluated: nodes in order, each with its operator and attributes, and what runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...autodiff.scope import Scope, context, using
from ...autodiff.tensor import Tensor
from ..weights import printable
from .operators import Operator, Place, bounded

__all__ = ["Body", "Graph", "Node"]


@dataclass(frozen=True, slots=True)
class Node:
    """One node.

    Attributes
    ----------
    name : str
        Of its own; that of its first output if it has none.
    kind : str
    version : int
        Of the operator: the opset in which it last changed.
    inputs, outputs : tuple of str
        Names of values; empty where one is left out.
    attributes : dict
        With the defaults of the version; a subgraph is a :class:`Graph`.
    operator : Operator
    layers : tuple of str
        The modules in which it stands, outermost first.
    """

    name: str
    kind: str
    version: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]
    operator: Operator
    layers: tuple[str, ...] = ()

    @property
    def graphs(self) -> list[Graph]:
        """Its subgraphs."""
        return [value for value in self.attributes.values() if isinstance(value, Graph)]

    @property
    def reads(self) -> set[str]:
        """Every value it needs, those of its subgraphs included."""
        return {name for name in self.inputs if name}.union(*[graph.captures for graph in self.graphs])


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes in an order in which they can run.

    Attributes
    ----------
    inputs, outputs : tuple of str
    nodes : tuple of Node
    captures : frozenset of str
        Values from around it, which it reads.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    captures: frozenset[str] = field(default=frozenset())

    def run(self, values: dict[str, Any], who: str, runs: dict[str, Any]) -> list[Any]:
        """The outputs; `values` are those of inputs and captures by name, and get those of the nodes."""
        around = context.get().scope
        scopes: dict[tuple[str, ...], Scope | None] = {(): around}
        for node in self.nodes:
            with using(scope=_scope(node.layers, scopes)):
                results = apply(node, values, who, runs)
            for name, value in zip(node.outputs, results, strict=False):
                if name:
                    values[name] = value
        return [values[name] for name in self.outputs]


def _scope(layers: tuple[str, ...], known: dict[tuple[str, ...], Scope | None]) -> Scope | None:
    if layers not in known:
        known[layers] = Scope(_scope(layers[:-1], known), "layer", layers[-1])
    return known[layers]


def apply(node: Node, values: Mapping[str, Any], who: str, runs: dict[str, Any]) -> Sequence[Any]:
    """The results of one node.

    Raises
    ------
    ValueError
        Naming file, node and operator.
    """
    operands = [values[name] if name else None for name in node.inputs]
    attributes = {
        key: Body(value, values, who, runs) if isinstance(value, Graph) else value
        for key, value in node.attributes.items()
    }
    try:
        results = node.operator.call(operands, attributes, Place(node.name, node.version, node.outputs, runs))
        for value in results:
            if isinstance(getattr(value, "shape", None), tuple):
                bounded(value.shape)
    except (ValueError, TypeError, IndexError, KeyError, ArithmeticError, AttributeError, MemoryError) as error:
        if isinstance(error, NodeError):
            raise
        shapes = ", ".join(str(getattr(x, "shape", "-")) for x in operands)
        raise NodeError(
            f"{who}: node {printable(node.name)} ({node.kind}) of shapes {shapes or 'none'}: {printable(str(error))}"
        ) from error
    for name, value in zip(node.outputs, results, strict=False):
        if type(value) is Tensor and value.name is None and value.op is not None:
            value.name = name
    return results


class NodeError(ValueError):
    """What went wrong in a node; named once, at the innermost."""


class Body:
    """A subgraph where it is called: operators such as If get it for their attribute, and call it with its inputs.

    Attributes
    ----------
    graph : Graph
    inputs, outputs : tuple of str
    captured : dict of str to value
        What it reads from around it.
    """

    def __init__(self, graph: Graph, values: Mapping[str, Any], who: str, runs: dict[str, Any]) -> None:
        self.graph = graph
        self.inputs, self.outputs = graph.inputs, graph.outputs
        self.captured = {name: values[name] for name in graph.captures}
        self._who, self._runs = who, runs

    def __call__(self, *inputs: Any) -> list[Any]:
        """The outputs for these inputs."""
        if len(inputs) != len(self.inputs):
            raise ValueError(f"the subgraph takes {len(self.inputs)} inputs, got {len(inputs)}")
        values = {**self.captured, **dict(zip(self.inputs, inputs, strict=True))}
        return self.graph.run(values, self._who, self._runs)

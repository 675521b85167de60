"""A model's graph as it is evaluated: nodes in order, each with its operator and attributes, and what runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from ...autodiff.scope import Scope, context, using
from ...autodiff.tensor import Tensor
from ...compiler.errors import UntraceableError
from ..weights import printable
from .operators import Operator, Place, Runs, bounded

__all__ = ["Body", "Circle", "Graph", "Node", "apply", "ordered"]

Watch = Callable[["Node", list[Any]], None]


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
    layers : tuple of str or None
        The modules in which it stands, outermost first; None while they are not known.
    is_named : bool
        Whether the file has a name for it.
    line : str
        Of source, from which it was exported; empty if the file does not say.
    """

    name: str
    kind: str
    version: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]
    operator: Operator
    layers: tuple[str, ...] | None = ()
    is_named: bool = False
    line: str = ""

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
    labels : dict of str to str
        What the file calls the inputs and outputs.
    empty : tuple of array or None
        By output one of no elements along an axis in front, as a Loop of no iterations gives it; None for what is no
        tensor.
    fixed : set of str
        The values of the whole model that depend on its initialisers alone.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    captures: frozenset[str] = field(default=frozenset())
    labels: Mapping[str, str] = field(default_factory=dict)
    empty: tuple[Any, ...] = ()
    fixed: Set[str] = field(default_factory=set)

    def unchanged(self, first: int, result: int, count: int) -> list[int]:
        """Which of `count` inputs from place `first` on are handed on as they are, as outputs from `result` on."""
        source = {node.outputs[0]: node.inputs[0] for node in self.nodes if node.kind == "Identity"}
        found = []
        for k, name in enumerate(self.outputs[result : result + count]):
            while name in source:
                name = source[name]
            if name == self.inputs[first + k]:
                found.append(k)
        return found

    def run(self, values: dict[str, Any], who: str, runs: Runs, watch: Watch | None = None) -> list[Any]:
        """The outputs.

        Parameters
        ----------
        values : dict
            Those of inputs and captures by name; gets those of the nodes.
        who : str
            The file, for errors.
        runs : Runs
        watch : function, optional
            Of a node and its results, which it may replace. Layers are left out then.
        """
        around = context.get().scope
        scopes: dict[tuple[str, ...], Scope | None] = {(): around}
        for node in self.nodes:
            runs.spend()
            with using(scope=_scope(() if watch else node.layers or (), scopes)):
                results = apply(node, values, who, runs)
            if watch:
                watch(node, results)
            for name, value in zip(node.outputs, results, strict=False):
                if name:
                    values[name] = value
        return [values[name] for name in self.outputs]


class Circle(Exception):
    """Nodes wait for one another; holds the name of one."""


def ordered(nodes: Sequence[Node]) -> list[Node]:
    """Nodes behind those whose values they read.

    Raises
    ------
    Circle
    """
    maker = {name: k for k, node in enumerate(nodes) for name in node.outputs if name}
    needs = [{maker[name] for name in node.reads if name in maker} for node in nodes]
    found: list[Node] = []
    done: set[int] = set()
    readers: dict[int, list[int]] = {}
    for k, wanted in enumerate(needs):
        for other in wanted:
            readers.setdefault(other, []).append(k)
    ready = [k for k in reversed(range(len(nodes))) if not needs[k]]
    while ready:
        k = ready.pop()
        done.add(k)
        found.append(nodes[k])
        for reader in reversed(readers.get(k, [])):
            needs[reader].discard(k)
            if not needs[reader]:
                ready.append(reader)
    if len(found) < len(nodes):
        raise Circle(next(node.name for k, node in enumerate(nodes) if k not in done))
    return found


def _scope(layers: tuple[str, ...], known: dict[tuple[str, ...], Scope | None]) -> Scope | None:
    if layers not in known:
        known[layers] = Scope(_scope(layers[:-1], known), "layer", layers[-1])
    return known[layers]


def apply(node: Node, values: Mapping[str, Any], who: str, runs: Runs) -> list[Any]:
    """The results of one node.

    Raises
    ------
    ValueError
        Naming file, node and operator.
    """
    operands = [values[name] if name else None for name in node.inputs]
    attributes = {
        key: Body(value, {name: values[name] for name in value.captures}, who, runs)
        if isinstance(value, Graph)
        else value
        for key, value in node.attributes.items()
    }
    try:
        results = node.operator.call(operands, attributes, Place(node.name, node.version, node.outputs, runs))
        if any(node.outputs[len(results) :]):
            raise ValueError(f"gives {len(results)} of {len(node.outputs)} values")
        for value in results:
            if isinstance(getattr(value, "shape", None), tuple):
                bounded(value.shape)
    except (ValueError, TypeError, IndexError, KeyError, ArithmeticError, AttributeError, MemoryError) as error:
        if isinstance(error, (NodeError, UntraceableError)):
            raise
        shapes = ", ".join(str(getattr(x, "shape", "-")) for x in operands)
        line = f", of {printable(node.line)}" if node.line else ""
        raise NodeError(
            f"{who}: node {printable(node.name)} ({node.kind}) of shapes {shapes or 'none'}{line}:"
            f" {printable(str(error))}"
        ) from error
    for name, value in zip(node.outputs, results, strict=False):
        if type(value) is Tensor and value.name is None and value.op is not None:
            value.name = name
    return results


class NodeError(ValueError):
    """What went wrong in a node; named once, at the innermost."""


@dataclass(frozen=True, slots=True)
class Body:
    """A subgraph where it is called: operators such as If get it for their attribute, and call it with its inputs.

    Attributes
    ----------
    graph : Graph
    captured : mapping of str to value
        What it reads from around it.
    who : str
    runs : Runs
    """

    graph: Graph
    captured: Mapping[str, Any]
    who: str
    runs: Runs

    def __call__(self, *inputs: Any) -> list[Any]:
        """The outputs for these inputs."""
        if len(inputs) != len(self.graph.inputs):
            raise ValueError(f"the subgraph takes {len(self.graph.inputs)} inputs, got {len(inputs)}")
        values = {**self.captured, **dict(zip(self.graph.inputs, inputs, strict=True))}
        return self.graph.run(values, self.who, self.runs)

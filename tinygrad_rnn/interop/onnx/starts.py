"""From what loops start: zeros, which nobody learns, and what exporters computed of them ahead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .graph import Graph, Node
from .recognise import KIND
from .wiring import MOVES, is_zero

__all__ = ["is_read", "kind_of", "matrices_of_zeros", "products_of_zeros", "with_products", "zeros_to_start_from"]


def products_of_zeros(graph: Graph, parameters: Mapping[str, Any]) -> list[tuple[Node, Any]]:
    """Products that are missing: PyTorch's newer exporter computes that of the first step if its state is zeros, and
    keeps the bias in every row.

    Parameters
    ----------
    graph : Graph
    parameters : mapping of str to array

    Returns
    -------
    list of (Node, array)
        The node whose result a parameter holds, and its first operand, which is to be known by that node's first input.
    """
    affine: dict[tuple[str, str], list[Node]] = {}
    for node in graph.nodes:
        weights = node.inputs[1:]
        is_plain = node.kind == "Gemm" and not node.attributes["transA"]
        if is_plain and len(weights) == 2 and parameters.keys() >= set(weights) and _are_one(node):
            affine.setdefault((weights[0], weights[1]), []).append(node)
    found = []
    for name, value in parameters.items():
        if value.ndim != 2 or name in graph.outputs:
            continue
        fits = [nodes[0] for (w, b), nodes in affine.items() if len(nodes) > 1 and _is_in_rows(parameters[b], value)]
        if len(fits) == 1:
            (node,) = fits
            start, outputs = f"{name}@start", (name,)
            size = parameters[node.inputs[1]].shape[1 if node.attributes["transB"] else 0]
            zeros = np.zeros((len(value), size), value.dtype)
            found.append((replace(node, name=name, inputs=(start, *node.inputs[1:]), outputs=outputs), zeros))
    return found


def _are_one(node: Node) -> bool:
    return bool(node.attributes["alpha"] == node.attributes["beta"] == 1)


def _is_in_rows(bias: Any, value: Any) -> bool:
    return bias.shape == value.shape[1:] and bias.dtype == value.dtype and bool(np.any(bias) and np.all(value == bias))


def with_products(graph: Graph, products: Sequence[Node]) -> Graph:
    """The graph with these nodes; what reads them, if nothing says where it stands, stands where they do."""
    layers = {node.outputs[0]: node.layers for node in products}
    nodes = [
        replace(n, layers=n.layers or layers[n.inputs[0]]) if {*n.inputs[:1]} & layers.keys() else n
        for n in graph.nodes
    ]
    return replace(graph, nodes=(*products, *nodes))


def matrices_of_zeros(graph: Graph, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that may be found to be states before a first step; some exporters write one per reader."""
    inside = frozenset[str]().union(*[inner.captures for node in graph.nodes for inner in node.graphs])
    taken = inside.union(graph.outputs)
    return {name: value for name, value in parameters.items() if is_zero(value) and name not in taken}


def kind_of(value: Any) -> tuple[Any, ...]:
    """Arrays of zeros of the same kind are the same."""
    return value.dtype, value.shape


def is_read(graph: Graph, name: str) -> bool:
    """Whether a node, one of a subgraph, or who called reads a value."""
    return name in graph.outputs or any(name in node.reads for node in graph.nodes)


def zeros_to_start_from(graph: Graph, parameters: Mapping[str, Any]) -> set[str]:
    """The parameters that are zero, and nothing but the state before the first step of a recurrent node or loop."""
    origin = {name: name for name, value in parameters.items() if value.size and not np.any(value)}
    used, other = Counter[str](), set[str]()
    for node, starts in _nodes(graph):
        for place, name in enumerate(node.inputs):
            if name not in origin:
                continue
            if place in starts:
                used[origin[name]] += 1
            elif place == 0 and node.kind in MOVES | {"Expand"}:
                origin.update(dict.fromkeys(node.outputs, origin[name]))
            else:
                other.add(origin[name])
    for inner in _graphs(graph):
        other.update(origin[name] for name in inner.outputs if name in origin)
    return used.keys() - other


def _nodes(graph: Graph) -> Iterator[tuple[Node, range]]:
    """All nodes, with the places of the inputs that are the state before the first step."""
    for inner in _graphs(graph):
        for node in inner.nodes:
            yield node, _starts(node)


def _graphs(graph: Graph) -> Iterator[Graph]:
    yield graph
    for node in graph.nodes:
        for inner in [node.attributes["body"]] if node.kind == KIND else node.graphs:
            yield from _graphs(inner)


def _starts(node: Node) -> range:
    count = len(node.inputs)
    if node.kind in ("RNN", "GRU", "LSTM"):
        return range(5, min(count, 7))
    if node.kind == "Loop":
        return range(2, count)
    if node.kind == "Scan":
        return range(count - node.attributes["num_scan_inputs"])
    if node.kind == KIND:
        return range(count - len(node.attributes["body"].inputs) + len(node.attributes["plan"].given), count)
    return range(0)

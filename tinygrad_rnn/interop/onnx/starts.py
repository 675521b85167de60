"""From what loops start: zeros, which nobody learns, and what exporters computed of a start ahead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from .graph import Graph, Node
from .recognise import KIND
from .wiring import MOVES, is_zero

__all__ = ["Ahead", "is_read", "kind_of", "matrices_of_zeros", "products_ahead", "with_products", "zeros_to_start_from"]

_MOST = 256
"""How many products, and starts, are looked at."""


class Ahead(NamedTuple):
    """A product that an exporter computed, with the bias behind it: its nodes, of which a parameter is the result.

    Attributes
    ----------
    nodes : tuple of Node
    start : str
        What they read.
    zeros : array or None
        What that is, if it is not in the file.
    """

    nodes: tuple[Node, ...]
    start: str
    zeros: Any

    @property
    def result(self) -> str:
        """The parameter."""
        return self.nodes[-1].outputs[0]


def products_ahead(graph: Graph, parameters: Mapping[str, Any]) -> list[Ahead]:
    """Products that are missing: PyTorch's newer exporter computes that of the first step if its state is known. Of
    zeros it keeps the bias in every row; what else it starts from, is found if the step reads it otherwise, too.
    """
    affine: dict[tuple[str, str], list[tuple[Node, ...]]] = {}
    for weight, bias, nodes in _affine(graph):
        if parameters.keys() >= {weight, bias} and parameters[weight].ndim == 2:
            affine.setdefault((weight, bias), []).append(nodes)
    repeated = [(weight, bias, nodes[0]) for (weight, bias), nodes in affine.items() if len(nodes) > 1]
    found = []
    for name, value in parameters.items():
        if value.ndim < 2 or name in graph.outputs:
            continue
        fits: list[Ahead] = []
        for weight, bias, nodes in repeated[:_MOST]:
            rows_first = nodes[0].attributes.get("transB")
            w, b = parameters[weight].T if rows_first else parameters[weight], parameters[bias]
            if b.shape != value.shape[-1:] or w.shape[1:] != b.shape or not (w.dtype == b.dtype == value.dtype):
                continue
            shape = (*value.shape[:-1], len(w))
            if np.any(b) and np.all(value == b):
                fits.append(Ahead(_of_start(nodes, f"{name}@start", name), f"{name}@start", np.zeros(shape, w.dtype)))
            for other, start in list(parameters.items())[:_MOST]:
                if start.shape == shape and start.dtype == w.dtype and np.any(start) and _is_near(start @ w + b, value):
                    fits.append(Ahead(_of_start(nodes, other, name), other, None))
        if len(fits) == 1:
            found += fits
    results = {one.result for one in found}
    return [one for one in found if one.start not in results]  # or a file may go round in a circle


def _is_near(found: Any, wanted: Any) -> bool:
    return bool(np.allclose(found, wanted, rtol=0.0, atol=32 * np.finfo(wanted.dtype).eps * np.abs(wanted).max()))


def _affine(graph: Graph) -> Iterator[tuple[str, str, tuple[Node, ...]]]:
    """The weight and bias of each product with a bias, and its nodes."""
    products = {node.outputs[0]: node for node in graph.nodes if node.kind == "MatMul"}
    for node in graph.nodes:
        if node.kind == "Gemm" and len(node.inputs) == 3 and not node.attributes["transA"] and _are_one(node):
            yield node.inputs[1], node.inputs[2], (node,)
        if node.kind == "Add":
            for one, other in (node.inputs, node.inputs[::-1]):
                if one in products:
                    yield products[one].inputs[1], other, (products[one], node)


def _of_start(nodes: Sequence[Node], start: str, name: str) -> tuple[Node, ...]:
    """The same nodes for another first operand, with a result of that name."""
    product, *rest = nodes
    outputs = (name,) if not rest else (f"{name}@product",)
    made = [replace(product, name=outputs[0], inputs=(start, *product.inputs[1:]), outputs=outputs)]
    for node in rest:
        inputs = tuple([outputs[0] if value == product.outputs[0] else value for value in node.inputs])
        made.append(replace(node, name=name, inputs=inputs, outputs=(name,)))
    return tuple(made)


def _are_one(node: Node) -> bool:
    return bool(node.attributes["alpha"] == node.attributes["beta"] == 1)


def with_products(graph: Graph, products: Sequence[Ahead]) -> Graph:
    """The graph with these nodes; what reads them, if nothing says where it stands, stands where they do."""
    layers = {one.result: one.nodes[-1].layers for one in products}
    nodes = [
        replace(n, layers=n.layers or layers[n.inputs[0]]) if {*n.inputs[:1]} & layers.keys() else n
        for n in graph.nodes
    ]
    return replace(graph, nodes=(*(node for one in products for node in one.nodes), *nodes))


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

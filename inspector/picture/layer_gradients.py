"""The gradient that flows through a whole learned layer to each of its sources.

At the gate and the cell level one line stands for many edges, and several layers may share an affine map.
The gradient of such a line is found by pulling the layer's own cotangent back through its operations alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tinygrad_rnn import Graph, Tensor, grad, tensor

from ..layout.columns import Fold
from ..steps.items import Item, Link, Step
from ..steps.levels import JOIN
from ..tracing.trace import norm_of

__all__ = ["layer_flow"]

Norms = dict[tuple[int, int], float]


def layer_flow(steps: Sequence[Step | Fold], graph: Graph, loss: Tensor) -> tuple[tuple[Step | Fold, ...], Norms]:
    """The steps with an edge on every line into a layer, and the gradient norms of those edges.

    Parameters
    ----------
    steps : sequence of Step or Fold
        As the gate or the cell level shows them.
    graph : Graph
    loss : Tensor
        Whose gradient flows.
    """
    layers = [item for step in steps if isinstance(step, Step) for item in step.items if item.layer]
    roots = {item.nodes[0].index: item.nodes[0].tensor for item in layers}
    tensors = [tensor for tensor in roots.values() if tensor is not None]
    cotangents = dict(zip(roots, grad(loss, tensors) if tensors else (), strict=True))
    norms: Norms = {}
    annotated: list[Step | Fold] = []
    for step in steps:
        annotated.append(step if isinstance(step, Fold) else _annotate(step, graph, cotangents, norms))
    return tuple(annotated), norms


def _annotate(step: Step, graph: Graph, cotangents: dict[int, Tensor], norms: Norms) -> Step:
    joined = next((item.links for item in step.items if item.key == JOIN), ())
    into_join: dict[int, Any] = {}
    items = []
    for item in step.items:
        items.append(item)
        if not item.layer:
            continue
        lines = tuple(line for link in item.links for line in (joined if link.source == JOIN else (link,)))
        parts = _pull_back(item, lines, graph, cotangents[item.nodes[0].index])
        links = []
        for k, link in enumerate(item.links):
            edge = (_root(item), -2 - k)
            if link.source == JOIN:
                norms[edge] = math.hypot(*(norm_of(parts[line.node]) for line in joined))
                for line in joined:
                    into_join[line.node] = into_join.get(line.node, 0.0) + parts[line.node]
            else:
                norms[edge] = norm_of(parts[link.node])
            links.append(link._replace(edge=edge))
        items[-1] = replace(item, links=tuple(links))
    return step.with_items(
        [_annotated_join(item, into_join, items, norms) if item.key == JOIN else item for item in items]
    )


def _annotated_join(join: Item, into: dict[int, Any], items: Sequence[Item], norms: Norms) -> Item:
    root = next(_root(item) for item in items if item.layer)
    links = []
    for k, link in enumerate(join.links):
        edge = (root, -1000 - k)
        norms[edge] = norm_of(into[link.node])
        links.append(link._replace(edge=edge))
    return replace(join, links=tuple(links))


def _root(item: Item) -> int:
    tensor = item.nodes[0].tensor
    assert tensor is not None
    return tensor.id


def _pull_back(item: Item, lines: Sequence[Link], graph: Graph, cotangent: Tensor) -> dict[int, Any]:
    """What the layer's cotangent gives at each source, through the operations of the layer alone.

    They are run again with the sources as leaves: two sources may depend on each other outside the layer.
    """
    values: dict[int, Any] = {line.node: tensor(graph.nodes[line.node].value) for line in lines}
    sources = dict(values)
    for node in sorted(item.nodes, key=lambda node: node.index):
        assert node.tensor is not None and node.tensor.op is not None
        if node.index not in values:
            recorded = zip(node.inputs, node.tensor.values, strict=True)
            operands = tuple(values.get(k, value) for k, value in recorded)
            values[node.index] = node.tensor.op.on(operands, dict(node.attributes))
    parts = grad(values[item.nodes[0].index], list(sources.values()), grad_output=cotangent.data)
    return {index: part.data for index, part in zip(sources, parts, strict=True)}

"""The gradient that flows through a whole learned layer to each of its sources.

At the gate and the cell level one line stands for many edges, and several layers may share an affine map.
The gradient of such a line is found by pulling the layer's own cotangent back through its operations alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_rnn import Graph, Tensor, grad
from tinygrad_rnn.autodiff.cotangent import dense
from tinygrad_rnn.autodiff.sweep import sweep

from ..layout.columns import Fold
from ..steps.items import Item, Key, Link, Step
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
    layers = [item for item in step.items if item.layer]
    joined = next((item.links for item in step.items if item.key == JOIN), ())
    into_join: dict[int, Any] = {}
    found: dict[Key, tuple[Link, ...]] = {}
    for item in layers:
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
        found[item.key] = tuple(links)
    if joined:
        edges = [(_root(layers[0]), -1000 - k) for k in range(len(joined))]
        norms.update((edge, norm_of(into_join[line.node])) for edge, line in zip(edges, joined, strict=True))
        found[JOIN] = tuple(line._replace(edge=edge) for edge, line in zip(edges, joined, strict=True))
    return step.with_links(found)


def _root(item: Item) -> int:
    tensor = item.nodes[0].tensor
    assert tensor is not None
    return tensor.id


def _pull_back(item: Item, lines: Sequence[Link], graph: Graph, cotangent: Tensor) -> dict[int, Any]:
    """What the layer's cotangent gives at each source, through the operations of the layer alone: two sources may
    depend on each other outside the layer, and so nothing is passed on behind any of them.
    """
    root = item.nodes[0].tensor
    sources = {line.node: graph.nodes[line.node].tensor for line in lines}
    ends = {source.id for source in sources.values() if source is not None}
    wanted = [source for source in sources.values() if source is not None]
    found = {node.id: dense(total) for node, total, _ in sweep([root], [cotangent.data], wanted, ends=ends)}
    return {
        index: np.zeros_like(graph.nodes[index].value) if source is None or source.id not in found else found[source.id]
        for index, source in sources.items()
    }

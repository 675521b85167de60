"""The least and the greatest value of nodes, found for many at a time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from tinygrad_rnn import Node
from tinygrad_rnn.autodiff.anomaly import is_finite

__all__ = ["Extremes"]

_TOGETHER = 1 << 16
"""Numbers that are looked at together; larger arrays are looked at as they are."""


class Extremes:
    """The least and the greatest value of each node, by its index.

    Parameters
    ----------
    nodes : iterable of Node
        Those that are asked for; others are looked at when they are.
    """

    def __init__(self, nodes: Iterable[Node] = ()) -> None:
        self._found: dict[int, tuple[float, float]] = {}
        kinds: dict[tuple[Any, ...], list[Node]] = {}
        for node in nodes:
            if _has_order(node):
                kinds.setdefault((node.shape, node.dtype), []).append(node)
        for alike in kinds.values():
            for some in _blocks(alike):
                self._look(some)

    def of(self, node: Node) -> tuple[float, float] | None:
        """Those of a node; ``None`` for values without an order, and where there are none."""
        if node.index not in self._found:
            if not _has_order(node):
                return None
            self._look([node])
        return self._found[node.index]

    def are_finite(self, node: Node) -> bool:
        """Whether the node's values hold neither NaN nor infinity."""
        found = self.of(node)
        return is_finite(node.value) if found is None else math.isfinite(found[0]) and math.isfinite(found[1])

    def _look(self, nodes: list[Node]) -> None:
        values = [node.value.reshape(1, -1) for node in nodes]
        together = values[0] if len(values) == 1 else np.concatenate(values)
        pairs = zip(together.min(axis=1).tolist(), together.max(axis=1).tolist(), strict=True)
        self._found.update(zip((node.index for node in nodes), pairs, strict=True))


def _has_order(node: Node) -> bool:
    return node.dtype.kind in "fiu" and 0 not in node.shape


def _blocks(nodes: list[Node]) -> Iterator[list[Node]]:
    """Nodes of the same shape, so many at a time that they hold few numbers together."""
    count = max(1, _TOGETHER // nodes[0].value.size)
    for k in range(0, len(nodes), count):
        yield nodes[k : k + count]

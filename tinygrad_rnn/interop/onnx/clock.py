"""What the number of the iteration alone decides in the body of a Loop, and what of the outside it picks by that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from .graph import Body, Node

__all__ = ["Clockwork", "clockwork"]

PICKS = frozenset({"Gather", "GatherND", "Slice", "SequenceAt", "GatherElements"})
MOVES = frozenset({"Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})


class Clockwork(NamedTuple):
    """A body in two parts.

    Attributes
    ----------
    ahead : Body
        Of the number of the iteration, the condition and the counters. Gives whether to go on, the next counters, and
        what the other part reads.
    rest : Body
        Of what `ahead` gives and the states. Gives the next states and the outputs.
    counters, states : tuple of int
        Which of the carried values are which; the others never change.
    crossing : tuple of str
    """

    ahead: Body
    rest: Body
    counters: tuple[int, ...]
    states: tuple[int, ...]
    crossing: tuple[str, ...]


def clockwork(body: Body, carried: Sequence[Any]) -> Clockwork | None:
    """A body of a Loop in two parts; None if its condition depends on a state."""
    graph, count = body.graph, len(carried)
    kept = {graph.inputs[2 + k]: carried[k] for k in graph.unchanged(2, 1, count)}
    body = replace(body, captured={**body.captured, **kept})
    changing = [k for k in range(count) if graph.inputs[2 + k] not in kept]
    counters = {k for k in changing if getattr(carried[k], "dtype", np.dtype(float)).kind in "iub"}
    while True:
        known = {*graph.inputs[:2], *(graph.inputs[2 + k] for k in counters)}
        outside, decided = _decided(body, known)
        wrong = {k for k in counters if graph.outputs[1 + k] not in decided | outside}
        if not wrong:
            break
        counters -= wrong
    if graph.outputs[0] not in decided | outside:
        return None
    states = tuple(k for k in changing if k not in counters)
    later = [node for node in graph.nodes if not decided.intersection(node.outputs)]
    results = [*(graph.outputs[1 + k] for k in states), *graph.outputs[1 + count :]]
    wanted = _needed(later, results)
    later = [node for node in later if wanted.intersection(node.outputs)]
    crossing = tuple(sorted(decided & wanted))
    first = [graph.outputs[0], *(graph.outputs[1 + k] for k in sorted(counters)), *crossing]
    needed = _needed(graph.nodes, first)
    early = [n for n in graph.nodes if (decided | outside).intersection(n.outputs) and needed.intersection(n.outputs)]
    names = [*graph.inputs[:2], *(graph.inputs[2 + k] for k in sorted(counters))]
    ahead = replace(graph, inputs=tuple(names), outputs=tuple(first), nodes=tuple(early))
    names = [*crossing, *(graph.inputs[2 + k] for k in states)]
    rest = replace(graph, inputs=tuple(names), outputs=tuple(results), nodes=tuple(later))
    return Clockwork(replace(body, graph=ahead), replace(body, graph=rest), tuple(sorted(counters)), states, crossing)


def _decided(body: Body, known: Set[str]) -> tuple[set[str], set[str]]:
    """The values that come from around the body alone, and those that the `known` ones decide besides."""
    outside = set(body.captured)
    discrete = {name for name, value in body.captured.items() if not _flows(value)}
    clock, picked = set(known), set[str]()
    for node in body.graph.nodes:
        reads, outputs = node.reads, set(node.outputs) - {""}
        if reads <= outside:
            outside |= outputs
            discrete |= outputs if reads <= discrete else set()
        elif reads <= clock | discrete and not node.graphs:
            clock |= outputs
        elif _picks(node, outside, clock, picked):
            picked |= outputs
    return outside, clock | picked


def _picks(node: Node, outside: Set[str], clock: Set[str], picked: Set[str]) -> bool:
    what = node.inputs[0] if node.inputs else ""
    if not node.reads - {what} <= outside | clock or node.graphs:
        return False
    return (node.kind in PICKS and what in outside | clock | picked) or (node.kind in MOVES and what in picked)


def _flows(value: Any) -> bool:
    """Whether a gradient may go through a value: a Tensor of floating point, or a sequence."""
    if value is None or isinstance(value, list):
        return True
    return not isinstance(value, np.ndarray) and value.dtype.kind == "f"


def _needed(nodes: Sequence[Node], names: Sequence[str]) -> set[str]:
    wanted = set(names)
    for node in reversed(nodes):
        if wanted.intersection(node.outputs):
            wanted |= node.reads
    return wanted


def ticks(parts: Clockwork, limit: int | None, go: bool, counters: Sequence[Any]) -> Any:
    """The iterations that there will be: by value of `crossing` a list; and the counters behind the last."""
    found: Mapping[str, list[Any]] = {name: [] for name in parts.crossing}
    values, t = list(counters), 0
    while go and (limit is None or t < limit):
        parts.ahead.runs.spend()
        results = parts.ahead(np.array(t, np.int64), np.array(go), *values)
        go = bool(np.asarray(getattr(results[0], "data", results[0])).reshape(-1)[0])
        values = results[1 : 1 + len(values)]
        for name, value in zip(parts.crossing, results[1 + len(values) :], strict=True):
            found[name].append(value)
        t += 1
    return t, found, values

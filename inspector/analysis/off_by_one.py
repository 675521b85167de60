"""Mistakes in time: rules that read a value of another timestep than they should."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from tinygrad_rnn import Tensor
from tinygrad_rnn.recurrent.states import leaves_of

from .altered import Change, Changes, Mistake, Pull, reading
from .step_roles import Edge, Layer, Steps, Words

Array = npt.NDArray[Any]

__all__ = ["off_by_one"]


def off_by_one(steps: Steps, words: Words) -> Iterator[Mistake]:
    """Rules that read a value of the step before or behind."""
    for layer in steps.layers:
        edges, count = list(steps.edges(layer)), len(layer.nodes)
        series = _Series(layer)
        together: dict[tuple[str, int], list[tuple[Edge, int]]] = defaultdict(list)
        for edge in edges:
            nodes = layer.roles[edge.role]
            node = nodes[count // 2]
            assert node.op is not None
            read = range(len(node.inputs)) if node.op.kind == "product" else ()
            for other in read:
                name = series.name(node.inputs[other], count // 2)
                if other != edge.operand and name is not None:
                    for shift in (1, -1):
                        together[name, shift].append((edge, other))
        for (name, shift), found in together.items():
            once = [[one] for one in found] if len(found) > 1 else []
            for group in [found, *once]:
                changes = _shifted(layer, series, name, shift, group)
                read_at = f"{layer.label}{_time(series, name, shift)} is read in place of {_time(series, name, 0)}"
                yield Mistake(
                    f"{read_at}, off by one, in {words.gradients(layer, [edge for edge, _ in group])}", changes
                )
            if shift == -1 and name in layer.fields and count > 1:
                last = f"{layer.label}at the first step {name}ₜ₋₁ is read as the last {name} (an index of −1), in"
                changes = _shifted(layer, series, name, count, found, only=0)
                yield Mistake(f"{last} {words.gradients(layer, [edge for edge, _ in found])}", changes)
        yield from _derivatives_of_another_step(steps, layer, words)


class _Series:
    """The values with a name at every step, and the states that enter."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self.own: dict[int, str] = {}
        self.at: dict[tuple[str, int], Tensor] = {}
        for (name, t), value in layer.run.names.items():
            if name not in layer.fields and name != "x":
                self.own.setdefault(value.id, name)
                self.at[name, layer.times.index(t)] = value
        for k, t in enumerate(layer.times):
            self.at["x", k] = layer.run.inputs[t]
            self.own[layer.run.inputs[t].id] = "x"
        for k, state in enumerate(layer.states):
            self.at.update(((name, k), leaf) for name, leaf in zip(layer.fields, leaves_of(state), strict=True))

    def name(self, value: Any, k: int) -> str | None:
        """What a value that step `k` reads is called, if there is one at every step."""
        key = getattr(value, "id", None)
        return self.layer.entering(k).get(key) or self.own.get(key)  # type: ignore[arg-type]

    def value(self, name: str, k: int) -> Array:
        """The value at step `k`; before the first state that one again, and beyond the ends of anything else 0."""
        count = len(self.layer.nodes)
        if name in self.layer.fields:
            k = min(max(k, 0), count)
        like = self.at.get((name, k))
        known = next(value for (own, _), value in self.at.items() if own == name)
        return like.data if like is not None else np.zeros(known.shape, known.dtype)


def _shifted(
    layer: Layer, series: _Series, name: str, shift: int, edges: list[tuple[Edge, int]], only: int | None = None
) -> Changes:
    changes: Changes = {}
    for edge, other in edges:
        for k, node in layer.roles[edge.role].items():
            if only is None or k == only:
                changes[node.id, edge.operand] = (reading(other, partial(_instead, series.value(name, k + shift))),)
    return changes


def _instead(value: Array, _: Array) -> Array:
    return value


def _time(series: _Series, name: str, shift: int) -> str:
    if name in series.layer.fields:
        return name + {-1: "ₜ₋₂", 0: "ₜ₋₁", 1: "ₜ"}[shift]
    return name + {-1: "ₜ₋₁", 0: "ₜ", 1: "ₜ₊₁"}[shift]


def _derivatives_of_another_step(steps: Steps, layer: Layer, words: Words) -> Iterator[Mistake]:
    """A derivative made of the activation of the step before or behind."""
    for nodes in layer.roles.values():
        first = next(iter(nodes.values()))
        if (
            first.op is None
            or not first.op.activation
            or first.id in steps.weights
            or len(layer.nodes) // 2 not in nodes
        ):
            continue
        text = words.of(nodes[len(layer.nodes) // 2])
        state = next((f for f in layer.fields if getattr(layer.states[1], f).id == nodes.get(0, first).id), None)
        for shift in (-1, 1):
            changes: Changes = {}
            for k, node in nodes.items():
                near = nodes.get(k + shift)
                if near is None and shift < 0 and state is not None:
                    near = getattr(layer.states[0], state)
                if near is not None and near.shape == node.shape:
                    changes[node.id, 0] = (_near(near),)
            when = "before" if shift < 0 else "behind"
            yield Mistake(
                f"{layer.label}the derivative in {text} is made of the activation of the step {when}", changes
            )


def _near(near: Tensor) -> Change:
    def make(rows: Array, lane: int, pull: Pull) -> None:
        x = near.values[0] if near.values and near.op is pull.node.op else pull.node.values[0]
        rows[lane] = pull.again(lane, operands=[x], output=near.data)

    return Change(make, replaces=True)

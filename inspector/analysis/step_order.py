"""Jacobians in the wrong order: sweeps that go through the steps forwards, or multiply them the other way round."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tinygrad_rnn import Tensor
from tinygrad_rnn.autodiff.ancestry import ancestors
from tinygrad_rnn.autodiff.batching import Batched
from tinygrad_rnn.autodiff.cotangent import dense
from tinygrad_rnn.autodiff.sweep import sweep
from tinygrad_rnn.recurrent.states import leaves_of

from .altered import Wanted, in_rows
from .step_roles import Layer, Steps

Array = npt.NDArray[Any]

__all__ = ["forwards", "products"]

_LONGEST = 48
"""Steps whose Jacobians are multiplied the other way round: it takes half of their square of sweeps."""


def forwards(steps: Steps, wanted: Wanted) -> Iterator[tuple[str, dict[str, Array]]]:
    """The gradient of loops that should run backwards and do not, with what each is: all layers, or one of several.

    What comes back from a step is handed to the next one in place of the one before.
    """
    chosen = [(steps.layers, "")]
    if len(steps.layers) > 1:
        chosen += [([layer], f" in {layer.prefix.removesuffix('/')}") for layer in steps.layers]
    if len(steps.run) < 2:
        return
    for layers, where in chosen:
        says = f"Jacobians in the wrong order{where}: the loop goes through the steps forwards"
        for early in (False, True):
            sweeps = _Forwards(steps, layers, wanted, early)
            if sweeps.feeds_itself():
                break
            yield f"{says}{', from the last state’s gradient' * early}", sweeps.gradient()


class _Forwards:
    """The sweeps of one wrong loop; `early` hands what the loss sends to the last state to the first step visited."""

    def __init__(self, steps: Steps, layers: Sequence[Layer], wanted: Wanted, early: bool) -> None:
        self.steps, self.layers, self.wanted, self.early = steps, layers, wanted, early
        self.nodes = {node.id: node for series in wanted.values() for node in series if node is not None}
        self.own = {node.id: node for layer in layers for step in layer.nodes for node in step}
        self.arrived: dict[int, Any] = {}
        self.found: dict[int, Array] = {}

    def feeds_itself(self) -> bool:
        """Whether what a step reads beside its states depends on other steps, as in a decoder."""
        for layer in self.layers:
            own = {node.id for step in layer.nodes for node in step}
            if any(node.id in own for node in ancestors([x for x in layer.run.inputs if isinstance(x, Tensor)])):
                return True
        return False

    def gradient(self) -> dict[str, Array]:
        """By name as :func:`inspector.analysis.altered.altered` gives it."""
        loss = self.steps.loss
        self._outside({loss: np.ones(loss.shape, loss.dtype)})
        for layer in reversed(self.layers):
            outside: dict[Tensor, Any] = {}
            carry: dict[str, Any] = {}
            if self.early:
                for name, leaf in zip(layer.fields, leaves_of(layer.states[-1]), strict=True):
                    if leaf.id in self.arrived:
                        carry[name] = self.arrived.pop(leaf.id)
            for k in range(len(layer.nodes)):
                carry = self._step(layer, k, carry, outside)
            self._outside(outside)
        return {name: in_rows(series, self.found) for name, series in self.wanted.items()}

    def _step(self, layer: Layer, k: int, carry: Mapping[str, Any], outside: dict[Tensor, Any]) -> dict[str, Any]:
        """Go back through a step, with what another one left, and give what it leaves."""
        starts: dict[Tensor, Any] = {node: self.arrived[node.id] for node in layer.nodes[k] if node.id in self.arrived}
        own = {node.id for node in layer.nodes[k]}
        left: dict[str, Any] = {}
        for name, part in carry.items():
            state = getattr(layer.states[k + 1], name)
            if state.id in own:
                starts[state] = part if state not in starts else starts[state] + part
            elif state.id in layer.entering(k):
                left[layer.entering(k)[state.id]] = part
        inside = [node for node in layer.nodes[k] if node.id in self.nodes]
        for node, entered, total in _back(layer, k, starts, inside):
            if entered is not None:
                left[entered] = total + left.get(entered, 0.0)
            elif node.id not in own:
                outside[node] = total if node not in outside else outside[node] + total
            if node.id in self.nodes and node.id in own:
                self._find(node, total)
        return left

    def _outside(self, starts: Mapping[Tensor, Any]) -> None:
        """Go back from values outside of these layers' steps, up to those."""
        wanted = [*self.own.values(), *(node for node in self.nodes.values() if node.id not in self.own)]
        for node, total, _ in sweep(list(starts), list(starts.values()), wanted, ends=self.own):
            if node.id in self.own:
                before = self.arrived.get(node.id)
                self.arrived[node.id] = dense(total) if before is None else before + dense(total)
            elif node.id in self.nodes:
                self._find(node, total)

    def _find(self, node: Tensor, total: Any) -> None:
        self.found[node.id] = self.found.get(node.id, 0.0) + np.asarray(dense(total))


def products(steps: Steps, wanted: Wanted) -> Iterator[tuple[str, dict[str, Array]]]:
    """The gradient that multiplies out the Jacobians between each pair of steps, in the wrong order; of a single layer
    of whose states alone the loss is made.
    """
    if len(steps.layers) > 1 or not 2 < len(steps.run) <= _LONGEST:
        return
    sweeps = _Products(steps, steps.layers, wanted, early=False)
    if not sweeps.feeds_itself() and sweeps.reads_states():
        yield (
            "Jacobians in the wrong order: those between two steps are multiplied the other way round",
            sweeps.gradient(),
        )


class _Products(_Forwards):
    """For each step, what every later loss sends to it: through the step behind first, and the loss's own step last."""

    def reads_states(self) -> bool:
        """Whether the loss takes nothing from the steps but their states."""
        loss, (layer,) = self.steps.loss, self.layers
        self._outside({loss: np.ones(loss.shape, loss.dtype)})
        states = {leaf.id for state in layer.states[1:] for leaf in leaves_of(state)}
        return states.issuperset(self.arrived) and states <= self.own.keys()

    def gradient(self) -> dict[str, Array]:
        (layer,) = self.layers
        outside: dict[Tensor, Any] = {}
        for k in range(len(layer.nodes)):
            self._step(layer, k, self._from_later(layer, k), outside)
        self._outside(outside)
        return {name: in_rows(series, self.found) for name, series in self.wanted.items()}

    def _from_later(self, layer: Layer, k: int) -> dict[str, Any]:
        """What the losses of later steps leave for the state behind step `k`, of which lane j is that of the step j."""
        count = len(layer.nodes)
        lanes = {name: np.zeros((count, *getattr(layer.states[0], name).shape)) for name in layer.fields}
        for j in range(k + 1, count):
            for name in layer.fields:
                lanes[name][j] = self.arrived.get(getattr(layer.states[j + 1], name).id, 0.0)
        for j in range(k + 1, count):
            own = {node.id for node in layer.nodes[j]}
            states = {name: getattr(layer.states[j + 1], name) for name in layer.fields}
            starts = {state: Batched(lanes[name][j:]) for name, state in states.items() if state.id in own}
            back = {name: total.array for _, name, total in _back(layer, j, starts, [])}
            for name in layer.fields:
                lanes[name][j:] = back.get(name, 0.0)
        return {name: rows[k + 1 :].sum(axis=0) for name, rows in lanes.items()}


def _back(
    layer: Layer, k: int, starts: Mapping[Tensor, Any], inside: Sequence[Tensor]
) -> Iterator[tuple[Tensor, str | None, Any]]:
    """Go back through one step: what arrives at the states that enter it, with their names, at everything else that it
    reads from outside, and at some of the values inside.
    """
    own = {node.id for node in layer.nodes[k]}
    border = {
        value.id: value
        for node in layer.nodes[k]
        for value in node.inputs
        if isinstance(value, Tensor) and value.id not in own
    }
    entering = {leaf.id: name for name, leaf in zip(layer.fields, leaves_of(layer.states[k]), strict=True)}
    wanted = [*border.values(), *inside]
    for node, total, _ in sweep(list(starts), list(starts.values()), wanted, ends=frozenset(border)):
        if node.id in border or node.id in own:
            yield node, entering.get(node.id), dense(total)

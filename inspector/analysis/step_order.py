"""Jacobians in the wrong order: a sweep that goes through the steps forwards, as they were computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tinygrad_rnn import Tensor
from tinygrad_rnn.autodiff.ancestry import ancestors
from tinygrad_rnn.autodiff.cotangent import dense
from tinygrad_rnn.autodiff.sweep import sweep
from tinygrad_rnn.recurrent.states import leaves_of

from .altered import Wanted, in_rows
from .step_roles import Layer, Steps

Array = npt.NDArray[Any]

__all__ = ["forwards"]


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
        for name, part in carry.items():
            state = getattr(layer.states[k + 1], name)
            if state.id in own:
                starts[state] = part if state not in starts else starts[state] + part
        border = {
            value.id: value
            for node in layer.nodes[k]
            for value in node.inputs
            if isinstance(value, Tensor) and value.id not in own
        }
        entering = {leaf.id: name for name, leaf in zip(layer.fields, leaves_of(layer.states[k]), strict=True)}
        left: dict[str, Any] = {}
        inside = [node for node in layer.nodes[k] if node.id in self.nodes]
        for node, total, _ in sweep(
            list(starts), list(starts.values()), [*border.values(), *inside], ends=frozenset(border)
        ):
            if node.id in entering:
                left[entering[node.id]] = dense(total)
            elif node.id in border:
                outside[node] = dense(total) if node not in outside else outside[node] + dense(total)
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

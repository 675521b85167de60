"""The reverse sweep of a loss as a graph: which operations each rule recorded, and what flows along which edge."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from tinygrad_rnn import Tensor
from tinygrad_rnn.autodiff.sweep import Recurrent, sweep
from tinygrad_rnn.autodiff.tensor import tensor
from tinygrad_rnn.recurrent.inner import HELD
from tinygrad_rnn.recurrent.states import leaves_of
from tinygrad_rnn.recurrent.unroll import Run

__all__ = ["Reverse", "Use", "reverse_sweep"]


@dataclass(frozen=True, eq=False)
class Use:
    """What one reader of a value adds to its cotangent.

    Attributes
    ----------
    value, consumer : Tensor
        Of the forward graph.
    part : Tensor
        The contribution.
    sum : Tensor or None
        The addition that this contribution takes; ``None`` for one of them, since n are added by n - 1.
    """

    value: Tensor
    consumer: Tensor
    part: Tensor
    sum: Tensor | None


@dataclass
class Reverse:
    """A recorded sweep; all mappings are by the ids of forward Tensors.

    Attributes
    ----------
    totals : dict
        The cotangent of each value.
    rules : dict
        The operations that the rule of each operation recorded, oldest first.
    uses : dict
        What each value's readers contribute, in the order in which they were visited.
    gives : dict
        The same by reader.
    """

    totals: dict[int, Tensor] = field(default_factory=dict)
    rules: dict[int, list[Tensor]] = field(default_factory=dict)
    uses: dict[int, list[Use]] = field(default_factory=dict)
    gives: dict[int, list[Use]] = field(default_factory=dict)


def reverse_sweep(run: Run, loss: Tensor) -> Reverse:
    """Sweep from `loss` to everything named in `run`, its parameters and initial state, and keep the graph of it."""
    one = tensor(np.ones(loss.shape, loss.dtype))
    found = Reverse()
    parts: dict[int, list[tuple[Tensor, Tensor, Tensor]]] = {}
    done = {one.id}
    for node, total, edges in sweep(
        [loss], [one], [value for value in _values_of_interest(run) if value.op is not HELD], create_graph=True
    ):
        found.totals[node.id] = total
        if isinstance(node.op, Recurrent):
            continue
        for operand, part in edges:
            value = node.inputs[operand]
            parts.setdefault(value.id, []).append((value, node, part))
        sums = _sums(total, len(parts.get(node.id, ())))
        done.update(added.id for added in sums)
        found.rules[node.id] = _operations_behind([part for _, part in edges], loss.id, done)
        for (value, consumer, part), added in zip(parts.pop(node.id, ()), [None, *sums], strict=False):
            use = Use(value, consumer, part, added)
            found.uses.setdefault(value.id, []).append(use)
            found.gives.setdefault(consumer.id, []).append(use)
    return found


def _values_of_interest(run: Run) -> Iterator[Tensor]:
    for part in run.cells:
        yield from part.inputs
        yield from part.names.values()
        yield from leaves_of(part.initial_state)
        yield from (parameter for _, parameter in part.cell.named_parameters())


def _sums(total: Tensor, count: int) -> list[Tensor]:
    """The additions of a cotangent with `count` contributions, oldest first."""
    found: list[Tensor] = []
    while len(found) < count - 1:
        found.append(total)
        total = total.inputs[0]
    return found[::-1]


def _operations_behind(parts: list[Tensor], newer: int, done: set[int]) -> list[Tensor]:
    """What `parts` were computed from that was recorded after `newer` and by no other rule."""
    found: dict[int, Tensor] = {}
    stack = list(parts)
    while stack:
        one = stack.pop()
        if isinstance(one, Tensor) and one.id > newer and one.id not in done:
            done.add(one.id)
            found[one.id] = one
            stack += one.inputs
    return [found[key] for key in sorted(found)]

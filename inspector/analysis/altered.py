"""The reverse sweep with something in it done wrongly, many wrong ways at once: each is a lane of the cotangent."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tinygrad_rnn import Tensor
from tinygrad_rnn.autodiff.ancestry import ancestors
from tinygrad_rnn.autodiff.batching import Batched
from tinygrad_rnn.autodiff.cotangent import dense
from tinygrad_rnn.autodiff.primitives import sum_to
from tinygrad_rnn.autodiff.sweep import sweep

Array = npt.NDArray[Any]
Key = tuple[int, int]

__all__ = [
    "CUT", "Change", "Changes", "Key", "Mistake", "Pull", "Wanted", "altered", "at", "both", "in_rows", "reading",
    "scaled",
]  # fmt: skip

_NUMBERS = 2**18
"""How many numbers of one value are swept at a time: more do not fit into caches, and take longer."""
_LEAST, _LANES = 4, 64


class Pull(NamedTuple):
    """An edge that a sweep comes to: the operation, the number of an operand, and the lanes of the cotangent."""

    node: Tensor
    operand: int
    cotangent: Any

    def again(
        self,
        lane: int,
        operands: Sequence[Any] | None = None,
        output: Any = None,
        rule: Callable[..., Any] | None = None,
        cotangent: Array | None = None,
    ) -> Array:
        """What one lane would send through the edge with other operands, another output, rule or cotangent."""
        op, values = self.node.op, self.node.values if operands is None else operands
        rule = rule or (op.rule(self.operand) if op is not None else None)
        assert op is not None and rule is not None
        y = self.node.data if output is None else output
        g = Batched((self.cotangent.array if cotangent is None else cotangent)[lane : lane + 1])
        part = rule(g, y, *values, **self.node.attributes)
        part = list(part)[self.operand] if op.variadic else part
        shape, part = np.shape(self.node.values[self.operand]), dense(part)
        found: Array = dense(part if part.shape == shape else sum_to(part, shape)).array[0]
        return found


class Change(NamedTuple):
    """What is done wrongly at an edge.

    `make` is given the lanes of what flows through it, to be changed in place, the lane that makes the mistake, and the
    edge. A change that `replaces` what flows comes before those that go by it.
    """

    make: Callable[[Array, int, Pull], None]
    replaces: bool = False
    alone: bool = True


Changes = dict[Key, tuple[Change, ...]]


def at(nodes: Iterable[Tensor], change: Change, operand: int = 0) -> Changes:
    """A change at the same operand of several operations."""
    return {(node.id, operand): (change,) for node in nodes}


def scaled(factor: float) -> Change:
    """What flows is multiplied."""

    def make(rows: Array, lane: int, pull: Pull) -> None:
        rows[lane] *= factor

    return Change(make)


CUT = scaled(0.0)
"""Nothing flows."""


def reading(operand: int, function: Callable[[Array], Array]) -> Change:
    """The rule reads in an operand what a function makes of it; nothing is wrong where that has another shape."""

    def make(rows: Array, lane: int, pull: Pull) -> None:
        operands = list(pull.node.values)
        value = function(np.asarray(operands[operand]))
        if np.shape(operands[operand]) == value.shape:
            operands[operand] = value
            rows[lane] = pull.again(lane, operands=operands)

    return Change(make, replaces=True)


@dataclass(frozen=True)
class Mistake:
    """A wrong way to go back.

    Attributes
    ----------
    says : str
    changes : mapping of (Tensor id, operand) to tuple of Change
    lanes : int
        How many it takes; the first holds the gradient.
    """

    says: str
    changes: Mapping[Key, tuple[Change, ...]]
    lanes: int = 1


def both(first: Mistake, second: Mistake) -> Mistake:
    """Two mistakes made together, of which one takes a single lane."""
    changes = {key: tuple(found) for key, found in first.changes.items()}
    for key, found in second.changes.items():
        changes[key] = tuple(sorted((*changes.get(key, ()), *found), key=lambda change: not change.replaces))
    return Mistake(f"{first.says}; and {second.says}", changes, max(first.lanes, second.lanes))


Wanted = Mapping[str, Sequence[Tensor | None]]
"""By name the Tensors whose gradients are asked for: a parameter, or a value at every step, none where it has none."""


def altered(loss: Tensor, wanted: Wanted, mistakes: Iterable[Mistake]) -> Iterator[tuple[Mistake, dict[str, Array]]]:
    """The gradient under each of the mistakes: by name an array (1, *shape) or (T, *shape)."""
    size = max(node.size for node in ancestors([loss]))
    width = min(_LANES, max(_LEAST, _NUMBERS // max(size, 1)))
    waiting: list[Mistake] = []
    for mistake in mistakes:
        waiting.append(mistake)
        if sum(one.lanes for one in waiting) >= width:
            yield from _together(loss, wanted, waiting)
            waiting = []
    if waiting:
        yield from _together(loss, wanted, waiting)


def _together(loss: Tensor, wanted: Wanted, mistakes: Sequence[Mistake]) -> Iterator[tuple[Mistake, dict[str, Array]]]:
    lanes: dict[Key, list[tuple[int, Change]]] = defaultdict(list)
    first, count = [], 0
    for mistake in mistakes:
        for key, changes in mistake.changes.items():
            for change in changes:
                lanes[key] += [(count + k, change) for k in range(mistake.lanes if change.alone else 1)]
        first.append(count)
        count += mistake.lanes

    def edit(node: Tensor, operand: int, part: Any, cotangent: Any) -> Any:
        changes = lanes.get((node.id, operand))
        if changes is None:
            return part
        rows, pull = np.array(dense(part).array), Pull(node, operand, dense(cotangent))
        for lane, change in changes:
            change.make(rows, lane, pull)
        return Batched(rows)

    nodes = {node.id: node for series in wanted.values() for node in series if node is not None}
    found: dict[int, Array] = {}
    start = np.zeros((count, *loss.shape), loss.dtype)
    start[first] = 1
    for node, total, _ in sweep([loss], [Batched(start)], list(nodes.values()), edit=edit):
        if node.id in nodes:
            found[node.id] = dense(total).array
    for mistake, lane in zip(mistakes, first, strict=True):
        yield mistake, {name: in_rows(series, found, lane) for name, series in wanted.items()}


def in_rows(series: Sequence[Tensor | None], found: Mapping[int, Array], lane: int | None = None) -> Array:
    """The gradients of a name one below the other, 0 where there is none."""
    shape = next(node.shape for node in series if node is not None)
    rows = np.zeros((len(series), *shape))
    for row, node in zip(rows, series, strict=True):
        if node is not None and node.id in found:
            row[...] = found[node.id] if lane is None else found[node.id][lane]
    return rows

"""Many cotangents sent back through one recorded run: what a step makes of them is a matrix, made once for all."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tinygrad_rnn import Stacked, Tensor
from tinygrad_rnn.autodiff.ancestry import ancestors
from tinygrad_rnn.autodiff.batching import Batched
from tinygrad_rnn.autodiff.cotangent import dense
from tinygrad_rnn.autodiff.sweep import sweep
from tinygrad_rnn.recurrent.unroll import Run

Array = npt.NDArray[Any]

__all__ = ["Lanes", "Passage", "Seed", "Step", "joined", "lanes_at_once", "mixes_directions", "that_fit", "wide_sweep"]

_BLOCK, _LEAST = 2560, 16
"""Numbers a value may have times cotangents swept together, so that what comes of it stays in the cache; and how many
go together at least.
"""
_WAITING = 128
"""How many go together where what they leave in a whole layer has to be kept."""


class Step(NamedTuple):
    """A step of a cell: its place in the order in which the cell reads, the number of the cell, and the timestep."""

    place: int
    cell: int
    t: int


class Seed(NamedTuple):
    """What one of the cotangents is at a value that it starts from."""

    node: Tensor
    lane: int
    cotangent: Array


class Lanes(NamedTuple):
    """Some of the cotangents of a value, (lanes, *shape); the others are 0."""

    first: int
    array: Array

    @property
    def rows(self) -> slice:
        return slice(self.first, self.first + len(self.array))


class Passage(NamedTuple):
    """What becomes of the cotangents that arrive at a step: those of wanted values in it, and what it sends to values
    before it, by Tensor id.
    """

    step: Step | None
    totals: Mapping[int, Lanes]
    sent: Mapping[int, Lanes]


def that_fit(widest: int) -> int:
    """How many cotangents of that many numbers are swept together."""
    return max(_LEAST, _BLOCK // max(1, widest))


def lanes_at_once(run: Run) -> int:
    """How many cotangents to send back together: all, but where a layer waits for the whole of the one above it, as
    below one that reads in another direction, so many that what waits does not grow with the square of the steps.
    """
    return _WAITING if mixes_directions(run) else len(run)


def mixes_directions(run: Run) -> bool:
    """Whether a path can go through cells that read in both directions, one on top of the other."""
    parts = [run]
    for part in parts:
        if isinstance(part.cell, Stacked) and len(part.children) > 1 and len({cell.reverse for cell in part.cells}) > 1:
            return True
        parts += part.children.values()
    return False


def joined(parts: Sequence[Lanes]) -> Lanes:
    """The sum."""
    if len(parts) == 1:
        return parts[0]
    first, last = min(part.first for part in parts), max(part.rows.stop for part in parts)
    array = np.zeros((last - first, *parts[0].array.shape[1:]), parts[0].array.dtype)
    for part in parts:
        array[part.first - first : part.rows.stop - first] += part.array
    return Lanes(first, array)


def wide_sweep(
    seeds: Sequence[Seed], wanted: Sequence[Tensor], step_of: Callable[[Tensor], Step | None]
) -> Iterator[Passage]:
    """Send all cotangents back side by side, and yield what becomes of them at each step, the last one first.

    A step is linear in what arrives at it. Where that is many cotangents, its matrix is found by an ordinary sweep of
    as many as there are units, all sequences of the batch together; a random one that goes along must come to what the
    matrix makes of it, or else sequences depend on one another, and the cotangents are swept themselves.

    Parameters
    ----------
    seeds : sequence of Seed
    wanted : sequence of Tensor
        The values whose cotangents somebody needs; one that is read off another is of the same step.
    step_of : callable
        The step that an operation belongs to, ``None`` for none.
    """
    order = ancestors(list({seed.node.id: seed.node for seed in seeds}.values()))
    by_place = {node.id: [node] for node in wanted}
    for node in wanted:
        if node.op is not None and node.op.inner:  # read off another value of its step, which need not lead to it
            by_place.setdefault(node.inputs[node.op.within].id, []).append(node)
    leads: set[int] = set()
    for node in order:
        if node.id in by_place or any(isinstance(v, Tensor) and v.id in leads for v in node.inputs):
            leads.add(node.id)
    pending: dict[int, list[Lanes]] = {}
    for node, lane, cotangent in seeds:
        if node.id in leads:
            pending.setdefault(node.id, []).append(Lanes(lane, cotangent[None]))
    rng, mixed = np.random.default_rng(0), False
    for step, inside, before in _latest_first([node for node in order if node.id in leads], step_of):
        exits = {node: joined(pending.pop(node.id)) for node in inside if node.id in pending}
        if not exits:
            continue
        asked = {value.id: value for node in inside for value in by_place.get(node.id, ())}
        targets = [*asked.values(), *(v for v in before.values() if v.id in leads)]
        matrix = None
        if step is not None and not mixed and _is_worth_it(exits, targets):
            matrix = _matrix(list(exits), targets, before, rng)
            mixed = matrix is None
        found = _swept(exits, targets, before) if matrix is None else _applied(exits, matrix)
        sent = {key: lanes for key, lanes in found.items() if key in before}
        for key, lanes in sent.items():
            pending.setdefault(key, []).append(lanes)
        yield Passage(step, {key: lanes for key, lanes in found.items() if key in asked}, sent)


def _latest_first(
    order: Sequence[Tensor], step_of: Callable[[Tensor], Step | None]
) -> Iterator[tuple[Step | None, list[Tensor], dict[int, Tensor]]]:
    """The operations of each step, and what they read from outside it, behind all that reads them.

    The layers of a stack take turns, so that what one sends down need not wait for the rest of it.
    """
    grouped = groupby(reversed(order), key=lambda node: step_of(node) or node.id)
    groups = [list(nodes) for _, nodes in grouped]
    group_of = {node.id: k for k, nodes in enumerate(groups) for node in nodes}
    before = [
        {v.id: v for node in nodes for v in node.inputs if isinstance(v, Tensor) and group_of.get(v.id) != k}
        for k, nodes in enumerate(groups)
    ]
    sources = [{group_of[key] for key in read if key in group_of} for read in before]
    readers = Counter(source for read in sources for source in read)
    steps = [step_of(nodes[0]) for nodes in groups]
    ready = [(-step.place if step else -math.inf, k) for k, step in enumerate(steps) if not readers[k]]
    heapq.heapify(ready)
    while ready:
        _, k = heapq.heappop(ready)
        yield steps[k], groups[k], before[k]
        for source in sources[k]:
            readers[source] -= 1
            if not readers[source]:
                step = steps[source]
                heapq.heappush(ready, (-step.place if step else -math.inf, source))


def _hull(exits: Mapping[Tensor, Lanes]) -> tuple[int, int]:
    return min(lanes.first for lanes in exits.values()), max(lanes.rows.stop for lanes in exits.values())


def _is_worth_it(exits: Mapping[Tensor, Lanes], targets: Sequence[Tensor]) -> bool:
    """Whether there are more cotangents than units or go through together, and all values have a row a sequence."""
    (first, last), one = _hull(exits), next(iter(exits))
    batch = one.shape[:1]
    if not batch or any(v.shape[:1] != batch or not v.size or v.dtype != one.dtype for v in (*exits, *targets)):
        return False
    units = sum(value.size for value in exits) // batch[0]
    return last - first > max(units + 1, that_fit(max(value.size for value in exits)))


def _swept(exits: Mapping[Tensor, Lanes], targets: Sequence[Tensor], ends: Mapping[int, Any]) -> dict[int, Lanes]:
    """The cotangents themselves through a step, as many at a time as stay in the cache."""
    first, last = _hull(exits)
    size = that_fit(max(value.size for value in exits))
    found: dict[int, list[Array]] = {}
    for low in range(first, last, size):
        high = min(low + size, last)
        seeds = []
        for value, lanes in exits.items():
            rows = np.zeros((high - low, *value.shape), value.dtype)
            begin, end = max(low, lanes.first), max(low, min(high, lanes.rows.stop))
            rows[max(0, begin - low) : end - low] = lanes.array[max(0, begin - lanes.first) : max(0, end - lanes.first)]
            seeds.append(Batched(rows))
        for node, total, _ in sweep(list(exits), seeds, targets, ends=ends):
            found.setdefault(node.id, []).append(dense(total).array)
    alike: dict[tuple[int, ...], Lanes] = {}
    for value in targets:
        if value.id in found:
            parts = tuple(map(id, found[value.id]))
            alike.setdefault(parts, Lanes(first, np.concatenate(found[value.id])))
    return {value.id: alike[tuple(map(id, found[value.id]))] for value in targets if value.id in found}


class _Matrix(NamedTuple):
    """From the units of what arrives to those of what it reaches, (batch, units, units), and where by Tensor id."""

    array: Array
    columns: Mapping[int, tuple[int, int, tuple[int, ...]]]


def _matrix(
    exits: Sequence[Tensor], targets: Sequence[Tensor], ends: Mapping[int, Any], rng: np.random.Generator
) -> _Matrix | None:
    """What a step makes of each unit, in all sequences at once; none if sequences depend on one another."""
    batch, dtype = exits[0].shape[0], exits[0].dtype
    starts = np.cumsum([0, *(value.size // batch for value in exits)])
    units = int(starts[-1])
    rows = np.zeros((units + 1, batch, units), dtype)
    rows[:units] = np.eye(units, dtype=dtype)[:, None]
    rows[units] = rng.normal(size=(batch, units))
    parts = np.split(rows, starts[1:-1], axis=2)
    seeds = [Batched(part.reshape(units + 1, *value.shape)) for part, value in zip(parts, exits, strict=True)]
    swept = {node.id: dense(total).array for node, total, _ in sweep(exits, seeds, targets, ends=ends)}
    alike: dict[int, int] = {}
    blocks: list[Array] = [np.zeros((units + 1, batch, 0), dtype)]
    columns: dict[int, tuple[int, int, tuple[int, ...]]] = {}
    width = 0
    for value in targets:
        if value.id in swept:
            size, found = value.size // batch, swept[value.id]
            if id(found) not in alike:  # what is added has the cotangent of the sum
                alike[id(found)] = width
                blocks.append(found.reshape(units + 1, batch, size))
                width += size
            columns[value.id] = alike[id(found)], size, value.shape
    whole = np.concatenate(blocks, axis=2)
    matrix, random = whole[:units].transpose(1, 0, 2), rows[units][:, None]
    missed = np.abs(np.matmul(random, matrix)[:, 0] - whole[units])
    bound = np.matmul(np.abs(random), np.abs(matrix))
    fits = missed.max(initial=0.0) <= float(np.finfo(dtype).eps) ** 0.6 * bound.max(initial=0.0)
    return _Matrix(matrix, columns) if fits else None


def _applied(exits: Mapping[Tensor, Lanes], matrix: _Matrix) -> dict[int, Lanes]:
    """All cotangents through a step at once."""
    (first, last), (batch, units, width) = _hull(exits), matrix.array.shape
    arriving = np.zeros((last - first, batch, units), matrix.array.dtype)
    start = 0
    for value, lanes in exits.items():
        size = value.size // batch
        arriving[lanes.first - first : lanes.rows.stop - first, :, start : start + size] = lanes.array.reshape(
            len(lanes.array), batch, size
        )
        start += size
    leaving = np.empty((last - first, batch, width), matrix.array.dtype)
    np.matmul(arriving.transpose(1, 0, 2), matrix.array, out=leaving.transpose(1, 0, 2))
    parts: dict[int, Lanes] = {}
    for start, size, shape in matrix.columns.values():
        if start not in parts:
            parts[start] = Lanes(first, leaving[:, :, start : start + size].reshape(-1, *shape))
    return {key: parts[start] for key, (start, _, _) in matrix.columns.items()}

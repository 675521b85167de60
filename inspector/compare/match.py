"""Which operations of two timesteps are the same.

Only operations of one kind can be: the primitive with its settings and constants, and whether a parameter is an
operand, but not that parameter's name or size. The match is the one for which three things add up to the most: how
alike the operations of each pair are (see :mod:`inspector.compare.likeness`); the lines that both have between pairs;
and, against it, pairs that contradict each other in order, half a line each. Frank and Wolfe's method finds one that is
hard to better, each of its steps an assignment problem [1]_.

Of its pairs those stay that go into the same: over operations that no pair has, and at most one that a pair has, both
lead to the same pair, state or output; a learned layer, which stands for all that is in it, over none. So an output
gate is not taken for a reset gate because both are a sigmoid of input and state. What is left is assigned once more to
what goes into the same, which finds what stands behind something that is not. Last, where pairs still contradict each
other in order, so that the merged graph would go round in a circle, one of them is undone; a product with a learned
matrix rather stays.

.. [1] J. T. Vogelstein et al., "Fast approximate quadratic programming for graph matching", PLoS ONE 10(4), 2015.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array

from ..steps.items import Key, leaving
from .likeness import likeness
from .net import Net, Operation

__all__ = ["match_operations"]

_STEPS = 20
_CONTRADICTION = -0.5
_NEARNESS = 0.6
"""What a goal one operation further away counts."""

Array = npt.NDArray[np.float64]
Match = dict[Key, Key]


def match_operations(a: Net, b: Net) -> Match:
    """From the key of each operation of `a` that `b` has, too, to its key there."""
    if not (a.operations and b.operations):
        return {}
    if _text(b) < _text(a):  # so that the order of the two can make no difference
        return {key: other for other, key in _match(b, a).items()}
    return _match(a, b)


def _text(net: Net) -> list[str]:
    return [
        f"{key} {operation.kind} {[str(link.source) for link in operation.links]}"
        for key, operation in net.operations.items()
    ]


def _match(a: Net, b: Net) -> Match:
    alike = likeness(a, b)
    match = _leading_to_the_same(a, b, _aligned(a, b, alike))
    while True:
        free = np.outer([key not in match for key in a.operations], [key not in match.values() for key in b.operations])
        rest = _pairs(a, b, alike * free * _common_goals(a, b, match))
        grown = _leading_to_the_same(a, b, match | rest)
        if len(grown) <= len(match):
            return _in_order(a, b, {key: match[key] for key in a.operations if key in match})
        match = grown


# ---------------------------------------------------------------------------------------- assignment


class _Term(NamedTuple):
    """Two relations, one of each net's operations: what two pairs that stand in them add to the sum."""

    ours: Any
    theirs: Any
    gain: float = 1.0


def _pairs(a: Net, b: Net, gain: Array) -> Match:
    """The pairs whose gains add up to the most."""
    ours, theirs = list(a.operations), list(b.operations)
    rows, columns = linear_sum_assignment(gain, maximize=True)
    return {ours[i]: theirs[j] for i, j in zip(rows, columns, strict=True) if gain[i, j] > 0}


def _aligned(a: Net, b: Net, alike: Array) -> Match:
    """The pairs for which likenesses, common lines and contradictions add up to the most."""
    lines, other_lines = _lines(a), _lines(b)
    terms = [_Term(lines[place], other_lines[place]) for place in sorted(lines.keys() & other_lines.keys())]
    terms.append(_Term(_reach(a, lines), _reach(b, other_lines).T, _CONTRADICTION))
    allowed = alike > 0
    single = alike + _common_ends(a, b)
    weights = alike / max(1.0, alike.sum(0).max(initial=0.0), alike.sum(1).max(initial=0.0))
    for _ in range(_STEPS):
        gain = single.copy()
        for ours, theirs, factor in terms:
            gain += factor * (ours @ weights @ theirs.T + ours.T @ weights @ theirs)
        gain *= allowed
        corner = np.zeros_like(weights)
        corner[linear_sum_assignment(gain, maximize=True)] = 1.0
        step = corner * allowed - weights
        slope = float((gain * step).sum())
        if slope < 1e-9:
            break
        bend = sum(factor * float((ours @ step @ theirs.T * step).sum()) for ours, theirs, factor in terms)
        weights = weights + step * (1.0 if bend >= 0 else min(1.0, -slope / (2 * bend)))
    return _pairs(a, b, np.where(weights > 1e-6, weights, 0.0))


def _lines(net: Net) -> dict[int, Any]:
    """Which operation reads which, a matrix for each place among the operands."""
    index = {key: k for k, key in enumerate(net.operations)}
    found: dict[int, list[tuple[int, int]]] = {}
    for key in net.operations:
        for reader, place in net.uses(key):
            if reader in index:
                found.setdefault(place, []).append((index[reader], index[key]))
    size = (len(index), len(index))
    return {
        place: csr_array((np.ones(len(at)), tuple(zip(*at, strict=True))), shape=size) for place, at in found.items()
    }


def _reach(net: Net, lines: Mapping[int, Any]) -> Array:
    """Which operation needs which, directly or not."""
    reads: Array = np.zeros((len(net.operations),) * 2)
    for matrix in lines.values():
        reads += matrix.toarray()
    for row in reads:  # operands first
        needed = np.flatnonzero(row)
        row[:] = np.maximum(row > 0, reads[needed].max(axis=0, initial=0.0))
    return reads


def _common_ends(a: Net, b: Net) -> Array:
    """How many ports and exits each two operations have in common."""
    ours, theirs = _ends(a), _ends(b)
    names = list(dict.fromkeys(end for bag in [*ours, *theirs] for end in bag))
    left, right = (np.array([[bag[name] for name in names] for bag in bags]) for bags in (ours, theirs))
    common: Array = np.minimum(left[:, None], right[None]).sum(axis=-1).astype(np.float64)
    return common


def _ends(net: Net) -> list[Counter[tuple[int, Key]]]:
    found = []
    for key, operation in net.operations.items():
        ends = [(0 if operation.commutes else place, link.source) for place, link in enumerate(operation.links)]
        ends += [(0, reader) for reader in net.readers[key]]
        found.append(Counter(end for end in ends if end[1] not in net.operations))
    return found


# ---------------------------------------------------------------------------- where operations lead to


def _leading_to_the_same(a: Net, b: Net, match: Mapping[Key, Key]) -> Match:
    """The pairs of which both lead to the same; of those that do not, what others go into is undone first."""
    kept = dict(match)
    index, other_index = ({key: k for k, key in enumerate(net.operations)} for net in (a, b))
    while True:
        common = _common_goals(a, b, kept)
        lost = {key for key, other in kept.items() if not common[index[key], other_index[other]]}
        if not lost:
            return kept
        above: set[Key] = set()
        for key in reversed(a.operations):
            if not above.isdisjoint(a.readers[key]):
                above.add(key)
            elif key in lost:
                above.add(key)
                del kept[key]


def _common_goals(a: Net, b: Net, match: Mapping[Key, Key]) -> Array:
    """Whether each two operations lead to the same pair, state or output; the more the nearer.

    States that only one of the two has are taken for the same.
    """
    columns = {key: k for k, key in enumerate(match)}
    exits: dict[Key | None, int] = {}
    for end in [*a.exits, *b.exits]:
        either = end if end in a.exits and end in b.exits else leaving("")
        exits[end] = columns.setdefault(either, len(columns))
    exits[None] = len(columns)
    straight, past_one = _goals(a, {key: columns[key] for key in match}, exits)
    other_straight, other_past_one = _goals(b, {match[key]: columns[key] for key in match}, exits)
    return straight @ (other_straight + other_past_one).T + past_one @ other_straight.T


def _goals(net: Net, pairs: Mapping[Key, int], exits: Mapping[Key | None, int]) -> tuple[Array, Array]:
    """Which pairs and exits, the last of them nowhere, each operation leads to: past no pair, and past one."""
    index = {key: k for k, key in enumerate(net.operations)}
    straight, past_one = np.zeros((2, len(index), exits[None] + 1))
    for key in reversed(net.operations):
        row = index[key]
        for reader in (*net.readers[key],) or (None,):
            if reader is None or reader in exits:
                straight[row, exits[reader]] = 1.0
                continue
            further = _NEARNESS * straight[index[reader]]
            if reader in pairs:
                straight[row, pairs[reader]] = 1.0
                past_one[row] = np.maximum(past_one[row], further)
            else:
                straight[row] = np.maximum(straight[row], further)
                past_one[row] = np.maximum(past_one[row], _NEARNESS * past_one[index[reader]])
    past_one[[operation.item.layer for operation in net.operations.values()]] = 0.0  # a layer is a gate, with all of it
    return straight, past_one


# -------------------------------------------------------------------------------------------- order


def _in_order(a: Net, b: Net, match: Mapping[Key, Key]) -> Match:
    """Without pairs that contradict each other, and those that mix up the operands of an operation with an order."""
    kept = {
        key: other
        for key, other in match.items()
        if a.operations[key].commutes or not _is_mixed_up(a.operations[key], b.operations[other], match)
    }
    while circle := [key for key in _circle(a, b, kept) if key in kept]:
        del kept[next((key for key in circle if a.operations[key].kind[0] != "matmul"), circle[0])]
    return kept


def _is_mixed_up(one: Operation, other: Operation, match: Mapping[Key, Key]) -> bool:
    ours = [match.get(link.source, link.source) for link in one.links]
    theirs = [link.source for link in other.links]
    return any(p in theirs and p != q for p, q in zip(ours, theirs, strict=False))


def _circle(a: Net, b: Net, match: Mapping[Key, Key]) -> list[Key]:
    """Operations of `a` among those each of which the next one needs."""
    ours = {key: (key, True) for key in a.operations}
    theirs = {key: (key, False) for key in b.operations} | {other: ours[key] for key, other in match.items()}
    sorter: TopologicalSorter[tuple[Key, bool]] = TopologicalSorter()
    for net, names in ((a, ours), (b, theirs)):
        for key, operation in net.operations.items():
            sorter.add(names[key], *(names[link.source] for link in operation.links if link.source in names))
    try:
        sorter.prepare()
    except CycleError as error:
        return [key for key, of_first in error.args[1] if of_first]
    return []

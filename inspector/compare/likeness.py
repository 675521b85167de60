"""How alike the operations of two timesteps are, by Weisfeiler and Lehman's labels.

Round by round, the label of an operation takes up those of its operands, or those of its readers, so that it stands for
an expression, or for ways to the next states, of some depth. Two operations are as alike as the labels found below
them, times those found above: the kernel of [1]_ on what an operation is computed from, and on what it goes into.

.. [1] N. Shervashidze, P. Schweitzer, E. J. van Leeuwen, K. Mehlhorn and K. M. Borgwardt, "Weisfeiler-Lehman graph
   kernels", Journal of Machine Learning Research 12, 2539-2561, 2011.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from ..steps.items import Key, entering
from .net import Net

__all__ = ["likeness"]

_REACH, _DAMPING = 6, 0.6
"""How many lines away labels are looked for, and what those one line further away count."""
_NAMESAKE = 0.01

Array = npt.NDArray[np.float64]
Labels = list[dict[Key, Hashable]]


def likeness(a: Net, b: Net) -> Array:
    """How alike each operation of `a` and each of `b` are, from 0 to 1; 0 where their kinds differ.

    Those of the same name are a little more alike, which decides between equals.
    """
    (below, above), (other_below, other_above) = _bags(a), _bags(b)
    alike: Array = _cosine(below, other_below) * _cosine(above, other_above)
    for i, operation in enumerate(a.operations.values()):
        for j, other in enumerate(b.operations.values()):
            if operation.kind != other.kind:
                alike[i, j] = 0.0
            elif operation.name and operation.name == other.name:
                alike[i, j] += _NAMESAKE
    return alike


def _bags(net: Net) -> tuple[list[Counter[Hashable]], list[Counter[Hashable]]]:
    """The labels found below and above each operation."""
    by_operands = _labels_by_operands(net)
    by_readers = _labels_by_readers(net, by_operands)
    operands = {key: [link.source for link in operation.links] for key, operation in net.operations.items()}
    return (
        [_bag(key, by_operands, lambda place: operands.get(place, ())) for key in net.operations],
        [_bag(key, by_readers, lambda place: net.readers.get(place, ())) for key in net.operations],
    )


def _labels_by_operands(net: Net) -> Labels:
    """The labels of operations and ports, round by round; at first a state is as good as another."""
    operations = net.operations
    ports = {link.source for operation in operations.values() for link in operation.links} - operations.keys()
    first: dict[Key, Hashable] = {key: operation.kind for key, operation in operations.items()}
    second: dict[Key, Hashable] = {key: key for key in ports}
    first |= {key: "x" if key == entering("x") else "state" for key in ports}
    for key, operation in operations.items():
        operands = [first[link.source] for link in operation.links]
        second[key] = (operation.kind, *(sorted(operands, key=repr) if operation.commutes else operands))
    return [first, second]


def _labels_by_readers(net: Net, by_operands: Labels) -> Labels:
    """The labels of operations and exits, round by round, beginning with their kinds and those of their operands."""
    rounds: Labels = [{key: labels[key] for key in net.operations} for labels in by_operands]
    rounds[0] |= dict.fromkeys(net.exits, "exit")
    rounds[1] |= {key: key for key in net.exits}
    last: dict[Key, Hashable] = {key: key for key in net.exits}
    for key in net.operations:
        readers = sorted(((place, rounds[1][reader]) for reader, place in net.uses(key)), key=repr)
        last[key] = (rounds[1][key], "in", *readers)
    return [*rounds, last]


def _bag(start: Key, rounds: Labels, onwards: Callable[[Key], Iterable[Key]]) -> Counter[Hashable]:
    """The labels at `start` and on from there, those further away with less weight."""
    bag: Counter[Hashable] = Counter()
    layer, seen = {start}, {start}
    for distance in range(_REACH):
        for key in layer:
            for number, labels in enumerate(rounds):
                bag[number, labels[key]] += _DAMPING**distance  # type: ignore[assignment]
        layer = {key for near in layer for key in onwards(near)} - seen
        seen |= layer
    return bag


def _cosine(ours: list[Counter[Hashable]], theirs: list[Counter[Hashable]]) -> Array:
    """The cosine of the angle between each two bags."""
    numbers = {label: k for k, label in enumerate(dict.fromkeys(label for bag in [*ours, *theirs] for label in bag))}
    left, right = (_unit_rows(bags, numbers) for bags in (ours, theirs))
    return np.asarray((left @ right.T).toarray())


def _unit_rows(bags: list[Counter[Hashable]], numbers: dict[Hashable, int]) -> Any:
    rows = np.repeat(np.arange(len(bags)), [len(bag) for bag in bags])
    columns = [numbers[label] for bag in bags for label in bag]
    weights = np.array([weight for bag in bags for weight in bag.values()], dtype=np.float64)
    lengths = np.sqrt(np.bincount(rows, weights**2, len(bags)))
    return csr_array((weights / lengths[rows], (rows, columns)), shape=(len(bags), len(numbers)))

"""In which order the items of a row stand, and which of them stand exactly above each other, in a column.

Rows are read from left to right in the order in which the rails need their items. Between rows, lines of an only
operand are kept upright by columns (strands), whose way is kept free by stand-ins.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from ..steps.items import Item, Key, Link, entering
from ..steps.labels import Label
from .rows import Rows, sources_of

__all__ = ["Order", "Spacing", "order_of", "strands"]

_TRUNK = 2
"""By how many items a way has to be longer than all others to the same reader, to be the trunk that leads to it; by one
than those without weights, if it has some.
"""


@dataclass(frozen=True)
class Spacing:
    """Distances in points."""

    row: float = 44.0
    gap: float = 16.0
    left: float = 30.0
    right: float = 46.0
    bus: float = 26.0
    track: float = 8.0


@dataclass(frozen=True)
class Order:
    """The items of a step, from left to right and in columns.

    Attributes
    ----------
    row, column : dict
        Key to row and to the number of the column, stand-ins included.
    lanes : list of list of Item
        The items and stand-ins of each row from left to right.
    beside : list of (Item, Item)
        Of different rows, the first of which stands left of the second.
    hanging : frozenset of str
        What hangs from a rail, and stands to the right.
    reading : dict
        Key to its number in the order of reading.
    """

    row: dict[Key, int]
    column: dict[Key, int]
    lanes: list[list[Item]]
    beside: list[tuple[Item, Item]]
    hanging: frozenset[Key]
    reading: dict[Key, int]

    def neighbours(self) -> Iterator[tuple[Item, Item]]:
        """What stands left of what."""
        for lane in self.lanes:
            yield from itertools.pairwise(lane)
        yield from self.beside

    def is_left(self, a: Key, b: Key) -> bool:
        """Whether the first stands left of the second where both are in one row."""
        return (a in self.hanging, self.reading[a]) < (b in self.hanging, self.reading[b])


def order_of(items: Sequence[Item], rows: Rows, rails: dict[str, list[Key]]) -> Order:
    """The order of every row, and the columns: strands, but for those that would have to stand on both sides of
    another.
    """
    row, hanging = dict(rows.row), rows.hanging
    reading = _reading_order(items, hanging, rails)
    head = _untangled(strands(items, rails, row), _lanes(items, row, hanging, reading))
    everything = [*items, *_kept_free(items, head, row, reading)]
    lanes = _lanes(everything, row, hanging, reading)
    head = _untangled(head, lanes)
    beside = _right_of_the_gates(items, hanging, rails)
    if _cycle(head, lanes, [(head[a.key], head[b.key]) for a, b in beside if head[a.key] != head[b.key]]):
        beside = []
    number = {strand: k for k, strand in enumerate(dict.fromkeys(head.values()))}
    column = {key: number[strand] for key, strand in head.items()}
    return Order(row, column, [*lanes.values()], beside, hanging, reading)


def _lanes(
    items: Iterable[Item], row: dict[Key, int], hanging: frozenset[Key], order: dict[Key, int]
) -> dict[int, list[Item]]:
    """The items of each row from left to right."""
    lanes: dict[int, list[Item]] = {}
    for item in sorted(items, key=lambda i: (i.key in hanging, order[i.key])):
        lanes.setdefault(row[item.key], []).append(item)
    return lanes


def _untangled(head: dict[Key, Key], lanes: dict[int, list[Item]]) -> dict[Key, Key]:
    """The strands, without those that would have to stand both left and right of another."""
    head = dict(head)
    while cycle := _cycle(head, lanes):
        sizes = Counter(head.values())
        longest = max(cycle, key=lambda strand: (sizes[strand], str(strand)))
        head.update({key: key for key, strand in head.items() if strand == longest})
    return head


def _cycle(head: dict[Key, Key], lanes: dict[int, list[Item]], more: Sequence[tuple[Key, Key]] = ()) -> list[Key]:
    """Strands each of which has to stand left of the next, and the last left of the first; empty if there are none."""
    sorter: TopologicalSorter[Key] = TopologicalSorter()
    for lane in lanes.values():
        for a, b in itertools.pairwise(lane):
            sorter.add(head[b.key], head[a.key])
    for left, right in more:
        sorter.add(right, left)
    try:
        sorter.prepare()
    except CycleError as error:
        return list(dict.fromkeys(error.args[1]))
    return []


def _right_of_the_gates(
    items: Sequence[Item], hanging: frozenset[Key], rails: dict[str, list[Key]]
) -> list[tuple[Item, Item]]:
    """Pairs of something that feeds a rail and something that hangs from one: the second stands to the right."""
    feeding = {key for path in rails.values() for key in path}
    for item in reversed(items):
        if item.key in feeding:
            feeding |= {link.source for link in item.links}
    on_rail = {key for path in rails.values() for key in path}
    left = [item for item in items if item.key in feeding - on_rail - hanging]
    right = [item for item in items if item.key in hanging - feeding]
    return [(a, b) for a in left for b in right]


def _kept_free(items: Sequence[Item], head: dict[Key, Key], row: dict[Key, int], order: dict[Key, int]) -> list[Item]:
    """Stand-ins that keep the rows between two members of a strand free for the line between them."""
    gaps: list[Item] = []
    taken = {(head[item.key], row[item.key]) for item in items}
    for item in items:
        for source in dict.fromkeys(s for s, *_ in item.links if head.get(s) == head[item.key]):
            low, high = sorted((row[source], row[item.key]))
            for k in range(low + 1, high):
                if (head[source], k) in taken:
                    continue
                key = Key("gap", number=len(gaps))
                gaps.append(Item(key, "gap", Label(""), "value", (0.0, 0.0), (Link(source),)))
                row[key], order[key], head[key] = k, order[source], head[source]
    return gaps


def strands(items: Sequence[Item], rails: dict[str, list[Key]], row: dict[Key, int]) -> dict[Key, Key]:
    """Items that should stand exactly above each other, by the key of their strand's first item.

    An item continues the strand of an operand if neither has another partner; what several read goes on to
    the rail. Neighbours on a rail, which stand side by side, do not count as partners, and of several
    operands the only one in the next row, or the trunk that leads to it, counts alone.
    """
    rail = {key: state for state, path in rails.items() for key in path}
    depth, learned = _depths(items), _learned(items)
    read = Counter(source for item in items for source in sources_of(item))
    pairs: list[tuple[Key, Key]] = []
    for item in items:
        sources = [source for source in sources_of(item) if source in depth]
        apart = [s for s in sources if s not in rail or rail.get(item.key) != rail[s]]
        next_to = [s for s in apart if abs(row[s] - row[item.key]) == 1]
        trunk = [s for s in next_to if read[s] == 1 and all(_outgrows(s, o, depth, learned) for o in next_to if o != s)]
        pairs += [(s, item.key) for s in (next_to if len(next_to) == 1 else trunk or apart)]
    operands = Counter(target for _, target in pairs)
    readers = Counter(source for source, _ in pairs)
    onto_rail = Counter(source for source, target in pairs if target in rail)
    head = {item.key: item.key for item in items}
    for source, target in pairs:
        if source in rail and operands[source]:
            continue
        if any(row[key] == row[target] for key, strand in head.items() if strand == head[source]):
            continue
        if operands[target] == 1 and (readers[source] == 1 or (target in rail and onto_rail[source] == 1)):
            head[target] = head[source]
    return head


def _outgrows(key: Key, other: Key, depth: dict[Key, int], learned: set[Key]) -> bool:
    """Whether the way to the one is the trunk rather than that to the other: much longer, or longer and with weights
    where the other has none.
    """
    return depth[key] - depth[other] >= (1 if key in learned and other not in learned else _TRUNK)


def _learned(items: Sequence[Item]) -> set[Key]:
    """What has a parameter among its operands, or is computed from such."""
    found: set[Key] = set()
    for item in items:
        if item.learned or item.layer or not found.isdisjoint(sources_of(item)):
            found.add(item.key)
    return found


def _depths(items: Sequence[Item]) -> dict[Key, int]:
    """How many items stand one after the other up to each."""
    depth: dict[Key, int] = {}
    for item in items:
        depth[item.key] = 1 + max((depth.get(source, 0) for source in sources_of(item)), default=0)
    return depth


def _reading_order(items: Sequence[Item], hanging: frozenset[Key], rails: dict[str, list[Key]]) -> dict[Key, int]:
    """Columns from left to right: in the order in which the rails, and then their ends, need them."""
    by_key = {item.key: item for item in items}
    ends = [key for path in rails.values() for key in path]
    ends += [i.key for i in items if i.key in hanging]
    read = {link.source for item in items for link in item.links}
    ends += [item.key for item in items if item.key not in read]
    ends += [item.key for item in items]
    order: dict[Key, int] = {}
    for end in ends:
        stack: list[tuple[Key, bool]] = [(end, False)]
        while stack:
            key, done = stack.pop()
            if key in order:
                continue
            if done:
                order[key] = len(order)
                continue
            stack.append((key, True))
            sources = [link.source for link in by_key[key].links if link.source in by_key]
            stack += [(source, False) for source in reversed(_states_first(sources, by_key))]
    return order


def _states_first(sources: list[Key], by_key: dict[Key, Item]) -> list[Key]:
    """What a state alone feeds to the left, where states come from."""

    def rank(key: Key) -> int:
        return 1 if any(link.source == entering("x") for link in by_key[_root(key, by_key)].links) else 0

    return sorted(sources, key=rank)


def _root(key: Key, by_key: dict[Key, Item]) -> Key:
    """The first item of a strand of single operands."""
    while len(by_key[key].links) == 1 and by_key[key].links[0].source in by_key:
        key = by_key[key].links[0].source
    return key

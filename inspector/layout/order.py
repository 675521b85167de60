"""Where the items of one timestep stand across: rows ordered so that lines rarely cross, then pulled straight."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from ..steps.items import Item, Link, entering

__all__ = ["CLOSE", "Spacing", "across", "mean", "spread", "strands"]

CLOSE = 3.5
"""Points; the router keeps its lines at least so far apart."""


@dataclass(frozen=True)
class Spacing:
    """Distances in points."""

    row: float = 44.0
    gap: float = 16.0
    left: float = 30.0
    right: float = 46.0
    bus: float = 20.0
    track: float = 8.0


def across(
    items: Sequence[Item], row: dict[str, int], hanging: set[str], rails: dict[str, list[str]], spacing: Spacing
) -> dict[str, float]:
    """The x of every item: rows ordered so that lines rarely cross, then pulled straight."""
    order = _reading_order(items, hanging, rails)
    head = _untangled(strands(items, rails, row), _lanes(items, row, hanging, order))
    items = [*items, *_kept_free(items, head, row, order)]
    lanes = _lanes(items, row, hanging, order)
    head = _untangled(head, lanes)
    gaps = {
        k: [a.reach[1] + b.reach[0] + spacing.gap for a, b in itertools.pairwise(lane)] for k, lane in lanes.items()
    }
    neighbours = _neighbours(items, rails, row, hanging, spacing.gap)
    x = _pulled(neighbours, lanes, gaps)
    beside = [
        (head[a.key], head[b.key], a.reach[1] + b.reach[0] + spacing.gap)
        for a, b in _right_of_the_gates(items, hanging, rails)
        if head[a.key] != head[b.key]
    ]
    if _cycle(head, lanes, [(a, b) for a, b, _ in beside]):
        beside = []
    x = _straightened(x, head, lanes, gaps, neighbours, beside)
    left = min((x[i.key] - i.reach[0] for i in items), default=0.0)
    return _aligned({i.key: round(x[i.key] - left + spacing.left, 1) for i in items if i.shape != "gap"})


def _aligned(x: dict[str, float]) -> dict[str, float]:
    """Exactly above each other where it is nearly so: lines so close could not be told apart."""
    nearest: dict[float, float] = {}
    last = -math.inf
    for value in sorted(x.values()):
        last = value if value - last > CLOSE else last
        nearest[value] = last
    return {key: nearest[value] for key, value in x.items()}


def _lanes(
    items: Iterable[Item], row: dict[str, int], hanging: set[str], order: dict[str, int]
) -> dict[int, list[Item]]:
    """The items of each row from left to right."""
    lanes: dict[int, list[Item]] = {}
    for item in sorted(items, key=lambda i: (i.key in hanging, order[i.key])):
        lanes.setdefault(row[item.key], []).append(item)
    return lanes


def _untangled(head: dict[str, str], lanes: dict[int, list[Item]]) -> dict[str, str]:
    """The strands, without those that would have to stand both left and right of another."""
    head = dict(head)
    while cycle := _cycle(head, lanes):
        sizes = Counter(head.values())
        longest = max(cycle, key=lambda strand: (sizes[strand], strand))
        head.update({key: key for key, strand in head.items() if strand == longest})
    return head


def _cycle(head: dict[str, str], lanes: dict[int, list[Item]], more: Sequence[tuple[str, str]] = ()) -> list[str]:
    """Strands each of which has to stand left of the next, and the last left of the first; empty if there are none."""
    sorter: TopologicalSorter[str] = TopologicalSorter()
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
    items: Sequence[Item], hanging: set[str], rails: dict[str, list[str]]
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


def _kept_free(items: Sequence[Item], head: dict[str, str], row: dict[str, int], order: dict[str, int]) -> list[Item]:
    """Stand-ins that keep the rows between two members of a strand free for the line between them."""
    gaps = []
    taken = {(head[item.key], row[item.key]) for item in items}
    for item in items:
        for source in dict.fromkeys(s for s, *_ in item.links if head.get(s) == head[item.key]):
            low, high = sorted((row[source], row[item.key]))
            for k in range(low + 1, high):
                if (head[source], k) in taken:
                    continue
                key = f"{source}->{item.key}@{k}"
                gaps.append(Item(key, "gap", "", "value", (0.0, 0.0), (Link(source),)))
                row[key], order[key], head[key] = k, order[source], head[source]
    return gaps


def _pulled(
    neighbours: dict[str, list[tuple[str, float]]], lanes: dict[int, list[Item]], gaps: dict[int, list[float]]
) -> dict[str, float]:
    """Each item as near to the middle of its neighbours as its row allows."""
    x: dict[str, float] = {}
    for k, lane in lanes.items():
        x.update(zip((i.key for i in lane), itertools.accumulate([0.0, *gaps[k]]), strict=True))
    for _ in range(60):
        for k in (*sorted(lanes), *sorted(lanes, reverse=True)):
            wish = [mean((x[n] + d for n, d in neighbours[i.key]), x[i.key]) for i in lanes[k]]
            x.update(zip((i.key for i in lanes[k]), spread(wish, gaps[k]), strict=True))
    return x


def _neighbours(
    items: Sequence[Item], rails: dict[str, list[str]], row: dict[str, int], hanging: set[str], gap: float
) -> dict[str, list[tuple[str, float]]]:
    """Whom each item would like to stand above or below, or how far to the right of whom.

    The only operand of an item counts three times. What hangs from a rail follows it, and pulls it along
    only where nothing feeds it from below; such an item stays beside its neighbour on the rail.
    """
    found: dict[str, list[tuple[str, float]]] = {item.key: [] for item in items}
    size = {item.key: item.size[0] for item in items}
    readers = Counter(link.source for item in items if item.shape != "gap" for link in item.links)
    on_rail = {key for path in rails.values() for key in path}
    fed = {i.key for i in items if any(s in found and s not in on_rail for s, *_ in i.links)}
    for item in items:
        sources = [
            s
            for s, *_ in item.links
            if s in found and not ({s, item.key} <= on_rail and (item.key in fed or row[s] != row[item.key]))
        ]
        for source in sources:
            if row[source] == row[item.key]:
                found[item.key].append((source, (size[source] + size[item.key]) / 2 + gap))
                continue
            found[item.key] += [(source, 0.0)] * (3 if len(sources) == 1 else 1)
            if not (source in on_rail and source in fed and item.key in hanging):
                found[source] += [(item.key, 0.0)] * (3 if len(sources) == 1 and readers[source] == 1 else 1)
    for path in rails.values():
        for before, key in itertools.pairwise(path):
            found[key] = found[key] or [(before, (size[before] + size[key]) / 2 + gap)]
    return found


def strands(items: Sequence[Item], rails: dict[str, list[str]], row: dict[str, int]) -> dict[str, str]:
    """Items that should stand exactly above each other, by the key of their strand's first item.

    An item continues the strand of an operand if neither has another partner; what several read goes on to
    the rail. Neighbours on a rail, which stand side by side, do not count as partners, and of several
    operands the only one in the next row counts alone.
    """
    rail = {key: state for state, path in rails.items() for key in path}
    pairs: list[tuple[str, str]] = []
    known = {item.key for item in items}
    for item in items:
        sources = dict.fromkeys(link.source for link in item.links if link.source in known)
        apart = [s for s in sources if s not in rail or rail.get(item.key) != rail[s]]
        next_to = [s for s in apart if abs(row[s] - row[item.key]) == 1]
        pairs += [(s, item.key) for s in (next_to if len(next_to) == 1 else apart)]
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


def _straightened(
    x: dict[str, float],
    head: dict[str, str],
    lanes: dict[int, list[Item]],
    gaps: dict[int, list[float]],
    neighbours: dict[str, list[tuple[str, float]]],
    beside: list[tuple[str, str, float]],
) -> dict[str, float]:
    """Strands made vertical, each as near to the middle of its neighbours as the others allow."""
    members: dict[str, list[str]] = {}
    for key, strand in head.items():
        members.setdefault(strand, []).append(key)
    pairs = [
        (head[a.key], head[b.key], gap)
        for k, lane in lanes.items()
        for a, b, gap in zip(lane, lane[1:], gaps[k], strict=False)
    ]
    pairs += beside
    at = {strand: mean([x[key] for key in keys], 0.0) for strand, keys in members.items()}
    wishes = {
        s: [(head[n], d) for key in keys for n, d in neighbours[key] if head[n] != s] for s, keys in members.items()
    }
    for _ in range(len(at)):
        for a, b, gap in pairs:
            at[b] = max(at[b], at[a] + gap)
    for _ in range(40):
        for strand in (*at, *reversed(at)):
            low = max((at[a] + gap for a, b, gap in pairs if b == strand), default=-math.inf)
            high = min((at[b] - gap for a, b, gap in pairs if a == strand), default=math.inf)
            wish = mean([at[n] + d for n, d in wishes[strand]], at[strand])
            at[strand] = max(low, min(high, wish)) if low <= high else at[strand]
    return {key: at[strand] for key, strand in head.items()}


def _reading_order(items: Sequence[Item], hanging: set[str], rails: dict[str, list[str]]) -> dict[str, int]:
    """Columns from left to right: in the order in which the rails, and then their ends, need them."""
    by_key = {item.key: item for item in items}
    ends = [key for path in rails.values() for key in path]
    ends += [i.key for i in items if i.key in hanging]
    read = {link.source for item in items for link in item.links}
    ends += [item.key for item in items if item.key not in read]
    ends += [item.key for item in items]
    order: dict[str, int] = {}
    for end in ends:
        stack: list[tuple[str, bool]] = [(end, False)]
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


def _states_first(sources: list[str], by_key: dict[str, Item]) -> list[str]:
    """What a state alone feeds to the left, where states come from."""

    def rank(key: str) -> int:
        return 1 if any(link.source == entering("x") for link in by_key[_root(key, by_key)].links) else 0

    return sorted(sources, key=rank)


def _root(key: str, by_key: dict[str, Item]) -> str:
    """The first item of a strand of single operands."""
    while len(by_key[key].links) == 1 and by_key[key].links[0].source in by_key:
        key = by_key[key].links[0].source
    return key


def mean(values: Iterable[float], default: float) -> float:
    found = list(values)
    return sum(found) / len(found) if found else default


def spread(wish: Sequence[float], gaps: Sequence[float]) -> list[float]:
    """The positions nearest to `wish` (least squares) that keep their order and at least `gaps` apart.

    Subtracting the running gaps turns it into isotonic regression, which pooling adjacent violators
    solves exactly.
    """
    offsets = [0.0]
    for gap in gaps:
        offsets.append(offsets[-1] + gap)
    pools: list[tuple[float, int]] = []
    for value, offset in zip(wish, offsets, strict=True):
        mean, count = value - offset, 1
        while pools and pools[-1][0] > mean:
            other, size = pools.pop()
            mean, count = (mean * count + other * size) / (count + size), count + size
        pools.append((mean, count))
    flat = [mean for mean, count in pools for _ in range(count)]
    return [mean + offset for mean, offset in zip(flat, offsets, strict=True)]

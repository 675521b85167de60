"""Where the items of one timestep stand: states as rails on top, gates in columns below them.

Operations rise from the inputs at the bottom, one row for each operand that has to come first. A state
with a highway (see :func:`~.items.diagonal_path`) becomes a straight rail above them. What is computed
from a rail's end, like the output of an LSTM, hangs down to the right of it.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter

from .items import Item, Link, Step, diagonal_path, entering

__all__ = ["Placement", "Spacing", "highways", "place", "rail_row", "spread", "strands"]

_BESIDE = 13.0
"""Points between a shape and the chip beside it."""


_CLOSE = 3.5
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


@dataclass(frozen=True)
class Placement:
    """Positions within a step's frame, whose lower left corner is the origin.

    Attributes
    ----------
    at : dict
        Item key to the centre (x, y).
    rails : dict
        State name to the height at which it enters and leaves.
    highways : frozenset of str
        The states that pass straight through on a rail.
    x_port, output_port : float
        Where the input enters from below and the output leaves upwards.
    width, height : float
        Of the frame.
    title : float
        Width of the label in the frame's upper left corner, which lines leave free.
    """

    at: dict[str, tuple[float, float]]
    rails: dict[str, float]
    highways: frozenset[str]
    x_port: float
    output_port: float
    width: float
    height: float
    title: float = 0.0


def highways(step: Step) -> dict[str, list[str]]:
    """The states that have a rail, with the items on it from left to right; the output's own circle is not on it.

    A mask that merely holds a state is no highway.
    """
    found = {}
    for state, _ in step.states:
        path = [key for key in diagonal_path(step, state) if key != step.output]
        if any(node.op != "where" for key in path for node in step.by_key[key].nodes):
            found[state] = path
    return found


def rail_row(step: Step, states: frozenset[str]) -> int:
    """The lowest row in which the rails of `states` can stand."""
    rails = {state: path for state, path in highways(step).items() if state in states}
    on_rail = {key for path in rails.values() for key in path}
    row, hanging = _rows(_with_wings(_inside(step), on_rail)[0], on_rail)
    return _level(row, hanging, rails)


def _inside(step: Step) -> list[Item]:
    return [item for item in step.items if item.key != step.output]


def _level(row: dict[str, int], hanging: set[str], rails: dict[str, list[str]]) -> int:
    on_rail = {key for path in rails.values() for key in path}
    body = max((r + 1 for key, r in row.items() if key not in on_rail | hanging), default=1)
    return max([body, *(1 - row[key] for key in hanging)])


def place(step: Step, spacing: Spacing, states: frozenset[str], level: int, title: float = 0.0) -> Placement:
    """Positions for every item of `step`.

    Parameters
    ----------
    states : frozenset of str
        The states that get a rail.
    level : int
        The row of the lowest rail, see :func:`rail_row`.
    title : float
        Width of the frame's label.
    """
    rails = {state: path for state, path in highways(step).items() if state in states}
    on_rail = {key for path in rails.values() for key in path}
    inside, chips = _with_wings(_inside(step), on_rail)
    row, hanging = _rows(inside, on_rail)
    heights = {state: level + k for k, state in enumerate(reversed(rails))}
    for state, path in rails.items():
        row.update(dict.fromkeys(path, heights[state]))
    row.update({key: level + row[key] for key in hanging})
    row.update({item.key: level - 1 for item in inside if item.beside})
    buses = [state for state, _ in step.states if state not in rails]
    aside = spacing.track * max(0, len(buses) - 1)
    spacing = replace(spacing, left=spacing.left + aside, right=spacing.right + aside)
    x = _columns(inside, row, hanging, rails, spacing)
    width = max((x[i.key] + i.reach[1] for i in inside), default=40.0) + spacing.right
    if width < title + 46:
        x = {key: round(at + (title + 46 - width) / 2, 1) for key, at in x.items()}
        width = title + 46
    base = spacing.bus * (len(buses) + 2) + 12
    at = {key: (x[key], base + spacing.row * (row[key] - 1) + 14) for key in x}
    at |= {chip: (round(at[reader][0] + way, 1), at[reader][1]) for chip, reader, way in chips}
    tops = {state: base + spacing.row * (heights[state] - 1) + 14 for state in rails}
    bottoms = {state: spacing.bus * (k + 1) + 6 for k, state in enumerate(buses)}
    top = max([*row.values(), level if rails else 1])
    return Placement(
        at, {**tops, **bottoms}, frozenset(rails), _x_port(inside, x, {entering(state) for state in buses}, width),
        width - 18.0, width, base + spacing.row * (top - 1) + 14 + 42, title,
    )  # fmt: skip


def _x_port(items: Sequence[Item], x: dict[str, float], buses: set[str], width: float) -> float:
    """Below the middle of what reads the input, exactly below an item that stands there.

    But not below what reads a state alone that comes from below as well.
    """
    sources = {item.key: {link.source for link in item.links} for item in items}
    readers = [x[key] for key, read in sources.items() if entering("x") in read]
    middle = _mean(readers, width / 2)
    below = [at for at in readers if abs(at - middle) < 8] + [at for at in x.values() if abs(at - middle) <= _CLOSE]
    port = below[0] if below else round(middle, 1)
    risers = [x[key] for key, read in sources.items() if read & buses and entering("x") not in read]
    shifts = itertools.chain.from_iterable((12.0 * k, -12.0 * k) for k in range(len(risers) + 2))
    return next((port + shift for shift in shifts if all(abs(port + shift - riser) > 8 for riser in risers)), port)


def _with_wings(items: list[Item], on_rail: set[str]) -> tuple[list[Item], list[tuple[str, str, float]]]:
    """The items that are no chips, with room for theirs; and each chip, what it stands beside, and how far.

    The first stands to the right, the second to the left. A rail leaves no room: chips feed it from below.
    """
    chips = {item.key: item for item in items if item.beside}
    placed: list[tuple[str, str, float]] = []
    wide: dict[str, Item] = {}
    for item in items:
        own = [link.source for link in item.links if link.source in chips] if item.key not in on_rail else []
        wings = [*item.wings]
        for side, chip in zip((1, 0), own, strict=False):
            width = chips[chip].size[0]
            wings[side] += _BESIDE + width
            placed.append((chip, item.key, (item.size[0] / 2 + _BESIDE + width / 2) * (1 if side else -1)))
        wide[item.key] = replace(item, wings=(wings[0], wings[1]))
    beside = {chip for chip, _, _ in placed}
    return [item for key, item in wide.items() if key not in beside], placed


def _rows(items: Iterable[Item], on_rail: set[str]) -> tuple[dict[str, int], set[str]]:
    """Row of every item: from 1 upwards, or for what hangs from a rail from -1 downwards."""
    row: dict[str, int] = {}
    hanging: set[str] = set()
    for item in items:
        sources = [link.source for link in item.links]
        above = [s for s in sources if s in on_rail or s in hanging]
        if item.key in on_rail:
            row[item.key] = 0
        elif above:
            hanging.add(item.key)
            row[item.key] = min(row[s] for s in above) - 1
        else:
            row[item.key] = 1 + max((row[s] for s in sources if s in row), default=0)
    _lift(items, row, on_rail | hanging)
    return row, hanging


def _lift(items: Iterable[Item], row: dict[str, int], fixed: set[str]) -> None:
    """Bring operations that wait for nothing but the inputs next to what reads them."""
    readers: dict[str, list[str]] = {}
    for item in items:
        for link in item.links:
            readers.setdefault(link.source, []).append(item.key)
    for item in reversed(list(items)):
        alone = not any(link.source in row for link in item.links)
        above = [row[key] for key in readers.get(item.key, []) if key not in fixed]
        if item.key not in fixed and above and alone:
            row[item.key] = max(row[item.key], min(above) - 1)


def _columns(
    items: Sequence[Item], row: dict[str, int], hanging: set[str], rails: dict[str, list[str]], spacing: Spacing,
) -> dict[str, float]:  # fmt: skip
    """The x of every item: rows ordered so that lines rarely cross, then pulled straight."""
    order = _reading_order(items, hanging, rails)
    head = _untangled(strands(items, rails, row), _lanes(items, row, hanging, order))
    items = [*items, *_kept_free(items, head, row, order)]
    lanes = _lanes(items, row, hanging, order)
    head = _untangled(head, lanes)
    gaps = {
        k: [a.reach[1] + b.reach[0] + spacing.gap for a, b in itertools.pairwise(lane)]
        for k, lane in lanes.items()
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
        last = value if value - last > _CLOSE else last
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


def _cycle(
    head: dict[str, str], lanes: dict[int, list[Item]], more: Sequence[tuple[str, str]] = ()
) -> list[str]:
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


def _kept_free(
    items: Sequence[Item], head: dict[str, str], row: dict[str, int], order: dict[str, int]
) -> list[Item]:
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
            wish = [_mean((x[n] + d for n, d in neighbours[i.key]), x[i.key]) for i in lanes[k]]
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
        sources = [s for s, *_ in item.links if s in found and not ({s, item.key} <= on_rail and (item.key in fed or row[s] != row[item.key]))]
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


def strands(
    items: Sequence[Item], rails: dict[str, list[str]], row: dict[str, int]
) -> dict[str, str]:
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
    at = {strand: _mean([x[key] for key in keys], 0.0) for strand, keys in members.items()}
    wishes = {s: [(head[n], d) for key in keys for n, d in neighbours[key] if head[n] != s] for s, keys in members.items()}
    for _ in range(len(at)):
        for a, b, gap in pairs:
            at[b] = max(at[b], at[a] + gap)
    for _ in range(40):
        for strand in (*at, *reversed(at)):
            low = max((at[a] + gap for a, b, gap in pairs if b == strand), default=-math.inf)
            high = min((at[b] - gap for a, b, gap in pairs if a == strand), default=math.inf)
            wish = _mean([at[n] + d for n, d in wishes[strand]], at[strand])
            at[strand] = max(low, min(high, wish)) if low <= high else at[strand]
    return {key: at[strand] for key, strand in head.items()}


def _reading_order(
    items: Sequence[Item], hanging: set[str], rails: dict[str, list[str]]
) -> dict[str, int]:
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


def _mean(values: Iterable[float], default: float) -> float:
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



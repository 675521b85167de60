"""Which operations of two timesteps are the same.

Operations can only be the same if their kinds are: the primitive with its settings and constants, and whether a
parameter is an operand, but not that parameter's name or size. Of such pairs, one number says how alike the
expressions below them are, leaves included, operands of commutative operations in any order; and another how alike
the ways are on which they get to the next states and the output. The pairs that are alike in both are matched, best
first, those that read the same state before others, names of gates deciding between equals. Where nothing that reads
the two is matched itself, the match is undone, so that an output gate is not taken for a reset gate because both are
a sigmoid of input and state; but an expression that each cell has exactly once, equal down to the leaves, is the same
wherever it goes. Then what is left below a match is paired by kind, products with learned matrices first, which finds
what was moved, and stays if operands and readers agree nearby. Last, where two matches contradict each other in
order, so that the merged graph would go round in a circle, the later one is undone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from typing import Any, TypeAlias

from ..steps.items import Item, Link, Step, entering, leaving
from ..steps.labels import symbol
from ..steps.levels import JOIN

__all__ = ["OUTPUT", "Net", "Operation", "matched", "net_of"]

OUTPUT = "output"
_OWN, _NAMESAKE, _OTHER_STATE = 0.4, 0.01, 0.5
_SAME_STATE = 1.25
_NEAREST, _REACH = 32, 4
Likeness: TypeAlias = dict[tuple[str, str], float]


@dataclass(frozen=True)
class Operation:
    """An item without the value that is drawn beside it.

    `links` read operations and ports, never values; `value` is the item of the value, if it has a name.
    """

    item: Item
    kind: tuple[Any, ...]
    links: tuple[Link, ...]
    value: Item | None

    @property
    def commutes(self) -> bool:
        """Whether its operands have no order; a learned layer's have none."""
        return self.item.layer or (bool(self.item.nodes) and self.item.nodes[0].primitive.commutative)

    @property
    def name(self) -> str:
        """Of its value, if that has one."""
        named_layer = self.item.layer and self.item.value is not None
        return self.value.label if self.value is not None else self.item.key if named_layer else ""


@dataclass(frozen=True)
class Net:
    """The operations of a step by key, operands first; and what leaves: each state, and the output."""

    operations: dict[str, Operation]
    exits: dict[str, str]

    @cached_property
    def readers(self) -> dict[str, list[str]]:
        """The operations and exits that read each operation."""
        found: dict[str, list[str]] = {key: [] for key in self.operations}
        for key, operation in self.operations.items():
            for link in operation.links:
                found.setdefault(link.source, []).append(key)
        for name, key in self.exits.items():
            found.setdefault(key, []).append(leaving(name))
        return found


def net_of(step: Step) -> Net:
    """The operations of `step`, in which lines that were joined on the way are apart again."""
    away = {
        item.key: item.links[0].source
        for item in step.items
        if item.value is not None and item.links and not item.layer
    }
    values = {away[item.key]: item for item in step.items if item.key in away and item.key != step.output}
    values |= {away[item.key]: item for item in step.items if item.key == step.output and away[item.key] not in values}
    joined = step.by_key[JOIN].links if JOIN in step.by_key else ()
    operations = {}
    for item in step.items:
        if item.key in away or item.key == JOIN:
            continue
        lines = [line for link in item.links for line in (joined if link.source == JOIN else (link,))]
        links = tuple(line._replace(source=away.get(line.source, line.source)) for line in lines)
        operations[item.key] = Operation(item, _kind(item, step.timestep), links, values.get(item.key))
    exits = {name: away.get(key, key) for name, key in step.states}
    if step.output:
        exits[OUTPUT] = away[step.output]
    return Net(operations, exits)


def _kind(item: Item, timestep: int) -> tuple[Any, ...]:
    """What two operations must have in common."""
    if not item.nodes:
        node = item.value
        older = node is not None and node.timestep is not None
        return ("from", node.name if node is not None else "", timestep - node.timestep if older else None)  # type: ignore[union-attr,operator]
    node = item.nodes[0]
    if item.layer:
        return (node.op, "layer")
    if node.op == "getitem":
        return (node.op, _share(node))
    settings = tuple(
        (name, repr(v))
        for name, v in sorted(node.attributes.items())
        if isinstance(v, (int, str, bool, tuple)) and "shape" not in name
    )
    return (node.op, item.learned, item.label.startswith(symbol(node.op)) if item.learned else item.label, settings)


def _share(node: Any) -> tuple[Any, ...]:
    """Which part a slice takes, whatever the size."""
    index = node.attributes.get("index")
    parts = index if isinstance(index, tuple) else (index,)
    sizes = node.tensor.values[0].shape
    return tuple(
        (
            Fraction(part.start or 0, max(1, size)),
            Fraction(size if part.stop is None else part.stop, max(1, size)),
            part.step,
        )
        if isinstance(part, slice)
        else repr(part)
        for part, size in zip(parts, sizes, strict=False)
    )


# ------------------------------------------------------------------------------------------ matching


def matched(a: Net, b: Net) -> dict[str, str]:
    """From the key of each operation of `a` that `b` has, too, to its key there."""
    if _text(b) < _text(a):  # so that the order of the two can make no difference
        return {key: other for other, key in _matched(b, a).items()}
    return _matched(a, b)


def _text(net: Net) -> list[str]:
    return [
        f"{key} {operation.kind} {[link.source for link in operation.links]}"
        for key, operation in net.operations.items()
    ]


def _matched(a: Net, b: Net) -> dict[str, str]:
    below, above = _likeness(a, b)
    match = _best_first(a, b, below, above)
    _supported(a, b, match)
    same = _same_expressions(below, match)
    match.update(same)
    _completed(a, b, match, below)
    _grounded(a, b, match, same)
    _in_order(a, b, match)
    return match


def _candidates(a: Net, b: Net) -> dict[str, list[str]]:
    """The operations of `b` of the same kind; of very many the nearest in place."""
    kinds: dict[tuple[Any, ...], tuple[list[str], list[str]]] = {}
    for side, net in enumerate((a, b)):
        for key, operation in net.operations.items():
            kinds.setdefault(operation.kind, ([], []))[side].append(key)
    found: dict[str, list[str]] = {}
    for ours, theirs in kinds.values():
        for k, key in enumerate(ours):
            middle = k * len(theirs) // len(ours)
            found[key] = theirs[max(0, middle - _NEAREST) : middle + _NEAREST]
    return found


def _likeness(a: Net, b: Net) -> tuple[Likeness, Likeness]:
    """How alike the operations of each pair of one kind are, looking down and looking up."""
    candidates = _candidates(a, b)
    below: Likeness = {}
    for key, operation in a.operations.items():
        for other in candidates[key]:
            below[key, other] = _below(operation, b.operations[other], below)
    above: Likeness = {}
    for key in reversed(a.operations):
        for other in candidates[key]:
            above[key, other] = _shared(a.readers[key], b.readers[other], lambda r, s: _use(r, s, above, below))
    return below, above


def _best_first(a: Net, b: Net, below: Likeness, above: Likeness) -> dict[str, str]:
    place_a, place_b = ({key: k for k, key in enumerate(net.operations)} for net in (a, b))

    def rank(pair: tuple[str, str]) -> tuple[float, ...]:
        name, other = (net.operations[key].name for net, key in zip((a, b), pair, strict=True))
        likeness = below[pair] * above[pair] * (
            _SAME_STATE if _states_of(a, pair[0]) & _states_of(b, pair[1]) else 1.0
        ) + (_NAMESAKE if name and name == other else 0.0)
        i, j = place_a[pair[0]], place_b[pair[1]]
        return (-round(likeness, 9), abs(i - j), i, j)

    match: dict[str, str] = {}
    taken: set[str] = set()
    for key, other in sorted((pair for pair in below if above[pair] > 0), key=rank):
        if key not in match and other not in taken:
            match[key] = other
            taken.add(other)
    return match


def _states_of(net: Net, key: str) -> set[str]:
    """The states that an operation reads as they enter."""
    return {source for source in _sources(net, key) if source.startswith(entering("")) and source != entering("x")}


def _same_expressions(below: Likeness, match: Mapping[str, str]) -> dict[str, str]:
    """Expressions that are equal down to the leaves, and that neither step has twice."""
    equal = [pair for pair, likeness in below.items() if likeness == 1.0]
    ours, theirs = (Counter(pair[side] for pair in equal) for side in (0, 1))
    taken = set(match.values())
    return {p: q for p, q in equal if ours[p] == theirs[q] == 1 and p not in match and q not in taken}


def _below(one: Operation, other: Operation, known: Likeness) -> float:
    """How alike two expressions are, from 0 to 1."""
    ours, theirs = ([link.source for link in operation.links] for operation in (one, other))

    def alike(p: str, q: str) -> float:
        return known.get((p, q), _leaf(p, q))

    if one.commutes:
        share = _shared(ours, theirs, alike)
    else:
        total = len(ours) + len(theirs)
        share = 2 * sum(alike(p, q) for p, q in zip(ours, theirs, strict=False)) / total if total else 1.0
    return _OWN + (1 - _OWN) * share


def _use(r: str, s: str, above: Likeness, below: Likeness) -> float:
    """How alike what reads two operations is."""
    if (r, s) in above:
        return above[r, s] * below[r, s]
    return 1.0 if r == s else _OTHER_STATE if r.startswith(leaving("")) and s.startswith(leaving("")) else 0.0


def _leaf(p: str, q: str) -> float:
    if not (p.startswith(entering("")) and q.startswith(entering(""))):
        return 0.0
    return 1.0 if p == q else 0.0 if entering("x") in (p, q) else _OTHER_STATE


def _shared(ours: Sequence[str], theirs: Sequence[str], alike: Any) -> float:
    """How much two bags have in common, from 0 to 1, if what is most alike is paired."""
    pairs = sorted(
        ((alike(p, q), -abs(i - j), i, j) for i, p in enumerate(ours) for j, q in enumerate(theirs)), reverse=True
    )
    left, right, total = set(range(len(ours))), set(range(len(theirs))), 0.0
    for value, _, i, j in pairs:
        if i in left and j in right:
            left.remove(i)
            right.remove(j)
            total += value
    return 2 * total / (len(ours) + len(theirs)) if ours or theirs else 1.0


# ------------------------------------------------------------------------------------ second thoughts


def _supported(a: Net, b: Net, match: dict[str, str]) -> None:
    """Undo matches of which nothing that reads them is matched."""
    for key in reversed(a.operations):
        if key in match:
            ours, theirs = [r for r in a.readers[key] if r in match or r not in a.operations], b.readers[match[key]]
            if not _agree(ours, theirs, match) and not (_leaves(ours) and _leaves(theirs)):
                del match[key]


def _completed(a: Net, b: Net, match: dict[str, str], below: Likeness) -> None:
    """Match what is left below each match, and below each state and output that both have."""
    taken = set(match.values())
    roots = [((a.exits[name],), (b.exits[name],)) for name in a.exits if name in b.exits]
    todo = [(_sources(a, key), _sources(b, match[key])) for key in a.operations if key in match]
    todo += roots
    while todo:
        ours, theirs = todo.pop()
        left = _left_below(a, ours, match)
        right = _left_below(b, theirs, taken)
        pairs = [
            (
                *_urgency(a.operations[p], below.get((p, q), 0.0)),
                -_agreeing(a.operations[p], b.operations[q], match),
                i + j,
                i,
                j,
                p,
                q,
            )
            for p, i in left.items()
            for q, j in right.items()
            if a.operations[p].kind == b.operations[q].kind
        ]
        for *_, p, q in sorted(pairs, key=lambda pair: pair[:6]):
            if p not in match and q not in taken:
                match[p] = q
                taken.add(q)
                todo.append((_sources(a, p), _sources(b, q)))


def _grounded(a: Net, b: Net, match: dict[str, str], same: Mapping[str, str]) -> None:
    """Undo matches that no match reads, unless operands and readers agree nearby; a learned matrix may move."""
    for key in reversed(a.operations):
        if key not in match or key in same or a.operations[key].kind[0] == "matmul":
            continue
        if not _agree([r for r in a.readers[key] if r in match or r not in a.operations], b.readers[match[key]], match):
            ours, theirs = _near(_readers, a, b, key, match)
            alike = _agree(ours, theirs, match) or (_leaves(ours) and _leaves(theirs))
            if not alike or not _agree(*_near(_sources, a, b, key, match), match):
                del match[key]


def _near(
    step: Callable[[Net, str], Sequence[str]], a: Net, b: Net, key: str, match: Mapping[str, str]
) -> tuple[list[str], list[str]]:
    """For both of a match the operands, or readers, that are matched or ports; of others their kinds, and theirs
    in turn.
    """
    return _near_in(step, a, key, set(match)), _near_in(step, b, match[key], set(match.values()))


def _near_in(step: Callable[[Net, str], Sequence[str]], net: Net, key: str, taken: set[str]) -> list[str]:
    near: list[str] = []
    for s in step(net, key):
        if s not in net.operations or s in taken:
            near.append(s)
        else:
            near += [
                f"kind:{net.operations[s].kind}",
                *(t for t in step(net, s) if t not in net.operations or t in taken),
            ]
    return near


def _agree(ours: Sequence[str], theirs: Sequence[str], match: Mapping[str, str]) -> bool:
    return not (ours or theirs) or any(match.get(s, s) in theirs for s in ours)


def _leaves(readers: Iterable[str]) -> bool:
    return any(reader.startswith(leaving("")) for reader in readers)


def _readers(net: Net, key: str) -> Sequence[str]:
    return net.readers[key]


def _sources(net: Net, key: str) -> tuple[str, ...]:
    return tuple(link.source for link in net.operations[key].links)


def _urgency(operation: Operation, likeness: float) -> tuple[bool, float]:
    """Products with learned matrices first, the nearest one; then what is most alike."""
    learned = operation.kind[0] == "matmul"
    return not learned, 0.0 if learned else -round(likeness, 9)


def _left_below(net: Net, roots: Iterable[str], taken: Any) -> dict[str, int]:
    """What is unmatched at and below the roots, up to the first match, and how far down it is."""
    found: dict[str, int] = {}
    layer = [key for key in roots if key in net.operations and key not in taken]
    for depth in range(_REACH):
        fresh = [key for key in dict.fromkeys(layer) if key not in found]
        found.update(dict.fromkeys(fresh, depth))
        layer = [s for key in fresh for s in _sources(net, key) if s in net.operations and s not in taken]
    return found


def _agreeing(one: Operation, other: Operation, match: Mapping[str, str]) -> int:
    """How many operands two operations have in common."""
    theirs = [link.source for link in other.links]
    return sum(match.get(link.source, link.source) in theirs for link in one.links)


def _in_order(a: Net, b: Net, match: dict[str, str]) -> None:
    """Undo matches that contradict each other, and those that mix up the operands of an operation with an order."""
    for key, other in list(match.items()):
        if not a.operations[key].commutes and _mixed_up(a.operations[key], b.operations[other], match):
            del match[key]
    while cycle := _cycle(a, b, match):
        strength = {key: k for k, key in enumerate(match)}
        del match[max((key for key in cycle if key in match), key=lambda key: strength[key])]


def _mixed_up(one: Operation, other: Operation, match: Mapping[str, str]) -> bool:
    ours = [match.get(link.source, link.source) for link in one.links]
    theirs = [link.source for link in other.links]
    return any(p in theirs and p != q for p, q in zip(ours, theirs, strict=False))


def _cycle(a: Net, b: Net, match: Mapping[str, str]) -> list[str]:
    """Operations each of which the next one needs, round in a circle; those of `b` alone under their key with a
    mark.
    """
    back = {other: key for key, other in match.items()}
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for key, source in _lines(a):
        sorter.add(key, source)
    for key, source in _lines(b):
        sorter.add(back.get(key, f"+{key}"), back.get(source, f"+{source}"))
    try:
        sorter.prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def _lines(net: Net) -> Iterator[tuple[str, str]]:
    for key, operation in net.operations.items():
        for link in operation.links:
            if link.source in net.operations:
                yield key, link.source

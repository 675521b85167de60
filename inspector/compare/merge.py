"""Two timesteps as one: what they share once, and what only one of them has beside it."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from ..steps.items import Item, Link, Step, entering
from ..steps.labels import symbol
from ..steps.levels import JOIN, join_inputs
from ..text import label_width
from .net import OUTPUT, Net, Operation

__all__ = ["ADDED", "KEPT", "REMOVED", "Merged", "merge_steps"]

KEPT, REMOVED, ADDED = 0, 1, 2
"""In both steps, only in the first, only in the second; the second number of a merged line's edge."""
_LETTERS = {"matmul": "W", "add": "b", "subtract": "b"}


class _Source(NamedTuple):
    """What a line comes from in the merged step, and in which of the two it does."""

    key: str
    change: int


@dataclass
class Merged:
    """The merged step.

    Attributes
    ----------
    step : Step
        Every line's edge is (its number, `KEPT`, `REMOVED` or `ADDED`).
    change : dict
        The same for every item by key; where lines of both steps join before they go on, a dot is in both.
    exits : dict
        The same for every state that leaves.
    pair : dict
        For every operation and value of the merged step the items it stands for, ``None`` where a step lacks it.
    """

    step: Step
    change: dict[str, int] = field(default_factory=dict)
    exits: dict[str, int] = field(default_factory=dict)
    pair: dict[str, tuple[Item | None, Item | None]] = field(default_factory=dict)


def merge_steps(a: Step, b: Step, nets: tuple[Net, Net], match: Mapping[str, str]) -> Merged:
    """The union of two steps in which matched operations are one."""
    return _Merger(a, b, nets, match).run()


class _Merger:
    def __init__(self, a: Step, b: Step, nets: tuple[Net, Net], match: Mapping[str, str]) -> None:
        self.a, self.b, self.nets, self.match = a, b, nets, match
        back = {other: key for key, other in match.items()}
        taken = {*a.by_key}
        self.name_b = {key: back[key] if key in back else _unused(key, taken) for key in nets[1].operations}
        self.operations: dict[str, tuple[Operation | None, Operation | None]] = {
            key: (one, nets[1].operations[match[key]] if key in match else None)
            for key, one in nets[0].operations.items()
        }
        self.operations |= {
            self.name_b[key]: (None, other) for key, other in nets[1].operations.items() if key not in back
        }
        self.taken = {*taken, *self.operations}
        self.merged = Merged(a)
        self.values: dict[str, tuple[Item, int]] = {}
        self.numbers = 0
        self.joins: dict[tuple[str, str], Item] = {}

    def run(self) -> Merged:
        items: list[Item] = []
        for key in self._order():
            items += self._operation(key)
        exits = {name: self._exit(name) for name in dict.fromkeys([*self.nets[0].exits, *self.nets[1].exits])}
        items += self.joins.values()
        circle = self._circle(exits.pop(OUTPUT, None))
        states = tuple((name, source.key) for name, source in exits.items())
        self.merged.exits = {name: source.change for name, source in exits.items()}
        step = replace(self.a, items=(*items, *circle), states=states, output=circle[0].key if circle else "")
        self.merged.step = _join_inputs_again(step)
        return self.merged

    # ------------------------------------------------------------------------------------ operations

    def _order(self) -> list[str]:
        """Operands first; as in the first step, and what only the second has after what it follows there."""
        rank: dict[str, tuple[int, int]] = {key: (k, 0) for k, key in enumerate(self.nets[0].operations)}
        last = -1
        for k, key in enumerate(self.nets[1].operations, 1):
            last = rank.setdefault(self.name_b[key], (last, k))[0]
        readers: dict[str, list[str]] = {key: [] for key in rank}
        waiting = dict.fromkeys(rank, 0)
        for key in rank:
            for source in dict.fromkeys(source.key for source, _ in self._sources(key)):
                if source in readers:
                    readers[source].append(key)
                    waiting[key] += 1
        ready = [(rank[key], key) for key, count in waiting.items() if not count]
        heapq.heapify(ready)
        order = []
        while ready:
            _, key = heapq.heappop(ready)
            order.append(key)
            for reader in readers[key]:
                waiting[reader] -= 1
                if not waiting[reader]:
                    heapq.heappush(ready, (rank[reader], reader))
        return order

    def _sources(self, key: str) -> Iterator[tuple[_Source, Link]]:
        """The operands of a merged operation: those of the first step, then what only the second has."""
        one, other = self.operations[key]
        ours = [(link.source, link) for link in one.links] if one else []
        theirs = [(self.name_b.get(link.source, link.source), link) for link in other.links] if other else []
        for source, link in ours:
            twin = next((k for k, (s, their) in enumerate(theirs) if s == source and their.cut == link.cut), None)
            if twin is not None:
                theirs.pop(twin)
            yield _Source(source, REMOVED if twin is None else KEPT), link
        yield from ((_Source(source, ADDED), link) for source, link in theirs)

    def _operation(self, key: str) -> list[Item]:
        """A merged operation, and its value if it has a name in one of the steps."""
        one, other = self.operations[key]
        change = _change(one, other)
        links = tuple(
            link._replace(source=self._read(source), edge=self._edge(source.change))
            for source, link in self._sources(key)
        )
        pair = (one.item if one else None, other.item if other else None)
        items = [replace(_twin(*pair), key=key, links=links)]
        self._note(key, change, pair)
        values = (self._inside(0, one), self._inside(1, other))
        if any(values):
            items.append(self._value(key, change, values))
        return items

    def _inside(self, side: int, operation: Operation | None) -> Item | None:
        """The value's item, if it is not the circle outside the frame."""
        step = (self.a, self.b)[side]
        return operation.value if operation and operation.value and operation.value.key != step.output else None

    def _value(self, key: str, change: int, values: tuple[Item | None, Item | None]) -> Item:
        first, second = values
        only = first or second
        assert only is not None
        state = next(
            (name for name in (set(self.nets[0].exits) ^ set(self.nets[1].exits)) if only.label == f"{name}ₜ"), None
        )
        if not (first and second) and state is not None:
            change = REMOVED if first else ADDED
        value_key = _unused(only.key, self.taken) if not first else only.key
        self._note(value_key, change, values)
        self.values[key] = (
            replace(_twin(*values), key=value_key, links=(Link(key, self._edge(change), node=only.links[0].node),)),
            change,
        )
        return self.values[key][0]

    def _note(self, key: str, change: int, pair: tuple[Item | None, Item | None]) -> None:
        self.merged.change[key] = change
        self.merged.pair[key] = pair

    def _read(self, source: _Source) -> str:
        """The value's shape if it is there for this line, else the operation's."""
        value, change = self.values.get(source.key, (None, KEPT))
        return value.key if value is not None and change in (KEPT, source.change) else source.key

    def _edge(self, change: int) -> tuple[int, int]:
        self.numbers += 1
        return self.numbers, change

    # ----------------------------------------------------------------------------------------- exits

    def _exit(self, name: str) -> _Source:
        ours, theirs = self.nets[0].exits.get(name), self.nets[1].exits.get(name)
        theirs = self.name_b.get(theirs, theirs) if theirs is not None else None
        if ours is None or theirs is None:
            change = ADDED if ours is None else REMOVED
            return _Source(self._read(_Source(ours or theirs or "", change)), change)
        if ours == theirs:
            return _Source(self._read(_Source(ours, KEPT)), KEPT)
        return _Source(self._join(name, ours, theirs).key, KEPT)

    def _join(self, name: str, ours: str, theirs: str) -> Item:
        """A dot in which the lines meet that give the same state, or the output, in the two steps."""
        if (ours, theirs) not in self.joins:
            key = _unused(f"{name}.either", self.taken)
            sources = (_Source(ours, REMOVED), _Source(theirs, ADDED))
            links = tuple(Link(self._read(source), self._edge(source.change)) for source in sources)
            self.joins[ours, theirs] = Item(key, "circle", "", "join", (6.0, 6.0), links)
            self.merged.change[key] = KEPT
        return self.joins[ours, theirs]

    def _circle(self, source: _Source | None) -> list[Item]:
        """The output's circle above the frame."""
        if source is None:
            return []
        values = tuple(step.by_key.get(step.output) for step in (self.a, self.b))
        only = values[0] or values[1]
        assert only is not None
        key = _unused(only.key, self.taken) if not values[0] else only.key
        self._note(key, source.change, (values[0], values[1]))
        return [replace(_twin(values[0], values[1]), key=key, links=(Link(source.key, self._edge(source.change)),))]


def _join_inputs_again(step: Step) -> Step:
    """Input and state that go to the same layers on one line, if none of the layers treats them differently in the
    two.
    """
    together = join_inputs(step)
    if JOIN not in together.by_key:
        return step
    sources = {link.source for link in together.by_key[JOIN].links}
    found = {
        i.key: {link.edge[1] for link in i.links if link.source in sources and link.edge} for i in step.items if i.layer
    }
    if any(len(changes) != 1 for changes in found.values()):
        return step
    every = {change for changes in found.values() for change in changes}
    found[JOIN] = every if len(every) == 1 else {KEPT}
    items = []
    for item in together.items:
        edge = (-1, min(found.get(item.key, {KEPT})))
        links = (link._replace(edge=edge) if JOIN in (item.key, link.source) else link for link in item.links)
        items.append(replace(item, links=tuple(links)))
    return together.with_items(items)


def _unused(key: str, taken: set[str]) -> str:
    """`key`, with strokes as long as it is taken."""
    while key in taken:
        key += "'"
    taken.add(key)
    return key


def _change(one: object, other: object) -> int:
    return ADDED if one is None else REMOVED if other is None else KEPT


def _twin(one: Item | None, other: Item | None) -> Item:
    """One item for two, with what their labels have in common."""
    if one is None or other is None:
        only = one or other
        assert only is not None
        return only
    label = _label(one, other)
    if label == one.label:
        return replace(one, size=(max(one.size[0], other.size[0]), one.size[1]) if one.shape != "circle" else one.size)
    width = max(34.0, label_width(label, 12) + 12)
    shape, height = (
        ("box" if one.value is None else "ellipse", 22.0) if one.shape == "circle" else (one.shape, one.size[1])
    )
    return replace(one, label=label, shape=shape, size=(width, height))


def _label(one: Item, other: Item) -> str:
    if one.label == other.label:
        return one.label
    if one.learned and other.learned and one.nodes:
        op = one.nodes[0].op
        recurrent = op == "matmul" and one.links[0].source != entering("x")
        sign, letter = symbol(op), "R" if recurrent else _LETTERS.get(op, "w")
        return f"{sign} {letter}" if one.label.startswith(sign) else f"{letter} {sign}"
    names, rest = one.label.partition(" = ")[::2], other.label
    if one.layer and " = " in other.label:
        return f"{names[0]} → {rest}" if names[1] else rest
    return one.label if one.layer else f"{one.label} → {other.label}"

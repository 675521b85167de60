"""Two timesteps as one: what they share once, and what only one of them has beside it."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from ..steps.items import Item, Key, Link, Step, entering
from ..steps.labels import Label, symbol
from ..steps.levels import JOIN, join_inputs
from ..text import label_width
from .net import Net, Operation

__all__ = ["ADDED", "KEPT", "REMOVED", "Merged", "merge_steps"]

KEPT, REMOVED, ADDED = 0, 1, 2
"""In both steps, only in the first, only in the second; the second number of a merged line's edge."""
NOW = "ₜ"
"""When, of a state of the step that is compared."""
_SIDES, _WIDE = 3, 40.0
"""From how many sides lines come to a circle, and how wide what takes more of them is."""
_LETTERS = {"matmul": "W", "add": "b", "subtract": "b"}


class _Source(NamedTuple):
    """What a line comes from in the merged step, and in which of the two it does."""

    key: Key
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
    change: dict[Key, int] = field(default_factory=dict)
    exits: dict[str, int] = field(default_factory=dict)
    pair: dict[Key, tuple[Item | None, Item | None]] = field(default_factory=dict)


def merge_steps(a: Step, b: Step, nets: tuple[Net, Net], match: Mapping[Key, Key]) -> Merged:
    """The union of two steps in which matched operations are one."""
    return _Merger(a, b, nets, match).run()


class _Merger:
    def __init__(self, a: Step, b: Step, nets: tuple[Net, Net], match: Mapping[Key, Key]) -> None:
        self.a, self.b, self.nets, self.match = a, b, nets, match
        back = {other: key for key, other in match.items()}
        taken = {*a.by_key}
        self.name_b = {key: back[key] if key in back else _unused(key, taken) for key in nets[1].operations}
        self.operations: dict[Key, tuple[Operation | None, Operation | None]] = {
            key: (one, nets[1].operations[match[key]] if key in match else None)
            for key, one in nets[0].operations.items()
        }
        self.operations |= {
            self.name_b[key]: (None, other) for key, other in nets[1].operations.items() if key not in back
        }
        self.taken = {*taken, *self.operations}
        self.merged = Merged(a)
        self.values: dict[Key, tuple[Item, int]] = {}
        self.numbers = 0
        self.joins: dict[tuple[Key, Key], Item] = {}

    def run(self) -> Merged:
        items: list[Item] = []
        for key in self._order():
            items += self._operation(key)
        first, second = self.nets
        names = dict.fromkeys([*first.states, *second.states])
        exits = {name: self._exit(first.states.get(name), second.states.get(name), name) for name in names}
        circle = self._circle()
        items += self.joins.values()
        states = tuple((name, source.key) for name, source in exits.items())
        self.merged.exits = {name: source.change for name, source in exits.items()}
        step = replace(self.a, items=(*items, *circle), states=states, output=circle[0].key if circle else None)
        step = _join_inputs_again(step)
        self.merged.step = step.with_items([_with_room(item) for item in step.items])
        return self.merged

    # ------------------------------------------------------------------------------------ operations

    def _order(self) -> list[Key]:
        """Operands first; as in the first step, and what only the second has after what it follows there."""
        rank: dict[Key, tuple[int, int]] = {key: (k, 0) for k, key in enumerate(self.nets[0].operations)}
        last = -1
        for k, key in enumerate(self.nets[1].operations, 1):
            last = rank.setdefault(self.name_b[key], (last, k))[0]
        readers: dict[Key, list[Key]] = {key: [] for key in rank}
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

    def _sources(self, key: Key) -> Iterator[tuple[_Source, Link]]:
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

    def _operation(self, key: Key) -> list[Item]:
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

    def _value(self, key: Key, change: int, values: tuple[Item | None, Item | None]) -> Item:
        first, second = values
        only = first or second
        assert only is not None
        of_one = self.nets[0].states.keys() ^ self.nets[1].states.keys()
        if not (first and second) and only.label in [Label(name, time=NOW) for name in of_one]:
            change = REMOVED if first else ADDED
        value_key = _unused(only.key, self.taken) if not first else only.key
        self._note(value_key, change, values)
        self.values[key] = (
            replace(_twin(*values), key=value_key, links=(Link(key, self._edge(change), node=only.links[0].node),)),
            change,
        )
        return self.values[key][0]

    def _note(self, key: Key, change: int, pair: tuple[Item | None, Item | None]) -> None:
        self.merged.change[key] = change
        self.merged.pair[key] = pair

    def _read(self, source: _Source) -> Key:
        """The value's shape if it is there for this line, else the operation's."""
        value, change = self.values.get(source.key, (None, KEPT))
        return value.key if value is not None and change in (KEPT, source.change) else source.key

    def _edge(self, change: int) -> tuple[int, int]:
        self.numbers += 1
        return self.numbers, change

    # ----------------------------------------------------------------------------------------- exits

    def _exit(self, ours: Key | None, theirs: Key | None, name: str) -> _Source:
        """What gives a state, or the output, in the merged step."""
        theirs = self.name_b.get(theirs, theirs) if theirs is not None else None
        if ours is None or theirs is None:
            change = ADDED if ours is None else REMOVED
            only = ours or theirs
            assert only is not None
            return _Source(self._read(_Source(only, change)), change)
        if ours == theirs:
            return _Source(self._read(_Source(ours, KEPT)), KEPT)
        return _Source(self._join(name, ours, theirs).key, KEPT)

    def _join(self, name: str, ours: Key, theirs: Key) -> Item:
        """A dot in which the lines meet that give the same state, or the output, in the two steps."""
        if (ours, theirs) not in self.joins:
            key = _unused(Key("operation", "either", name), self.taken)
            sources = (_Source(ours, REMOVED), _Source(theirs, ADDED))
            links = tuple(Link(self._read(source), self._edge(source.change)) for source in sources)
            self.joins[ours, theirs] = Item(key, "circle", Label(""), "join", (6.0, 6.0), links)
            self.merged.change[key] = KEPT
        return self.joins[ours, theirs]

    def _circle(self) -> list[Item]:
        """The output's circle above the frame, if there is one."""
        pair = self.a.circle, self.b.circle
        only = pair[0] or pair[1]
        if only is None:
            return []
        source = self._exit(self.nets[0].output, self.nets[1].output, "output")
        key = only.key if pair[0] else _unused(only.key, self.taken)
        self._note(key, source.change, pair)
        return [replace(_twin(*pair), key=key, links=(Link(source.key, self._edge(source.change)),))]


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


def _with_room(item: Item) -> Item:
    """Wider, if more lines of both steps meet there than a circle has sides."""
    crowded = item.shape == "circle" and item.role != "join" and len({link.source for link in item.links}) > _SIDES
    return replace(item, shape="ellipse", size=(_WIDE, item.size[1])) if crowded else item


def _unused(key: Key, taken: set[Key]) -> Key:
    """`key`, with strokes as long as it is taken."""
    while key in taken:
        key = key._replace(primes=key.primes + 1)
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
    width = max(34.0, label_width(str(label), 12) + 12)
    shape, height = (
        ("box" if one.value is None else "ellipse", 22.0) if one.shape == "circle" else (one.shape, one.size[1])
    )
    return replace(one, label=label, shape=shape, size=(width, height))


def _label(one: Item, other: Item) -> Label:
    if one.label == other.label:
        return one.label
    if one.learned and other.learned and one.nodes:
        op = one.nodes[0].op
        recurrent = op == "matmul" and one.links[0].source != entering("x")
        return Label(symbol(op), "R" if recurrent else _LETTERS.get(op, "w"), one.label.leads)
    gives = [label.gives for label in (one.label, other.label) if label.gives]
    if one.layer:
        return other.label._replace(gives=" → ".join(gives)) if other.label.gives else one.label
    return Label(f"{one.label} → {other.label}", whole=True)

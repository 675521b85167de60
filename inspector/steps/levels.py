"""The gate and the cell level: operations of one timestep gathered into learned layers.

A learned layer is an affine map of inputs and states, with the nonlinearity behind it where there is one.
What is neither is pointwise. Nothing here knows any cell by name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from ..text import label_width, oval_width, shortened
from .items import Gate, Item, Key, Link, Role, Step
from .labels import Label, symbol

__all__ = ["JOIN", "cell_step", "gate_step", "join_inputs"]

JOIN = Key("join")
_NAME, _BESIDE = 60.0, 20.0
"""Points of the name of a gate at most, and for how many of them there is room beside its line anyway."""
_AFFINE_OF_AFFINE = frozenset({"add", "subtract", "negative", "getitem", "concatenate", "reshape"})


def gate_step(step: Step) -> Step:
    """One box a gate, pointwise operations as circles, states as lines."""
    return join_inputs(step.with_items(list(_Collapse(step).items(textbook=False))))


def cell_step(step: Step) -> Step:
    """The notation of the textbooks; input and state that go to the same layers are joined on the way."""
    items = list(_Collapse(step).items(textbook=True))
    flat = _without_values(step.with_items(items))
    return join_inputs(flat)


class _Collapse:
    """Finds the learned layers of a step."""

    def __init__(self, step: Step) -> None:
        self.step = step
        self.by_key = step.by_key
        self.readers = Counter(link.source for item in step.items for link in item.links)
        self.readers.update(key for _, key in step.states)
        self.affine: set[Key] = set()
        for item in step.items:
            if self._is_affine(item):
                self.affine.add(item.key)
        self.layers = {item.key: item for item in step.items if self._is_layer(item)}
        self.absorbed: set[Key] = set()
        for item in self.layers.values():
            self.absorbed.update(inner.key for inner in self._inside(item)[1:])

    def _is_affine(self, item: Item) -> bool:
        """Whether it is an affine map, with learned parameters, of inputs and states alone."""
        sources = [link.source for link in item.links]
        if item.value is not None:
            return bool(sources) and sources[0] in self.affine and isinstance(item.role, Gate)
        op = item.nodes[0].op
        learned = item.learned and len(sources) == 1
        if op == "matmul" or (op == "multiply" and learned):
            return learned
        inner = [source in self.affine for source in sources]
        return op in _AFFINE_OF_AFFINE and bool(inner) and all(inner)

    def _is_layer(self, item: Item) -> bool:
        """Whether it is a nonlinearity with an affine map in front of it."""
        if item.value is not None or not item.nodes or not item.nodes[0].primitive.activation:
            return False
        return any(inner.key in self.affine for inner in self._inside(item))

    def _inside(self, item: Item) -> list[Item]:
        """The item and everything in front of it that belongs to its layer."""
        found, stack = {item.key: item}, [item]
        while stack:
            for link in stack.pop().links:
                if link.source not in found and self._belongs(link.source):
                    found[link.source] = self.by_key[link.source]
                    stack.append(self.by_key[link.source])
        return list(found.values())

    def _belongs(self, key: Key) -> bool:
        if key in self.affine:
            return True
        item = self.by_key.get(key)
        summed = item is not None and item.value is None and bool(item.nodes) and item.nodes[0].op == "add"
        return summed and self.readers[key] == 1

    def _lines(self, inside: list[Item]) -> tuple[Link, ...]:
        """What enters a layer, each source once."""
        keys = {item.key for item in inside}
        lines: dict[Key, Link] = {}
        for item in reversed(inside):
            for link in item.links:
                if link.source not in keys:
                    lines.setdefault(link.source, link)
        return tuple(lines.values())

    # --------------------------------------------------------------------------------------- result

    def items(self, textbook: bool) -> Iterator[Item]:
        """The items of the collapsed step, operands first."""
        shown = {item.key for item in self.step.items if item.key not in self.absorbed}
        outer = shown - set(self.layers) - self.affine
        heads = {link.source for item in self.step.items if item.key in outer for link in item.links}
        heads |= {key for _, key in self.step.states}
        names = {item.links[0].source: item for item in self.step.items if item.value is not None and item.links}
        named_layers = {names[key].key for key in self.layers if key in names and isinstance(names[key].role, Gate)}
        for item in self.step.items:
            name = names.get(item.key)
            read = item.key in heads or (name is not None and name.key in heads)
            linear = item.key in self.affine and read and item.value is None
            if item.key in self.layers or linear:
                yield self._layer(item, name, textbook)
            elif item.key in named_layers or item.key in self.affine or item.key in self.absorbed:
                continue
            else:
                yield _plain(item, textbook)

    def _layer(self, item: Item, name: Item | None, textbook: bool) -> Item:
        inside = self._inside(item)
        sign = symbol(item.nodes[0].op) if item.key in self.layers else "W"
        gate = name if name is not None and isinstance(name.role, Gate) else None
        inner = gate or next((one for one in inside if one.value is not None and isinstance(one.role, Gate)), None)
        label = Label(sign, gives="" if textbook or gate is None else str(gate.label))
        role: Role = "layer" if textbook else gate.role if gate else item.role
        width = max(36.0 if textbook else 44.0, label_width(str(label), 12) + 12)
        lines = tuple(link._replace(layer=True) for link in self._lines(inside))
        nodes = tuple(dict.fromkeys(node for inner in inside for node in inner.nodes))
        found = Item(
            gate.key if gate else item.key,
            "box",
            label,
            role,
            (width, 24.0 if textbook else 28.0),
            lines,
            nodes,
            value=gate.value if gate else None,
            layer=True,
        )
        return _named(found, inner.label.full) if textbook and inner else found


def _named(item: Item, name: str) -> Item:
    """The item with the name of the gate that it gives, and room for a long one."""
    return replace(item, name=name, wings=(0.0, max(0.0, label_width(shortened(name, _NAME)) - _BESIDE)))


def _plain(item: Item, textbook: bool) -> Item:
    if not textbook or item.value is not None or not item.nodes:
        return item
    if item.shape == "box":
        width = max(36.0, oval_width(str(item.label), 11, 22))
        return replace(item, shape="ellipse", role="pointwise", size=(width, 22.0))
    return replace(item, role="pointwise")


def _without_values(step: Step) -> Step:
    """States and gates are lines here, not shapes; what gives a gate has its name, and the output keeps its circle."""
    away = {
        i.key: i.links[0].source
        for i in step.items
        if i.value is not None and i.links and not i.layer and i.key != step.output
    }

    def through(key: Key) -> Key:
        while key in away:
            key = away[key]
        return key

    names = {through(i.key): i.label.full for i in step.items if i.key in away and isinstance(i.role, Gate)}
    items = []
    for item in step.items:
        if item.key not in away:
            lines = tuple(link._replace(source=through(link.source)) for link in item.links)
            item = replace(item, links=lines)
            items.append(_named(item, names[item.key]) if item.key in names else item)
    states = tuple((name, through(key)) for name, key in step.states)
    return replace(step, items=tuple(items), states=states)


def join_inputs(step: Step) -> Step:
    """Layers that all read the input and the same states take them from one joined line.

    A layer that reads none of them, such as the projection of an output, does not keep the others apart.
    """
    layers = [item for item in step.items if item.layer and any(link.source.is_port for link in item.links)]
    shared = [link.source for link in layers[0].links if link.source.is_port] if layers else []
    shared = [s for s in shared if all(s in [link.source for link in item.links] for item in layers)]
    if len(layers) < 2 or len(shared) < 2:
        return step
    lines = tuple(link for link in layers[0].links if link.source in shared)
    join = Item(JOIN, "circle", Label(""), "join", (5.0, 5.0), tuple(link._replace(layer=True) for link in lines))
    items: list[Item] = [join]
    for item in step.items:
        if item in layers:
            rest = tuple(link for link in item.links if link.source not in shared)
            items.append(replace(item, links=(Link(JOIN, None, layer=True), *rest)))
        else:
            items.append(item)
    return step.with_items(items)

"""A timestep as a net of operations, which two timesteps can be compared by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

from ..steps.items import OUTPUT, Item, Key, Link, Step, leaving
from ..steps.levels import JOIN

__all__ = ["Net", "Operation", "net_of"]


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
        if self.value is not None:
            return self.value.label.full
        return self.item.key.name if self.is_named_layer else ""

    @property
    def is_named_layer(self) -> bool:
        """Whether it is a learned layer that gives a named value."""
        return self.item.layer and self.item.value is not None


@dataclass(frozen=True)
class Net:
    """The operations of a step by key, operands first; and what leaves: each state by name, and the output."""

    operations: dict[Key, Operation]
    states: dict[str, Key]
    output: Key | None = None

    @cached_property
    def exits(self) -> dict[Key, Key]:
        """Where states and the output leave, with what gives them."""
        exits = {leaving(name): key for name, key in self.states.items()}
        return exits if self.output is None else {**exits, OUTPUT: self.output}

    @cached_property
    def readers(self) -> dict[Key, list[Key]]:
        """The operations and exits that read each operation."""
        found: dict[Key, list[Key]] = {key: [] for key in self.operations}
        for key, operation in self.operations.items():
            for link in operation.links:
                found.setdefault(link.source, []).append(key)
        for end, key in self.exits.items():
            found.setdefault(key, []).append(end)
        return found

    def uses(self, key: Key) -> Iterator[tuple[Key, int]]:
        """The readers of an operation, and as which operand they read it, where that matters; else 0."""
        for reader in dict.fromkeys(self.readers[key]):
            operation = self.operations.get(reader)
            if operation is None:
                yield reader, 0
                continue
            for place, link in enumerate(operation.links):
                if link.source == key:
                    yield reader, 0 if operation.commutes else place


def net_of(step: Step) -> Net:
    """The operations of `step`, in which lines that were joined on the way are apart again."""
    of_value = {
        item.key: item.links[0].source
        for item in step.items
        if item.value is not None and item.links and not item.layer
    }
    values = {of_value[item.key]: item for item in step.items if item.key in of_value and item.key != step.output}
    if step.circle is not None:
        values.setdefault(of_value[step.circle.key], step.circle)
    joined = step.by_key[JOIN].links if JOIN in step.by_key else ()
    operations = {}
    for item in step.items:
        if item.key in of_value or item.key == JOIN:
            continue
        lines = [line for link in item.links for line in (joined if link.source == JOIN else (link,))]
        links = tuple(line._replace(source=of_value.get(line.source, line.source)) for line in lines)
        operations[item.key] = Operation(item, _kind(item, step.timestep), links, values.get(item.key))
    states = {name: of_value.get(key, key) for name, key in step.states}
    return Net(operations, states, None if step.output is None else of_value[step.output])


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
    return (node.op, item.learned, item.label.leads if item.learned else item.label.full, settings)


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

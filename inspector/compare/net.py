"""A timestep as a net of operations, which two timesteps can be compared by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

from ..steps.items import Item, Link, Step, leaving
from ..steps.labels import symbol
from ..steps.levels import JOIN

__all__ = ["OUTPUT", "Net", "Operation", "net_of"]

OUTPUT = "output"


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

    def uses(self, key: str) -> Iterator[tuple[str, int]]:
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
    if step.output:
        values.setdefault(of_value[step.output], step.by_key[step.output])
    joined = step.by_key[JOIN].links if JOIN in step.by_key else ()
    operations = {}
    for item in step.items:
        if item.key in of_value or item.key == JOIN:
            continue
        lines = [line for link in item.links for line in (joined if link.source == JOIN else (link,))]
        links = tuple(line._replace(source=of_value.get(line.source, line.source)) for line in lines)
        operations[item.key] = Operation(item, _kind(item, step.timestep), links, values.get(item.key))
    exits = {name: of_value.get(key, key) for name, key in step.states}
    if step.output:
        exits[OUTPUT] = of_value[step.output]
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

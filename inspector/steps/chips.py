"""The chips by which a step of the reverse sweep adds to the gradients of parameters.

Operations that lead to such a chip and nowhere else are told in it: ``⊗ h₀ → δU`` is an outer product with h₀, ``Σ →
δb`` a sum over the batch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from ..text import label_width
from .items import Item, Key, Link, Role
from .labels import Label

__all__ = ["fold_into_shares", "share"]

_LENGTH, _ASIDE = 28, 9.0


def share(key: Key, label: Label, role: Role, link: Link) -> Item:
    """The chip that says what is added to the gradient that `label` names."""
    return Item(key, "box", label, role, _size(label), (link,), wings=(_ASIDE, _ASIDE))


def fold_into_shares(items: Sequence[Item]) -> list[Item]:
    """The items, with operations that only lead to a chip folded into it, and chips of one source equally wide."""
    found = {item.key: item for item in items}
    readers = Counter(link.source for item in items for link in item.links)
    for item in reversed(items):
        if item.role == "parameter" and not readers[item.key]:
            _fold(item, found, readers)
    chips = [item for item in found.values() if item.role == "parameter" and not readers[item.key]]
    widths: dict[Key, float] = {}
    for chip in chips:
        widths[chip.links[0].source] = max(chip.size[0], widths.get(chip.links[0].source, 0.0))
    for chip in chips:
        found[chip.key] = replace(chip, size=(widths[chip.links[0].source], chip.size[1]))
    return list(found.values())


def _fold(chip: Item, found: dict[Key, Item], readers: Counter[Key]) -> None:
    words, gradient = list[str](), chip.label
    while (source := found.get(chip.links[0].source)) is not None and readers[source.key] == 1 and source.nodes:
        lines = [link for link in source.links if not (link.source in found and found[link.source].beside)]
        beside = [found[link.source] for link in source.links if link not in lines]
        words.insert(0, " ".join(str(one.label) for one in (source, *beside)))
        label = Label(f"{', '.join(words)} → {gradient}", whole=True)
        if len(lines) > 1 or len(label.sign) > _LENGTH:
            break
        for gone in (source, *beside):
            del found[gone.key]
        nodes = (*chip.nodes, *source.nodes, *(node for one in beside for node in one.nodes))
        chip = replace(chip, label=label, size=_size(label), links=tuple(lines), nodes=nodes)
    found[chip.key] = chip


def _size(label: Label) -> tuple[float, float]:
    return label_width(str(label), 10) + 12, 18.0

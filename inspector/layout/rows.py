"""Which row each item stands in: rails as low as what feeds them allows, and the least total length of lines
upwards.

A linear programme as in Gansner, Koutsofios, North and Vo 1993, "A technique for drawing directed graphs", section
2, with rails as a constraint: a reader stands at least a row above its operand below the rails, and at least a row
below it where it hangs from a rail.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from ..steps.items import Item, Key
from .network import Arc, lowest

__all__ = ["Rows", "rows_of", "sources_of"]

_LINE, _INPUT, _SHARED, _CHAIN, _RAIL = 20, 12, 30, 60, 1
"""What a row of a line costs: of any; from one input port; from several, or from what several read; from an only
operand, so that columns stay unbroken; and what each row costs by which the rails are lifted.
"""


class Rows(NamedTuple):
    """The row of every item from 1 upwards, what hangs from a rail, and the row of the lowest rail."""

    row: dict[Key, int]
    hanging: frozenset[Key]
    level: int


def rows_of(items: Sequence[Item], rails: dict[str, list[Key]], level: int | None = None) -> Rows:
    """The rows with the shortest lines; the rails stand one above the other, the first at the top.

    Parameters
    ----------
    items : sequence of Item
        Operands first.
    rails : dict
        The keys on each rail, by its state.
    level : int, optional
        The row of the lowest rail; by default as low as possible.
    """
    model = _Model(items, rails)
    if level is not None:
        model.arcs += [(_GROUND, _TOP, level), (_TOP, _GROUND, -level)]
    y = lowest(model.cost, model.arcs)
    row = {item.key: y[variable] + offset for item in items for variable, offset in (model.variable[item.key],)}
    return Rows(row, model.hanging, y[_TOP])


_GROUND, _TOP = 0, 1
"""The variables of the row of all ports and of the lowest rail."""


class _Model:
    """The linear programme: a variable for each item that is not on a rail, whose cost grows with the lengths of
    its lines.
    """

    def __init__(self, items: Sequence[Item], rails: dict[str, list[Key]]) -> None:
        self.on_rail = {key: height for height, path in enumerate(reversed(rails.values())) for key in path}
        self.hanging = _hanging(items, self.on_rail)
        self.variable = {key: (_TOP, height) for key, height in self.on_rail.items()}
        self.cost, self.arcs = [0, 0], list[Arc]()
        for item in items:
            if item.key not in self.on_rail:
                self.variable[item.key] = self._new(), 0
        self.readers = Counter(source for item in items for source in sources_of(item))
        self._lengthen((_TOP, 0), (_GROUND, 0), _RAIL)
        self.arcs.append((_GROUND, _TOP, 1))
        for item in items:
            self._item(item)

    def _new(self) -> int:
        self.cost.append(0)
        return len(self.cost) - 1

    def _item(self, item: Item) -> None:
        place, sources = self.variable[item.key], sources_of(item)
        ports = [source for source in sources if source not in self.variable]
        if item.key not in self.on_rail:
            self._above(place, (_GROUND, 0), 1)
            self._above((_TOP, 0), place, 1)
            for _ in ports:
                self._lengthen(place, (_GROUND, 0), _INPUT if len(ports) == 1 else _SHARED)
        for source in sources:
            if source in self.variable and not {source, item.key} <= self.on_rail.keys():
                self._line(source, item.key, alone=len(sources) == 1 and item.key not in self.on_rail)

    def _line(self, source: Key, reader: Key, alone: bool) -> None:
        low, high = self.variable[source], self.variable[reader]
        if reader in self.hanging and (source in self.hanging or source in self.on_rail):
            self._above(low, high, 1)
            self._lengthen(low, high, _LINE)
        elif reader in self.hanging or source in self.hanging:  # up or down, or level
            end = self._new(), 0
            for one in (low, high):
                self._above(end, one, 0)
                self._lengthen(end, one, _LINE)
        else:
            self._above(high, low, 1)
            self._lengthen(high, low, _SHARED if self.readers[source] > 1 else _CHAIN if alone else _LINE)

    def _above(self, high: tuple[int, int], low: tuple[int, int], least: int) -> None:
        self.arcs.append((low[0], high[0], least + low[1] - high[1]))

    def _lengthen(self, high: tuple[int, int], low: tuple[int, int], cost: int) -> None:
        self.cost[high[0]] += cost
        self.cost[low[0]] -= cost


def sources_of(item: Item) -> list[Key]:
    """What an item reads, each once."""
    return list(dict.fromkeys(link.source for link in item.links))


def _hanging(items: Sequence[Item], on_rail: dict[Key, int]) -> frozenset[Key]:
    """What is computed from a rail, and so hangs from it."""
    found: set[Key] = set()
    for item in items:
        if item.key not in on_rail and any(source in on_rail or source in found for source in sources_of(item)):
            found.add(item.key)
    return frozenset(found)

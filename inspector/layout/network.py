"""The linear programme of differences: whole numbers, some at least so far above others, with the least weighted
sum.

Its dual is a flow of least cost (Gansner, Koutsofios, North and Vo 1993, "A technique for drawing directed graphs",
solve it by the network simplex). Flows are found along successive shortest paths (Ahuja, Magnanti and Orlin 1993,
"Network flows", section 9.7), whose potentials are the numbers sought. Where several solutions are best, the lowest
is taken: it is the same whichever flow was found.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

__all__ = ["Arc", "lowest"]

Arc: TypeAlias = tuple[int, int, int]
"""That the second variable is at least so far above the first."""


def lowest(cost: Sequence[int], arcs: Iterable[Arc]) -> list[int]:
    """The lowest of the solutions with the least sum of ``cost[v] * y[v]``, above ``y[0] = 0``.

    Parameters
    ----------
    cost : sequence of int
        Of each variable; they add up to 0.
    arcs : iterable of (low, high, least)
        ``y[high] - y[low] >= least``. Every variable has to be reached from the first.

    Raises
    ------
    ValueError
        If the arcs contradict each other, or if nothing keeps the sum from falling for ever.
    """
    longest: dict[tuple[int, int], int] = {}
    for low, high, least in arcs:
        longest[low, high] = max(least, longest.get((low, high), least))
    network = _Network([(*ends, least) for ends, least in longest.items()], list(cost))
    network.balance()
    used = [(high, low, -least) for (low, high, least), flow in zip(network.arcs, network.flow, strict=True) if flow]
    y = _pushed(len(cost), [*network.arcs, *used])
    return [value - y[0] for value in y]


def _pushed(count: int, arcs: Sequence[Arc]) -> list[int]:
    """The least numbers from 0 on that keep to the arcs: longest paths (Bellman and Ford)."""
    y = [0] * count
    for _ in range(count + 1):
        before = list(y)
        for low, high, least in arcs:
            y[high] = max(y[high], y[low] + least)
        if y == before:
            return y
    raise ValueError("layout: rows contradict each other")


@dataclass
class _Network:
    """Flow along arcs, and the potentials that show it to be the cheapest for what it carries.

    `missing` is what has still to arrive at each variable, negative where it has still to leave.
    """

    arcs: list[Arc]
    missing: list[int]
    flow: list[int] = field(init=False)
    y: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.flow = [0] * len(self.arcs)
        self.y = _pushed(len(self.missing), self.arcs)
        self.touching: list[list[int]] = [[] for _ in self.missing]
        for arc, (low, high, _) in enumerate(self.arcs):
            self.touching[low].append(arc)
            self.touching[high].append(arc)

    def balance(self) -> None:
        """Send everything where it is missing, each time along a shortest path."""
        while any(amount < 0 for amount in self.missing):
            self._send()

    def _send(self) -> None:
        """Send along a shortest path to the nearest variable at which something is missing."""
        reached = {v: 0 for v, amount in enumerate(self.missing) if amount < 0}
        came: dict[int, tuple[int, int]] = {}
        heap = [(0, v) for v in reached]
        final: dict[int, int] = {}
        while heap:
            length, v = heapq.heappop(heap)
            if v in final:
                continue
            final[v] = length
            if self.missing[v] > 0:
                self.y = [value - final.get(u, length) for u, value in enumerate(self.y)]
                return self._augment(v, came)
            for arc in self.touching[v]:
                low, high, least = self.arcs[arc]
                if v == low:
                    other, way = high, self.y[high] - self.y[low] - least
                elif self.flow[arc]:
                    other, way = low, 0
                else:
                    continue
                if length + way < reached.get(other, length + way + 1):
                    reached[other], came[other] = length + way, (arc, v)
                    heapq.heappush(heap, (length + way, other))
        raise ValueError("layout: nothing keeps the rows together")

    def _augment(self, end: int, came: dict[int, tuple[int, int]]) -> None:
        path, v = [], end
        while v in came:
            arc, before = came[v]
            path.append((arc, self.arcs[arc][0] == before))
            v = before
        against = [self.flow[arc] for arc, along in path if not along]
        amount = min(self.missing[end], -self.missing[v], *against)
        for arc, along in path:
            self.flow[arc] += amount if along else -amount
        self.missing[end] -= amount
        self.missing[v] += amount

"""Lines between placed items, laid in a maze one after the other.

All lines that leave one item form a net, which grows target by target and reuses itself freely, so that fan-out
looks like a bus. Bends and crossings cost; running along another net is forbidden.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ..steps.items import Key, Step
from .maze import BEND, CROSSING, DOWN, LEFT, LENGTH, RIGHT, UP, Errand
from .order import Spacing
from .place import Placement
from .polylines import Path, joined
from .tasks import Task, Tasks, Wire

__all__ = ["Routes", "Wire", "route"]

_AGAIN = 1.05
"""How much of the length of its way a net pays again where a line leaves it later than it could."""
_TAKEN, _FORBIDDEN = 40_000, 400_000
"""What it costs to arrive where another line has arrived, and from a side that is not offered."""
_GAIN = 100
"""By how much another order has to be cheaper."""
_CROWDED = 100 * CROSSING
"""What it costs to run along others."""
_EFFORT = 240
"""How many lines may be laid again to find cheaper ways."""
_HOPELESS = 3
"""If more lines than these find no way, only more room helps."""


class Line(NamedTuple):
    """A line as it was laid: its points from its net on, its way from the source, and its price without crossings."""

    points: list[int]
    path: Path
    price: int
    crossings: int
    crowded: bool


class Routes(NamedTuple):
    """The lines of a step, and what they cost together."""

    lines: dict[Wire, Line]
    price: int

    @property
    def paths(self) -> dict[Wire, Path]:
        """Corner points, in the step's coordinates."""
        return {wire: line.path for wire, line in self.lines.items()}

    @property
    def crowded(self) -> int:
        """How many lines had to run along others."""
        return sum(line.crowded for line in self.lines.values())


def route(step: Step, placement: Placement, spacing: Spacing) -> Routes:
    """A path for every link of `step` and for every state that leaves, in the step's coordinates.

    Lines find their ways one after the other. Then those that pay most for what stands in their way are laid again,
    with their net after all others, or before the nets that lie on the way that they would take alone, as long as that
    makes the whole cheaper (rip-up and reroute, Dees and Karger 1982).
    """
    tasks = Tasks(step, placement, spacing)
    alone = {task.wire: _all_laid(tasks, [task]).lines[task.wire] for task in tasks}
    orders = (sorted(tasks, key=lambda task: tasks.urgency(task, sign)) for sign in (1, -1))
    best = min((_all_laid(tasks, order) for order in orders), key=lambda routes: routes.price)
    tries = Counter[Wire]()
    waiting, effort = _waiting(tasks, best, alone, tries), _EFFORT if best.crowded <= _HOPELESS else 0
    while waiting and effort > 0:
        first, *waiting = waiting
        tries[first.wire] += 1
        nets = _in_the_way(tasks, best, first, alone[first.wire])
        for moved in (
            tasks.of_net[first.net],
            [first, *(task for net in nets for task in tasks.of_net[net])],
            [task for net in reversed(nets) for task in tasks.of_net[net]],
        ):
            found = _again(tasks, best, moved)
            effort -= len(moved)
            if found is not None:
                best, waiting = found, _waiting(tasks, found, alone, tries)
                break
    return best


def _again(tasks: Tasks, routes: Routes, order: Sequence[Task]) -> Routes | None:
    """Some lines laid again in this order after the rest, but for those that run level; only if that is cheaper."""
    moved = {task.wire: task for task in order if not tasks.level(task)}
    kept = {wire: line for wire, line in routes.lines.items() if wire not in moved}
    return _laid(tasks, kept, moved.values(), routes.price - _GAIN)


def _waiting(tasks: Tasks, routes: Routes, alone: dict[Wire, Line], tries: Counter[Wire]) -> list[Task]:
    """What may be better off if laid before others: what was tried least, and pays most for them, first."""

    def excess(task: Task) -> int:
        line = routes.lines[task.wire]
        crossing = CROSSING * line.crossings
        return max(crossing, line.price + crossing - alone[task.wire].price)

    waiting = [task for task in tasks if excess(task) >= BEND and not tasks.level(task)]
    return sorted(waiting, key=lambda task: (tries[task.wire], -excess(task)))


def _in_the_way(tasks: Tasks, routes: Routes, first: Task, alone: Line) -> list[int]:
    """The net of a line, and those on its way, as it is or alone, from the border of its source on."""
    points = {*alone.points, *routes.lines[first.wire].points}
    way = {point for point in points if first.wire.source not in (tasks.maze.shapes[point] or ())}
    met = (tasks.by_wire[wire].net for wire, line in routes.lines.items() if not way.isdisjoint(line.points))
    return list(dict.fromkeys((first.net, *met)))


def _all_laid(tasks: Tasks, order: Sequence[Task]) -> Routes:
    """Lines laid in this order, and no others."""
    laying = _Laying(tasks)
    for task in order:
        laying.lay(task)
    return Routes(laying.lines, laying.price)


def _laid(tasks: Tasks, kept: Mapping[Wire, Line], order: Iterable[Task], limit: float = math.inf) -> Routes | None:
    """Lines that stay as they were, and others laid in this order; given up where they are not cheaper than `limit`."""
    laying = _Laying(tasks)
    for wire, line in kept.items():
        laying.keep(tasks.by_wire[wire], line)
    for task in order:
        if laying.price >= limit:
            return None
        laying.lay(task)
    return Routes(laying.lines, laying.price) if laying.price < limit else None


class _Laying:
    """Lines laid so far: of each net the tree of its points, each with the one before it and its way from the root."""

    def __init__(self, tasks: Tasks) -> None:
        self.tasks, self.maze = tasks, tasks.maze
        self.maze.clear()
        self.price = 0
        self.lines: dict[Wire, Line] = {}
        self.trees: dict[int, dict[int, int | None]] = {}
        self.depth: dict[tuple[int, int], float] = {}
        self.entered: set[tuple[Key, int, int]] = set()

    def keep(self, task: Task, line: Line) -> None:
        """Lay a line as it was laid before."""
        self.lines[task.wire] = line
        self.price += line.price
        if line.points:
            self._claim(task, line.points)

    def lay(self, task: Task) -> None:
        """Lay a line the cheapest way from the task's net to its goal."""
        tree = self._tree(task)
        errand = self._errand(task, tree)
        found, crowded = self.maze.cheapest(errand), False
        if found is None:
            found, crowded = self.maze.cheapest(errand._replace(crowded=True)), True
        cost, points = found or (_CROWDED, [])
        crossings = sum(1 for point in points[1:-1] if self.maze.foreign(point, task.net))
        price = cost - CROSSING * crossings + _CROWDED * crowded
        whole = [*_trunk(points[0], tree), *points] if points else [task.start, task.goal]
        path = self._trim(task, whole[::-1] if task.merged else whole)
        self.keep(task, Line(points, path, price, crossings, crowded))

    def _tree(self, task: Task) -> dict[int, int | None]:
        self.depth.setdefault((task.net, task.start), 0.0)
        return self.trees.setdefault(task.net, {task.start: None})

    def _errand(self, task: Task, tree: dict[int, int | None]) -> Errand:
        ends: dict[tuple[int, int], int] = {}
        sides = {UP: task.pins, RIGHT: {min(task.pins)}, DOWN: task.pins, LEFT: {max(task.pins)}}
        for turn, points in sides.items():
            for point in points:
                taken = not task.merged and (task.wire.target, point, turn) in self.entered
                ends[point, turn] = task.arrivals.get(turn, _FORBIDDEN) + (_TAKEN if taken else 0)
        starts = {point: round(_AGAIN * LENGTH * self.depth[task.net, point]) for point in tree}
        return Errand(task.net, starts, task.start, task.departures, ends, frozenset(task.wire[:2]))

    def _claim(self, task: Task, points: list[int]) -> None:
        net, tree = task.net, self._tree(task)
        self.price += CROSSING * self.maze.claim(points, net)
        for a, b in itertools.pairwise(points):
            tree.setdefault(b, a)
            self.depth.setdefault((net, b), self.depth[net, a] + self.maze.distance(a, b))
        if points[-1] not in tree.values():  # another line of this net may run on through it
            del tree[points[-1]]
        if not task.merged:
            self.entered.add((task.wire.target, points[-1], self.maze.direction(*points[-2:])))

    def _trim(self, task: Task, path: Sequence[int]) -> Path:
        """Corner points only, from the border of the source to the border of the target."""
        corners = list(joined([self.maze.place(point) for point in path]))
        if task.wire.source in self.tasks.items:
            corners[0] = self._border(task.wire.source, corners[0], corners[1])
        if task.wire.target in self.tasks.items:
            corners[-1] = self._border(task.wire.target, corners[-1], corners[-2])
        return joined(corners)

    def _border(self, key: Key, centre: tuple[float, float], outside: tuple[float, float]) -> tuple[float, float]:
        x0, y0, x1, y1 = self.tasks.box(key)
        (x, y), (ox, oy) = centre, outside
        if abs(ox - x) > abs(oy - y):
            return (x1 if ox > x else x0), y
        side = 0.0 if self.tasks.items[key].shape == "box" else (2 * x - x0 - x1) / (x1 - x0)
        half = (y1 - y0) / 2 * math.sqrt(max(0.0, 1 - side**2))  # of an ellipse beside its middle
        return x, y + math.copysign(half, oy - y)


def _trunk(point: int, tree: dict[int, int | None]) -> list[int]:
    """The way along a net's tree from its root to in front of a point."""
    trunk = []
    before = tree.get(point)
    while before is not None:
        trunk.append(before)
        before = tree[before]
    return trunk[::-1]

"""Lines between placed items: a maze router on a grid of centre lines, gutters and channels.

All lines that leave one item form a net, which grows target by target and reuses itself freely, so that
fan-out looks like a bus. Bends and crossings cost; running along another net is forbidden.
"""

from __future__ import annotations

import heapq
import itertools
import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from ..steps.items import Step, entering, leaving
from .grid import Box, grid, nearest, pins_of
from .order import Spacing
from .polylines import Path, joined
from .rows import Placement

__all__ = ["OUTPUT", "Routes", "Wire", "route"]

Point: TypeAlias = tuple[int, int]

OUTPUT = "output:"
_MOVES = ((0, 1), (1, 0), (0, -1), (-1, 0))
_UP, _RIGHT, _DOWN, _LEFT = range(4)
_SIDES = 3
"""Lines that a shape can take one by one, each from a side of its own."""
_LENGTH, _BEND, _CROSSING, _LATERAL, _BACKWARD = 0.03, 6.0, 13.0, 3.0, 40.0
_ROOF = 2.5
"""How much longer a way seems that leads above everything else."""
_EFFORT = 120
"""How many lines may be laid again to find a cheaper order for all."""
_MANY = 50


class Wire(NamedTuple):
    """One line to draw: from an item or port to operand `operand` of `target`, or to a port."""

    source: str
    target: str
    operand: int


class _Task(NamedTuple):
    wire: Wire
    start: Point
    goal: Point
    pins: frozenset[Point]
    """Where it may end: at the goal or, where many lines enter, also beside it."""
    departures: dict[int, float]
    arrivals: dict[int, float]
    crowded: bool = False
    """Whether no way is free, so that other lines may be run along."""
    merged: bool = False
    """Whether the lines into the target are one net, which grows from there against their direction."""

    @property
    def net(self) -> str:
        """What the lines that may run along each other have in common."""
        return f"into {self.wire.target}" if self.merged else self.wire.source

    @property
    def level(self) -> bool:
        """Whether it may run straight from left to right, like a rail; then it goes first."""
        return self.start[1] == self.goal[1]

    def may_enter(self, point: Point) -> bool:
        """Whether a point inside its source or target is on a straight way out or in, and does not merely cut a
        corner.
        """
        columns = {self.start[0], self.goal[0], *(pin[0] for pin in self.pins)}
        return point[0] in columns or point[1] in (self.start[1], self.goal[1])

    def ends_at(self, point: Point, heading: int) -> bool:
        return point == self.goal or (heading in (_UP, _DOWN) and point in self.pins)


class Routes(NamedTuple):
    """The paths of a step, what they cost, and the tasks, in their order, that had to cross or run along others."""

    paths: dict[Wire, Path]
    price: float
    crowded: bool
    order: list[_Task]
    crossing: list[_Task]


def route(step: Step, placement: Placement, spacing: Spacing) -> Routes:
    """A path for every link of `step` and for every state that leaves, in the step's coordinates.

    Lines find their ways one after the other. Those that could not but cross others are tried first, one
    by one, as long as that makes the whole cheaper; but not where very many have too little room.
    """
    maze = _Maze(step, placement, spacing)
    best = _in_order(maze, sorted(maze.tasks(), key=maze.urgency))
    hopeless = best.crowded and len(best.order) > _MANY
    waiting, effort = best.crossing, 0 if hopeless else _EFFORT // max(1, len(best.order))
    while waiting and effort:
        first, *waiting = waiting
        fixed = [task for task in best.order if task.level]
        order = [*fixed, first, *(task for task in best.order if task != first and not task.level)]
        again = _in_order(_Maze(step, placement, spacing), order, best.price - 0.1)
        effort -= 1
        if len(again.paths) == len(order) and again.price < best.price - 0.1:
            best, waiting = again, again.crossing
    return best


def _in_order(maze: _Maze, tasks: list[_Task], limit: float = math.inf) -> Routes:
    """The paths when laid in this order; the search is given up where they cost more than `limit`."""
    paths: dict[Wire, Path] = {}
    for task in tasks:
        if maze.price < limit:
            paths[task.wire] = maze.connect(task)
    return Routes(
        paths,
        maze.price,
        maze.crowded,
        tasks,
        [task for task in tasks if task.wire in maze.crossing and not task.level],
    )


class _Maze:
    def __init__(self, step: Step, placement: Placement, spacing: Spacing) -> None:
        self.step, self.placement = step, placement
        self.items = {item.key: item for item in step.items if item.key != step.output}
        lists = [self._box(key) for key, item in self.items.items() if step.backward and item.role == "parameter"]
        pins = {key: [placement.at[key][0] + d for d in pins_of(item)] for key, item in self.items.items()}
        boxes = [self._box(key) for key in self.items]
        self.xs, self.ys = grid(placement, boxes, spacing, lists, {x for at in pins.values() for x in at})
        self.pins = {key: frozenset(self._point(x, placement.at[key][1]) for x in at) for key, at in pins.items()}
        middles = {round(y + spacing.row / 2, 1) for _, y in placement.at.values()}
        top = max((y for _, y in placement.at.values()), default=placement.height)
        self.detour = [1.0 if y in middles else 1.05 if y <= top else _ROOF for y in self.ys]
        self.owner: dict[Point, set[str]] = {}
        for key in self.items:
            for point in self._covered(key):
                self.owner.setdefault(point, set()).add(key)
        for i, x in enumerate(self.xs):
            for j, y in enumerate(self.ys):
                if 8 < x < 16 + placement.title and placement.height - 22 < y < placement.height:
                    self.owner.setdefault((i, j), set()).add("title:")
        self.readers = Counter(link.source for item in step.items for link in item.links)
        self.reading: dict[str, list[str]] = {}
        leaving = {key for _, key in step.states}
        for item in self.items.values() if step.backward else ():
            for link in item.links:
                if item.key not in leaving or (link.source in step.by_key and step.by_key[link.source].beside):
                    self.reading.setdefault(link.source, []).append(item.key)
        self.lines: dict[tuple[Point, Point], str] = {}
        self.turns: dict[Point, set[str]] = {}
        self.passes: dict[Point, dict[str, int]] = {}
        self.trees: dict[str, dict[Point, Point | None]] = {}
        self.depth: dict[tuple[str, Point], float] = {}
        self.entered: set[tuple[str, Point, int]] = set()
        self.crossing: set[Wire] = set()
        self.price = 0.0
        self.crowded = False

    # ------------------------------------------------------------------------------------ geometry

    def _box(self, key: str) -> Box:
        (x, y), (w, h) = self.placement.at[key], self.items[key].size
        return x - w / 2, y - h / 2, x + w / 2, y + h / 2

    def _covered(self, key: str) -> Iterator[Point]:
        x0, y0, x1, y1 = self._box(key)
        for i in range(bisect_left(self.xs, x0 - 4), bisect_left(self.xs, x1 + 4.01)):
            for j in range(bisect_left(self.ys, y0 - 3), bisect_left(self.ys, y1 + 3.01)):
                yield i, j

    def _point(self, x: float, y: float) -> Point:
        return nearest(self.xs, x), nearest(self.ys, y)

    # --------------------------------------------------------------------------------------- tasks

    def tasks(self) -> Iterator[_Task]:
        """What is to be connected."""
        places = self.placement
        for item in self.items.values():
            for operand, link in enumerate(item.links):
                start, departures = self._start(link.source)
                arrivals = self._arrivals(item.key, self.xs[start[0]])
                if self.step.backward and link.source == entering("x"):
                    arrivals |= {_LEFT: 0.0, _RIGHT: 0.0}
                wire, goal = Wire(link.source, item.key, operand), self._point(*places.at[item.key])
                if self.step.backward and len(item.links) > _SIDES:
                    leaving_ = {(self._flow(item.key) + 2) % 4: 0.0}
                    yield _Task(wire, goal, start, frozenset({start}), leaving_, _reversed(departures), merged=True)
                else:
                    yield _Task(wire, start, goal, self.pins[item.key], departures, arrivals)
        for state, key in self.step.states:
            start, departures = self._start(key)
            goal = self._point(places.width, places.rails[state])
            yield _Task(Wire(key, leaving(state), 0), start, goal, frozenset({goal}), departures, {_RIGHT: 0.0})
        if self.step.output:
            source = self.step.by_key[self.step.output].links[0].source
            start, departures = self._start(source)
            goal = self._point(places.output_port, places.height)
            yield _Task(Wire(source, OUTPUT, 0), start, goal, frozenset({goal}), departures, {_UP: 0.0})

    def _start(self, key: str) -> tuple[Point, dict[int, float]]:
        places = self.placement
        if key in self.items:
            return self._point(*places.at[key]), self._departures(key)
        if key == entering("x"):
            return self._point(places.x_port, 0.0), {_UP: 0.0}
        return self._point(0.0, places.rails[key.removeprefix(entering(""))]), {_RIGHT: 0.0}

    def _flow(self, key: str) -> int:
        """The direction in which lines run past an item: up in the gates, right on a rail, down below one.

        Where the places are those of the lines' reversal, what reads an item tells, and not what it reads.
        """
        y = self.placement.at[key][1]
        if y in [self.placement.rails[s] for s in self.placement.highways]:
            return _RIGHT
        sources = [link.source for link in self.items[key].links if link.source in self.items]
        above = any(self.placement.at[s][1] > y for s in sources)
        if readers := self.reading.get(key):
            above = any(self.placement.at[reader][1] < y for reader in readers)
        return _DOWN if above else _UP

    def _departures(self, key: str) -> dict[int, float]:
        flow = self._flow(key)
        if flow == _RIGHT:
            return {_RIGHT: 0.0, _DOWN: _LATERAL, _UP: _LATERAL}
        if self.readers[key] > 1:
            return {flow: 0.0, _RIGHT: 2 * _BEND, _LEFT: 2 * _BEND, (flow + 2) % 4: _BACKWARD}
        return {flow: 0.0, _RIGHT: _LATERAL, _LEFT: 2 * _LATERAL, (flow + 2) % 4: _BACKWARD}

    def _arrivals(self, key: str, origin: float) -> dict[int, float]:
        flow, x = self._flow(key), self.placement.at[key][0]
        if flow == _RIGHT:
            return {_RIGHT: 0.0, _UP: 0.0, _DOWN: _LATERAL}
        if self.step.backward and self.items[key].role == "parameter":
            return {_LEFT: 0.0, _RIGHT: 0.0, flow: _LATERAL}
        if len(self.items[key].links) > 1 and abs(origin - x) > 6:
            near, far = (_RIGHT, _LEFT) if origin < x else (_LEFT, _RIGHT)
            return {near: 0.0, flow: 2 * _LATERAL, far: _BACKWARD / 2, (flow + 2) % 4: _BACKWARD}
        return {flow: 0.0, _RIGHT: 3 * _LATERAL, _LEFT: 3 * _LATERAL, (flow + 2) % 4: _BACKWARD}

    def urgency(self, task: _Task) -> tuple[float, ...]:
        """Rails first, then straight lines, then short ones; what leaves the step last."""
        (i, j), (k, m) = task.start, task.goal
        dx, dy = abs(self.xs[i] - self.xs[k]), abs(self.ys[j] - self.ys[m])
        port = task.wire.target not in self.items
        if self.step.backward and task.wire.source == entering("x"):
            return (1.5, dx + dy)
        straight = dx < 0.5 or dy < 0.5
        return (0.0 if dy < 0.5 else 1.0 if straight else 3.0 if port else 2.0, dx + dy)

    # -------------------------------------------------------------------------------------- search

    def connect(self, task: _Task) -> Path:
        """The cheapest way from the task's net to its goal; from then on part of that net."""
        net = task.net
        tree = self.trees.setdefault(net, {task.start: None})
        self.depth.setdefault((net, task.start), 0.0)
        found = self._search(task, tree)
        if found is None:
            self.crowded = True
            self.price += 100 * _CROSSING
            found = self._search(task._replace(crowded=True), tree)
        if found is None:
            return self._trim(task, [task.start, task.goal])
        self._claim(task, found, tree)
        if task.merged:
            return self._trim(task, _to_root(found, tree)[::-1])
        self.entered.add((task.wire.target, found[-1], _direction(found[-2], found[-1])))
        return self._trim(task, _to_root(found, tree))

    def _search(self, task: _Task, tree: dict[Point, Point | None]) -> list[Point] | None:
        """A* over (point, direction)."""
        heap: list[tuple[float, float, Point, int]] = []
        best: dict[tuple[Point, int], float] = {}
        came: dict[tuple[Point, int], tuple[Point, int] | None] = {}
        for point in tree:
            early = 1.05 * _LENGTH * self.depth[task.net, point]
            heapq.heappush(heap, (early + self._left(point, task.goal), early, point, -1))
            best[point, -1], came[point, -1] = early, None
        while heap:
            _, cost, point, heading = heapq.heappop(heap)
            if cost > best[point, heading]:
                continue
            if heading >= 0 and task.ends_at(point, heading):
                self.price += cost
                return _walk_back(came, (point, heading))
            for turn, extra in self._exits(task, point, heading):
                following = (point[0] + _MOVES[turn][0], point[1] + _MOVES[turn][1])
                if not self._free(task, point, following):
                    continue
                price = cost + extra + _LENGTH * self._distance(point, following) * self.detour[following[1]]
                if task.ends_at(following, turn):
                    price += self._arrival(task, following, turn)
                if price < best.get((following, turn), float("inf")):
                    best[following, turn], came[following, turn] = price, (point, heading)
                    heapq.heappush(heap, (price + self._left(following, task.goal), price, following, turn))
        return None

    def _exits(self, task: _Task, point: Point, heading: int) -> Iterator[tuple[int, float]]:
        """The directions in which a path may go on from `point`, and what turning or crossing costs."""
        net = task.net
        if heading < 0:
            if point == task.start:
                yield from task.departures.items()
            elif not self.owner.get(point) and not self._foreign(point, net):
                yield from ((turn, _BEND / 2) for turn in range(4))
            return
        inside = self.owner.get(point, set())
        if self._foreign(point, net) and not task.crowded:
            crossed = self.turns.get(point, set()) - {net}
            along = {way for other, way in self.passes.get(point, {}).items() if other != net}
            if not crossed and along == {(heading + 1) % 2} and not inside:
                yield heading, _CROSSING
            return
        yield heading, _CROSSING if self._foreign(point, net) else 0.0
        if not inside:
            yield from (((heading + 1) % 4, _BEND), ((heading + 3) % 4, _BEND))

    def _foreign(self, point: Point, net: str) -> bool:
        passing, turning = self.passes.get(point, ()), self.turns.get(point, ())
        return len(passing) > (net in passing) or len(turning) > (net in turning)

    def _free(self, task: _Task, a: Point, b: Point) -> bool:
        if not (0 <= b[0] < len(self.xs) and 0 <= b[1] < len(self.ys)):
            return False
        owners = self.owner.get(b)
        if owners and not (owners <= {task.wire.source, task.wire.target} and task.may_enter(b)):
            return False
        return task.crowded or self.lines.get((a, b) if a < b else (b, a), task.net) == task.net

    def _arrival(self, task: _Task, pin: Point, turn: int) -> float:
        taken = _BACKWARD if not task.merged and (task.wire.target, pin, turn) in self.entered else 0.0
        return task.arrivals.get(turn, 10 * _BACKWARD) + taken

    def _distance(self, a: Point, b: Point) -> float:
        return abs(self.xs[a[0]] - self.xs[b[0]]) + abs(self.ys[a[1]] - self.ys[b[1]])

    def _left(self, point: Point, goal: Point) -> float:
        bend = _BEND / 2 if point[0] != goal[0] and point[1] != goal[1] else 0.0
        return _LENGTH * self._distance(point, goal) + bend

    # -------------------------------------------------------------------------------------- result

    def _claim(self, task: _Task, path: list[Point], tree: dict[Point, Point | None]) -> None:
        net = task.net
        if any(self._foreign(point, net) for point in path[1:-1]):
            self.crossing.add(task.wire)
        for a, b in itertools.pairwise(path):
            self.lines[min(a, b), max(a, b)] = net
            tree.setdefault(b, a)
            self.depth.setdefault((net, b), self.depth[net, a] + self._distance(a, b))
        for k, point in enumerate(path[1:-1], 1):
            before, after = _direction(path[k - 1], point), _direction(point, path[k + 1])
            if before == after:
                self.passes.setdefault(point, {})[net] = before % 2
            else:
                self.turns.setdefault(point, set()).add(net)
        for point in (path[0], path[-1]):
            self.turns.setdefault(point, set()).add(net)
        if path[-1] not in tree.values():  # another line of this net may run on through it
            del tree[path[-1]]

    def _trim(self, task: _Task, path: list[Point]) -> Path:
        """Corner points only, from the border of the source to the border of the target."""
        corners = list(joined([(self.xs[i], self.ys[j]) for i, j in path]))
        if task.wire.source in self.items:
            corners[0] = self._border(task.wire.source, corners[0], corners[1])
        if task.wire.target in self.items:
            corners[-1] = self._border(task.wire.target, corners[-1], corners[-2])
        return tuple(corners)

    def _border(self, key: str, centre: tuple[float, float], outside: tuple[float, float]) -> tuple[float, float]:
        x0, y0, x1, y1 = self._box(key)
        (x, y), (ox, oy) = centre, outside
        if abs(ox - x) > abs(oy - y):
            return (x1 if ox > x else x0), y
        return x, (y1 if oy > y else y0)


def _reversed(costs: dict[int, float]) -> dict[int, float]:
    """Where lines arrive if they leave as given, and the other way round."""
    return {(turn + 2) % 4: cost for turn, cost in costs.items()}


def _direction(a: Point, b: Point) -> int:
    return _MOVES.index(((b[0] > a[0]) - (b[0] < a[0]), (b[1] > a[1]) - (b[1] < a[1])))


def _walk_back(came: dict[tuple[Point, int], tuple[Point, int] | None], end: tuple[Point, int]) -> list[Point]:
    path = []
    at: tuple[Point, int] | None = end
    while at is not None:
        path.append(at[0])
        at = came[at]
    return path[::-1]


def _to_root(path: list[Point], tree: dict[Point, Point | None]) -> list[Point]:
    """The path from the net's source, along the tree, then along `path`."""
    trunk = []
    at = tree.get(path[0])
    while at is not None:
        trunk.append(at)
        at = tree[at]
    return [*trunk[::-1], *path]

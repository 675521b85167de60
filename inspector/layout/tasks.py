"""Which lines of a step are to be laid, and from which sides they may leave and arrive."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from ..steps.items import OUTPUT, Key, Step, entering, leaving
from .grid import Box, grid, pins_of
from .maze import BEND, DOWN, LEFT, RIGHT, UP, Maze
from .order import Spacing
from .place import Placement

__all__ = ["Task", "Tasks", "Wire"]

_SIDES = 3
"""Lines that a shape can take one by one, each from a side of its own."""
_LATERAL, _BACKWARD = 3000, 40_000
"""What it costs to leave or arrive at a side, or against the direction of the lines around."""
_ROOF = 2.5
"""How much longer a way seems that leads above everything else."""


class Wire(NamedTuple):
    """One line to draw: from an item or port to operand `operand` of `target`, or to a port."""

    source: Key
    target: Key
    operand: int


class Task(NamedTuple):
    """A line to lay: points of the maze, and what leaving and arriving costs by direction.

    `net` numbers what may run along each other: the lines out of one source, or, where they are `merged`, those into
    one target, from which they grow against their direction. `pins` are where it may end upright, the outer ones also
    level.
    """

    wire: Wire
    net: int
    start: int
    goal: int
    pins: frozenset[int]
    departures: dict[int, int]
    arrivals: dict[int, int]
    merged: bool = False


class Tasks:
    """The lines of a placed step, and the maze in which they are laid."""

    def __init__(self, step: Step, placement: Placement, spacing: Spacing) -> None:
        self.step, self.placement = step, placement
        self.items = {item.key: item for item in step.inside}
        pins = {key: [placement.at[key][0] + d for d in pins_of(item)] for key, item in self.items.items()}
        self.maze = self._maze(spacing, {x for at in pins.values() for x in at})
        self.pins = {key: frozenset(self.maze.point(x, placement.at[key][1]) for x in at) for key, at in pins.items()}
        self.readers = Counter(link.source for item in step.items for link in item.links)
        self.reading: dict[Key, list[Key]] = {}
        leaving = {key for _, key in step.states}
        for item in self.items.values() if step.backward else ():
            for link in item.links:
                if item.key not in leaving or (link.source in step.by_key and step.by_key[link.source].beside):
                    self.reading.setdefault(link.source, []).append(item.key)
        self.nets: dict[tuple[bool, Key], int] = {}
        self.by_wire = {task.wire: task for task in self._tasks()}
        self.of_net: dict[int, list[Task]] = {}
        for task in self:
            self.of_net.setdefault(task.net, []).append(task)

    def __iter__(self) -> Iterator[Task]:
        return iter(self.by_wire.values())

    def _maze(self, spacing: Spacing, pins: set[float]) -> Maze:
        places = self.placement
        boxes = {key: self.box(key) for key in self.items}
        lists = [boxes[key] for key, item in self.items.items() if self.step.backward and item.role == "parameter"]
        xs, ys = grid(places, boxes.values(), spacing, lists, pins)
        middles = {round(y + spacing.row / 2, 1) for _, y in places.at.values()}
        top = max((y for _, y in places.at.values()), default=places.height)
        maze = Maze(xs, ys, [1.0 if y in middles else 1.05 if y <= top else _ROOF for y in ys])
        for key, (x0, y0, x1, y1) in boxes.items():
            maze.block((x0 - 4, y0 - 3, x1 + 4.01, y1 + 3.01), key)
        maze.block((8.01, places.height - 21.99, 15.99 + places.title, places.height - 0.01), None)
        ports = [(places.x_port, 0.0), (places.output_port, places.height)]
        maze.enclose([*ports, *itertools.product((0.0, places.width), places.rails.values())])
        return maze

    def box(self, key: Key) -> Box:
        """The outline of an item."""
        (x, y), (w, h) = self.placement.at[key], self.items[key].size
        return x - w / 2, y - h / 2, x + w / 2, y + h / 2

    def _tasks(self) -> Iterator[Task]:
        places = self.placement
        for item in self.items.values():
            for operand, link in enumerate(item.links):
                start, departures = self._start(link.source)
                arrivals = self._arrivals(item.key, self.maze.place(start)[0])
                if self.step.backward and link.source == entering("x"):
                    arrivals |= {LEFT: 0, RIGHT: 0}
                wire, goal = Wire(link.source, item.key, operand), self.maze.point(*places.at[item.key])
                if self.step.backward and len(item.links) > _SIDES:
                    leaving_ = {(self._flow(item.key) + 2) % 4: 0}
                    pins, arrivals = frozenset({start}), _reversed(departures)
                    yield Task(wire, self._net(wire.target, True), goal, start, pins, leaving_, arrivals, merged=True)
                else:
                    yield Task(wire, self._net(wire.source), start, goal, self.pins[item.key], departures, arrivals)
        for state, key in self.step.states:
            start, departures = self._start(key)
            goal = self.maze.point(places.width, places.rails[state])
            wire = Wire(key, leaving(state), 0)
            yield Task(wire, self._net(key), start, goal, frozenset({goal}), departures, {RIGHT: 0})
        if self.step.circle is not None:
            source = self.step.circle.links[0].source
            start, departures = self._start(source)
            goal = self.maze.point(places.output_port, places.height)
            wire = Wire(source, OUTPUT, 0)
            yield Task(wire, self._net(source), start, goal, frozenset({goal}), departures, {UP: 0})

    def _net(self, end: Key, merged: bool = False) -> int:
        return self.nets.setdefault((merged, end), len(self.nets))

    def _start(self, key: Key) -> tuple[int, dict[int, int]]:
        places = self.placement
        if key in self.items:
            return self.maze.point(*places.at[key]), self._departures(key)
        if key == entering("x"):
            return self.maze.point(places.x_port, 0.0), {UP: 0}
        assert key.is_port
        return self.maze.point(0.0, places.rails[key.name]), {RIGHT: 0}

    def _flow(self, key: Key) -> int:
        """The direction in which lines run past an item: up in the gates, right on a rail, down below one.

        Where the places are those of the lines' reversal, what reads an item tells, and not what it reads.
        """
        y = self.placement.at[key][1]
        if y in [self.placement.rails[s] for s in self.placement.highways]:
            return RIGHT
        sources = [link.source for link in self.items[key].links if link.source in self.items]
        above = any(self.placement.at[s][1] > y for s in sources)
        if readers := self.reading.get(key):
            above = any(self.placement.at[reader][1] < y for reader in readers)
        return DOWN if above else UP

    def _departures(self, key: Key) -> dict[int, int]:
        flow = self._flow(key)
        if flow == RIGHT:
            return {RIGHT: 0, DOWN: _LATERAL, UP: _LATERAL}
        if self.readers[key] > 1:
            return {flow: 0, RIGHT: 2 * BEND, LEFT: 2 * BEND, (flow + 2) % 4: _BACKWARD}
        return {flow: 0, RIGHT: _LATERAL, LEFT: 2 * _LATERAL, (flow + 2) % 4: _BACKWARD}

    def _arrivals(self, key: Key, origin: float) -> dict[int, int]:
        flow, x = self._flow(key), self.placement.at[key][0]
        if flow == RIGHT:
            return {RIGHT: 0, UP: 0, DOWN: _LATERAL}
        if self.step.backward and self.items[key].role == "parameter":
            return {LEFT: 0, RIGHT: 0, flow: _LATERAL}
        if len(self.items[key].links) > 1 and abs(origin - x) > 6:
            near, far = (RIGHT, LEFT) if origin < x else (LEFT, RIGHT)
            return {near: 0, flow: 2 * _LATERAL, far: 3 * _LATERAL, (flow + 2) % 4: _BACKWARD}
        return {flow: 0, RIGHT: 3 * _LATERAL, LEFT: 3 * _LATERAL, (flow + 2) % 4: _BACKWARD}

    def level(self, task: Task) -> bool:
        """Whether it may run straight from left to right, like a rail; then it goes first."""
        return self.maze.place(task.start)[1] == self.maze.place(task.goal)[1]

    def urgency(self, task: Task, sign: int = 1) -> tuple[float, ...]:
        """Rails first, then straight lines, then short ones, or long ones with `sign` -1; what leaves the step last."""
        (ax, ay), (bx, by) = self.maze.place(task.start), self.maze.place(task.goal)
        dx, dy = abs(ax - bx), abs(ay - by)
        port = task.wire.target not in self.items
        if self.step.backward and task.wire.source == entering("x"):
            return (1.5, sign * (dx + dy))
        straight = dx < 0.5 or dy < 0.5
        return (0.0 if dy < 0.5 else 1.0 if straight else 3.0 if port else 2.0, sign * (dx + dy))


def _reversed(costs: dict[int, int]) -> dict[int, int]:
    """Where lines arrive if they leave as given, and the other way round."""
    return {(turn + 2) % 4: cost for turn, cost in costs.items()}

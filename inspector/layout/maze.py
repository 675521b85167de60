"""A grid of points on which lines find their ways: what is in the way, what is taken, and the cheapest way through.

Lee 1961, "An algorithm for path connections and its applications", as an A* search (Hart, Nilsson and Raphael 1968)
over points with the direction in which they are reached, so that bends and crossings have a price; what is left is
guessed from the length and the least number of bends of a way through an empty grid, as in Wybrow, Marriott and
Stuckey 2009, "Orthogonal connector routing".
"""

from __future__ import annotations

import heapq
import itertools
import math
from bisect import bisect_left
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from ..steps.items import Key
from .grid import Box, nearest
from .remaining import NEVER, remaining

__all__ = ["BEND", "CROSSING", "DOWN", "LEFT", "LENGTH", "RIGHT", "UP", "Errand", "Maze"]

UP, RIGHT, DOWN, LEFT = range(4)
_START = 4
"""In place of a direction, where a way begins."""
_DIRECTIONS = 5
_BITS = 32
_LOW = (1 << _BITS) - 1
_PATIENCE = 150
"""States after which it is faster to work out what is left than to guess."""
LENGTH, BEND, CROSSING = 30, 6000, 13000
"""What a way costs: for each point of its length, for each bend, for each line that it crosses. Prices are whole
numbers, so that ways are equally good on every machine or on none.
"""
_TURNS = 4
"""A flag beside those of the two ways of passing a point straight, which are 1 (upright) and 2 (level)."""
_STRAIGHT = tuple(((heading, 0),) for heading in range(4))
_ANY = tuple(((heading, 0), ((heading + 1) % 4, BEND), ((heading + 3) % 4, BEND)) for heading in range(4))
_OVER = tuple(((heading, CROSSING),) for heading in range(4))
_ALONG = tuple(((heading, CROSSING), *_ANY[heading][1:]) for heading in range(4))
_BRANCH = tuple((turn, BEND // 2) for turn in range(4))


class Errand(NamedTuple):
    """A way to be found.

    Attributes
    ----------
    net : int
        Lines of the same net may run along each other.
    starts : dict
        The points at which it may begin, and what that costs.
    source : int
        The one of them from which it may go in the directions of `departures`, at their price.
    ends : dict
        The points at which it may end, all in one row, each with a direction, and what arriving there costs.
    shapes : frozenset of Key
        The keys of the shapes that it may enter, straight towards their middle.
    crowded : bool
        Whether it may run along lines of other nets.
    """

    net: int
    starts: Mapping[int, int]
    source: int
    departures: Mapping[int, int]
    ends: Mapping[tuple[int, int], int]
    shapes: frozenset[Key | None]
    crowded: bool = False


class Maze:
    """Points at the crossings of `xs` and `ys`, numbered column by column, with a margin around them that is never
    entered.

    `detour` says for every y how much longer ways seem there.
    """

    def __init__(self, xs: Sequence[float], ys: Sequence[float], detour: Sequence[float]) -> None:
        self.xs, self.ys = [xs[0], *xs, xs[-1]], [ys[0], *ys, ys[-1]]
        self.stride = len(self.ys)
        self.moves = (1, self.stride, -1, -self.stride)
        count = len(self.xs) * self.stride
        self.shapes: list[frozenset[Key | None] | None] = [None] * count
        for point in range(count):
            column, row = divmod(point, self.stride)
            if column in (0, len(self.xs) - 1) or row in (0, self.stride - 1):
                self.shapes[point] = frozenset({None})
        self.steps = _steps(self.xs, self.ys, [1.0, *detour, 1.0])
        self._away: dict[tuple[int, int, int], tuple[list[int], list[int]]] = {}
        self._inside: dict[Key | None, list[int]] = {}
        self._static: tuple[Any, Any] | None = None
        self.clear()

    def clear(self) -> None:
        """Take away all lines."""
        count = len(self.shapes)
        self.lines: tuple[list[int | None], list[int | None]] = ([None] * count, [None] * count)
        self.taken: list[dict[int, int] | None] = [None] * count
        self._claims: list[tuple[int, list[int], list[int], tuple[list[int], list[int]]]] = []

    # ------------------------------------------------------------------------------------ geometry

    def point(self, x: float, y: float) -> int:
        """The point nearest to a place."""
        return (nearest(self.xs[1:-1], x) + 1) * self.stride + nearest(self.ys[1:-1], y) + 1

    def place(self, point: int) -> tuple[float, float]:
        """Where a point is."""
        column, row = divmod(point, self.stride)
        return self.xs[column], self.ys[row]

    def block(self, box: Box, key: Key | None) -> None:
        """Put a shape over the points of a box, or, without a key, what no line may enter."""
        x0, y0, x1, y1 = box
        columns, rows = self._between(self.xs, x0, x1), self._between(self.ys, y0, y1)
        for column, row in itertools.product(columns, rows):
            point = column * self.stride + row
            self.shapes[point] = (self.shapes[point] or frozenset()) | {key}
            self._inside.setdefault(key, []).append(point)

    def enclose(self, ports: Iterable[tuple[float, float]]) -> None:
        """Put a border over the outermost points, which lines pass at the ports alone."""
        passed = {self.point(x, y) for x, y in ports}
        for column, row in itertools.product(range(1, len(self.xs) - 1), range(1, self.stride - 1)):
            point = column * self.stride + row
            if (column in (1, len(self.xs) - 2) or row in (1, self.stride - 2)) and point not in passed:
                self.shapes[point] = (self.shapes[point] or frozenset()) | {None}

    @staticmethod
    def _between(values: Sequence[float], low: float, high: float) -> range:
        """Which coordinates lie between two, the margin left out."""
        last = len(values) - 1
        return range(bisect_left(values, low, 1, last), bisect_left(values, high, 1, last))

    def distance(self, a: int, b: int) -> float:
        """Between two points, along the grid."""
        (ax, ay), (bx, by) = self.place(a), self.place(b)
        return abs(ax - bx) + abs(ay - by)

    def away(self, first: int, last: int, level: int) -> tuple[list[int], list[int]]:
        """How far every point is from those of a row between two columns, as a price, and on which side of them."""
        key = first, last, level
        if key not in self._away:
            xs, ys = _priced(self.xs), _priced(self.ys)
            across, up = [max(0, xs[first] - x, x - xs[last]) for x in xs], [abs(y - ys[level]) for y in ys]
            sides = [3 * ((column < first) - (column > last)) for column in range(len(xs))]
            rises = [(row < level) - (row > level) for row in range(len(ys))]
            self._away[key] = [x + y for x in across for y in up], [dx + dy for dx in sides for dy in rises]
        return self._away[key]

    def direction(self, a: int, b: int) -> int:
        """The direction in which the second, a neighbour of the first, lies."""
        return self.moves.index(b - a)

    # --------------------------------------------------------------------------------------- lines

    def foreign(self, point: int, net: int) -> dict[int, int]:
        """The other nets whose lines run through a point, with flags of how."""
        return {other: flags for other, flags in (self.taken[point] or {}).items() if other != net}

    def claim(self, path: Sequence[int], net: int) -> int:
        """Lay a line of `net`, and count the points outside of shapes at which the net has come upon others."""
        headings = [self.direction(a, b) for a, b in itertools.pairwise(path)]
        edges: tuple[list[int], list[int]] = ([], [])
        for (a, b), heading in zip(itertools.pairwise(path), headings, strict=True):
            self.lines[heading % 2][min(a, b)] = net
            edges[heading % 2].append(min(a, b))
        flags = [_TURNS, *(1 + a % 2 if a == b else _TURNS for a, b in itertools.pairwise(headings)), _TURNS]
        self._claims.append((net, list(path), flags, edges))
        crossings = 0
        for point, flag in zip(path, flags, strict=True):
            nets = self.taken[point] = self.taken[point] or {}
            crossings += bool(nets) and net not in nets and self.shapes[point] is None
            nets[net] = nets.get(net, 0) | flag
        return crossings

    # -------------------------------------------------------------------------------------- search

    def cheapest(self, errand: Errand, patience: float = _PATIENCE) -> tuple[int, list[int]] | None:
        """What the cheapest way costs, and its points; ``None`` if there is no way.

        Among ways that are guessed to cost the same, that goes on first which has come least far, then that whose
        state has the smallest number. A search of more than `patience` states, in which the guess is no help against
        lines that all ways have to cross, works out what exactly is left, and begins again among the states of the
        cheapest ways alone. Their order is what it was, and so is the way that is found.
        """
        found = self._search(errand, patience)
        if found is not None or patience == math.inf:
            return found
        price, left = self._remaining(errand)
        return self._search(errand, math.inf, price, left) if price < NEVER else None

    def _search(
        self, errand: Errand, patience: float, least: int = NEVER, exactly: Sequence[Any] | None = None
    ) -> tuple[int, list[int]] | None:
        """The cheapest way; ``None`` if there is none, or it takes more states than `patience`.

        With what `exactly` is left, by direction and point, states are left out that are on no way that costs `least`.
        In the queue a state stands behind its price and the guess, as one number.
        """
        final = {point * _DIRECTIONS + turn: price for (point, turn), price in errand.ends.items()}
        left, net, crowded = _Left(self, errand), errand.net, errand.crowded
        length, side, all_shapes, taken = left.length, left.side, self.shapes, self.taken
        ways = [
            (move, self.steps[turn], self.lines[turn % 2], 0 if turn < DOWN else move, left.turns[turn])
            for turn, move in enumerate(self.moves)
        ]
        best = [NEVER] * (_DIRECTIONS * len(all_shapes))
        came: dict[int, int] = {}
        queue: list[int] = []
        for point, price in errand.starts.items():
            best[point * _DIRECTIONS + _START] = price
            queue.append((price + length[point] << _BITS | price) << _BITS | point * _DIRECTIONS + _START)
        heapq.heapify(queue)
        while queue and patience > 0:
            patience -= 1
            key = heapq.heappop(queue)
            state, cost = key & _LOW, key >> _BITS & _LOW
            if cost > best[state]:
                continue
            if state in final:
                return cost, _walked(state, came)
            point, heading = divmod(state, _DIRECTIONS)
            free = heading != _START and not taken[point] and all_shapes[point] is None
            for turn, extra in _ANY[heading] if free else self._exits(errand, point, heading):
                move, steps, lines, back, turns = ways[turn]
                other = point + move
                following = other * _DIRECTIONS + turn
                price = cost + extra + steps[point]
                ended = following in final
                if ended:
                    price += final[following]
                if price >= best[following]:
                    continue
                if exactly is not None and price + (0 if ended else exactly[turn][other]) > least:
                    continue
                owner, shapes = lines[point + back], all_shapes[other]
                if owner is not None and owner != net and not crowded:
                    continue
                if shapes is not None and not self._may_enter(errand, other, shapes, turn):
                    continue
                best[following], came[following] = price, state
                guess = price + length[other] + turns[side[other]]
                heapq.heappush(queue, (guess << _BITS | price) << _BITS | following)
        return None

    def _remaining(self, errand: Errand) -> tuple[int, list[Any]]:
        """The price of the cheapest way, and what exactly is left, by direction and point."""
        if self._static is None:
            self._static = np.array(self.steps), np.array([shapes is not None for shapes in self.shapes])
        lengths, inside = self._static
        closed = np.array([inside, inside])
        for axis, key in itertools.product((UP, RIGHT), errand.shapes):
            points = self._inside.get(key, ())
            entered = [p for p in points if self._may_enter(errand, p, self.shapes[p] or frozenset(), axis)]
            closed[axis, entered] = False
        foreign, taken = np.zeros(len(inside), int), np.zeros((2, len(inside)), bool)
        for net, path, flags, edges in self._claims:
            if net != errand.net:
                np.bitwise_or.at(foreign, path, flags)
            for axis, along in enumerate(edges):
                taken[axis, along] = net != errand.net and not errand.crowded
        steps, straight = lengths.copy(), np.empty_like(lengths)
        for turn, move in enumerate(self.moves):
            ahead = np.roll(closed[turn % 2], -move) | (
                taken[turn % 2] if turn < DOWN else np.roll(taken[turn % 2], -move)
            )
            steps[turn, ahead] = NEVER
            passes = (foreign == 1 + (turn + 1) % 2) & ~inside | errand.crowded
            straight[turn] = np.where(foreign == 0, 0, np.where(passes, CROSSING, NEVER))
        turnable = ~inside & ((foreign == 0) | errand.crowded)
        branches = np.array([p for p in errand.starts if p != errand.source and not inside[p] and not foreign[p]], int)
        prices = np.array([errand.starts[p] for p in branches], int) + BEND // 2
        source = errand.starts.get(errand.source, NEVER)

        def whole(out: Any) -> int:
            left = out.reshape(4, -1)
            first = [source + price + int(left[turn, errand.source]) for turn, price in errand.departures.items()]
            return min([*first, int((left[:, branches].min(axis=0) + prices).min(initial=NEVER))])

        grid = len(self.xs), self.stride
        length = _Left(self, errand).length
        price, left = remaining(
            steps.reshape(4, *grid),
            straight.reshape(4, *grid),
            turnable.reshape(grid),
            errand.ends,
            whole,
            BEND,
            min(price + length[point] for point, price in errand.starts.items()),
        )
        return price, [one.ravel() for one in left]

    def _exits(self, errand: Errand, point: int, heading: int) -> Collection[tuple[int, int]]:
        """The directions in which a way may go on as far as the point itself matters, and what turning or crossing
        there costs.
        """
        inside = self.shapes[point] is not None
        foreign = self.foreign(point, errand.net) if self.taken[point] else {}
        if heading == _START:
            if point == errand.source:
                return errand.departures.items()
            return () if inside or foreign else _BRANCH
        if not foreign:
            return _STRAIGHT[heading] if inside else _ANY[heading]
        if errand.crowded:
            return _OVER[heading] if inside else _ALONG[heading]
        passes = 1 + (heading + 1) % 2
        return _OVER[heading] if not inside and all(flags == passes for flags in foreign.values()) else ()

    def _may_enter(self, errand: Errand, point: int, shapes: frozenset[Key | None], turn: int) -> bool:
        """Whether a point inside a shape, reached in that direction, is on a straight way out of the source or into the
        target.
        """
        if not shapes <= errand.shapes:
            return False
        at = self._across(point, turn)
        return any(
            at == self._across(end, turn) and shapes & (self.shapes[end] or frozenset())
            for end in (errand.source, *(end for end, _ in errand.ends))
        )

    def _across(self, point: int, turn: int) -> int:
        """The column of a point for what runs upright, and its row for what runs level."""
        return point % self.stride if turn % 2 else point // self.stride


class _Left:
    """At least what is left to pay from a point to the end: length, bends and the arrival in an empty maze.

    `length` is what the length costs from each point, and ``turns[heading][side[point]]`` what the rest does, where
    `side` numbers the nine directions in which the end may lie.
    """

    def __init__(self, maze: Maze, errand: Errand) -> None:
        columns = [point // maze.stride for point, _ in errand.ends]
        self.length, self.side = maze.away(min(columns), max(columns), next(iter(errand.ends))[0] % maze.stride)
        arrivals: dict[int, int] = {}
        for (_, turn), price in errand.ends.items():
            arrivals[turn] = min(price, arrivals.get(turn, price))
        self.turns = _turns(tuple(arrivals.items()))


def _steps(xs: Sequence[float], ys: Sequence[float], detour: Sequence[float]) -> list[list[int]]:
    """What the length of a step from each point costs, in every direction."""
    dx, dy, factor = np.diff(_priced(xs)), np.diff(_priced(ys)), np.asarray(detour)
    nowhere, across = np.zeros(1), np.ones(len(xs))
    up, right = np.append(dy * factor[1:], nowhere), np.append(dx, nowhere)
    down, left = np.append(nowhere, dy * factor[:-1]), np.append(nowhere, dx)
    steps = [np.outer(across, up), np.outer(right, factor), np.outer(across, down), np.outer(left, factor)]
    return [np.rint(price).astype(int).ravel().tolist() for price in steps]


def _priced(values: Sequence[float]) -> list[int]:
    """Coordinates in units of the price of length."""
    return [round(LENGTH * value) for value in values]


@cache
def _turns(arrivals: tuple[tuple[int, int], ...]) -> list[dict[int, int]]:
    """At least what bends and the arrival cost, by the direction of a way and where the end lies."""
    sides = [(dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)]
    return [{3 * dx + dy: _to_turn(heading, dx, dy, arrivals) for dx, dy in sides} for heading in range(4)]


def _to_turn(heading: int, dx: int, dy: int, arrivals: tuple[tuple[int, int], ...]) -> int:
    """At least what bends and the arrival cost; nothing more at the end itself."""
    if dx == dy == 0:
        return 0
    return min(BEND * _bends(heading, turn, dx, dy) + price for turn, price in arrivals)


@cache
def _bends(heading: int, arrival: int, dx: int, dy: int) -> int:
    """The least number of bends on a way that begins in one direction and ends in another, to the right (`dx` = 1)
    and up (`dy` = 1).
    """
    start, goal, size = (4, 4), (4 + 2 * dx, 4 + 2 * dy), range(9)
    queue, seen = deque([(0, *start, heading)]), set[tuple[int, int, int]]()
    while queue:
        bends, x, y, facing = queue.popleft()
        if (x, y) == goal and facing == arrival:
            return bends
        if (x, y, facing) in seen or x not in size or y not in size:
            continue
        seen.add((x, y, facing))
        (mx, my) = ((0, 1), (1, 0), (0, -1), (-1, 0))[facing]
        queue.appendleft((bends, x + mx, y + my, facing))
        queue += [(bends + 1, x, y, (facing + way) % 4) for way in (1, 3)]
    raise AssertionError("an empty grid has a way everywhere")


def _walked(state: int, came: Mapping[int, int]) -> list[int]:
    states = [state]
    while states[-1] in came:
        states.append(came[states[-1]])
    return [state // _DIRECTIONS for state in reversed(states)]

"""Ways through a maze against Dijkstra's algorithm on the graph of all states, written out edge by edge."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import networkx as nx
from hypothesis import assume, given
from hypothesis import strategies as st

from inspector.layout.maze import BEND, CROSSING, DOWN, LENGTH, RIGHT, UP, Errand, Maze

ANYWHERE = dict.fromkeys(range(4), 0)
State = tuple[int, int]


def plain(columns: int, rows: int) -> Maze:
    return Maze([10.0 * k for k in range(columns)], [10.0 * k for k in range(rows)], [1.0] * rows)


def errand(maze: Maze, start: tuple[float, float], goal: tuple[float, float], net: str = "a", **options: Any) -> Errand:
    first, last = maze.point(*start), maze.point(*goal)
    return Errand(net, {first: 0}, first, ANYWHERE, {(last, turn): 0 for turn in range(4)}, frozenset(), **options)


def places(maze: Maze, path: list[int]) -> list[tuple[float, float]]:
    return [maze.place(point) for point in path]


@st.composite
def mazes(draw: Callable[[st.SearchStrategy[Any]], Any]) -> tuple[Maze, Errand]:
    """A maze with shapes and lines in it, and a way to be found."""
    columns, rows = draw(st.integers(3, 6)), draw(st.integers(3, 6))
    xs = [0.0, *sorted(draw(st.sets(st.integers(4, 60), min_size=columns - 1, max_size=columns - 1)))]
    maze = Maze(
        [float(x) for x in xs],
        [10.0 * k for k in range(rows)],
        draw(st.lists(st.sampled_from([1.0, 1.05, 2.5]), min_size=rows, max_size=rows)),
    )
    inside = [maze.point(x, 10.0 * k) for x in xs for k in range(rows)]
    for _ in range(draw(st.integers(0, 4))):
        x, y = maze.place(draw(st.sampled_from(inside)))
        maze.block((x - 1, y - 1, x + 1, y + 1), draw(st.sampled_from("st")))
    for net in draw(st.lists(st.sampled_from("nm"), max_size=3)):
        point, heading = draw(st.sampled_from(inside)), draw(st.integers(0, 3))
        line = [point]
        while line[-1] + maze.moves[heading] in inside:
            line.append(line[-1] + maze.moves[heading])
        if len(line) > 1:
            maze.claim(line, net)
    start, goal = (draw(st.sampled_from(inside)) for _ in range(2))
    row = [point for point in inside if point % maze.stride == goal % maze.stride]
    ends = {(goal, turn): draw(st.sampled_from([0, 3000, 40000])) for turn in range(4)}
    ends |= {(pin, turn): 0 for pin in draw(st.lists(st.sampled_from(row), max_size=2)) for turn in (UP, DOWN)}
    starts = {start: 0} | {
        point: draw(st.integers(0, 3000)) for point in draw(st.lists(st.sampled_from(inside), max_size=2))
    }
    departures = draw(st.dictionaries(st.integers(0, 3), st.sampled_from([0, 3000]), min_size=1))
    return maze, Errand("n", starts, start, departures, ends, frozenset("s"), draw(st.booleans()))


def steps(maze: Maze, todo: Errand, state: State) -> Iterator[tuple[State, int]]:
    """What follows a state, and its price, by the rules of the docstrings alone."""
    point, heading = state
    column, row = divmod(point, maze.stride)
    blocked = maze.shapes[point] is not None
    foreign = {flag for net, flag in (maze.taken[point] or {}).items() if net != todo.net}
    for turn in range(4):
        bend = 0 if turn == heading else BEND
        if heading == 4:
            if point == todo.source:
                if turn not in todo.departures:
                    continue
                bend = todo.departures[turn]
            elif blocked or foreign:
                continue
            else:
                bend = BEND // 2
        elif turn == (heading + 2) % 4 or (turn != heading and blocked):
            continue
        elif foreign and not todo.crowded:
            if turn != heading or blocked or any(flag != 1 + (heading + 1) % 2 for flag in foreign):
                continue
            bend = CROSSING
        elif foreign and turn == heading:
            bend = CROSSING
        other = point + maze.moves[turn]
        shapes, (ocolumn, orow) = maze.shapes[other], divmod(other, maze.stride)
        ways = [todo.source, *(end for end, _ in todo.ends)]
        straight = any(orow == end % maze.stride or ocolumn == end // maze.stride for end in ways)
        if shapes is not None and not (shapes <= todo.shapes and straight):
            continue
        if not todo.crowded and maze.lines[turn % 2][min(point, other)] not in (None, todo.net):
            continue
        dx, dy = abs(maze.xs[ocolumn] - maze.xs[column]), abs(maze.ys[orow] - maze.ys[row])
        length = maze.steps[turn][point]
        assert LENGTH * (dx + dy) <= length <= 2.5 * LENGTH * (dx + dy)
        yield (other, turn), bend + length + todo.ends.get((other, turn), 0)


def dijkstra(maze: Maze, todo: Errand) -> int | None:
    graph = nx.DiGraph()
    graph.add_weighted_edges_from(("begin", (point, 4), price) for point, price in todo.starts.items())
    queue = [(point, 4) for point in todo.starts]
    seen = set(queue)
    while queue:
        state = queue.pop()
        for following, price in steps(maze, todo, state) if state not in todo.ends else ():
            graph.add_edge(state, following, weight=price)
            if following not in seen:
                seen.add(following)
                queue.append(following)
    lengths = nx.single_source_dijkstra_path_length(graph, "begin")
    return min((lengths[end] for end in todo.ends if end in lengths), default=None)


@given(mazes())
def test_the_way_is_the_cheapest(drawn: tuple[Maze, Errand]) -> None:
    maze, todo = drawn
    assume(todo.source not in {point for point, _ in todo.ends})  # nothing is its own operand
    found = maze.cheapest(todo)
    assert (found and found[0]) == dijkstra(maze, todo)


@given(mazes())
def test_a_search_that_works_out_what_is_left_finds_the_same_way(drawn: tuple[Maze, Errand]) -> None:
    maze, todo = drawn
    assume(todo.source not in {point for point, _ in todo.ends})
    assert maze.cheapest(todo, patience=0) == maze.cheapest(todo, patience=math.inf)


def test_a_way_goes_round_a_shape_and_over_a_line() -> None:
    maze = plain(5, 5)
    maze.block((18, 18, 22, 22), "shape")
    maze.claim([maze.point(30, 10.0 * k) for k in range(5)], "other")
    found = maze.cheapest(errand(maze, (0, 20), (40, 20)))
    assert found is not None
    cost, path = found
    assert (20.0, 20.0) not in places(maze, path)
    assert cost == LENGTH * 60 + 2 * BEND + CROSSING


def test_a_line_of_another_net_is_not_run_along_unless_it_is_crowded() -> None:
    maze = plain(3, 1)
    maze.claim([maze.point(0, 0), maze.point(10, 0), maze.point(20, 0)], "other")
    assert maze.cheapest(errand(maze, (0, 0), (20, 0))) is None
    assert maze.cheapest(errand(maze, (0, 0), (20, 0), net="other")) == (
        LENGTH * 20,
        [maze.point(10.0 * k, 0) for k in range(3)],
    )
    crowded = maze.cheapest(errand(maze, (0, 0), (20, 0), crowded=True))
    assert crowded is not None
    assert crowded[0] == LENGTH * 20 + CROSSING


def test_a_line_does_not_turn_where_it_meets_another() -> None:
    maze = plain(3, 4)
    maze.claim([maze.point(10, 10.0 * k) for k in range(4)], "other")
    maze.block((18, 8, 22, 12), "wall")
    found = maze.cheapest(errand(maze, (0, 10), (20, 20)))
    assert found is not None
    assert places(maze, found[1])[:2] != [(0.0, 10.0), (10.0, 10.0)]
    assert maze.direction(found[1][-2], found[1][-1]) == RIGHT


def test_lines_pass_the_border_at_ports_alone() -> None:
    maze = plain(5, 4)
    way = errand(maze, (0.0, 10.0), (40.0, 10.0))
    maze.block((15.0, 5.0, 25.0, 25.0), "shape")
    assert maze.cheapest(way) is not None, "around the shape along the border"
    maze.enclose([(0.0, 10.0), (40.0, 10.0)])
    assert maze.cheapest(way) is None


def test_lines_do_not_run_through_what_they_lead_to() -> None:
    maze = plain(5, 6)
    maze.block((5.0, 5.0, 35.0, 35.0), "target")
    way = errand(maze, (10.0, 0.0), (20.0, 20.0))._replace(shapes=frozenset({"target"}))
    above = way._replace(ends={(maze.point(20.0, 20.0), DOWN): 0})
    found = maze.cheapest(above)
    assert found is not None
    assert (10.0, 20.0) not in places(maze, found[1])

"""Laws of lines: each begins and ends at its shapes, and lines of different sources share no stretch."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator

import pytest

import tinygrad_rnn as tg
from inspector.layout.columns import Laid, Row, lay_out
from inspector.layout.order import Spacing
from inspector.layout.place import Placement
from inspector.layout.route import Routes, Wire, route
from inspector.steps.items import OUTPUT, Key, Step, entering, leaving

from ...marks import slow_unless
from .drawn import item, step_of, value

CELLS = tg.cells.names()
QUICK = ["lstm", "gru", "slstm", "narx"]
Stretch = tuple[bool, float, float, float]


def laid(step: Step) -> Laid:
    ((found,),) = lay_out([Row((step,), False, (), (None,))], Spacing())
    assert isinstance(found, Laid)
    return found


def stretches(path: tuple[tuple[float, float], ...]) -> Iterator[Stretch]:
    for (ax, ay), (bx, by) in itertools.pairwise(path):
        assert min(abs(ax - bx), abs(ay - by)) < 0.1, "lines are upright or level"
        upright = abs(ax - bx) < 0.1
        yield (upright, ax, *sorted((ay, by))) if upright else (upright, ay, *sorted((ax, bx)))


@pytest.mark.parametrize("name", slow_unless(QUICK, CELLS))
def test_every_link_has_a_line_from_its_source_to_its_reader(name: str) -> None:
    step = step_of(name, "gate")
    found = laid(step)
    wanted = {Wire(link.source, one.key, k) for one in step.inside for k, link in enumerate(one.links)}
    wanted |= {Wire(key, leaving(state), 0) for state, key in step.states}
    assert {wire for wire in found.wires if wire.target != OUTPUT} == wanted
    for wire, path in found.wires.items():
        for key, (x, y) in ((wire.source, path[0]), (wire.target, path[-1])):
            if key in found.placement.at:
                (cx, cy), (w, h) = found.placement.at[key], step.by_key[key].size
                sides = abs(abs(x - cx) - w / 2), abs(abs(y - cy) - h / 2)
                assert min(sides) < 0.1
                assert abs(x - cx) <= w / 2 + 0.1
                assert abs(y - cy) <= h / 2 + 0.1


@pytest.mark.parametrize("name", slow_unless(QUICK, CELLS))
def test_lines_of_different_sources_share_no_stretch(name: str) -> None:
    found = [
        (wire.source, stretch)
        for wire, path in laid(step_of(name, "gate")).wires.items()
        for stretch in stretches(path)
    ]
    for (one, (upright, at, low, high)), (other, (level, beside, start, end)) in itertools.combinations(found, 2):
        if one != other and upright == level and abs(at - beside) < 1:
            assert min(high, end) - max(low, start) < 1


def pair(
    *links: tuple[str | Key, str], at: dict[str, tuple[float, float]], states: tuple[tuple[str, Key], ...] = ()
) -> tuple[Step, Placement]:
    """A step of shapes at given places, in which the first of each pair feeds the second."""
    items = tuple(item(name, *(source for source, target in links if target == name)) for name in at)
    step = Step("", 0, items, states, None)
    places = {value(name): place for name, place in at.items()}
    return step, Placement(places, {state: 20.0 for state, _ in states}, frozenset(), 150.0, 280.0, 300.0, 300.0)


def straight(routes: Routes) -> dict[tuple[Key, Key], bool]:
    return {(wire.source, wire.target): len(path) == 2 for wire, path in routes.paths.items()}


def test_a_line_between_shapes_above_each_other_is_straight() -> None:
    step, places = pair(("a", "b"), ("x", "c"), at={"a": (100, 80), "b": (100, 170), "c": (200, 170), "x": (200, 80)})
    assert all(straight(route(step, places, Spacing())).values())


def test_a_line_goes_round_a_shape_in_its_way() -> None:
    step, places = pair(("a", "c"), at={"a": (100, 80), "wall": (100, 124), "c": (100, 170)})
    (path,) = route(step, places, Spacing()).paths.values()
    assert not any(80 < x < 120 and 112 < y < 136 for x, y in path)
    assert len(path) >= 4


def test_lines_of_one_source_share_their_trunk() -> None:
    links = ("a", "b"), ("a", "c"), ("a", "d")
    step, places = pair(*links, at={"a": (150, 80), "b": (60, 200), "c": (150, 200), "d": (240, 200)})
    found = route(step, places, Spacing())
    assert {path[0] for path in found.paths.values()} == {(150, 92)}
    assert sum(line.crossings for line in found.lines.values()) == 0
    assert found.crowded == 0


def test_two_lines_that_change_sides_cross_once() -> None:
    step, places = pair(("a", "d"), ("b", "c"), at={"a": (60, 80), "b": (160, 80), "c": (60, 200), "d": (160, 200)})
    found = route(step, places, Spacing())
    assert sum(line.crossings for line in found.lines.values()) == 1


def test_the_recurrent_lines_of_a_gru_run_below_its_gates() -> None:
    """Its first order of laying crosses twice; laying lines again finds the textbook's picture, with one crossing."""
    routes = laid(step_of("gru", "cell"))
    found = route(routes.step, routes.placement, Spacing())
    assert sum(line.crossings for line in found.lines.values()) == 1


def test_ports_are_where_the_placement_has_them() -> None:
    step, places = pair((entering("x"), "a"), (entering("h"), "a"), at={"a": (150, 120)}, states=(("h", value("a")),))
    paths = route(step, places, Spacing()).paths
    assert paths[Wire(entering("x"), value("a"), 0)][0] == (150, 0)
    assert paths[Wire(entering("h"), value("a"), 1)][0] == (0, 20)
    assert paths[Wire(value("a"), leaving("h"), 0)][-1] == (300, 20)


def test_lines_are_found_in_few_states(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guessing alone would go through 200,000 states of the maze of an sLSTM, whose lines cross each other."""
    states, pop = 0, heapq.heappop

    def counted(queue: list[int]) -> int:
        nonlocal states
        states += 1
        return pop(queue)

    monkeypatch.setattr(heapq, "heappop", counted)
    route((found := laid(step_of("slstm", "operation"))).step, found.placement, Spacing())
    assert states < 2 * 40_000, "those of laying it out, and of laying its lines once more"

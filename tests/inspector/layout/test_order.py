"""The order in which rows are read, and the columns that keep lines upright."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

import tinygrad_rnn as tg
from inspector.layout.order import Order, order_of, strands
from inspector.layout.rows import rows_of
from inspector.steps.items import Step, entering, highways

from .drawn import item, step_of, value

X, H = entering("x"), entering("h")


def order(step: Step) -> Order:
    rails = highways(step)
    return order_of(step.inside, rows_of(step.inside, rails), rails)


@pytest.mark.parametrize("name", tg.cells.names())
def test_columns_can_stand_side_by_side(name: str) -> None:
    """No column stands twice in a row, and none both left and right of another."""
    found = order(step_of(name, "gate"))
    for lane in found.lanes:
        columns = [found.column[one.key] for one in lane]
        assert len(set(columns)) == len(columns)
        assert len({found.row[one.key] for one in lane}) == 1
    left = {(found.column[a.key], found.column[b.key]) for a, b in found.neighbours()}
    assert not any((b, a) in left for a, b in left if a != b)


@pytest.mark.parametrize("name", tg.cells.names())
def test_the_way_of_a_column_is_free(name: str) -> None:
    """Between two members of a column that are joined by a line, every row has a stand-in."""
    step = step_of(name, "gate")
    found = order(step)
    taken = {(found.column[one.key], found.row[one.key]) for lane in found.lanes for one in lane}
    for one in step.items:
        for source in {link.source for link in one.links} & found.row.keys() if one.key in found.row else ():
            if found.column[source] == found.column[one.key]:
                low, high = sorted((found.row[source], found.row[one.key]))
                assert all((found.column[one.key], row) in taken for row in range(low, high))


def test_what_hangs_stands_to_the_right() -> None:
    found = order(step_of("lstm", "cell"))
    for lane in found.lanes:
        hangs = [one.key in found.hanging for one in lane]
        assert hangs == sorted(hangs)


def test_gates_are_read_in_the_order_in_which_the_rail_needs_them() -> None:
    step = [
        item("f", X, H), item("i", X, H), item("z", X, H), item("iz", "i", "z", diagonal=True),
        item("fc", entering("c"), "f", diagonal=True), item("c", "fc", "iz", diagonal=True),
    ]  # fmt: skip
    rails = {"c": [value("fc"), value("c")]}
    found = order_of(step, rows_of(step, rails), rails)
    assert [one.key.name for one in found.lanes[0]] == ["f", "i", "z"]
    assert found.is_left(value("f"), value("z"))


def test_a_chain_is_one_column() -> None:
    chain = [item("a", X), item("b", "a"), item("c", "b")]
    assert strands(chain, {}, {value("a"): 1, value("b"): 2, value("c"): 3}) == dict.fromkeys(
        map(value, "abc"), value("a")
    )


def test_a_trunk_goes_on_straight_past_what_joins_it_on_the_way() -> None:
    """Of two operands in the row below, the one that waits for far more leads on upwards."""
    trunk = [item("a", H), item("b", "a"), item("c", "b"), item("gate", X), item("d", "c", "gate")]
    row = {value(name): at for name, at in {"a": 1, "b": 2, "c": 3, "gate": 3, "d": 4}.items()}
    assert strands(trunk, {}, row)[value("d")] == value("a")
    plain = [*trunk[:1], *trunk[3:4], item("d", "a", "gate")]
    assert strands(plain, {}, {value("a"): 1, value("gate"): 1, value("d"): 2})[value("d")] == value("d")


def test_the_way_with_weights_is_the_trunk_where_what_joins_it_has_none() -> None:
    """A choice between a new value and an old one stands above the new value, its condition beside."""
    layer, condition = replace(item("layer", X), learned=True), item("condition", H)
    choice = item("choice", "condition", "new")
    row = {value(name): at for name, at in {"layer": 1, "new": 2, "condition": 2, "choice": 3}.items()}
    assert strands([layer, item("new", "layer"), condition, choice], {}, row)[value("choice")] == value("layer")
    weighed = replace(condition, learned=True)
    assert strands([layer, item("new", "layer"), weighed, choice], {}, row)[value("choice")] == value("choice")


def test_a_column_is_broken_where_it_would_stand_on_both_sides_of_another() -> None:
    """Two chains that change sides from one row to the next cannot both be straight."""
    items = [item("a", X), item("b", H), item("up b", "b"), item("up a", "a"), item("end", "up b", "up a")]
    rows = rows_of(items, {})
    found = order_of(items, rows, {})
    pairs = [(found.column[a.key], found.column[b.key]) for lane in found.lanes for a, b in itertools.pairwise(lane)]
    assert not set(pairs) & {(b, a) for a, b in pairs}

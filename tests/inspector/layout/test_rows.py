"""Rows: readers above their operands, what hangs below its rail, and the textbook's rows for the textbook's cells."""

from __future__ import annotations

import pytest

import tinygrad_rnn as tg
from inspector.layout.rows import Rows, rows_of
from inspector.steps.items import Step, entering, highways

from .drawn import item, step_of, value

X, H = entering("x"), entering("h")
CELLS = tg.cells.names()


def rows(name: str, level: str) -> tuple[Step, Rows]:
    step = step_of(name, level)
    return step, rows_of(step.inside, highways(step))


@pytest.mark.parametrize("name", CELLS)
def test_readers_stand_above_their_operands_and_below_the_rail_they_hang_from(name: str) -> None:
    step, found = rows(name, "gate")
    rails = {key: state for state, path in highways(step).items() for key in path}
    for one in step.inside:
        for source in {link.source for link in one.links} & found.row.keys():
            if rails.get(source) == rails.get(one.key, "none"):
                assert found.row[source] == found.row[one.key]
            elif one.key in found.hanging:
                assert found.row[one.key] < found.row[source] or source not in found.hanging | rails.keys()
            elif source not in found.hanging:
                assert found.row[one.key] > found.row[source]
    assert all(found.row[key] >= found.level for key in rails)
    assert all(row >= 1 for row in found.row.values())


def test_the_gates_of_an_lstm_stand_in_one_row_below_its_rail() -> None:
    _, found = rows("lstm", "cell")
    gates = [found.row[value(name)] for name in "figo"]
    assert len(set(gates)) == 1
    assert found.level == gates[0] + 2


def test_an_operation_on_one_input_stands_next_to_what_reads_it() -> None:
    """The product by an input waits for nothing, so that the line of the input is the one that is long."""
    chain = [item("a", H), item("b", "a"), item("c", "b"), item("late", X), item("sum", "c", "late")]
    found = rows_of(chain, {}).row
    assert [found[value(name)] for name in ("a", "b", "c", "late", "sum")] == [1, 2, 3, 3, 4]


def test_what_several_read_stays_low() -> None:
    fan = [item("a", H), item("b", "a"), item("c", "b"), item("w", X, H), item("one", "c", "w"), item("two", "c", "w")]
    assert rows_of(fan, {}).row[value("w")] == 1


def test_rails_stand_in_the_order_of_the_states_and_as_low_as_their_feeders_allow() -> None:
    step = [item("g", X), item("c+", entering("c"), "g", diagonal=True), item("n+", entering("n"), "g", diagonal=True)]
    c, n = value("c+"), value("n+")
    found = rows_of(step, {"c": [c], "n": [n]})
    assert (found.row[c], found.row[n], found.level) == (3, 2, 2)
    higher = rows_of(step, {"c": [c], "n": [n]}, level=5)
    assert (higher.row[c], higher.row[n], higher.level) == (6, 5, 5)


def test_what_hangs_stands_beside_the_gate_that_it_reads() -> None:
    step, found = rows("lstm", "cell")
    (hidden,) = [one.key for one in step.inside if one.key in found.hanging and len(one.links) == 2]
    assert found.row[hidden] == found.row[value("o")]

"""Which operations of two cells are taken for the same, and why those and no others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from inspector.compare.likeness import likeness
from inspector.compare.match import _aligned, _in_order, match_operations
from inspector.compare.net import Net, Operation, net_of
from inspector.compare.normal_form import to_normal_form
from inspector.steps.items import Item, Key, Link, entering
from inspector.steps.labels import Label
from inspector.steps.operations import operation_step
from inspector.steps.source import sources_of


def net(name: str, **options: Any) -> Net:
    cell = tg.cells.get(name)(3, 4, seed=0, **options)
    run = tg.unroll(cell, np.random.default_rng(0).normal(size=(2, 1, 3)))
    ((source,),) = sources_of([run], tg.Graph([*run.names.values(), *run.outputs]))
    return net_of(to_normal_form(operation_step(source, 1)))


def chain(*ops: str) -> Net:
    """Operations each of which reads the one before."""
    operations, below = {}, entering("h")
    for op in ops:
        key = Key("operation", op)
        operations[key] = Operation(Item(key, "box", Label(op), "shared", (9.0, 9.0), ()), (op,), (Link(below),), None)
        below = key
    return Net(operations, {"h": below})


def named(match: dict[Key, Key]) -> dict[str, str]:
    return {str(key): str(other) for key, other in match.items()}


def common_lines(a: Net, b: Net, match: dict[Key, Key]) -> int:
    """How many lines of `a` between matched operations, or from ports to them, `b` has too."""
    return sum(
        match.get(link.source, None if link.source in a.operations else link.source)
        in [theirs.source for theirs in b.operations[other].links]
        for key, other in match.items()
        for link in a.operations[key].links
    )


def test_operations_are_as_alike_as_what_they_are_computed_from_and_go_into() -> None:
    lstm, peephole = net("lstm"), net("peephole")
    found = likeness(lstm, peephole)
    ours, theirs = list(map(str, lstm.operations)), list(map(str, peephole.operations))
    alike = {other: found[ours.index("f.sigmoid"), theirs.index(other)] for other in theirs}
    assert max(alike, key=lambda key: alike[key]) == "f.sigmoid"
    assert alike["f.sigmoid"] > alike["i.sigmoid"] > 0 and alike["o.sigmoid"] > 0 == alike["h.tanh"] == alike["c.add"]
    same = likeness(lstm, lstm)
    np.testing.assert_allclose(np.diag(same), 1.0, atol=0.011)
    assert (same <= same.max(axis=1, keepdims=True)).all() and (same.argmax(axis=1) == np.arange(len(same))).all()


def test_the_sum_that_is_maximised_counts_lines_and_not_likeness_alone() -> None:
    """In a GRU the reset gate goes elsewhere; the forget gate of an LSTM is its update gate, with all in front."""
    lstm, gru = net("lstm"), net("gru")
    match = named(_aligned(lstm, gru, likeness(lstm, gru)))
    assert [match[f"f.{op}"] for op in ("sigmoid", "matmul", "matmul.2")] == ["z.sigmoid", "z.matmul", "z.matmul.2"]
    assert match["c.add"] == "h.add" and match["g.tanh"] == "n.tanh"


def test_what_goes_elsewhere_is_not_the_same() -> None:
    """The reset gate of a GRU is a sigmoid of input and state like the output gate of an LSTM, and not matched."""
    match = named(match_operations(net("lstm"), net("gru")))
    assert not any(other.startswith("r.") for other in match.values())
    assert not any(key.startswith(("o.", "i.")) for key in match)


def test_what_stands_behind_something_else_is_found() -> None:
    match = named(match_operations(net("rnn"), net("irnn")))
    assert set(match) == {"h.matmul", "h.matmul.2", "h.add", "h.add.3"}, "all but tanh and relu"


def test_a_learned_matrix_stays_where_two_changed_places() -> None:
    match = named(match_operations(net("gru"), net("gru_before")))
    assert match["n.matmul.2"] == "n.matmul.2" and "n.multiply" not in match


@pytest.mark.parametrize(
    ("a", "b", "pairs", "lines"),
    [
        ("lstm", "peephole", 25, 33),
        ("lstm", "coupled", 20, 26),
        ("lstm", "gru", 13, 15),
        ("gru", "gru_before", 19, 23),
        ("lstm", "slstm", 22, 27),
        ("lstm1997", "slstm", 16, 18),
        ("mgu", "nfg", 12, 13),
        ("nfg", "gru", 16, 14),
        ("niaf", "gru_before", 17, 15),
        ("nig", "layernorm", 12, 9),
    ],
)
def test_known_cells_have_that_much_in_common(a: str, b: str, pairs: int, lines: int) -> None:
    ours, theirs = net(a), net(b)
    match = match_operations(ours, theirs)
    assert len(match) >= pairs and common_lines(ours, theirs, match) >= lines
    assert all(ours.operations[key].kind == theirs.operations[other].kind for key, other in match.items())
    assert match_operations(theirs, ours) == {other: key for key, other in match.items()}


@pytest.mark.parametrize("ops", [("tanh", "sin", "exp"), ("matmul", "sin", "exp"), ("sin", "matmul", "exp")])
def test_of_pairs_that_contradict_each_other_in_order_one_is_undone(ops: tuple[str, str, str]) -> None:
    first, second, last = ops
    kept = _in_order(
        chain(first, second, last),
        chain(second, first, last),
        {Key("operation", op): Key("operation", op) for op in ops},
    )
    names = {key.name for key in kept}
    assert len(names) == 2 and last in names and ("matmul" in names or "matmul" not in ops)
    assert len(match_operations(chain(*ops), chain(second, first, last))) == 2


def test_cells_without_operations_have_none_in_common() -> None:
    empty = Net({}, {"h": entering("h")})
    assert match_operations(empty, chain("tanh")) == match_operations(chain("tanh"), empty) == {}

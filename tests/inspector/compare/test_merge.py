"""Two steps merged: everything of both is there once, and says which of them it is from."""

from __future__ import annotations

from collections import Counter

import pytest

import tinygrad_rnn as tg
from inspector.compare.match import match_operations
from inspector.compare.merge import ADDED, KEPT, REMOVED, Merged, merge_steps
from inspector.compare.net import Net, net_of
from inspector.compare.normal_form import to_normal_form
from inspector.steps.items import Key, Step, entering
from tests.inspector.compare.test_normal_form import step_of


def normal(name: str) -> Step:
    return to_normal_form(step_of(tg.cells.get(name)(3, 4, seed=0)))


def merged(a: Step, b: Step) -> tuple[Merged, tuple[Net, Net], dict[Key, Key]]:
    nets = net_of(a), net_of(b)
    match = match_operations(*nets)
    return merge_steps(a, b, nets, match), nets, match


PAIRS = [("lstm", "peephole"), ("lstm", "gru"), ("gru", "gru_before"), ("rnn", "lstm"), ("lstm", "slstm")]


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_every_operation_and_line_of_both_is_there_once(a: str, b: str) -> None:
    whole, nets, match = merged(normal(a), normal(b))
    kinds = Counter(
        whole.change[key] for key, pair in whole.pair.items() if any(i is not None and i.value is None for i in pair)
    )
    sizes = len(nets[0].operations), len(nets[1].operations)
    assert (kinds[KEPT], kinds[REMOVED], kinds[ADDED]) == (len(match), sizes[0] - len(match), sizes[1] - len(match))
    values = {item.key for item in whole.step.items if item.value is not None}
    dots = {item.key for item in whole.step.items if item.role == "join"}
    lines = [
        link.edge[1]
        for item in whole.step.items
        if item.key not in values | dots
        for link in item.links
        if link.edge is not None
    ]
    for net, only in zip(nets, (REMOVED, ADDED), strict=True):
        assert sum(change in (KEPT, only) for change in lines) == sum(len(o.links) for o in net.operations.values())


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_the_merged_step_can_be_drawn(a: str, b: str) -> None:
    whole, _, _ = merged(normal(a), normal(b))
    known: set[Key] = set()
    for item in whole.step.items:
        assert item.key not in known
        assert all(link.source in known or link.source.is_port for link in item.links), item.key
        known.add(item.key)
    assert {key for _, key in whole.step.states} <= known | {entering(name) for name, _ in whole.step.states}


def test_a_step_with_itself_is_itself() -> None:
    lstm = normal("lstm")
    whole, _, _ = merged(lstm, lstm)
    assert set(whole.change.values()) == {KEPT} == set(whole.exits.values())
    assert sorted(item.key for item in whole.step.items) == sorted(item.key for item in lstm.items)
    assert {item.key: item.label for item in whole.step.items} == {item.key: item.label for item in lstm.items}


def test_states_of_one_step_alone_are_marked_and_meet_where_both_give_one() -> None:
    whole, _, _ = merged(normal("lstm"), normal("gru"))
    assert whole.exits == {"h": KEPT, "c": REMOVED}
    assert merged(normal("gru"), normal("lstm"))[0].exits == {"h": KEPT, "c": ADDED}
    (dot,) = [item for item in whole.step.items if item.role == "join"]
    assert sorted(link.edge[1] for link in dot.links if link.edge) == [REMOVED, ADDED]


def test_parameters_of_other_names_get_a_letter() -> None:
    whole, _, _ = merged(normal("lstm"), normal("peephole"))
    shown = {str(item.key): str(item.label) for item in whole.step.items}
    labels = {shown[key] for key in ("f.matmul", "f.matmul.2", "f.add")}
    assert labels == {"W ·", "R ·", "+ b"}
    assert shown["g"] == "g → z"


def test_names_that_both_use_for_something_else_stay_apart() -> None:
    """What only the second has gets strokes where the first has its key for something else."""
    whole, nets, match = merged(normal("lstm"), normal("gru"))
    added = [key for key, change in whole.change.items() if change == ADDED]
    product = Key("operation", "multiply", "h")
    assert product in nets[0].operations and product not in match, "the first's own"
    assert set(added).isdisjoint(nets[0].operations)
    second = [key._replace(primes=0) for key in added]
    assert set(nets[1].operations) - set(match.values()) <= set(second)

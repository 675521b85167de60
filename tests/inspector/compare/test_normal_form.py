"""One form for cells that are written in many ways: one affine map a gate, one plus for a sum, one bias."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given

import tinygrad_rnn as tg
from inspector.compare.normal_form import to_normal_form
from inspector.steps.items import Key, Step
from inspector.steps.operations import operation_step
from inspector.steps.source import sources_of
from tests.random_cells import cells


class Gate(tg.Cell):
    """One gate and one candidate of input and state, written in one of several ways."""

    def __init__(self, style: str) -> None:
        super().__init__(3, 4, seed=0)
        self.style = style
        self.w = self.parameter("w", (8, 7 if style == "joined" else 3))
        self.r = self.parameter("r", (8, 4))
        self.b, self.b2 = self.parameter("b", (8,)), self.parameter("b2", (8,))

    def step(self, x: Any, state: Any) -> Any:
        if self.style == "joined":
            net = tg.concatenate([x, state.h], axis=1) @ self.w.T + self.b
        elif self.style == "nested":
            net = (self.b + x @ self.w.T) + (state.h @ self.r.T + self.b2)
        else:
            net = x @ self.w.T + state.h @ self.r.T + self.b
        if self.style == "apart":
            z, n = (x @ self.w[k : k + 4].T + state.h @ self.r[k : k + 4].T + self.b[k : k + 4] for k in (0, 4))
        else:
            z, n = net[:, :4], net[:, 4:]
        return (tg.sigmoid(z) * tg.tanh(n),)


def step_of(cell: tg.Cell) -> Step:
    x = np.random.default_rng(0).normal(size=(2, 1, cell.input_size))
    with np.errstate(all="ignore"):
        run = tg.unroll(cell, x)
    ((source,),) = sources_of([run], tg.Graph([*run.names.values(), *run.outputs]))
    return operation_step(source, 1)


def outline(step: Step) -> list[tuple[str, tuple[str, ...]]]:
    """Every operation with those that it reads, by what they do and not by what they are called."""
    known: dict[Key, str] = {}
    for item in step.items:
        operands = sorted(known.get(link.source, str(link.source)) for link in item.links)
        known[item.key] = f"{item.nodes[0].op if item.nodes else 'value'}({', '.join(operands)})"
    return sorted((text, ()) for text in known.values())


@pytest.mark.parametrize("style", ["joined", "nested", "apart"])
def test_a_gate_is_one_affine_map_however_it_is_written(style: str) -> None:
    plain = outline(to_normal_form(step_of(Gate("plain"))))
    assert outline(to_normal_form(step_of(Gate(style)))) == plain
    counts = Counter(text.partition("(")[0] for text, _ in plain)
    assert (counts["matmul"], counts["add"], counts["getitem"], counts["concatenate"]) == (4, 4, 0, 0)


def test_two_biases_are_one_that_stands_for_both() -> None:
    step = to_normal_form(step_of(Gate("nested")))
    biases = [item for item in step.items if item.learned and item.nodes[0].op == "add"]
    assert [str(item.label) for item in biases] == ["+ b + b2", "+ b + b2"]
    assert all(sum(node.op == "add" for node in item.nodes) >= 2 for item in biases)


def test_what_a_slice_cuts_that_is_no_affine_map_stays() -> None:
    class Halves(tg.Cell):
        def step(self, x: Any, state: Any) -> Any:
            both = tg.tanh(state.h)
            return (tg.concatenate([both[:, 2:], both[:, :2]], axis=1) + tg.sum(x),)

    step = step_of(Halves(3, 4))
    ops = Counter(item.nodes[0].op for item in to_normal_form(step).items if item.nodes)
    assert (ops["getitem"], ops["concatenate"], ops["tanh"]) == (2, 1, 1)


@given(cell=cells())
def test_the_normal_form_is_a_step_in_itself_and_stays_as_it_is(cell: tg.Cell) -> None:
    step = to_normal_form(step_of(cell))
    known: set[Key] = set()
    for item in step.items:
        assert item.key not in known, "operands come first, and keys are unique"
        assert all(link.source in known or link.source.is_port for link in item.links)
        known.add(item.key)
    assert all(key in known or key.is_port for _, key in step.states)
    assert outline(to_normal_form(step)) == outline(step)

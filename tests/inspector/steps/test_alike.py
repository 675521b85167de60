"""Steps that are copied are those that would have been built on their own, whatever makes some differ."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given

import tinygrad_rnn as tg
from inspector.picture.scene import DETAIL
from inspector.steps import alike
from inspector.steps.items import Step
from inspector.steps.operations import operation_step
from inspector.steps.source import sources_of
from tests.random_cells import runs
from tinygrad_rnn.recurrent.unroll import Run


def inputs(length: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(length, 2, 2))


def lstm(seed: int = 0, size: int = 2) -> tg.Cell:
    return tg.cells.LSTMCell(size, 3, seed=seed)


STEPS: tuple[Callable[[Any, Any], Any], ...] = (
    lambda x, h: tg.named(a=h * 2.0) + x,
    lambda x, h: tg.named(a=h * 3.0) + x,
    lambda x, h: tg.named(b=h * 3.0) + x,
    lambda x, h: h * 3.0 + x,
    lambda x, h: x + h * 3.0,
    lambda x, h: h[:, 0:1] + x,
    lambda x, h: h[:, 1:2] + x,
    lambda x, h: h + tg.tanh(h) * 0.0,
    lambda x, h: tg.tanh(h) * 0.0 + h,
    lambda x, h: tg.stop_gradient(h) + x,
    lambda x, h: tg.tanh(tg.stop_gradient(h)) + x,
    lambda x, h: tg.where(np.array([[True], [False]]), tg.tanh(x), h),
    lambda x, h: tg.where(np.array([[1.0], [1.0]]) > 0, tg.tanh(x), h),
    lambda x, h: h,
    lambda x, h: x,
)


class Changing(tg.Cell):
    """Another step every time: with another sign, number, name, slice or order, with a cut, with none at all."""

    def __init__(self) -> None:
        super().__init__(2, 2, seed=0)
        self.name_states("h")
        self.turns = itertools.cycle(STEPS)

    def step(self, x: Any, state: Any) -> Any:
        return (next(self.turns)(x, *state),)


class Pieces(tg.Cell):
    """The state is one of two values, in turn; a gate of it is called by one name or another."""

    def __init__(self) -> None:
        super().__init__(2, 2, seed=0)
        self.name_states("h", "c")
        self.turns = itertools.cycle(itertools.product((False, True), ("f", "i"), ("u", "v")))

    def step(self, x: Any, state: Any) -> Any:
        swapped, gate, value = next(self.turns)
        a = tg.named(**{value: tg.tanh(x + state[0])})
        b = tg.sigmoid(x * state[1])
        b = tg.named(**{gate: b})
        return (a, b) if swapped else (b, a)


RUNS: dict[str, Callable[[], Run]] = {
    **{name: lambda name=name: tg.unroll(tg.cells.get(name)(2, 3, seed=0), inputs(4)) for name in tg.cells.names()},
    "other steps": lambda: tg.unroll(Changing(), inputs(2 * len(STEPS))),
    "other states": lambda: tg.unroll(Pieces(), inputs(16)),
    "masks": lambda: tg.unroll(lstm(), inputs(6), lengths=[3, 5]),
    "truncated": lambda: tg.unroll(lstm(), inputs(6), truncate=2),
    "from the end": lambda: tg.unroll(lstm(), inputs(5), reverse=True),
    "a stack": lambda: tg.unroll(tg.Stacked([lstm(), tg.cells.GRUCell(3, 4, seed=1)]), inputs(4)),
    "two directions": lambda: tg.unroll(tg.Bidirectional(lstm(), lstm(1)), inputs(4)),
    "restarts": lambda: tg.unroll(lstm(), inputs(5), restarts={3: (np.ones((2, 3)), None)}),
    "a learned beginning": lambda: tg.unroll(
        lstm(), inputs(4), (tg.tensor(np.ones((2, 3)), requires_grad=True, name="h0"), np.zeros((2, 3)))
    ),
    "a learned and turned beginning": lambda: tg.unroll(
        lstm(), inputs(4), (tg.tensor(np.ones((3, 2)), requires_grad=True, name="h0").T, np.zeros((2, 3)))
    ),
    "one value as both states": lambda: tg.unroll(lstm(), inputs(4), (shared := tg.tensor(np.ones((2, 3))), shared)),
}


def everything(run: Run) -> tg.Graph:
    return tg.Graph([*run.names.values(), *run.outputs])


@pytest.mark.parametrize("name", RUNS)
def test_copied_steps_are_those_that_are_built_on_their_own(name: str) -> None:
    run = RUNS[name]()
    check(run)


@given(runs())
def test_copied_steps_of_random_cells_are_those_that_are_built_on_their_own(run: Run) -> None:
    check(run)


def check(run: Run) -> None:
    for level, detail in DETAIL.items():
        for (source,) in sources_of([run], everything(run)):
            alone = [detail(operation_step(source, t)) for t in range(len(run))]
            found = list(alike.steps_of(source, range(len(run)), detail))
            assert found == alone, level
            assert [(step.shape, step.ids) for step in found] == [(step.shape, step.ids) for step in alone]
            last = list(alike.steps_of(source, range(len(run))[::-1], detail))[::-1]
            assert last == alone, level


def built(monkeypatch: pytest.MonkeyPatch, length: int, level: str = "cell") -> int:
    """How many steps are built for a run of that length."""
    count = 0

    def counted(source: object, t: int) -> Step:
        nonlocal count
        count += 1
        return operation_step(source, t)  # type: ignore[arg-type]

    monkeypatch.setattr(alike, "operation_step", counted)
    run = tg.unroll(lstm(), inputs(length))
    for (source,) in sources_of([run], everything(run)):
        list(alike.steps_of(source, range(length), DETAIL[level]))
    return count


def test_as_many_steps_are_built_for_a_run_twice_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    assert built(monkeypatch, 10) == built(monkeypatch, 20) <= 2

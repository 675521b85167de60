"""What an eager run costs a node, counted and not timed: calls of Python functions, objects, garbage collections."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.autodiff.ancestry import ancestors


class Costs(NamedTuple):
    """Of a run of T steps, or of what some more steps add."""

    nodes: int
    forward_calls: int
    """Of Python functions, while the run is recorded."""
    backward_calls: int
    blocks: int
    """Of memory, that Python holds for what is recorded."""
    left: int
    """Blocks that the way back leaves behind, beyond the gradients."""

    def __sub__(self, other: Any) -> Costs:
        return Costs(*[a - b for a, b in zip(self, other, strict=True)])


def calls(function: Callable[[], Any]) -> tuple[Any, int]:
    """What a function gives, and how many Python functions ran."""
    count = 0

    def note(frame: Any, event: str, arg: Any) -> None:
        nonlocal count
        count += event == "call"

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        result = function()
    finally:
        sys.setprofile(before)
    return result, count


@cache
def costs(steps: int) -> Costs:
    """Of an LSTM, the median of five measurements: the first fills caches, and any may free what others left."""
    cell = tg.cells.LSTMCell(8, 16, seed=0, dtype=np.float32)
    x = np.random.default_rng(0).normal(size=(steps, 1, 8)).astype(np.float32)
    gc.collect()
    gc.freeze()  # or every measurement would go through all that other tests imported
    return Costs(*[sorted(values)[2] for values in zip(*[_measure(cell, x) for _ in range(5)], strict=True)])


def _measure(cell: tg.Cell, x: Any) -> Costs:
    gc.collect()
    start = sys.getallocatedblocks()
    run, forward = calls(lambda: tg.unroll(cell, x))
    loss = run.outputs[-1].sum()
    gc.collect()
    recorded = sys.getallocatedblocks()
    wanted = [*cell.parameters(), *[value for state in run.states for value in state]]
    found, backward = calls(lambda: tg.grad(loss, wanted))
    nodes = len(ancestors([loss]))
    del found
    gc.collect()
    return Costs(nodes, forward, backward, recorded - start, sys.getallocatedblocks() - recorded)


def test_costs_grow_as_the_steps_do() -> None:
    earlier, later = costs(20) - costs(10), costs(30) - costs(20)
    assert later[:3] == earlier[:3]
    assert later.blocks == pytest.approx(earlier.blocks, rel=0.02)
    assert all(costs(steps).left < 20 for steps in (10, 20, 30))


@pytest.mark.parametrize(("what", "bound"), [("forward_calls", 6.0), ("backward_calls", 3.8), ("blocks", 7.0)])
def test_a_node_costs_no_more(what: str, bound: float) -> None:
    """Bounds are an eighth above what was counted on CPython 3.11: 5.4, 3.3 and 6.2 for each of 21 nodes a step."""
    more = costs(20) - costs(10)
    assert more.nodes == 210
    assert getattr(more, what) / more.nodes <= bound


class Watched(tg.Cell):
    """Says of every step, forward and back, whether the garbage collector may come."""

    def __init__(self, fail: bool = False) -> None:
        super().__init__(2, 2, seed=0)
        self.w = self.parameter("w", (2, 2))
        self.seen: list[bool] = []
        self.fail = fail
        self.op = tg.Primitive(_same, (self._rule,))

    def _rule(self, g: Any, y: Any, x: Any) -> Any:
        self.seen.append(gc.isenabled())
        return g

    def step(self, x: Any, state: Any) -> Any:
        self.seen.append(gc.isenabled())
        if self.fail:
            raise ZeroDivisionError
        return (self.op(x + state.h @ self.w.T),)


def _same(x: Any) -> Any:
    return x


@pytest.mark.parametrize("enabled", [True, False])
def test_nothing_is_collected_meanwhile_and_the_collector_is_left_as_it_was(enabled: bool) -> None:
    cell, failing, x = Watched(), Watched(fail=True), np.ones((3, 2, 2))
    assert gc.isenabled()
    try:
        if not enabled:
            gc.disable()
        run = tg.unroll(cell, x)
        assert gc.isenabled() == enabled
        tg.sum(run.outputs[-1]).backward()
        assert gc.isenabled() == enabled
        with pytest.raises(ZeroDivisionError):
            tg.unroll(failing, x)
        assert gc.isenabled() == enabled
    finally:
        gc.enable()
    assert cell.seen == [False] * 6 and failing.seen == [False]

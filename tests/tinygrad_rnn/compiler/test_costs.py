"""What a compiled call costs beside its loops: calls of Python functions and blocks of memory, counted by no clock."""

from __future__ import annotations

import gc
import sys
import tracemalloc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import inspector
import tinygrad_rnn as tg
from tests.marks import slow_unless

pytest.importorskip("numba")

N, H = 8, 16
CELLS = [tg.cells.LSTMCell, *slow_unless([], [tg.cells.GRUCell, tg.cells.RNNCell])]


def runs(kind: Any, steps: int) -> dict[str, Callable[[], Any]]:
    """A compiled call forwards, there and back, and watched, each of which has been made before."""
    cell = tg.compile(kind(N, H, seed=0, dtype=np.float32), backend="numba")
    parameters = cell.parameters()
    x = np.random.default_rng(0).normal(size=(steps, 1, N)).astype(np.float32)

    def there_and_back() -> Any:
        run = tg.unroll(cell, x)
        return tg.grad(run.outputs[-1].sum(), [*parameters, run.states[0].h])

    def learnt() -> None:
        tg.unroll(cell, x).stacked.sum().backward()

    def watched() -> Any:
        run = tg.unroll(cell, x)
        return inspector.trace(run, run.stacked.sum())

    found: dict[str, Callable[[], Any]] = {
        "forwards": lambda: tg.unroll(cell, x),
        "there and back": there_and_back,
        "backward": learnt,
        "watched": watched,
    }
    for run in [*found.values()] * 2:
        run()
    return found


def calls_in(run: Callable[[], Any]) -> int:
    """How many Python functions are called."""
    count = 0

    def tally(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event == "call"

    gc.disable()
    sys.setprofile(tally)
    try:
        run()
    finally:
        sys.setprofile(None)
        gc.enable()
    return count


def blocks_of(run: Callable[[], Any]) -> int:
    """How many blocks of memory the result holds."""
    gc.disable()
    tracemalloc.start()
    try:
        result = run()
        return len(tracemalloc.take_snapshot().traces)
    finally:
        tracemalloc.stop()
        gc.enable()
        del result


CALLS = {"forwards": 73, "there and back": 168, "backward": 146, "watched": 520}
"""A seventh more than those of an LSTM in Python 3.11; from 3.12 on comprehensions are no calls."""

BLOCKS = {"forwards": 62, "there and back": 38, "watched": 249}
"""Of the same, with what is held for the whole run alone."""

MORE = 0 if sys.version_info >= (3, 11) else 6
"""Blocks of frames."""


@pytest.mark.parametrize("kind", CELLS)
def test_a_compiled_call_takes_few_calls_and_little_memory_however_long_it_is(kind: Any) -> None:
    short, long = runs(kind, 20), runs(kind, 200)
    for name, bound in CALLS.items():
        assert calls_in(short[name]) == calls_in(long[name]) <= bound, name
    for name, bound in BLOCKS.items():
        assert max(blocks_of(short[name]), blocks_of(long[name])) <= bound + MORE, name


@pytest.mark.parametrize("options", [{}, {"lengths": [3]}, {"reverse": True, "truncate": 2}])
def test_a_run_is_freed_as_soon_as_nobody_holds_it(options: Any) -> None:
    cell = tg.compile(tg.cells.LSTMCell(N, H, seed=0), backend="numpy")
    gc.disable()
    try:
        run = tg.unroll(cell, np.ones((4, 1, N)), **options)
        run.outputs[-1].sum().backward()
        inspector.trace(run, run.stacked.sum())
        assert run.names["f", 1].shape == run.states[2].c.shape == (1, H)
        held = [weakref.ref(tensor) for tensor in (run.tape, run.outputs[-1], run.inputs[0])]
        del run
        assert [one() for one in held] == [None] * 3
    finally:
        gc.enable()

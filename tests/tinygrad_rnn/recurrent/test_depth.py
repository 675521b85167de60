"""A hundred thousand steps deep: no recursion, no leak, work in proportion to the number of nodes."""

from __future__ import annotations

import gc
import sys
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg

DEEP = 100_000


@pytest.fixture
def shallow_stack() -> Iterator[None]:
    """Room for pytest and a few dozen frames of ours, far less than any recursion over nodes needs."""
    limit, depth, frame = sys.getrecursionlimit(), 0, sys._getframe()
    while frame is not None:
        depth, frame = depth + 1, frame.f_back  # type: ignore[assignment]
    sys.setrecursionlimit(depth + 80)
    yield
    sys.setrecursionlimit(limit)


def chain(x: tg.Tensor, length: int) -> tg.Tensor:
    for _ in range(length):
        x = x * 1.0
    return x


def test_a_deep_chain_is_built_swept_and_freed(shallow_stack: None) -> None:
    x = tg.tensor(2.0, requires_grad=True)
    y = chain(x, DEEP)
    y.backward()
    assert x.grad == 1.0
    middle = weakref.ref(y.inputs[0].inputs[0])
    end = weakref.ref(y)
    del y
    assert end() is None and middle() is None, "freed by reference counting alone, without the collector"


@pytest.mark.slow
def test_a_deep_chain_as_a_graph(shallow_stack: None) -> None:
    x = tg.tensor(2.0, name="x")
    y = chain(x, DEEP)
    graph = tg.Graph(y)
    assert len(graph) == 2 * DEEP + 1 and len(graph.edges) == 2 * DEEP
    assert graph.run({"x": 3.0}).item() == 3.0
    assert graph.to_networkx().number_of_edges() == 2 * DEEP
    kept = weakref.ref(y)
    del graph, y
    assert kept() is None


def test_a_deep_chain_of_gradients(shallow_stack: None) -> None:
    x = tg.tensor(0.1)
    y = x
    for _ in range(DEEP // 10):
        y = tg.sin(y)
    (g,) = tg.grad(y, x, create_graph=True)
    (second,) = tg.grad(g, x)
    assert 0.0 < g.item() < 1.0 and second.item() < 0.0
    del y, g


def test_nothing_is_left_to_the_cycle_collector() -> None:
    """Neither recording nor sweeping makes reference cycles."""
    cell = tg.cells.LSTMCell(2, 3, seed=0)
    gc.collect()
    gc.disable()
    try:
        run = tg.unroll(cell, np.ones((4, 1, 2)))
        loss = tg.sum(run.stacked)
        (g,) = tg.grad(loss, run.inputs[0], create_graph=True)
        tg.sum(g * g).backward()
        tg.jacobian(run.outputs[-1], run.states[0].c)
        alive = [weakref.ref(t) for t in (loss, g, run.states[2].c, run.names["f", 1])]
        del run, loss, g
        assert [ref() for ref in alive] == [None] * 4
    finally:
        gc.enable()


def rule_calls(op: tg.Primitive, work: Callable[[], Any]) -> int:
    """How often the rules of `op` run."""
    count = 0
    rules = op.rules

    def counted(rule: Any) -> Any:
        def call(*args: Any, **attributes: Any) -> Any:
            nonlocal count
            count += 1
            return rule(*args, **attributes)

        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(op, "rules", tuple(map(counted, rules)))
        work()
    return count


@pytest.mark.parametrize("length", [10, 1000])
def test_every_rule_runs_once_an_edge(length: int) -> None:
    """A ladder in which each value is used twice has 2**length paths and 2 * length edges."""
    x = tg.tensor(1.0)
    y = x
    for _ in range(length):
        y = tg.add(y, y)
    assert rule_calls(tg.add, lambda: tg.grad(y, x)) == 2 * length
    if length == 10:
        assert tg.grad(y, x)[0].item() == 2.0**10


def test_only_what_leads_to_a_wanted_value_is_swept() -> None:
    x = tg.tensor(1.0)
    y = chain(x, 100)
    late = tg.multiply(y, 1.0)
    out = chain(late, 10)
    assert rule_calls(tg.multiply, lambda: tg.grad(out, late)) == 10


def test_memory_grows_in_proportion_to_the_length() -> None:
    def peak(steps: int) -> int:
        cell = tg.cells.LSTMCell(4, 8, seed=0)
        inputs = np.ones((steps, 1, 4))
        tracemalloc.start()
        tg.sum(tg.unroll(cell, inputs).outputs[-1]).backward()
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(5)
    short, long = peak(50), peak(500)
    assert long < 12 * short


def test_the_sweep_does_not_keep_the_cotangents_it_has_passed_on() -> None:
    """Cotangents of a chain of large arrays: a handful at a time, not one a node."""
    x = tg.tensor(np.ones(10_000))
    y = x
    for _ in range(200):
        y = tg.negative(y)
    tracemalloc.start()
    tg.grad(y, x, np.ones(10_000))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 20 * x.data.nbytes


@pytest.mark.parametrize("size", [1, 3, 40])
def test_a_shared_weight_adds_up_over_thousands_of_uses(size: int) -> None:
    """h_t = W h_{t-1} with W = a I, so that the loss is a^T sum(h_0): closed form, dense and factored."""
    steps, a = 5000, 0.9999
    w = tg.tensor(a * np.eye(size), requires_grad=True)
    h = tg.tensor(np.ones((1, size)))
    for _ in range(steps):
        h = h @ w.T
    tg.sum(h).backward()
    # d/dW of 1' W^T h0 at W = a I is T a^(T-1) times the matrix of ones
    np.testing.assert_allclose(w.grad, np.full((size, size), steps * a ** (steps - 1)), rtol=1e-9)


def test_a_shared_bias_and_a_shared_table_add_up() -> None:
    steps = 5000
    b = tg.tensor(np.zeros(3), requires_grad=True)
    table = tg.tensor(np.ones((4, 3)), requires_grad=True)
    total: Any = tg.tensor(np.zeros((2, 3)))
    for t in range(steps):
        total = total + b + table[t % 4] + tg.take(table, [0, 0], axis=0)
    tg.sum(total).backward()
    np.testing.assert_array_equal(b.grad, np.full(3, 2.0 * steps))
    expected = np.full((4, 3), 2.0 * steps / 4)
    expected[0] += 2.0 * steps
    np.testing.assert_array_equal(table.grad, expected)


def test_a_weight_used_in_several_forms_adds_up() -> None:
    """The same matrix through products, plain uses and slices: every form of cotangent at one node."""
    rng = np.random.default_rng(0)
    w0, x = rng.normal(size=(30, 30)), rng.normal(size=(1, 30))

    def fn(w: Any) -> Any:
        y = x @ w.T + x @ w + tg.sum(w * w, axis=0)
        for k in range(5):
            y = y @ w.T + w[k] + w[:, k] + tg.take(w, [k, k], axis=0)[0]
        return tg.tanh(y * 0.01)

    w = tg.tensor(w0, requires_grad=True)
    tg.sum(fn(w)).backward()
    direction = rng.normal(size=w0.shape)
    step = 1e-30
    slope = np.imag(np.sum(fn(w0 + 1j * step * direction))) / step
    np.testing.assert_allclose(np.sum(w.grad * direction), slope, rtol=1e-10)

"""A checkpointed run is the run, in less memory."""

from __future__ import annotations

import itertools
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tests.random_cells import BATCH, SIZE, cells
from tests.strategies import FEW
from tests.tinygrad_rnn.compiler.cells import CELLS, OPTIONS, Chained, N, X
from tests.tinygrad_rnn.compiler.checks import close, loss_of, same

H = 4


@pytest.mark.parametrize(
    ("options", "checkpoint"),
    [*itertools.product(OPTIONS, (1, 4)), *itertools.product(OPTIONS[-1:], ("sqrt", 100))],
    ids=str,
)
@pytest.mark.parametrize("kind", CELLS, ids=lambda kind: kind.__name__)
def test_a_checkpointed_run_equals_the_eager_one(kind: Any, options: dict[str, Any], checkpoint: Any) -> None:
    cell = kind(N, H, seed=0)
    same(cell, X, tg.compile(cell, checkpoint=checkpoint, backend="numpy"), **options)


def test_compiled_loops_can_be_checkpointed(backend: str) -> None:
    for options in OPTIONS:
        cell = tg.cells.LSTMCell(N, H, seed=0)
        same(cell, X, tg.compile(cell, checkpoint="sqrt", backend=backend), **options)
    chained = Chained(N, H, seed=0)
    same(chained, X, tg.compile(chained, checkpoint=2, backend=backend))


@settings(parent=FEW, suppress_health_check=[HealthCheck.too_slow])
@given(drawn=cells(), steps=st.integers(1, 7), every=st.integers(1, 4))
@pytest.mark.filterwarnings("ignore::tinygrad_rnn.CompileWarning")
def test_random_cells_can_be_checkpointed(drawn: tg.Cell, steps: int, every: int) -> None:
    x = np.random.default_rng(0).normal(size=(steps, BATCH, SIZE)) / 2
    compiled = tg.compile(drawn, checkpoint=every, backend="numpy")
    if tg.unroll(compiled, x).tape is not None:
        same(drawn, x, compiled)


def test_stacks_and_second_derivatives() -> None:
    stack = tg.Stacked(tg.cells.LSTMCell(N, H, seed=0), tg.cells.GRUCell(H, 3, seed=1))
    same(stack, X, tg.compile(stack, checkpoint=2, backend="numpy"))
    cell = tg.cells.GRUCell(N, H, seed=0)
    found = []
    for one in (cell, tg.compile(cell, checkpoint=2, backend="numpy")):
        x = tg.tensor(X, requires_grad=True)
        run = tg.unroll(one, x)
        first = tg.grad(loss_of(run, 5), [x, *cell.parameters(), run.states[0].h], create_graph=True)
        second = tg.grad(sum((g * g).sum() for g in first), cell.parameters())
        found.append([*(g.data for g in (*first, *second)), tg.jacobian(run.outputs[3], x)])
    for left, right in zip(*found, strict=True):
        close(left, right)


def peak(cell: Any, x: Any) -> tuple[int, list[Any]]:
    """The most memory that one forward and backward pass holds, in bytes, and the gradients."""
    tracemalloc.start()
    run = tg.unroll(cell, x)
    gradients = tg.grad(run.outputs[-1].sum(), cell.parameters())
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most, [g.data for g in gradients]


@pytest.mark.slow
def test_memory_grows_with_the_square_root_of_the_length() -> None:
    cell = tg.cells.LSTMCell(2, 16, seed=0, dtype=np.float32)
    x = np.random.default_rng(0).normal(size=(2500, 8, 2)).astype(np.float32)
    for checkpoint in (None, "sqrt"):
        peak(tg.compile(cell, checkpoint=checkpoint, backend="numpy"), x[:100])
    full, expected = peak(tg.compile(cell, backend="numpy"), x)
    less, found = peak(tg.compile(cell, checkpoint="sqrt", backend="numpy"), x)
    assert less < full / 10
    for left, right in zip(expected, found, strict=True):
        np.testing.assert_allclose(right, left, rtol=1e-3, atol=1e-6)


def test_values_computed_again_are_those_of_the_weights_of_the_run() -> None:
    """An optimiser's step between the run and a look at it must not show."""
    cell = tg.cells.RNNCell(N, H, seed=0)
    expected = tg.unroll(cell, X)
    run = tg.unroll(tg.compile(cell, checkpoint=2, backend="numpy"), X)
    for parameter in cell.parameters():
        parameter.data = parameter.data * 0.0
    for t, output in enumerate(expected.outputs):
        close(output.data, run.outputs[t].data)
    close(expected.stacked.data, run.stacked.data)
    loss, same_loss = (expected.stacked**2).sum(), (run.stacked**2).sum()
    for left, right in zip(tg.grad(loss, cell.parameters()), tg.grad(same_loss, cell.parameters()), strict=True):
        close(left.data, right.data)


def test_without_a_record_everything_can_be_looked_at() -> None:
    cell = tg.cells.LSTMCell(N, H, seed=0)
    expected = tg.unroll(cell, X, lengths=[6, 2, 4])
    with tg.no_grad():
        run = tg.unroll(tg.compile(cell, checkpoint="sqrt", backend="numpy"), X, lengths=[6, 2, 4])
        inside = run.outputs[2]
    close(expected.outputs[2].data, inside.data)
    close(expected.stacked.data, run.stacked.data)
    for key, value in expected.names.items():
        close(value.data, run.names[key].data, str(key))
    assert not run.names["f", 1].requires_grad

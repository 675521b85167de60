"""A padded batch is its sequences: each has the gradients that it has alone, and padding has none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import inspector
import tinygrad_rnn as tg
from tests.random_cells import wide_cells
from tests.strategies import FEW

ALL = tg.cells.names()
LENGTHS = (5, 2, 1, 3, 5, 4, 2)
ROWS = len(LENGTHS)
"""No random cell has values of this width, so that it is known for a batch axis."""


def loss_of(run: Any, final: bool = True) -> tg.Tensor:
    """Of all outputs and final states; a sum over sequences."""
    rng = np.random.default_rng(1)
    weights = rng.normal(size=(9, run.outputs[0].shape[1]))
    terms = [(output * weights[t]).sum() for t, output in enumerate(run.outputs)]
    terms += [(state**2).sum() * 0.3 for state in run.final_state if final]
    return sum(terms[1:], terms[0])


def assert_each_as_alone(one: Any, x: np.ndarray, lengths: tuple[int, ...], **options: Any) -> None:
    run = tg.unroll(one, x, lengths=list(lengths), **options)
    final = "truncate" not in options  # which cuts what is held, too
    loss = loss_of(run, final)
    trace = inspector.trace(run, loss)
    for b, length in enumerate(lengths):
        single = tg.unroll(one, x[:length, b : b + 1], **options)
        alone = inspector.trace(single, loss_of(single, final))
        for name in alone.names:
            if alone.gradient(name, 0).shape[:1] != (1,) or trace.gradient(name, 0).shape[:1] != (len(lengths),):
                continue  # not one row for each sequence
            for t in range(len(x)):
                found = trace.gradient(name, t)[b]
                expected = alone.gradient(name, t)[0] if t < length else np.zeros(found.shape)
                np.testing.assert_allclose(
                    found, expected, rtol=1e-8, atol=1e-9, err_msg=f"{name} of sequence {b} at {t}"
                )
        for name in one.state_names:
            for t in range(length):
                (by,) = tg.grad(loss, getattr(run.states[t], name))
                np.testing.assert_allclose(
                    by.data[b], alone.gradient(name, t)[0], rtol=1e-8, atol=1e-9, err_msg=f"{name} at {t}"
                )


@pytest.mark.parametrize("options", [{}, {"reverse": True}, {"truncate": 2}], ids=str)
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("name", ["rnn", "lstm", "gru", "chunker", "narx"])
def test_sequences_of_a_padded_batch_are_as_alone(name: str, compiled: bool, options: dict[str, Any]) -> None:
    cell = tg.cells.get(name)(3, 4, seed=0)
    one = tg.compile(cell, backend="numpy") if compiled else cell
    if "truncate" in options and name == "narx":
        options = {}  # its states are handed on
    x = np.random.default_rng(0).normal(size=(4, 2, 3))
    assert_each_as_alone(one, x, (4, 2), **options)


class Renaming(tg.cells.RNNCell):
    """Calls the state that comes in by another name."""

    def step(self, x: Any, state: Any) -> Any:
        before = tg.named(before=state.h)
        return super().step(x, self.State(before))


@pytest.mark.parametrize("reverse", [False, True])
def test_a_held_state_has_no_gradient_by_whatever_name_it_is_read(reverse: bool) -> None:
    x = np.random.default_rng(0).normal(size=(5, 3, 3))
    assert_each_as_alone(Renaming(3, 4, seed=0), x, (5, 1, 3), reverse=reverse)


@pytest.mark.parametrize("name", ALL)
def test_no_gradient_of_a_padded_batch_is_missing(name: str) -> None:
    run = tg.unroll(tg.cells.get(name)(3, 4, seed=0), np.random.default_rng(0).normal(size=(4, 2, 3)), lengths=[4, 2])
    trace = inspector.trace(run, loss_of(run))
    for each in trace.names:
        assert np.isfinite(trace.norm(each)).all(), each
        if trace.gradient(each, 3).shape[:1] == (2,) and each != "x":
            assert not trace.gradient(each, 3)[1].any(), each


@settings(parent=FEW, suppress_health_check=list(HealthCheck))
@given(cell=wide_cells(mixing=False, dtypes=(np.float64,)), compiled=st.booleans(), reverse=st.booleans())
@pytest.mark.filterwarnings("ignore::tinygrad_rnn.CompileWarning")
def test_sequences_of_a_padded_batch_of_a_random_cell_are_as_alone(
    cell: tg.Cell, compiled: bool, reverse: bool
) -> None:
    x = np.random.default_rng(0).normal(size=(5, ROWS, cell.input_size))
    assert_each_as_alone(tg.compile(cell, backend="numpy") if compiled else cell, x, LENGTHS, reverse=reverse)


def test_the_gradient_by_a_held_state_is_that_of_what_reads_it() -> None:
    """A decoder starts from final states: its gradient arrives there, whenever a sequence has ended."""
    for one in (tg.cells.LSTMCell(3, 4, seed=0), tg.compile(tg.cells.LSTMCell(3, 4, seed=0), backend="numpy")):
        run = tg.unroll(one, np.ones((4, 2, 3)), lengths=[4, 2])
        loss = (run.final_state.c * np.arange(8.0).reshape(2, 4)).sum()
        np.testing.assert_array_equal(tg.grad(loss, run.final_state.c)[0].data, np.arange(8.0).reshape(2, 4))
        trace = inspector.trace(run, loss)
        np.testing.assert_array_equal(trace.gradient("c", 1)[1], np.arange(4.0, 8.0))
        np.testing.assert_array_equal(trace.gradient("c", 3)[1], np.zeros(4))

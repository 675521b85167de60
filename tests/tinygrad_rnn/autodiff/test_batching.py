"""Many values moving together do what each would do alone."""

from __future__ import annotations

import inspect
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tests.strategies import Call, calls
from tinygrad_rnn.autodiff import batching
from tinygrad_rnn.autodiff.batching import Batched
from tinygrad_rnn.autodiff.sweep import sweep

BATCHED = sorted(name for name, op in tg.PRIMITIVES.items() if op.differentiable)


@pytest.mark.parametrize("name", BATCHED)
@given(data=st.data())
def test_every_primitive(name: str, data: st.DataObject) -> None:
    call: Call = data.draw(calls(name))
    members = data.draw(st.integers(1, 3))
    which = data.draw(st.sets(st.sampled_from(call.smooth), min_size=1)) if call.smooth else set()
    operands: list[Any] = list(call.operands)
    alone: list[list[Any]] = [list(call.operands) for _ in range(members)]
    for k in which:
        stack = np.stack([call.operands[k] * (1.0 - m / 4) for m in range(members)])
        operands[k] = Batched(stack)
        for m in range(members):
            alone[m][k] = stack[m]
    together = call(*operands)
    assert isinstance(together, Batched)
    expected = np.stack([call(*each) for each in alone])
    assert (together.shape, together.ndim) == (expected.shape[1:], expected.ndim - 1)
    assert together.dtype == expected.dtype and together.size == expected[0].size
    np.testing.assert_allclose(together.array, expected, rtol=1e-12, atol=1e-12)


def test_a_primitive_without_a_batching_rule_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(tg.PRIMITIVES, "oddity", None)

    @tg.primitive(lambda g, y, x: oddity(g))
    def oddity(x: Any) -> Any:
        return x

    x = tg.tensor([1.0, 2.0])
    with pytest.raises(TypeError, match="oddity has no batching rule"):
        tg.jacobian(oddity(x), x)


ROW, COLUMN = np.array([0, 1, 1]), np.array([[1], [2]])
MASK = np.array([True, False, True])


@pytest.mark.parametrize(
    "index",
    [
        (ROW, slice(None), [1, 2, 1]),
        (COLUMN[:, 0], slice(None), COLUMN),
        (MASK, ..., 0),
        (0, slice(1), ROW),
        (ROW, None, slice(None), 2),
        (slice(None), ROW, None, ROW),
        (MASK, slice(None), [True, False, False, True]),
        (slice(None), ROW),
        (ROW,),
        ROW,
        (slice(None), COLUMN, ROW),
        (0, ROW),
        (..., ROW, 1),
        (COLUMN, ROW, ROW),
        [1, 0],
        [],
        (True, slice(None), ROW),
        (np.array(1), slice(None), np.array(2)),
    ],
    ids=repr,
)
def test_every_form_of_index(index: Any) -> None:
    """NumPy puts the axes of index arrays that stand apart in front, and so must the batch."""
    x = tg.tensor(np.arange(36.0).reshape(3, 3, 4))
    out = x[index]
    np.testing.assert_array_equal(out.data, x.data[index])
    places = np.arange(36).reshape(3, 3, 4)[index]
    expected = (places[..., None] == np.arange(36)).reshape(*out.shape, 3, 3, 4).astype(float)
    np.testing.assert_array_equal(tg.jacobian(out, x), expected)
    (back,) = tg.grad(out, x, out, create_graph=True)  # J'J x, whose derivative is J'J
    flat = expected.reshape(-1, 36)
    np.testing.assert_array_equal(tg.jacobian(back, x), (flat.T @ flat).reshape(3, 3, 4, 3, 3, 4))


@pytest.mark.parametrize("hidden", [1, 3])
def test_jacobians_of_a_run(hidden: int) -> None:
    """dh_T/dh_0 of an unrolled cell: the product of the steps' Jacobians, row by row the gradients."""
    cell = tg.cells.LSTMCell(2, hidden, seed=0)
    run = tg.unroll(cell, np.random.default_rng(0).normal(size=(5, 1, 2)))
    last, first = run.outputs[-1], run.states[0].h
    whole = tg.jacobian(last, first).reshape(hidden, hidden)
    for k in range(hidden):
        one = np.zeros(last.shape)
        one[0, k] = 1.0
        np.testing.assert_allclose(whole[k], tg.grad(last, first, one)[0].data[0], rtol=1e-12)
    weights = tg.jacobian(last, cell.weight_hh)
    assert weights.shape == (1, hidden, 4 * hidden, hidden)


def test_looking_at_the_numbers_copies_nothing_unless_a_copy_is_asked_for() -> None:
    array = np.ones((3, 2))
    assert np.shares_memory(np.asarray(Batched(array)), array) and not np.shares_memory(np.array(Batched(array)), array)


def test_rules_for_batches_have_the_defaults_of_their_primitive() -> None:
    compared = 0
    for name, rule in batching._BATCH_RULES.items():
        given, own = inspect.signature(rule).parameters, tg.PRIMITIVES[name].signature.parameters
        for key in set(given) & set(own):
            if given[key].default is not inspect.Parameter.empty and own[key].default is not inspect.Parameter.empty:
                assert given[key].default == own[key].default, f"{name}: {key}"
                compared += 1
    assert compared > 10


def test_what_many_steps_bring_to_a_weight_is_not_held_apart() -> None:
    """Directions times steps times the size of a weight would be more than all else."""
    cell = tg.cells.RNNCell(2, 32, seed=0)
    outputs = tg.unroll(cell, np.ones((60, 1, 2))).outputs[-1]
    lanes = np.random.default_rng(0).normal(size=(32, *outputs.shape))
    size = lanes.shape[0] * cell.weight_hh.data.nbytes
    tracemalloc.start()
    try:
        visits = sweep([outputs], [Batched(lanes)], [cell.weight_hh])
        (found,) = (total for node, total, _ in visits if node is cell.weight_hh)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 15 * size  # of 60 steps
    for lane, part in zip(lanes[:2], found.array, strict=False):
        np.testing.assert_allclose(part, tg.grad(outputs, cell.weight_hh, lane)[0].data, rtol=1e-12, atol=1e-14)

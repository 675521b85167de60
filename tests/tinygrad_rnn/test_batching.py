"""Many values moving together do what each would do alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn.batching import Batched

from ..strategies import Call, calls

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
    try:
        together = call(*operands)
    except TypeError as error:
        assert "separated by a slice cannot be batched" in str(error)
        return
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


def test_index_arrays_apart_are_refused_not_misread() -> None:
    x = tg.tensor(np.arange(24.0).reshape(2, 3, 4))
    out = x[np.array([0, 1]), :, np.array([1, 2])]
    assert tg.gradcheck(lambda t: t[np.array([0, 1]), :, np.array([1, 2])], x)
    with pytest.raises(TypeError, match="index arrays separated by a slice cannot be batched; index in two steps"):
        tg.jacobian(out, x)


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

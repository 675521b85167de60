"""How an operand lies in memory makes no difference, and nothing at all is an operand too: for every primitive."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tests.strategies import Call, calls, cotangents

EVERY = sorted(tg.PRIMITIVES)


def strided(x: Any) -> Any:
    """Every second element of a larger array, along every axis."""
    room = np.full(tuple(2 * n for n in x.shape), 77, x.dtype)
    view = room[tuple(slice(None, None, 2) for _ in x.shape)] if x.ndim else room
    view[...] = x
    return view


def backwards(x: Any) -> Any:
    """Read from the end, with negative strides."""
    flipped = tuple(slice(None, None, -1) for _ in x.shape)
    return np.ascontiguousarray(x[flipped])[flipped] if x.ndim else x


def read_only(x: Any) -> Any:
    view = x.view()
    view.flags.writeable = False
    return view


LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "Fortran": lambda x: np.array(x, order="F"),
    "strided": strided,
    "backwards": backwards,
    "read-only": read_only,
}


def results(call: Call, cotangent: Any) -> list[Any]:
    """The value on arrays; on Tensors whose data lie just like that the value, the gradients and their graph's
    values.
    """
    leaves = [tg.Tensor(call.operands[k], True) for k in call.smooth]
    found = [np.asarray(call(*call.operands)), call.of_smooth(*leaves) if leaves else None]
    if not leaves:
        return found[:1]
    assert isinstance(found[1], tg.Tensor)
    gradients = tg.grad(found[1], leaves, cotangent)
    again = tg.grad(found[1], leaves, tg.Tensor(cotangent), create_graph=True)
    return [found[0], found[1].data, *(g.data for g in gradients), *(g.data for g in again)]


@pytest.mark.parametrize("name", EVERY)
@given(data=st.data())
def test_every_layout_gives_what_a_c_contiguous_copy_gives(name: str, data: st.DataObject) -> None:
    call = max((data.draw(calls(name)) for _ in range(2)), key=lambda call: max(x.size for x in call.operands))
    cotangent = np.array(data.draw(cotangents(np.shape(call(*call.operands)))), order="C")
    straight = Call(call.op, tuple(np.array(x, order="C") for x in call.operands), call.attributes)
    expected = results(straight, cotangent)
    for layout in LAYOUTS.values():
        operands = tuple(layout(x) for x in straight.operands)
        before = [x.copy() for x in operands]
        found = results(Call(call.op, operands, call.attributes), layout(cotangent))
        for one, other in zip(found, expected, strict=True):
            assert one.shape == other.shape and one.dtype == other.dtype
            np.testing.assert_allclose(one, other, rtol=1e-14, atol=1e-15)
        for operand, old in zip(operands, before, strict=True):
            np.testing.assert_array_equal(operand, old)


# ----------------------------------------------------------------------------------------- size zero

NONE, FLAT, INTEGERS = np.zeros((0, 3)), np.zeros((0,)), np.zeros((0,), int)

EMPTY: dict[str, list[Call]] = {
    name: [Call(tg.PRIMITIVES[name], operands, attributes) for operands, attributes in forms]
    for name, forms in {
        "all": [((NONE,), {}), ((NONE,), {"axis": 0})],
        "any": [((NONE,), {}), ((NONE,), {"axis": 1})],
        "argmax": [((NONE,), {"axis": 1})],
        "argmin": [((NONE,), {"axis": 1})],
        "argsort": [((NONE,), {}), ((NONE,), {"axis": 0})],
        "concatenate": [((NONE, NONE), {"axis": 0}), ((NONE, np.ones((2, 3))), {"axis": 0})],
        "cumsum": [((NONE,), {"axis": 0}), ((NONE,), {"axis": 1})],
        "einsum": [((NONE, np.ones((3, 2))), {"subscripts": "ab,bc->ac"}), ((NONE, NONE), {"subscripts": "ab,ac->bc"})],
        "flip": [((NONE,), {}), ((NONE,), {"axis": 0})],
        "getitem": [
            ((NONE,), {"index": (slice(None), 1)}),
            ((np.ones((2, 3)),), {"index": INTEGERS}),
            ((np.ones((2, 3)),), {"index": []}),
        ],
        "log_softmax": [((NONE,), {"axis": 1}), ((NONE,), {"axis": 0}), ((NONE,), {"axis": None})],
        "logsumexp": [((NONE,), {"axis": 1}), ((NONE,), {"axis": 0}), ((NONE,), {})],
        "matmul": [((NONE, np.ones((3, 2))), {}), ((NONE.T, NONE), {}), ((FLAT, FLAT), {})],
        "max": [((NONE,), {"axis": 1})],
        "min": [((NONE,), {"axis": 1, "keepdims": True})],
        "pad": [((NONE,), {"pad_width": 1}), ((NONE,), {"pad_width": [(0, 0), (1, 0)]})],
        "prod": [((NONE,), {}), ((NONE,), {"axis": 0}), ((NONE,), {"axis": 1})],
        "reshape": [((NONE,), {"shape": (3, 0)}), ((FLAT,), {"shape": (2, 0, 5)})],
        "scatter": [((NONE,), {"index": INTEGERS, "shape": (2, 3)}), ((FLAT,), {"index": [], "shape": (2,)})],
        "scatter_along_axis": [((NONE, np.zeros((0, 3), int)), {"length": 2, "axis": 0})],
        "stack": [((NONE, NONE), {"axis": 1})],
        "sum": [((NONE,), {}), ((NONE,), {"axis": 0}), ((NONE,), {"axis": 1})],
        "take": [((np.ones((2, 3)), INTEGERS), {"axis": 1}), ((np.ones((2, 3)), INTEGERS), {"axis": None})],
        "take_along_axis": [((np.ones((2, 3)), np.zeros((0, 3), int)), {"axis": 0})],
        "transpose": [((NONE,), {}), ((NONE,), {"axes": (1, 0)})],
    }.items()
}
"""Operands or results of size zero, where broadcasting alone does not say."""

SETTINGS: dict[str, dict[str, Any]] = {"broadcast_to": {"shape": (2, 0, 3)}, "astype": {"dtype": np.dtype(np.float32)}}


@pytest.mark.parametrize("name", EVERY)
def test_nothing_is_an_operand_too(name: str) -> None:
    op = tg.PRIMITIVES[name]
    if op.elementwise:
        pairs = [(NONE,) * op.arity, (np.zeros((2, 1, 0)), *[np.ones((1, 1))] * (op.arity - 1))]
        forms = [Call(op, pair, SETTINGS.get(name, {})) for pair in (pairs[:1] if name in SETTINGS else pairs)]
    else:
        assert name in EMPTY, f"add a call of {name} with an operand of size zero to EMPTY"
        forms = EMPTY[name]
    for call in forms:
        plain = np.asarray(call(*call.operands))
        leaves = [tg.tensor(x, requires_grad=True) for x in call.smooth_operands]
        if not leaves:
            out = call(*map(tg.Tensor, call.operands))
            assert out.shape == plain.shape and out.dtype == plain.dtype
            continue
        out = call.of_smooth(*leaves)
        np.testing.assert_array_equal(out.data, plain)
        for gradient, leaf in zip(tg.grad(out, leaves, np.ones(out.shape), create_graph=True), leaves, strict=True):
            assert gradient.shape == leaf.shape and gradient.dtype == leaf.dtype
            assert tg.jacobian(out, leaf).shape == out.shape + leaf.shape
            np.testing.assert_array_equal(gradient.data, tg.jacobian(out, leaf).sum(axis=tuple(range(out.ndim))))

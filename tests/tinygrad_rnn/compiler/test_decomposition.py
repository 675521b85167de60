"""Products of stacks, Einstein sums, stacks and indices in the operations of loops: the same numbers, and all fused."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any
from unittest import mock

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tests.strategies import Draw
from tests.tinygrad_rnn.compiler.checks import close
from tests.tinygrad_rnn.compiler.programs import F64, B, H, N, feeds
from tests.tinygrad_rnn.compiler.test_fuse import assert_planned
from tinygrad_rnn.compiler.adjoint import derive_adjoint
from tinygrad_rnn.compiler.indexing import window
from tinygrad_rnn.compiler.passes import FORWARD, decomposition, optimise
from tinygrad_rnn.compiler.passes.dead import remove_dead
from tinygrad_rnn.compiler.passes.decomposition import decompose
from tinygrad_rnn.compiler.program import Program, Type
from tinygrad_rnn.compiler.schedule import schedule
from tinygrad_rnn.compiler.symbol import Builder


def function(make: Callable[..., Any], shapes: list[tuple[int, ...]]) -> Program:
    """A step whose only state is what a function makes of arrays."""
    builder = Builder()
    made = make(*[builder.input(("operand", k), Type(shape, F64)) for k, shape in enumerate(shapes)])
    return builder.program({("state", "h"): made})


def pulled_back(step: Program) -> dict[Any, Any]:
    """The value of a step's output, and a cotangent of it taken back to the operands."""
    adjoint = derive_adjoint(step)
    numbers = feeds(step)
    values = {v for one in step.body for v in (one.target, *one.values)} | set(step.inputs.values())
    known = step.with_body(step.body, {("forward", v): v for v in values}).evaluate(numbers)
    (carry,) = [key for key in adjoint.inputs if key[0] == "carry"]
    known[carry] = feeds(adjoint.with_body([], {}), seed=1)[carry]
    return step.evaluate(numbers) | {
        key: array for key, array in adjoint.evaluate(known).items() if key[0] == "operand"
    }


def assert_decomposed(program: Program) -> Program:
    """The same numbers forwards and backwards, from operations that are planned as loops in both directions."""
    found = remove_dead(decompose(program))
    left, right = pulled_back(program), pulled_back(found)
    assert left.keys() == right.keys()
    for key in left:
        assert left[key].shape == right[key].shape
        close(left[key], right[key], str(key))
    assert_planned(optimise(program, FORWARD))
    return found


def ops(program: Program) -> Counter[str]:
    return Counter(step.op.name for step in program.body)


# ------------------------------------------------------------------------------------------ contractions


@st.composite
def contractions(draw: Draw) -> tuple[str, list[tuple[int, ...]]]:
    """Subscripts of any kind, and shapes of which some axes are repeated from length 1."""
    sizes = {label: draw(st.integers(1, 3)) for label in "abcde"}
    terms = draw(st.lists(st.lists(st.sampled_from("abcde"), unique=True, max_size=3), min_size=1, max_size=4))
    ones = st.integers(0, 7).map(lambda n: n == 0)
    shapes = [tuple(1 if draw(ones) else sizes[label] for label in term) for term in terms]
    there = sorted({label for term in terms for label in term})
    output = draw(st.lists(st.sampled_from(there), unique=True)) if there else []
    return ",".join(map("".join, terms)) + "->" + "".join(output), shapes


@given(drawn=contractions(), worth=st.sampled_from([1, 9, 1024]))
def test_any_contraction(drawn: Any, worth: int) -> None:
    subscripts, shapes = drawn
    with mock.patch.object(decomposition, "_WORTH_A_CALL", worth):
        found = assert_decomposed(function(lambda *xs: tg.einsum(subscripts, *xs), shapes))
    assert "einsum" not in ops(found)


@given(data=st.data(), worth=st.sampled_from([1, 1024]))
def test_any_product_of_stacks(data: st.DataObject, worth: int) -> None:
    shapes = data.draw(
        hnp.mutually_broadcastable_shapes(signature=np.matmul.signature, max_dims=2, max_side=3, min_side=1)
    ).input_shapes
    with mock.patch.object(decomposition, "_WORTH_A_CALL", worth):
        assert_decomposed(function(tg.matmul, list(shapes)))


@pytest.mark.parametrize(
    ("subscripts", "shapes", "left"),
    [
        ("bi,ji->bj", [(B, N), (H, N)], {"matmul": 1, "transpose": 1}),
        ("ji,bi->bj", [(H, N), (B, N)], {"matmul": 1, "transpose": 1}),
        ("bi,i->b", [(B, N), (N,)], {"matmul": 1, "reshape": 2}),
        ("i,bi->b", [(N,), (B, N)], {"matmul": 1, "reshape": 2}),
        ("bhi,ij->bhj", [(B, 3, N), (N, H)], {"matmul": 1, "reshape": 2}),
        ("bij,bj->bi", [(B, H, N), (B, N)], {"reshape": 1, "multiply": 1, "sum": 1}),
        ("bij,bi->bj", [(B, H, N), (B, H)], {"reshape": 1, "multiply": 1, "sum": 1}),
        ("bi,bj->bij", [(B, H), (B, N)], {"reshape": 2, "multiply": 1}),
        ("bij,bjk->bik", [(B, H, N), (B, N, H)], {"reshape": 2, "multiply": 1, "sum": 1}),
        ("bij,bjk->bik", [(B, 16, 16), (B, 16, 16)], {"matmul": 1}),
        ("bij,bjk->bki", [(B, 16, 16), (B, 16, 16)], {"matmul": 1, "transpose": 2}),
        ("ij,bjk->bik", [(16, 16), (B, 16, 16)], {"matmul": 1, "reshape": 1}),
        ("bij,bj->bi", [(B, 64, 64), (B, 64)], {"reshape": 1, "multiply": 1, "sum": 1}),
        ("bij,bj,bk->bk", [(B, H, N), (B, N), (B, 2)], {"reshape": 1, "multiply": 2, "sum": 2}),
        ("bij->b", [(B, H, N)], {"sum": 1}),
        ("bij->bji", [(B, H, N)], {"transpose": 1}),
    ],
)
def test_what_a_contraction_becomes(subscripts: str, shapes: Any, left: dict[str, int]) -> None:
    """What has no batch is one product of two matrices, with the weights on the right; vectors need no call of BLAS."""
    found = assert_decomposed(function(lambda *xs: tg.einsum(subscripts, *xs), shapes))
    assert ops(found) == left
    for step in found.body:
        if step.op.name == "matmul" and subscripts in ("bi,ji->bj", "ji,bi->bj", "bi,i->b", "i,bi->b"):
            assert found.types[step.values[0]].shape == (B, N)


def test_matrices_keep_the_order_in_which_they_lie() -> None:
    """The innermost loop runs through memory in order, forwards and backwards."""
    for subscripts in ("bij,bj->bi", "bij,bi->bj", "bi,bij->bj"):
        swapped = subscripts.startswith("bi,")
        shapes = [(B, 5), (B, 5, 7)] if swapped else [(B, 5, 7), (B, 7 if subscripts.endswith("bi") else 5)]
        found = remove_dead(decompose(function(lambda *xs, s=subscripts: tg.einsum(s, *xs), shapes)))
        assert "transpose" not in ops(found)
        (product,) = [step for step in found.body if step.op.name == "multiply"]
        assert found.types[product.target].shape == (B, 5, 7)


def test_factors_are_multiplied_in_pairs_where_that_is_less_work() -> None:
    chain = function(lambda *xs: tg.einsum("bij,bjk,bkl->bil", *xs), [(B, 5, 5)] * 3)
    found = assert_decomposed(chain)
    assert max(math.prod(found.types[step.target].shape) for step in found.body) == B * 5**3


def test_products_of_the_input_by_weights_leave_the_loop_whatever_they_are_written_as() -> None:
    builder = Builder()
    x, s = builder.input(("x", ""), Type((B, N), F64)), builder.input(("state", "s"), Type((B, H, H), F64))
    weights = [builder.input(("operand", k), Type(shape, F64)) for k, shape in enumerate([(H, N), (N,), (N, H)])]
    key, gate, value = tg.einsum("oi,bi->bo", weights[0], x), x @ weights[1], x @ weights[2]
    step = builder.program({("state", "s"): gate[:, None, None] * s + value[:, :, None] @ key[:, None, :]})
    parts = schedule(optimise(step, FORWARD))
    assert ops(parts.ahead)["matmul"] == 1 and ops(parts.loop)["matmul"] == 0


def test_products_of_other_types_are_left_alone() -> None:
    builder = Builder()
    whole = Type((B, N, N), np.dtype(np.int64))
    x, y = builder.input(("x", "a"), whole), builder.input(("x", "b"), whole)
    mixed = tg.einsum("bij,bjk->bik", x, builder.input(("x", "c"), Type((B, N, N), F64)))
    program = builder.program({("value", "whole"): x @ y, ("value", "mixed"): mixed})
    assert ops(decompose(program)) == ops(program)


# -------------------------------------------------------------------------------------- indices, stacks


@given(data=st.data())
def test_any_basic_index(data: st.DataObject) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, max_side=4))
    index = data.draw(hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True))
    program = function(lambda x: tg.getitem(x, index), [shape])
    whole = np.zeros(shape)[index]
    parts = index if isinstance(index, tuple) else (index,)
    stepped = any(isinstance(part, slice) and part.step not in (None, 1) for part in parts)
    if whole.size and not stepped:
        found = assert_decomposed(program)
        kept = [step for step in found.body if step.op.name == "getitem"]
        assert all(window(step.attributes["index"], found.types[step.values[0]].shape) for step in kept)
    else:
        assert ops(decompose(program))["getitem"] <= 1


@pytest.mark.parametrize(
    "make",
    [
        lambda x: x[:, np.int64(-1), None],
        lambda x: x[..., 2],
        lambda x: x[0, 1, 2] * 2.0,
        lambda x: tg.diagonal(x, 0, 1, 2),
        lambda x: tg.diagonal(x, -1, 1, 2),
        lambda x: tg.diagonal(x, 2, 1, 2),
        lambda x: tg.trace(x, 1, 1, 2),
        lambda x: tg.einsum("bii->b", x[:, :, :3]),
        lambda x: tg.einsum("iji->j", tg.transpose(x[:, :, :2])[:, :2]),
        lambda x: tg.stack([x[:, 0], x[:, 1] * 2.0], axis=1),
        lambda x: tg.stack([x, x], axis=-1),
        lambda x: tg.stack([x[0, 0, 0], x.sum()]),
    ],
    ids=range(12),
)
def test_numbers_diagonals_and_stacks(make: Any) -> None:
    assert_decomposed(function(make, [(B, 3, 4)]))


@pytest.mark.parametrize(
    "index",
    [
        (slice(None), [0, 2]),
        (slice(None), np.array([1, 0]), np.array([0, 1])),
        (slice(None), np.array([-1, 0]), np.array([0, 1])),
        (np.array([0, 1]), np.array([0, 1])),
        (0, Ellipsis, np.array([0, 1])),
        (slice(None), np.array([0, 1]), slice(None)),
        (np.array([True, False]),),
        (slice(None), True),
    ],
    ids=range(8),
)
def test_other_indices_are_left_alone(index: Any) -> None:
    program = function(lambda x: tg.getitem(x, index), [(B, 3, 4)])
    assert ops(decompose(program))["getitem"] == 1
    left, right = pulled_back(program), pulled_back(decompose(program))
    for key in left:
        close(left[key], right[key], str(key))

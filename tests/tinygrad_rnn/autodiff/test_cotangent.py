"""Cotangents in factored form stand for the arrays they would be."""

from __future__ import annotations

import itertools
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn.autodiff.cotangent import Product, Scatter, accumulate, dense, is_basic_index

SHAPE = (4, 3)


@st.composite
def contributions(draw: Any) -> Any:
    """Any mixture of plain, factored and scattered cotangents of one shape."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def plain() -> Any:
        return rng.normal(size=SHAPE)

    def product() -> Any:
        rows = int(rng.integers(1, 3))
        return Product(rng.normal(size=(rows, 4)), rng.normal(size=(rows, 3)))

    def basic() -> Any:
        return Scatter(rng.normal(size=(2, 3)), slice(1, 3), SHAPE)

    def repeated() -> Any:
        return Scatter(rng.normal(size=(3, 3)), np.array([0, 2, 2]), SHAPE)

    makers = st.sampled_from([plain, product, basic, repeated])
    return [make() for make in draw(st.lists(makers, min_size=1, max_size=6))]


@given(contributions())
def test_accumulating_is_adding_up_and_modifies_nothing(parts: Any) -> None:
    before = [np.array(dense(part)) for part in parts]
    total = accumulate(parts)
    np.testing.assert_allclose(dense(total), np.sum(before, axis=0), rtol=1e-12, atol=1e-12)
    assert total.shape == SHAPE and total.dtype == np.float64
    for part, old in zip(parts, before, strict=True):
        np.testing.assert_array_equal(dense(part), old)


@st.composite
def cuts(draw: Any) -> Any:
    """Cotangents of slices along one axis: often all parts of the whole in order, or nearly so."""
    ndim = draw(st.integers(1, 3))
    axis = draw(st.integers(0, ndim - 1))
    shape = (2,) * axis + (6,) + (2,) * (ndim - 1 - axis)
    places = [0, *sorted(draw(st.lists(st.integers(0, 6), max_size=3))), 6]
    ends = list(itertools.pairwise(places))[::-1]
    if draw(st.booleans()):
        ends[draw(st.integers(0, len(ends) - 1))] = (draw(st.integers(0, 6)), draw(st.integers(0, 6)))
    if draw(st.booleans()):
        ends = draw(st.permutations(ends))
    left_out = draw(st.booleans())
    parts = []
    for start, stop in ends:
        cut = slice(None if left_out and start == 0 else start, None if left_out and stop == 6 else stop)
        index = (*[slice(None)] * axis, cut)
        parts.append(Scatter(np.random.default_rng(start).normal(size=np.zeros(shape)[index].shape), index, shape))
    return parts


@given(cuts())
def test_the_parts_of_an_array_add_up_to_the_whole(parts: Any) -> None:
    expected = np.sum([part.dense() for part in parts], axis=0)
    np.testing.assert_array_equal(dense(accumulate(parts)), expected)


def test_a_scalar_that_is_indexed_by_nothing_twice() -> None:
    x = tg.tensor(0.5, requires_grad=True)
    (slope,) = tg.grad(x[()] * 2.0 + x[()] * 3.0, [x])
    assert slope.item() == 5.0


def test_gates_that_were_cut_from_one_array_are_joined_and_not_added(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [Scatter(np.full((2, 3), k), (slice(None), slice(3 * k, 3 * k + 3)), (2, 12)) for k in (3, 2, 1, 0)]
    monkeypatch.setattr(Scatter, "add_to", None)
    np.testing.assert_array_equal(accumulate(parts), np.repeat([[0, 1, 2, 3]] * 2, 3, axis=1))


def test_what_they_stand_for() -> None:
    """Values scattered to one place add up there; a product contracts the rows of its factors."""
    values = np.arange(1.0, 10.0).reshape(3, 3)
    rows = {0: values[0], 2: values[1] + values[2]}
    expected = np.array([rows.get(k, np.zeros(3)) for k in range(4)])
    np.testing.assert_array_equal(Scatter(values, np.array([0, 2, 2]), SHAPE).dense(), expected)
    np.testing.assert_array_equal(Scatter(values[:2], slice(1, 3), SHAPE).dense(), np.pad(values[:2], ((1, 1), (0, 0))))
    left, right = np.arange(8.0).reshape(2, 4), np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(Product(left, right).dense(), left.T @ right)


def test_products_are_merged_into_one() -> None:
    rng = np.random.default_rng(0)
    parts = [Product(rng.normal(size=(1, 4)), rng.normal(size=(1, 3))) for _ in range(5)]
    total = accumulate(parts)
    assert isinstance(total, Product) and total.left.shape == (5, 4)
    np.testing.assert_allclose(total.dense(), sum(part.dense() for part in parts), rtol=1e-12)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 6))
def test_factors_are_kept_where_they_hold_fewer_numbers(rows: int, p: int, q: int) -> None:
    left, right = np.ones((rows, p)), np.ones((rows, q))
    assert Product.pays(rows, p, q) == (left.size + right.size < (left.T @ right).size)


def _plain(n: int) -> Any:
    return np.ones((n, n))


def _product(n: int) -> Any:
    return Product(np.ones((1, n)), np.ones((1, n)))


def _scatter(n: int) -> Any:
    return Scatter(np.ones((1, n)), slice(1), (n, n))


@pytest.mark.parametrize(
    "kinds",
    [(_plain,) * 5, (_plain, _plain, _scatter), (_product, _scatter), (_product, _product, _scatter), (_scatter,) * 3],
    ids=lambda kinds: " ".join(kind.__name__ for kind in kinds),
)
def test_a_sum_takes_the_room_of_one_array(kinds: Any) -> None:
    """What is added up already belongs to the sum, and is added to in place."""
    n = 100
    parts = [kind(n) for kind in kinds]
    tracemalloc.start()
    total = accumulate(parts)
    room = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert room < 1.5 * 8 * n * n and np.shape(total) == (n, n)


def test_a_product_goes_through_operations_as_the_array_it_stands_for() -> None:
    product = Product(np.ones((1, 4)), np.arange(3.0)[None])
    for axes in (None, (1, 0), (0, 1)):
        np.testing.assert_array_equal(dense(tg.transpose(product, axes)), product.dense().transpose(axes))
    np.testing.assert_array_equal(tg.multiply(product, 2.0), 2.0 * product.dense())


def test_basic_indices_are_those_that_select_nothing_twice() -> None:
    for basic in (1, slice(2), None, Ellipsis, (1, slice(2), None, ...), np.int64(2), ()):
        assert is_basic_index(basic)
    for other in ([1, 1], np.array([1, 1]), (slice(2), np.array([0, 0])), np.array([True]), True):
        assert not is_basic_index(other)


def test_no_gradient_shares_memory_with_another() -> None:
    """Rules hand the same cotangent to several operands; a caller may write to what comes out."""
    x, y = tg.tensor(np.ones(3), requires_grad=True), tg.tensor(np.ones(3), requires_grad=True)
    gx, gy = tg.grad(tg.sum(x + y), [x, y])
    tg.sum(x + y).backward()
    assert not np.shares_memory(gx.data, gy.data) and not np.shares_memory(x.grad, y.grad)

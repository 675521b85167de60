"""Compositions of primitives: NumPy's numbers on arrays and Tensors, and their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tests.strategies import axes, shapes, values


def same(ours: Any, reference: Any, *arrays: Any) -> None:
    """Arrays and Tensors give the reference's numbers, and the gradient passes its check."""
    expected = reference(*arrays)
    plain = ours(*arrays)
    assert not isinstance(plain, tg.Tensor)
    np.testing.assert_allclose(plain, expected, rtol=1e-13, atol=1e-13)
    recorded = ours(*map(tg.tensor, arrays))
    assert isinstance(recorded, tg.Tensor) and recorded.shape == np.shape(expected)
    np.testing.assert_allclose(recorded.data, expected, rtol=1e-13, atol=1e-13)
    assert tg.gradcheck(ours, arrays)


@st.composite
def array_and_axis(draw: Any, single: bool = False) -> Any:
    x = draw(values(draw(shapes(min_dims=1, min_side=1))))
    return x, draw(st.integers(-x.ndim, x.ndim - 1) if single else axes(x.ndim))


@given(array_and_axis(), st.booleans())
def test_mean(drawn: Any, keepdims: bool) -> None:
    x, axis = drawn
    same(lambda x: tg.mean(x, axis, keepdims), lambda x: np.mean(x, axis, keepdims=keepdims), x)


@given(array_and_axis(single=True))
def test_softmax_and_its_logarithm(drawn: Any) -> None:
    x, axis = drawn

    def reference(x: Any) -> Any:
        return np.exp(x) / np.exp(x).sum(axis, keepdims=True)

    same(lambda x: tg.softmax(x, axis), reference, x)
    same(lambda x: tg.log_softmax(x, axis), lambda x: np.log(reference(x)), x)


def test_softmax_at_extreme_logits() -> None:
    x = np.array([1e4, 0.0, -1e4])
    assert tg.softmax(x).tolist() == [1.0, 0.0, 0.0]
    assert tg.log_softmax(x).tolist() == [0.0, -1e4, -2e4]


def test_equal_shares_of_what_is_large() -> None:
    x = np.full((2, 2), 1e9, np.float32)
    assert tg.softmax(x).tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert tg.softmax(x, axis=(0, 1)).tolist() == tg.softmax(x, axis=None).tolist() == [[0.25, 0.25], [0.25, 0.25]]
    leaf = tg.tensor(x, requires_grad=True)
    (slopes,) = tg.grad(tg.sum(tg.logsumexp(leaf, axis=1)), leaf)
    np.testing.assert_allclose(slopes.data, 0.5, rtol=1e-6)


@given(array_and_axis(single=True))
def test_cumsum(drawn: Any) -> None:
    x, axis = drawn
    same(lambda x: tg.cumsum(x, axis), lambda x: np.cumsum(x, axis), x)
    same(tg.cumsum, np.cumsum, x)


@given(array_and_axis(single=True))
def test_concatenate_and_stack(drawn: Any) -> None:
    x, axis = drawn
    same(lambda a, b: tg.concatenate([a, b], axis), lambda a, b: np.concatenate([a, b], axis), x, 2 * x)
    same(lambda a, b: tg.concatenate([a, b], None), lambda a, b: np.concatenate([a, b], None), x, 2 * x)
    same(lambda a, b: tg.stack([a, b], axis), lambda a, b: np.stack([a, b], axis), x, 2 * x)


@given(st.integers(1, 3), st.integers(1, 3), st.booleans())
def test_split_into_sections_and_at_indices(sections: int, each: int, last: bool) -> None:
    axis = -1 if last else 0
    x = np.arange(2.0 * sections * each).reshape((2, -1) if last else (-1, 2))
    for cut in (sections, [1, 2], [], [sections * each], np.array([1])):
        if np.ndim(cut) == 0 or max([0, *np.asarray(cut).tolist()]) <= sections * each:
            ours, theirs = tg.split(x, cut, axis), np.split(x, cut, axis)
            assert [a.tolist() for a in ours] == [b.tolist() for b in theirs]
    same(lambda x: tg.split(x, sections, axis)[-1] ** 3, lambda x: np.split(x, sections, axis)[-1] ** 3, x)


@given(values((2, 3)), st.sampled_from([0.1, -1.1]))
def test_clip(x: Any, low: float) -> None:
    for a, b in ((low, None), (None, 1.3), (low, 1.3)):
        same(lambda x, a=a, b=b: tg.clip(x, a, b), lambda x, a=a, b=b: np.clip(x, a, b), x)


@pytest.mark.parametrize(
    ("ours", "reference"),
    [
        (lambda x: tg.swapaxes(x, 0, -1), lambda x: np.swapaxes(x, 0, -1)),
        (lambda x: tg.expand_dims(x, 1), lambda x: np.expand_dims(x, 1)),
        (lambda x: tg.expand_dims(x, (0, -1)), lambda x: np.expand_dims(x, (0, -1))),
        (tg.squeeze, np.squeeze),
        (lambda x: tg.squeeze(x, 1), lambda x: np.squeeze(x, 1)),
        (lambda x: tg.squeeze(x, (1, -1)), lambda x: np.squeeze(x, (1, -1))),
    ],
)
def test_movement(ours: Any, reference: Any) -> None:
    same(ours, reference, np.arange(6.0).reshape(2, 1, 3, 1))


def test_linear() -> None:
    rng = np.random.default_rng(0)
    x, w, b = rng.normal(size=(2, 3)), rng.normal(size=(4, 3)), rng.normal(size=4)
    same(tg.linear, lambda x, w, b: x @ w.T + b, x, w, b)
    same(tg.linear, lambda x, w: x @ w.T, x, w)


EINSUMS = [
    ("ii", [(3, 3)]),
    ("ii->i", [(3, 3)]),
    ("iij->j", [(2, 2, 3)]),
    ("iii->i", [(2, 2, 2)]),
    ("iji->j", [(2, 3, 2)]),
    ("ijij->ij", [(2, 3, 2, 3)]),
    ("...ii->...i", [(2, 3, 3)]),
    ("ij,jk", [(2, 3), (3, 2)]),
    ("ba", [(2, 3)]),
    ("i,i", [(3,), (3,)]),
    ("i,j->ji", [(2,), (3,)]),
    ("...i,...i", [(2, 3), (2, 3)]),
    ("...i,i->...", [(2, 2, 3), (3,)]),
    ("...ij,jk->...ik", [(2, 2, 3), (3, 2)]),
    ("i...->...", [(2, 3)]),
    ("...,...", [(2, 1), (3,)]),
    ("b...,b->...", [(2, 3), (2,)]),
    ("ij->", [(2, 3)]),
    (" i j , j k -> i k ", [(2, 3), (3, 2)]),
    ("ii,i", [(2, 2), (2,)]),
    ("i,j,k->kij", [(1,), (2,), (3,)]),
    ("i...,j...->ij...", [(2, 1, 3), (2, 2, 1)]),
    (",->", [(), ()]),
    ("ij,ij,ij->j", [(2, 3)] * 3),
]


@pytest.mark.parametrize(("subscripts", "sizes"), EINSUMS)
def test_einsum_is_numpys(subscripts: str, sizes: Any) -> None:
    rng = np.random.default_rng(7)
    arrays = [rng.normal(size=size) for size in sizes]

    def ours(*xs: Any) -> Any:
        return tg.einsum(subscripts, *xs)

    same(ours, lambda *xs: np.einsum(subscripts, *xs), *arrays)
    assert tg.gradgradcheck(ours, arrays)
    assert ours(*[x.astype(np.float32) for x in arrays]).dtype == np.float32


def test_a_diagonal_does_not_read_what_lies_beside_it() -> None:
    x = tg.tensor([[1.0, np.nan], [np.inf, 2.0]], requires_grad=True)
    assert tg.einsum("ii->i", x).data.tolist() == [1.0, 2.0] and tg.einsum("ii", x).item() == 3.0
    assert tg.grad(tg.einsum("ii,i->", x, np.array([5.0, 7.0])), x)[0].data.tolist() == [[5.0, 0.0], [0.0, 7.0]]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: tg.mean(x, 5), ValueError, "mean: axis 5 is out of range for 2 dimensions"),
        (lambda x: tg.split(x, 4), ValueError, r"split: axis 0 of shape \(2, 3\) does not divide into 4"),
        (lambda x: tg.split(x, 0), ValueError, "split: .* does not divide into 0"),
        (lambda x: tg.split(x, 1, axis=2), ValueError, "split: axis 2 is out of range"),
        (lambda x: tg.swapaxes(x, 0, 2), ValueError, "swapaxes: axis 2 is out of range for 2 dimensions"),
        (lambda x: tg.swapaxes(x, "a", 0), TypeError, "swapaxes: axis must be an integer, got 'a'"),
        (lambda x: tg.mean(x, "a"), TypeError, "mean: axis must be an integer, got 'a'"),
        (lambda x: tg.split(x, 1.5), TypeError, "split: sections must be an integer or indices, got 1.5"),
        (lambda x: tg.concatenate(3), TypeError, "concatenate: needs a sequence of arrays, got int"),
        (lambda x: tg.stack(3), TypeError, "stack: needs a sequence of arrays, got int"),
        (lambda x: tg.clip(x), ValueError, "clip: give a_min, a_max or both"),
        (lambda x: tg.einsum("ij,jk->ik", x), ValueError, "einsum: .* names 2 operands, got 1"),
        (lambda x: tg.einsum("i->i", x), ValueError, "einsum: term 'i' of 'i->i' does not fit 2 dimensions"),
        (lambda x: tg.einsum("ii->i", x), ValueError, "einsum: term 'ii' repeats 'i' for axes of lengths 2 and 3"),
        (lambda x: tg.einsum(x, "ij"), TypeError, "einsum: subscripts must be a string"),
        (lambda x: tg.einsum("ij->k", x), ValueError, "einsum"),
        (lambda x: tg.concatenate([x, tg.tensor([1.0])]), ValueError, r"concatenate\(shapes \(2, 3\), \(1,\)"),
        (lambda x: tg.stack([x, x[0]]), ValueError, r"stack\(shapes \(2, 3\), \(3,\)"),
        (lambda x: tg.concatenate([x], axis=2), ValueError, "concatenate"),
        (lambda x: tg.concatenate([]), ValueError, "concatenate"),
        (lambda x: tg.squeeze(x, 0), ValueError, "squeeze"),
        (lambda x: tg.expand_dims(x, 9), ValueError, "expand_dims"),
        (lambda x: tg.squeeze(x, 9), ValueError, "squeeze"),
        (lambda x: tg.linear(x, x[:, :2]), ValueError, r"matmul\(shapes \(2, 3\), \(2, 2\)"),
        (lambda x: tg.softmax(x, 2), ValueError, r"axis"),
    ],
)
@pytest.mark.parametrize("kind", [np.asarray, tg.tensor])
def test_bad_arguments_are_explained(call: Any, error: Any, message: str, kind: Any) -> None:
    with pytest.raises(error, match=message):
        call(kind(np.ones((2, 3))))

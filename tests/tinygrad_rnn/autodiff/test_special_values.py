"""NaN, infinities, ties and half precision: values and gradients are PyTorch's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg

NAN, INF = math.nan, math.inf
SPECIAL = st.sampled_from([NAN, INF, -INF, 0.0, -0.0, 0.5, 0.5, -1.25, 3.0, -12.0, -15.5, 100.0, -100.0, -750.0, 750.0])


def special(dtype: Any, count: int) -> st.SearchStrategy:
    """As many arrays of one shape."""
    shapes = hnp.array_shapes(min_dims=1, max_dims=2, max_side=4)
    return shapes.flatmap(lambda shape: st.tuples(*[hnp.arrays(dtype, shape, elements=SPECIAL)] * count))


def rows(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """What PyTorch makes of all elements, for every row of its own."""

    def each(x: Any) -> Any:
        import torch

        return torch.stack([function(row) for row in x.reshape(-1, x.shape[-1])])

    return each


CASES: dict[str, tuple[int, Callable[..., Any], Callable[..., Any]]] = {
    "max": (1, tg.max, lambda x: x.max()),
    "min": (1, tg.min, lambda x: x.min()),
    "max of rows": (1, lambda x: tg.reshape(tg.max(x, axis=-1), (-1,)), rows(lambda x: x.max())),
    "min of rows": (1, lambda x: tg.reshape(tg.min(x, axis=-1), (-1,)), rows(lambda x: x.min())),
    "maximum": (2, tg.maximum, lambda x, y: x.maximum(y)),
    "minimum": (2, tg.minimum, lambda x, y: x.minimum(y)),
    "mean": (1, tg.mean, lambda x: x.mean()),
    "mean of rows": (1, lambda x: tg.mean(x, axis=-1), lambda x: x.mean(-1)),
    "sigmoid": (1, tg.sigmoid, lambda x: x.sigmoid()),
    "tanh": (1, tg.tanh, lambda x: x.tanh()),
    "relu": (1, tg.relu, lambda x: x.relu()),
    "erf": (1, tg.erf, lambda x: x.erf()),
    "logsumexp": (1, lambda x: tg.logsumexp(x, axis=-1), lambda x: x.logsumexp(-1)),
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("name", CASES)
@given(data=st.data())
def test_pytorch_agrees(torch: Any, name: str, dtype: Any, data: st.DataObject) -> None:
    count, ours, theirs = CASES[name]
    arrays = data.draw(special(dtype, count))
    leaves = [tg.tensor(x, requires_grad=True) for x in arrays]
    twins = [torch.tensor(x, requires_grad=True) for x in arrays]
    with np.errstate(all="ignore"):
        found, expected = ours(*leaves), theirs(*twins)
        found.backward(np.ones(found.shape))
        expected.backward(torch.ones_like(expected))
    eps, tiny = float(np.finfo(dtype).eps), float(np.finfo(dtype).tiny)
    assert found.dtype == dtype
    np.testing.assert_allclose(found.data, expected.detach().numpy(), rtol=8 * eps, atol=4 * tiny)
    for leaf, twin in zip(leaves, twins, strict=True):
        np.testing.assert_allclose(leaf.grad, twin.grad.numpy(), rtol=8 * eps, atol=4 * eps)


def slope(function: Callable[..., Any], x: Any, dtype: Any = np.float64) -> list[float]:
    leaf = tg.tensor(np.array(x, dtype), requires_grad=True)
    with np.errstate(invalid="ignore"):
        tg.sum(function(leaf)).backward()
    assert leaf.grad.dtype == dtype
    return leaf.grad.tolist()


def test_the_rules_in_numbers() -> None:
    """The same as constants, for where there is no PyTorch."""
    assert slope(tg.max, [1.0, NAN, 3.0]) == [0.0, 1.0, 0.0]
    assert slope(tg.min, [NAN, 0.0, NAN]) == [0.5, 0.0, 0.5]
    assert slope(lambda x: tg.max(x, axis=1), [[1.0, NAN], [2.0, 2.0]]) == [[0.0, 1.0], [0.5, 0.5]]
    assert slope(lambda x: tg.maximum(x, [1.0, NAN, 2.0, 3.0]), [NAN, 1.0, 2.0, 2.0]) == [1.0, 1.0, 0.5, 0.0]
    assert slope(lambda x: tg.minimum([1.0, NAN, 2.0, 3.0], x), [NAN, 1.0, 2.0, 4.0]) == [1.0, 1.0, 0.5, 0.0]
    assert slope(tg.relu, [NAN, INF, -INF, 0.0]) == [1.0, 1.0, 0.0, 0.0]
    assert tg.sigmoid(np.array([-INF, INF, 0.0])).tolist() == [0.0, 1.0, 0.5]
    assert slope(tg.sigmoid, [-INF, INF, 0.0]) == [0.0, 0.0, 0.25]


def test_an_infinite_cotangent_stays_out_of_what_lost() -> None:
    x = tg.tensor([0.0, -1.0, 2.0], requires_grad=True)
    for function in (tg.relu, lambda x: tg.maximum(x, 1.0), lambda x: tg.max(x) * np.ones(3)):
        (found,) = tg.grad(function(x), x, [INF, INF, INF])
        assert found.data.tolist() == [0.0, 0.0, INF]


def test_half_precision_counts_further_than_it_reaches() -> None:
    ones = np.ones(70_000, np.float16)
    assert tg.mean(ones) == 1.0 and tg.mean(ones).dtype == np.float16
    assert tg.mean(tg.tensor(ones.reshape(2, -1)), axis=1).data.tolist() == [1.0, 1.0]
    share = float(np.float16(1 / 70_000))
    assert set(slope(tg.mean, ones, np.float16)) == set(slope(tg.max, ones, np.float16)) == {share} and share > 0
    assert float(tg.sigmoid(np.float16(-12.0))) == pytest.approx(6.14e-6, rel=1e-2)


def test_sigmoid_is_accurate_down_to_the_smallest_numbers() -> None:
    x = np.array([-40.0, -700.0, -720.0, -745.0])
    np.testing.assert_allclose(tg.sigmoid(x), np.exp(x), rtol=1e-14, atol=5e-324)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_erf_is_the_error_function(dtype: Any) -> None:
    x = np.linspace(-7.0, 7.0, 2001).astype(dtype)
    exact = np.array([math.erf(v) for v in x])
    np.testing.assert_allclose(tg.erf(x), exact, rtol=float(np.finfo(dtype).eps))
    assert tg.erf(x).dtype == dtype and tg.erf(np.array([1, 2])).dtype == np.float64


def test_the_exact_gelu(torch: Any) -> None:
    x = np.linspace(-5.0, 5.0, 101)
    leaf, twin = tg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    found = 0.5 * leaf * (1.0 + tg.erf(leaf / math.sqrt(2.0)))
    expected = torch.nn.functional.gelu(twin)
    np.testing.assert_allclose(found.data, expected.detach().numpy(), rtol=1e-12, atol=1e-15)
    found.sum().backward()
    expected.sum().backward()
    np.testing.assert_allclose(leaf.grad, twin.grad.numpy(), rtol=1e-12, atol=1e-14)


def test_reductions_over_nothing() -> None:
    nothing = tg.tensor(np.zeros((2, 0)), requires_grad=True)
    assert tg.logsumexp(nothing, axis=1).data.tolist() == [-INF, -INF]
    assert tg.softmax(nothing, axis=1).shape == tg.log_softmax(nothing, axis=1).shape == (2, 0)
    for function in (lambda x: tg.logsumexp(x, axis=1), tg.logsumexp, tg.softmax):
        (gradient,) = tg.grad(tg.sum(function(nothing)), nothing)
        assert gradient.shape == (2, 0)
    assert tg.logsumexp(np.array([0, 0])) == math.log(2.0)

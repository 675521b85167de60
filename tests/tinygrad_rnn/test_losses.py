"""Losses: PyTorch's values and gradients, stable at extreme logits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tests.strategies import eighths, values
from tinygrad_rnn import losses

reductions = pytest.mark.parametrize("reduction", ["mean", "sum", "none"])


def same(torch: Any, ours: Any, theirs: Any, x: Any, target: Any) -> None:
    """Value and gradient by `x`, for arrays and Tensors, with a cotangent of its own for every element."""
    t = torch.tensor(x, requires_grad=True)
    expected = theirs(torch.nn.functional, t, torch.tensor(target))
    leaf = tg.tensor(x, requires_grad=True)
    found = ours(leaf, target)
    np.testing.assert_allclose(found.data, expected.detach().numpy(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(ours(x, target), found.data, rtol=1e-15)
    weights = 1.0 + np.arange(found.size).reshape(found.shape)
    found.backward(weights)
    expected.backward(torch.tensor(weights))
    np.testing.assert_allclose(leaf.grad, t.grad.numpy(), rtol=1e-12, atol=1e-12)
    assert tg.gradcheck(lambda v: ours(v, target), x)


@reductions
@given(x=values((2, 3)), target=values((2, 3)))
def test_mse(torch: Any, reduction: str, x: Any, target: Any) -> None:
    same(
        torch,
        lambda a, b: losses.mse_loss(a, b, reduction),
        lambda F, a, b: F.mse_loss(a, b, reduction=reduction),
        x,
        target,
    )


@reductions
@given(x=eighths(-5, 5, (4, 3)), labels=st.lists(st.integers(0, 2), min_size=4, max_size=4))
def test_cross_entropy_of_labels(torch: Any, reduction: str, x: Any, labels: Any) -> None:
    same(
        torch,
        lambda a, b: losses.cross_entropy(a, b, reduction),
        lambda F, a, b: F.cross_entropy(a, b, reduction=reduction),
        x,
        np.array(labels),
    )


@reductions
@given(x=eighths(-5, 5, (4, 3)), p=eighths(0.125, 1, (4, 3)))
def test_cross_entropy_of_probabilities(torch: Any, reduction: str, x: Any, p: Any) -> None:
    def ours(a: Any, b: Any) -> Any:
        # PyTorch's mean over probabilities divides by the batch, as ours does by the number of losses
        return losses.cross_entropy(a, b, reduction)

    same(torch, ours, lambda F, a, b: F.cross_entropy(a, b, reduction=reduction), x, p / p.sum(1, keepdims=True))


def test_cross_entropy_over_time_and_batch(torch: Any) -> None:
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(5, 2, 4)), rng.integers(0, 4, (5, 2))
    same(torch, losses.cross_entropy, lambda F, a, b: F.cross_entropy(a.permute(0, 2, 1), b), x, labels)
    same(torch, losses.cross_entropy, lambda F, a, b: F.cross_entropy(a, b), x[0, 0], labels[0, 0])


@reductions
@given(x=eighths(-5, 5, (2, 3)), p=eighths(0, 1, (2, 3)))
def test_binary_cross_entropy(torch: Any, reduction: str, x: Any, p: Any) -> None:
    same(
        torch,
        lambda a, b: losses.binary_cross_entropy_with_logits(a, b, reduction),
        lambda F, a, b: F.binary_cross_entropy_with_logits(a, b, reduction=reduction),
        x,
        p,
    )


def test_extreme_logits() -> None:
    x = tg.tensor([[1e4, -1e4, 0.0]], requires_grad=True)
    loss = losses.cross_entropy(x, [1])
    loss.backward()
    assert loss.item() == 2e4 and x.grad.tolist() == [[1.0, -1.0, 0.0]]
    z = tg.tensor([1e4, -1e4, 1e4, -1e4], requires_grad=True)
    loss = losses.binary_cross_entropy_with_logits(z, np.array([1.0, 0.0, 0.0, 1.0]), "none")
    assert loss.data.tolist() == [0.0, 0.0, 1e4, 1e4]
    tg.sum(loss).backward()
    np.testing.assert_allclose(z.grad, [0.0, 0.0, 1.0, -1.0], rtol=0, atol=np.finfo(float).tiny)


def test_float32_is_kept() -> None:
    x = tg.tensor(np.ones((2, 3), np.float32), requires_grad=True)
    for loss in (
        losses.cross_entropy(x, [0, 1]),
        losses.mse_loss(x, np.zeros((2, 3), np.float32)),
        losses.binary_cross_entropy_with_logits(x, np.zeros((2, 3), np.float32)),
    ):
        assert loss.dtype == np.float32 and tg.grad(loss, x)[0].dtype == np.float32


def test_targets_may_be_tensors_or_lists_and_are_copied() -> None:
    x = tg.tensor([[1.0, 2.0]])
    assert losses.mse_loss(x, tg.tensor([[0.0, 0.0]])).item() == 2.5
    assert losses.mse_loss(x, [[0.0, 0.0]]).item() == losses.mse_loss([[1.0, 2.0]], [[0.0, 0.0]]) == 2.5
    assert losses.cross_entropy([[1.0, 2.0]], [1]) == losses.cross_entropy(x, [1]).item()
    assert losses.cross_entropy(x, tg.tensor([1], dtype=int)).item() == losses.cross_entropy(x, [1]).item()
    labels = np.array([1])
    loss = losses.cross_entropy(x, labels)
    labels[:] = 0
    assert tg.grad(loss, x)[0].data[0, 1] < 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: losses.mse_loss(x, np.zeros(3)), r"mse_loss: shapes \(2, 3\) and \(3,\) differ"),
        (
            lambda x: losses.binary_cross_entropy_with_logits(x, np.zeros((3, 2))),
            r"binary_cross_entropy_with_logits: shapes \(2, 3\) and \(3, 2\) differ",
        ),
        (lambda x: losses.cross_entropy(x, [0]), r"cross_entropy: logits \(2, 3\) need labels \(2,\), got \(1,\)"),
        (lambda x: losses.cross_entropy(x, [0, 3]), r"cross_entropy: labels must lie in 0..2, got 0..3"),
        (lambda x: losses.cross_entropy(x, [-1, 0]), r"labels must lie in 0..2, got -1..0"),
        (lambda x: losses.cross_entropy(x, np.zeros((2, 2))), r"cross_entropy: shapes \(2, 3\) and \(2, 2\) differ"),
        (
            lambda x: losses.mse_loss(x, x, "median"),
            "mse_loss: reduction must be 'mean', 'sum' or 'none', got 'median'",
        ),
        (lambda x: losses.cross_entropy(x, [0, 0], "median"), "cross_entropy: reduction must be"),
        (lambda x: losses.cross_entropy(x[0, 0], 0), "cross_entropy: .*classes"),
    ],
)
@pytest.mark.parametrize("kind", [np.asarray, tg.tensor])
def test_bad_arguments_are_explained(call: Any, message: str, kind: Any) -> None:
    with pytest.raises(ValueError, match=message):
        call(kind(np.ones((2, 3))))

"""Optimisers step by step against PyTorch's; clipping changes the length of a gradient, never its direction."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn import optim

RULES = [
    (optim.SGD, {"lr": 0.1}),
    (optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    (optim.RMSprop, {}),
    (optim.RMSprop, {"lr": 0.05, "alpha": 0.5, "eps": 1e-3}),
    (optim.Adam, {}),
    (optim.Adam, {"lr": 0.05, "betas": (0.5, 0.7), "eps": 1e-3}),
]
every_rule = pytest.mark.parametrize(("ours", "options"), RULES)


def leaf(values: Any, grad: Any = None, dtype: Any = None) -> tg.Tensor:
    out = tg.tensor(values, requires_grad=True, dtype=dtype)
    out.grad = None if grad is None else np.array(grad, dtype=out.dtype)
    return out


@every_rule
def test_forty_steps_are_pytorchs(torch: Any, ours: Any, options: Any) -> None:
    rng = np.random.default_rng(0)
    start = [rng.normal(size=(3, 2)), rng.normal(size=4)]
    parameters = [leaf(x) for x in start]
    references = [torch.tensor(x, requires_grad=True) for x in start]
    mine, its = ours(parameters, **options), getattr(torch.optim, ours.__name__)(references, **options)
    for step in range(40):
        mine.zero_grad()
        its.zero_grad()
        if step != 20:  # one parameter sits out a step: its running means must not move
            for tensor in (parameters[1], references[1]):
                (tensor * tensor * 0.3 + tensor).sum().backward()
        for tensor in (parameters[0], references[0]):
            ((tensor - 1.0) ** 2 * (step % 3 + 1)).sum().backward()
        mine.step()
        its.step()
        for a, b in zip(parameters, references, strict=True):
            np.testing.assert_allclose(a.data, b.detach().numpy(), rtol=1e-12, atol=1e-12, err_msg=f"step {step}")


@every_rule
def test_float32_parameters_stay_float32(ours: Any, options: Any) -> None:
    parameter = leaf([1.0, 2.0], [0.5, -0.5], np.float32)
    ours([parameter], **{"lr": 0.1, **options}).step()
    assert parameter.dtype == np.float32 and (parameter.data != [1.0, 2.0]).all()


def test_a_step_leaves_recorded_graphs_and_gradients_alone() -> None:
    parameter = leaf([1.0, 2.0])
    loss = tg.sum(parameter * parameter)
    loss.backward()
    optim.SGD([parameter], 0.5).step()
    np.testing.assert_array_equal(parameter.data, [0.0, 0.0])
    np.testing.assert_array_equal(parameter.grad, [2.0, 4.0])
    (g,) = tg.grad(loss, parameter)
    np.testing.assert_array_equal(g.data, [2.0, 4.0])


def test_optimiser_state_does_not_alias_gradients() -> None:
    parameter = leaf([0.0], [1.0])
    sgd = optim.SGD([parameter], 1.0, momentum=0.5)
    sgd.step()
    parameter.grad *= 100.0
    parameter.grad = np.array([0.0])
    sgd.step()
    np.testing.assert_array_equal(parameter.data, [-1.5])


def test_zero_grad_and_missing_gradients() -> None:
    parameter, idle = leaf([1.0], [2.0]), leaf([5.0])
    sgd = optim.SGD([parameter, idle], 0.5)
    sgd.step()
    assert (parameter.item(), idle.item()) == (0.0, 5.0)
    sgd.zero_grad()
    assert parameter.grad is None
    sgd.step()
    assert parameter.item() == 0.0


@pytest.mark.parametrize(
    "make", [lambda p: optim.SGD(p, 0.3, momentum=0.5), lambda p: optim.RMSprop(p, 0.05), lambda p: optim.Adam(p, 0.05)]
)
def test_a_cell_learns(make: Any) -> None:
    """Remember the first input for four steps."""
    cell = tg.cells.GRUCell(1, 4, seed=0)
    optimiser = make(cell.parameters())
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(4, 16, 1))
    first = None
    for _ in range(60):
        loss = tg.losses.mse_loss(tg.unroll(cell, inputs).outputs[-1][:, :1], np.tanh(inputs[0]))
        optimiser.zero_grad()
        loss.backward()
        optim.clip_grad_norm(cell.parameters(), 1.0)
        optimiser.step()
        first = first or loss.item()
    assert loss.item() < 0.3 * first


# ------------------------------------------------------------------------------------------ clipping


@given(st.floats(0.01, 10.0), st.integers(0, 2**32 - 1))
def test_clipping_is_pytorchs_and_keeps_the_direction(torch: Any, most: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    gradients = [rng.normal(size=(2, 3)), rng.normal(size=4)]
    parameters = [leaf(np.zeros(g.shape), g) for g in gradients]
    references = [torch.zeros(g.shape, dtype=torch.float64, requires_grad=True) for g in gradients]
    for reference, g in zip(references, gradients, strict=True):
        reference.grad = torch.tensor(g)
    norm = optim.clip_grad_norm(parameters, most)
    assert isinstance(norm, float)
    np.testing.assert_allclose(norm, torch.nn.utils.clip_grad_norm_(references, most).item(), rtol=1e-12)
    after = np.concatenate([p.grad.reshape(-1) for p in parameters])
    before = np.concatenate([g.reshape(-1) for g in gradients])
    np.testing.assert_allclose(np.linalg.norm(after), min(norm, most), rtol=1e-12)
    np.testing.assert_allclose(after / np.linalg.norm(after), before / norm, rtol=1e-12)


def test_a_small_gradient_is_left_as_it_is() -> None:
    parameter = leaf([0.0, 0.0], [3.0, 4.0])
    same = parameter.grad
    assert optim.clip_grad_norm([parameter], 5.0) == 5.0
    assert parameter.grad is same and same.tolist() == [3.0, 4.0]


@pytest.mark.parametrize(("dtype", "huge"), [(np.float64, 1e300), (np.float32, 1e38)])
def test_huge_gradients_neither_overflow_nor_turn(dtype: Any, huge: float) -> None:
    parameter = leaf([0.0, 0.0], [3 * huge, -4 * huge] if dtype == np.float64 else [0.3 * huge, -0.4 * huge], dtype)
    norm = optim.clip_grad_norm([parameter], 1.0)
    np.testing.assert_allclose(norm, 5 * huge if dtype == np.float64 else 0.5 * huge, rtol=1e-6)
    np.testing.assert_allclose(parameter.grad, [0.6, -0.8], rtol=1e-6)
    assert parameter.grad.dtype == dtype


def test_tiny_gradients_keep_their_norm() -> None:
    parameter = leaf([0.0, 0.0], [3e-200, 4e-200])
    np.testing.assert_allclose(optim.clip_grad_norm([parameter], 1.0), 5e-200, rtol=1e-12)


def test_no_gradients_have_norm_zero() -> None:
    assert optim.clip_grad_norm([leaf([1.0])], 1.0) == 0.0
    assert optim.clip_grad_norm([leaf([1.0], [0.0])], 1.0) == 0.0
    assert optim.clip_grad_norm(leaf([1.0], [7.0]), 1.0) == 7.0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_clipping_refuses_what_has_no_direction(bad: float) -> None:
    good, parameter = leaf([0.0], [30.0]), tg.tensor([0.0], requires_grad=True, name="w")
    parameter.grad = np.array([bad])
    with pytest.raises(ValueError, match="clip_grad_norm: the gradient of w holds a NaN or an infinity"):
        optim.clip_grad_norm([good, parameter], 1.0)
    assert good.grad == 30.0, "nothing is changed"


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda p: optim.SGD([], 0.1), ValueError, "SGD: no parameters"),
        (lambda p: optim.SGD([p, p], 0.1), ValueError, "SGD: a parameter is given twice"),
        (lambda p: optim.SGD(None, 0.1), TypeError, "SGD: parameters must be Tensors, got NoneType"),
        (lambda p: optim.SGD([p], "0.1"), TypeError, "SGD: lr must be a number, got '0.1'"),
        (lambda p: optim.SGD([p], 0.1, momentum=None), TypeError, "SGD: momentum must be a number, got None"),
        (lambda p: optim.clip_grad_norm([p], None), TypeError, "clip_grad_norm: max_norm must be a number, got None"),
        (lambda p: optim.SGD([p], 0.0), ValueError, "SGD: lr must be positive, got 0.0"),
        (lambda p: optim.SGD([p], np.nan), ValueError, "SGD: lr must be positive, got nan"),
        (lambda p: optim.SGD([p], 0.1, momentum=1.0), ValueError, r"SGD: momentum must lie in \[0, 1\), got 1.0"),
        (lambda p: optim.RMSprop([p], alpha=-0.1), ValueError, r"RMSprop: alpha must lie in \[0, 1\)"),
        (lambda p: optim.RMSprop([p], eps=0.0), ValueError, "RMSprop: eps must be positive"),
        (lambda p: optim.Adam([p], betas=(0.9, 1.0)), ValueError, r"Adam: beta2 must lie in \[0, 1\)"),
        (lambda p: optim.Adam([p], eps=-1.0), ValueError, "Adam: eps must be positive"),
        (
            lambda p: optim.Adam([p * 2.0]),
            TypeError,
            "Adam: every parameter must be a leaf Tensor with requires_grad, got",
        ),
        (lambda p: optim.Adam([p.detach()]), TypeError, "Adam: every parameter must be a leaf"),
        (lambda p: optim.Adam([p.data]), TypeError, "Adam: every parameter must be a leaf"),
        (lambda p: optim.clip_grad_norm([p], 0.0), ValueError, "clip_grad_norm: max_norm must be positive, got 0.0"),
        (lambda p: optim.clip_grad_norm([], 1.0), ValueError, "clip_grad_norm: no parameters"),
        (lambda p: optim.clip_grad_norm([p.data], 1.0), TypeError, "clip_grad_norm: every parameter"),
    ],
)
def test_bad_arguments_are_explained(make: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        make(leaf([1.0]))


def test_a_memory_that_does_not_fit_is_refused_whole() -> None:
    parameters = [tg.tensor(np.zeros(2), requires_grad=True)]
    optimizer = tg.optim.Adam(parameters)
    good = optimizer.state_dict()
    for change, error, message in (
        ({"mean.0": np.array([np.nan, 0.0])}, ValueError, "mean.0 holds a NaN"),
        ({"mean_square.0": np.array([np.inf, 0.0])}, ValueError, "mean_square.0 holds a NaN or an infinity"),
        ({"mean_square.0": np.zeros(3)}, ValueError, r"mean_square.0 has shape \(2,\), was given \(3,\)"),
        ({"steps.0": np.array(1.5)}, ValueError, "steps.0: holds numbers that are no int64"),
        ({"mean.1": np.zeros(2)}, KeyError, r"unknown \['mean.1'\]; nearest to mean.1 is mean.0"),
    ):
        with pytest.raises(error, match=f"Adam.load_state_dict: .*{message}"):
            optimizer.load_state_dict({**{name: array + 1 for name, array in good.items()}, **change})
        assert optimizer.steps == [0] and not optimizer.mean[0].any()

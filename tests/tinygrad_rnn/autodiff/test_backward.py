"""backward, grad and jacobian: the consumers of the one sweep."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given

import tinygrad_rnn as tg
from tests.strategies import FEW, Program, programs


@given(programs())
def test_random_expressions_against_differences(program: Program) -> None:
    assert tg.gradcheck(program, program.inputs)


@FEW
@given(programs(max_steps=3))
def test_random_expressions_second_order(program: Program) -> None:
    assert tg.gradgradcheck(program, program.inputs)


@given(programs())
def test_backward_grad_and_jacobian_are_one(program: Program) -> None:
    leaves = program.leaves()
    out = program(*leaves)
    gradients = tg.grad(out, leaves)
    out.backward()
    for leaf, gradient in zip(leaves, gradients, strict=True):
        expected = np.zeros(leaf.shape) if leaf.grad is None else leaf.grad
        np.testing.assert_allclose(gradient.data, expected, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(tg.jacobian(out, leaf), expected, rtol=1e-12, atol=1e-12)
        assert gradient.shape == leaf.shape and gradient.dtype == leaf.dtype


@given(programs())
def test_recording_the_sweep_does_not_change_its_numbers(program: Program) -> None:
    leaves = program.leaves()
    out = program(*leaves)
    plain = tg.grad(out, leaves)
    recorded = tg.grad(out, leaves, create_graph=True)
    for p, r in zip(plain, recorded, strict=True):
        np.testing.assert_allclose(p.data, r.data, rtol=1e-12, atol=1e-12)
        assert p.op is None


def test_a_recorded_sum_of_cotangents_belongs_to_the_value_it_is_the_cotangent_of() -> None:
    with tg.scope("inside"):
        y = tg.tanh(tg.tensor([1.0, 2.0], requires_grad=True))
    total = tg.sum(y * y)
    with tg.no_grad():
        (gradient,) = tg.grad(total, [y], create_graph=True)
    assert gradient.op is not None and gradient.op.name == "add"
    assert str(gradient.scope) == "inside/backward"


@given(programs())
def test_interior_gradients_obey_the_chain_rule(program: Program) -> None:
    """The whole gradient is what goes through one interior value plus what goes past it."""
    leaves = program.leaves()
    trace = program.trace(*leaves)
    out = program.total(trace)
    whole = tg.grad(out, leaves)
    for value in trace[len(leaves) :]:
        through = tg.grad(value, leaves, tg.grad(out, value)[0])
        held = tg.Graph(out).hold(value, value.data).outputs[0]
        past = tg.grad(held, leaves)
        for w, t, p in zip(whole, through, past, strict=True):
            np.testing.assert_allclose(w.data, t.data + p.data, rtol=1e-10, atol=1e-10)


@given(programs())
def test_the_sum_rule(program: Program) -> None:
    leaves = program.leaves()
    out = program(*leaves)
    single = tg.grad(out, leaves)
    double = tg.grad(out + out, leaves)
    scaled = tg.grad(out, leaves, 2.0)
    for s, d, g in zip(single, double, scaled, strict=True):
        np.testing.assert_allclose(2 * s.data, d.data, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(d.data, g.data, rtol=1e-12, atol=1e-12)


def test_higher_orders_of_x_to_the_fifth() -> None:
    x = tg.tensor(2.0, requires_grad=True)
    y = x * x * x * x * x
    found = []
    for _ in range(6):
        (y,) = tg.grad(y, x, create_graph=True)
        found.append(y.item())
    assert found == [80.0, 160.0, 240.0, 240.0, 120.0, 0.0]


def test_higher_orders_of_tanh() -> None:
    x = tg.tensor(0.3)
    y, t = tg.tanh(x), np.tanh(0.3)
    for expected in (1 - t**2, -2 * t * (1 - t**2), (1 - t**2) * (6 * t**2 - 2), 8 * t * (1 - t**2) * (2 - 3 * t**2)):
        (y,) = tg.grad(y, x, create_graph=True)
        np.testing.assert_allclose(y.item(), expected, rtol=1e-12)


def test_hessian_of_a_quadratic_form() -> None:
    rng = np.random.default_rng(0)
    a, x = rng.normal(size=(4, 4)), tg.tensor(rng.normal(size=4))
    (g,) = tg.grad(x @ a @ x, x, create_graph=True)
    np.testing.assert_allclose(tg.jacobian(g, x), a + a.T, rtol=1e-12)


def test_backward_accumulates_over_calls() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    for _ in range(3):
        tg.sum(x * x).backward()
    np.testing.assert_array_equal(x.grad, [6.0, 12.0])
    assert isinstance(x.grad, np.ndarray) and x.grad.dtype == np.float64


def test_backward_touches_only_leaves_that_require_it() -> None:
    x, c = tg.tensor([1.0], requires_grad=True), tg.tensor([2.0])
    y = x * c
    tg.sum(y).backward()
    assert c.grad is None and y.grad is None and x.grad is not None
    leaf = tg.tensor(3.0, requires_grad=True)
    leaf.backward()
    assert leaf.grad == 1.0


def test_grad_needs_no_requires_grad_and_reaches_interior_values() -> None:
    x = tg.tensor([1.0, 2.0])
    y = x * 3.0
    gx, gy = tg.grad(tg.sum(y * y), [x, y])
    np.testing.assert_array_equal(gx.data, [18.0, 36.0])
    np.testing.assert_array_equal(gy.data, [6.0, 12.0])


def test_an_input_that_is_not_reached_gets_zeros() -> None:
    x, other = tg.tensor([1.0, 2.0]), tg.tensor(np.ones((2, 2), np.float32))
    (g,) = tg.grad(tg.sum(x), other)
    assert g.dtype == np.float32 and not g.data.any() and g.shape == (2, 2)
    assert tg.jacobian(x, other).shape == (2, 2, 2)
    (later,) = tg.grad(tg.sum(x), x * 2.0)
    assert not later.data.any()


def test_grad_of_an_output_by_itself_is_the_cotangent() -> None:
    x = tg.tensor([1.0, 2.0])
    (g,) = tg.grad(x, x, [3.0, 4.0])
    np.testing.assert_array_equal(g.data, [3.0, 4.0])
    np.testing.assert_array_equal(tg.jacobian(x, x), np.eye(2))


def test_a_repeated_input_gets_its_gradient_twice() -> None:
    x = tg.tensor(3.0)
    assert [g.item() for g in tg.grad(x * x, (x, x))] == [6.0, 6.0]


def test_a_tensor_as_cotangent_is_differentiated_too() -> None:
    x, v = tg.tensor([1.0, 2.0]), tg.tensor([3.0, 4.0])
    (g,) = tg.grad(x * x, x, v, create_graph=True)
    (by_v,) = tg.grad(tg.sum(g), v)
    np.testing.assert_array_equal(by_v.data, [2.0, 4.0])
    (plain,) = tg.grad(x * x, x, v)
    assert plain.op is None


def test_backward_takes_a_tensor_too() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True, dtype=np.float32)
    (x * x).backward(tg.tensor([3.0, 4.0]))
    assert type(x.grad) is np.ndarray and x.grad.dtype == np.float32
    np.testing.assert_array_equal(x.grad, [6.0, 16.0])


def test_inputs_may_be_any_iterable() -> None:
    x, y = tg.tensor(2.0), tg.tensor(3.0)
    assert [g.item() for g in tg.grad(x * y, (t for t in (x, y)))] == [3.0, 2.0]
    assert tg.grad(x * y, []) == ()


def test_gradients_recorded_under_no_grad() -> None:
    x = tg.tensor(2.0, requires_grad=True)
    y = x**3
    with tg.no_grad():
        (g,) = tg.grad(y, x)
        assert g.item() == 12.0
        (recorded,) = tg.grad(y, x, create_graph=True)
    assert tg.grad(recorded, x)[0].item() == 12.0


def test_assigning_data_between_recording_and_a_second_order_gradient_is_refused() -> None:
    x = tg.tensor(2.0, requires_grad=True, name="x")
    y = x * x
    x.data = 3.0
    with pytest.raises(ValueError, match="the data of x was assigned after multiply used it"):
        tg.grad(y, x, create_graph=True)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: x.backward(), ValueError, r"gradient: an output of shape \(2,\) needs one of that shape"),
        (lambda x: x.backward([1.0]), ValueError, r"gradient: shape \(1,\) does not match the output's shape \(2,\)"),
        (lambda x: tg.grad(x, x), ValueError, "grad_output: an output of shape"),
        (lambda x: tg.grad(x, x, 1.0), ValueError, r"grad_output: shape \(\) does not match"),
        (lambda x: tg.grad(x, x, tg.tensor([1.0])), ValueError, r"grad_output: shape \(1,\) does not match"),
        (lambda x: tg.grad(x.data, x), TypeError, "grad: output must be a Tensor, got ndarray"),
        (lambda x: tg.grad(tg.sum(x), [x, x.data]), TypeError, "grad: an input must be a Tensor, got ndarray"),
        (lambda x: tg.jacobian(1.0, x), TypeError, "jacobian: output must be a Tensor, got float"),
        (lambda x: tg.jacobian(x, np.ones(2)), TypeError, "jacobian: an input must be a Tensor"),
        (lambda x: tg.jacobian(x, [x, x]), TypeError, "jacobian: an input must be a Tensor, got list"),
        (lambda x: tg.grad(tg.sum(x), None), TypeError, "grad: an input must be a Tensor, got NoneType"),
        (lambda x: x.backward("text"), TypeError, "gradient: not an array of numbers"),
        (lambda x: tg.sum(x.detach()).backward(), ValueError, "nothing in this value's graph requires"),
    ],
)
def test_bad_arguments_are_explained(call: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        call(tg.tensor([1.0, 2.0], requires_grad=True))


def test_a_rule_of_the_wrong_shape_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tg.flip, "rules", (lambda g, y, x, axis=None: g[:1],))
    x = tg.tensor([1.0, 2.0])
    with pytest.raises(
        AssertionError, match=r"rule of flip for operand 0 returned shape \(1,\), the operand has shape \(2,\)"
    ):
        tg.grad(tg.flip(x), x, [1.0, 1.0])


def test_jacobian_runs_each_rule_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batched cotangents: one sweep, however many outputs."""
    calls = []
    rule = tg.tanh.rules[0]
    monkeypatch.setattr(tg.tanh, "rules", (lambda *args: calls.append(1) or rule(*args),))
    x = tg.tensor(np.linspace(-1, 1, 50))
    jacobian = tg.jacobian(tg.tanh(x), x)
    np.testing.assert_allclose(jacobian, np.diag(1 - np.tanh(x.data) ** 2), rtol=1e-12)
    assert len(calls) == 1


def test_a_leaf_may_ask_for_its_gradient_when_it_was_used_already() -> None:
    """What stands between it and the output was recorded without asking for one."""
    weight, x = tg.tensor([1.0, 2.0], requires_grad=True), tg.tensor([3.0, 4.0])
    loss = tg.sum((x * 5.0) * weight) + tg.sum(x * x)
    x.requires_grad = True
    np.testing.assert_array_equal(tg.grad(loss, [weight, x])[1].data, [11.0, 18.0])
    loss.backward()
    assert x.grad is not None and x.grad.tolist() == [11.0, 18.0]


def test_parameters_may_ask_for_gradients_after_the_run() -> None:
    cell = tg.cells.GRUCell(2, 3, seed=0)
    x = tg.tensor(np.ones((4, 1, 2)), requires_grad=True)
    expected = tg.grad(tg.unroll(cell, x).outputs[-1].sum(), cell.parameters())
    for parameter in cell.parameters():
        parameter.requires_grad = False
    loss = tg.unroll(cell, x).outputs[-1].sum()
    for parameter in cell.parameters():
        parameter.requires_grad = True
    loss.backward()
    for parameter, gradient in zip(cell.parameters(), expected, strict=True):
        np.testing.assert_allclose(parameter.grad, gradient.data, rtol=1e-12)
        assert np.abs(parameter.grad).max() > 0


def test_nothing_to_sum_over_leaves_a_gradient_of_zeros() -> None:
    bias = tg.tensor(np.ones(4), requires_grad=True)
    tg.sum(tg.tensor(np.ones((0, 4)), requires_grad=True) + bias).backward()
    assert bias.grad is not None and bias.grad.tolist() == [0.0] * 4


@pytest.mark.parametrize("rows", [1, 3])
def test_gradients_share_no_memory(rows: int) -> None:
    x, bias = (tg.tensor(np.ones(shape), requires_grad=True) for shape in ((rows, 4), (4,)))
    cotangent = np.ones((rows, 4))
    (x + bias).backward(cotangent)
    cotangent[...] = 7.0
    assert x.grad is not None and bias.grad is not None
    x.grad[...] = 5.0
    assert bias.grad.tolist() == [rows] * 4

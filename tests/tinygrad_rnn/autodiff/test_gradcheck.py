"""The checkers: they pass what is right, catch what is wrong by a thousandth, and say where it is."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg

X = np.array([[0.3, -1.1], [0.7, 0.45]])


def spoil(monkeypatch: pytest.MonkeyPatch, op: tg.Primitive, operand: int, factor: float = 1.001) -> None:
    rules = list(op.rules)
    right = rules[operand]
    rules[operand] = lambda *args, **attributes: right(*args, **attributes) * factor  # type: ignore[misc]
    monkeypatch.setattr(op, "rules", tuple(rules))


@pytest.mark.parametrize("check", [tg.gradcheck, tg.gradgradcheck])
def test_right_rules_pass(check: Any) -> None:
    assert check(lambda x, w: tg.tanh(x @ w) * tg.exp(x), [X, X.T]) is True
    assert check(tg.tanh, X) is True
    assert check(lambda x: (x * 2.0, tg.sum(x)), [tg.tensor(X)]) is True
    assert check(lambda x: x, 3.0) is True
    assert check(lambda x: x * np.array([1, 2]), [np.array([1, 2])]) is True, "integers count as float64"
    assert check(lambda x: tg.sum(x), np.zeros((0, 2))) is True


@pytest.mark.parametrize("factor", [1.001, 0.999, -1.0, 0.0, np.nan])
@pytest.mark.parametrize(("op", "operand"), [(tg.tanh, 0), (tg.multiply, 1), (tg.matmul, 0), (tg.relu, 0)])
def test_gradcheck_catches(monkeypatch: pytest.MonkeyPatch, op: tg.Primitive, operand: int, factor: float) -> None:
    def fn(x: Any, y: Any) -> Any:
        return tg.sum(op(*[x, y][: op.arity]))

    assert tg.gradcheck(fn, [X, X + 2.0])
    spoil(monkeypatch, op, operand, factor)
    with pytest.raises(tg.GradcheckError) as caught:
        tg.gradcheck(fn, [X, X + 2.0])
    assert f"wrong rule at {op.name} (op {op.name})" in str(caught.value)
    assert isinstance(caught.value, AssertionError)


@pytest.mark.parametrize("factor", [1.001, 0.999])
@pytest.mark.parametrize(
    ("op", "wrong"),
    [(tg.tanh, tg.tanh), (tg.sigmoid, tg.sigmoid), (tg.exp, tg.exp), (tg.sin, tg.cos), (tg.square, tg.multiply)],
)
def test_gradgradcheck_catches(
    monkeypatch: pytest.MonkeyPatch, op: tg.Primitive, wrong: tg.Primitive, factor: float
) -> None:
    assert tg.gradgradcheck(op, X)
    spoil(monkeypatch, wrong, 0, factor)
    with pytest.raises(tg.GradcheckError):
        tg.gradgradcheck(op, X)


def test_only_gradgradcheck_catches_a_rule_that_cannot_be_differentiated(monkeypatch: pytest.MonkeyPatch) -> None:
    """A first derivative that hides what it depends on is right, once."""
    monkeypatch.setattr(tg.square, "rules", (lambda g, y, x: g * 2.0 * tg.stop_gradient(x),))
    assert tg.gradcheck(tg.square, X)
    with pytest.raises(tg.GradcheckError):
        tg.gradgradcheck(tg.square, X)


def test_the_report_names_input_index_both_numbers_and_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(monkeypatch, tg.tanh, 0, 2.0)

    def fn(x: Any, w: Any) -> Any:
        with tg.scope("layer0"):
            return tg.named(n=tg.tanh(x * w))

    with pytest.raises(tg.GradcheckError) as caught:
        tg.gradcheck(fn, [np.array([0.0, 0.5]), tg.tensor([0.0, 2.0], name="w")])
    error = caught.value
    assert error.input == "input 0" and error.index == (1,), "the derivative at index 0 is 0 and right"
    np.testing.assert_allclose(error.analytic, 2 * error.numerical, rtol=1e-9)
    assert error.path == "wrong rule at layer0/n (op tanh)"
    numbers = rf"analytic {error.analytic:.10g}, numerical {error.numerical:.10g}"
    assert str(error) == f"gradient by input 0[1]: {numbers}; wrong rule at layer0/n (op tanh)"
    with pytest.raises(tg.GradcheckError, match=r"gradient by w\[0\]: analytic"):
        tg.gradcheck(lambda w: fn(np.array([1.0, 1.0]), w), tg.tensor([0.0, 2.0], name="w"))


def test_a_gradient_lost_outside_the_graph_is_explained() -> None:
    with pytest.raises(tg.GradcheckError, match=r"does not depend on it in the graph \(was it detached"):
        tg.gradcheck(lambda x: tg.tensor(x.data) * 2.0, np.array([1.0]))
    with pytest.raises(tg.GradcheckError, match="does not depend on it in the graph"):
        tg.gradcheck(lambda x, y: x.detach() * y, [np.array([1.0]), np.array([2.0])])


def test_a_cut_on_the_way_shows_the_chain() -> None:
    with pytest.raises(tg.GradcheckError, match="along parameter -> stop_gradient -> multiply -> ") as caught:
        tg.gradcheck(lambda x: tg.stop_gradient(x) * 2.0, np.array([1.0]))
    assert caught.value.analytic == 0.0

    def long(x: Any) -> Any:
        for _ in range(20):
            x = tg.identity(x)
        return tg.stop_gradient(x)

    with pytest.raises(tg.GradcheckError, match=r"identity -> \.\.\. -> "):
        tg.gradcheck(long, np.array([1.0]))


def test_a_kink_is_told_from_a_wrong_rule() -> None:
    with pytest.raises(tg.GradcheckError, match=r"has a kink here: slope .* to the left, .* to the right"):
        tg.gradcheck(lambda x: tg.relu(x), np.array([0.0]))


def test_a_complex_step_where_every_operation_allows_it() -> None:
    """Exact to rounding: passes at tolerances that no difference quotient meets."""
    assert tg.gradcheck(lambda x: tg.exp(tg.sin(x)) / x, X, rtol=1e-13, atol=1e-15)
    with pytest.raises(tg.GradcheckError):
        tg.gradcheck(lambda x: tg.exp(tg.sin(x)) / tg.abs(x), X, rtol=1e-13, atol=1e-15)


def test_every_element_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    def rule(g: Any, y: Any, x: Any) -> Any:
        wrong = np.ones(x.shape)
        wrong[-1, -1] = 1.001
        return g * tg.cos(x) * wrong

    monkeypatch.setattr(tg.sin, "rules", (rule,))
    with pytest.raises(tg.GradcheckError) as caught:
        tg.gradcheck(tg.sin, X)
    assert caught.value.index == (1, 1)


@pytest.mark.parametrize("check", [tg.gradcheck, tg.gradgradcheck])
def test_bad_arguments_are_explained(check: Any) -> None:
    with pytest.raises(ValueError, match="gradcheck: input 0 is float32; differences need float64"):
        check(tg.tanh, X.astype(np.float32))
    with pytest.raises(ValueError, match="gradcheck: eps must be positive, got 0"):
        check(tg.tanh, X, eps=0)
    with pytest.raises(TypeError, match="gradcheck: fn must return Tensors, got float"):
        check(lambda x: 3.0, X)
    with pytest.raises(TypeError, match="gradcheck: fn must return Tensors, got list"):
        check(lambda x: [x, 1.0], X)
    with pytest.raises(TypeError, match="gradcheck: fn returned no outputs"):
        check(lambda x: [], X)


def test_inputs_are_not_written_to() -> None:
    x = X.copy()
    x.flags.writeable = False
    tg.gradcheck(tg.tanh, x)
    t = tg.tensor(X, requires_grad=True)
    tg.gradcheck(tg.tanh, t)
    assert t.grad is None and re.match("tensor", repr(t))
    np.testing.assert_array_equal(t.data, X)


def test_atol_decides_where_the_derivative_is_next_to_nothing() -> None:
    """|analytic - numerical| <= atol + rtol |numerical|: where the numerical one is 0, atol alone is left."""

    @tg.elementwise(lambda g, y, x: g * 3e-9, analytic=False)
    def nearly_flat(x: Any) -> Any:
        return 0.0 * x

    tg.PRIMITIVES.pop("nearly_flat")
    x = np.array([0.5])
    assert tg.gradcheck(nearly_flat, x)  # 3e-9 times a cotangent of at most 1.5 is below the 1e-8 that is the default
    assert tg.gradcheck(nearly_flat, x, atol=1e-8)
    for atol in (1e-10, 0.0):
        with pytest.raises(tg.GradcheckError):
            tg.gradcheck(nearly_flat, x, atol=atol)

    @tg.elementwise(lambda g, y, x: g * 3e-8, analytic=False)
    def less_flat(x: Any) -> Any:
        return 0.0 * x

    tg.PRIMITIVES.pop("less_flat")
    with pytest.raises(tg.GradcheckError):
        tg.gradcheck(less_flat, x)
    assert tg.gradcheck(less_flat, x, atol=1e-7)

"""Every declared primitive, whatever it is: the tests run over the registry and draw from `strategies`."""

from __future__ import annotations

import inspect
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tests.strategies import FEW, Call, arguments_of, calls, cotangents, positive, shapes, values
from tinygrad_rnn.autodiff.cotangent import dense

EVERY = sorted(tg.PRIMITIVES)
DIFFERENTIABLE = [name for name in EVERY if tg.PRIMITIVES[name].differentiable]
ANALYTIC = [name for name in DIFFERENTIABLE if tg.PRIMITIVES[name].analytic and name != "astype"]
PAIRS = [name for name in DIFFERENTIABLE if tg.PRIMITIVES[name].elementwise and tg.PRIMITIVES[name].arity > 1]

each = pytest.mark.parametrize("name", EVERY)
each_differentiable = pytest.mark.parametrize("name", DIFFERENTIABLE)


def recorded(call: Call) -> tuple[tg.Tensor, list[tg.Tensor]]:
    """The call on Tensors wherever it has a derivative, and those Tensors."""
    leaves = [tg.tensor(x, requires_grad=True) for x in call.smooth_operands]
    return call.of_smooth(*leaves), leaves


def gradients(call: Call, cotangent: Any) -> list[Any]:
    out, leaves = recorded(call)
    return [g.data for g in tg.grad(out, leaves, cotangent)]


# --------------------------------------------------------------------------------------- the registry


@each
def test_arguments_can_be_drawn_for_every_primitive(name: str) -> None:
    arguments_of(tg.PRIMITIVES[name])


def test_a_primitive_without_arguments_to_draw_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(tg.PRIMITIVES, "oddity", None)  # undone afterwards

    @tg.primitive(lambda g, y, x, knob: g)
    def oddity(x: Any, knob: int) -> Any:
        return x

    with pytest.raises(LookupError, match=r"primitive oddity\(x: .*, knob: .*\).*: add a line to ARGUMENTS"):
        arguments_of(oddity)


def test_the_public_primitives_are_all_there() -> None:
    named = [
        "add",
        "subtract",
        "multiply",
        "divide",
        "negative",
        "power",
        "matmul",
        "exp",
        "log",
        "log1p",
        "expm1",
        "sqrt",
        "square",
        "abs",
        "sin",
        "cos",
        "tanh",
        "sigmoid",
        "relu",
        "softplus",
        "maximum",
        "minimum",
        "where",
        "clip",
        "sum",
        "mean",
        "max",
        "min",
        "prod",
        "cumsum",
        "logsumexp",
        "softmax",
        "log_softmax",
        "concatenate",
        "stack",
        "split",
        "reshape",
        "transpose",
        "swapaxes",
        "expand_dims",
        "squeeze",
        "broadcast_to",
        "take",
        "pad",
        "einsum",
        "flip",
    ]
    assert [name for name in named if not callable(getattr(tg, name, None))] == []


# ---------------------------------------------------------------------------------- values and types


@each
@given(data=st.data())
def test_tensors_and_arrays_give_the_same_numbers(name: str, data: st.DataObject) -> None:
    call = data.draw(calls(name))
    plain = call(*call.operands)
    assert isinstance(plain, (np.ndarray, np.generic)), "arrays in, an array out: nothing is recorded"
    kinds = [tg.tensor(x, dtype=x.dtype) for x in call.operands]
    out = call(*kinds)
    assert isinstance(out, tg.Tensor) and out.op is call.op
    np.testing.assert_array_equal(out.data, plain)
    assert out.shape == np.shape(plain) and out.dtype == np.asarray(plain).dtype


@each
@given(data=st.data())
def test_float32_stays_float32(name: str, data: st.DataObject) -> None:
    call = data.draw(calls(name))
    attributes = call.attributes | ({"dtype": np.dtype(np.float32)} if name == "astype" else {})
    operands = [x.astype(np.float32) if x.dtype == np.float64 else x for x in call.operands]
    single = Call(call.op, tuple(operands), attributes)
    out, leaves = recorded(single) if single.smooth else (single(*map(np.asarray, operands)), [])
    double = np.asarray(call(*call.operands)).dtype
    assert out.dtype == (np.float32 if double == np.float64 else double), "truth values and places stay what they are"
    if not leaves:
        return
    cotangent = np.ones(out.shape, np.float32)
    for gradient in tg.grad(out, leaves, cotangent):
        assert gradient.dtype == np.float32
    rules = call.op.rules
    if call.op.variadic:
        parts = list(rules[0](cotangent, out.data, *operands, **attributes))
    else:
        parts = [rule(cotangent, out.data, *operands, **attributes) for rule in rules if rule is not None]
    assert {np.asarray(dense(part)).dtype for part in parts} <= {np.dtype(np.float32)}, "a rule computes in float64"


@each_differentiable
@given(data=st.data())
def test_the_dtype_of_an_operand_is_the_dtype_of_its_gradient(name: str, data: st.DataObject) -> None:
    call = data.draw(calls(name))
    mixed = [x.astype(np.float32) if k in call.smooth[1::2] else x for k, x in enumerate(call.operands)]
    out, leaves = recorded(Call(call.op, tuple(mixed), call.attributes))
    for gradient, leaf in zip(tg.grad(out, leaves, np.ones(out.shape)), leaves, strict=True):
        assert gradient.dtype == leaf.dtype and gradient.shape == leaf.shape


# ------------------------------------------------------------------------------------- the VJP rules


@each_differentiable
@given(data=st.data())
def test_first_order(name: str, data: st.DataObject) -> None:
    call = data.draw(calls(name))
    assert tg.gradcheck(call.of_smooth, call.smooth_operands)


@each_differentiable
@FEW
@given(data=st.data())
def test_second_order(name: str, data: st.DataObject) -> None:
    call = data.draw(calls(name))
    assert tg.gradgradcheck(call.of_smooth, call.smooth_operands)


@pytest.mark.parametrize("name", ANALYTIC)
@given(data=st.data())
def test_complex_step_agrees_with_central_differences(name: str, data: st.DataObject) -> None:
    """What makes the complex step in `gradcheck` a reference at all."""
    call = data.draw(calls(name))
    points = call.smooth_operands
    directions = [data.draw(values(x.shape)) for x in points]

    def along(step: complex) -> Any:
        return np.asarray(call.of_smooth(*[x + step * v for x, v in zip(points, directions, strict=True)]))

    exact = along(1e-30j).imag / 1e-30
    central = (along(1e-6) - along(-1e-6)).real / 2e-6
    np.testing.assert_allclose(exact, central, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", [name for name in EVERY if tg.PRIMITIVES[name].analytic])
@FEW
@given(data=st.data())
def test_complex_numbers_may_stand_in_any_one_operand_of_what_is_analytic(name: str, data: st.DataObject) -> None:
    """As the complex step has them: real numbers beside one operand that is complex."""
    call = data.draw(calls(name))
    expected = np.asarray(call(*call.operands))
    for k, x in enumerate(call.operands):
        if x.dtype != np.float64:
            continue
        found = np.asarray(call(*call.operands[:k], x + 0j, *call.operands[k + 1 :]))
        assert found.dtype == complex or k not in call.smooth
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "name", [name for name in EVERY if tg.PRIMITIVES[name].kind == "comparison" and tg.PRIMITIVES[name].arity == 1]
)
def test_steps_do_not_disturb_a_gradient_check(name: str) -> None:
    """Between its jumps the derivative is 0, for a complex step, too."""
    assert tg.gradcheck(lambda x: x * tg.PRIMITIVES[name](x), np.array([0.3, -1.7, 2.6]))


@each_differentiable
@given(data=st.data())
def test_the_transpose_of_the_transpose_is_the_derivative(name: str, data: st.DataObject) -> None:
    """A VJP is linear in the cotangent; its own VJP is therefore the JVP: <g, J v> = <J'g, v>."""
    call = data.draw(calls(name))
    out, leaves = recorded(call)
    g = tg.tensor(data.draw(cotangents(out.shape)), requires_grad=True)
    tangents = [data.draw(cotangents(x.shape)) for x in leaves]
    pulled = tg.grad(out, leaves, g, create_graph=True)
    product = sum(((tg.sum(p * v)) for p, v in zip(pulled, tangents, strict=True)), start=tg.tensor(0.0))
    (pushed,) = tg.grad(product, g)
    step = 1e-6
    ends = [
        np.asarray(call.of_smooth(*[x.data + s * v for x, v in zip(leaves, tangents, strict=True)]))
        for s in (step, -step)
    ]
    np.testing.assert_allclose(pushed.data, (ends[0] - ends[1]) / (2 * step), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(product.data, np.sum(g.data * pushed.data), rtol=1e-12, atol=1e-12)


@each_differentiable
@given(data=st.data())
def test_the_sweep_is_linear_in_the_cotangent(name: str, data: st.DataObject) -> None:
    call = data.draw(calls(name))
    shape = np.shape(call(*call.operands))
    one, other = data.draw(values(shape)), data.draw(values(shape))
    together = gradients(call, 2.0 * one - 3.0 * other)
    apart = zip(gradients(call, one), gradients(call, other), strict=True)
    for whole, (left, right) in zip(together, apart, strict=True):
        np.testing.assert_allclose(whole, 2.0 * left - 3.0 * right, rtol=1e-12, atol=1e-10)


def test_rules_have_the_defaults_of_their_forward() -> None:
    """What a call leaves out means the same on the way back."""
    compared = 0
    for op in tg.PRIMITIVES.values():
        for rule in filter(None, op.rules):
            for name, parameter in inspect.signature(rule).parameters.items():
                if parameter.default is not inspect.Parameter.empty:
                    assert parameter.default == op.signature.parameters[name].default, f"{op}: {name}"
                    compared += 1
    assert compared > 10


@pytest.mark.parametrize("name", PAIRS)
@given(data=st.data())
def test_an_operand_used_twice_gets_both_shares(name: str, data: st.DataObject) -> None:
    op = tg.PRIMITIVES[name]
    x = data.draw(positive(data.draw(shapes(max_dims=2))))
    assert tg.gradcheck(lambda t: op(*[t] * op.arity), x)
    leaf = tg.tensor(x, requires_grad=True)
    apart = [tg.tensor(x, requires_grad=True) for _ in range(op.arity)]
    (together,) = tg.grad(op(*[leaf] * op.arity), leaf, np.ones(x.shape))
    shares = tg.grad(op(*apart), apart, np.ones(x.shape))
    np.testing.assert_allclose(together.data, sum(s.data for s in shares), rtol=1e-12)


@pytest.mark.parametrize(
    "square",
    [
        lambda x: x @ x,
        lambda x: x @ x.T,
        lambda x: tg.concatenate([x, x, x], axis=1),
        lambda x: tg.stack([x, x], axis=-1),
        lambda x: tg.einsum("ab,bc,cd->ad", x, x, x),
        lambda x: tg.where(np.eye(2, dtype=bool), x, x) * x,
        lambda x: tg.take(x, [0, 0, 1, 0], axis=0) * x[0],
        lambda x: x[[0, 0]] * x[:, 0] + x[::-1],
    ],
)
def test_one_tensor_in_every_place(square: Any) -> None:
    x = np.array([[0.3, -1.1], [0.7, 0.45]])
    assert tg.gradcheck(square, x)
    assert tg.gradgradcheck(square, x)


@each_differentiable
@given(data=st.data())
def test_jacobian_is_the_stack_of_gradients(name: str, data: st.DataObject) -> None:
    call = data.draw(calls(name))
    out, leaves = recorded(call)
    for leaf in leaves:
        jacobian = tg.jacobian(out, leaf)
        assert jacobian.shape == out.shape + leaf.shape and jacobian.dtype == leaf.dtype
        for index in np.ndindex(*out.shape):
            one = np.zeros(out.shape)
            one[index] = 1.0
            (row,) = tg.grad(out, leaf, one)
            np.testing.assert_allclose(jacobian[index], row.data, rtol=1e-12, atol=1e-12)


# ------------------------------------------------------------------------------------ no hidden ties


def scribble(value: Any) -> None:
    """Overwrite whatever of `value` can be written to."""
    if isinstance(value, np.ndarray):
        value[...] = ~value if value.dtype == np.bool_ else 0 if value.dtype.kind in "iu" else 77.0
    elif isinstance(value, list):
        value[:] = [(9, 9) if isinstance(item, tuple) else 9 for item in value]
    elif isinstance(value, tuple):
        for item in value:
            scribble(item)


@each_differentiable
@given(data=st.data())
def test_writing_to_the_callers_arrays_afterwards_changes_nothing(name: str, data: st.DataObject) -> None:
    call = data.draw(calls(name))
    expected = gradients(call, np.ones(np.shape(call(*call.operands))))
    for position, k in enumerate(call.smooth):
        arrays = [np.array(x) for x in call.operands]
        attributes = {key: _writable(value) for key, value in call.attributes.items()}
        leaf = tg.tensor(arrays[k], requires_grad=True)
        out = call.op(*arrays[:k], leaf, *arrays[k + 1 :], **attributes)
        before = np.array(out.data)
        cotangent = np.ones(out.shape)
        scribble(tuple(arrays))
        scribble(tuple(attributes.values()))
        np.testing.assert_array_equal(out.data, before)
        (gradient,) = tg.grad(out, leaf, cotangent)
        np.testing.assert_array_equal(gradient.data, expected[position])


def _writable(value: Any) -> Any:
    """Axes, shapes and widths as lists, where NumPy takes lists; index arrays copied."""
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, tuple) and any(isinstance(item, np.ndarray) for item in value):
        return tuple(_writable(item) for item in value)
    return list(value) if isinstance(value, list) else value


@each
@given(data=st.data())
def test_operands_are_never_written_to(name: str, data: st.DataObject) -> None:
    call = data.draw(calls(name))
    before = [x.copy() for x in call.operands]
    for x in call.operands:
        x.flags.writeable = False
    out, leaves = recorded(call)
    if leaves:
        tg.grad(out, leaves, np.ones(out.shape))
    for x, old in zip(call.operands, before, strict=True):
        np.testing.assert_array_equal(x, old)


# ----------------------------------------------------------- conventions at kinks, poles and extremes


def slope(fn: Any, x: Any) -> Any:
    leaf = tg.tensor(x, requires_grad=True)
    (g,) = tg.grad(tg.sum(fn(leaf)), leaf)
    return g.data.tolist()


def test_conventions_at_kinks() -> None:
    assert slope(tg.relu, [0.0, -0.0]) == [0.0, 0.0]
    assert slope(tg.abs, [0.0]) == [0.0]
    assert slope(lambda x: tg.maximum(x, 0.0), [0.0]) == [0.5]
    assert slope(lambda x: tg.minimum(x, [1.0, 2.0]), [1.0, 1.0]) == [0.5, 1.0]
    assert slope(tg.max, [1.0, 3.0, 3.0, 0.0]) == [0.0, 0.5, 0.5, 0.0]
    assert slope(lambda x: tg.min(x, axis=1), [[1.0, 1.0], [2.0, 5.0]]) == [[0.5, 0.5], [1.0, 0.0]]
    assert slope(lambda x: tg.clip(x, -1.0, 1.0), [-2.0, 0.5, 2.0]) == [0.0, 1.0, 0.0]


def test_at_a_tie_the_shares_are_what_differences_see() -> None:
    """Which a complex step, to one side, would not."""
    pair = np.array([1.0, 1.0])
    assert tg.gradcheck(tg.maximum, [pair, pair]) and tg.gradcheck(tg.minimum, [pair, pair])
    assert tg.gradcheck(tg.max, pair) and tg.gradcheck(tg.min, pair) and tg.gradcheck(tg.abs, 0.0 * pair)


def test_products_with_zeros() -> None:
    assert slope(tg.prod, [0.0, 2.0, 3.0]) == [6.0, 0.0, 0.0]
    assert slope(tg.prod, [0.0, 0.0, 3.0]) == [0.0, 0.0, 0.0]
    assert slope(tg.prod, []) == []


@pytest.mark.parametrize("zeros", range(4))
@pytest.mark.parametrize("n", [1, 2, 3, 5, 8])
def test_a_product_with_zeros_is_pytorchs_to_second_order(n: int, zeros: int, torch: Any) -> None:
    rng = np.random.default_rng(10 * n + zeros)
    x, v = rng.normal(size=(2, n)), rng.normal(size=(2, n))
    x[0, rng.permutation(n)[:zeros]] = 0.0
    leaf, twin = tg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    (ours,) = tg.grad((tg.prod(leaf, axis=1) ** 2 + 3.0 * tg.prod(leaf, axis=1)).sum(), [leaf], create_graph=True)
    product = twin.cumprod(1)[:, -1]
    (theirs,) = torch.autograd.grad((product**2 + 3.0 * product).sum(), twin, create_graph=True)
    np.testing.assert_allclose(ours.data, theirs.detach(), rtol=1e-12, atol=1e-12)
    (again,) = tg.grad((ours * v).sum(), [leaf])
    (reference,) = torch.autograd.grad((theirs * torch.tensor(v)).sum(), twin, allow_unused=True)
    np.testing.assert_allclose(again.data, np.zeros_like(x) if reference is None else reference, rtol=1e-12, atol=1e-12)


def test_the_gradient_of_a_product_takes_memory_for_its_factors_not_for_their_pairs() -> None:
    x = tg.tensor(np.random.default_rng(0).uniform(0.9, 1.1, 5000), requires_grad=True)
    product = tg.prod(x)
    tracemalloc.start()
    (gradient,) = tg.grad(product, [x], create_graph=True)
    tg.grad((gradient * gradient).sum(), [x])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200 * x.data.nbytes, "a pair of factors each would take 5000 times as much"
    np.testing.assert_allclose(gradient.data, product.data / x.data, rtol=1e-9)


def test_powers_at_and_below_zero() -> None:
    assert slope(lambda x: x**3, [-2.0, 0.0]) == [12.0, 0.0]
    assert slope(lambda x: x**0, [0.0, -1.0]) == [0.0, 0.0]
    assert slope(lambda x: x**1, [0.0]) == [1.0]
    assert slope(lambda x: x**2, [0.0, -3.0]) == [0.0, -6.0]
    assert slope(lambda x: x**-1.0, [-2.0]) == [-0.25]
    assert slope(lambda y: tg.power(0.0, y), [2.0]) == [0.0]


def test_extreme_values_neither_overflow_nor_lose_the_slope() -> None:
    far = [-1e4, -800.0, 800.0, 1e4]
    tiny = np.finfo(float).tiny  # what underflows may come out as a subnormal number or as 0
    np.testing.assert_allclose(slope(tg.sigmoid, far), [0.0] * 4, rtol=0, atol=tiny)
    np.testing.assert_allclose(tg.sigmoid(np.array(far)), [0.0, 0.0, 1.0, 1.0], rtol=0, atol=tiny)
    np.testing.assert_allclose(slope(tg.softplus, far), [0.0, 0.0, 1.0, 1.0], rtol=0, atol=tiny)
    assert slope(tg.tanh, far) == [0.0] * 4
    assert tg.softplus(np.array(far)).tolist() == [0.0, 0.0, 800.0, 1e4]
    assert slope(tg.logsumexp, [1e4, 0.0]) == [1.0, 0.0]
    assert tg.logsumexp(np.array([1e4, 1e4])) == 1e4 + np.log(2.0)
    assert tg.logsumexp(np.array([-np.inf, -np.inf])) == -np.inf
    np.testing.assert_allclose(tg.sigmoid(np.array([-40.0])), np.exp(-40.0), rtol=1e-14)
    assert 0.0 <= tg.sigmoid(np.float32(-200.0)) < np.finfo(np.float32).tiny
    assert tg.expm1(np.array(1e-20)) == tg.log1p(np.array(1e-20)) == 1e-20


def test_comparisons_are_boolean_and_pass_no_gradient() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    for op in (tg.greater, tg.greater_equal, tg.less, tg.less_equal, tg.equal, tg.not_equal):
        mask = op(x, 1.5)
        assert mask.dtype == np.bool_ and not mask.requires_grad
    assert ((x > 1.5).data.tolist(), (x <= 1.0).data.tolist()) == ([False, True], [True, False])
    with pytest.raises(ValueError, match="nothing in this value's graph requires a gradient"):
        tg.sum(tg.astype(x > 1.0, np.dtype(float))).backward()


def test_stop_gradient_and_identity() -> None:
    assert slope(lambda x: x * tg.stop_gradient(x), [3.0]) == [3.0]
    assert slope(lambda x: x * tg.identity(x), [3.0]) == [6.0]


# -------------------------------------------------------------------------------- the tests can fail


def wrong(op: tg.Primitive, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every rule of `op` too large by 0.1 %."""

    def spoilt(rule: Any) -> Any:
        if rule is None:
            return None
        if op.variadic:
            return lambda *args, **attributes: (dense(part) * 1.001 for part in rule(*args, **attributes))
        return lambda *args, **attributes: dense(rule(*args, **attributes)) * 1.001

    monkeypatch.setattr(op, "rules", tuple(map(spoilt, op.rules)))


@each_differentiable
@FEW
@given(data=st.data())
def test_a_rule_wrong_by_a_thousandth_is_caught(name: str, data: st.DataObject) -> None:
    call = data.draw(calls(name))
    out, leaves = recorded(call)
    noticeable = [np.any(np.abs(g.data) > 1e-3) for g in tg.grad(out, leaves, np.ones(out.shape))]
    # a cotangent of ones may cancel what the checker's own would show, never the other way round here
    if not any(noticeable):
        return
    with pytest.MonkeyPatch.context() as patch:
        wrong(call.op, patch)
        with pytest.raises(tg.GradcheckError):
            tg.gradcheck(call.of_smooth, call.smooth_operands)

"""Declaring a primitive, and calling one wrongly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tests.strategies import calls


@pytest.mark.parametrize(
    "name", [*tg.PRIMITIVES, "apply", "constant", "input", "mean", "number", "parameter", "symbol"]
)
def test_an_operation_of_ones_own_has_no_name_of_the_librarys(name: str) -> None:
    def forward(x: Any) -> Any:
        return x

    forward.__name__ = name
    assert tg.Primitive(forward, ()).name == f"custom_{name}" not in tg.PRIMITIVES


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Primitives declared in the test are forgotten afterwards."""
    for name in ("cube", "mix", "shift"):
        monkeypatch.setitem(tg.PRIMITIVES, name, None)


def test_a_primitive_in_five_lines(registry: None) -> None:
    @tg.elementwise(lambda g, y, x: g * 3.0 * x * x)
    def cube(x: Any) -> Any:
        """Third power, elementwise."""
        return x * x * x

    assert tg.PRIMITIVES["cube"] is cube and cube.__doc__ == "Third power, elementwise."
    x = np.array([1.0, -2.0])
    np.testing.assert_array_equal(cube(x), x**3)
    assert tg.gradcheck(cube, x) and tg.gradgradcheck(cube, x)
    t = tg.tensor(x, requires_grad=True)
    np.testing.assert_array_equal(tg.jacobian(cube(t), t), np.diag(3 * x**2))
    assert [n.op for n in tg.Graph(cube(t))] == ["parameter", "cube"]
    assert [out.item() for out in tg.Graph(cube(t)).to_scalars().outputs] == [1.0, -8.0]


def test_a_variadic_primitive_with_attributes(registry: None) -> None:
    def rule(g: Any, y: Any, *operands: Any, scale: float) -> Any:
        for _ in operands:
            yield g * scale

    @tg.variadic(rule)
    def mix(*operands: Any, scale: float) -> Any:
        return scale * sum(operands[1:], start=operands[0])

    assert tg.gradcheck(lambda a, b, c: mix(a, b, a, c, scale=2.0), [np.ones(2)] * 3)


def test_attributes_come_by_position_or_by_name(registry: None) -> None:
    @tg.primitive(lambda g, y, x, by=1.0, sign=1.0: g * sign)
    def shift(x: Any, by: float = 1.0, sign: float = 1.0) -> Any:
        return sign * x + by

    x = tg.tensor(2.0)
    for out, attributes in (
        (shift(x), {}),
        (shift(x, 3.0), {"by": 3.0}),
        (shift(x, sign=-1.0), {"sign": -1.0}),
        (shift(x, 3.0, -1.0), {"by": 3.0, "sign": -1.0}),
        (shift(x=x, by=3.0), {"by": 3.0}),
    ):
        assert out.attributes == attributes and list(out.inputs) == [x]
        assert tg.grad(out, x)[0].item() == attributes.get("sign", 1.0)
    assert (shift.arity, shift.attributes, repr(shift)) == (1, ("by", "sign"), "<primitive shift>")


def test_more_rules_than_operands_are_refused(registry: None) -> None:
    before = dict(tg.PRIMITIVES)
    with pytest.raises(TypeError, match=r"cube: 2 rules for 1 parameter$"):

        @tg.elementwise(None, None)
        def cube(x: Any) -> Any:
            return x

    assert before == tg.PRIMITIVES


def test_traits_have_defaults_and_unknown_kinds_are_refused(registry: None) -> None:
    """By them drawings and analyses know what an operation does."""

    @tg.elementwise(lambda g, y, x: 3.0 * g * x * x)
    def cube(x: Any) -> Any:
        return x**3

    assert (cube.kind, cube.activation, cube.bounds, cube.commutative) == ("nonlinear", True, None, False)
    activations = {name for name, op in tg.PRIMITIVES.items() if op is not None and op.activation}
    assert {"tanh", "sigmoid", "relu", "softplus", "exp", "sin", "abs", "cube"} <= activations
    assert activations.isdisjoint(
        {"maximum", "power", "add", "negative", "sign", "sum", "transpose", "identity", "stop_gradient", "astype"}
    )
    assert {op.kind for op in map(tg.PRIMITIVES.get, ("greater", "sign", "equal")) if op is not None} == {"comparison"}
    with pytest.raises(ValueError, match=r"mix: kind must be one of nonlinear, sum, .*, got 'linear'"):

        @tg.elementwise(lambda g, y, x: g, kind="linear")
        def mix(x: Any) -> Any:
            return x


ELEMENTWISE = [name for name, op in sorted(tg.PRIMITIVES.items()) if op.elementwise and not op.attributes]


@pytest.mark.parametrize("name", [name for name in ELEMENTWISE if tg.PRIMITIVES[name].arity == 2])
def test_commutative_is_what_may_change_places(name: str) -> None:
    op = tg.PRIMITIVES[name]
    x, y = np.random.default_rng(0).normal(scale=0.5, size=(2, 999)).round(1)
    with np.errstate(all="ignore"):
        assert op.commutative == np.array_equal(op(x, y), op(y, x), equal_nan=True)


@pytest.mark.parametrize("name", [name for name in ELEMENTWISE if tg.PRIMITIVES[name].bounds is not None])
def test_bounds_are_reached_and_not_passed(name: str) -> None:
    op = tg.PRIMITIVES[name]
    (low, high), values = op.bounds, op(np.linspace(-60.0, 60.0, 999))
    assert low <= values.min() < low + 0.05 and (
        values.max() > 50.0 if high == np.inf else high - 0.05 < values.max() <= high
    )


A = np.ones((2, 3))


def test_an_omitted_attribute_costs_none_of_the_others() -> None:
    for x in (A, tg.tensor(A)):
        assert tg.sum(x=x, keepdims=True).shape == tg.max(keepdims=True, x=x).shape == (1, 1)


BAD_CALLS: list[tuple[Any, Any, str]] = [
    (lambda x: tg.add(x), TypeError, "add: missing a required argument: 'y'"),
    (lambda x: tg.tanh(), TypeError, "tanh: missing a required argument: 'x'"),
    (lambda x: tg.tanh(x, 1), TypeError, "tanh: too many positional arguments"),
    (lambda x: tg.tanh(x, axis=1), TypeError, "tanh.*axis"),
    (lambda x: tg.sum(x, 0, False, 3), TypeError, "sum: too many positional arguments"),
    (lambda x: tg.sum(x, axes=0), TypeError, "sum.*axes"),
    (lambda x: tg.add(x, np.ones(2)), ValueError, r"add\(shapes \(2, 3\), \(2,\)\)"),
    (lambda x: tg.multiply(np.ones((3, 2)), x), ValueError, r"multiply\(shapes \(3, 2\), \(2, 3\)\)"),
    (lambda x: tg.maximum(x, np.ones(4)), ValueError, r"maximum\(shapes \(2, 3\), \(4,\)\)"),
    (lambda x: tg.where(np.ones(2, bool), x, 0.0), ValueError, r"where\(shapes \(2,\), \(2, 3\), \(\)\)"),
    (lambda x: tg.matmul(x, x), ValueError, r"matmul\(shapes \(2, 3\), \(2, 3\)\)"),
    (lambda x: tg.matmul(x, 2.0), ValueError, r"matmul\(shapes \(2, 3\), \(\)\)"),
    (lambda x: tg.reshape(x, (4,)), ValueError, r"reshape\(shapes \(2, 3\), shape=\(4,\)\)"),
    (lambda x: tg.reshape(x, (-1, -1)), ValueError, r"reshape\(shapes \(2, 3\), shape=\(-1, -1\)\)"),
    (lambda x: tg.transpose(x, (0, 0)), ValueError, r"transpose\(shapes \(2, 3\), axes=\(0, 0\)\)"),
    (lambda x: tg.transpose(x, (0,)), ValueError, r"transpose\(shapes \(2, 3\), axes=\(0,\)\)"),
    (lambda x: tg.broadcast_to(x, (3, 3)), ValueError, r"broadcast_to\(shapes \(2, 3\), shape=\(3, 3\)\)"),
    (lambda x: tg.sum(x, axis=2), ValueError, r"sum\(shapes \(2, 3\), axis=2"),
    (lambda x: tg.sum(x, axis=(0, 0)), ValueError, r"sum\(shapes \(2, 3\), axis=\(0, 0\)"),
    (lambda x: tg.max(x, axis=-3), ValueError, r"max\(shapes \(2, 3\), axis=-3"),
    (lambda x: tg.max(tg.reshape(x[:0], (-1,))), ValueError, r"max\(shapes \(0,\)"),
    (lambda x: tg.log_softmax(x, axis=5), ValueError, r"log_softmax\(shapes \(2, 3\), axis=5"),
    (lambda x: tg.logsumexp(x, axis=5), ValueError, r"logsumexp\(shapes \(2, 3\), axis=5"),
    (lambda x: tg.cumsum(x, axis=2), ValueError, r"cumsum\(shapes \(2, 3\), axis=2\)"),
    (lambda x: tg.flip(x, 3), ValueError, r"flip\(shapes \(2, 3\), axis=3\)"),
    (lambda x: tg.pad(x, -1), ValueError, r"pad\(shapes \(2, 3\), pad_width=-1,"),
    (lambda x: tg.pad(x, [(1, 1)] * 3), ValueError, r"pad\(shapes \(2, 3\)"),
    (lambda x: tg.take(x, [3], axis=1), IndexError, r"take\(shapes \(2, 3\), \(1,\), axis=1\)"),
    (lambda x: tg.take(x, [0.5]), TypeError, r"take\(shapes \(2, 3\), \(1,\)\)"),
    (lambda x: tg.getitem(x, (0, 0, 0)), IndexError, r"getitem\(shapes \(2, 3\), index=\(0, 0, 0\)\)"),
    (lambda x: tg.getitem(x, "h"), IndexError, r"getitem\(shapes \(2, 3\), index='h'\)"),
    (lambda x: tg.scatter(x, (slice(0, 1),), (5, 3)), ValueError, r"scatter\(shapes \(2, 3\)"),
    (lambda x: tg.astype(x, "nonsense"), TypeError, r"astype\(shapes \(2, 3\), dtype='nonsense'\)"),
    (lambda x: tg.min(x, axis=2), ValueError, r"min\(shapes \(2, 3\), axis=2"),
    (lambda x: tg.prod(x, axis=2), ValueError, r"prod\(shapes \(2, 3\), axis=2"),
    (lambda x: tg.all(x, axis=2), ValueError, r"all\(shapes \(2, 3\), axis=2"),
    (lambda x: tg.any(x, axis=-3), ValueError, r"any\(shapes \(2, 3\), axis=-3"),
    (lambda x: tg.argmax(x, axis=2), ValueError, r"argmax\(shapes \(2, 3\), axis=2"),
    (lambda x: tg.argmin(x[:, :0], axis=1), ValueError, r"argmin\(shapes \(2, 0\), axis=1"),
    (lambda x: tg.argsort(x, axis=2), ValueError, r"argsort\(shapes \(2, 3\), axis=2"),
    (
        lambda x: tg.PRIMITIVES["concatenate"](x, np.ones((3, 3)), axis=1),
        ValueError,
        r"concatenate\(shapes \(2, 3\), \(3, 3\), axis=1\)",
    ),
    (
        lambda x: tg.PRIMITIVES["stack"](x, np.ones((3, 3)), axis=0),
        ValueError,
        r"stack\(shapes \(2, 3\), \(3, 3\), axis=0\)",
    ),
    (
        lambda x: tg.PRIMITIVES["einsum"](x, x, subscripts="ab,bc->ac"),
        ValueError,
        r"einsum\(shapes \(2, 3\), \(2, 3\), subscripts=",
    ),
    (lambda x: tg.take_along_axis(x, [[9]], 1), IndexError, r"take_along_axis\(shapes \(2, 3\), \(1, 1\)"),
    (
        lambda x: tg.PRIMITIVES["scatter_along_axis"](x, np.zeros((2, 1), int), 2, 1),
        (ValueError, IndexError),
        r"scatter_along_axis\(shapes",
    ),
    (lambda x: tg.sum(x, axis="time"), TypeError, r"sum\(shapes \(2, 3\), axis='time'\)"),
    (lambda x: tg.reshape(x, "ab"), TypeError, r"reshape\(shapes \(2, 3\), shape='ab'\)"),
]


@pytest.mark.parametrize(("call", "error", "message"), BAD_CALLS, ids=[m for _, _, m in BAD_CALLS])
@pytest.mark.parametrize("kind", [np.asarray, tg.tensor], ids=["array", "tensor"])
def test_bad_calls_name_the_operation_and_the_shapes(call: Any, error: Any, message: str, kind: Any) -> None:
    with pytest.raises(error, match=message):
        call(kind(A))


# ----------------------------------------------------------------- wrong operands, by the registry

NAMES = sorted(tg.PRIMITIVES)
WRONG = ("text", b"text", None, object(), [None], {}, np.array(["text"]), [[1.0], [1.0, 2.0]])


def names_it(name: str, call: Any) -> None:
    """It fails, and the error begins with the name of the operation."""
    with pytest.raises((TypeError, ValueError, IndexError), match=rf"^{name}\b"):
        call()


@pytest.mark.parametrize("name", NAMES)
def test_too_few_operands(name: str) -> None:
    op = tg.PRIMITIVES[name]
    for x in (A, tg.tensor(A)):
        names_it(name, lambda x=x: op(*[x] * (op.arity - 1)))
    if op.variadic:
        names_it(name, op)


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_operands_that_are_no_numbers(name: str, data: st.DataObject) -> None:
    call = data.draw(calls(name))
    kind = data.draw(st.sampled_from([np.asarray, tg.tensor]))
    for k in range(len(call.operands)):
        for wrong in WRONG:
            operands = [kind(x) for x in call.operands]
            operands[k] = wrong
            names_it(name, lambda operands=operands: call(*operands))


SHAPED = {name for name in NAMES if tg.PRIMITIVES[name].elementwise and tg.PRIMITIVES[name].arity > 1}


@pytest.mark.parametrize("name", sorted(SHAPED))
def test_operands_that_do_not_broadcast(name: str) -> None:
    op = tg.PRIMITIVES[name]
    for wrong in range(1, op.arity):
        operands: list[Any] = [A] * op.arity
        operands[wrong] = np.ones(4)
        for kind in (np.asarray, tg.tensor):
            names_it(name, lambda kind=kind, operands=operands: op(*map(kind, operands)))


def test_every_primitive_that_is_not_elementwise_has_a_bad_call() -> None:
    told = " ".join(message for _, _, message in BAD_CALLS)
    assert [name for name in NAMES if not tg.PRIMITIVES[name].elementwise and f"{name}\\(" not in told] == []

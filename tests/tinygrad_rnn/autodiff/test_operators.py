"""Python's operators, the methods, and NumPy's own functions on Tensors."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tests.strategies import indices, shapes, values

X = np.array([[0.5, -1.25, 2.0], [1.5, 0.25, -0.75]])
Y = np.array([[1.5, 2.25, 0.5], [-1.5, 3.0, 1.0]])


@pytest.mark.parametrize("op", [operator.add, operator.sub, operator.mul, operator.truediv])
@pytest.mark.parametrize("other", [Y, 2.0, 3, np.float64(1.5), np.array(2.0)])
def test_arithmetic_from_both_sides(op: Any, other: Any) -> None:
    x = tg.tensor(X)
    for out, expected in (
        (op(x, other), op(X, other)),
        (op(other, x), op(other, X)),
        (op(x, tg.tensor(other)), op(X, other)),
    ):
        assert isinstance(out, tg.Tensor), "an ndarray on the left must not swallow the Tensor"
        np.testing.assert_array_equal(out.data, expected)
    assert tg.gradcheck(lambda t: op(t, other), X) and tg.gradcheck(lambda t: op(other, t), X)


def test_powers_products_and_signs() -> None:
    x, a = tg.tensor(X), np.abs(X)
    np.testing.assert_array_equal((x**2).data, X**2)
    assert (x**2).op is tg.square and (x**3).op is tg.power
    np.testing.assert_array_equal((2.0**x).data, 2.0**X)
    np.testing.assert_array_equal((x @ Y.T).data, X @ Y.T)
    assert isinstance(X @ tg.tensor(Y.T), tg.Tensor)
    np.testing.assert_array_equal((-x).data, -X)
    np.testing.assert_array_equal(abs(x).data, a)
    assert tg.gradcheck(lambda t: 2.0**t + t**1.5 + t**t, a)


@pytest.mark.parametrize("other", [Y, 2.0, 3, np.float64(1.5), np.array(2.0), tg.tensor(Y)])
def test_divmod_from_both_sides(other: Any) -> None:
    x, plain = tg.tensor(X, requires_grad=True), other.data if isinstance(other, tg.Tensor) else other
    for found, expected in ((divmod(x, other), divmod(X, plain)), (divmod(other, x), divmod(plain, X))):
        for ours, theirs in zip(found, expected, strict=True):
            assert isinstance(ours, tg.Tensor)
            np.testing.assert_array_equal(ours.data, theirs)
    whole, rest = divmod(x, other)
    assert tg.grad(rest.sum(), [x])[0].data.tolist() == np.ones_like(X).tolist()
    assert tg.grad(whole.sum() + x.sum(), [x])[0].data.tolist() == np.ones_like(X).tolist(), (
        "the whole part has no slope"
    )


def test_round_is_numpys_and_has_no_slope() -> None:
    x = tg.tensor(X * 1.01, requires_grad=True)
    for found, expected in (
        (round(x), np.round(x.data)),
        (round(x, 1), np.round(x.data, 1)),
        (round(x, -1), np.round(x.data, -1)),
    ):
        np.testing.assert_array_equal(found.data, expected)
    assert tg.grad((round(x) * x).sum(), [x])[0].data.tolist() == np.round(x.data).tolist()
    assert round(tg.tensor([0.5, 1.5, 2.5])).data.tolist() == [0.0, 2.0, 2.0]


@pytest.mark.parametrize("op", [operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne])
def test_comparisons(op: Any) -> None:
    for out in (op(tg.tensor(X), 0.5), op(tg.tensor(X), np.full((2, 3), 0.5)), op(tg.tensor(X), tg.tensor(0.5))):
        assert isinstance(out, tg.Tensor)
        np.testing.assert_array_equal(out.data, op(X, 0.5))
    np.testing.assert_array_equal(op(Y, tg.tensor(X)).data, op(Y, X))


def test_tensors_are_hashable_by_identity() -> None:
    x, y = tg.tensor(1.0), tg.tensor(1.0)
    assert {x: "x", y: "y"}[x] == "x" and len({x, y, x}) == 2


@given(data=st.data())
def test_indexing_is_numpys(data: st.DataObject) -> None:
    x = data.draw(values(data.draw(shapes())))
    index = data.draw(indices(x.shape))
    out = tg.tensor(x)[index]
    assert isinstance(out, tg.Tensor)
    np.testing.assert_array_equal(out.data, x[index])


def test_indexing_with_lists_and_tensors() -> None:
    x = tg.tensor(X)
    np.testing.assert_array_equal(x[[1, 0, 1]].data, X[[1, 0, 1]])
    np.testing.assert_array_equal(x[x > 0.0].data, X[X > 0])
    np.testing.assert_array_equal(x[tg.tensor([1, 1], dtype=int)].data, X[[1, 1]])
    np.testing.assert_array_equal(x[:, tg.tensor(2, dtype=int)].data, X[:, 2])
    assert tg.gradcheck(lambda t: t[t > 0.0] ** 2, X)
    with pytest.raises(IndexError, match=r"getitem\(shapes \(2, 3\), index=7\)"):
        x[7]


def test_methods_agree_with_numpys() -> None:
    x = tg.tensor(X)
    for name, args, kwargs in [
        ("sum", (), {}),
        ("sum", (0,), {}),
        ("sum", (), {"axis": (0, 1), "keepdims": True}),
        ("mean", (1,), {}),
        ("max", (-1,), {}),
        ("min", (), {"axis": 0}),
        ("prod", (1,), {"keepdims": True}),
        ("cumsum", (1,), {}),
        ("cumsum", (), {}),
        ("reshape", (3, 2), {}),
        ("reshape", ((3, -1),), {}),
        ("reshape", (-1,), {}),
        ("transpose", (), {}),
        ("transpose", (1, 0), {}),
        ("transpose", ((1, 0),), {}),
        ("swapaxes", (0, 1), {}),
        ("clip", (-1.0, 1.0), {}),
        ("clip", (), {"max": 1.0}),
        ("squeeze", (), {}),
    ]:
        expected = getattr(X, name)(*args, **kwargs)
        out = getattr(x, name)(*args, **kwargs)
        assert isinstance(out, tg.Tensor) and out.shape == np.shape(expected), name
        np.testing.assert_array_equal(out.data, expected, err_msg=name)
    np.testing.assert_array_equal(x.T.data, X.T)
    assert x.astype(np.float32).dtype == np.float32 and x.astype("float32").dtype == np.float32


# ---------------------------------------------------------------------------------- NumPy's protocols

UFUNCS = [
    "add",
    "subtract",
    "multiply",
    "divide",
    "power",
    "maximum",
    "minimum",
    "matmul",
    "negative",
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
    "sign",
    "greater",
    "less_equal",
    "equal",
]


@pytest.mark.parametrize("name", UFUNCS)
def test_numpy_ufuncs_record(name: str) -> None:
    function = getattr(np, name)
    arrays = [np.abs(X) + 0.5, np.abs(Y).T if name == "matmul" else np.abs(Y)][: function.nin]
    expected = function(*arrays)
    tensors = [tg.tensor(a, requires_grad=True) for a in arrays]
    calls = [tensors] + ([[arrays[0], tensors[1]], [tensors[0], arrays[1]]] if len(arrays) == 2 else [])
    for operands in calls:
        out = function(*operands)
        assert isinstance(out, tg.Tensor) and out.op is tg.PRIMITIVES[name]
        np.testing.assert_array_equal(out.data, expected)


FUNCTIONS: list[tuple[str, Any]] = [
    ("sum", lambda m, x: m.sum(x, axis=1, keepdims=True)),
    ("mean", lambda m, x: m.mean(x, axis=(0, 1))),
    ("max", lambda m, x: m.max(x, axis=0)),
    ("min", lambda m, x: m.min(x)),
    ("prod", lambda m, x: m.prod(x, axis=1)),
    ("cumsum", lambda m, x: m.cumsum(x, axis=0)),
    ("concatenate", lambda m, x: m.concatenate([x, x], axis=1)),
    ("concatenate flat", lambda m, x: m.concatenate((x, x), axis=None)),
    ("stack", lambda m, x: m.stack([x, x], axis=-1)),
    ("split", lambda m, x: m.split(x, 3, axis=1)[1]),
    ("reshape", lambda m, x: m.reshape(x, (3, 2))),
    ("transpose", lambda m, x: m.transpose(x, (1, 0))),
    ("swapaxes", lambda m, x: m.swapaxes(x, 0, 1)),
    ("expand_dims", lambda m, x: m.expand_dims(x, 0)),
    ("squeeze", lambda m, x: m.squeeze(x[:1], 0)),
    ("broadcast_to", lambda m, x: m.broadcast_to(x, (2, 2, 3))),
    ("take", lambda m, x: m.take(x, [2, 0, 0], axis=1)),
    ("pad", lambda m, x: m.pad(x, 1)),
    ("flip", lambda m, x: m.flip(x, 1)),
    ("clip", lambda m, x: m.clip(x, -1.0, 1.0)),
    ("where", lambda m, x: m.where(X > 0, x, 0.0)),
    ("einsum", lambda m, x: m.einsum("ij,kj->ik", x, x)),
    ("abs", lambda m, x: m.abs(x)),
    ("absolute", lambda m, x: m.absolute(x)),
]


@pytest.mark.parametrize(("name", "call"), FUNCTIONS, ids=[name for name, _ in FUNCTIONS])
def test_numpy_functions_record(name: str, call: Any) -> None:
    expected = call(np, X)
    out = call(np, tg.tensor(X, requires_grad=True))
    assert isinstance(out, tg.Tensor) and out.requires_grad
    np.testing.assert_array_equal(out.data, expected)
    assert tg.gradcheck(lambda t: call(np, t), X)


def test_shape_ndim_and_size_are_plain() -> None:
    x = tg.tensor(X)
    assert (np.shape(x), np.ndim(x), np.size(x)) == ((2, 3), 2, 6)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda x: np.cbrt(x), "np.cbrt"),
        (lambda x: np.partition(x, 1), "np.partition"),
        (lambda x: np.linalg.inv(x), "np.linalg.inv"),
        (lambda x: np.add.reduce(x), "np.add.reduce"),
        (lambda x: np.multiply.outer(x, x), "np.multiply.outer"),
        (lambda x: np.modf(x), "np.modf"),
        (lambda x: np.gradient(x), "np.gradient"),
        (lambda x: np.cov(x, x.T), "np.cov"),
    ],
)
def test_numpy_functions_without_a_rule_say_so(call: Any, name: str) -> None:
    with pytest.raises(TypeError, match=rf"{name} has no derivative rule for Tensors.*\.data"):
        call(tg.tensor(X))


def test_unsupported_arguments_are_refused_not_ignored() -> None:
    x = tg.tensor(X)
    with pytest.raises(TypeError, match=r"np\.add on a Tensor takes no where"):
        np.add(x, 1.0, where=np.array(False))
    with pytest.raises(TypeError):
        np.add(x, x, out=np.empty((2, 3)))
    with pytest.raises(TypeError):
        np.sum(x, initial=3.0)
    with pytest.raises(TypeError):
        np.sum(x, where=X > 0)
    with pytest.raises(TypeError):
        np.take(x, [9], axis=0, mode="wrap")
    with pytest.raises(ValueError, match=r"mode must be one of constant, edge, .*, got 'mean'"):
        np.pad(x, 1, mode="mean")
    with pytest.raises(ValueError, match="mode 'edge' takes no constant_values"):
        np.pad(x, 1, mode="edge", constant_values=1.0)


def test_an_array_cannot_take_a_tensor_in_place() -> None:
    a = np.ones((2, 3))
    with pytest.raises(TypeError):
        a += tg.tensor(X)
    np.testing.assert_array_equal(a, 1.0)


def test_asarray_is_a_read_only_view_and_array_a_copy() -> None:
    x = tg.tensor(X)
    assert np.asarray(x).flags.writeable is False and np.shares_memory(np.asarray(x), x.data)
    copy = np.array(x)
    copy[...] = 0
    np.testing.assert_array_equal(x.data, X)
    assert np.asarray(x, dtype=np.float32).dtype == np.float32


# ------------------------------------------------------------------------------ what people also write

B = X > 0
C = Y > 1


@pytest.mark.parametrize("name", ["and_", "or_", "xor"])
def test_logical_operators(name: str) -> None:
    op, ufunc = getattr(operator, name), getattr(np, f"logical_{name.strip('_')}")
    x, y = tg.tensor(X, requires_grad=True), tg.tensor(Y)
    for out in (op(x > 0, y > 1), op(x > 0, C), op(B, y > 1), ufunc(x > 0, y > 1), ufunc(B, y > 1)):
        assert isinstance(out, tg.Tensor) and out.dtype == np.bool_ and not out.requires_grad
        np.testing.assert_array_equal(out.data, op(B, C))
    np.testing.assert_array_equal(op(x > 0, True).data, op(B, True))
    np.testing.assert_array_equal(ufunc(x, y - 1.5).data, ufunc(X, Y - 1.5))
    np.testing.assert_array_equal(tg.where(op(x > 0, y > 1), x, 0.0).data, np.where(op(B, C), X, 0))
    with pytest.raises(
        TypeError,
        match=rf"^[&|^]: needs booleans, such as x > 0, got float64; logical_{name.strip('_')} takes any numbers",
    ):
        op(x, y > 1)
    with pytest.raises(TypeError, match=r"needs booleans, such as x > 0, got int64"):
        op(B, tg.tensor([1, 0, 1], dtype=int))


def test_not_plus_and_the_masks_they_make() -> None:
    x = tg.tensor(X, requires_grad=True)
    np.testing.assert_array_equal((~(x > 0)).data, ~B)
    np.testing.assert_array_equal(np.invert(x > 0).data, ~B)
    np.testing.assert_array_equal(np.logical_not(x).data, np.logical_not(X))
    np.testing.assert_array_equal(x[(x > 0) & (x < 1)].data, X[B & (X < 1)])
    with pytest.raises(TypeError, match="~: needs booleans"):
        operator.invert(x)
    assert +x is x and np.positive(x).requires_grad


def test_what_is_no_number_is_equal_to_no_tensor() -> None:
    x = tg.tensor([1.0, 2.0])
    for other in (None, "text", object(), {}, tg):
        assert (x == other) is False and (other == x) is False and (x != other) is True and (other != x) is True
    assert x in [None, x] and (x == [1.0, 3.0]).data.tolist() == [True, False]
    with pytest.raises(TypeError):
        x < None  # noqa: B015


def test_formats() -> None:
    loss = tg.tensor(0.123456, requires_grad=True)
    assert f"{loss:.3f} {loss * 2.0:8.1e}" == "0.123  2.5e-01" and f"{tg.tensor([[2.0]]):g}" == "2"
    assert f"{loss}" == repr(loss) == str(loss) and f"{tg.tensor(3, dtype=int):03d}" == "003"
    with pytest.raises(ValueError, match=r"item: needs exactly one element, got shape \(2,\)"):
        f"{tg.tensor([1.0, 2.0]):.3f}"


@pytest.mark.parametrize("index", [[], ([],), (slice(None), []), [[]], (0, [])], ids=repr)
def test_empty_indices(index: Any) -> None:
    x = tg.tensor(X, requires_grad=True)
    np.testing.assert_array_equal(x[index].data, X[index])
    assert x[index].shape == X[index].shape
    np.testing.assert_array_equal(tg.grad(x[index], x, np.ones(X[index].shape))[0].data, 0.0)
    np.testing.assert_array_equal(tg.grad(tg.getitem(x, index), x, np.ones(X[index].shape))[0].data, 0.0)


def test_arguments_that_numpy_has_besides() -> None:
    x = tg.tensor(X, requires_grad=True)
    for call in (
        lambda m, x: m.clip(x, min=0),
        lambda m, x: m.clip(x, max=0.5),
        lambda m, x: m.clip(x, min=-1, max=1),
        lambda m, x: m.amax(x, axis=1),
        lambda m, x: m.amin(x),
        lambda m, x: m.pad(x, 1, "constant"),
        lambda m, x: m.take(x, [1, 4]),
        lambda m, x: m.pad(x, ((1, 0), (0, 2)), mode="constant", constant_values=3.0),
        lambda m, x: m.take(x, [1], axis=1),
        lambda m, x: m.take(x, 2),
    ):
        np.testing.assert_array_equal(call(np, x).data, call(np, X))
        assert tg.gradcheck(lambda t, call=call: call(np, t), X)
    with pytest.raises(ValueError, match="clip: min is a_min"):
        tg.clip(x, 0.0, min=0.0)
    assert tg.take(x, [1]).shape == (1,) and tg.take(x, [1], axis=0).shape == (1, 3)


def test_keepdims_is_off_unless_asked_for() -> None:
    for op in (tg.min, tg.max, tg.sum, tg.prod, tg.logsumexp, tg.mean, tg.all, tg.any, tg.argmax, tg.argmin):
        assert op(X, axis=1).shape == op(tg.tensor(X), axis=1).shape == (2,), op
        assert np.shape(op(X)) == op(tg.tensor(X)).shape == (), op
        assert op(tg.tensor(X), axis=1, keepdims=True).shape == (2, 1), op
    for op in (tg.min, tg.max, tg.sum, tg.prod, tg.logsumexp):
        x = tg.tensor(X)
        assert tg.grad(op(x, axis=1), x, [1.0, 2.0])[0].shape == (2, 3), op

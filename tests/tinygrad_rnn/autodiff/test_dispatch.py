"""NumPy's functions on Tensors: NumPy's numbers for NumPy's arguments, gradients checked and compared with HIPS
autograd's.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import overrides

import tinygrad_rnn as tg
from tests.strategies import axes, broadcastable, calls, distinct, eighths, nonzero, positive, shapes, values
from tinygrad_rnn.autodiff import dispatch, functions

LITTLE = settings(max_examples=max(3, settings.default.max_examples // 3))
"""There are many functions, and each of their forms is a case of its own."""

Draw = Callable[[st.SearchStrategy[Any]], Any]
Case = Callable[[Draw], tuple[Callable[..., Any], list[Any]]]
"""Draws a call, ``call(module, *arrays)``, and its arrays."""

OURS = SimpleNamespace(**{name: getattr(tg, name) for name in tg.__all__}, linalg=SimpleNamespace(norm=tg.norm))


def of(call: Callable[..., Any], *kinds: Any) -> Case:
    """A call on operands that broadcast, each from its own part of the numbers."""

    def case(draw: Draw) -> Any:
        drawn = draw(broadcastable(len(kinds), min_side=1))
        return call, [draw(kind(shape)) for kind, shape in zip(kinds, drawn, strict=True)]

    return case


def on(call: Callable[..., Any], *drawn: st.SearchStrategy[Any], kind: Any = values, **sizes: Any) -> Case:
    """A call on an array of any shape, with settings drawn besides: ``call(module, x, *settings)``."""

    def case(draw: Draw) -> Any:
        x = draw(kind(draw(shapes(**{"min_side": 1, "max_side": 3, **sizes}))))
        chosen = [draw(setting) for setting in drawn]
        return lambda m, x: call(m, x, *chosen), [x]

    return case


def along(call: Callable[..., Any], *drawn: st.SearchStrategy[Any], kind: Any = values, none: bool = False) -> Case:
    """A call along one axis, ``call(module, x, axis, *settings)``; None among them on request."""

    def case(draw: Draw) -> Any:
        x = draw(kind(draw(shapes(min_dims=1, min_side=1, max_side=3))))
        whole = st.integers(-x.ndim, x.ndim - 1)
        axis = draw(st.none() | whole if none else whole)
        chosen = [draw(setting) for setting in drawn]
        return lambda m, x: call(m, x, axis, *chosen), [x]

    return case


def over(call: Callable[..., Any], *drawn: st.SearchStrategy[Any], kind: Any = values) -> Case:
    """A reduction, ``call(module, x, axis=..., keepdims=..., *settings)``, over any axes."""

    def case(draw: Draw) -> Any:
        x = draw(kind(draw(shapes(min_dims=1, min_side=1, max_side=3))))
        where = {"axis": draw(axes(x.ndim).filter(lambda axis: axis != ())), "keepdims": draw(st.booleans())}
        chosen = [draw(setting) for setting in drawn]
        return lambda m, x: call(m, x, *chosen, **where), [x]

    return case


def sized(call: Callable[..., Any], *sizes: tuple[int, ...], kind: Any = values) -> Case:
    """A call on arrays of given shapes."""
    return lambda draw: (call, [draw(kind(size)) for size in sizes])


def either(*cases: Case) -> tuple[Case, ...]:
    """Several cases of one function, each tested by itself."""
    return cases


def _tensordot(draw: Draw) -> Any:
    shape = draw(shapes(min_dims=2, max_dims=3, min_side=1))
    left, right = draw(st.permutations(range(len(shape)))), draw(st.permutations(range(len(shape))))
    both = np.zeros(len(shape), int)
    both[list(right)] = [shape[k] for k in left]
    arrays = [draw(values(shape)), draw(values(tuple(int(n) for n in both)))]
    count = draw(st.integers(0, 2))
    return lambda m, a, b: m.tensordot(a, b, axes=(list(left[:count]), list(right[:count]))), arrays


def _moveaxis(draw: Draw) -> Any:
    shape = draw(shapes(min_dims=2, min_side=1))
    source, destination = (draw(st.permutations(range(len(shape))))[:2] for _ in range(2))
    return lambda m, x: m.moveaxis(x, source, destination), [draw(values(shape))]


def _rollaxis(draw: Draw) -> Any:
    shape = draw(shapes(min_dims=1, min_side=1))
    axis, start = draw(st.integers(-len(shape), len(shape) - 1)), draw(st.integers(-len(shape), len(shape)))
    return lambda m, x: m.rollaxis(x, axis, start), [draw(values(shape))]


def _average(draw: Draw) -> Any:
    shape = draw(shapes(min_dims=1, min_side=1))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    whole = draw(st.booleans())
    weights = draw(positive(shape if whole else (shape[axis],)))
    return lambda m, x, w: m.average(x, axis=axis, weights=w), [draw(values(shape)), weights]


def _repeat(draw: Draw) -> Any:
    shape = draw(shapes(min_dims=1, min_side=1))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    counts = draw(st.integers(0, 2) | st.lists(st.integers(0, 2), min_size=shape[axis], max_size=shape[axis]))
    return lambda m, x: m.repeat(x, counts, axis=axis), [draw(values(shape))]


def apart(shape: tuple[int, ...]) -> st.SearchStrategy:
    """Values of which no two are alike, 0 not among them."""
    return distinct(shape).map(lambda x: x + 0.1)


SMALL = st.integers(-3, 3)
ONES = [(2,), (2,)]
PLACES = st.sampled_from([2, 3, [1], [1, 2], []])

CASES: dict[str, Case | tuple[Case, ...]] = {
    # elementary functions
    "arccos": of(lambda m, x: m.arccos(x), lambda s: eighths(-0.75, 0.75, s)),
    "arcsinh": of(lambda m, x: m.arcsinh(x), values),
    "arcsin": of(lambda m, x: m.arcsin(x), lambda s: eighths(-0.75, 0.75, s)),
    "cosh": of(lambda m, x: m.cosh(x), values),
    "arccosh": of(lambda m, x: m.arccosh(x), lambda s: eighths(1.25, 3, s)),
    "tan": of(lambda m, x: m.tan(x), lambda s: eighths(-1, 1, s)),
    "arctanh": of(lambda m, x: m.arctanh(x), lambda s: eighths(-0.75, 0.75, s)),
    "sinh": of(lambda m, x: m.sinh(x), values),
    "deg2rad": of(lambda m, x: m.deg2rad(x), values),
    "degrees": of(lambda m, x: m.degrees(x), values),
    "exp2": of(lambda m, x: m.exp2(x), values),
    "float_power": of(lambda m, x, y: m.float_power(x, y), positive, values),
    "fmax": of(lambda m, x, y: m.fmax(x, y), values, lambda s: eighths(-2, 2, s).map(lambda y: y + 1 / 16)),
    "fmin": of(lambda m, x, y: m.fmin(x, y), values, lambda s: eighths(-2, 2, s).map(lambda y: y + 1 / 16)),
    "fmod": of(
        lambda m, x, y: m.fmod(x, y),
        lambda s: eighths(-2, 2, s).map(lambda x: x + 1 / 16),
        lambda s: st.just(np.full(s, 0.5)),
    ),
    "divmod": of(
        lambda m, x, y: list(m.divmod(x, y)),
        lambda s: eighths(-2, 2, s).map(lambda x: x + 1 / 16),
        lambda s: st.just(np.full(s, 0.5)),
    ),
    "logaddexp2": of(lambda m, x, y: m.logaddexp2(x, y), values, values),
    "rad2deg": of(lambda m, x: m.rad2deg(x), values),
    "nan_to_num": of(lambda m, x: m.nan_to_num(x), values),
    "radians": of(lambda m, x: m.radians(x), values),
    "reciprocal": of(lambda m, x: m.reciprocal(x), nonzero),
    # arrangement
    "append": along(lambda m, x, axis: m.append(x, 2 * x, axis=axis), none=True),
    "array_split": along(lambda m, x, axis, k: m.array_split(x, k, axis), PLACES),
    "atleast_1d": on(lambda m, x: m.atleast_1d(x)),
    "atleast_2d": on(lambda m, x: m.atleast_2d(x)),
    "atleast_3d": on(lambda m, x: m.atleast_3d(x)),
    "broadcast_arrays": of(lambda m, x, y: list(m.broadcast_arrays(x, y)), values, values),
    "column_stack": either(
        sized(lambda m, x, y: m.column_stack([x, y]), (2,), (2, 3)),
        sized(lambda m, x, y: m.column_stack((x, y)), *ONES),
    ),
    "diag": either(
        *(sized(lambda m, x: m.diag(x, 1), s) for s in [(3,), (2, 3)]),
        *(sized(lambda m, x: m.diag(x, -2), s) for s in [(2,), (3, 2)]),
    ),
    "diagonal": on(lambda m, x, k: m.diagonal(x, k, -1, 0), SMALL, min_dims=2),
    "fliplr": on(lambda m, x: m.fliplr(x), min_dims=2),
    "dsplit": on(lambda m, x, k: m.dsplit(x, k), st.sampled_from([1, [1], []]), min_dims=3),
    "flipud": on(lambda m, x: m.flipud(x), min_dims=1),
    "dstack": either(*(sized(lambda m, x, y: m.dstack([x, y]), s, s) for s in [(), (2,), (2, 3), (2, 1, 2)])),
    "full_like": either(*(sized(lambda m, x, y: m.full_like(x, y), (2, 3), s) for s in [(), (3,), (2, 1)])),
    "hsplit": on(lambda m, x, k: m.hsplit(x, k), st.sampled_from([1, [1], []]), min_dims=1),
    "moveaxis": _moveaxis,
    "hstack": either(*(sized(lambda m, x, y: m.hstack([x, y]), s, s) for s in [(), (2,), (2, 3)])),
    "rollaxis": either(
        _rollaxis,
        *(sized(lambda m, x, a=a, b=b: m.rollaxis(x, a, b), (1, 2, 3)) for a, b in [(0, 3), (2, 0), (1, -1), (-1, 1)]),
    ),
    "repeat": either(_repeat, sized(lambda m, x: m.repeat(x, 2), (2, 3))),
    "ravel": on(lambda m, x: m.ravel(x), min_side=0),
    "roll": either(
        along(lambda m, x, axis, k: m.roll(x, k, axis), SMALL, none=True),
        sized(lambda m, x: m.roll(x, (1, -1), (0, 1)), (2, 3)),
    ),
    "rot90": either(
        *(sized(lambda m, x, k=k: m.rot90(x, k, axes=(2, 0)), (2, 1, 3)) for k in range(-2, 4)),
        on(lambda m, x: m.rot90(x), min_dims=2),
    ),
    "sort": along(lambda m, x, axis: m.sort(x, axis=axis), kind=distinct, none=True),
    "take": on(lambda m, x: m.take(x, [0, -1, 0], axis=None)),
    "tile": on(lambda m, x, k: m.tile(x, k), st.integers(0, 2) | st.lists(st.integers(0, 2), max_size=3)),
    "tril": on(lambda m, x, k: m.tril(x, k), SMALL, min_dims=2),
    "triu": on(lambda m, x, k: m.triu(x, k), SMALL, min_dims=2),
    "vsplit": on(lambda m, x, k: m.vsplit(x, k), st.sampled_from([1, [1], []]), min_dims=2),
    "vstack": either(*(sized(lambda m, x, y: m.vstack([x, y]), s, s) for s in [(), (2,), (2, 3)])),
    # products
    "cross": either(
        sized(lambda m, x, y: m.cross(x, y), (2, 3), (3,)),
        sized(lambda m, x, y: m.cross(x, y, 0, 1, 0), (3, 2), (2, 3)),
    ),
    "dot": either(
        *(
            sized(lambda m, x, y: m.dot(x, y), *s)
            for s in [
                ((), (2,)),
                ((2,), (2,)),
                ((2, 3), (3,)),
                ((3,), (3, 2)),
                ((2, 3), (3, 2)),
                ((2, 2, 3), (3,)),
                ((2, 3), (2, 3, 2)),
            ]
        )
    ),
    "inner": either(
        *(
            sized(lambda m, x, y: m.inner(x, y), *s)
            for s in [((2,), ()), ((2,), (2,)), ((2, 3), (3,)), ((2, 3), (2, 3)), ((2, 2, 3), (2, 3))]
        )
    ),
    "kron": either(
        *(
            sized(lambda m, x, y: m.kron(x, y), *s)
            for s in [((2,), (3,)), ((2, 2), (1, 3)), ((2,), (2, 2)), ((2, 1, 2), (2, 2)), ((), (2,))]
        )
    ),
    "outer": either(
        sized(lambda m, x, y: m.outer(x, y), (2,), (3,)), sized(lambda m, x, y: m.outer(x, y), (2, 2), (1, 3))
    ),
    "tensordot": either(
        _tensordot,
        sized(lambda m, x, y: m.tensordot(x, y), (2, 2, 3), (2, 3)),
        sized(lambda m, x, y: m.tensordot(x, y, 1), (2, 3), (3, 2)),
    ),
    "trace": on(lambda m, x, k: m.trace(x, k, 0, -1), SMALL, min_dims=2),
    "vdot": either(
        sized(lambda m, x, y: m.vdot(x, y), (2, 3), (3, 2)), sized(lambda m, x, y: m.vdot(x, y), (2,), (2,))
    ),
    # reductions
    "average": either(_average, over(lambda m, x, **k: m.average(x, **k))),
    "cumprod": along(lambda m, x, axis: m.cumprod(x, axis=axis), none=True),
    "diff": either(
        along(lambda m, x, axis, n: m.diff(x, n, axis), st.integers(0, 3)),
        sized(lambda m, x, y: m.diff(x, axis=0, prepend=0.5, append=y), (2, 3), (1, 3)),
    ),
    "linalg.norm": either(
        *(
            sized(lambda m, x, o=o: m.linalg.norm(x, o, axis=1), (2, 3), kind=apart)
            for o in (None, 0, 0.5, 1, 2, 3, -1, np.inf, -np.inf)
        ),
        *(
            sized(lambda m, x, o=o: m.linalg.norm(x, o, axis=(2, 0)), (3, 1, 2), kind=apart)
            for o in (None, "fro", 1, -1, np.inf, -np.inf)
        ),
        on(
            lambda m, x, o: m.linalg.norm(x, o, axis=(1, 0), keepdims=True),
            st.sampled_from([None, 1, -np.inf]),
            min_dims=2,
            kind=apart,
        ),
        along(lambda m, x, axis: m.linalg.norm(x, 1, axis, keepdims=True), kind=apart),
        on(lambda m, x: m.linalg.norm(x), min_dims=1, kind=positive),
    ),
    "median": over(lambda m, x, **k: m.median(x, **k), kind=distinct),
    "ptp": over(lambda m, x, **k: m.ptp(x, **k), kind=distinct),
    "percentile": over(
        lambda m, x, q, **k: m.percentile(x, q, **k),
        st.sampled_from([0, 30, [25, 100], [[10.0], [60.0]]]),
        kind=distinct,
    ),
    "quantile": over(lambda m, x, q, **k: m.quantile(x, q, **k), st.sampled_from([0.5, 1, [0.25, 0.8]]), kind=distinct),
    "std": over(lambda m, x, **k: m.std(x, **k), kind=distinct),
    "var": over(lambda m, x, d, **k: m.var(x, ddof=d, **k), st.sampled_from([0, 0.5])),
}

PLAIN = {
    "allclose",
    "array_equal",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "count_nonzero",
    "invert",
    "ndim",
    "shape",
    "size",
}
"""Answers without a gradient, tested by themselves."""

EACH = [
    pytest.param(name, case, id=f"{name}-{k}" if k else name)
    for name in sorted(CASES)
    for k, case in enumerate(CASES[name] if isinstance(CASES[name], tuple) else [CASES[name]])
]

COMPOSED = {
    dispatch.numpy_name(f).removeprefix("np.") for f, op in dispatch.NUMPY.items() if not isinstance(op, tg.Primitive)
}
DIRECT = {f.__name__: (f, op.name) for f, op in dispatch.NUMPY.items() if isinstance(op, tg.Primitive)}


def test_every_composition_has_a_case() -> None:
    assert set(CASES) == COMPOSED - PLAIN - set(functions.__all__)


def drawn(case: Case, data: st.DataObject) -> tuple[Callable[..., Any], list[Any]]:
    """A call and its arrays, of which no two elements are the same: what simple draws leave unseen would go unseen."""
    call, arrays = case(data.draw)
    return call, [x + 0.01 * np.sin(1.0 + 7.0 * np.arange(x.size) + k).reshape(x.shape) for k, x in enumerate(arrays)]


def parts(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize(("name", "case"), EACH)
@LITTLE
@given(data=st.data())
def test_a_composition_is_numpys_function(name: str, case: Case, data: st.DataObject) -> None:
    call, arrays = drawn(case, data)
    expected = parts(call(np, *arrays))
    tensors = [tg.tensor(x) for x in arrays]
    found = [call(np, *tensors)]
    if hasattr(OURS, name.partition(".")[0]):  # ours by its own name, on arrays and on Tensors
        found += [call(OURS, *arrays), call(OURS, *tensors)]
        assert not any(isinstance(part, tg.Tensor) for part in parts(found[1]))
    for values_found in found:
        for ours, theirs in zip(parts(values_found), expected, strict=True):
            plain = ours.data if isinstance(ours, tg.Tensor) else ours
            assert np.shape(plain) == np.shape(theirs) and np.asarray(plain).dtype == np.asarray(theirs).dtype
            np.testing.assert_allclose(plain, theirs, rtol=1e-13, atol=1e-13)
    assert tg.gradcheck(lambda *xs: call(np, *xs), arrays)


WITHOUT_REFERENCE = {
    "array_split",
    "average",
    "broadcast_arrays",
    "cumprod",
    "diagonal",
    "divmod",
    "dsplit",
    "float_power",
    "fmod",
    "full_like",
    "hsplit",
    "median",
    "outer",
    "percentile",
    "ptp",
    "quantile",
    "rot90",
    "take",
    "tile",
    "trace",
    "vdot",
    "vsplit",
    "cross",
    "diag",
    "diff",
    "linalg.norm",
    "repeat",
    "roll",
    "rollaxis",
    "sort",
}
"""What HIPS autograd has no rule for, or (second half) not for every argument, or with the wrong shape."""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "case"), [each for each in EACH if each.values[0] not in WITHOUT_REFERENCE])
@given(data=st.data())
def test_gradients_are_those_of_hips_autograd(name: str, case: Case, data: st.DataObject) -> None:
    autograd = pytest.importorskip("autograd", reason="HIPS autograd is the reference here: pip install autograd")
    call, arrays = drawn(case, data)

    def total(m: Any, *xs: Any) -> Any:
        out = call(m, *xs)
        return m.sum(out * np.cos(np.arange(out.size)).reshape(out.shape))

    theirs = autograd.grad(lambda xs: total(autograd.numpy, *xs))(arrays)
    leaves = [tg.tensor(x, requires_grad=True) for x in arrays]
    for ours, reference in zip(tg.grad(total(np, *leaves), leaves), theirs, strict=True):
        np.testing.assert_allclose(ours.data, reference, rtol=1e-9, atol=1e-12)


def test_every_other_function_says_that_it_has_no_rule() -> None:
    x = tg.tensor(1.0)
    for function in overrides.get_overridable_numpy_array_functions() - set(dispatch.NUMPY):
        with pytest.raises(TypeError, match=rf"{dispatch.numpy_name(function)} has no derivative rule"):
            x.__array_function__(function, (tg.Tensor,), (x,), {})
    for ufunc in overrides.get_overridable_numpy_ufuncs() - set(dispatch.NUMPY):
        with pytest.raises(TypeError, match=f"np.{ufunc.__name__} has no derivative rule"):
            x.__array_ufunc__(ufunc, "__call__", *[x] * ufunc.nin)


# --------------------------------------------------------------------------- calls as NumPy takes them


@pytest.mark.parametrize("name", sorted(DIRECT))
@LITTLE
@given(data=st.data())
def test_a_primitive_is_numpys_function(name: str, data: st.DataObject) -> None:
    function, primitive = DIRECT[name]
    call = data.draw(calls(primitive))
    places, attributes = (call.attributes.values(), {}) if name in ("astype", "reshape") else ((), call.attributes)
    expected = function(*call.operands, *places, **attributes)
    operands = [tg.tensor(x, dtype=x.dtype) for x in call.operands]
    out = function(*operands, *places, **attributes)
    assert isinstance(out, tg.Tensor) and out.op is tg.PRIMITIVES[primitive]
    np.testing.assert_array_equal(out.data, expected)


X = np.array([[0.5, -1.25, 2.0], [1.5, 0.25, -0.75]])


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.sum(a=x, keepdims=True),
        lambda x: np.sum(x, 0, None, None, True),
        lambda x: np.var(a=x, axis=1, ddof=1),
        lambda x: np.mean(x, -1, keepdims=True),
        lambda x: np.pad(array=x, pad_width=1, mode="constant", constant_values=2.0),
        lambda x: np.reshape(x, (3, 2), order="C"),
        lambda x: np.hstack((x, x), dtype=None),
        lambda x: np.roll(a=x, shift=1),
        lambda x: np.linalg.norm(x=x, ord=1, axis=0),
        lambda x: np.max(a=x, axis=0),
        lambda x: np.clip(x, -1.0, None),
        lambda x: np.amax(x),
        lambda x: np.amin(x, axis=1),
        lambda x: np.vstack(tup=[x, x]),
        lambda x: np.tile(A=x, reps=2),
        lambda x: np.where(X > 0, x, x * 2),
        lambda x: np.einsum("ij->i", x),
        lambda x: np.sort(x, axis=0, kind=None),
        lambda x: np.diff(x, prepend=0.0),
        lambda x: x % 0.5,
        lambda x: 7.0 % (x + 3),
        lambda x: np.full_like(x, 3.0, dtype=np.float32),
        lambda x: x // 0.5,
        lambda x: 7.0 // (x + 3),
        lambda x: np.zeros_like(x),
        lambda x: np.ones_like(a=x, dtype=int),
        lambda x: x.var(axis=0, ddof=1),
        lambda x: x.std(),
        lambda x: x.any(axis=0),
        lambda x: x.all(),
        lambda x: x.argmax(1),
        lambda x: x.argmin(),
        lambda x: x.argsort(0),
        lambda x: x.round(1),
        lambda x: x.dot(np.ones(3)),
        lambda x: x.trace(),
        lambda x: x.diagonal(1),
        lambda x: x.ravel(),
        lambda x: x.flatten(),
        lambda x: x.repeat(2, axis=1),
        lambda x: x.cumprod(1),
    ],
)
def test_places_and_names_of_arguments_are_numpys(call: Any) -> None:
    expected, out = call(X), call(tg.tensor(X))
    assert out.shape == np.shape(expected) and out.dtype == expected.dtype
    np.testing.assert_allclose(out.data, expected, rtol=1e-15)


def test_defaults_are_numpys() -> None:
    """What a call leaves out means here what it means there."""
    compared = 0
    for function, operation in dispatch.NUMPY.items():
        try:
            theirs = inspect.signature(function).parameters
        except ValueError:  # a function in C, before NumPy 2.4
            continue
        ours = operation.signature if isinstance(operation, tg.Primitive) else inspect.signature(operation)
        for name in set(ours.parameters) & set(theirs) - {"x", "y"}:
            default, reference = ours.parameters[name].default, theirs[name].default
            same = default is reference or default == reference or (repr(reference) == "<no value>" and not default)
            assert same, f"{dispatch.numpy_name(function)}: {name}={default}, NumPy's is {reference}"
            compared += 1
    assert compared > 100


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: np.mean(x, 0, np.float32), "np.mean on a Tensor takes no dtype"),
        (lambda x: np.sum(x, initial=3.0, where=X > 0), "np.sum on a Tensor takes no initial, where"),
        (lambda x: np.pad(x, 1, "edge"), "np.pad on a Tensor takes no mode"),
        (lambda x: np.pad(x, 1, mode="constant", stat_length=2), "np.pad on a Tensor takes no stat_length"),
        (lambda x: np.cumsum(x, out=np.empty(6)), "np.cumsum on a Tensor takes no out"),
        (lambda x: np.reshape(x, (3, 2), order="F"), "np.reshape on a Tensor takes no order"),
        (lambda x: np.quantile(x, 0.5, method="nearest"), "np.quantile on a Tensor takes no method"),
        (lambda x: np.linalg.inv(x), r"np\.linalg\.inv has no derivative rule for Tensors.*\.data"),
        (lambda x: np.linalg.norm(x, foo=1), "foo"),
    ],
)
def test_an_argument_without_a_meaning_is_refused(call: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        call(tg.tensor(X))


BAD: list[tuple[Any, str]] = [
    (lambda x: tg.norm(x, 2), "norm: order 2 over 2 axes has no derivative rule here"),
    (lambda x: tg.norm(x, "nuc"), "norm: order 'nuc' over 2 axes"),
    (lambda x: tg.norm(x, "fro", 0), "norm: order 'fro' is for matrices"),
    (lambda x: tg.tensordot(x, x, 1), r"tensordot: axes 1 of shapes \(2, 3\) and \(2, 3\) do not match"),
    (lambda x: tg.cross(x[:, :2], x[:, :2]), "cross: needs vectors of 3 elements"),
    (lambda x: tg.dot(x, x), r"matmul\(shapes \(2, 3\), \(2, 3\)\)"),
    (lambda x: tg.vdot(x, x[0]), "matmul"),
    (lambda x: tg.diag(tg.reshape(x, (1, 2, 3))), "diag: needs a vector or a matrix"),
    (lambda x: tg.diff(x, -1), "diff: n must not be negative"),
    (lambda x: tg.moveaxis(x, (0, 0), (0, 1)), "moveaxis: .* each once"),
    (lambda x: tg.moveaxis(x, 2, 0), "moveaxis: axis 2 is out of range"),
    (lambda x: tg.roll(x, 1, 2), "roll: axis 2 is out of range"),
    (lambda x: tg.rot90(x, 1, (0, 0)), "rot90: needs two different axes"),
    (lambda x: tg.hsplit(x, 2), r"hsplit: axis 1 of shape \(2, 3\) does not divide into 2"),
    (lambda x: tg.vsplit(x[0], 1), "vsplit: needs at least 2 dimensions"),
    (lambda x: tg.dsplit(x, 1), "dsplit: needs at least 3 dimensions"),
    (lambda x: tg.array_split(x, 0), "array_split: needs at least one section"),
    (lambda x: tg.average(x, 0, [1.0, 2.0, 3.0]), r"average: weights \(3,\) do not fit shape \(2, 3\) along axis 0"),
    (lambda x: tg.quantile(x, 1.5), "quantile: needs elements, and shares from 0 to 1"),
    (lambda x: tg.median(x[:0]), "quantile: needs elements"),
    (lambda x: tg.var(x, 4), "var: axis 4 is out of range"),
    (lambda x: tg.hstack([]), "concatenate"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "message"), BAD, ids=[m for _, m in BAD])
@pytest.mark.parametrize("kind", [np.asarray, tg.tensor], ids=["array", "tensor"])
def test_bad_arguments_are_explained(call: Any, message: str, kind: Any) -> None:
    with pytest.raises(ValueError, match=message):
        call(kind(X))


# ------------------------------------------------------------------------- conventions and special values


def slope(call: Any, x: Any) -> Any:
    leaf = tg.tensor(x, requires_grad=True)
    return tg.grad(tg.sum(call(leaf)), leaf)[0].data.tolist()


def test_lengths_and_deviations_at_zero_have_gradient_zero() -> None:
    assert slope(np.linalg.norm, [0.0, 0.0]) == slope(np.std, [2.0, 2.0]) == [0.0, 0.0]
    assert slope(lambda x: tg.norm(x, 3), [0.0, 0.0]) == slope(lambda x: tg.norm(x, 1), [0.0, 0.0]) == [0.0, 0.0]
    assert slope(lambda x: np.hypot(x, 0.0), [0.0]) == [0.0] and slope(tg.root, [0.0, 4.0]) == [0.0, 0.25]
    assert slope(lambda x: tg.norm(x, axis=1), [[3.0, 0.0], [0.0, 0.0]]) == [[1.0, 0.0], [0.0, 0.0]]


def test_infinities_and_nan() -> None:
    inf, nan = np.inf, np.nan
    assert slope(lambda x: np.logaddexp(x, -inf), [-inf, 0.0]) == [0.5, 1.0]
    assert slope(lambda x: np.nan_to_num(x), [nan, inf, -inf, 2.0]) == [0.0, 0.0, 0.0, 1.0]
    assert slope(lambda x: np.fmax(x, [nan, 1.0, 1.0]), [3.0, nan, 1.0]) == [1.0, 0.0, 0.5]
    assert slope(np.sort, [nan, 1.0]) == [1.0, 1.0] and tg.sort(np.array([nan, 1.0])).tolist()[0] == 1.0
    x = np.array([[1.0, nan, 2.0], [1.0, 5.0, 2.0]])
    for call in (lambda x: np.median(x, axis=1), lambda x: np.percentile(x, [10, 50], axis=1)):
        np.testing.assert_array_equal(call(tg.tensor(x)).data, call(x))
    special = np.array([nan, inf, -inf, 1.0, 0.0])
    for call in (
        np.isnan,
        np.isinf,
        np.isfinite,
        np.nan_to_num,
        lambda x: np.fmin(x, 0.5),
        lambda x: np.heaviside(x, 0.5),
    ):
        np.testing.assert_array_equal(call(tg.tensor(special)).data, call(special))
    assert tg.nan_to_num(np.float32(inf)) == np.finfo(np.float32).max


@pytest.mark.parametrize(
    ("row", "q", "expected"),
    [
        ([1.0, np.inf, np.inf], 0.5, np.inf),
        ([np.inf, np.inf], 0.5, np.inf),
        ([-np.inf, -np.inf, 1.0], 0.5, -np.inf),
        ([1.0, 2.0, np.inf], 0.5, 2.0),
        ([1.0, np.inf], 0.0, 1.0),
        ([-np.inf, 1.0], 1.0, 1.0),
        ([-np.inf, 1.0], 0.25, -np.inf),
        ([1.0, np.inf], 0.25, np.inf),
        ([-np.inf, np.inf], 0.5, np.nan),
    ],
)
def test_quantiles_beside_infinities(row: Any, q: float, expected: float) -> None:
    """NumPy's median has the first four; its quantile takes infinite differences, which are NaN next to themselves."""
    with np.errstate(invalid="ignore"):
        assert np.quantile(tg.tensor(row), q).item() == pytest.approx(expected, nan_ok=True)
        if q == 0.5:
            np.testing.assert_array_equal(np.median(tg.tensor(row)).data, np.median(np.array(row)))
        assert slope(lambda x: np.quantile(x, 0.5), [1.0, 2.0, np.inf]) == [0.0, 1.0, 0.0]


@pytest.mark.parametrize("order", [0.5, 1, 1.5, 3, -1, -2])
def test_norms_of_zeros_are_pytorchs(order: float, torch: Any) -> None:
    for row in ([0.0, 0.0, 0.0], [1.0, 0.0, -2.0]):
        twin = torch.tensor(row, dtype=torch.float64, requires_grad=True)
        expected = torch.linalg.vector_norm(twin, order)
        expected.backward()
        assert np.linalg.norm(tg.tensor(row), order).item() == pytest.approx(expected.item())
        assert slope(lambda x: np.linalg.norm(x, order), row) == pytest.approx(twin.grad.tolist())


def test_what_is_one_operation_is_one_node_and_what_changes_nothing_none() -> None:
    matrix, vector = tg.tensor(X), tg.tensor(X[0])
    for out in (np.dot(matrix, vector), np.dot(vector, X.T), np.dot(matrix, X.T), np.dot(vector, X[1])):
        assert out.op.name == "matmul" and all(getattr(x, "op", None) is None for x in out.inputs)
    empty = tg.tensor(X[:, :0])
    for x, same in (
        (matrix, np.roll(matrix, 0, 0)),
        (matrix, np.roll(matrix, (2, -3), (0, 1))),
        (empty, np.roll(empty, 1, 1)),
        (matrix, np.rot90(matrix, 4)),
        (matrix, np.atleast_1d(matrix)),
        (matrix, np.atleast_2d(matrix)),
    ):
        assert same is x


@pytest.mark.filterwarnings("ignore:Degrees of freedom", "ignore::RuntimeWarning")
@pytest.mark.parametrize("ddof", [1, 2, 3, 4])
def test_more_degrees_of_freedom_than_elements_leave_no_variance(ddof: int) -> None:
    for call in (np.var, np.std):
        for row in (X, X * 0.0):
            np.testing.assert_allclose(
                call(tg.tensor(row), axis=1, ddof=ddof).data, call(row, axis=1, ddof=ddof), rtol=1e-12
            )


def test_ties_and_zeros() -> None:
    assert slope(lambda x: np.sort(x)[:1], [2.0, 2.0]) == [1.0, 0.0]
    assert slope(np.cumprod, [0.0, 2.0, 3.0]) == [9.0, 0.0, 0.0]
    assert slope(np.ptp, [1.0, 1.0, 1.0]) == [0.0, 0.0, 0.0]
    assert slope(np.arcsinh, [0.0, -0.0]) == slope(np.sinh, [0.0, -0.0]) == [1.0, 1.0]
    assert slope(lambda x: np.fmod(x, 3.0), [0.0, 4.0, -4.0]) == [1.0, 1.0, 1.0]


def test_small_and_large_numbers_keep_their_digits() -> None:
    tiny = np.array([1e-12, -1e-9, 1e-300])
    for call in (np.sinh, np.arcsinh, np.arctanh, np.tan, np.arcsin):
        np.testing.assert_allclose(call(tg.tensor(tiny)).data, call(tiny), rtol=4e-16)
    half = np.tile(np.float16([1.0, 3.0]), 40000)  # where np.var overflows
    assert np.var(tg.tensor(half)).data == 1.0 and np.std(tg.tensor(half)).dtype == np.float16
    assert tg.hypot(np.array(1e200), np.array(1e200)) == np.hypot(1e200, 1e200)
    assert tg.log10(np.array(1000.0)) == 3.0 and tg.log2(np.array(8.0)) == 3.0 and tg.exp2(np.array(10.0)) == 1024.0


def test_steps_and_places_pass_no_gradient() -> None:
    for call in (np.floor, np.ceil, np.trunc, np.rint, np.fix, lambda x: np.round(x, 1), np.sign, lambda x: x // 2.0):
        assert slope(lambda x, call=call: call(x) * x, [1.25, -2.75]) == call(np.array([1.25, -2.75])).tolist()
    x = tg.tensor(X, requires_grad=True)
    for out in (np.argmax(x, axis=1), np.argsort(x), np.isnan(x), np.any(x > 0), np.count_nonzero(x), np.isclose(x, X)):
        assert isinstance(out, tg.Tensor) and not out.requires_grad and out.dtype.kind in "bi"


def test_answers_that_are_plain() -> None:
    x = tg.tensor(X)
    assert np.allclose(x, X + 1e-9) is True and np.allclose(x, X + 1.0) is False and tg.allclose(X, X, 0, 0) is True
    assert np.array_equal(x, X) is True and np.array_equal(x, X[0]) is False and tg.array_equal(X, -X) is False
    assert (np.shape(x), np.ndim(x), np.size(x), np.count_nonzero(x).item()) == ((2, 3), 2, 6, 6)
    assert tg.count_nonzero(np.array([[0.0, 2.0]]), axis=1).tolist() == [1]


def test_what_is_decided_is_decided_anew_when_a_graph_is_run_again() -> None:
    """Places and truth values are nodes: nothing that depends on the numbers is baked into the graph."""
    x = tg.tensor([3.0, 1.0, 2.0], requires_grad=True, name="x")
    out = np.sort(x) * np.array([1.0, 10.0, 100.0]) + np.median(x) + np.where(np.isnan(x), 0.0, np.floor(x)) + np.ptp(x)
    other = np.array([-1.0, 7.5, 0.0])
    again = np.sort(other) * np.array([1.0, 10.0, 100.0]) + np.median(other) + np.floor(other) + np.ptp(other)
    np.testing.assert_allclose(tg.Graph(out).run({"x": other}).data, again)


class Sorted(tg.Cell):
    """A cell of what no kernel knows."""

    def __init__(self) -> None:
        super().__init__(2, 3, seed=0)
        self.w = self.parameter("w", (5, 3))

    def step(self, x: Any, state: Any) -> Any:
        z = np.hstack([x, np.sort(state.h)]) @ self.w
        u = np.arctan(z) / (1.0 + np.linalg.norm(z, axis=1, keepdims=True)) + np.std(z, axis=1, keepdims=True)
        return (np.where(np.isfinite(u), np.logaddexp(u, np.roll(state.h, 1, axis=1)), np.zeros_like(u)),)


class Bounded(tg.Cell):
    """A cell of pointwise functions that fuse, at a point where each of them matters."""

    def __init__(self) -> None:
        super().__init__(2, 3, seed=0)
        self.w = self.parameter("w", (5, 3))

    def step(self, x: Any, state: Any) -> Any:
        z = np.concatenate([x, state.h], axis=1) @ self.w
        u = np.arctan(z) / (1.0 + np.linalg.norm(z, axis=1, keepdims=True)) + np.hypot(z, state.h) * 0.1
        v = np.arctan2(z, 1.0 + np.square(u)) - np.floor(z) * 0.1 + np.ceil(u) * 0.05 - np.trunc(3.0 * z) * 0.02
        kept = np.where(np.isfinite(v), v, np.zeros_like(v)) + 0.1 * np.ones_like(v)
        return (np.where(np.isnan(z), 0.0, kept) + np.where(np.isinf(z), 1.0, 0.0),)


@pytest.mark.parametrize(
    ("kind", "backend"), [(Sorted, "numpy"), (Bounded, "numpy"), pytest.param(Bounded, "numba", marks=pytest.mark.slow)]
)
def test_a_compiled_cell_may_use_them(kind: type[tg.Cell], backend: str) -> None:
    if backend == "numba":
        pytest.importorskip("numba")
    cell: Any = kind()
    x = np.random.default_rng(0).normal(size=(4, 2, 2))
    runs = []
    for step in (cell, tg.compile(cell, backend=backend)):
        run = tg.unroll(step, x)
        runs.append([run.stacked.data, *(g.data for g in tg.grad(tg.sum(run.stacked**2), [cell.w]))])
    for eager, compiled in zip(*runs, strict=True):
        np.testing.assert_allclose(compiled, eager, rtol=1e-12)

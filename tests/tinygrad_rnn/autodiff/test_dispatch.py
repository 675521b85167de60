"""NumPy's functions on Tensors: calls as NumPy takes them, and what is refused."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import overrides

import tinygrad_rnn as tg
from tests.strategies import calls
from tests.tinygrad_rnn.autodiff.compositions import LITTLE, X
from tinygrad_rnn.autodiff import dispatch

DIRECT = {f.__name__: (f, op.name) for f, op in dispatch.NUMPY.items() if isinstance(op, tg.Primitive)}


def test_every_other_function_says_that_it_has_no_rule() -> None:
    x = tg.tensor(1.0)
    for function in overrides.get_overridable_numpy_array_functions() - set(dispatch.NUMPY):
        with pytest.raises(TypeError, match=rf"{dispatch.numpy_name(function)} has no derivative rule"):
            x.__array_function__(function, (tg.Tensor,), (x,), {})
    for ufunc in overrides.get_overridable_numpy_ufuncs() - set(dispatch.NUMPY):
        with pytest.raises(TypeError, match=f"np.{ufunc.__name__} has no derivative rule"):
            x.__array_ufunc__(ufunc, "__call__", *[x] * ufunc.nin)


@pytest.mark.parametrize("name", sorted(DIRECT))
@pytest.mark.filterwarnings("ignore:numpy.fix is deprecated:DeprecationWarning")
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
    compared, older = 0, np.lib.NumpyVersion(np.__version__) < "2.3.0"  # where other arguments may be left out
    for function, operation in dispatch.NUMPY.items():
        try:
            theirs = inspect.signature(function).parameters
        except ValueError:  # a function in C, before NumPy 2.4
            continue
        ours = operation.signature if isinstance(operation, tg.Primitive) else inspect.signature(operation)
        for name in set(ours.parameters) & set(theirs) - {"x", "y"}:
            default, reference = ours.parameters[name].default, theirs[name].default
            if older and (default is inspect.Parameter.empty) != (reference is inspect.Parameter.empty):
                continue
            same = default is reference or default == reference or (repr(reference) == "<no value>" and not default)
            assert same, f"{dispatch.numpy_name(function)}: {name}={default}, NumPy's is {reference}"
            compared += 1
    assert compared > 100


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: np.mean(x, 0, np.float32), "np.mean on a Tensor takes no dtype"),
        (lambda x: np.sum(x, initial=3.0, where=X > 0), "np.sum on a Tensor takes no initial, where"),
        (lambda x: np.pad(x, 1, "edge", end_values=1), "np.pad on a Tensor takes no end_values"),
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

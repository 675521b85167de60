"""Compiled as eager: the error function, logical operations, extrema with ties and NaN, and lists of values."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import inspector
import tinygrad_rnn as tg
from tinygrad_rnn.autodiff import primitive

X = np.random.default_rng(0).normal(size=(5, 2, 3))


class Choosing(tg.Cell):
    """Uses what has rules with choices in them."""

    def step(self, x: Any, state: Any) -> Any:
        z = tg.named(z=x @ dict(self.named_parameters())["w"] + state.h)
        gelu = 0.5 * z * (1.0 + tg.erf(z * 0.5**0.5))
        inside = (z > -1.0) & ~(z > 1.5) | tg.logical_xor(z > 2.0, x > 0.0)
        top = tg.named(top=tg.max(z, axis=1, keepdims=True) - tg.min(tg.relu(z), axis=1, keepdims=True))
        return (tg.where(inside, tg.tanh(gelu + tg.maximum(z, x)), 0.25 * z) + 0.1 * top,)


class Listing(tg.Cell):
    """Writes lists where stacks are meant."""

    def step(self, x: Any, state: Any) -> Any:
        w = dict(self.named_parameters())["w"]
        z = tg.named(z=x @ w)
        top = tg.named(top=state.h * [w[0, 0], 1.0, w[0, 2]])
        return (tg.tanh(tg.sum([z, top, x], axis=0)),)


@pytest.mark.parametrize(
    ("kind", "backend"),
    [(Choosing, "numpy"), (Listing, "numpy"), pytest.param(Choosing, "numba", marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("bad", [None, np.nan, np.inf])
def test_compiled_is_eager(kind: Any, backend: str, bad: float | None) -> None:
    if backend == "numba":
        pytest.importorskip("numba", reason="compiled loops need pip install tinygrad-rnn[compile]")
    cell = kind(3, 3, seed=0)
    cell.parameter("w", (3, 3))
    inputs = X.copy()
    inputs[2, 0] = 0.0, 1.0, 1.0
    if bad is not None:
        inputs[3, 1, 1] = bad
    found = []
    for one in (cell, tg.compile(cell, backend=backend)):
        x = tg.tensor(inputs)
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("error", tg.CompileWarning)
            run = tg.unroll(one, x)
            loss = tg.sum(run.stacked[:, :, :2])
            wanted = [x, *cell.parameters(), run.names["z", 1], run.names["top", 2], run.states[3].h]
            found.append([run.stacked.data, *(g.data for g in tg.grad(loss, wanted))])
    for eager, compiled in zip(*found, strict=True):
        np.testing.assert_allclose(compiled, eager, rtol=1e-9, atol=1e-12)
    assert run.tape is not None


@pytest.mark.parametrize("declare", [tg.elementwise, lambda *r, **k: lambda f: tg.Primitive(f, r, elementwise=True)])
@pytest.mark.parametrize("backend", ["numpy", pytest.param("numba", marks=pytest.mark.slow)])
def test_an_operation_of_ones_own_is_never_taken_for_the_librarys_of_that_name(
    declare: Any, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(primitive, "PRIMITIVES", before := dict(tg.PRIMITIVES))

    @declare(lambda g, y, x: 3.0 * g * tg.cos(3.0 * x))
    def tanh(x: Any) -> Any:
        return np.sin(3.0 * x)

    class Own(tg.cells.RNNCell):
        def step(self, x: Any, state: Any) -> Any:
            return (tanh(x + state.h),)

    assert tanh.name == "custom_tanh" and before["tanh"].is_library
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tg.CompileWarning)
        compiled = tg.unroll(tg.compile(Own(3, 3), backend=backend), x := tg.tensor(X))
    eager = tg.unroll(Own(3, 3), y := tg.tensor(X))
    np.testing.assert_array_equal(compiled.stacked.data, eager.stacked.data)
    found, expected = (tg.grad(tg.sum(run.stacked), [of])[0].data for run, of in ((compiled, x), (eager, y)))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


class Branching(tg.Cell):
    """Reads a weight where its input, which is masked, is not positive, and there alone."""

    def step(self, x: Any, state: Any) -> Any:
        w, b = (parameter for _, parameter in self.named_parameters())
        z = tg.named(z=x @ w)
        low = tg.named(low=z + b)
        return (tg.where(z > 0.0, tg.tanh(z + state.h), 0.3 * low),)


@pytest.mark.parametrize("read", [0, 4])
@pytest.mark.parametrize("options", [{"lengths": [5, 2]}, {"lengths": [1, 1]}, {"lengths": [2, 3], "reverse": True}])
def test_both_branches_get_their_gradient_in_padded_batches(options: dict[str, Any], read: int) -> None:
    cell = Branching(3, 3, seed=0)
    w, b = cell.parameter("w", (3, 3)), cell.parameter("b", (3,))
    found = []
    for one in (cell, tg.compile(cell, backend="numpy")):
        w.grad = b.grad = None
        run = tg.unroll(one, X, **options)
        loss = (run.states[read].h ** 2).sum()
        loss.backward()
        trace = inspector.trace(run, loss)
        shares = [trace.parameter_gradient("b", t) for t in range(len(X))]
        found.append([w.grad, b.grad, *shares, trace.norm("low")])
    assert found[0][1] is not None
    for eager, compiled in zip(*found, strict=True):
        assert (eager is None) == (compiled is None)
        np.testing.assert_allclose(compiled, eager, rtol=1e-9, atol=1e-12)

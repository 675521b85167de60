"""A compiled cell is the cell as it is now: what it holds may change, and is noticed."""

from __future__ import annotations

import collections
import functools
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.tinygrad_rnn.compiler.cells import B, H, N, X
from tests.tinygrad_rnn.compiler.checks import close
from tinygrad_rnn.compiler.fingerprint import Glance, fingerprint


def test_tensors_from_elsewhere_are_read_anew(backend: str) -> None:
    class Scaled(tg.Cell):
        scale = tg.tensor(2.0)

        def step(self, x: Any, state: Any) -> Any:
            return (tg.tanh(state.h * self.scale + 0.1),)

    cell = Scaled(N, H, seed=0)
    compiled = tg.compile(cell, backend=backend)
    for number in (2.0, 3.0):
        cell.scale.data = number
        close(tg.unroll(cell, X).stacked.data, tg.unroll(compiled, X).stacked.data)


def test_weights_from_elsewhere_get_their_gradient(backend: str) -> None:
    """A step may read Tensors that are no parameters, and another one each time."""

    class Hyper(tg.Cell):
        weight: Any

        def step(self, x: Any, state: Any) -> Any:
            return (tg.tanh(x @ self.weight + state.h * 0.5),)

    cell = Hyper(N, H, seed=0)
    compiled = tg.compile(cell, backend=backend)
    for scale in (1.0, 2.0):
        source = tg.tensor(np.full((N, H), 0.1), requires_grad=True)
        cell.weight = source * scale
        found = [tg.grad(tg.unroll(one, X).stacked.sum(), [source])[0].data for one in (cell, compiled)]
        close(*found)


def test_an_attribute_that_has_changed_is_noticed() -> None:
    class Leak(tg.Cell):
        alpha: Any = 0.5
        mask = np.array([1.0, 1.0, 0.0, 1.0])

        def __init__(self, *sizes: int) -> None:
            super().__init__(*sizes, seed=0)
            self.settings = {"gain": [1.0, 2.0]}
            self.w = self.parameter("w", (N, H))

        def step(self, x: Any, state: Any) -> Any:
            return (self.alpha * state.h + (x @ self.w) * self.mask * self.settings["gain"][1],)

    cell = Leak(N, H)
    compiled = tg.compile(cell, backend="numpy")
    before = tg.unroll(compiled, X)
    expected = tg.grad(tg.unroll(cell, X).stacked.sum(), cell.w)[0].data
    shapes = compiled.recurrence(X, [np.zeros((B, H))])
    assert compiled.recurrence(X, [np.zeros((B, H))]) is shapes, "what has been worked out is used again"

    def changes() -> Any:
        yield setattr(cell, "alpha", 0.9)
        yield setattr(Leak, "mask", np.array([0.0, 1.0, 2.0, 1.0]))
        cell.mask[0] = 5.0
        yield
        cell.settings["gain"][1] = -1.0
        yield
        yield setattr(Leak, "step", lambda self, x, state: (tg.tanh(state.h + x @ self.w),))

    for number, _ in enumerate(changes()):
        close(tg.unroll(cell, X).stacked.data, tg.unroll(compiled, X).stacked.data, str(number))
    close(expected, tg.grad(before.stacked.sum(), cell.w)[0].data, "an earlier run keeps what it was made with")


def _step(self: Any, x: Any, state: Any) -> Any:
    return (tg.tanh(state.h * self.gain),)


CHANGES: dict[str, Callable[[Any], None]] = {
    "an attribute": lambda cell: setattr(cell, "gain", 3.0),
    "an equal one": lambda cell: setattr(cell, "sizes", (*cell.sizes,)),
    "one more": lambda cell: setattr(cell, "more", 1),
    "one less": lambda cell: delattr(cell, "sizes"),
    "another name": lambda cell: (setattr(cell, "dimensions", cell.sizes), delattr(cell, "sizes"))[0],
    "a parameter": lambda cell: cell._parameters.update(w=tg.tensor(1.0)),
    "of the class": lambda cell: setattr(type(cell), "bias", 0.25),
    "of its base": lambda cell: setattr(type(cell).__mro__[1], "gain", 1.0),
    "of a function": lambda cell: setattr(type(cell).__mro__[1].step, "gain", 1.0),
    "the class": lambda cell: setattr(cell, "__class__", type("Third", (type(cell),), {"gain": 7.0})),
    "a function for a number": lambda cell: setattr(type(cell), "bias", property(lambda self: 0.5)),
    "how it was made": lambda cell: setattr(cell, "initialisation", "otherwise"),
    "one to a whole number": lambda cell: setattr(cell, "one", 1),
    "one to true": lambda cell: setattr(cell, "one", True),
    "nothing": lambda cell: None,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_where_a_glance_sees_no_change_there_is_none(change: Callable[[Any], None]) -> None:
    base = type("Base", (tg.Cell,), {"gain": 2.0, "step": types.FunctionType(_step.__code__, globals())})
    cell = type("Leaf", (base,), {"bias": 0.5})(N, H, seed=0)
    cell.w, cell.one, cell.sizes = cell.parameter("w", (N, H)), 1.0, (1, 2)
    glance, before = Glance(cell), fingerprint(cell)
    assert glance.sure and glance.holds()
    change(cell)
    assert glance.holds() == (change is CHANGES["nothing"])
    assert glance.holds() <= (fingerprint(cell) == before)


@pytest.mark.parametrize("kind", [tg.cells.LSTMCell, tg.cells.GRUCell, tg.cells.RNNCell])
def test_a_glance_is_enough_for_cells_of_numbers_and_parameters(kind: Any) -> None:
    assert Glance(kind(N, H, seed=0)).holds()


@pytest.mark.parametrize("value", [np.ones(2), [1.0], {"a": [1.0]}, (1, [2]), types.SimpleNamespace(), {1, 2}])
def test_a_glance_is_not_enough_for_what_may_change_inside(value: Any) -> None:
    cell = tg.cells.RNNCell(N, H, seed=0)
    cell.extra = value  # type: ignore[attr-defined]
    glance = Glance(cell)
    assert not glance.sure and not glance.holds()


def test_a_changed_attribute_that_changes_nothing_is_worked_out_once() -> None:
    cell = tg.cells.RNNCell(N, H, seed=0)
    compiled = tg.compile(cell, backend="numpy")
    found = compiled.recurrence(X, [np.zeros((B, H))])
    cell.initialisation = "otherwise"
    assert compiled.recurrence(X, [np.zeros((B, H))]) is found and compiled._latest is not None
    assert all(glance.holds() for glance in compiled._latest._glances)


class Slotted:
    __slots__ = ("a",)

    def __init__(self) -> None:
        self.a = 0.5


class Called:
    def __init__(self) -> None:
        self.a = 0.5

    def __call__(self) -> float:
        return self.a


def _function() -> Any:
    def alpha() -> float:
        return float(vars(alpha)["a"])

    alpha.a = 0.5  # type: ignore[attr-defined]
    return alpha


def _boxed(value: float) -> Any:
    box = np.empty(1, object)
    box[0] = value
    return box


HOLDERS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any], Callable[[Any], None]]] = {
    "namespace": (lambda: types.SimpleNamespace(a=0.5), lambda v: v.a, lambda v: setattr(v, "a", 0.9)),
    "slots": (Slotted, lambda v: v.a, lambda v: setattr(v, "a", 0.9)),
    "slots inside": (
        lambda: types.SimpleNamespace(b=[{"k": Slotted()}]),
        lambda v: v.b[0]["k"].a,
        lambda v: setattr(v.b[0]["k"], "a", 0.9),
    ),
    "callable": (Called, lambda v: v(), lambda v: setattr(v, "a", 0.9)),
    "bound method": (lambda: Called().__call__, lambda v: v(), lambda v: setattr(v.__self__, "a", 0.9)),
    "partial": (lambda: functools.partial(lambda a: a, a=0.5), lambda v: v(), lambda v: v.keywords.update(a=0.9)),
    "function": (_function, lambda v: v(), lambda v: setattr(v, "a", 0.9)),
    "deque": (lambda: collections.deque([0.5]), lambda v: v[0], lambda v: v.__setitem__(0, 0.9)),
    "user's mapping": (lambda: collections.UserDict(a=0.5), lambda v: v["a"], lambda v: v.update(a=0.9)),
    "default mapping": (lambda: collections.defaultdict(float, a=0.5), lambda v: v["a"], lambda v: v.update(a=0.9)),
    "bytes": (lambda: bytearray([1]), lambda v: float(v[0]), lambda v: v.__setitem__(0, 2)),
    "array of objects": (lambda: _boxed(0.5), lambda v: v[0], lambda v: v.__setitem__(0, 0.9)),
}


@pytest.mark.parametrize("holder", HOLDERS)
def test_a_change_is_noticed_in_whatever_an_attribute_holds(holder: str) -> None:
    make, read, change = HOLDERS[holder]

    class Leak(tg.Cell):
        held: Any = None

        def step(self, x: Any, state: Any) -> Any:
            return (tg.tanh(x) + read(self.held) * state.h,)

    cell = Leak(N, N)
    cell.held = make()
    compiled = tg.compile(cell, backend="numpy")
    first = tg.unroll(compiled, X).stacked.data
    known = compiled.recurrence(X, [np.zeros((B, N))])
    assert compiled.recurrence(X, [np.zeros((B, N))]) is known, "nothing has changed"
    change(cell.held)
    expected = tg.unroll(cell, X).stacked.data
    assert not np.allclose(expected, first)
    close(expected, tg.unroll(compiled, X).stacked.data)


def test_a_step_that_counts_its_calls_is_traced_once() -> None:
    class Counting(tg.Cell):
        calls = 0

        def step(self, x: Any, state: Any) -> Any:
            self.calls += 1
            return (tg.tanh(state.h + x[:, :1]),)

    cell = Counting(N, H)
    compiled = tg.compile(cell, backend="numpy")
    for batch in (2, 3, 2, 3):
        tg.unroll(compiled, X[:, :batch])
    assert cell.calls == 2

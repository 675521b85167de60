"""Calls of NumPy's functions, each drawn with its arguments: what compositions are tested on."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tests.strategies import axes, broadcastable, distinct, eighths, nonzero, positive, shapes, values
from tinygrad_rnn.autodiff import dispatch

LITTLE = settings(max_examples=max(3, settings.default.max_examples // 3))
"""There are many functions, and each of their forms is a case of its own."""
Draw = Callable[[st.SearchStrategy[Any]], Any]
Case = Callable[[Draw], tuple[Callable[..., Any], list[Any]]]
"""Draws a call, ``call(module, *arrays)``, and its arrays."""
X = np.array([[0.5, -1.25, 2.0], [1.5, 0.25, -0.75]])
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


def _pad(draw: Draw) -> Any:
    shape = draw(shapes(min_dims=1, max_dims=2, min_side=1))
    widths = st.tuples(st.integers(0, 4), st.integers(0, 4))
    width = draw(st.integers(0, 4) | widths | st.lists(widths, min_size=len(shape), max_size=len(shape)))
    mode = draw(st.sampled_from(["constant", "edge", "reflect", "symmetric", "wrap"]))
    return lambda m, x: m.pad(x, width, mode), [draw(values(shape))]


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
    "pad": _pad,
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


def drawn(case: Case, data: st.DataObject) -> tuple[Callable[..., Any], list[Any]]:
    """A call and its arrays, of which no two elements are the same: what simple draws leave unseen would go unseen."""
    call, arrays = case(data.draw)
    return call, [x + 0.01 * np.sin(1.0 + 7.0 * np.arange(x.size) + k).reshape(x.shape) for k, x in enumerate(arrays)]


def parts(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]

"""Cells nobody has drawn yet: random steps of primitive operations, for property tests of the drawing and of
compiled loops.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

import tinygrad_rnn as tg

SIZE = 3
BATCH = 2

UNARY: dict[str, Callable[[Any], Any]] = {
    "sigmoid": tg.sigmoid,
    "tanh": tg.tanh,
    "relu": tg.relu,
    "exp": tg.exp,
    "negative": tg.negative,
    "one minus": lambda v: 1.0 - v,
    "twice": lambda v: v * 2.0,
    "double": lambda v: v + v,
    "flipped": lambda v: tg.transpose(tg.transpose(v)),
    "stopped": tg.stop_gradient,
}
BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": tg.add,
    "subtract": tg.subtract,
    "multiply": tg.multiply,
    "maximum": tg.maximum,
}
PRODUCTS: dict[str, Callable[..., Any]] = {
    "matmul": lambda u, v, w, n: n(u @ w(SIZE, u.shape[1]).T),
    "peephole": lambda u, v, w, n: n(u * w(u.shape[1])),
}
PLAIN = {
    **PRODUCTS,
    **{name: lambda u, v, w, n, f=f: n(f(u)) for name, f in UNARY.items()},
    **{name: lambda u, v, w, n, f=f: n(f(u, v)) for name, f in BINARY.items()},
}
"""Operations between values of one width: from two values, a maker of weights and what names a value to the result."""


def _fit(v: Any, width: int) -> Any:
    """A value cut, or repeated, to a width."""
    copies = -(-width // v.shape[1])
    return (tg.concatenate([v] * copies, axis=1) if copies > 1 else v)[:, :width]


def _half(u: Any) -> int:
    return max(1, u.shape[1] // 2)


WIDE: dict[str, Callable[..., Any]] = {
    **{name: lambda u, v, w, n, f=f: n(f(u)) for name, f in UNARY.items() if name not in ("exp", "twice", "double")},
    **{name: lambda u, v, w, n, f=f: n(f(u, _fit(v, u.shape[1]))) for name, f in BINARY.items()},
    "product": lambda u, v, w, n: n(u @ w(u.shape[1], 4)),
    "transposed product": lambda u, v, w, n: n(u @ w(3, u.shape[1]).T),
    "from the left": lambda u, v, w, n: n(w(2, u.shape[1]) @ u.T).T,
    "product of joined": lambda u, v, w, n: n(tg.concatenate([u, v], axis=1)) @ w(u.shape[1] + v.shape[1], 3),
    "gates": lambda u, v, w, n: (lambda z: tg.sigmoid(n(z[:, :3])) * tg.tanh(z[:, 3:]))(
        u @ w(u.shape[1], 6) + v @ w(v.shape[1], 6)
    ),
    "two readers": lambda u, v, w, n: tg.tanh(n(u @ w(u.shape[1], 2))) + u @ w(u.shape[1], 2),
    "peephole": lambda u, v, w, n: n(u * w(u.shape[1])),
    "bias": lambda u, v, w, n: n(u + w(u.shape[1])),
    "slice": lambda u, v, w, n: n(u[:, : _half(u)]),
    "slice of slice": lambda u, v, w, n: n(u[:, _half(u) - 1 :])[:, : _half(u)],
    "window": lambda u, v, w, n: n(u)[:, -_half(u) :] * 0.7,
    "every other": lambda u, v, w, n: n(u[:, ::2]),
    "backwards": lambda u, v, w, n: n(u[:, ::-1]),
    "column": lambda u, v, w, n: n(u[:, 0])[:, None],
    "transposes": lambda u, v, w, n: tg.transpose(n(tg.transpose(u))),
    "in between": lambda u, v, w, n: tg.transpose(tg.tanh(n(tg.transpose(u)))),
    "concatenate": lambda u, v, w, n: n(tg.concatenate([u, v], axis=1)[:, :5]),
    "where": lambda u, v, w, n: n(tg.where(u > 0.1, u, _fit(v, u.shape[1]) * 0.5)),
    "one or none": lambda u, v, w, n: u * n(tg.where(u > 0.0, 1.0, 0.0)),
    "comparison": lambda u, v, w, n: (u > _fit(v, u.shape[1])) * u,
    "minimum": lambda u, v, w, n: n(tg.minimum(u, 0.3 * v[:, :1])),
    "softmax": lambda u, v, w, n: n(tg.softmax(u, axis=1)),
    "logsumexp": lambda u, v, w, n: u - n(tg.logsumexp(u, axis=1, keepdims=True)),
    "take": lambda u, v, w, n: n(tg.take(u, np.array([0, u.shape[1] - 1, 0]), axis=1)),
    "list of columns": lambda u, v, w, n: n(u[:, [u.shape[1] - 1, 0]]),
    "mean": lambda u, v, w, n: u * n(v.mean(axis=1, keepdims=True)),
    "norm": lambda u, v, w, n: u / tg.sqrt(n((u**2).sum(axis=1)) + 1.0)[:, None],
    "factors": lambda u, v, w, n: u * n(tg.prod(v, axis=1, keepdims=True)),
    "largest": lambda u, v, w, n: u - n(tg.max(v, axis=1, keepdims=True)),
    "outer": lambda u, v, w, n: tg.einsum("bi,bj->bij", u, v).sum(axis=2) * 0.5,
    "stack": lambda u, v, w, n: n(tg.stack([u, _fit(v, u.shape[1])], axis=1)).sum(axis=1) * 0.5,
    "split": lambda u, v, w, n: (lambda parts: n(parts[0]) * parts[1])(tg.split(_fit(u, 4), 2, axis=1)),
    "reshape": lambda u, v, w, n: n(tg.reshape(u, (u.shape[0], 1, u.shape[1]))).sum(axis=1),
    "running sum": lambda u, v, w, n: n(tg.cumsum(u, axis=1)) * 0.5,
    "flip": lambda u, v, w, n: n(tg.flip(u, axis=1)),
    "pad": lambda u, v, w, n: n(tg.pad(u[:, :2], ((0, 0), (1, 0)))),
    "constant": lambda u, v, w, n: n(u * np.linspace(-1.0, 1.0, u.shape[1])),
    "weights alone": lambda u, v, w, n: u * n(tg.sigmoid(w(u.shape[1]))),
    "weight of weights": lambda u, v, w, n: u @ n(w(u.shape[1], 2) @ w(2, 2)),
}
"""Operations between values of any widths, each looking at every sequence by itself."""


def _row(u: Any) -> Any:
    """A value with one axis beside the batch."""
    return u if u.ndim == 2 else tg.reshape(u, (u.shape[0], u.shape[1] * u.shape[2]))[:, :4]


def _matrix(u: Any) -> Any:
    """A value with two axes beside the batch."""
    return u if u.ndim == 3 else u[:, :, None]


def _fit_matrix(u: Any, rows: int, columns: int) -> Any:
    """A value cut, or repeated, to a shape beside the batch."""
    u = _matrix(u)
    for axis, width in ((1, rows), (2, columns)):
        copies = -(-width // u.shape[axis])
        u = tg.concatenate([u] * copies, axis=axis) if copies > 1 else u
    return u[:, :rows, :columns]


def _square(u: Any) -> Any:
    n = min(u.shape[1:])
    return u[:, :n, -n:]


def _turned(u: Any) -> Any:
    return tg.transpose(u, (0, 2, 1))


def _of_matrices(f: Callable[..., Any]) -> Callable[..., Any]:
    return lambda u, v, w, n: f(_matrix(u), _matrix(v), _row(v), w, n)


_MATRICES: dict[str, Callable[..., Any]] = {
    "sigmoid of matrices": lambda m, o, r, w, n: n(tg.sigmoid(m)),
    "tanh of matrices": lambda m, o, r, w, n: n(tg.tanh(m)),
    "sum of matrices": lambda m, o, r, w, n: n(m + _fit_matrix(o, *m.shape[1:])),
    "product of elements": lambda m, o, r, w, n: n(m * _fit_matrix(o, *m.shape[1:])),
    "gate of rows": lambda m, o, r, w, n: m * n(tg.sigmoid(_fit(r, m.shape[1])))[:, :, None],
    "gate of columns": lambda m, o, r, w, n: n(m * tg.expand_dims(tg.sigmoid(_fit(r, m.shape[2])), 1)),
    "gate of all": lambda m, o, r, w, n: m * tg.sigmoid(n(r[:, 0]))[:, None, None],
    "outer product": lambda m, o, r, w, n: n(r[:, :, None] * r[:, None, :]),
    "outer by einsum": lambda m, o, r, w, n: n(tg.einsum("bi,bj->bji", m[:, :, 0], r)),
    "outer by matmul": lambda m, o, r, w, n: n(m[:, -1][:, :, None] @ r[:, None, :]),
    "matrix and vector": lambda m, o, r, w, n: n(tg.einsum("bij,bj->bi", m, _fit(r, m.shape[2]))),
    "matrix and column": lambda m, o, r, w, n: n((m @ _fit(r, m.shape[2])[:, :, None])[:, :, 0]),
    "vector and matrix": lambda m, o, r, w, n: (_fit(r, m.shape[1])[:, None] @ n(-m))[:, 0, :],
    "key and value": lambda m, o, r, w, n: n(tg.einsum("bij,bi->bj", m, _fit(r, m.shape[1]))),
    "two matrices": lambda m, o, r, w, n: n(m @ _fit_matrix(o, m.shape[2], 3)) * 0.5,
    "matrix and turned": lambda m, o, r, w, n: n(_turned(m) @ _fit_matrix(o, m.shape[1], 2)) * 0.5,
    "three factors": lambda m, o, r, w, n: n(tg.einsum("bij,bj,bk->bik", m, _fit(r, m.shape[2]), r)) * 0.5,
    "quadratic form": lambda m, o, r, w, n: n(
        tg.einsum("bi,bij,bj->b", _fit(r, m.shape[1]), m, _fit(r, m.shape[2]))[:, None]
    ),
    "stack by weights": lambda m, o, r, w, n: n(m @ w(m.shape[2], 3)),
    "weights by stack": lambda m, o, r, w, n: n(w(2, m.shape[1]) @ m),
    "stack by a vector": lambda m, o, r, w, n: n(m @ w(m.shape[2])),
    "a vector by stack": lambda m, o, r, w, n: n(w(m.shape[1]) @ m),
    "weights in the middle": lambda m, o, r, w, n: n(tg.einsum("bij,kij->bk", m, w(3, *m.shape[1:]))),
    "weights of weights": lambda m, o, r, w, n: n(tg.einsum("bij,ik,kl->bjl", m, w(m.shape[1], 2), w(2, 3))),
    "heads": lambda m, o, r, w, n: n(
        tg.reshape(tg.einsum("bhi,bhj->bhij", m, _fit_matrix(o, m.shape[1], 2)), (len(m), m.shape[1] * 2, m.shape[2]))
    ),
    "turned": lambda m, o, r, w, n: n(tg.transpose(m, (0, 2, 1))),
    "turned and flat": lambda m, o, r, w, n: n(tg.reshape(tg.tanh(_turned(m)), (len(m), m.shape[1] * m.shape[2])))[
        :, -3:
    ],
    "flat and turned": lambda m, o, r, w, n: tg.reshape(_turned(n(-m)), (len(m), 1, m.shape[1] * m.shape[2])),
    "window of rows": lambda m, o, r, w, n: n(m[:, m.shape[1] // 2 :, :2] * 0.5),
    "window and flat": lambda m, o, r, w, n: tg.reshape(n(-m)[:, :, :1], (len(m), m.shape[1])),
    "first row": lambda m, o, r, w, n: n(m[:, 0]),
    "last column": lambda m, o, r, w, n: n(m[..., -1]) * 2.0,
    "a row of its own": lambda m, o, r, w, n: n(m[:, None, -1]),
    "one element": lambda m, o, r, w, n: n(-m)[:, 0, -1, None],
    "diagonal": lambda m, o, r, w, n: n(tg.einsum("bii->bi", _square(m))),
    "trace": lambda m, o, r, w, n: r * n(tg.einsum("bii->b", _square(m)))[:, None],
    "subdiagonal": lambda m, o, r, w, n: n(tg.diagonal(m, 1 - m.shape[1], 1, 2)),
    "stacked": lambda m, o, r, w, n: n(tg.stack([r, r * 0.5, _fit(m[:, 0], r.shape[1])], axis=2)),
    "joined": lambda m, o, r, w, n: n(tg.concatenate([m, _fit_matrix(o, m.shape[1], 1)], axis=2)),
    "sums of rows": lambda m, o, r, w, n: n(m.sum(axis=1)),
    "mean of all": lambda m, o, r, w, n: m - n(m.mean(axis=(1, 2), keepdims=True)),
    "largest of rows": lambda m, o, r, w, n: m - n(tg.max(m, axis=2, keepdims=True)),
    "norm of rows": lambda m, o, r, w, n: m / tg.sqrt(n((m * m).sum(axis=2, keepdims=True)) + 1.0),
    "weights of one shape": lambda m, o, r, w, n: n(m * tg.exp(w(*m.shape[1:]))),
    "chosen": lambda m, o, r, w, n: n(tg.where(m > _fit_matrix(o, *m.shape[1:]), m, 0.1)),
    "projected": lambda m, o, r, w, n: n(tg.reshape(r @ w(6, r.shape[1]).T, (len(m), 2, 3))),
}
MATRICES = {name: _of_matrices(f) for name, f in _MATRICES.items()}
"""Operations on matrices, each looking at every sequence by itself; all of them can be compiled."""

COMPILED = (
    *[name for name in UNARY if name not in ("exp", "twice", "double")],
    *[*BINARY, "product", "transposed product", "gates", "peephole", "bias", "slice", "column", "concatenate", "where"],
    *["norm", "outer", "reshape", "stack", "mean"],
)
"""Those of :data:`WIDE` that can be, too."""

MIXING: dict[str, Callable[..., Any]] = {
    "over the batch": lambda u, v, w, n: u * n(tg.tanh(v.sum(axis=0))[:1]),
    "number": lambda u, v, w, n: u * n(tg.tanh(v.sum())),
}
"""Operations that carry something from one sequence of a batch to the others."""

Plan = list[tuple[str, int, int, "str | None"]]


class RandomCell(tg.Cell):
    """A cell whose step follows `plan`.

    Parameters
    ----------
    plan : list of (operation, number of a value, number of another, name or None)
    states : list of int
        Which values become the next states.
    widths : list of int or of (rows, columns), optional
        Of the input and of each state; all `SIZE` when omitted.
    dtype : optional
    seed : int
        Of the weights.
    """

    def __init__(
        self, plan: Plan, states: list[int], widths: Any = None, dtype: Any = np.float64, seed: int = 0
    ) -> None:
        self.plan, self.states = plan, states
        self.widths: Any = widths or [SIZE] * (len(states) + 1)
        super().__init__(self.widths[0], self.widths[1], seed=seed, dtype=dtype)
        self.name_states(*"hcns"[: len(states)])
        self.operations = PLAIN if widths is None else WIDE | MATRICES | MIXING
        with np.errstate(all="ignore"):  # once, so that all weights are declared
            self.step(np.zeros((BATCH, self.input_size), dtype), self.initial_state(BATCH))

    def initial_state(self, batch: int) -> Any:
        return self.State(*[np.zeros((batch, *np.atleast_1d(width)), self.dtype) for width in self.widths[1:]])

    def step(self, x: Any, state: Any) -> Any:
        values = [x, *state]
        for k, (op, a, b, name) in enumerate(self.plan):
            left, right = values[a % len(values)], values[b % len(values)]
            count = iter(range(9))

            def weight(*shape: int, k: int = k, count: Any = count) -> Any:
                own = f"w{k}" + "abcdefghi"[next(count)]
                return self._parameters[own] if own in self._parameters else self.parameter(own, shape)

            def note(value: Any, name: str | None = name) -> Any:
                return value if name is None else tg.named(**{name: value})

            if op not in MATRICES:
                left, right = _row(left), _row(right)
            values.append(self.operations[op](left, right, weight, note))
        chosen = [values[k % (len(values) - 1) + 1] for k in self.states]
        return tuple(_state(value, width) for value, width in zip(chosen, self.widths[1:], strict=True))

    def twin(self, seed: int) -> RandomCell:
        """A cell of the same plan with other weights."""
        return RandomCell(self.plan, self.states, self.widths, self.dtype, seed)

    def __repr__(self) -> str:
        return f"RandomCell({self.plan}, {self.states}, {self.widths}, {self.dtype.name!r})"


def _state(value: Any, width: Any) -> Any:
    if isinstance(width, tuple):
        return value if value.shape[1:] == width else _fit_matrix(value, *width)
    return _row(value) if _row(value).shape[1] == width else _fit(_row(value), width)


def random_cell(plan: Plan, states: list[int]) -> tg.Cell:
    """A cell with values of one width whose step follows `plan`."""
    return RandomCell(plan, states)


def _steps(operations: Any, names: list[str | None]) -> st.SearchStrategy[tuple[str, int, int, str | None]]:
    return st.tuples(st.sampled_from([*operations]), st.integers(0, 9), st.integers(0, 9), st.sampled_from(names))


@st.composite
def cells(draw: Callable[[st.SearchStrategy[Any]], Any]) -> tg.Cell:
    """A random cell."""
    names = [None, None, "f", "i", "my gate", '<b>"&\\N', "ü→\n✓"]
    plan = draw(st.lists(_steps(PLAIN, names), min_size=1, max_size=9))
    return random_cell(plan, draw(st.lists(st.integers(0, 12), min_size=1, max_size=3)))


@st.composite
def runs(draw: Callable[[st.SearchStrategy[Any]], Any], max_steps: int = 4) -> Any:
    """A random cell, unrolled."""
    cell = draw(cells())
    steps = draw(st.integers(1, max_steps))
    options: dict[str, Any] = {"reverse": draw(st.booleans())}
    if draw(st.booleans()):
        options["truncate"] = draw(st.integers(1, 3))
    if draw(st.booleans()):
        options["lengths"] = [steps, draw(st.integers(1, steps))]
    inputs = np.random.default_rng(draw(st.integers(0, 99))).normal(size=(steps, BATCH, SIZE))
    with np.errstate(all="ignore"):
        return tg.unroll(cell, inputs, **options)


@st.composite
def wide_cells(
    draw: Callable[[st.SearchStrategy[Any]], Any], mixing: bool = True, dtypes: Any = (np.float64, np.float32)
) -> RandomCell:
    """A random cell of one to four states of different widths; with `mixing`, sequences of a batch may see each
    other.
    """
    operations = {**WIDE, **MATRICES, **(MIXING if mixing else {})}
    plan = draw(st.lists(_steps(operations, [None, "f", "i", "z", "my gate"]), min_size=1, max_size=10))
    plan.append(("tanh", draw(st.integers(0, 9)), 0, None))  # something that keeps states small
    states = [
        len(plan) + 99 if draw(st.booleans()) else draw(st.integers(0, 15)) for _ in range(draw(st.integers(1, 4)))
    ]
    sizes = st.integers(1, 4)
    widths = [draw(sizes), draw(sizes), *(draw(sizes | sizes | st.tuples(sizes, sizes)) for _ in states[1:])]
    return RandomCell(plan, states, widths, draw(st.sampled_from(dtypes)))


@st.composite
def matrix_cells(draw: Callable[[st.SearchStrategy[Any]], Any], dtypes: Any = (np.float64, np.float32)) -> RandomCell:
    """A random cell with states that are matrices, of operations that can be compiled."""
    steps = _steps(MATRICES, [None, "f", "S", "my gate"])
    plan = draw(st.lists(steps | steps | _steps(COMPILED, [None, "i", "z"]), min_size=1, max_size=8))
    plan.append(("tanh of matrices", draw(st.integers(0, 9)), 0, None))  # something that keeps states small
    count = draw(st.integers(1, 3))
    states = [len(plan) + k for k in draw(st.lists(st.integers(-1, 15), min_size=count + 1, max_size=count + 1))]
    sizes = st.integers(1, 4)
    shapes = draw(st.lists(st.tuples(sizes, sizes), min_size=count, max_size=count))
    return RandomCell(plan, states, [draw(sizes), draw(sizes), *shapes], draw(st.sampled_from(dtypes)))


@st.composite
def ways_to_run(
    draw: Callable[[st.SearchStrategy[Any]], Any], max_steps: int = 50
) -> tuple[int, int, dict[str, Any], Any]:
    """Timesteps, batch, options of ``unroll`` and checkpoint."""
    steps, batch = draw(st.integers(1, 4) | st.integers(1, max_steps)), draw(st.sampled_from([1, 7, 2, 0]))
    options: dict[str, Any] = {"reverse": True} if draw(st.booleans()) else {}
    if draw(st.booleans()):
        options["truncate"] = draw(st.integers(1, 5))
    if draw(st.booleans()):
        options["lengths"] = np.array(draw(st.lists(st.integers(1, steps), min_size=batch, max_size=batch)), int)
    return steps, batch, options, draw(st.sampled_from([None, None, "sqrt", 1, 3]))

"""What the property tests draw from: shapes, values, calls of primitives, expression graphs, cells.

Values lie on a grid of eighths, so that zeros and ties are common. Where a function has a kink or a pole,
the operands are drawn from parts of the grid that stay clear of it; no test filters or loosens.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

import tinygrad_rnn as tg

Array = np.ndarray
Draw = Callable[[st.SearchStrategy[Any]], Any]

FEW = settings(max_examples=max(5, settings.default.max_examples // 3))
"""For properties whose single example is expensive: second order, whole cells."""


# ------------------------------------------------------------------------------------ shapes, values


def shapes(min_dims: int = 0, max_dims: int = 3, min_side: int = 0, max_side: int = 3) -> st.SearchStrategy:
    """Shapes with 0-d, size-0 and size-1 axes among them."""
    return hnp.array_shapes(min_dims=min_dims, max_dims=max_dims, min_side=min_side, max_side=max_side)


def broadcastable(count: int, max_dims: int = 2, min_side: int = 0) -> st.SearchStrategy:
    """As many shapes that broadcast together, in every direction."""
    return hnp.mutually_broadcastable_shapes(
        num_shapes=count, min_dims=0, max_dims=max_dims, min_side=min_side, max_side=3
    ).map(lambda drawn: drawn.input_shapes)


def eighths(low: float, high: float, shape: tuple[int, ...]) -> st.SearchStrategy:
    """Arrays on the grid of eighths from `low` to `high`."""
    whole = st.integers(round(low * 8), round(high * 8))
    return hnp.arrays(np.int64, shape, elements=whole).map(lambda k: np.asarray(k / 8))


def values(shape: tuple[int, ...]) -> st.SearchStrategy:
    """Any values, zeros and ties included."""
    return eighths(-2, 2, shape)


def positive(shape: tuple[int, ...]) -> st.SearchStrategy:
    """Values of at least 1/4, clear of the poles at 0."""
    return eighths(0.25, 2.5, shape)


def nonzero(shape: tuple[int, ...]) -> st.SearchStrategy:
    """Values of both signs, at least 1/4 away from 0."""
    signs = hnp.arrays(np.bool_, shape)
    return st.builds(lambda x, s: np.where(s, x, -x), positive(shape), signs)


def distinct(shape: tuple[int, ...]) -> st.SearchStrategy:
    """Values of which no two are closer than 1/4."""
    n = int(np.prod(shape))
    return st.permutations(range(n)).map(lambda order: np.asarray((np.array(order, float) - n // 2).reshape(shape) / 4))


def booleans(shape: tuple[int, ...]) -> st.SearchStrategy:
    return hnp.arrays(np.bool_, shape)


@st.composite
def axes(draw: Draw, ndim: int) -> Any:
    """None, an axis, a negative axis, or a tuple of them; the empty tuple too."""
    if ndim == 0:
        return draw(st.sampled_from([None, ()]))
    single = st.integers(-ndim, ndim - 1)
    several = st.lists(single, max_size=ndim, unique_by=lambda a: a % ndim).map(tuple)
    return draw(st.one_of(st.none(), single, several))


# ------------------------------------------------------------------------------- calls of primitives


@dataclass(frozen=True)
class Call:
    """A primitive with operands and attributes it can be applied to."""

    op: tg.Primitive
    operands: tuple[Array, ...]
    attributes: dict[str, Any] = field(default_factory=dict)

    def __call__(self, *operands: Any) -> Any:
        return self.op(*operands, **self.attributes)

    @property
    def smooth(self) -> tuple[int, ...]:
        """The operands that have a derivative."""
        return tuple(k for k in range(len(self.operands)) if self.op.rule(k) is not None)

    def of_smooth(self, *smooth: Any) -> Any:
        """The call as a function of its differentiable operands alone."""
        operands: list[Any] = list(self.operands)
        for k, value in zip(self.smooth, smooth, strict=True):
            operands[k] = value
        return self(*operands)

    @property
    def smooth_operands(self) -> list[Array]:
        return [self.operands[k] for k in self.smooth]


def _each(*kinds: Callable[[tuple[int, ...]], st.SearchStrategy]) -> Any:
    """Operands that broadcast, each from its own part of the numbers."""

    def arguments(draw: Draw) -> Any:
        drawn = draw(broadcastable(len(kinds)))
        return tuple(draw(kind(shape)) for kind, shape in zip(kinds, drawn, strict=True)), {}

    return arguments


def _apart(draw: Draw) -> Any:
    """Two operands that differ by at least 1/8 wherever they meet."""
    left, right = draw(broadcastable(2))
    return (np.asarray(2 * draw(values(left)) + 0.125), np.asarray(2 * draw(values(right)))), {}


def _between(draw: Draw) -> Any:
    """A dividend halfway between two multiples of a divisor."""
    left, right = draw(broadcastable(2))
    y = draw(st.sampled_from([0.5, -0.5, 1.5]))
    return (np.asarray(y * (np.floor(draw(values(left)) * 4) + 0.5)), np.full(right, y)), {}


def _round(draw: Draw) -> Any:
    return (draw(values(draw(shapes()))),), {"decimals": draw(st.integers(-1, 2))}


def _reduction(kind: Callable[..., Any], min_side: int = 0) -> Any:
    def arguments(draw: Draw) -> Any:
        shape = draw(shapes(min_side=min_side, max_dims=3, max_side=2))
        return (draw(kind(shape)),), {"axis": draw(axes(len(shape))), "keepdims": draw(st.booleans())}

    return arguments


def _over_one_axis(draw: Draw) -> Any:
    shape = draw(shapes(min_dims=1))
    return (draw(values(shape)),), {"axis": draw(st.integers(-len(shape), len(shape) - 1))}


def _broadcast_to(draw: Draw) -> Any:
    drawn = draw(hnp.mutually_broadcastable_shapes(num_shapes=1, base_shape=draw(shapes()), max_dims=3, min_side=0))
    return (draw(values(drawn.input_shapes[0])),), {"shape": drawn.result_shape}


def _reshape(draw: Draw) -> Any:
    shape = draw(shapes())
    n = int(np.prod(shape))
    targets = [(n,), (1, n), (n, 1, 1), shape[::-1]] + ([(-1,), (1, -1), -1] if n else [])
    return (draw(values(shape)),), {"shape": draw(st.sampled_from(targets))}


def _transpose(draw: Draw) -> Any:
    shape = draw(shapes())
    order = draw(st.permutations(range(len(shape))))
    signs = draw(st.lists(st.booleans(), min_size=len(shape), max_size=len(shape)))
    mixed = tuple(a - len(shape) if s else a for a, s in zip(order, signs, strict=True))
    return (draw(values(shape)),), {"axes": draw(st.sampled_from([None, mixed]))}


def _flip(draw: Draw) -> Any:
    shape = draw(shapes())
    return (draw(values(shape)),), {"axis": draw(axes(len(shape)))}


def _pad(draw: Draw) -> Any:
    shape = draw(shapes(min_dims=1, max_dims=2))
    width = st.integers(0, 2)
    pairs = st.lists(st.tuples(width, width), min_size=len(shape), max_size=len(shape))
    attributes = {"pad_width": draw(st.one_of(width, st.tuples(width, width), pairs))}
    if draw(st.booleans()):
        attributes["constant_values"] = 3.0
    return (draw(values(shape)),), attributes


@st.composite
def _index_arrays(draw: Draw, shape: tuple[int, ...]) -> Any:
    """Integer arrays that repeat places, boolean masks, and both after a slice."""
    n = shape[0]
    whole = hnp.arrays(np.int64, draw(shapes(max_dims=2)), elements=st.integers(-n, n - 1))
    chosen = draw(st.one_of(whole, booleans((n,)), booleans(shape)))
    if len(shape) > 1 and draw(st.booleans()):
        places = hnp.arrays(np.int64, 3, elements=st.integers(0, shape[1] - 1))
        forms = [(slice(None), draw(places)), (draw(whole.filter(np.ndim)), Ellipsis)]
        if len(shape) > 2:  # index arrays that stand apart
            forms.append((draw(places) % n, slice(None), draw(places) % shape[2]))
        return draw(st.sampled_from(forms))
    return chosen


@st.composite
def indices(draw: Draw, shape: tuple[int, ...]) -> Any:
    """Slices with steps, integers, new axes, ellipses; integer and boolean arrays."""
    basic = hnp.basic_indices(shape, allow_newaxis=True)
    if not shape or not all(shape) or draw(st.booleans()):
        return draw(basic)
    return draw(_index_arrays(shape))


def _getitem(draw: Draw) -> Any:
    shape = draw(shapes())
    return (draw(values(shape)),), {"index": draw(indices(shape))}


def _scatter(draw: Draw) -> Any:
    shape = draw(shapes())
    index = draw(indices(shape))
    picked = np.zeros(shape)[index]
    return (draw(values(np.shape(picked))),), {"index": index, "shape": shape}


def _take(draw: Draw) -> Any:
    shape = draw(shapes(min_dims=1, min_side=1))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    n = shape[axis]
    places = draw(hnp.arrays(np.int64, draw(shapes(max_dims=2)), elements=st.integers(-n, n - 1)))
    return (draw(values(shape)), places), {"axis": axis}


def _take_along_axis(draw: Draw) -> Any:
    (x,), attributes = _along(distinct)(draw)
    n = x.shape[attributes["axis"]]
    return (x, draw(hnp.arrays(np.int64, x.shape, elements=st.integers(-n, n - 1)))), attributes


def _scatter_along_axis(draw: Draw) -> Any:
    (x, indices), attributes = _take_along_axis(draw)
    return (x, indices), {"length": x.shape[attributes["axis"]], **attributes}


def _along(kind: Callable[..., Any]) -> Any:
    """Operands of at least one dimension and no empty one, and one axis of them."""

    def arguments(draw: Draw) -> Any:
        shape = draw(shapes(min_dims=1, min_side=1))
        return (draw(kind(shape)),), {"axis": draw(st.integers(-len(shape), len(shape) - 1))}

    return arguments


def _concatenate(draw: Draw) -> Any:
    shape = draw(shapes(min_dims=1, max_dims=2))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    lengths = draw(st.lists(st.integers(0, 2), min_size=1, max_size=3))
    blocks = [tuple(n if k == axis % len(shape) else m for k, m in enumerate(shape)) for n in lengths]
    return tuple(draw(values(block)) for block in blocks), {"axis": axis}


def _stack(draw: Draw) -> Any:
    shape = draw(shapes(max_dims=2))
    count = draw(st.integers(1, 3))
    axis = draw(st.integers(-len(shape) - 1, len(shape)))
    return tuple(draw(values(shape)) for _ in range(count)), {"axis": axis}


def _matmul(draw: Draw) -> Any:
    """Vectors, matrices, and stacks of matrices that broadcast, an inner length of 0 among them."""
    drawn = draw(
        hnp.mutually_broadcastable_shapes(signature="(n?,k),(k,m?)->(n?,m?)", max_dims=2, min_side=0, max_side=2)
    )
    return tuple(draw(values(shape)) for shape in drawn.input_shapes), {}


RECIPES = (
    "ab->ab",
    "ab->ba",
    "ab->a",
    "ab->",
    "a,a->",
    "a,b->ab",
    "ab,bc->ac",
    "ab,cb->ca",
    "abc,cd->abd",
    "ab,ab->b",
    "ab,c->a",
    "ab,bc,cd->ad",
    "ab,a,b->",
    "zab,zbc->zac",
    ",a->a",
)


def _einsum(draw: Draw) -> Any:
    recipe = draw(st.sampled_from(RECIPES))
    sizes = {label: draw(st.integers(0, 3)) for label in sorted(set(recipe) & set("abcdz"))}
    terms = [[sizes[label] for label in term] for term in recipe.split("->")[0].split(",")]
    return tuple(draw(values(tuple(shape))) for shape in terms), {"subscripts": recipe}


def _astype(draw: Draw) -> Any:
    return (draw(values(draw(shapes()))),), {"dtype": np.dtype(np.float64)}


ARGUMENTS: dict[str, Callable[[Draw], Any]] = {
    # elementwise, where the domain is not the whole line
    "divide": _each(values, nonzero),
    "log": _each(positive),
    "sqrt": _each(positive),
    "log1p": _each(lambda shape: eighths(-0.75, 2, shape)),
    "power": _each(positive, values),
    "abs": _each(nonzero),
    "sign": _each(nonzero),
    "relu": _each(nonzero),
    "maximum": _apart,
    "minimum": _apart,
    "where": _each(booleans, values, values),
    "astype": _astype,
    "broadcast_to": _broadcast_to,
    "arctan2": _each(nonzero, values),
    "hypot": _each(nonzero, values),
    "root": _each(positive),
    "log2": _each(positive),
    "log10": _each(positive),
    "mod": _between,
    "floor_divide": _each(values, nonzero),
    "round": _round,
    "isclose": _each(values, values),
    "zeros_like": _each(values),
    "ones_like": _each(values),
    # shape and movement
    "reshape": _reshape,
    "transpose": _transpose,
    "flip": _flip,
    "pad": _pad,
    "getitem": _getitem,
    "scatter": _scatter,
    "take": _take,
    "take_along_axis": _take_along_axis,
    "scatter_along_axis": _scatter_along_axis,
    "concatenate": _concatenate,
    "stack": _stack,
    "argmax": _along(values),
    "argmin": _along(values),
    "argsort": _along(values),
    # reductions and algebra
    "sum": _reduction(values),
    "max": _reduction(distinct, 1),
    "min": _reduction(distinct, 1),
    "prod": _reduction(values),
    "all": _reduction(values),
    "any": _reduction(values),
    "log_softmax": _over_one_axis,
    "logsumexp": _reduction(values, 1),
    "cumsum": _over_one_axis,
    "matmul": _matmul,
    "einsum": _einsum,
}
"""How to draw the arguments of a primitive, where its declaration alone does not say."""


def arguments_of(op: tg.Primitive) -> Callable[[Draw], Any]:
    """How to draw the arguments of a primitive, from the table or from its declaration.

    An elementwise primitive without attributes takes any values that broadcast, one with
    ``(axis, keepdims)`` is a reduction. Any other needs a line in :data:`ARGUMENTS`.
    """
    if op.name in ARGUMENTS:
        return ARGUMENTS[op.name]
    if op.elementwise and not op.attributes:
        return _each(*[values] * op.arity)
    if op.arity == 1 and op.attributes == ("axis", "keepdims"):
        return _reduction(values)
    raise LookupError(
        f"no way to draw arguments for the primitive {op.name}{inspect.signature(op.forward)}: "
        "add a line to ARGUMENTS in tests/strategies.py"
    )


@st.composite
def calls(draw: Draw, name: str) -> Call:
    """A call of the primitive of that name."""
    op = tg.PRIMITIVES[name]
    operands, attributes = arguments_of(op)(draw)
    return Call(op, operands, attributes)


@st.composite
def cotangents(draw: Draw, shape: tuple[int, ...]) -> Array:
    """A cotangent without a small coordinate, so that no wrong element can hide."""
    return draw(nonzero(shape))


# --------------------------------------------------------------------------------- expression graphs


@dataclass(frozen=True)
class Program:
    """A random expression: each step applies an operation to earlier values; the last ones are its outputs."""

    inputs: tuple[Array, ...]
    steps: tuple[tuple[str, tuple[int, ...], dict[str, Any]], ...]

    def trace(self, *leaves: Any) -> list[Any]:
        """Every value the expression goes through, inputs first."""
        found = list(leaves)
        for name, operands, attributes in self.steps:
            found.append(STEPS[name](*[found[k] for k in operands], **attributes))
        return found

    def __call__(self, *leaves: Any) -> Any:
        return self.total(self.trace(*leaves))

    def total(self, found: list[Any]) -> Any:
        """The sum of all values that no step consumes: whatever was drawn has a part in it."""
        used = {k for _, operands, _ in self.steps for k in operands}
        loose = [tg.sum(value) for k, value in enumerate(found) if k not in used]
        total = loose[0]
        for value in loose[1:]:
            total = total + value
        return total

    def leaves(self) -> list[tg.Tensor]:
        return [tg.tensor(x, requires_grad=True, name=f"x{k}") for k, x in enumerate(self.inputs)]


STEPS: dict[str, Callable[..., Any]] = {
    **{
        name: tg.PRIMITIVES[name]
        for name in (
            "add",
            "subtract",
            "multiply",
            "negative",
            "square",
            "tanh",
            "sigmoid",
            "softplus",
            "sin",
            "cos",
            "sum",
            "logsumexp",
            "prod",
            "cumsum",
            "flip",
            "transpose",
            "reshape",
            "getitem",
            "matmul",
            "identity",
        )
    },
    "quotient": lambda x, y: tg.divide(x, 1.0 + tg.square(y)),
    "root": lambda x: tg.sqrt(1.0 + tg.square(x)),
    "log": lambda x: tg.log1p(tg.square(x)),
    "exp": lambda x: tg.exp(tg.tanh(x)),
    "mean": tg.mean,
    "softmax": tg.softmax,
    "concatenate": lambda *xs, axis: tg.concatenate(xs, axis),
    "stack": lambda *xs, axis: tg.stack(xs, axis),
    "outer": lambda x, y: tg.einsum("...,a->...a", x, y),
    "gate": lambda x, y: tg.where(np.arange(x.shape[-1]) % 2 == 0, x, y) if x.shape else tg.add(x, y),
}

UNARY = (
    "negative",
    "square",
    "tanh",
    "sigmoid",
    "softplus",
    "sin",
    "cos",
    "root",
    "log",
    "exp",
    "identity",
    "transpose",
    "flip",
)


@st.composite
def programs(draw: Draw, max_steps: int = 6) -> Program:
    """A smooth expression of up to `max_steps` operations on one to three inputs, values within reason."""
    count = draw(st.integers(1, 3))
    inputs = tuple(draw(values(draw(shapes(max_dims=2, min_side=1, max_side=2)))) for _ in range(count))
    found: list[Any] = list(inputs)
    steps: list[tuple[str, tuple[int, ...], dict[str, Any]]] = []

    def add(name: str, operands: tuple[int, ...], attributes: dict[str, Any]) -> None:
        steps.append((name, operands, attributes))
        found.append(STEPS[name](*[found[k] for k in operands], **attributes))

    for _ in range(draw(st.integers(1, max_steps))):
        add(*draw(_steps(found)))
        if np.max(np.abs(found[-1]), initial=0) > 4:  # squares of squares leave the range of differences
            add("tanh", (len(found) - 1,), {})
    return Program(inputs, tuple(steps))


@st.composite
def _steps(draw: Draw, found: list[Any]) -> Any:
    first = draw(st.integers(0, len(found) - 1))
    x = np.asarray(found[first])
    choices: list[tuple[str, tuple[int, ...], dict[str, Any]]] = [(name, (first,), {}) for name in UNARY]
    choices += [(name, (first,), {"axis": draw(axes(x.ndim))}) for name in ("sum", "mean", "prod")]
    choices += [("logsumexp", (first,), {"axis": draw(axes(x.ndim)), "keepdims": draw(st.booleans())})]
    choices += [("reshape", (first,), {"shape": (-1,)})]
    if x.ndim:
        choices += [(name, (first,), {"axis": -1}) for name in ("cumsum", "softmax")]
        choices += [("getitem", (first,), {"index": (Ellipsis, slice(None, None, 2))})]
        choices += [("getitem", (first,), {"index": np.array([0, -1, 0])})]
    others = draw(st.permutations(range(len(found))))
    for second in others:
        y = np.asarray(found[second])
        pair = (first, second)
        if _broadcast(x.shape, y.shape):
            choices += [(name, pair, {}) for name in ("add", "subtract", "multiply", "quotient")] * 2
        if x.shape == y.shape:
            choices += [("stack", pair, {"axis": 0}), ("gate", pair, {})]
        if x.ndim and x.shape == y.shape:
            choices += [("concatenate", pair, {"axis": -1})]
        if x.ndim and y.ndim and x.shape[-1] == y.shape[max(y.ndim - 2, 0)]:
            choices += [("matmul", pair, {})] * 3
        if x.ndim < 3 and y.ndim == 1:
            choices += [("outer", pair, {})]
    return draw(st.sampled_from(choices))


def _broadcast(left: tuple[int, ...], right: tuple[int, ...]) -> bool:
    try:
        np.broadcast_shapes(left, right)
    except ValueError:
        return False
    return True


# ---------------------------------------------------------------------------------------------- cells


@dataclass(frozen=True)
class Setting:
    """A cell with inputs and initial states that are not zero."""

    cell: tg.Cell
    inputs: Array
    state: tuple[Array, ...]


@st.composite
def settings_of(draw: Draw, name: str, max_steps: int = 3, **options: Any) -> Setting:
    """The registered cell of that name, of any small size, over a short sequence."""
    sizes = st.integers(1, 2)
    features, hidden, batch = draw(sizes), draw(sizes), draw(sizes)
    steps, seed = draw(st.integers(1, max_steps)), draw(st.integers(0, 2**32 - 1))
    cell = tg.cells.get(name)(features, hidden, seed=seed, **options)
    rng = np.random.default_rng(seed)
    state = reached(cell, batch, rng)
    return Setting(cell, rng.normal(size=(steps, batch, features)), state)


def reached(cell: tg.Cell, batch: int, rng: np.random.Generator) -> tuple[Array, ...]:
    """States that the cell can be in: a clock holds whole numbers, a normaliser is positive."""
    run = tg.unroll(cell, rng.normal(size=(2, batch, cell.input_size)))
    return tuple(state.data for state in run.final_state)

"""Every primitive operation: its forward and its VJP rules, declared together.

A rule reads ``(cotangent, output, *operands, **attributes)``. It prefers the output to recomputing
anything, and is written in the operations of this very file, so that it can itself be differentiated.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .cotangent import Product, Scatter, is_basic_index
from .primitive import Value, elementwise, primitive, variadic
from .turned import unturned

_ndarray = np.ndarray

__all__ = [
    "abs",
    "add",
    "astype",
    "broadcast_to",
    "cos",
    "divide",
    "equal",
    "erf",
    "exp",
    "expm1",
    "flip",
    "getitem",
    "greater",
    "greater_equal",
    "identity",
    "less",
    "less_equal",
    "log",
    "log1p",
    "log_softmax",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "logsumexp",
    "matmul",
    "max",
    "maximum",
    "min",
    "minimum",
    "multiply",
    "negative",
    "not_equal",
    "power",
    "prod",
    "relu",
    "reshape",
    "scatter",
    "scatter_along_axis",
    "sigmoid",
    "sign",
    "sin",
    "softplus",
    "sqrt",
    "square",
    "stop_gradient",
    "subtract",
    "sum",
    "take",
    "take_along_axis",
    "tanh",
    "transpose",
    "where",
]

# ------------------------------------------------------------------------------------- arithmetic


@elementwise(lambda g, z, x, y: g, lambda g, z, x, y: g, kind="sum", commutative=True)
def add(x: Value, y: Value) -> Value:
    """Sum of two values, elementwise."""
    return np.add(x, y)


@elementwise(lambda g, z, x, y: g, lambda g, z, x, y: -g, kind="sum")
def subtract(x: Value, y: Value) -> Value:
    """Difference of two values, elementwise."""
    return np.subtract(x, y)


@elementwise(lambda g, z, x, y: g * y, lambda g, z, x, y: g * x, kind="product", commutative=True)
def multiply(x: Value, y: Value) -> Value:
    """Product of two values, elementwise."""
    return np.multiply(x, y)


@elementwise(lambda g, z, x, y: g / y, lambda g, z, x, y: -g * z / y, kind="product")
def divide(x: Value, y: Value) -> Value:
    """Quotient of two values, elementwise."""
    return np.divide(x, y)


@elementwise(lambda g, y, x: -g, kind="sum")
def negative(x: Value) -> Value:
    """Negation, elementwise."""
    return np.negative(x)


@elementwise(
    lambda g, z, x, y: g * (y * power(where(equal(x, 0) * equal(y, 0), 1.0, x), y - 1.0)),
    lambda g, z, x, y: g * z * log(where(equal(x, 0), 1.0, x)),
)
def power(x: Value, y: Value) -> Value:
    """`x` to the power `y`, elementwise; the derivative by `y` is taken as 0 where `x` is 0."""
    return np.power(x, y)


@elementwise(lambda g, y, x: g * 2.0 * x)
def square(x: Value) -> Value:
    """Square, elementwise."""
    return np.square(x)


@elementwise(lambda g, y, x: g * 0.5 / y)
def sqrt(x: Value) -> Value:
    """Square root, elementwise."""
    return np.sqrt(x)


@elementwise(None, analytic=False)
def sign(x: Value) -> Value:
    """Sign, elementwise; its derivative is taken as nothing."""
    return np.sign(x)


@elementwise(lambda g, y, x: g * sign(x), analytic=False)
def abs(x: Value) -> Value:
    """Absolute value, elementwise; the derivative at 0 is 0."""
    return np.abs(x)


# --------------------------------------------------------------------- exponentials, nonlinearities


@elementwise(lambda g, y, x: g * y)
def exp(x: Value) -> Value:
    """Exponential, elementwise."""
    return np.exp(x)


@elementwise(lambda g, y, x: g / x)
def log(x: Value) -> Value:
    """Natural logarithm, elementwise."""
    return np.log(x)


@elementwise(lambda g, y, x: g / (1.0 + x))
def log1p(x: Value) -> Value:
    """``log(1 + x)``, accurate near 0, elementwise."""
    return np.log1p(x)


@elementwise(lambda g, y, x: g * (y + 1.0))
def expm1(x: Value) -> Value:
    """``exp(x) - 1``, accurate near 0, elementwise."""
    return np.expm1(x)


@elementwise(lambda g, y, x: g * cos(x), bounds=(-1.0, 1.0))
def sin(x: Value) -> Value:
    """Sine, elementwise."""
    return np.sin(x)


@elementwise(lambda g, y, x: -g * sin(x), bounds=(-1.0, 1.0))
def cos(x: Value) -> Value:
    """Cosine, elementwise."""
    return np.cos(x)


_ONE = {np.dtype(kind): np.ones((), kind) for kind in "fd"}
"""1 as an array: NumPy takes as long to make one of a number as to subtract from it."""


def _tanh_rule(g: Value, y: Value, x: Value) -> Value:
    slope = y * y
    if type(slope) is not _ndarray:
        return g * (1.0 - slope)
    return g * np.subtract(_ONE.get(slope.dtype, 1.0), slope, slope)


def _sigmoid_rule(g: Value, y: Value, x: Value) -> Value:
    if type(y) is not _ndarray:
        return g * (y * (1.0 - y))
    slope = np.subtract(_ONE.get(y.dtype, 1.0), y)
    return g * np.multiply(y, slope, slope if y.ndim else None)


@elementwise(_tanh_rule, bounds=(-1.0, 1.0))
def tanh(x: Value) -> Value:
    """Hyperbolic tangent, elementwise."""
    return np.tanh(x)


_ERF = np.frompyfunc(math.erf, 1, 1)


@elementwise(lambda g, y, x: g * (2.0 / math.sqrt(math.pi) * exp(-square(x))), analytic=False, bounds=(-1.0, 1.0))
def erf(x: Value) -> Value:
    """Error function, elementwise; ``0.5 * x * (1 + erf(x / sqrt(2)))`` is the exact GELU."""
    x = np.asarray(x)
    return np.asarray(_ERF(x), np.result_type(x, np.float16))


_LARGEST_EXPONENT = {kind: np.array(np.floor(np.log(np.finfo(kind).max)), kind) for kind in "fdg"}


@elementwise(_sigmoid_rule, bounds=(0.0, 1.0))
def sigmoid(x: Value) -> Value:
    """Logistic sigmoid ``1 / (1 + exp(-x))``, elementwise; accurate to rounding in both tails."""
    x = np.asarray(x)
    if (
        x.dtype.char == "e"
    ):  # half precision knows numbers whose exponential overflows and whose sigmoid does not vanish
        return sigmoid.forward(x.astype(np.float32)).astype(x.dtype)
    limit = _LARGEST_EXPONENT.get(x.dtype.char)
    if limit is None or not x.ndim:
        power = np.exp(x if limit is None else np.minimum(x, limit))
        return power / (power + 1)
    power = np.minimum(x, limit)  # beyond the limit the quotient is 1
    np.exp(power, power)
    total = np.add(power, _ONE.get(power.dtype, 1.0))
    return np.divide(power, total, total)


@elementwise(lambda g, y, x: where(less_equal(x, 0), 0.0, g), analytic=False, bounds=(0.0, math.inf))
def relu(x: Value) -> Value:
    """``max(x, 0)``, elementwise; the derivative at 0 is 0."""
    return np.maximum(x, 0)


@elementwise(lambda g, y, x: g * sigmoid(x))
def softplus(x: Value) -> Value:
    """``log(1 + exp(x))``, elementwise, without overflow."""
    return np.log1p(np.exp(x)) if np.iscomplexobj(x) else np.logaddexp(x, np.zeros((), np.result_type(x)))


# ------------------------------------------------------------------------- choices and comparisons


def _share(g: Value, loses: Value, ties: Value) -> Value:
    return where(loses, 0.0, where(ties, g * 0.5, g))


@elementwise(
    lambda g, z, x, y: _share(g, less(x, y), equal(x, y)),
    lambda g, z, x, y: _share(g, greater(x, y), equal(x, y)),
    analytic=False,
    commutative=True,
)
def maximum(x: Value, y: Value) -> Value:
    """The larger of two values, elementwise; a tie shares the derivative evenly, beside a NaN both have all of it."""
    return np.maximum(x, y)


@elementwise(
    lambda g, z, x, y: _share(g, greater(x, y), equal(x, y)),
    lambda g, z, x, y: _share(g, less(x, y), equal(x, y)),
    analytic=False,
    commutative=True,
)
def minimum(x: Value, y: Value) -> Value:
    """The smaller of two values, elementwise; a tie shares the derivative evenly, beside a NaN both have all of it."""
    return np.minimum(x, y)


@elementwise(
    None,
    lambda g, z, condition, x, y: where(condition, g, 0.0),
    lambda g, z, condition, x, y: where(condition, 0.0, g),
    kind="choice",
)
def where(condition: Value, x: Value, y: Value) -> Value:
    """`x` where `condition` holds, else `y`; the condition has no derivative."""
    return np.where(condition, x, y)


@elementwise(None, None)
def greater(x: Value, y: Value) -> Value:
    """``x > y``, elementwise; boolean, no derivative."""
    return np.greater(x, y)


@elementwise(None, None)
def greater_equal(x: Value, y: Value) -> Value:
    """``x >= y``, elementwise; boolean, no derivative."""
    return np.greater_equal(x, y)


@elementwise(None, None)
def less(x: Value, y: Value) -> Value:
    """``x < y``, elementwise; boolean, no derivative."""
    return np.less(x, y)


@elementwise(None, None)
def less_equal(x: Value, y: Value) -> Value:
    """``x <= y``, elementwise; boolean, no derivative."""
    return np.less_equal(x, y)


@elementwise(None, None, commutative=True)
def equal(x: Value, y: Value) -> Value:
    """``x == y``, elementwise; boolean, no derivative."""
    return np.equal(x, y)


@elementwise(None, None, commutative=True)
def not_equal(x: Value, y: Value) -> Value:
    """``x != y``, elementwise; boolean, no derivative."""
    return np.not_equal(x, y)


@elementwise(None, None, commutative=True)
def logical_and(x: Value, y: Value) -> Value:
    """Whether both are true, elementwise; boolean, no derivative."""
    return np.logical_and(x, y)


@elementwise(None, None, commutative=True)
def logical_or(x: Value, y: Value) -> Value:
    """Whether one of two is true, or both, elementwise; boolean, no derivative."""
    return np.logical_or(x, y)


@elementwise(None, None, commutative=True)
def logical_xor(x: Value, y: Value) -> Value:
    """Whether just one of two is true, elementwise; boolean, no derivative."""
    return np.logical_xor(x, y)


@elementwise(None)
def logical_not(x: Value) -> Value:
    """Whether it is false, elementwise; boolean, no derivative."""
    return np.logical_not(x)


# ------------------------------------------------------------------------------- shape and movement


@elementwise(lambda g, y, x, shape: g, kind="view")
def broadcast_to(x: Value, shape: Any) -> Value:
    """`x` repeated to `shape` by NumPy's broadcasting rules."""
    return np.broadcast_to(x, shape)


@primitive(lambda g, y, x, shape: reshape(g, np.shape(x)), kind="view")
def reshape(x: Value, shape: Any) -> Value:
    """The elements of `x` in another shape, in C order."""
    return x.reshape(shape) if type(x) is np.ndarray else np.reshape(x, shape)


def _inverse(axes: Sequence[int] | None) -> tuple[int, ...] | None:
    if axes is None:
        return None
    return tuple(int(axis) for axis in np.argsort([axis % len(axes) for axis in axes]))


@primitive(lambda g, y, x, axes=None: g.T if axes is None else transpose(g, _inverse(axes)), kind="view")
def transpose(x: Value, axes: Sequence[int] | None = None) -> Value:
    """`x` with its axes permuted; reversed when `axes` is None."""
    return (x if type(x) is np.ndarray else np.asarray(x)).transpose(axes)


@primitive(lambda g, y, x, axis=None: flip(g, axis))
def flip(x: Value, axis: Any = None) -> Value:
    """`x` with the order of elements reversed along `axis` (all axes when None)."""
    return np.flip(x, axis)


def _unpad(g: Value, y: Value, x: Value, pad_width: Any, constant_values: float = 0.0) -> Value:
    widths = np.broadcast_to(np.asarray(pad_width, dtype=int), (x.ndim, 2))
    return getitem(g, tuple(slice(int(low), int(low) + n) for (low, _), n in zip(widths, x.shape, strict=True)))


@primitive(_unpad)
def pad(x: Value, pad_width: Any, constant_values: float = 0.0) -> Value:
    """`x` with a border of a constant."""
    return np.pad(x, pad_width, constant_values=constant_values)


def _scattered(g: Value, index: Any, shape: tuple[int, ...]) -> Value:
    """Zeros of `shape` with `g` added at `index`; on arrays, without writing the zeros out yet."""
    if type(g) is _ndarray or isinstance(g, np.generic):
        return Scatter(np.asarray(g), index, shape)
    return scatter(g, index, shape)


@primitive(lambda g, y, x, index: _scattered(g, index, x.shape))
def getitem(x: Value, index: Any) -> Value:
    """``x[index]`` with slices, integers, integer arrays or boolean arrays."""
    return x[index]


@primitive(lambda g, y, values, index, shape: getitem(g, index))
def scatter(values: Value, index: Any, shape: tuple[int, ...]) -> Value:
    """Zeros of `shape` with `values` added at `index`; repeated places add up."""
    buffer = np.zeros(shape, np.result_type(values))
    if is_basic_index(index):
        buffer[index] += values
    else:
        np.add.at(buffer, index, values)
    return buffer


def _take_rule(g: Value, y: Value, x: Value, indices: Value, axis: int | None = None) -> Value:
    if axis is None:
        return reshape(_scattered(g, np.asarray(indices), (x.size,)), x.shape)
    index = (slice(None),) * (axis % x.ndim) + (np.asarray(indices),)
    return _scattered(g, index, x.shape)


@primitive(_take_rule, None, kind="choice")
def take(x: Value, indices: Value, axis: int | None = None) -> Value:
    """Elements of the flattened `x`, or along `axis`, such as word vectors out of a table (`axis` 0).

    Repeated indices add up.
    """
    return np.take(x, np.asarray(indices), axis)  # a bare list of floats would be truncated


@primitive(
    lambda g, y, x, indices, axis=-1: scatter_along_axis(g, indices, length=x.shape[axis], axis=axis),
    None,
    kind="choice",
)
def take_along_axis(x: Value, indices: Value, axis: int = -1) -> Value:
    """Along `axis` the elements of `x` at `indices`, an array of as many dimensions, such as an argsort."""
    return np.take_along_axis(x, np.asarray(indices), axis)


@primitive(lambda g, y, values, indices, length, axis=-1: take_along_axis(g, indices, axis=axis), None)
def scatter_along_axis(values: Value, indices: Value, length: int, axis: int = -1) -> Value:
    """Zeros, `length` of them along `axis`, with `values` added at `indices`; repeated places add up."""
    shape, index = list(values.shape), list(np.ogrid[tuple(map(slice, values.shape))])
    shape[axis], index[axis] = length, np.asarray(indices)
    buffer = np.zeros(shape, np.result_type(values))
    np.add.at(buffer, tuple(index), values)
    return buffer


def _concatenate_rule(g: Value, y: Value, *operands: Value, axis: int = 0) -> Iterator[Value]:
    before = (slice(None),) * (axis % y.ndim)
    start = 0
    for operand in operands:
        stop = start + operand.shape[axis]
        yield getitem(g, (*before, slice(start, stop)))
        start = stop


@variadic(_concatenate_rule)
def concatenate(*arrays: Value, axis: int = 0) -> Value:
    """Arrays joined along an existing axis."""
    return np.concatenate(arrays, axis)


def _stack_rule(g: Value, y: Value, *operands: Value, axis: int = 0) -> Iterator[Value]:
    before = (slice(None),) * (axis % y.ndim)
    for k in range(len(operands)):
        yield getitem(g, (*before, k))


@variadic(_stack_rule)
def stack(*arrays: Value, axis: int = 0) -> Value:
    """Arrays of one shape joined along a new axis."""
    return np.stack(arrays, axis)


# -------------------------------------------------------------------------------------- reductions


def _axes(axis: Any, ndim: int) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(ndim))
    return tuple(int(a) % ndim for a in (axis if isinstance(axis, tuple) else (axis,)))


def _kept(value: Value, x: Value, axis: Any, keepdims: bool) -> Value:
    """A reduced `value` with the reduced axes of `x` put back as length 1, ready to broadcast."""
    if keepdims:
        return value
    axes = _axes(axis, x.ndim)
    return reshape(value, tuple(1 if k in axes else n for k, n in enumerate(x.shape)))


def _sum_rule(g: Value, y: Value, x: Value, axis: Any = None, keepdims: bool = False) -> Value:
    if type(g) is np.ndarray and g.size == 1:  # of a whole array: what broadcast_to does, at a tenth of its price
        whole: Value = np.ndarray(x.shape, g.dtype, g, 0, (0,) * x.ndim)
        whole.setflags(write=False)
        return whole
    return broadcast_to(_kept(g, x, axis, keepdims), x.shape)


@primitive(_sum_rule, kind="reduction")
def sum(x: Value, axis: Any = None, keepdims: bool = False) -> Value:
    """Sum over `axis` (all axes when None)."""
    return np.add.reduce(x, axis=axis, keepdims=keepdims)  # type: ignore[call-overload]


def _extremum_rule(g: Value, y: Value, x: Value, axis: Any = None, keepdims: bool = False) -> Value:
    """A share of `g` for each place of the extremum, or, where that is NaN, of a NaN."""
    hits = logical_or(equal(x, _kept(y, x, axis, keepdims)), not_equal(x, x))
    count = sum(astype(hits, np.result_type(x.dtype, np.float32)), axis, True)  # float16 counts to 65,504
    return where(hits, astype(_kept(g, x, axis, keepdims) / count, x.dtype), 0.0)


@primitive(_extremum_rule, analytic=False, kind="choice")
def max(x: Value, axis: Any = None, keepdims: bool = False) -> Value:
    """Largest element along `axis`; ties share the derivative evenly."""
    return np.max(x, axis=axis, keepdims=keepdims)


@primitive(_extremum_rule, analytic=False, kind="choice")
def min(x: Value, axis: Any = None, keepdims: bool = False) -> Value:
    """Smallest element along `axis`; ties share the derivative evenly."""
    return np.min(x, axis=axis, keepdims=keepdims)


def _prod_rule(g: Value, y: Value, x: Value, axis: Any = None, keepdims: bool = False) -> Value:
    """The product of all *other* factors, those before times those behind, so that zeros among them are no
    exception.
    """
    axes = _axes(axis, x.ndim)
    rest = tuple(k for k in range(x.ndim) if k not in axes)
    order = rest + axes
    moved = transpose(x, order)
    outer = moved.shape[: len(rest)]
    rows = reshape(moved, (*outer, math.prod(x.shape[k] for k in axes)))
    last = len(outer)
    others = _product_before(rows) * flip(_product_before(flip(rows, last)), last)
    others = transpose(reshape(others, moved.shape), _inverse(order))
    return _kept(g, x, axis, keepdims) * others


def _product_before(rows: Value) -> Value:
    """For every element the product of those before it in its row."""
    *outer, n = rows.shape
    shifted = pad(rows, [*[(0, 0)] * len(outer), (1, 0)], constant_values=1.0)
    return running_product(getitem(shifted, (*[slice(None)] * len(outer), slice(0, n))), len(outer))


def running_product(x: Value, axis: int) -> Value:
    """The product of each element and those before it, by doubling (Hillis and Steele, 1986): n log n, and no
    division.
    """
    n, shift = x.shape[axis], 1
    before = [slice(None)] * axis
    while shift < n:
        widths = [(shift if k == axis else 0, 0) for k in range(x.ndim)]
        x = multiply(x, pad(getitem(x, (*before, slice(0, n - shift))), widths, constant_values=1.0))
        shift *= 2
    return x


@primitive(_prod_rule, kind="reduction")
def prod(x: Value, axis: Any = None, keepdims: bool = False) -> Value:
    """Product over `axis` (all axes when None)."""
    return np.prod(x, axis=axis, keepdims=keepdims)


@primitive(lambda g, y, x, axis: flip(cumsum(flip(g, axis), axis), axis))
def cumsum(x: Value, axis: int) -> Value:
    """Running sum along `axis`."""
    return np.cumsum(x, axis=axis)


def _shifted(x: Value, axis: Any) -> tuple[Value, Value]:
    """`x` less its maximum, which is returned with it: what exp can take without overflow."""
    x = np.asarray(x)
    x = x if x.dtype.kind in "fc" else x.astype(np.float64)
    top = np.max(np.real(x), axis=axis, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, np.zeros((), top.dtype))
    return x - top, top


def _log_sum(x: Value, axis: Any) -> Value:
    with np.errstate(divide="ignore"):  # log(0) = -inf is the right answer
        return np.log(np.sum(np.exp(x), axis=axis, keepdims=True))


@primitive(
    # exp(x - y) would lose the logarithm of the sum beside a large maximum
    lambda g, y, x, axis=None, keepdims=False: _kept(g, x, axis, keepdims) * exp(log_softmax(x, axis)),
    kind="reduction",
)
def logsumexp(x: Value, axis: Any = None, keepdims: bool = False) -> Value:
    """``log(sum(exp(x)))`` over `axis`, without overflow."""
    shifted, top = _shifted(x, axis)
    total = _log_sum(shifted, axis) + top
    return total if keepdims else np.squeeze(total, axis)


@primitive(lambda g, y, x, axis=-1: g - exp(y) * sum(g, axis, True))
def log_softmax(x: Value, axis: Any = -1) -> Value:
    """``log(exp(x) / sum(exp(x)))`` along `axis` (all axes when None), as exact for large numbers as for small ones."""
    shifted, _ = _shifted(x, axis)
    return shifted - _log_sum(shifted, axis)


# ------------------------------------------------------------------------------------------ algebra


def sum_to(g: Value, shape: tuple[int, ...]) -> Value:
    """The transpose of broadcasting: `g` summed over the axes along which `shape` was repeated."""
    extra = g.ndim - len(shape)
    if extra == 1 and shape and type(g) is _ndarray and g.shape[1:] == shape:  # a bias, at every step
        return g[0] if len(g) == 1 else np.add.reduce(g)
    axes: Any = tuple(range(extra))
    if g.shape[extra:] != shape:
        axes += tuple(extra + k for k, n in enumerate(shape) if n == 1 and g.shape[extra + k] != 1)
    if type(g) is _ndarray:
        if g.size == math.prod(shape):  # nothing was repeated
            return g.reshape(shape)
        return np.add.reduce(g, axis=axes).reshape(shape)
    return reshape(sum(g, axes), shape)


def _product(left: Value, right: Value) -> Value:
    """``left.T @ right``, on arrays in factored form where that is smaller."""
    if type(left) is type(right) is _ndarray:
        (rows, p), q = left.shape, right.shape[1]
        if Product.pays(rows, p, q):
            return Product(left, right)
    return left.T @ right


def _swap(x: Value) -> Value:
    return transpose(x, (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


def _as_matrices(g: Value, a: Value, b: Value) -> tuple[Value, Value, Value]:
    """Matrix operands for the vector cases of matmul, and the cotangent with the dropped axes back."""
    if b.ndim == 1:
        b = reshape(b, (*b.shape, 1))
        g = reshape(g, (*g.shape, 1))
    if a.ndim == 1:
        a = reshape(a, (1, *a.shape))
        g = reshape(g, (*g.shape[:-1], 1, g.shape[-1]))
    return g, a, b


def _matmul_left(g: Value, z: Value, a: Value, b: Value) -> Value:
    if a.ndim == b.ndim == 2:
        if not type(g) is type(b) is _ndarray:
            return g @ b.T
        return Product(g.T, b.T) if Product.pays(g.shape[1], *a.shape) else g.dot(unturned(b))
    shape = a.shape
    g, a, b = _as_matrices(g, a, b)
    return reshape(sum_to(g @ _swap(b), a.shape), shape)


def _matmul_right(g: Value, z: Value, a: Value, b: Value) -> Value:
    if a.ndim == b.ndim == 2:
        return _product(a, g)
    shape = b.shape
    g, a, b = _as_matrices(g, a, b)
    return reshape(sum_to(_swap(a) @ g, b.shape), shape)


@primitive(_matmul_left, _matmul_right, kind="product")
def matmul(a: Value, b: Value) -> Value:
    """Matrix product as :func:`numpy.matmul`: vectors, matrices, and stacks of matrices that broadcast."""
    if type(a) is type(b) is _ndarray and a.ndim == b.ndim == 2:
        return a.dot(b)  # the same product at half the price of a small one
    return np.matmul(a, b)


def _einsum_rule(g: Value, y: Value, *operands: Value, subscripts: str) -> Iterator[Value]:
    inputs, output = subscripts.split("->")
    terms = inputs.split(",")
    for k, (term, operand) in enumerate(zip(terms, operands, strict=True)):
        others = [(t, o) for j, (t, o) in enumerate(zip(terms, operands, strict=True)) if j != k]
        seen = output + "".join(t for t, _ in others)
        for label, n in zip(term, operand.shape, strict=True):
            if label not in seen:  # summed over by this operand alone: every element gets the same
                others.append((label, np.ones(n, operand.dtype)))
        recipe = ",".join([output, *(t for t, _ in others)]) + "->" + term
        share = einsum(g, *(o for _, o in others), subscripts=recipe)
        if share.shape != operand.shape:  # a label of length 1 here and longer there
            share = broadcast_to(share, np.broadcast_shapes(share.shape, operand.shape))
            share = sum_to(share, operand.shape)
        yield share


@variadic(_einsum_rule, kind="product")
def einsum(*operands: Value, subscripts: str) -> Value:
    """Einstein summation with explicit output and no label repeated inside one operand."""
    return np.einsum(subscripts, *operands)


# ---------------------------------------------------------------------------------------- the graph


@elementwise(lambda g, y, x, dtype: astype(g, x.dtype), analytic=False, kind="view")
def astype(x: Value, dtype: Any) -> Value:
    """`x` in another dtype."""
    return np.asarray(x).astype(dtype)


@elementwise(None, kind="other")
def stop_gradient(x: Value) -> Value:
    """`x`, through which no gradient flows back; the edge stays in the graph and is drawn as cut."""
    return np.asarray(x)


@elementwise(lambda g, y, x: g, kind="other")
def identity(x: Value) -> Value:
    """`x` as a node of its own."""
    return np.asarray(x)

"""The operations of PyTorch that have a counterpart here, by the names of its core library, ATen."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...autodiff import arrangement, discrete, elementary, functions, reductions
from ...autodiff import primitives as p
from ...autodiff.primitive import Value
from .. import convolution

__all__ = ["ATEN", "LIKE", "LIMITS", "OVERWRITES", "put"]

ATEN: dict[str, Callable[..., Any]] = {}
"""From ``add.Tensor`` to a function of the same arguments on our values."""

LIKE = {
    "empty_like.default": "zeros.default",
    "full_like.default": "full.default",
    "new_empty.default": "zeros.default",
    "new_full.default": "full.default",
    "new_ones.default": "ones.default",
    "new_zeros.default": "zeros.default",
    "ones_like.default": "ones.default",
    "zeros_like.default": "zeros.default",
}
"""What takes no more than shape and dtype from its operand, and what gives the same from them."""

OVERWRITES = frozenset({"copy.default", "fill.Scalar", "fill.Tensor", "zero.default"})
"""What reads nothing of the value that it writes over."""

LIMITS: dict[str, Callable[..., str]] = {}
"""From an operation to what says, of its arguments, why they are not supported; nothing where they are."""


def _aten(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        ATEN.update(dict.fromkeys([name if "." in name else f"{name}.default" for name in names], function))
        return function

    return register


# ------------------------------------------------------------------------------------- arithmetic

_UNARY: dict[str, Callable[..., Any]] = {
    "abs": p.abs,
    "acos": elementary.arccos,
    "acosh": elementary.arccosh,
    "asin": elementary.arcsin,
    "asinh": elementary.arcsinh,
    "atan": elementary.arctan,
    "atanh": elementary.arctanh,
    "bitwise_not": discrete.invert,
    "ceil": discrete.ceil,
    "cos": p.cos,
    "cosh": elementary.cosh,
    "detach": p.stop_gradient,
    "erf": p.erf,
    "exp": p.exp,
    "exp2": elementary.exp2,
    "expm1": p.expm1,
    "floor": discrete.floor,
    "isinf": discrete.isinf,
    "isnan": discrete.isnan,
    "log": p.log,
    "log10": elementary.log10,
    "log1p": p.log1p,
    "log2": elementary.log2,
    "logical_not": p.logical_not,
    "neg": p.negative,
    "reciprocal": elementary.reciprocal,
    "relu": p.relu,
    "round": discrete.round,
    "rsqrt": lambda x: p.divide(1.0, p.sqrt(x)),
    "sigmoid": p.sigmoid,
    "sign": p.sign,
    "silu": lambda x: p.multiply(x, p.sigmoid(x)),
    "sin": p.sin,
    "sinh": elementary.sinh,
    "sqrt": p.sqrt,
    "square": p.square,
    "tan": elementary.tan,
    "tanh": p.tanh,
    "trunc": discrete.trunc,
}
ATEN.update({f"{name}.default": function for name, function in _UNARY.items()})

_BINARY: dict[str, Callable[..., Any]] = {
    "bitwise_and": discrete.bitwise_and,
    "bitwise_or": discrete.bitwise_or,
    "bitwise_xor": discrete.bitwise_xor,
    "eq": p.equal,
    "ge": p.greater_equal,
    "gt": p.greater,
    "le": p.less_equal,
    "lt": p.less,
    "mul": p.multiply,
    "ne": p.not_equal,
    "remainder": elementary.mod,
}
ATEN.update({f"{name}.{kind}": function for name, function in _BINARY.items() for kind in ("Tensor", "Scalar")})
for _name, _function in {
    "atan2": elementary.arctan2,
    "logaddexp": elementary.logaddexp,
    "logical_and": p.logical_and,
    "logical_or": p.logical_or,
    "logical_xor": p.logical_xor,
    "maximum": p.maximum,
    "minimum": p.minimum,
}.items():
    ATEN[f"{_name}.default"] = _function


def _scaled(x: Value, factor: Any) -> Value:
    return x if factor == 1 else p.multiply(x, factor)


@_aten("add.Tensor", "add.Scalar")
def _add(x: Value, y: Value, alpha: Any = 1) -> Value:
    return p.add(x, _scaled(y, alpha))


@_aten("sub.Tensor", "sub.Scalar")
def _sub(x: Value, y: Value, alpha: Any = 1) -> Value:
    return p.subtract(x, _scaled(y, alpha))


@_aten("rsub.Tensor", "rsub.Scalar")
def _rsub(x: Value, y: Value, alpha: Any = 1) -> Value:
    return p.subtract(y, _scaled(x, alpha))


@_aten("div.Tensor", "div.Scalar", "div.Tensor_mode", "div.Scalar_mode")
def _div(x: Value, y: Value, rounding_mode: str | None = None) -> Value:
    quotient = p.divide(x, y)
    if rounding_mode is None:
        return quotient
    return discrete.floor(quotient) if rounding_mode == "floor" else discrete.trunc(quotient)


@_aten("pow.Tensor_Scalar", "pow.Tensor_Tensor", "pow.Scalar")
def _pow(x: Value, y: Value) -> Value:
    if isinstance(y, (int, float)) and y in (1, 2, 0.5):
        return {1: p.identity, 2: p.square, 0.5: p.sqrt}[y](x)
    return p.power(x, float(y) if isinstance(y, int) else y)


@_aten("addcmul")
def _addcmul(x: Value, a: Value, b: Value, value: Any = 1) -> Value:
    return p.add(x, _scaled(p.multiply(a, b), value))


@_aten("addcdiv")
def _addcdiv(x: Value, a: Value, b: Value, value: Any = 1) -> Value:
    return p.add(x, _scaled(p.divide(a, b), value))


@_aten("lerp.Scalar", "lerp.Tensor")
def _lerp(start: Value, end: Value, weight: Value) -> Value:
    return p.add(start, p.multiply(weight, p.subtract(end, start)))


@_aten("where.self", "where.ScalarOther", "where.ScalarSelf", "where.Scalar")
def _where(condition: Value, x: Value, y: Value) -> Value:
    return p.where(condition, x, y)


@_aten("masked_fill.Scalar", "masked_fill.Tensor")
def _masked_fill(x: Value, mask: Value, value: Value) -> Value:
    return p.where(mask, value, x)


@_aten("clamp", "clamp.Tensor")
def _clamp(x: Value, min: Any = None, max: Any = None) -> Value:
    if min is not None:  # on a limit the derivative is 1
        x = p.where(p.less(x, min), min, x)
    return x if max is None else p.where(p.greater(x, max), max, x)


@_aten("hardtanh")
def _hardtanh(x: Value, min_val: Any = -1.0, max_val: Any = 1.0) -> Value:
    inner = p.logical_and(p.greater(x, min_val), p.less(x, max_val))
    return p.where(inner, x, p.where(p.less_equal(x, min_val), min_val, max_val))


@_aten("clamp_min", "clamp_min.Tensor")
def _clamp_min(x: Value, min: Any) -> Value:
    return _clamp(x, min, None)


@_aten("clamp_max", "clamp_max.Tensor")
def _clamp_max(x: Value, max: Any) -> Value:
    return _clamp(x, None, max)


# ---------------------------------------------------------------------------------- nonlinearities


@_aten("leaky_relu")
def _leaky_relu(x: Value, negative_slope: float = 0.01) -> Value:
    return p.where(p.greater(x, 0), x, p.multiply(x, negative_slope))


@_aten("elu")
def _elu(x: Value, alpha: Any = 1, scale: Any = 1, input_scale: Any = 1) -> Value:
    positive = p.greater(x, 0)
    low = p.expm1(_scaled(p.where(positive, 0.0, x), input_scale))
    return _scaled(p.where(positive, x, _scaled(low, alpha)), scale)


@_aten("celu")
def _celu(x: Value, alpha: Any = 1) -> Value:
    return _elu(x, alpha, 1, 1 / alpha)


@_aten("gelu")
def _gelu(x: Value, approximate: str = "none") -> Value:
    if approximate == "tanh":
        inner = p.multiply(math.sqrt(2 / math.pi), p.add(x, p.multiply(0.044715, p.power(x, 3.0))))
        return p.multiply(p.multiply(0.5, x), p.add(1.0, p.tanh(inner)))
    return p.multiply(p.multiply(0.5, x), p.add(1.0, p.erf(p.multiply(x, 1 / math.sqrt(2)))))


@_aten("softplus")
def _softplus(x: Value, beta: Any = 1, threshold: Any = 20) -> Value:
    scaled = _scaled(x, beta)
    return p.where(p.greater(scaled, threshold), x, p.divide(p.softplus(scaled), beta))


@_aten("hardsigmoid")
def _hardsigmoid(x: Value) -> Value:
    return p.divide(_hardtanh(p.add(x, 3.0), 0.0, 6.0), 6.0)


@_aten("hardswish")
def _hardswish(x: Value) -> Value:
    return p.multiply(x, _hardsigmoid(x))


@_aten("mish")
def _mish(x: Value) -> Value:
    return p.multiply(x, p.tanh(p.softplus(x)))


@_aten("log_sigmoid_forward")
def _log_sigmoid(x: Value) -> list[Value]:
    return [p.negative(p.softplus(p.negative(x)))]


@_aten("glu")
def _glu(x: Value, dim: int = -1) -> Value:
    left, right = functions.split(x, 2, dim)
    return p.multiply(left, p.sigmoid(right))


@_aten("_softmax", "_safe_softmax", "softmax.int")
def _softmax(x: Value, dim: int, half_to_float: Any = None) -> Value:
    return functions.softmax(x, dim)


@_aten("_log_softmax", "log_softmax.int")
def _log_softmax(x: Value, dim: int, half_to_float: Any = None) -> Value:
    return p.log_softmax(x, dim)


# --------------------------------------------------------------------------------------- products


@_aten("mm", "bmm", "mv", "dot", "matmul")
def _matmul(a: Value, b: Value) -> Value:
    return p.matmul(a, b)


@_aten("linear")
def _linear(x: Value, weight: Value, bias: Value | None = None) -> Value:
    return functions.linear(x, weight, bias)


@_aten("addmm", "baddbmm", "addmv")
def _addmm(x: Value, a: Value, b: Value, beta: Any = 1, alpha: Any = 1) -> Value:
    product = _scaled(p.matmul(a, b), alpha)
    return product if beta == 0 else p.add(product, _scaled(x, beta))


@_aten("einsum")
def _einsum(subscripts: str, operands: Sequence[Value]) -> Value:
    return functions.einsum(subscripts, *operands)


# ------------------------------------------------------------------------------------- reductions


def _axes(dim: Any) -> Any:
    return None if dim is None or dim in ([], ()) else tuple(dim) if isinstance(dim, (list, tuple)) else dim


def _counts(x: Value) -> Value:
    """Truth values as numbers, to be added up."""
    return x if x.dtype.kind == "f" else p.astype(x, np.dtype(np.int64))


@_aten("sum", "sum.dim_IntList")
def _sum(x: Value, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Value:
    return p.sum(_to(_counts(x), dtype), axis=_axes(dim), keepdims=keepdim)


@_aten("mean", "mean.dim")
def _mean(x: Value, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Value:
    return functions.mean(_to(x, dtype), _axes(dim), keepdim)


@_aten("var.correction", "var")
def _var(x: Value, dim: Any = None, correction: Any = None, keepdim: bool = False) -> Value:
    return reductions.var(x, _axes(dim), 1 if correction is None else correction, keepdim)


@_aten("std.correction", "std")
def _std(x: Value, dim: Any = None, correction: Any = None, keepdim: bool = False) -> Value:
    return elementary.root(_var(x, dim, correction, keepdim))


@_aten("var_mean.correction")
def _var_mean(x: Value, dim: Any = None, correction: Any = None, keepdim: bool = False) -> list[Value]:
    return [_var(x, dim, correction, keepdim), _mean(x, dim, keepdim)]


@_aten("amax", "max")
def _amax(x: Value, dim: Any = None, keepdim: bool = False) -> Value:
    return p.max(x, axis=_axes(dim), keepdims=keepdim)


@_aten("amin", "min")
def _amin(x: Value, dim: Any = None, keepdim: bool = False) -> Value:
    return p.min(x, axis=_axes(dim), keepdims=keepdim)


def _chosen(x: Value, places: Value, dim: int, keepdim: bool) -> list[Value]:
    """The elements at the places, which alone have their derivative, and the places."""
    values = p.take_along_axis(x, places, axis=dim)
    return [values, places] if keepdim else [functions.squeeze(values, dim), functions.squeeze(places, dim)]


@_aten("max.dim")
def _max_dim(x: Value, dim: int, keepdim: bool = False) -> list[Value]:
    return _chosen(x, discrete.argmax(x, axis=dim, keepdims=True), dim, keepdim)


@_aten("min.dim")
def _min_dim(x: Value, dim: int, keepdim: bool = False) -> list[Value]:
    return _chosen(x, discrete.argmin(x, axis=dim, keepdims=True), dim, keepdim)


@_aten("argmax")
def _argmax(x: Value, dim: int | None = None, keepdim: bool = False) -> Value:
    return discrete.argmax(x, axis=dim, keepdims=keepdim)


@_aten("argmin")
def _argmin(x: Value, dim: int | None = None, keepdim: bool = False) -> Value:
    return discrete.argmin(x, axis=dim, keepdims=keepdim)


@_aten("any", "any.dim")
def _any(x: Value, dim: Any = None, keepdim: bool = False) -> Value:
    return discrete.any(x, axis=_axes(dim), keepdims=keepdim)


@_aten("all", "all.dim")
def _all(x: Value, dim: Any = None, keepdim: bool = False) -> Value:
    return discrete.all(x, axis=_axes(dim), keepdims=keepdim)


@_aten("prod", "prod.dim_int")
def _prod(x: Value, dim: int | None = None, keepdim: bool = False, dtype: Any = None) -> Value:
    return p.prod(_to(x, dtype), axis=dim, keepdims=keepdim)


@_aten("cumsum")
def _cumsum(x: Value, dim: int, dtype: Any = None) -> Value:
    return functions.cumsum(_to(x, dtype), dim)


@_aten("cumprod")
def _cumprod(x: Value, dim: int, dtype: Any = None) -> Value:
    return reductions.cumprod(_to(x, dtype), dim)


@_aten("logsumexp")
def _logsumexp(x: Value, dim: Any, keepdim: bool = False) -> Value:
    return p.logsumexp(x, axis=_axes(dim), keepdims=keepdim)


@_aten("linalg_vector_norm", "norm.ScalarOpt_dim", "norm.Scalar")
def _norm(x: Value, ord: Any = 2, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Value:
    x, axes = _to(x, dtype), _axes(dim)
    if ord == 2:
        return elementary.root(p.sum(p.square(x), axis=axes, keepdims=keepdim))
    axes = tuple(range(x.ndim)) if axes is None else axes
    if isinstance(axes, tuple) and len(axes) > 1:
        rest = [k for k in range(x.ndim) if k not in [a % x.ndim for a in axes]]
        shape = tuple(1 if k not in rest else n for k, n in enumerate(x.shape))
        flat = p.reshape(p.transpose(x, (*rest, *axes)), (*(x.shape[k] for k in rest), -1))
        return p.reshape(reductions.norm(flat, ord, -1), shape if keepdim else tuple(x.shape[k] for k in rest))
    return reductions.norm(x, ord, axes if isinstance(axes, int) else axes[0], keepdim)


@_aten("_weight_norm_interface")
def _weight_norm(v: Value, g: Value, dim: int = 0) -> list[Value]:
    length = _norm(v, 2, [k for k in range(v.ndim) if k != dim % v.ndim], True)
    return [p.multiply(v, p.divide(g, length)), length]


@_aten("native_layer_norm", "layer_norm")
def _layer_norm(
    x: Value, normalized_shape: Sequence[int], weight: Value | None, bias: Value | None, eps: float
) -> list[Value]:
    axes = tuple(range(-len(normalized_shape), 0))
    centred = p.subtract(x, functions.mean(x, axes, True))
    variance = functions.mean(p.square(centred), axes, True)
    normal = p.divide(centred, p.sqrt(p.add(variance, eps)))
    normal = normal if weight is None else p.multiply(normal, weight)
    return [normal if bias is None else p.add(normal, bias)]


@_aten("native_batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm")
def _batch_norm(
    x: Value, weight: Value | None, bias: Value | None, mean: Value, variance: Value, *rest: Any
) -> list[Value]:
    shape = (1, -1, *(1,) * (x.ndim - 2))
    normal = p.divide(p.subtract(x, p.reshape(mean, shape)), p.sqrt(p.add(p.reshape(variance, shape), rest[-1])))
    normal = normal if weight is None else p.multiply(normal, p.reshape(weight, shape))
    return [normal if bias is None else p.add(normal, p.reshape(bias, shape))]


def _by_batch(*args: Any) -> str:
    training = [arg for arg in args[5:] if isinstance(arg, bool)][:1]
    why = "normalises by the batch and writes running averages; call module.eval() first"
    return why if training == [True] else ""


LIMITS["native_batch_norm.default"] = _by_batch

# ------------------------------------------------------------------------------------ convolution


@_aten("convolution")
def _convolution(
    x: Value,
    weight: Value,
    bias: Value | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    *rest: Any,
) -> Value:
    widths = list(padding) * ((weight.ndim - 2) // len(padding))
    padded = p.pad(x, [(0, 0), (0, 0), *((n, n) for n in widths)]) if any(widths) else x
    return convolution.convolution(padded, weight, bias, stride, dilation)


def _unusual_convolution(*args: Any) -> str:
    transposed, _, groups = args[6:9]
    return "is supported neither transposed nor in groups" if transposed or groups != 1 else ""


LIMITS["convolution.default"] = _unusual_convolution

# ------------------------------------------------------------------------------- shape and movement


@_aten("alias", "clone", "contiguous", "lift_fresh", "lift_fresh_copy", "positive")
def _alias(x: Value) -> Value:
    return x


@_aten("_to_copy", "to.dtype")
def _to(x: Value, dtype: Any = None) -> Value:
    return x if dtype is None or x.dtype == dtype else p.astype(x, dtype)


@_aten("view", "_unsafe_view", "reshape", "_reshape_alias", "view_copy")
def _view(x: Value, size: Sequence[int], stride: Any = None) -> Value:
    return p.reshape(x, tuple(size))


@_aten("expand", "expand_copy")
def _expand(x: Value, size: Sequence[int], implicit: bool = False) -> Value:
    lead = len(size) - x.ndim
    shape = tuple(x.shape[k - lead] if n == -1 else n for k, n in enumerate(size))
    return x if shape == x.shape else p.broadcast_to(x, shape)


@_aten("t", "numpy_T")
def _t(x: Value) -> Value:
    return x if x.ndim < 2 else x.T


@_aten("transpose.int")
def _transpose(x: Value, dim0: int, dim1: int) -> Value:
    return functions.swapaxes(x, dim0, dim1)


@_aten("permute")
def _permute(x: Value, dims: Sequence[int]) -> Value:
    axes = tuple(d % x.ndim for d in dims)
    return x.T if axes == tuple(range(x.ndim))[::-1] else p.transpose(x, axes)


@_aten("unsqueeze")
def _unsqueeze(x: Value, dim: int) -> Value:
    return functions.expand_dims(x, dim)


@_aten("squeeze", "squeeze.dim", "squeeze.dims")
def _squeeze(x: Value, dim: Any = None) -> Value:
    axes = range(x.ndim) if dim is None else dim if isinstance(dim, (list, tuple)) else (dim,)
    ones = tuple(axis for axis in axes if x.shape[axis] == 1)
    return functions.squeeze(x, ones) if ones else x


def _along(x: Value, dim: int, index: Any) -> Value:
    return p.getitem.on((x,), {"index": (*(slice(None),) * (dim % x.ndim), index)})


@_aten("select.int", "select_copy.int")
def _select(x: Value, dim: int, index: int) -> Value:
    return _along(x, dim, index)


@_aten("slice.Tensor", "slice_copy.Tensor")
def _slice(x: Value, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Value:
    whole = (start or 0) == 0 and (end is None or end >= x.shape[dim]) and step == 1
    return x if whole else _along(x, dim, slice(start, end, step))


@_aten("split.Tensor", "unsafe_split.Tensor", "split.sizes", "split_with_sizes", "unsafe_split_with_sizes")
def _split(x: Value, sizes: int | Sequence[int], dim: int = 0) -> list[Value]:
    n = x.shape[dim]
    stops = list(range(sizes, n, sizes)) if isinstance(sizes, int) else [int(k) for k in np.cumsum(sizes)[:-1]]
    return functions.cut(x, stops, dim % x.ndim)


@_aten("unbind.int")
def _unbind(x: Value, dim: int = 0) -> list[Value]:
    return [_along(x, dim, k) for k in range(x.shape[dim])]


@_aten("cat")
def _cat(tensors: Sequence[Value], dim: int = 0) -> Value:
    return functions.concatenate([x for x in tensors if x.shape != (0,)], dim)


@_aten("stack")
def _stack(tensors: Sequence[Value], dim: int = 0) -> Value:
    return functions.stack(tensors, dim)


@_aten("flip")
def _flip(x: Value, dims: Sequence[int]) -> Value:
    return p.flip(x, tuple(dims))


@_aten("roll")
def _roll(x: Value, shifts: Sequence[int], dims: Sequence[int] = ()) -> Value:
    if not dims:
        return p.reshape(arrangement.roll(p.reshape(x, (-1,)), shifts[0], 0), x.shape)
    return arrangement.roll(x, tuple(shifts), tuple(dims))


@_aten("repeat")
def _repeat(x: Value, repeats: Sequence[int]) -> Value:
    return arrangement.tile(x, tuple(repeats))


@_aten("constant_pad_nd")
def _pad(x: Value, pad: Sequence[int], value: Any = 0) -> Value:
    pairs = list(zip(pad[::2], pad[1::2], strict=True))[::-1]
    return p.pad(x, [*[(0, 0)] * (x.ndim - len(pairs)), *pairs], constant_values=float(value))


@_aten("tril")
def _tril(x: Value, diagonal: int = 0) -> Value:
    return arrangement.tril(x, diagonal)


@_aten("triu")
def _triu(x: Value, diagonal: int = 0) -> Value:
    return arrangement.triu(x, diagonal)


@_aten("diagonal")
def _diagonal(x: Value, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Value:
    return arrangement.diagonal(x, offset, dim1, dim2)


@_aten("index_select")
def _index_select(x: Value, dim: int, index: Value) -> Value:
    return p.take(x, index, axis=dim)


@_aten("gather")
def _gather(x: Value, dim: int, index: Value, sparse_grad: bool = False) -> Value:
    return p.take_along_axis(x, index, axis=dim)


@_aten("embedding")
def _embedding(weight: Value, indices: Value, *options: Any) -> Value:
    return p.take(weight, indices, axis=0)


@_aten("index.Tensor")
def _index(x: Value, indices: Sequence[Any]) -> Value:
    index = tuple(slice(None) if i is None else np.asarray(i) for i in indices)
    return p.getitem.on((x,), {"index": index})


def put(x: Value, value: Value, index: tuple[Any, ...]) -> Value:
    """`x` with `value` at a basic index, as after ``x[index] = value``."""
    places = np.zeros(x.shape, bool)
    places[index] = True
    shape = places[index].shape
    value = value if np.shape(value) == shape else p.broadcast_to(value, shape)
    return p.where(places, p.scatter.on((value,), {"index": index, "shape": x.shape}), x)


# -------------------------------------------------------------------------------------- constants


@_aten("full")
def _full(size: Sequence[int], value: Any, dtype: Any = None) -> Value:
    return np.full(tuple(size), value, dtype)


@_aten("zeros", "empty.memory_format")
def _zeros(size: Sequence[int], dtype: Any = None) -> Value:
    return np.zeros(tuple(size), dtype)


@_aten("ones")
def _ones(size: Sequence[int], dtype: Any = None) -> Value:
    return np.ones(tuple(size), dtype)


@_aten("scalar_tensor")
def _scalar_tensor(value: Any, dtype: Any = None) -> Value:
    return np.asarray(value, dtype)


@_aten("arange", "arange.start", "arange.start_step")
def _arange(*limits: Any, dtype: Any = None) -> Value:
    return np.arange(*limits, dtype=dtype)


@_aten("eye", "eye.m")
def _eye(n: int, m: int | None = None, dtype: Any = None) -> Value:
    return np.eye(n, m, dtype=dtype)


@_aten("linspace")
def _linspace(start: Any, end: Any, steps: int, dtype: Any = None) -> Value:
    return np.linspace(start, end, steps, dtype=dtype)

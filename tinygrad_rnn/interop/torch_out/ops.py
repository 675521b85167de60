"""Every primitive in PyTorch's own operations: a function, by the primitive's name, of its operands and attributes.

They are called while a graph is written, with proxies that record what is done to them. A proxy has the `extent` of
its value: the shape, with something else than a number for sizes that grow with the batch.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

__all__ = ["OPERATORS", "SELECTING", "TORCH", "dtype_of"]


def _axes(x: Any, axis: Any) -> list[int]:
    rank = len(x.extent)
    if axis is None:
        return list(range(rank))
    return [int(a) % rank for a in (axis if isinstance(axis, (tuple, list)) else (axis,))] if rank else []


def _size(x: Any, axis: int) -> Any:
    return x.extent[axis] if isinstance(x.extent[axis], int) else x.size(axis)


def _record(x: Any, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """A call of what takes no tensor."""
    return x.tracer.create_proxy("call_function", function, args, options)


def dtype_of(dtype: Any) -> torch.dtype:
    """NumPy's dtype as PyTorch's."""
    found: torch.dtype = torch.from_numpy(np.zeros(0, dtype)).dtype
    return found


# ---------------------------------------------------------------------------------------- elementwise


def _softplus(x: Any) -> Any:
    return torch.logaddexp(x, torch.zeros_like(x))  # PyTorch's own is linear beyond a threshold


def _root(x: Any) -> Any:
    """The square root whose derivative at 0 is 0."""
    return torch.where(x == 0, 0.0, torch.sqrt(torch.where(x == 0, 1.0, x)))


def _hypot(x: Any, y: Any) -> Any:
    """``torch.hypot`` whose derivative at the origin is 0."""
    origin = (x == 0) & (y == 0)
    return torch.where(origin, 0.0, torch.hypot(torch.where(origin, 1.0, x), y))


def _like(value: int) -> Callable[..., Any]:
    return lambda x, dtype=None: torch.full_like(x, value, dtype=None if dtype is None else dtype_of(dtype))


def _isclose(a: Any, b: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Any:
    return torch.isclose(a + torch.zeros_like(b), b + torch.zeros_like(a), rtol, atol, equal_nan)


# ----------------------------------------------------------------------------------------- reductions


def _over_axes(reduce: Callable[..., Any]) -> Callable[..., Any]:
    def reduced(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        return reduce(x, dim=_axes(x, axis), keepdim=keepdims) if axis != () and x.extent else x

    return reduced


def _log_softmax(x: Any, axis: Any = -1) -> Any:
    axes = _axes(x, axis)
    if len(axes) == 1:
        return torch.log_softmax(x, dim=axes[0])
    shifted = x - torch.amax(x, dim=axes, keepdim=True).detach()
    return shifted - torch.logsumexp(shifted, dim=axes, keepdim=True)


def _one_by_one(reduce: Callable[..., Any], begin: Callable[..., Any] = lambda x: x) -> Callable[..., Any]:
    def reduced(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        found = begin(x)
        for a in sorted(_axes(x, axis), reverse=True):
            found = reduce(found, dim=a, keepdim=keepdims)
        return found

    return reduced


def _truth(x: Any) -> Any:
    return x != 0


def _place(find: Callable[..., Any]) -> Callable[..., Any]:
    def found(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        if axis is not None or not keepdims:
            return find(x, dim=axis, keepdim=keepdims)
        return find(x).reshape([1] * len(x.extent))

    return found


def _argsort(x: Any, axis: Any = -1) -> Any:
    return torch.argsort(x.reshape(-1) if axis is None else x, dim=-1 if axis is None else axis, stable=True)


# --------------------------------------------------------------------------------- shape and movement


def _transpose(x: Any, axes: Any = None) -> Any:
    return torch.permute(x, _axes(x, None)[::-1] if axes is None else _axes(x, axes))


def _pad(x: Any, pad_width: Any, constant_values: float = 0.0) -> Any:
    widths = np.broadcast_to(np.asarray(pad_width, dtype=int), (len(x.extent), 2))[::-1]
    return torch.nn.functional.pad(x, [int(n) for pair in widths for n in pair], value=float(constant_values))


def _getitem(x: Any, index: Any) -> Any:
    """``x[index]`` as NumPy has it: slices may go backwards."""
    parts = list(index) if isinstance(index, tuple) else [index]
    axis = 0
    turned: list[int] = []
    for k, part in enumerate(parts):
        if part is Ellipsis:
            axis += len(x.extent) - sum(map(_width, parts))
        elif isinstance(part, slice) and isinstance(part.step, int) and part.step < 0:
            parts[k] = _turn(part, x.extent[axis])
            turned.append(axis)
        axis += _width(part)
    source = torch.flip(x, turned) if turned else x
    return source[tuple(parts) if isinstance(index, tuple) else parts[0]]


def _width(part: Any) -> int:
    """How many axes a part of an index stands for."""
    if part is None or part is Ellipsis:
        return 0
    return len(part.extent) if getattr(part, "is_mask", False) is True else 1


def _turn(part: slice, size: Any) -> slice:
    """A slice that goes backwards as one of the flipped axis."""
    if not isinstance(size, int):  # the batch
        if part.start is None and part.stop is None:
            return slice(None, None, -part.step)
        raise NotImplementedError
    places = range(*part.indices(size))
    start = size - 1 - places[0] if places else 0
    return slice(start, start + (len(places) - 1) * -part.step + 1 if places else start, -part.step)


def _scatter(values: Any, index: Any, shape: Any) -> Any:
    """Zeros of `shape` with `values` added at `index`."""
    size: Any = 1
    for n in shape:
        size = n * size
    numbers = _record(values, torch.arange, size, device=values.device).reshape(shape)
    numbers.extent = tuple(n if isinstance(n, int) else None for n in shape)
    places = _getitem(numbers, index).reshape(-1)
    return values.new_zeros(size).index_add(0, places, values.reshape(-1)).reshape(shape)


def _take(x: Any, indices: Any, axis: Any = 0) -> Any:
    return x.reshape(-1)[indices] if axis is None else x[(slice(None),) * (axis % len(x.extent)) + (indices,)]


def _take_along_axis(x: Any, indices: Any, axis: int = -1) -> Any:
    return torch.take_along_dim(x, torch.remainder(indices, _size(x, axis)), dim=axis)


def _scatter_along_axis(values: Any, indices: Any, length: int, axis: int = -1) -> Any:
    shape = [_size(values, k) for k in range(len(values.extent))]
    places = torch.remainder(indices, length).expand(shape)
    shape[axis] = length
    return values.new_zeros(shape).scatter_add(axis, places, values)


OPERATORS: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
    "power": operator.pow,
    "equal": operator.eq,
    "not_equal": operator.ne,
    "less": operator.lt,
    "less_equal": operator.le,
    "greater": operator.gt,
    "greater_equal": operator.ge,
}
"""Those that take plain numbers beside tensors."""

SELECTING = {"getitem", "take", "take_along_axis", "scatter_along_axis", "where"}
"""Those of which an operand may be whole numbers, or true and false, though the result is neither."""

TORCH: dict[str, Callable[..., Any]] = {
    **OPERATORS,
    "abs": torch.abs,
    "all": _one_by_one(torch.all, _truth),
    "any": _one_by_one(torch.any, _truth),
    "arctan": torch.atan,
    "arctan2": torch.atan2,
    "argmax": _place(torch.argmax),
    "argmin": _place(torch.argmin),
    "argsort": _argsort,
    "astype": lambda x, dtype: x.to(dtype),
    "broadcast_to": lambda x, shape: torch.broadcast_to(x, shape if isinstance(shape, tuple) else (shape,)),
    "ceil": torch.ceil,
    "concatenate": lambda *arrays, axis=0: torch.cat(arrays, dim=axis),
    "cos": torch.cos,
    "cumsum": lambda x, axis: torch.cumsum(x, dim=axis),
    "einsum": lambda *operands, subscripts: torch.einsum(subscripts, *operands),
    "erf": torch.erf,
    "exp": torch.exp,
    "expm1": torch.expm1,
    "flip": lambda x, axis=None: torch.flip(x, _axes(x, axis)),
    "floor": torch.floor,
    "floor_divide": lambda x, y: torch.floor_divide(x.detach(), y.detach()),
    "getitem": _getitem,
    "heaviside": lambda x, y: torch.heaviside(x.detach(), y.detach()),
    "hypot": _hypot,
    "identity": lambda x: x,
    "isclose": _isclose,
    "isfinite": torch.isfinite,
    "isinf": torch.isinf,
    "isnan": torch.isnan,
    "log": torch.log,
    "log10": torch.log10,
    "log1p": torch.log1p,
    "log2": torch.log2,
    "logaddexp": torch.logaddexp,
    "logical_and": torch.logical_and,
    "logical_not": torch.logical_not,
    "logical_or": torch.logical_or,
    "logical_xor": torch.logical_xor,
    "log_softmax": _log_softmax,
    "logsumexp": _over_axes(torch.logsumexp),
    "matmul": torch.matmul,
    "max": _over_axes(torch.amax),
    "maximum": torch.maximum,
    "min": _over_axes(torch.amin),
    "minimum": torch.minimum,
    "mod": torch.remainder,
    "negative": torch.neg,
    "ones_like": _like(1),
    "pad": _pad,
    "prod": _one_by_one(torch.prod),
    "relu": torch.relu,
    "reshape": lambda x, shape: torch.reshape(x, shape if isinstance(shape, tuple) else (shape,)),
    "rint": torch.round,
    "root": _root,
    "round": lambda x, decimals=0: torch.round(x, decimals=decimals),
    "scatter": _scatter,
    "scatter_along_axis": _scatter_along_axis,
    "sigmoid": torch.sigmoid,
    "sign": torch.sign,
    "sin": torch.sin,
    "softplus": _softplus,
    "sqrt": torch.sqrt,
    "square": torch.square,
    "stack": lambda *arrays, axis=0: torch.stack(arrays, dim=axis),
    "stop_gradient": lambda x: x.detach(),
    "sum": _over_axes(torch.sum),
    "take": _take,
    "take_along_axis": _take_along_axis,
    "tanh": torch.tanh,
    "transpose": _transpose,
    "trunc": torch.trunc,
    "where": torch.where,
    "zeros_like": _like(0),
}

"""Batched: many values of one shape moving through the primitives together.

A cotangent with a leading axis of K directions lets one reverse sweep do the work of K. The rules never
know: a :class:`Batched` reports the shape of one member, and each primitive is applied along the
leading axis by moving the axes its attributes name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .cotangent import dense
from .operators import Operators
from .primitive import Primitive

Array = npt.NDArray[Any]

__all__ = ["Batched"]


class Batched(Operators):
    """K arrays of one shape, held as one array with a leading axis of length K."""

    __slots__ = ("array",)

    def __init__(self, array: Array) -> None:
        self.array = array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """All members, for whoever only looks at the numbers, such as the search for a NaN."""
        return np.array(self.array, dtype=dtype) if copy else np.asarray(self.array, dtype=dtype)

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """The shape of one member."""
        return self.array.shape[1:]

    @property
    def ndim(self) -> int:
        """The number of dimensions of one member."""
        return self.array.ndim - 1

    @property
    def size(self) -> int:
        """The number of elements of one member."""
        return int(np.prod(self.shape))

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.array.dtype

    @staticmethod
    def _apply(op: Primitive, operands: Sequence[Any], attributes: dict[str, Any]) -> Batched:
        operands = [dense(operand) for operand in operands]
        if op.elementwise:  # numbers stay numbers: as arrays they would turn float32 into float64
            members: list[Any] = [o if isinstance(o, (Batched, int, float)) else np.asarray(o) for o in operands]
            rank = max(0 if isinstance(o, (int, float)) else o.ndim for o in members)
            arrays = [_with_rank(o, rank) if isinstance(o, Batched) else o for o in members]
            if op.name == "broadcast_to":
                attributes = {"shape": (arrays[0].shape[0], *attributes["shape"])}
                (member,) = members
                assert isinstance(member, Batched)
                arrays = [_with_rank(member, len(attributes["shape"]) - 1)]
            return Batched(np.asarray(op.forward(*arrays, **attributes)))
        members = [o if isinstance(o, Batched) else np.asarray(o) for o in operands]
        rule = _BATCH_RULES.get(op.name)
        if rule is None:
            raise TypeError(f"{op.name} has no batching rule; no derivative rule was expected to need one")
        return Batched(np.asarray(rule(op, members, **attributes)))


def _with_rank(batched: Batched, rank: int) -> Array:
    """The array with axes of length 1 after the leading one, so that members have `rank` dimensions."""
    k, *shape = batched.array.shape
    return batched.array.reshape(k, *(1,) * (rank - batched.ndim), *shape)


def _full(members: Sequence[Any]) -> list[Array]:
    """Every member with the leading axis, plain arrays repeated along it."""
    count = next(len(o.array) for o in members if isinstance(o, Batched))
    return [o.array if isinstance(o, Batched) else np.broadcast_to(o, (count, *o.shape)) for o in members]


def _shift_axis(axis: Any, ndim: int) -> Any:
    """The axes of a member as axes of the array that holds them all."""
    if axis is None:
        return tuple(range(1, ndim + 1))
    if isinstance(axis, tuple):
        return tuple(a % ndim + 1 for a in axis)
    return axis % ndim + 1


def _reduce(op: Primitive, members: Sequence[Any], axis: Any = None, keepdims: bool = False) -> Any:
    (x,) = members
    return op.forward(x.array, axis=_shift_axis(axis, x.ndim), keepdims=keepdims)


def _along(op: Primitive, members: Sequence[Any], axis: Any = None) -> Any:
    (x,) = members
    return op.forward(x.array, axis=_shift_axis(axis, x.ndim))


def _reshape(op: Primitive, members: Sequence[Any], shape: Any) -> Any:
    (x,) = members
    shape = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    return x.array.reshape(x.array.shape[0], *shape)


def _transpose(op: Primitive, members: Sequence[Any], axes: Any = None) -> Any:
    (x,) = members
    axes = range(x.ndim)[::-1] if axes is None else axes
    return x.array.transpose(0, *(a % x.ndim + 1 for a in axes))


def _pad(op: Primitive, members: Sequence[Any], pad_width: Any, constant_values: float = 0.0) -> Any:
    (x,) = members
    widths = np.broadcast_to(np.asarray(pad_width, dtype=int), (x.ndim, 2))
    return op.forward(x.array, [(0, 0), *widths.tolist()], constant_values)


def _getitem(op: Primitive, members: Sequence[Any], index: Any) -> Any:
    parts, ahead = _parse_index(index)
    picked = _full(members)[0][(slice(None), *parts)]
    return picked if ahead is None else np.moveaxis(picked, ahead, 0)


def _scatter(op: Primitive, members: Sequence[Any], index: Any, shape: tuple[int, ...]) -> Any:
    parts, ahead = _parse_index(index)
    (values,) = _full(members)
    moved = values if ahead is None else np.moveaxis(values, 0, ahead)
    return op.forward(moved, (slice(None), *parts), (values.shape[0], *shape))


def _parse_index(index: Any) -> tuple[tuple[Any, ...], int | None]:
    """The parts of an index, and, where index arrays stand apart, how many axes NumPy puts in front of the leading
    one.
    """
    parts = index if isinstance(index, tuple) else (index,)
    arrays = [np.asarray(part) for part in parts if isinstance(part, (np.ndarray, list, int, np.integer, np.bool_))]
    places = [k for k, part in enumerate(parts) if isinstance(part, (np.ndarray, list, int, np.integer, np.bool_))]
    dims = [1 if array.dtype == np.bool_ else array.ndim for array in arrays]
    apart = any(dims) and places != list(range(places[0], places[-1] + 1))
    return parts, max(dims) if apart else None


def _take(op: Primitive, members: Sequence[Any], axis: int | None = None) -> Any:
    x, indices = members
    if axis is None:
        return op.forward(x.array.reshape(len(x.array), -1), indices, 1)
    return op.forward(_full([x])[0], indices, _shift_axis(axis, x.ndim))


def _along_indices(op: Primitive, members: Sequence[Any], axis: int = -1, **length: int) -> Any:
    x, indices = members
    return op.forward(_full([x])[0], indices[None], axis=_shift_axis(axis, x.ndim), **length)


def _join(op: Primitive, members: Sequence[Any], axis: int = 0) -> Any:
    arrays = _full(members)
    ndim = arrays[0].ndim - (0 if op.name == "stack" else 1)
    return op.forward(*arrays, axis=_shift_axis(axis, ndim))


def _matmul(op: Primitive, members: Sequence[Any]) -> Any:
    a, b = members
    if a.ndim == b.ndim == 2 and not isinstance(b, Batched):
        k, m, n = a.array.shape  # one large product instead of K small ones
        return (a.array.reshape(k * m, n) @ b).reshape(k, m, b.shape[1])
    a, b = (o.array if isinstance(o, Batched) else o[None] for o in members)
    vector_a, vector_b = members[0].ndim == 1, members[1].ndim == 1
    a = a[:, None, :] if vector_a else a
    b = b[:, :, None] if vector_b else b
    rank = max(a.ndim, b.ndim)
    a = a.reshape(a.shape[0], *(1,) * (rank - a.ndim), *a.shape[1:])
    b = b.reshape(b.shape[0], *(1,) * (rank - b.ndim), *b.shape[1:])
    out = np.matmul(a, b)
    out = out[..., 0, :] if vector_a else out
    return out[..., 0] if vector_b else out


def _einsum(op: Primitive, members: Sequence[Any], subscripts: str) -> Any:
    inputs, output = subscripts.split("->")
    label = next(c for c in "ZYXWVUTSRQPONMLKJIHGFEDCBAzyxwvutsrqponmlkjihgfedcba" if c not in subscripts)
    terms = [
        label + term if isinstance(o, Batched) else term for term, o in zip(inputs.split(","), members, strict=True)
    ]
    arrays = [o.array if isinstance(o, Batched) else o for o in members]
    return np.einsum(",".join(terms) + "->" + label + output, *arrays)


_BATCH_RULES: dict[str, Callable[..., Any]] = {
    "sum": _reduce,
    "max": _reduce,
    "min": _reduce,
    "prod": _reduce,
    "logsumexp": _reduce,
    "cumsum": _along,
    "log_softmax": lambda op, members, axis=-1: _along(op, members, axis),
    "flip": _along,
    "reshape": _reshape,
    "transpose": _transpose,
    "pad": _pad,
    "getitem": _getitem,
    "scatter": _scatter,
    "take": _take,
    "take_along_axis": _along_indices,
    "scatter_along_axis": _along_indices,
    "concatenate": _join,
    "stack": _join,
    "matmul": _matmul,
    "einsum": _einsum,
}

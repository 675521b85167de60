"""Sequences of values, which are lists, and values that may be missing, which are None."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ....autodiff import functions
from ....autodiff.primitive import Value
from ..graph import Body
from ..operators import Results, bounded, integers, operator

LONGEST = 2**16
"""Elements of a sequence: it is copied whenever it grows."""


def _place(sequence: Sequence[Any], position: Value, count: int) -> int:
    """A position out of `count`, which may be counted from the end."""
    (k,) = integers(position)
    n = len(sequence)
    if not -n <= k < count:
        raise ValueError(f"position {k} is outside of a sequence of {n}")
    return k + n if k < 0 else k


@operator("SequenceEmpty")
def _empty(*, dtype: Any = None) -> Any:
    return []


@operator("SequenceConstruct")
def _construct(*values: Value) -> Any:
    return list(values)


@operator("SequenceInsert")
def _insert(sequence: list[Any], value: Value, position: Value = None) -> Any:
    k = len(sequence) if position is None else _place(sequence, position, len(sequence) + 1)
    if len(sequence) >= LONGEST:
        raise ValueError(f"a sequence may have {LONGEST:,} elements")
    return [*sequence[:k], value, *sequence[k:]]


@operator("SequenceErase")
def _erase(sequence: list[Any], position: Value = None) -> Any:
    k = _place(sequence, np.array(-1) if position is None else position, len(sequence))
    return [*sequence[:k], *sequence[k + 1 :]]


@operator("SequenceAt")
def _at(sequence: list[Any], position: Value) -> Any:
    return sequence[_place(sequence, position, len(sequence))]


@operator("SequenceLength")
def _length(sequence: list[Any]) -> Value:
    return np.array(len(sequence), np.int64)


@operator("SplitToSequence")
def _split(x: Value, split: Value = None, *, axis: int, keepdims: int = 1) -> Any:
    axis = functions.normal_axis("SplitToSequence", axis, len(x.shape))
    n = x.shape[axis]
    sizes = [1] * n if split is None else integers(split)
    if split is not None and not split.shape:
        if sizes[0] < 1:
            raise ValueError(f"cuts into pieces of {sizes[0]}")
        sizes = [min(sizes[0], n - k) for k in range(0, n, sizes[0])]
    if sum(sizes) != n or min(sizes, default=0) < 0 or len(sizes) > LONGEST:
        raise ValueError(f"axis {axis} of length {n} is not to be cut into {sizes[:LONGEST]}")
    pieces = functions.cut(x, [int(k) for k in np.cumsum(sizes)[:-1]], axis) if sizes else []
    return [functions.squeeze(piece, axis) for piece in pieces] if split is None and not keepdims else list(pieces)


@operator("ConcatFromSequence")
def _concat(sequence: list[Any], *, axis: int, new_axis: int = 0) -> Value:
    if not sequence:
        raise ValueError("joins an empty sequence")
    shapes = [value.shape for value in sequence]
    bounded((len(sequence), *shapes[0]) if new_axis else (sum(shape[axis] for shape in shapes),))
    return functions.stack(sequence, axis) if new_axis else functions.concatenate(sequence, axis)


@operator("SequenceMap")
def _map(sequence: list[Any], *more: Any, body: Body) -> Any:
    given = [sequence, *more]
    lengths = {len(values) for values in given if isinstance(values, list)}
    if len(lengths) != 1:
        raise ValueError(f"the sequences are of lengths {sorted(lengths)}")
    rows = [
        body(*(values[k] if isinstance(values, list) else values for values in given)) for k in range(len(sequence))
    ]
    return Results([list(column) for column in zip(*rows, strict=True)] or [[] for _ in body.graph.outputs])


@operator("Optional")
def _optional(x: Any = None, *, type: Any = None) -> Any:
    return x


@operator("OptionalHasElement")
def _has_element(x: Any = None) -> Value:
    return np.array(x is not None)


@operator("OptionalGetElement")
def _get_element(x: Any) -> Any:
    return x

"""Where a primitive is written, and what the writing of most of them needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..recipe import OfBatch, Range, Rows
from ..refusal import UnsupportedError
from .model import Array, Graph, Operand

__all__ = ["At", "Size", "axes_of", "ints"]

Size = int | OfBatch | None
"""A size; None is one that is not known."""


@dataclass
class At:
    """Where a primitive is written.

    Attributes
    ----------
    graph : Graph
    who : str
        Cell and primitive, for errors.
    shape : tuple of Size
        Of the result.
    dtype : dtype
        Of the result.
    shapes : list of tuple of Size
        Of the operands.
    """

    graph: Graph
    who: str
    shape: tuple[Size, ...]
    dtype: np.dtype[Any]
    shapes: list[tuple[Size, ...]]

    def node(self, kind: str, *operands: Operand, dtype: Any = None, **attributes: Any) -> Any:
        """A node with one result, by default of the dtype of the primitive's."""
        return self.graph.node(kind, *operands, dtype=self.dtype if dtype is None else dtype, **attributes)

    def cut(self, x: Any) -> Any:
        """The same, through which no gradient goes: ONNX knows of no such thing, and says so by the node's name."""
        part = f"{self.graph.part}/" if self.graph.part else ""
        return self.node("Identity", x, name=f"{self.graph.prefix}{part}stop_gradient")

    def refuse(self, why: str) -> UnsupportedError:
        """An error that names cell and primitive."""
        return UnsupportedError(f"{self.who}: {why}")

    def cast(self, value: Operand, dtype: Any) -> Any:
        """The same numbers in another dtype."""
        assert value is not None
        if value.dtype == dtype:
            return value
        if isinstance(value, np.ndarray):
            return value.astype(dtype)
        return self.graph.node("Cast", value, dtype=dtype, to=self.graph.model.kind(dtype))

    def sizes(self, shape: Sequence[Size]) -> Operand:
        """A shape as whole numbers."""
        return self.graph.model.sizes([self.known(size) for size in shape])

    def known(self, size: Size) -> int | OfBatch:
        """A size that is known.

        Raises
        ------
        UnsupportedError
            If it depends on the batch in a way that has no formula.
        """
        if size is None:
            raise self.refuse("a size depends on that of the batch in a way that cannot be written down")
        return size

    def fill(self, number: Any, shape: Sequence[Size], dtype: Any) -> Any:
        """An array of one number."""
        return self.node("Expand", np.array(number, dtype), self.sizes(shape), dtype=dtype)

    def reshape(self, x: Any, shape: Sequence[Size]) -> Any:
        """The same elements in another shape."""
        grown = [k for k, size in enumerate(shape) if not isinstance(size, int)]
        if 0 in shape:
            return self.node("Reshape", x, self.sizes(shape), dtype=x.dtype, allowzero=1)
        if len(grown) == 1:
            shape = [-1 if k in grown else size for k, size in enumerate(shape)]  # ONNX finds out which
        return self.node("Reshape", x, self.sizes(shape), dtype=x.dtype)

    def constant(self, numbers: Any) -> Any:
        """Numbers out of a recipe, which may depend on the batch."""
        if isinstance(numbers, Range):
            one = np.array(0, np.int64), np.array(1, np.int64)
            batch = self.node("Squeeze", self.graph.model.size(OfBatch(1, 0)), dtype=np.int64)
            return self.node("Range", one[0], batch, one[1], dtype=np.int64)
        if isinstance(numbers, Rows):
            shape = [OfBatch(1, 0) if k in numbers.axes else n for k, n in enumerate(numbers.array.shape)]
            return self.node("Expand", numbers.array, self.graph.model.sizes(shape), dtype=numbers.array.dtype)
        return np.asarray(numbers)


def axes_of(axis: Any, rank: int) -> list[int]:
    """The axes that an attribute means, of so many."""
    if axis is None:
        return list(range(rank))
    return [int(a) % rank for a in (axis if isinstance(axis, (tuple, list)) else (axis,))] if rank else []


def ints(*numbers: int) -> Array:
    """Whole numbers as ONNX has them."""
    return np.array(numbers, np.int64)

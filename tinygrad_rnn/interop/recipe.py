"""A step as a list of operations, told apart by two batch sizes: what is the same in both, and what grows with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ..compiler.program import Literal
from .refusal import UnsupportedError

__all__ = ["Entry", "OfBatch", "Range", "Recipe", "Rows", "merge"]


class OfBatch(NamedTuple):
    """A number that depends on the batch size b: ``factor * b + offset``, or ``factor / b + offset``."""

    factor: Any
    offset: Any
    inverse: bool = False


class Range(NamedTuple):
    """The numbers 0 to b - 1."""


class Rows(NamedTuple):
    """A constant that is repeated for each sequence: its one row, and the axes along which it is."""

    array: Any
    axes: tuple[int, ...]


@dataclass(frozen=True)
class Entry:
    """A value: what comes from outside, or an operation on earlier ones.

    Attributes
    ----------
    kind : {"x", "state", "parameter", "constant", "op"}
    what : str, array or Primitive
        The name of a state or parameter, the numbers of a constant, the operation.
    operands : tuple of int or Literal
        Places of earlier entries, and numbers.
    shape : tuple of int, OfBatch or None
        Of the value; once two batches have been merged, what grows with the batch, and None where it does so in steps.
    dtype : dtype
    attributes : mapping
        Of an operation.
    """

    kind: str
    what: Any
    operands: tuple[Any, ...]
    shape: tuple[int | OfBatch | None, ...]
    dtype: Any
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Recipe:
    """Entries, every operand before its use, the places of what comes out, and the names that the step gives."""

    entries: list[Entry] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    tensors: dict[int, int] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)

    def add(self, entry: Entry) -> int:
        """Its place."""
        self.entries.append(entry)
        return len(self.entries) - 1


def merge(who: str, recipes: Sequence[Recipe], batches: Sequence[int]) -> Recipe:
    """The recipe for every batch, of those for two.

    Raises
    ------
    UnsupportedError
        If they differ by more than sizes that grow with the batch.
    """
    one, two = recipes
    if [_shape_of(e) for e in one.entries] != [_shape_of(e) for e in two.entries] or one.outputs != two.outputs:
        raise UnsupportedError(f"{who}: it does something else for another batch size, or at another call")
    entries = []
    for a, b in zip(one.entries, two.entries, strict=True):
        label = f"an array of {a.dtype}" if a.kind == "constant" else getattr(a.what, "name", a.what)
        merged = _Merging(f"{who}: {label}", *batches)
        what = merged.constant(a.what, b.what) if a.kind == "constant" else a.what
        pairs = zip(a.operands, b.operands, strict=True)
        operands = tuple(p if isinstance(p, int) else Literal(merged.part(p.value, q.value)) for p, q in pairs)
        shape = tuple(merged.size(p, q) for p, q in zip(a.shape, b.shape, strict=True))
        attributes = merged.part(dict(a.attributes), dict(b.attributes))
        entries.append(Entry(a.kind, what, operands, shape, a.dtype, attributes))
    return Recipe(entries, one.outputs, names=one.names)


def _shape_of(entry: Entry) -> Any:
    places = tuple(o if isinstance(o, int) else None for o in entry.operands)
    return (
        entry.kind,
        len(entry.shape),
        entry.what if entry.kind != "constant" else "",
        places,
        sorted(entry.attributes),
    )


class _Merging:
    """Attributes and constants of two batches as those of every batch."""

    def __init__(self, who: str, one: int, two: int) -> None:
        self.who, self.batches = who, (one, two)

    def _refuse(self) -> UnsupportedError:
        return UnsupportedError(
            f"{self.who} depends on the batch size, or on the call, in a way that cannot be taken over"
        )

    def part(self, a: Any, b: Any) -> Any:
        """What two attributes, or the parts of them, have in common."""
        if type(a) is not type(b):
            raise self._refuse()
        if isinstance(a, dict):
            return {key: self.part(value, b[key]) for key, value in a.items()}
        if isinstance(a, (tuple, list)) and len(a) == len(b):
            return type(a)(self.part(p, q) for p, q in zip(a, b, strict=True))
        if isinstance(a, slice):
            return slice(self.part(a.start, b.start), self.part(a.stop, b.stop), self.part(a.step, b.step))
        if isinstance(a, np.ndarray):
            return self.constant(a, b)
        if a is b or a == b or (a != a and b != b):
            return a
        if isinstance(a, (bool, np.bool_)) or not isinstance(a, (int, float, np.number)):
            raise self._refuse()
        return self._number(a, b)

    def size(self, a: Any, b: Any) -> int | OfBatch | None:
        """What two sizes have in common; None where one is, say, half of the batch."""
        try:
            return a if a == b else self._number(a, b)
        except UnsupportedError:
            return None

    def _number(self, a: Any, b: Any) -> OfBatch:
        one, two = self.batches
        if one == two:  # nothing but the call is another one
            raise self._refuse()
        factor = (b - a) / (two - one)
        if factor == round(factor):
            return OfBatch(int(factor), a - int(factor) * one)
        if np.isclose(a * one, b * two, rtol=1e-14, atol=0.0):
            return OfBatch(a * one, 0, inverse=True)
        raise self._refuse()

    def constant(self, a: Any, b: Any) -> Any:
        """An array that is the same for both, up to rows that are repeated for each sequence."""
        one, two = self.batches
        if a.shape == b.shape:
            if not np.array_equal(a, b, equal_nan=a.dtype.kind == "f"):
                raise self._refuse()
            return a
        sizes = [(p, q) for p, q in zip(a.shape, b.shape, strict=True)] if a.ndim == b.ndim else []
        axes = tuple(k for k, size in enumerate(sizes) if size == (one, two))
        if not axes or any(p != q for k, (p, q) in enumerate(sizes) if k not in axes):
            raise self._refuse()
        if a.ndim == 1 and np.array_equal(a, np.arange(one)) and np.array_equal(b, np.arange(two)):
            return Range()
        first = tuple(slice(0, 1) if k in axes else slice(None) for k in range(a.ndim))
        if not all(
            np.array_equal(v, np.broadcast_to(a[first], v.shape), equal_nan=v.dtype.kind == "f") for v in (a, b)
        ):
            raise self._refuse()
        return Rows(a[first], axes)

"""What a step reads of its cell besides Tensors: told apart, so that a change is noticed."""

from __future__ import annotations

import operator
import random
from collections.abc import Collection, Hashable, Mapping
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from ..autodiff.tensor import Tensor
from ..recurrent.cell import Cell

__all__ = ["Glance", "fingerprint", "frozen"]

_OF_NO_STEP = frozenset({"initialisation", "preset", "_rng"})
"""Attributes of every cell that say how it was made."""

_BY_IDENTITY = (type, ModuleType, BuiltinFunctionType, random.Random, np.random.Generator, np.random.RandomState)
"""What counts by who it is: what is code, and sources of random numbers, which a step draws from once."""

_LASTING = frozenset({int, bool, str, bytes, float, complex, type(None), property})
"""What cannot become something else and stay who it is."""


def fingerprint(cell: Cell) -> Hashable:
    """The attributes of a cell and of its classes, of what they hold and so on, as something to compare.

    Tensors count by who they are, since their numbers are read anew at every run; arrays and numbers by what they hold,
    other objects by what a copy of them would be made of.
    """
    return _of_cell(cell, {})


def frozen(value: Any) -> Hashable:
    """Any value as something to compare by what it holds."""
    return _frozen(value, {})


def _of_cell(cell: Cell, seen: dict[int, Any]) -> Hashable:
    own = {name: value for name, value in vars(cell).items() if name not in _OF_NO_STEP}
    shared = [
        (name, value) for kind in _own_classes(cell) for name, value in vars(kind).items() if not name.startswith("__")
    ]
    return (_frozen(own, seen), tuple([(name, _frozen(value, seen)) for name, value in shared]))


class Glance:
    """Whether a cell is surely as it was, told by who its attributes are: far cheaper than a fingerprint.

    Where an attribute could change and stay who it is, such as an array or a list, nothing is sure.

    Attributes
    ----------
    sure : bool
        Whether a look at who they are can be enough.
    """

    def __init__(self, cell: Cell) -> None:
        self._kind, self._order = type(cell), type(cell).__mro__
        self._cell = cell
        self._tables: list[tuple[Mapping[str, Any], tuple[str, ...], tuple[Any, ...]]] = []
        self._functions: list[FunctionType] = []
        self.sure = self._look_at(vars(cell), _OF_NO_STEP)
        for kind in _own_classes(cell):
            names = {name for name in vars(kind) if name.startswith("__")}
            self.sure = self.sure and self._look_at(vars(kind), names)

    def _look_at(self, table: Mapping[str, Any], passed: Collection[str]) -> bool:
        """Note down what a table holds; whether nothing of it, but for the names that are `passed` over, can change."""
        self._tables.append((table, tuple(table), tuple(table.values())))
        return all(self._lasts(value) for name, value in table.items() if name not in passed)

    def _lasts(self, value: Any) -> bool:
        kind = type(value)
        if kind is FunctionType:
            self._functions.append(value)
            return not vars(value)
        if kind is dict:
            return self._look_at(value, ())
        if kind is tuple:
            return all(map(self._lasts, value))
        return kind in _LASTING or isinstance(value, (Tensor, np.dtype, *_BY_IDENTITY))

    def holds(self) -> bool:
        """Whether all is as it was; False if that is not sure."""
        if not self.sure or type(self._cell) is not self._kind or self._kind.__mro__ is not self._order:
            return False
        for table, names, values in self._tables:
            if tuple(table) != names or not all(map(operator.is_, table.values(), values)):
                return False
        return not any(map(vars, self._functions))


def _own_classes(cell: Cell) -> tuple[type, ...]:
    """The classes of a cell that are not those of every cell."""
    order = type(cell).__mro__
    return order[: order.index(Cell)]


class _Same:
    """An object that equals itself alone, and that lives as long as this."""

    __slots__ = ("it",)

    def __init__(self, it: Any) -> None:
        self.it = it

    def __eq__(self, other: object) -> bool:
        return type(other) is _Same and other.it is self.it

    def __hash__(self) -> int:
        return id(self.it)


def _frozen(value: Any, seen: dict[int, Any]) -> Hashable:
    kind = type(value)
    if kind in (int, bool, str, bytes, type(None)):
        return (kind, value)
    if kind in (float, complex):
        return repr(value)  # tells 0.0 from -0.0
    if isinstance(value, Tensor):
        return (kind, value.id)
    if isinstance(value, (np.ndarray, np.generic)) and not value.dtype.hasobject:
        return (value.shape, value.dtype.str, value.tobytes())
    if kind is slice:
        return (kind, *[_frozen(part, seen) for part in (value.start, value.stop, value.step)])
    if isinstance(value, np.dtype):
        return (np.dtype, value.str)
    if isinstance(value, _BY_IDENTITY) or id(value) in seen:
        return _Same(value)
    seen[id(value)] = value  # kept, so that no other object gets its id
    if kind is dict:
        return (kind, tuple([(_frozen(key, seen), _frozen(part, seen)) for key, part in value.items()]))
    if isinstance(value, tuple) or kind is list:
        return (kind, tuple([_frozen(part, seen) for part in value]))
    if kind in (set, frozenset):
        return (kind, frozenset([_frozen(part, seen) for part in value]))
    if isinstance(value, Cell):
        return _of_cell(value, seen)
    if kind is MethodType:
        return (_Same(value.__func__), _frozen(value.__self__, seen))
    if kind is FunctionType:
        return (_Same(value), _frozen(vars(value), seen))
    return (_Same(value), _frozen(getattr(value, "__dict__", None), seen), _content(value, seen))


def _content(value: Any, seen: dict[int, Any]) -> Hashable:
    """What else an object holds, in slots or as a container: what `copy` and `pickle` would take along."""
    try:
        made = value.__reduce_ex__(2)
        parts = () if isinstance(made, str) else made[1:]
        return tuple(
            [_frozen(list(part) if k > 1 and part is not None else part, seen) for k, part in enumerate(parts)]
        )
    except Exception:  # a lock, a file: what cannot be copied counts by who it is
        return None

"""What a step reads of its cell besides Tensors: told apart, so that a change is noticed."""

from __future__ import annotations

import random
from collections.abc import Hashable
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from ..autodiff.tensor import Tensor
from ..recurrent.cell import Cell

__all__ = ["fingerprint", "frozen"]

_OF_NO_STEP = frozenset({"initialisation", "preset", "_rng"})
"""Attributes of every cell that say how it was made."""

_BY_IDENTITY = (type, ModuleType, BuiltinFunctionType, random.Random, np.random.Generator, np.random.RandomState)
"""What counts by who it is: what is code, and sources of random numbers, which a step draws from once."""


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
    classes = type(cell).__mro__[: type(cell).__mro__.index(Cell)]
    shared = [(name, value) for kind in classes for name, value in vars(kind).items() if not name.startswith("__")]
    return (_frozen(own, seen), tuple([(name, _frozen(value, seen)) for name, value in shared]))


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

"""What a step reads of its cell besides Tensors: told apart, so that a change is noticed."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np

from ..cell import Cell
from ..tensor import Tensor

__all__ = ["fingerprint"]

_OF_NO_STEP = frozenset({"initialisation", "preset", "_rng"})
"""Attributes of every cell that say how it was made."""


def fingerprint(cell: Cell) -> Hashable:
    """The attributes of a cell and of its classes, of what they hold and so on, as something to compare.

    Tensors count by who they are, since their numbers are read anew at every run; arrays and numbers by what they hold.
    """
    seen: set[int] = set()
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


def _frozen(value: Any, seen: set[int]) -> Hashable:
    kind = type(value)
    if kind in (int, bool, str, bytes, type(None)):
        return (kind, value)
    if kind in (float, complex):
        return repr(value)  # tells 0.0 from -0.0
    if kind is Tensor:
        return (kind, value.id)
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype != object:
        return (value.shape, value.dtype.str, value.tobytes())
    if id(value) in seen:
        return _Same(value)
    seen.add(id(value))
    if isinstance(value, dict):
        return (kind, tuple([(_frozen(key, seen), _frozen(part, seen)) for key, part in value.items()]))
    if isinstance(value, (tuple, list)):
        return (kind, tuple([_frozen(part, seen) for part in value]))
    if isinstance(value, (set, frozenset)):
        return (kind, frozenset([_frozen(part, seen) for part in value]))
    if isinstance(value, Cell):
        return fingerprint(value)
    if type(kind) is type and "__dict__" in dir(kind) and kind.__module__ not in ("builtins", "types") and not callable(value):
        return (_Same(value), _frozen(vars(value), seen))
    return _Same(value)

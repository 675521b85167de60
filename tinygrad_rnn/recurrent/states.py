"""States of any network as flat lists: of a cell, of a stack a tuple of them, of two directions a pair."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["leaves_of", "rebuild"]


def leaves_of(state: Any) -> list[Any]:
    """The arrays or Tensors in a state, however deep, in order."""
    return [leaf for part in state for leaf in (leaves_of(part) if isinstance(part, tuple) else [part])]


def rebuild(like: Any, leaves: Iterator[Any]) -> Any:
    """A state of the same make as `like`, out of other leaves."""
    if not isinstance(like, tuple):
        return next(leaves)
    inside = [rebuild(part, leaves) for part in like]
    return type(like)(*inside) if hasattr(like, "_fields") else tuple(inside)

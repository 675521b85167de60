"""Indices that cut a window out of an array: a range along every axis, nothing dropped, nothing repeated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Window", "basic", "is_whole_number", "window"]


class Window(NamedTuple):
    """The range ``(start, stop)`` along every axis."""

    bounds: tuple[tuple[int, int], ...]

    @property
    def slices(self) -> tuple[slice, ...]:
        """The index that cuts it out."""
        return tuple(slice(start, stop) for start, stop in self.bounds)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(stop - start for start, stop in self.bounds)

    def narrows(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The axes along which it leaves something of `shape` out."""
        pairs = enumerate(zip(self.bounds, shape, strict=True))
        return tuple(k for k, (bounds, n) in pairs if bounds != (0, n))


def window(index: Any, shape: tuple[int, ...]) -> Window | None:
    """What `index` cuts out of an array of `shape`; ``None`` if it is no window or an empty one."""
    parts = index if isinstance(index, tuple) else (index,)
    if any(not isinstance(part, slice) and part is not Ellipsis for part in parts):
        return None
    found = basic(parts, shape)
    return None if found is None else found[0]


def basic(index: Sequence[Any], shape: tuple[int, ...]) -> tuple[Window, tuple[int, ...]] | None:
    """The window that slices, whole numbers, None and an ellipsis cut out, and the shape that they give it.

    ``None`` if there is anything else among them, and if the window is empty or has gaps.
    """
    parts = list(index)
    if not all(isinstance(p, slice) or p is None or p is Ellipsis or is_whole_number(p) for p in parts):
        return None
    spare = len(shape) - sum(part is not None and part is not Ellipsis for part in parts)
    if not any(part is Ellipsis for part in parts):
        parts.append(Ellipsis)
    at = next(k for k, part in enumerate(parts) if part is Ellipsis)
    parts[at : at + 1] = [slice(None)] * spare
    bounds: list[tuple[int, int]] = []
    kept: list[int] = []
    for part in parts:
        if part is None:
            kept.append(1)
            continue
        n = shape[len(bounds)]
        taken = range(*part.indices(n)) if isinstance(part, slice) else range(n)[int(part) :][:1]
        if taken.step != 1 or not taken:
            return None
        bounds.append((taken.start, taken.stop))
        kept += [len(taken)] if isinstance(part, slice) else []
    return Window(tuple(bounds)), tuple(kept)


def is_whole_number(part: Any) -> bool:
    """Whether a part of an index is a whole number; True and False are masks."""
    return isinstance(part, (int, np.integer)) and not isinstance(part, (bool, np.bool_))

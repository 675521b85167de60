"""Indices that cut a window out of an array: a range along every axis, nothing dropped, nothing repeated."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["Window", "window"]


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
    parts = list(index) if isinstance(index, tuple) else [index]
    if any(not isinstance(part, slice) and part is not Ellipsis for part in parts):
        return None
    if Ellipsis in parts:
        at = parts.index(Ellipsis)
        parts[at : at + 1] = [slice(None)] * (len(shape) - len(parts) + 1)
    parts += [slice(None)] * (len(shape) - len(parts))
    if len(parts) != len(shape):
        return None
    ranges = [range(*part.indices(n)) for part, n in zip(parts, shape, strict=True)]
    if any(r.step != 1 or not len(r) for r in ranges):
        return None
    return Window(tuple((r.start, r.stop) for r in ranges))

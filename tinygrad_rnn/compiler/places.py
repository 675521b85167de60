"""Where values lie in memory: a buffer with a row for each timestep, and strides within the row."""

from __future__ import annotations

import math
from enum import Enum
from typing import NamedTuple

from .indexing import Window

__all__ = ["Place", "Row", "contiguous"]


class Row(Enum):
    """Which row of a buffer belongs to timestep k: the only one, k, k + 1, or the remainder by 2 of k or k + 1."""

    ONLY = 0
    NOW = 1
    NEXT = 2
    EVEN = 3
    ODD = 4


class Place(NamedTuple):
    """A value in row `row` of buffer `buffer`; offset and strides count elements.

    A cotangent that goes from step to step lives in two rows in turn: read at ``ODD``, written at ``EVEN``.
    """

    buffer: str
    row: Row
    size: int
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @classmethod
    def whole(cls, buffer: str, row: Row, shape: tuple[int, ...]) -> Place:
        """A value that fills its row."""
        return cls(buffer, row, math.prod(shape), 0, shape, contiguous(shape))

    @property
    def is_contiguous(self) -> bool:
        """Whether its elements follow each other in C order."""
        pairs = zip(self.shape, self.strides, contiguous(self.shape), strict=True)
        return all(n == 1 or have == want for n, have, want in pairs)

    def cut(self, window: Window) -> Place:
        """The place of a window of the value."""
        offset = self.offset + sum(a * s for (a, _), s in zip(window.bounds, self.strides, strict=True))
        return self._replace(offset=offset, shape=window.shape)

    def transpose(self, axes: tuple[int, ...]) -> Place:
        """The place of the value with its axes permuted."""
        return self._replace(shape=tuple(self.shape[a] for a in axes), strides=tuple(self.strides[a] for a in axes))

    def reshape(self, shape: tuple[int, ...]) -> Place | None:
        """The place of the value in another shape; ``None`` if its elements have to be moved for that."""
        if self.is_contiguous or 0 in shape:
            return self._replace(shape=shape, strides=contiguous(shape))
        strides: list[int] = []
        runs = self._runs()
        for n in reversed(shape):
            length, stride = runs.pop() if n > 1 else (1, 0)
            if length % n:
                return None
            strides.append(stride)
            if length > n:
                runs.append((length // n, n * stride))
        return self._replace(shape=shape, strides=tuple(reversed(strides)))

    def _runs(self) -> list[tuple[int, int]]:
        """Length and stride of the axes, those joined through which one stride leads."""
        runs: list[tuple[int, int]] = []
        for n, stride in zip(self.shape, self.strides, strict=True):
            if n > 1:
                length = runs.pop()[0] if runs and runs[-1][1] == n * stride else 1
                runs.append((length * n, stride))
        return runs

    def broadcast(self, shape: tuple[int, ...]) -> Place:
        """The place of the value repeated to `shape`, with strides of 0."""
        extra = len(shape) - len(self.shape)
        pairs = zip(self.shape, self.strides, shape[extra:], strict=True)
        return self._replace(shape=shape, strides=(0,) * extra + tuple(0 if n == 1 != m else s for n, s, m in pairs))


def contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of an array in C order, in elements."""
    return tuple(math.prod(shape[k + 1 :]) for k in range(len(shape)))

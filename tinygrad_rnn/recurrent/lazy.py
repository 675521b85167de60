"""Sequences and mappings of Tensors that are made when somebody looks at them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, overload

from ..autodiff.functions import stack
from ..autodiff.tensor import Tensor
from ..plurals import counted

__all__ = ["LazyMapping", "LazySequence", "stacked"]


def stacked(values: Sequence[Tensor]) -> Tensor:
    """The values as one Tensor (T, ...), those of a lazy sequence without making them one by one."""
    whole = values.whole if isinstance(values, LazySequence) else None
    found: Tensor = whole() if whole is not None else stack(list(values))
    return found


class LazySequence(Sequence[Any]):
    """T values, each made once, at the first look at it.

    Parameters
    ----------
    count : int
    make : callable
        From a position to the value.
    whole : callable, optional
        All values as one Tensor (T, ...), without making them one by one.
    """

    __slots__ = ("_count", "_made", "_make", "whole")

    def __init__(self, count: int, make: Callable[[int], Any], whole: Callable[[], Tensor] | None = None) -> None:
        self._count = count
        self._made: dict[int, Any] = {}
        self._make = make
        self.whole = whole

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[k] for k in range(self._count)[index]]
        k = index if type(index) is int and 0 <= index < self._count else range(self._count)[index]
        found = self._made.get(k)
        if found is None:
            found = self._made[k] = self._make(k)
        return found

    def __repr__(self) -> str:
        return f"<{counted(len(self), 'value')}>"


class LazyMapping(Mapping[tuple[str, int], Tensor]):
    """From (name, t) to a Tensor, which is made at the first look at it.

    Parameters
    ----------
    sequences : callable
        Gives a mapping of str to sequence of Tensors, when it is first needed.
    """

    def __init__(self, sequences: Callable[[], Mapping[str, Sequence[Tensor]]]) -> None:
        self._find = sequences

    @cached_property
    def sequences(self) -> Mapping[str, Sequence[Tensor]]:
        """All timesteps of each name."""
        return self._find()

    def __getitem__(self, key: tuple[str, int]) -> Tensor:
        if not isinstance(key, tuple) or len(key) != 2 or key[0] not in self.sequences:
            raise KeyError(key)
        values = self.sequences[key[0]]
        if not 0 <= key[1] < len(values):
            raise KeyError(key)
        return values[key[1]]

    def __iter__(self) -> Iterator[tuple[str, int]]:
        return ((name, t) for name, values in self.sequences.items() for t in range(len(values)))

    def __len__(self) -> int:
        return sum(map(len, self.sequences.values()))

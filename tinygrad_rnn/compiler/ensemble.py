"""Many initialisations of one cell as one operation: a tape for each, side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..autodiff.cotangent import dense
from ..recurrent.inner import RowsOf
from .backward import Cotangents
from .operation import UnrolledRun
from .program import Array
from .recurrence import Recurrence

__all__ = ["UnrolledEnsemble"]


class UnrolledEnsemble(UnrolledRun):
    """Cells alike but for their parameters, over the same inputs; states and parameters have the members in front."""

    def __init__(self, name: str, find: Callable[[Sequence[Array], bool], Recurrence]) -> None:
        super().__init__(name, find)
        single = self.forward

        def forward(*operands: Array, **attributes: Any) -> Array:
            x, *rest = operands
            return np.stack([single(x, *[value[k] for value in rest], **attributes) for k in range(len(rest[0]))])

        self.forward = forward

    def inside(self, node: Any) -> dict[Any, tuple[int, ...]]:
        """As for one cell, with the members in front."""
        x, *rest = node.values
        single = _Member(node._data[0], (x, *[value[0] for value in rest]), node.attributes)
        return {key: (len(node._data), *shape) for key, shape in super().inside(single).items()}

    def _cotangents(self, node: Any, contributions: list[Any], live: Sequence[int], detail: str) -> Cotangents:
        members = [self._member(node, contributions, live, detail, k) for k in range(len(node._data))]
        first = members[0]

        def share(k: int) -> Sequence[Any]:
            return [_stack(parts) for parts in zip(*[member.share(k) for member in members], strict=True)]

        return Cotangents(
            None if first.x is None else sum(member.x for member in members),
            {name: _stack([member.states[name] for member in members]) for name in first.states},
            [_stack(parts) for parts in zip(*[member.operands for member in members], strict=True)],
            {key: np.stack([member.inner[key] for member in members], axis=1) for key in first.inner},
            share,
        )

    def _member(self, node: Any, contributions: list[Any], live: Sequence[int], detail: str, k: int) -> Cotangents:
        x, *rest = node.values
        single = _Member(node._data[k], (x, *[value[k] for value in rest]), node.attributes)
        return super()._cotangents(single, [_part(part, k, single._data) for part in contributions], live, detail)

    def _pull_tensors(self, node: Any, contributions: list[Any], live: Sequence[int]) -> Any:
        raise NotImplementedError("gradients of gradients of an ensemble: take them of its members one by one")


class _Member:
    """One member of an ensemble as if it were a run of its own."""

    def __init__(self, tape: Array, values: tuple[Array, ...], attributes: Any) -> None:
        self._data = tape
        self.values = values
        self.attributes = attributes


def _part(part: Any, k: int, tape: Array) -> Any:
    """One member's part of a cotangent."""
    if isinstance(part, RowsOf):
        return RowsOf(part.key, part.first, part.rows[:, k], tape, part.start)
    return dense(part)[k]


def _stack(parts: Sequence[Any]) -> Any:
    return None if parts[0] is None else np.stack(parts)

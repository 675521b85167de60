"""What a value was computed from, and which gate or state each operation on the way serves."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

from .operators import Operators

__all__ = ["ancestors", "parts"]


def ancestors(outputs: Sequence[Any], ends: Container[int] = ()) -> list[Any]:
    """Everything that `outputs` were computed from, themselves included, oldest first.

    What lies behind the nodes whose ids are in `ends` is left out.

    Creation order is a topological order, so sorting by id is all it takes; no recursion, and linear
    (up to the sort) in the number of nodes.
    """
    found = {node.id: node for node in outputs}
    stack = list(found.values())
    while stack:
        node = stack.pop()
        for operand in () if node.id in ends else node.inputs:
            if isinstance(operand, Operators):
                key = operand.id  # type: ignore[attr-defined]
                if key not in found:
                    found[key] = operand
                    stack.append(operand)
    return [found[key] for key in sorted(found)]


def parts(outputs: Sequence[Any]) -> dict[int, str | None]:
    """The part of the cell that each operation behind `outputs` belongs to, by node id.

    A named value owns itself. Any other operation belongs to the part that all of its consumers in the
    same timestep agree on, and to none where they disagree: in an LSTM the slice and the sigmoid of the
    forget gate belong to ``f``, both products of the new cell state to ``c``, and the affine map that
    all four gates share to nobody.
    """
    claims: dict[int, set[str | None]] = {}
    owner: dict[int, str | None] = {}
    for node in reversed(ancestors(outputs)):
        claimed = claims.get(node.id, set())
        agreed = next(iter(claimed)) if len(claimed) == 1 else None
        owner[node.id] = node.name or agreed
        for operand in node.inputs:
            if isinstance(operand, Operators) and operand.scope is node.scope:  # type: ignore[attr-defined]
                claims.setdefault(operand.id, set()).add(owner[node.id])  # type: ignore[attr-defined]
    return owner

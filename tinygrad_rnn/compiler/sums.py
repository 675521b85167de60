"""Sums over inner loops, which may be added up in any order."""

from __future__ import annotations

from typing import Any

from numba import types
from numba.extending import intrinsic

__all__ = ["FUNCTIONS"]


def _accumulate(kind: Any) -> Any:
    """The next sum of a reduction; as its order is free, the compiler adds up several at once."""

    @intrinsic
    def accumulate(typing_context: Any, total: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.fadd(*arguments, flags=("reassoc", "contract"))

        return kind(kind, kind), generate

    return accumulate


FUNCTIONS = {"accumulate_float32": _accumulate(types.float32), "accumulate_float64": _accumulate(types.float64)}
"""By the name that loops call them."""

"""The table of JAX's primitives: how one is declared, and which is refused."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

__all__ = ["OPERATORS", "Operator", "Results", "primitive"]

OPERATORS: dict[str, Operator] = {}
"""From JAX's names to operators."""


class Results(list[Any]):
    """Several results of one primitive."""


class Operator:
    """A function of our values for a primitive of JAX.

    Positional parameters are the operands, keyword-only ones parameters of the primitive by JAX's names. The function
    gives one value, or :class:`Results`.
    """

    def __init__(self, function: Callable[..., Any], refuses: Callable[..., str] | None) -> None:
        self.function, self.refuses = function, refuses
        signature = inspect.signature(function).parameters.values()
        self.keywords = frozenset(q.name for q in signature if q.kind is q.KEYWORD_ONLY)


def primitive(
    *names: str, refuses: Callable[..., str] | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare the primitive of JAX's names.

    Parameters
    ----------
    *names : str
    refuses : callable, optional
        Of the primitive's parameters, as keywords: why they are not supported, or ``""``.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in names:
            OPERATORS[name] = Operator(function, refuses)
        return function

    return register

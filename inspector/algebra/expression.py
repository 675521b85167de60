"""Expressions: what one value is computed from, as a tree that can be evaluated, differentiated and written down."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from tinygrad_rnn.autodiff.primitive import PRIMITIVES, Primitive

Array = npt.NDArray[Any]
Result = TypeVar("Result")
UNWRITTEN = frozenset({"identity", "astype", "broadcast_to"})
"""Operations of which the result is written as the operand."""

__all__ = ["UNWRITTEN", "Expression", "Symbol", "evaluate", "features", "fold", "is_unit", "number", "subtrees"]


@dataclass(frozen=True)
class Symbol:
    """A name in an equation.

    Attributes
    ----------
    name : str
        As the user gave it; anything.
    time : int or None
        Timesteps from the one described: -1 for the value before; ``None`` for what does not change over time.
    primes : int
        Tell apart values that would be written alike.
    """

    name: str
    time: int | None = None
    primes: int = 0


@dataclass(frozen=True, eq=False)
class Expression:
    """An operation on other expressions, or a leaf.

    Attributes
    ----------
    op : str
        A primitive's name, or ``"symbol"``, ``"number"``, ``"apply"`` (a matrix times each of a batch of column
        vectors) or ``"mean"``.
    operands : tuple of Expression
    attributes : mapping
        As of the primitive.
    shape : tuple of int
        Of the value, with the batch in front if it is `batched`.
    batched : bool
        Whether there is one value for each sequence.
    node : int
        Index of the graph node whose value this is; -1 for what is in no graph.
    symbol : Symbol or None
    value : ndarray or None
        Of a number.
    label : str
        Of a block of rows, what it serves; empty to write its indices.
    primitive : Primitive or None
        What computes it in the graph, which may be declared there alone; the library's of that name when ``None``.
    """

    op: str
    operands: tuple[Expression, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    shape: tuple[int, ...] = ()
    batched: bool = False
    node: int = -1
    symbol: Symbol | None = None
    value: Array | None = None
    label: str = ""
    primitive: Primitive | None = None


def number(value: Any) -> Expression:
    """A literal number."""
    return Expression("number", value=np.asarray(value))


def features(expression: Expression) -> tuple[int, ...]:
    """The shape of the value of a single sequence."""
    return expression.shape[1:] if expression.batched else expression.shape


def is_unit(expression: Expression) -> bool:
    """Whether the value of a single sequence is one number."""
    return math.prod(features(expression)) == 1


def fold(expression: Expression, function: Callable[[Expression, list[Result]], Result]) -> Result:
    """What `function` makes of an expression and of what it made of the operands; each is asked for once."""
    done: dict[Expression, Result] = {}
    stack = [expression]
    while stack:
        waiting = [operand for operand in stack[-1].operands if operand not in done]
        if waiting:
            stack += waiting
            continue
        top = stack.pop()
        if top not in done:
            done[top] = function(top, [done[operand] for operand in top.operands])
    return done[expression]


def subtrees(expression: Expression) -> Iterator[Expression]:
    """The expression and everything in it, once for each time that it is written."""
    stack = [expression]
    while stack:
        top = stack.pop()
        yield top
        stack += reversed(top.operands)


def evaluate(expression: Expression, values: Mapping[Symbol, Array]) -> Array:
    """The value of an expression, given those of its symbols."""

    def value(e: Expression, operands: list[Array]) -> Array:
        if e.op == "symbol":
            assert e.symbol is not None
            return values[e.symbol]
        if e.op == "number":
            assert e.value is not None
            return e.value
        if e.op == "apply":
            matrix, vector = operands
            return np.asarray(vector @ matrix.T)
        if e.op == "mean":
            return np.asarray(np.mean(operands[0], **e.attributes))
        return np.asarray((e.primitive or PRIMITIVES[e.op]).evaluate(operands, dict(e.attributes)))

    return fold(expression, value)

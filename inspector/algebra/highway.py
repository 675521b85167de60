"""The derivative of a state by itself one step before, along the highway: through elementwise sums, products and
choices alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .expression import UNWRITTEN, Expression, Symbol, evaluate, fold, number, subtrees
from .statements import Statement, Statements

__all__ = ["Derivative", "along", "factors", "ways"]


@dataclass(frozen=True)
class Derivative:
    """What the state `of` changes by when `by`, the same state a step before, changes, along the highway.

    `diagonal` is an expression for the diagonal of the Jacobian; `where` defines what letters in it stand for.
    """

    of: Symbol
    by: Symbol
    diagonal: Expression
    where: tuple[Statement, ...]


def along(statements: Statements, state: str) -> Derivative | None:
    """The sum over all ways along which `state` gets through the step on diagonal Jacobians; None if there is no
    way.
    """
    by, of = statements.symbols.before[state], statements.symbols.after[state]
    written = Counter(e.symbol for s in statements.all for e in subtrees(s.expression) if e.op == "symbol")
    diagonals: dict[Symbol, Expression] = {by: number(1.0)}
    where: list[Statement] = []
    for statement in statements.all:
        found = fold(statement.expression, lambda e, inner: diagonals.get(e.symbol) if e.symbol else _rule(e, inner))
        if found is None:
            continue
        if statement.symbol == of:
            return _without_unneeded(Derivative(of, by, found, tuple(where)))
        if written[statement.symbol] > 1 and found.op not in ("number", "symbol"):
            letter = statements.symbols.fresh(0 if found.batched else None)
            statements.values[letter] = np.broadcast_to(evaluate(found, statements.values), statement.expression.shape)
            where.append(Statement(letter, found, -1))
            found = Expression("symbol", (), {}, found.shape, found.batched, -1, letter)
        diagonals[statement.symbol] = found
    return None


def _without_unneeded(derivative: Derivative) -> Derivative:
    """Without letters that it does not lead to."""
    needed = {e.symbol for e in subtrees(derivative.diagonal)}
    kept: list[Statement] = []
    for statement in reversed(derivative.where):
        if statement.symbol in needed:
            kept.append(statement)
            needed |= {e.symbol for e in subtrees(statement.expression)}
    return Derivative(derivative.of, derivative.by, derivative.diagonal, tuple(reversed(kept)))


def _rule(e: Expression, inner: Sequence[Expression | None]) -> Expression | None:
    """The diagonal for the result of an operation, given those for its operands."""
    changes = [(k, d) for k, d in enumerate(inner) if d is not None]
    if not changes:
        return None
    if e.op == "reshape":
        return _reshape(e, changes[0][1])
    if any(e.operands[k].shape != e.shape for k, _ in changes):
        return None
    if e.op in UNWRITTEN:
        return changes[0][1]
    if e.op == "where":
        return _make("where", e.operands[0], *(d or number(0.0) for d in inner[1:]))
    if e.op not in _RULES:
        return None
    terms = [_RULES[e.op](e, k, d) for k, d in changes]
    return terms[0] if len(terms) == 1 else _add(*terms)


def _reshape(e: Expression, inner: Expression) -> Expression:
    """The diagonal in the shape that the values have from here on."""
    if inner.op == "number" or e.shape == e.operands[0].shape:
        return inner
    full = Expression(
        "broadcast_to", (inner,), {"shape": e.operands[0].shape}, e.operands[0].shape, e.operands[0].batched
    )
    return Expression("reshape", (full,), e.attributes, e.shape, e.batched)


def _product(e: Expression, k: int, d: Expression) -> Expression:
    return _times(e.operands[1 - k], d) if k else _times(d, e.operands[1])


def _quotient(e: Expression, k: int, d: Expression) -> Expression:
    a, b = e.operands
    if k == 0:
        return _make("divide", d, b)
    return _negate(_make("divide", _times(a, d), _make("square", b)))


def _times(a: Expression, b: Expression) -> Expression:
    """The product; ones are left out and numbers multiplied."""
    numbers = [x for x in (a, b) if x.op == "number"]
    if len(numbers) == 2:
        return number(_value(a) * _value(b))
    if numbers and _value(numbers[0]) == 1.0:
        return b if numbers[0] is a else a
    return _make("multiply", a, b) if not numbers or numbers[0] is a else _make("multiply", b, a)


def _add(a: Expression, b: Expression) -> Expression:
    if a.op == b.op == "number":
        return number(_value(a) + _value(b))
    if a is b or (a.symbol is not None and a.symbol == b.symbol):
        return _times(number(2.0), a)
    if b.op == "negative":
        return _make("subtract", a, b.operands[0])
    return _make("add", a, b)


def _negate(a: Expression) -> Expression:
    if a.op == "negative":
        return a.operands[0]
    return number(-_value(a)) if a.op == "number" else _make("negative", a)


def _value(e: Expression) -> float:
    assert e.value is not None
    return float(e.value)


def _make(op: str, *operands: Expression) -> Expression:
    shape = np.broadcast_shapes(*(x.shape for x in operands))
    return Expression(op, operands, {}, shape, any(x.batched for x in operands))


_RULES = {
    "add": lambda e, k, d: d,
    "subtract": lambda e, k, d: _negate(d) if k else d,
    "negative": lambda e, k, d: _negate(d),
    "multiply": _product,
    "divide": _quotient,
}


def ways(diagonal: Expression) -> list[tuple[int, Expression]]:
    """The terms of the sum that a diagonal is, with their signs."""
    found: list[tuple[int, Expression]] = []
    stack = [(1, diagonal)]
    while stack:
        sign, e = stack.pop()
        if e.node < 0 and e.op in ("add", "subtract", "negative"):
            signs = (sign, -sign if e.op == "subtract" else sign) if len(e.operands) == 2 else (-sign,)
            stack += reversed(list(zip(signs, e.operands, strict=True)))
        else:
            found.append((sign, e))
    return found


def factors(way: Expression) -> list[Expression]:
    """The factors of one way, each the value of a node of the graph where it can be."""
    found, stack = [], [way]
    while stack:
        e = stack.pop()
        if e.node < 0 and e.op == "multiply":
            stack += reversed(e.operands)
        else:
            found.append(e)
    return found

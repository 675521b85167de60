"""Products of stacks of matrices and Einstein sums, in terms of what loops can do: products of two matrices, and
elementwise products that are summed.
"""

from __future__ import annotations

import functools
import itertools
import math
import string
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from ...autodiff import primitives as p
from ...autodiff.primitive import Primitive
from ..indexing import basic, is_whole_number
from ..program import Instruction, Program
from ..rewrite import rewrite
from ..symbol import Builder, Symbol

__all__ = ["decompose"]

_Labels: TypeAlias = tuple[Hashable, ...]

_WORTH_A_CALL = 1024
"""Multiplications from which BLAS multiplies two matrices of a stack, rather than loops of our own."""


class _Term(NamedTuple):
    """An operand of a contraction, with a label for each of its axes."""

    value: Symbol
    labels: _Labels

    @property
    def sizes(self) -> dict[Hashable, int]:
        """The length of the axis of each label."""
        return dict(zip(self.labels, self.value.shape, strict=True))


def decompose(program: Program) -> Program:
    """Write contractions, stacks and indices with numbers in operations that are fused.

    The loops never store the elementwise products that they add up. Where no axis is kept by both operands, as in the
    product of a batch and weights, there is one product of two matrices, which may leave the loop; and large matrices
    of two stacks are multiplied pair by pair.
    """

    def rule(builder: Builder, step: Instruction) -> Symbol | None:
        apply = _RULES.get(step.op)
        if apply is None or len(step.values) < len(step.operands):
            return None
        if step.op.kind == "product":
            kinds = {builder.types[value].dtype for value in (*step.values, step.target)}
            if len(kinds) > 1 or kinds.pop().char not in "fd":
                return None
        return apply([Symbol(builder, value) for value in step.values], **step.attributes)

    return rewrite(program, rule)


# -------------------------------------------------------------------------------------- contractions


def _matmul(operands: Sequence[Symbol]) -> Symbol | None:
    a, b = operands
    if a.ndim == b.ndim == 2:
        return None
    around = tuple(range(max(a.ndim, b.ndim) - 2))
    left = around[len(around) - max(0, a.ndim - 2) :] + ("rows", "inner")[-a.ndim :]
    right = around[len(around) - max(0, b.ndim - 2) :] + ("inner", "columns")[: b.ndim]
    kept = [label for label in ("rows", "columns") if label in left + right]
    return _contract([_Term(a, left), _Term(b, right)], (*around, *kept))


def _einsum(operands: Sequence[Symbol], subscripts: str) -> Symbol:
    inputs, output = subscripts.split("->")
    terms = [_Term(x, tuple(labels)) for x, labels in zip(operands, inputs.split(","), strict=True)]
    return _contract(terms, tuple(output))


def _contract(terms: list[_Term], output: _Labels) -> Symbol:
    """The sum of products of elements with equal labels, over every label that is not in the output."""
    sizes: dict[Hashable, int] = {}
    for term in terms:
        sizes |= {label: n for label, n in term.sizes.items() if sizes.get(label, 1) == 1}
    terms = [_unrepeated(term, sizes) for term in terms]
    for chosen in _order(terms, output):
        picked = [terms[k] for k in chosen]
        terms = [term for k, term in enumerate(terms) if k not in chosen]
        wanted = dict.fromkeys(itertools.chain(output, *[term.labels for term in terms]))
        terms.append(_combine(picked, tuple(wanted)))
    (found,) = terms
    return _transpose(found, output)


def _unrepeated(term: _Term, sizes: dict[Hashable, int]) -> _Term:
    """The term without its axes of length 1 whose label has another length elsewhere."""
    kept = tuple(label for label, n in term.sizes.items() if n == sizes[label])
    return term if kept == term.labels else _Term(_reshape(term.value, [sizes[label] for label in kept]), kept)


def _order(terms: Sequence[_Term], output: _Labels) -> list[tuple[int, ...]]:
    """Which terms to combine one after the other, by their places among those that are left."""
    if len(terms) <= 2:
        return [tuple(range(len(terms)))]
    every = dict.fromkeys(itertools.chain(*[term.labels for term in terms]))
    letters = dict(zip(every, string.ascii_letters, strict=False))
    *inputs, result = ("".join([letters[x] for x in labels]) for labels in (*[term.labels for term in terms], output))
    stand_ins = [np.broadcast_to(0.0, term.value.shape) for term in terms]
    path, _ = np.einsum_path(f"{','.join(inputs)}->{result}", *stand_ins, optimize="greedy")
    return [tuple(places) for places in path[1:]]


def _combine(terms: Sequence[_Term], wanted: _Labels) -> _Term:
    """The product of terms, summed over what is not wanted."""
    terms = [_reduce(term, {*wanted, *itertools.chain(*[o.labels for o in terms if o is not term])}) for term in terms]
    product = _product(terms[0], terms[1], wanted) if len(terms) == 2 else None
    return product or _elementwise(terms, wanted)


def _reduce(term: _Term, kept: set[Hashable]) -> _Term:
    """A term summed over all labels but some."""
    axes = tuple(axis for axis, label in enumerate(term.labels) if label not in kept)
    return _Term(p.sum(term.value, axes), tuple(label for label in term.labels if label in kept)) if axes else term


def _product(a: _Term, b: _Term, wanted: _Labels) -> _Term | None:
    """Two terms as matrices, or stacks of them, whose product is worth a call; otherwise ``None``."""
    rows, columns = _alone(a, b), _alone(b, a)
    if columns and (not rows or [label for label in wanted if label in rows + columns][-1] in rows):
        a, b, rows, columns = b, a, columns, rows
    inner = tuple(label for label in b.labels if label in a.labels and label not in wanted)
    if not inner:
        return None
    stacked = [label for label in a.labels if label in b.labels and label in wanted]
    stacked += [*_in_front(a, rows, inner), *_in_front(b, columns, inner)]
    rows, columns = (tuple(label for label in labels if label not in stacked) for labels in (rows, columns))
    sizes = a.sizes | b.sizes
    n, k, m = (math.prod(sizes[label] for label in labels) for labels in (rows, inner, columns))
    if stacked and (n * k * m < _WORTH_A_CALL or 1 in (n, m)):
        return None
    left, right = _matrices(a, stacked, rows, inner), _matrices(b, stacked, inner, columns)
    labels = (*stacked, *rows, *columns)
    return _Term(_reshape(p.matmul(left, right), [sizes[label] for label in labels]), labels)


def _alone(term: _Term, other: _Term) -> _Labels:
    """The labels that another term does not have."""
    return tuple(label for label in term.labels if label not in other.labels)


def _in_front(term: _Term, alone: _Labels, inner: _Labels) -> _Labels:
    """The axes in front of what is summed, if others of the term's own follow: a stack, which need not be copied."""
    at = [term.labels.index(label) for label in inner]
    behind = any(term.labels.index(label) > min(at) for label in alone)
    return tuple(label for label in alone if behind and term.labels.index(label) < min(at))


def _matrices(term: _Term, stacked: Sequence[Hashable], rows: _Labels, columns: _Labels) -> Symbol:
    """A term as a stack of matrices, with axes of length 1 where it is the same for the whole stack."""
    sizes = term.sizes
    value = _transpose(term, (*[label for label in stacked if label in sizes], *rows, *columns))
    flat = [math.prod(sizes[label] for label in labels) for labels in (rows, columns)]
    return _reshape(value, [*[sizes.get(label, 1) for label in stacked], *flat])


def _elementwise(terms: Sequence[_Term], wanted: _Labels) -> _Term:
    """The elementwise product, with loops in the order in which the largest operand, or else the result, lies."""
    every = dict.fromkeys(itertools.chain(*[term.labels for term in terms]))
    result = tuple(label for label in wanted if label in every)
    summed = tuple(label for label in every if label not in wanted)
    whole = [labels for labels in (*[term.labels for term in terms], result) if len(labels) == len(every)]
    order = whole[0] if whole else (*result[:-1], *summed, *result[-1:])
    product = functools.reduce(p.multiply, [_spread(term, order) for term in terms])
    return _reduce(_Term(product, order), set(wanted))


def _spread(term: _Term, order: _Labels) -> Symbol:
    """A term with its axes in some order, and axes of length 1 for the labels that it does not have."""
    sizes = term.sizes
    return _reshape(
        _transpose(term, tuple(label for label in order if label in sizes)), [sizes.get(label, 1) for label in order]
    )


def _transpose(term: _Term, order: _Labels) -> Symbol:
    axes = tuple(term.labels.index(label) for label in order)
    return term.value if axes == tuple(range(len(axes))) else p.transpose(term.value, axes)


def _reshape(value: Symbol, shape: Sequence[int]) -> Symbol:
    return value if value.shape == tuple(shape) else p.reshape(value, tuple(shape))


# ---------------------------------------------------------------------------------- indices and stacks


def _getitem(operands: Sequence[Symbol], index: Any) -> Symbol | None:
    """Numbers and None in an index as a window and a reshape; a diagonal as the sum of a masked square."""
    (x,) = operands
    parts = index if isinstance(index, tuple) else (index,)
    if any(part is None or is_whole_number(part) for part in parts):
        return _basic(x, parts)
    square = _basic(x, (*parts[:-2], *_corner(parts[-2:]))) if _is_diagonal(x, parts) else None
    return None if square is None else p.sum(p.where(np.eye(square.shape[-1], dtype=bool), square, 0.0), -1)


def _basic(x: Symbol, index: Sequence[Any]) -> Symbol | None:
    found = basic(index, x.shape)
    if found is None:
        return None
    window, shape = found
    return _reshape(p.getitem(x, window.slices) if window.narrows(x.shape) else x, shape)


def _is_diagonal(x: Symbol, parts: Sequence[Any]) -> bool:
    """Whether an index ends with two ranges that go up together, for the last two axes."""
    ranges = [part for part in parts[-2:] if isinstance(part, np.ndarray) and part.ndim == 1 and part.size]
    if len(ranges) < 2 or x.dtype.kind != "f":
        return False
    in_order = all(part.dtype.kind in "iu" and part[0] >= 0 and (np.diff(part) == 1).all() for part in ranges)
    others = parts[:-2]
    plain = all(isinstance(part, slice) or part is Ellipsis for part in others)
    return in_order and plain and len(ranges[0]) == len(ranges[1]) and (Ellipsis in others or len(parts) == x.ndim)


def _corner(ranges: Sequence[Any]) -> list[slice]:
    return [slice(int(part[0]), int(part[-1]) + 1) for part in ranges]


def _stack(operands: Sequence[Symbol], axis: int = 0) -> Symbol:
    shape = list(operands[0].shape)
    axis %= len(shape) + 1
    shape.insert(axis, 1)
    joined: Symbol = p.concatenate(*[p.reshape(x, tuple(shape)) for x in operands], axis=axis)
    return joined


_RULES: dict[Primitive, Callable[..., Symbol | None]] = {
    p.matmul: _matmul,
    p.einsum: _einsum,
    p.getitem: _getitem,
    p.stack: _stack,
}

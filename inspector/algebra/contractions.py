"""Products with a sum in them, whichever way a cell writes them: ``einsum``, or elementwise products that are then
summed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .expression import Expression, features

__all__ = ["Side", "contraction", "lifted", "summed_product"]


class Side(NamedTuple):
    """An operand of a product, by its number, and whether it is transposed."""

    operand: int
    transposed: bool


def lifted(e: Expression) -> str:
    """``"column"`` or ``"row"``, if a vector for each sequence was made that of a matrix, as ``v[:, :, None]``
    does; else empty.
    """
    if e.op not in ("getitem", "reshape") or not (e.batched and e.operands[0].batched):
        return ""
    if e.op == "getitem" and not _only_adds_axes(e.attributes["index"]):
        return ""
    before, after = features(e.operands[0]), features(e)
    if len(before) != 1 or len(after) != 2:
        return ""
    return "column" if after == (*before, 1) else "row" if after == (1, *before) else ""


def _only_adds_axes(index: Any) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    return all(part is None or part is Ellipsis or (isinstance(part, slice) and part == slice(None)) for part in parts)


def contraction(e: Expression) -> tuple[Side, Side] | None:
    """The two sides of an ``einsum`` that is a product of matrices and vectors, in the order in which it is written.

    A vector stands behind its matrix; of two vectors, the transposed one makes it an inner or an outer product.
    """
    terms, output = e.attributes["subscripts"].split("->")[0].split(","), e.attributes["subscripts"].split("->")[1]
    if len(terms) != 2:
        return None
    if e.batched:
        sequence, output = output[:1], output[1:]
        if any(
            operand.batched and not term.startswith(sequence) for term, operand in zip(terms, e.operands, strict=True)
        ):
            return None
        terms = [term[1:] if operand.batched else term for term, operand in zip(terms, e.operands, strict=True)]
        if any(sequence in term for term in terms):
            return None
    shared = set(terms[0]) & set(terms[1])
    if max(map(len, (*terms, output))) > 2 or len(shared) > 1 or shared & set(output):
        return None
    rests = ["".join(label for label in term if label not in shared) for term in terms]
    first = next((k for k in (0, 1) if output == rests[k] + rests[1 - k]), None)
    if first is None or (not shared and max(map(len, rests)) > 1):
        return None
    if shared and not rests[first] and rests[1 - first]:
        first = 1 - first
    common = "".join(shared)
    left = terms[first] == common + rests[first] if shared else False
    right = terms[1 - first] == rests[1 - first] + common if rests[1 - first] else False
    return Side(first, left), Side(1 - first, right)


def summed_product(e: Expression) -> Expression:
    """``(S * c[:, None]).sum(2)`` as the product of a matrix and a vector that it is; anything else as it is."""
    axis, product = e.attributes.get("axis"), e.operands[0]
    if (
        not isinstance(axis, int)
        or e.attributes.get("keepdims")
        or product.op != "multiply"
        or len(features(product)) != 2
    ):
        return e
    summed = axis % len(product.shape) - product.batched
    for matrix, vector in (product.operands, product.operands[::-1]):
        if lifted(vector) == ("column", "row")[summed] and features(matrix) == features(product):
            subscripts = f"{'b' if matrix.batched else ''}ij,b{'ij'[summed]}->b{'ji'[summed]}"
            return Expression(
                "einsum", (matrix, vector.operands[0]), {"subscripts": subscripts}, e.shape, e.batched, e.node
            )
    return e

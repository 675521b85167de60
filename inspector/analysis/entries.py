"""The Jacobian of a single operation by one of its operands, as a list of its entries."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tinygrad_rnn import Tensor, grad, jacobian

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

__all__ = ["Entries", "entries"]

_LARGEST = 2**23
"""Entries of a Jacobian that we are willing to form where nothing is known of its pattern."""
_COPIES = frozenset(
    {
        "getitem",
        "reshape",
        "transpose",
        "stack",
        "concatenate",
        "flip",
        "pad",
        "take",
        "broadcast_to",
        "identity",
        "astype",
    }
)
"""Operations of whose result every element is one of an operand's, or a constant."""


class Entries(NamedTuple):
    """Where a Jacobian may differ from 0: elements of the result, elements of the operand, values; in the
    operand's order.
    """

    rows: Places
    columns: Places
    values: Array


def entries(node: Tensor, operand: int) -> Entries:
    """The Jacobian of `node` by its operand of that number, all other operands held.

    Raises
    ------
    ValueError
        If it is too large to be formed.
    """
    assert node.op is not None
    if node.op.name in _COPIES:
        return _copied(node, operand)
    if node.op.elementwise:
        return _elementwise(node, operand)
    if node.op.name == "sum":
        return _summed(node)
    if node.op.name == "matmul" and np.ndim(node.values[0]) == np.ndim(node.values[1]) == 2:
        return _multiplied(node, operand)
    return _dense(node, operand)


def _copied(node: Tensor, operand: int) -> Entries:
    """The operation is applied to numbers of elements, from 1 on; what is 0 comes from elsewhere."""
    assert node.op is not None
    sizes = [
        np.zeros(np.shape(value), np.intp) if node.op.rule(k) is not None else value
        for k, value in enumerate(node.values)
    ]
    sizes[operand] = np.arange(1, sizes[operand].size + 1).reshape(sizes[operand].shape)
    changed = (
        {"dtype": np.intp} if node.op.name == "astype" else {"constant_values": 0} if node.op.name == "pad" else {}
    )
    origin = np.ravel(node.op.forward(*sizes, **{**node.attributes, **changed}))
    rows = np.flatnonzero(origin)
    return _by_column(rows, origin[rows] - 1, np.ones(len(rows)))


def _elementwise(node: Tensor, operand: int) -> Entries:
    """Diagonal, once broadcasting has been done beforehand."""
    assert node.op is not None
    value = np.asarray(node.values[operand])
    leaf = Tensor(np.array(np.broadcast_to(value, node.shape)))
    operands = [leaf if k == operand else other for k, other in enumerate(node.values)]
    (slopes,) = grad(node.op.on(tuple(operands), dict(node.attributes)), leaf, np.ones(node.shape, node.dtype))
    columns = np.broadcast_to(np.arange(value.size).reshape(value.shape), node.shape).reshape(-1)
    return _by_column(np.arange(node.size), columns, slopes.data.reshape(-1).astype(np.float64))


def _summed(node: Tensor) -> Entries:
    """Each element goes to one sum; pulling the numbers of the sums back says to which."""
    assert node.op is not None
    leaf = Tensor(np.zeros(np.shape(node.values[0])))
    (target,) = grad(node.op.on((leaf,), dict(node.attributes)), leaf, np.arange(node.size).reshape(node.shape))
    return Entries(target.data.reshape(-1).astype(np.intp), np.arange(leaf.size), np.ones(leaf.size))


def _multiplied(node: Tensor, operand: int) -> Entries:
    """Of matrices (m, n) and (n, p): one entry for each of the m n p scalar products."""
    left, right = (np.asarray(value, np.float64) for value in node.values)
    (m, n), p = left.shape, right.shape[1]
    i, j, k = np.indices((m, n, p), dtype=np.intp, sparse=True)
    columns, factors = (i * n + j, right[None]) if operand == 0 else (j * p + k, left[:, :, None])
    whole = [np.broadcast_to(part, (m, n, p)).reshape(-1) for part in (i * p + k, columns, factors)]
    return _by_column(whole[0], whole[1], whole[2])


def _dense(node: Tensor, operand: int) -> Entries:
    assert node.op is not None
    leaf = Tensor(np.asarray(node.values[operand]))
    if node.size * leaf.size > _LARGEST:
        raise ValueError(
            f"strongest_path: the Jacobian of {node.path}, {node.shape} by {leaf.shape}, is too large; run fewer"
            " sequences or units"
        )
    operands = [leaf if k == operand else value for k, value in enumerate(node.values)]
    whole = jacobian(node.op.on(tuple(operands), dict(node.attributes)), leaf).reshape(node.size, leaf.size)
    columns, rows = np.nonzero(whole.T)
    return Entries(rows, columns, whole[rows, columns].astype(np.float64))


def _by_column(rows: Places, columns: Places, values: Array) -> Entries:
    order = np.argsort(columns, kind="stable")
    return Entries(rows[order], columns[order], values[order])

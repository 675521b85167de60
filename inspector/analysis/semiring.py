"""All paths from a value back to another, scalar by scalar: the strongest, their sum, their number and their
entropy; and the Jacobians of single operations that they go through, as lists of entries.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tinygrad_rnn import Tensor, grad, jacobian
from tinygrad_rnn.autodiff.ancestry import ancestors

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

__all__ = ["AllPaths", "Entries", "Sums", "entries"]

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


class Sums(NamedTuple):
    """Of all paths from the end to each element of a value: logarithms of products and counts, and means of them.

    `best` is the largest and `total` the sum of the absolute products, `number` how many there are, all as natural
    logarithms; `mean` is the mean logarithm and `sign` the mean sign of a product, each path weighted by its own.
    """

    best: Array
    total: Array
    number: Array
    mean: Array
    sign: Array


class AllPaths:
    """One sweep from `target` back to `source` that adds up paths instead of derivatives; those on which one is
    not finite are left out.
    """

    def __init__(self, source: Tensor, target: Tensor) -> None:
        self.readers: dict[int, list[tuple[Tensor, int]]] = {}
        self.found: dict[int, Sums] = {}
        order = ancestors([target])
        reach = {source.id}
        for node in order:
            if any(operand.id in reach for operand in node.inputs if isinstance(operand, Tensor)):
                reach.add(node.id)
        if target.id not in reach or source is target:
            raise ValueError(f"strongest_path: no path leads from {target.path} back to {source.path}")
        zeros = np.zeros(target.size)
        self.found[target.id] = Sums(zeros, zeros, zeros, zeros, zeros + 1)
        for node in reversed(order):
            if node.id not in self.found or node is source or node.op is None or not node.op.differentiable:
                continue
            for operand, value in enumerate(node.inputs):
                if isinstance(value, Tensor) and value.id in reach and node.op.rule(operand) is not None:
                    part = _through(self.found[node.id], entries(node, operand), value.size)
                    self.found[value.id] = _merged(self.found[value.id], part) if value.id in self.found else part
                    self.readers.setdefault(value.id, []).append((node, operand))

    def path(self, source: Tensor, element: int) -> list[tuple[Tensor, tuple[int, ...], float, tuple[int, int] | None]]:
        """The strongest path to an element of the source, from the end: Tensor, index, local derivative, edge."""
        tensor = source
        steps: list[tuple[Tensor, tuple[int, ...], float, tuple[int, int] | None]] = []
        while tensor.id in self.readers:
            ways = []
            for node, operand in self.readers[tensor.id]:
                rows, columns, values = entries(node, operand)
                first, last = np.searchsorted(columns, [element, element + 1])
                gains = self.found[node.id].best[rows[first:last]] + _log(
                    np.where(np.isfinite(values[first:last]), values[first:last], 0.0)
                )
                if gains.size:
                    k = first + int(np.argmax(gains))
                    ways.append((float(gains.max()), node, operand, int(rows[k]), float(values[k])))
            _, node, operand, row, derivative = max(ways, key=lambda way: way[0])
            steps.append((tensor, _index(tensor, element), derivative, (node.id, operand)))
            tensor, element = node, row
        return [(tensor, _index(tensor, element), 1.0, None), *reversed(steps)]


def _index(tensor: Tensor, element: int) -> tuple[int, ...]:
    return tuple(int(k) for k in np.unravel_index(element, tensor.shape))


def _log(values: Array) -> Array:
    with np.errstate(divide="ignore"):
        logarithms: Array = np.log(np.abs(values))
    return logarithms


def _through(sums: Sums, local: Entries, size: int) -> Sums:
    """What one edge hands on to its operand of that size: all paths of the consumer's elements, one derivative
    longer.
    """
    some = (local.values != 0) & np.isfinite(local.values) & np.isfinite(sums.total[local.rows])
    rows, columns, values = (part[some] for part in local)
    found = Sums(*(np.full(size, -np.inf) for _ in range(3)), *(np.zeros(size) for _ in range(2)))
    if not len(columns):
        return found
    starts = np.flatnonzero(np.diff(columns, prepend=-1))
    reached, segment = columns[starts], np.cumsum(np.diff(columns, prepend=-1) > 0) - 1
    gain = _log(values)
    top = np.maximum.reduceat(sums.total[rows] + gain, starts)
    weights = np.exp(sums.total[rows] + gain - top[segment])
    weight = np.add.reduceat(weights, starts)
    weights /= weight[segment]
    found.best[reached] = np.maximum.reduceat(sums.best[rows] + gain, starts)
    found.total[reached] = top + np.log(weight)
    found.number[reached] = np.logaddexp.reduceat(sums.number[rows], starts)
    found.mean[reached] = np.add.reduceat(weights * (sums.mean[rows] + gain), starts)
    found.sign[reached] = np.add.reduceat(weights * sums.sign[rows] * np.sign(values), starts)
    return found


def _merged(a: Sums, b: Sums) -> Sums:
    """The paths of two edges together."""
    total = np.logaddexp(a.total, b.total)
    some = np.isfinite(total)
    first = np.exp(np.where(some, a.total, 0.0) - np.where(some, total, 0.0)) * some
    return Sums(
        np.maximum(a.best, b.best),
        total,
        np.logaddexp(a.number, b.number),
        first * a.mean + (1 - first) * b.mean,
        first * a.sign + (1 - first) * b.sign,
    )


# ------------------------------------------------------------------------------- entries of Jacobians


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

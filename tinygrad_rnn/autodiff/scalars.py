"""A tensor graph lowered to scalar operations: one 0-d Tensor an element, one node a multiplication."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from . import primitives as p
from .primitive import Primitive
from .scope import using
from .tensor import Tensor

Cells: TypeAlias = npt.NDArray[np.object_]
"""An array whose elements are 0-d Tensors and, where nothing was recorded, plain numbers."""

__all__ = ["lower"]


def lower(graph: Any, limit: int) -> list[Cells]:
    """The cells of every node of `graph`, by index.

    NumPy's own loops run over arrays of objects, so most primitives need nothing special: adding two
    such arrays adds their Tensors one by one.
    """
    cells: list[Cells] = []
    made = 0
    for node in graph.nodes:
        made += _cost(node)
        if made > limit:
            raise ValueError(
                f"to_scalars: more than {limit} scalar operations (at {node.path}, shape {node.shape}); "
                "use smaller sizes or fewer steps, or raise limit"
            )
        with using(scope=node.scope):
            if node.tensor is None:
                cells.append(np.array(node.value, dtype=object))
            elif node.tensor.op is None:
                cells.append(_leaf(node.tensor))
            else:
                operands = [cells[k] for k in node.inputs]
                cells.append(_lower_operation(node.tensor.op, operands, dict(node.attributes)))
                _name(cells[-1], node.name)
    return cells


def _cost(node: Any) -> int:
    size = int(np.prod(node.shape))
    if node.op == "matmul" and node.tensor is not None:
        size *= 2 * node.tensor.values[0].shape[-1]
    return size


def _leaf(tensor: Tensor) -> Cells:
    out = np.empty(tensor.shape, dtype=object)
    for index in np.ndindex(*tensor.shape):
        _put(out, index, Tensor(np.array(tensor._data[index]), tensor.requires_grad))
    _name(out, tensor.name)
    return out


def _put(cells: Cells, index: tuple[int, ...], value: Any) -> None:
    if index:
        cells[index] = value
    else:  # NumPy would unpack a Tensor assigned to a 0-d array
        cells.reshape(1)[0] = value


def _name(cells: Cells, name: str | None) -> None:
    if name is None:
        return
    for index in np.ndindex(*cells.shape):
        cell = cells[index]
        if isinstance(cell, Tensor) and cell.name is None:
            cell.name = f"{name}[{', '.join(map(str, index))}]" if index else name


def _lower_operation(op: Primitive, operands: Sequence[Cells], attributes: dict[str, Any]) -> Cells:
    special = _SPECIAL.get(op.name)
    if special is not None:
        return _box(special(*operands, **attributes))
    if op.elementwise and op.name != "broadcast_to":
        return _map(lambda *args: op(*args, **attributes), *operands)
    return _box(op.forward(*operands, **attributes))


def _map(function: Callable[..., Any], *operands: Cells) -> Cells:
    """A function of scalars applied element by element, with broadcasting."""
    return _box(np.frompyfunc(function, len(operands), 1)(*operands))


def _box(value: Any) -> Cells:
    """A lone Tensor put back into a 0-d array of objects."""
    if isinstance(value, np.ndarray):
        return value
    box: Cells = np.empty(1, dtype=object)
    box[0] = value
    return box.reshape(())


def _rows(x: Cells, axis: Any) -> tuple[Cells, tuple[int, ...]]:
    """The reduced axes of `x` flattened in front, and the shape with those axes as 1."""
    axes = tuple(range(x.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    axes = tuple(a % x.ndim for a in axes)
    kept = tuple(1 if k in axes else n for k, n in enumerate(x.shape))
    rest = [k for k in range(x.ndim) if k not in axes]
    return x.transpose(*axes, *rest).reshape(-1, *(x.shape[k] for k in rest)), kept


def _fold(binary: Callable[..., Any], x: Cells, axis: Any, keepdims: bool) -> Cells:
    rows, kept = _rows(x, axis)
    total = _box(rows[0])
    for row in rows[1:]:
        total = _map(binary, total, _box(row))
    return total.reshape(kept) if keepdims else total


def _max(x: Cells, axis: Any = None, keepdims: bool = False) -> Cells:
    return _fold(p.maximum, x, axis, keepdims)


def _min(x: Cells, axis: Any = None, keepdims: bool = False) -> Cells:
    return _fold(p.minimum, x, axis, keepdims)


def _logsumexp(x: Cells, axis: Any = None, keepdims: bool = False) -> Cells:
    top = _top(x, axis)
    total = _map(p.add, _log_sum(_map(p.subtract, x, top), axis), top)
    return total if keepdims else _box(np.squeeze(total, axis))


def _log_softmax(x: Cells, axis: Any = -1) -> Cells:
    if not x.size:
        return x
    shifted = _map(p.subtract, x, _top(x, axis))
    return _map(p.subtract, shifted, _log_sum(shifted, axis))


def _top(x: Cells, axis: Any) -> Cells:
    """The maximum as a constant: where it is subtracted its derivative cancels exactly."""
    return _map(p.stop_gradient, _fold(p.maximum, x, axis, True))


def _log_sum(x: Cells, axis: Any) -> Cells:
    return _map(p.log, _fold(p.add, _map(p.exp, x), axis, True))


def _take(x: Cells, indices: Cells, axis: int | None = None) -> Cells:
    return np.take(x, _map(int, indices).astype(int), axis)


def _along_indices(op: Primitive) -> Callable[..., Cells]:
    return lambda x, indices, **attributes: op.forward(x, _map(int, indices).astype(int), **attributes)


_SPECIAL: dict[str, Callable[..., Any]] = {
    "max": _max,
    "min": _min,
    "log_softmax": _log_softmax,
    "logsumexp": _logsumexp,
    "take": _take,
    "take_along_axis": _along_indices(p.take_along_axis),
    "scatter_along_axis": _along_indices(p.scatter_along_axis),
}

"""A scalar computed again for several values of its leaves at once, with its gradients: one pass instead of many."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tinygrad_rnn import Tensor
from tinygrad_rnn.autodiff.ancestry import ancestors
from tinygrad_rnn.autodiff.batching import Batched
from tinygrad_rnn.autodiff.cotangent import dense
from tinygrad_rnn.autodiff.primitives import sum_to

Array = npt.NDArray[Any]

__all__ = ["side_by_side"]


def side_by_side(score: Tensor, feeds: Mapping[int, Array]) -> tuple[Array, dict[int, Array]]:
    """The score for K values of some nodes, and its gradients by them.

    Parameters
    ----------
    score : Tensor
        A single number, every operation of it on record.
    feeds : mapping
        From a Tensor's id to its values (K, *shape).

    Returns
    -------
    ndarray (K,), and a mapping like `feeds`
        The score, and its gradient by each of these nodes.

    Raises
    ------
    TypeError, ValueError
        If an operation cannot be applied to several values side by side.
    """
    count = len(next(iter(feeds.values())))
    order = ancestors([score], feeds)
    values: dict[int, Any] = {node.id: Batched(feeds[node.id]) if node.id in feeds else node.data for node in order}
    for node in order:
        operands = _operands(node, values)
        if node.id not in feeds and any(isinstance(operand, Batched) for operand in operands):
            values[node.id] = Batched._apply(node.op, operands, dict(node.attributes))
    found = {key: np.zeros_like(feed) for key, feed in feeds.items()}
    if not isinstance(values[score.id], Batched):
        return np.full(count, score.item()), found
    pending: dict[int, Any] = {score.id: Batched(np.ones((count, *score.shape), score.dtype))}
    for node in reversed(order):
        total = pending.pop(node.id, None)
        if total is not None and node.id in feeds:
            found[node.id] = _full(total, feeds[node.id])
        elif total is not None:
            for k, part in _sent(node, total, values[node.id], _operands(node, values)):
                key = node.inputs[k].id
                pending[key] = part if key not in pending else pending[key] + part
    return values[score.id].array.reshape(count), found


def _operands(node: Tensor, values: Mapping[int, Any]) -> list[Any]:
    return [values.get(one.id, one.data) if isinstance(one, Tensor) else one for one in node.inputs]


def _sent(node: Tensor, total: Any, value: Any, operands: list[Any]) -> list[tuple[int, Any]]:
    """What a node sends back to each of its operands that differ from value to value."""
    op, found = node.op, []
    assert op is not None
    every = (
        list(op.rules[0](total, value, *operands, **node.attributes))
        if op.variadic and op.rules[0] is not None
        else None
    )
    for k, operand in enumerate(operands):
        rule = op.rule(k)
        if isinstance(operand, Batched) and rule is not None:
            part = dense(every[k] if every is not None else rule(total, value, *operands, **node.attributes))
            found.append((k, sum_to(part, operand.shape) if part.shape != operand.shape else part))
    return found


def _full(total: Any, like: Array) -> Array:
    array = dense(total)
    return np.broadcast_to(array.array if isinstance(array, Batched) else array, like.shape).astype(like.dtype)

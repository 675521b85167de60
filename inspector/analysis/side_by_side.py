"""A scalar computed again for several values of its leaves at once, with its gradients: one pass instead of many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def side_by_side(
    score: Tensor, feeds: Mapping[int, Array], more: Mapping[int, Array] | None = None, wanted: Sequence[Tensor] = ()
) -> tuple[Array, dict[int, Array]]:
    """The score for K values of some nodes, and its gradients by them.

    Parameters
    ----------
    score : Tensor
        A single number, every operation of it on record.
    feeds : mapping
        From a Tensor's id to its values (K, *shape).
    more : mapping, optional
        From the id of a function of one value to what is added to that value, (K,).
    wanted : sequence of Tensor, optional
        Other nodes by which gradients are wanted.

    Returns
    -------
    ndarray (K,), and a mapping like `feeds`
        The score, and its gradient by each of these nodes.

    Raises
    ------
    TypeError, ValueError
        If an operation cannot be applied to several values side by side.
    """
    more = more or {}
    count = len(next(iter([*feeds.values(), *more.values()])))
    order = ancestors([score], feeds)
    values: dict[int, Any] = {node.id: Batched(feeds[node.id]) if node.id in feeds else node.data for node in order}
    keys = {*feeds, *(node.id for node in wanted)}
    leads = set(keys)
    for node in order:
        if node.id in feeds:
            continue
        operands = _operands(node, values, more)
        if any(isinstance(operand, Batched) for operand in operands):
            values[node.id] = Batched._apply(node.op, operands, dict(node.attributes))
        if any(isinstance(one, Tensor) and one.id in leads for one in node.inputs) and node.dtype.kind in "fc":
            leads.add(node.id)
    found = {node.id: np.zeros((count, *node.shape), node.dtype) for node in wanted}
    found |= {key: np.zeros_like(feed) for key, feed in feeds.items()}
    pending: dict[int, Any] = {score.id: Batched(np.ones((count, *score.shape), score.dtype))}
    for node in reversed(order):
        total = pending.pop(node.id, None)
        if total is not None and node.id in keys:
            found[node.id] = _full(total, found[node.id])
        if total is not None and node.op is not None and node.id not in feeds:
            for k, part in _sent(node, total, values[node.id], _operands(node, values, more), leads):
                key = node.inputs[k].id
                pending[key] = part if key not in pending else pending[key] + part
    scores = values[score.id]
    return scores.array.reshape(count) if isinstance(scores, Batched) else np.full(count, score.item()), found


def _operands(node: Tensor, values: Mapping[int, Any], more: Mapping[int, Array]) -> list[Any]:
    operands = [values.get(one.id, one.data) if isinstance(one, Tensor) else one for one in node.inputs]
    if node.id in more:
        (value,) = operands
        added = more[node.id].astype(value.dtype).reshape(-1, *(1,) * value.ndim)
        operands = [Batched((value.array if isinstance(value, Batched) else value) + added)]
    return operands


def _sent(node: Tensor, total: Any, value: Any, operands: list[Any], leads: set[int]) -> list[tuple[int, Any]]:
    """What a node sends back to each of its operands that lead to one whose gradient is wanted."""
    op, found = node.op, []
    assert op is not None
    every = (
        list(op.rules[0](total, value, *operands, **node.attributes))
        if op.variadic and op.rules[0] is not None
        else None
    )
    for k, (operand, of) in enumerate(zip(operands, node.inputs, strict=True)):
        rule = op.rule(k)
        if isinstance(of, Tensor) and of.id in leads and rule is not None:
            part = dense(every[k] if every is not None else rule(total, value, *operands, **node.attributes))
            found.append((k, sum_to(part, operand.shape) if part.shape != operand.shape else part))
    return found


def _full(total: Any, like: Array) -> Array:
    array = dense(total)
    return np.broadcast_to(array.array if isinstance(array, Batched) else array, like.shape).astype(like.dtype)

"""Derivatives of recorded values: consumers of the reverse sweep."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .arrays import plain
from .batching import Batched
from .cotangent import own
from .pullback import pull_back
from .sweep import seed, sweep
from .tensor import Tensor

__all__ = ["grad", "jacobian"]


def grad(
    output: Tensor, inputs: Tensor | Sequence[Tensor], grad_output: Any = None, create_graph: bool = False
) -> tuple[Tensor, ...]:
    """Gradients of `output` by `inputs`: leaves or interior values, whether or not they require one.

    Parameters
    ----------
    output : Tensor
        The value to differentiate.
    inputs : Tensor or sequence of Tensors
        By what; an input that `output` does not depend on gets zeros, and so do integers and booleans.
    grad_output : array_like or Tensor, optional
        The cotangent of `output`, of its shape; 1 when omitted, which needs a single element.
    create_graph : bool
        Record the gradient's own graph, so that it can be differentiated again.

    Returns
    -------
    tuple of Tensors
        One per input, of its shape and dtype.

    Raises
    ------
    TypeError
        If `output` or an input is not a Tensor.
    ValueError
        If the cotangent is missing or has the wrong shape, or, with `create_graph`, if a leaf's data
        was assigned after the graph was recorded.
    """
    wanted = _tensors("grad", output, inputs)
    cotangent = seed(output, grad_output, "grad_output")
    if not create_graph:
        known = {node.id: total for node, total in pull_back(output, plain(cotangent), wanted)}
        return tuple([_as_tensor(known.get(node.id), node) for node in wanted])
    if not isinstance(cotangent, Tensor):
        cotangent = Tensor(cotangent)
    found: dict[int, Any] = {}
    keys = {node.id for node in wanted}
    for node, total, _ in sweep([output], [cotangent], wanted, create_graph):
        _refuse_stale(node)
        if node.id in keys:
            found[node.id] = total
    return tuple(_as_tensor(found.get(node.id), node) for node in wanted)


def _as_tensor(cotangent: Any, node: Tensor) -> Tensor:
    if type(cotangent) is np.ndarray:
        return Tensor(np.array(cotangent))
    if cotangent is None:
        return Tensor(np.zeros(node.shape, node.dtype))
    return cotangent if isinstance(cotangent, Tensor) else Tensor(own(cotangent))


def _refuse_stale(node: Tensor) -> None:
    for operand, value in zip(node.inputs, node.values, strict=True):
        if type(operand) is Tensor and operand._data is not value:
            raise ValueError(
                f"grad: the data of {operand.path} was assigned after {node.path} used it; with "
                "create_graph=True take the gradient before updating parameters"
            )


def jacobian(output: Tensor, input: Tensor) -> npt.NDArray[Any]:
    """All partial derivatives of `output` by `input`, in one reverse sweep over batched cotangents.

    Returns
    -------
    ndarray, shape ``output.shape + input.shape``

    Raises
    ------
    TypeError
        If `output` or `input` is not a Tensor.
    """
    (wanted,) = _tensors("jacobian", output, (input,))
    directions = np.eye(output.size, dtype=output.dtype).reshape(output.size, *output.shape)
    rows = np.zeros((output.size, *wanted.shape), wanted.dtype)
    for node, total, _ in sweep([output], [Batched(directions)], [wanted]):
        if node is wanted:
            rows = total.array
    return rows.reshape(output.shape + wanted.shape)


def _tensors(caller: str, output: Any, inputs: Any) -> tuple[Tensor, ...]:
    several = isinstance(inputs, (list, tuple)) or (
        isinstance(inputs, Iterable) and not isinstance(inputs, (Tensor, np.ndarray))
    )
    wanted = tuple(inputs) if several else (inputs,)
    for value in (output, *wanted):
        if not isinstance(value, Tensor):
            role = "output" if value is output else "an input"
            raise TypeError(f"{caller}: {role} must be a Tensor, got {type(value).__name__}")
    return wanted

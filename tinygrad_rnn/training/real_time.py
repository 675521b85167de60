"""Real-time recurrent learning: the exact gradient carried forwards in time, for any cell."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..autodiff.backward import grad
from ..autodiff.batching import Batched
from ..autodiff.functions import concatenate
from ..autodiff.primitives import reshape
from ..autodiff.sweep import sweep
from ..autodiff.tensor import Tensor
from ..recurrent.cell import Cell

Array = npt.NDArray[Any]

__all__ = ["RTRL", "jacobians", "rtrl"]


class RTRL(NamedTuple):
    """What :func:`rtrl` gives.

    Attributes
    ----------
    loss : float
        The sum over all steps.
    gradients : dict of str to ndarray
        Of the loss, by the name of the cell's parameter.
    """

    loss: float
    gradients: dict[str, Array]


def rtrl(cell: Cell, inputs: Iterable[Any], loss_at: Callable[[int, Any], Any], state: Any = None) -> RTRL:
    """The gradient of a sum of losses, without going back in time.

    ::

        ds_t/dw = ds_t/ds_{t-1} ds_{t-1}/dw + the direct part of ds_t/dw
        dL/dw   = sum_t dL_t/ds_t ds_t/dw + the direct part of dL_t/dw

    Williams & Zipser 1989. The gradient is the one of backpropagation through time; the price is another: with
    S numbers in the state and P parameters S * P numbers are stored, however long the sequence, and a step
    costs S * S * P.

    Parameters
    ----------
    cell : Cell
    inputs : iterable of T arrays (batch, input_size)
        Read one at a time, so that a generator is never held as a whole.
    loss_at : function (t, state) -> Tensor of one element, or None
        The loss at step t, from the cell's state after that step; ``None`` where there is none. It may use
        parameters of the cell directly.
    state : state, optional
        Where to start; the cell's own when omitted.

    Returns
    -------
    RTRL

    Raises
    ------
    TypeError
        If `cell` is no Cell, or a loss is no Tensor.
    ValueError
        If there are no inputs, a loss has more than one element, or a shape does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> import tinygrad_rnn as tg
    >>> from tinygrad_rnn.training import rtrl
    >>> cell = tg.cells.RNNCell(1, 2, seed=0)
    >>> found = rtrl(cell, np.ones((4, 1, 1)), lambda t, state: tg.sum(state.h) if t == 3 else None)
    >>> run = tg.unroll(cell, np.ones((4, 1, 1)))
    >>> tg.sum(run.outputs[-1]).backward()
    >>> bool(np.allclose(found.gradients["weight_hh"], cell.weight_hh.grad))
    True
    """
    if not isinstance(cell, Cell):
        raise TypeError(f"rtrl: cell must be a Cell, got {type(cell).__name__}")
    parameters = cell.parameters()
    count = sum(p.size for p in parameters)
    loss, gradient = 0.0, np.zeros(count, cell.dtype)
    before: Sequence[Tensor] | None = None
    sensitivity = np.zeros((0, count))
    for t, x in enumerate(inputs):
        now = np.array(x, dtype=cell.dtype)
        if before is None:
            before = _leaves(cell.initial_state(now.shape[0]) if state is None else state, cell.dtype)
            sensitivity = np.zeros((sum(part.size for part in before), count), cell.dtype)
        after = cell(Tensor(now), before)
        sensitivity = _carry_forward(after, before, parameters, sensitivity)
        before = _leaves(after, cell.dtype)
        here = loss_at(t, cell.State(*before))
        if here is not None:
            shares = [g.data.ravel() for g in grad(_check_loss(here, t), [*before, *parameters])]
            by_state, direct = np.concatenate(shares[: len(before)]), np.concatenate(shares[len(before) :])
            gradient += by_state @ sensitivity + direct
            loss += float(here.item())
    if before is None:
        raise ValueError(f"rtrl: needs at least one input, got {inputs!r}")
    parts = np.split(gradient, np.cumsum([p.size for p in parameters])[:-1])
    names = [name for name, _ in cell.named_parameters()]
    return RTRL(loss, {n: part.reshape(p.shape) for n, part, p in zip(names, parts, parameters, strict=True)})


def jacobians(output: Tensor, inputs: Sequence[Tensor]) -> list[Array]:
    """All partial derivatives of a vector by several Tensors, in one reverse sweep over batched cotangents.

    Parameters
    ----------
    output : Tensor (n,)
    inputs : sequence of Tensors

    Returns
    -------
    list of ndarray, one of shape (n, size) for each of the inputs
    """
    n = output.size
    found = {node.id: np.zeros((n, node.size), output.dtype) for node in inputs}
    for node, total, _ in sweep([output], [Batched(np.eye(n, dtype=output.dtype))], inputs):
        if node.id in found:
            found[node.id] = total.array.reshape(n, -1)
    return [found[node.id] for node in inputs]


def _carry_forward(after: Any, before: Sequence[Tensor], parameters: Sequence[Tensor], sensitivity: Array) -> Array:
    """The derivatives of the state by all parameters (S, P), one step on."""
    flat = concatenate([reshape(part, (-1,)) for part in after])
    by = jacobians(flat, [*before, *parameters])
    by_state, direct = (np.concatenate(part, axis=1) for part in (by[: len(before)], by[len(before) :]))
    return np.asarray(by_state @ sensitivity + direct)


def _leaves(state: Any, dtype: Any) -> list[Tensor]:
    """The state without its history."""
    return [Tensor(np.array(part.data if isinstance(part, Tensor) else part, dtype=dtype)) for part in state]


def _check_loss(loss: Any, t: int) -> Tensor:
    if not isinstance(loss, Tensor):
        raise TypeError(f"rtrl: loss_at({t}, state) must give a Tensor or None, got {type(loss).__name__}")
    if loss.size != 1:
        raise ValueError(f"rtrl: loss_at({t}, state) must give a single number, got shape {loss.shape}")
    return loss

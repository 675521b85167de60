"""Time-weighted pseudo-Newton: a weight has a step size of its own at every timestep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arguments import is_number
from ..autodiff.batching import Batched
from ..autodiff.cotangent import dense
from ..autodiff.primitives import reshape
from ..autodiff.sweep import sweep
from ..autodiff.tensor import Tensor

Array = npt.NDArray[Any]

__all__ = ["in_time", "pseudo_newton_step"]


def pseudo_newton_step(parameters: Sequence[Tensor], outputs: Tensor, targets: Any, lr: float, mu: float) -> float:
    """Move weights so that each of their uses in time counts by its own curvature.

    ::

        delta w_i = - sum_t  lr / (|d2C/dw_i(t)2| + mu)  dC/dw_i(t),     C = 1/2 sum_k (y_k - target_k)**2

    where w_i(t) is the weight as it is used at timestep t, as if each use could be changed alone. Uses with
    a small influence, far back in time, get a large step.

    Bengio, Simard & Frasconi 1994, section V, after Becker & Le Cun 1989. The curvature is its Gauss-Newton
    part ``sum_k (dy_k/dw_i(t))**2``: what remains of the second derivative where errors are small or outputs
    nearly linear in a weight, and never negative. It is summed over a whole batch.

    Parameters
    ----------
    parameters : sequence of Tensors
        Leaves that require a gradient; they are changed.
    outputs : Tensor
        All that is asked, such as ``prediction.outputs[batch.mask]``. A use outside any timestep, such as
        that of a readout over all hidden states at once, counts as one.
    targets : array of the same shape
    lr : float
        Positive.
    mu : float
        Positive; bounds the step of a weight without curvature to ``lr / mu`` times its gradient.

    Returns
    -------
    float
        C before the step.

    Raises
    ------
    ValueError
        If shapes differ, or `lr` or `mu` is not positive.
    TypeError
        If `outputs` or a parameter is no Tensor.

    Examples
    --------
    >>> import numpy as np
    >>> import tinygrad_rnn as tg
    >>> from tinygrad_rnn.baselines.pseudo_newton import pseudo_newton_step
    >>> w = tg.tensor([3.0], requires_grad=True)
    >>> cost = pseudo_newton_step([w], w * np.array([2.0]), [10.0], lr=1.0, mu=1e-9)
    >>> cost, round(float(w.data[0]), 6)
    (8.0, 5.0)
    """
    who = "pseudo_newton_step"
    numbers: dict[str, Any] = {"lr": lr, "mu": mu}
    for name, number in numbers.items():
        if not is_number(number) or not number > 0:
            raise ValueError(f"{who}: {name} must be positive, got {number!r}")
    wanted = _tensors(who, outputs, parameters)
    target = np.asarray(targets, dtype=outputs.dtype)
    if target.shape != outputs.shape:
        raise ValueError(f"{who}: outputs {outputs.shape} need targets of that shape, got {target.shape}")
    error = (outputs.data - target).ravel()
    for parameter, uses in zip(wanted, in_time(outputs, wanted), strict=True):
        step = np.zeros(parameter.size, parameter.dtype)
        for jacobian in uses.values():
            by_use = jacobian.reshape(error.size, -1)
            step += error @ by_use / (np.square(by_use).sum(axis=0) + mu)
        parameter.data = parameter.data - lr * step.reshape(parameter.shape)
    return float(error @ error) / 2.0


def in_time(outputs: Tensor, parameters: Sequence[Tensor]) -> list[dict[int | None, Array]]:
    """The derivatives of outputs by each parameter as it is used at each timestep.

    One reverse sweep with as many directions as there are outputs. Summed over timesteps these are the
    derivatives by the parameter.

    Parameters
    ----------
    outputs : Tensor
    parameters : sequence of Tensors

    Returns
    -------
    list of dict of int or None to ndarray
        For each parameter, by timestep, of shape ``(outputs.size, *parameter.shape)``; ``None`` stands for
        uses outside any timestep.

    Raises
    ------
    TypeError
        If `outputs` or a parameter is no Tensor.
    """
    wanted = _tensors("in_time", outputs, parameters)
    found: dict[int, dict[int | None, Array]] = {parameter.id: {} for parameter in wanted}
    flat = reshape(outputs, (-1,))
    start = Batched(np.eye(flat.size, dtype=flat.dtype))
    for node, _, edges in sweep([flat], [start], wanted):
        for index, share in edges:
            uses = found.get(node.inputs[index].id)
            if uses is not None:
                array = dense(share).array
                uses[node.timestep] = uses[node.timestep] + array if node.timestep in uses else array
    return [found[parameter.id] for parameter in wanted]


def _tensors(who: str, outputs: Any, parameters: Any) -> list[Tensor]:
    if not isinstance(outputs, Tensor):
        raise TypeError(f"{who}: outputs must be a Tensor, got {type(outputs).__name__}")
    wanted = list(parameters)
    for parameter in wanted:
        if not isinstance(parameter, Tensor):
            raise TypeError(f"{who}: a parameter must be a Tensor, got {type(parameter).__name__}")
    return wanted

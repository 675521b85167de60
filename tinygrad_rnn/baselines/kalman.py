"""The global extended Kalman filter: weights as a state that is estimated from outputs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arguments import is_number
from ..autodiff.primitives import reshape
from ..autodiff.tensor import Tensor
from ..optim import leaves
from ..training.real_time import jacobians

Array = npt.NDArray[Any]

__all__ = ["ExtendedKalmanFilter"]


class ExtendedKalmanFilter:
    """Training as estimation: how uncertain all weights are, and together with which others.

    ::

        A = (R + H^T P H)^-1                 H = dy/dw (weights, outputs), R = noise I
        K = P H A                            Kalman gain
        w = w + K (target - y)
        P = P + Q - K H^T P                  Q = drift I,   P = uncertainty I at first

    Puskorius & Feldkamp 1994, "Neurocontrol of nonlinear dynamical systems with Kalman filter trained
    recurrent networks". H comes from the whole unrolled net; the paper also has decoupled filters for groups of
    weights, and derivatives that decay with time, which are left out here. P costs the square of the number of
    weights. Where outputs are linear in the weights and `drift` is 0, this is recursive least squares, and
    the order of the data does not matter.

    Parameters
    ----------
    parameters : iterable of Tensors
        Leaves that require a gradient.
    uncertainty : float
        Variance of the weights at first; large for trust in the data.
    noise : float
        Variance of the targets; large for slow learning.
    drift : float
        Variance that weights gain with every step; keeps P from vanishing, 0 for constant weights.

    Attributes
    ----------
    P : (weights, weights)
        Covariance of the weights, in order of the parameters.

    Raises
    ------
    ValueError
        If there is no parameter, or a number is out of its range.
    TypeError
        If a parameter is not a leaf Tensor that requires a gradient.

    Examples
    --------
    >>> import numpy as np
    >>> import tinygrad_rnn as tg
    >>> from tinygrad_rnn.baselines.kalman import ExtendedKalmanFilter
    >>> w = tg.tensor([0.0, 0.0], requires_grad=True)
    >>> filter = ExtendedKalmanFilter([w], uncertainty=1e8, noise=1.0)
    >>> for x, target in (([1.0, 0.0], 3.0), ([1.0, 1.0], 5.0)):
    ...     _ = filter.step(tg.sum(w * np.array(x)), target)
    >>> w.data.round(6).tolist()
    [3.0, 2.0]
    """

    def __init__(
        self, parameters: Iterable[Tensor], *, uncertainty: float = 100.0, noise: float = 1.0, drift: float = 0.0
    ) -> None:
        self.parameters = leaves("ExtendedKalmanFilter", parameters)
        numbers: dict[str, Any] = {"uncertainty": uncertainty, "noise": noise, "drift": drift}
        for name, number in numbers.items():
            least = "not be negative" if name == "drift" else "be positive"
            if not is_number(number) or not (number > 0 or (name == "drift" and number == 0)):
                raise ValueError(f"ExtendedKalmanFilter: {name} must {least}, got {number!r}")
        self.noise, self.drift = noise, drift
        self.P = uncertainty * np.eye(sum(parameter.size for parameter in self.parameters))

    def step(self, outputs: Tensor, targets: Any) -> float:
        """Take what is asked of one or several sequences into account.

        Parameters
        ----------
        outputs : Tensor
            Of any shape, such as ``prediction.outputs[batch.mask]``.
        targets : array of the same shape

        Returns
        -------
        float
            ``1/2 sum (y - target)**2`` before the step.

        Raises
        ------
        TypeError
            If `outputs` is no Tensor.
        ValueError
            If the shapes differ, or an output is not finite.
        """
        who = "ExtendedKalmanFilter.step"
        if not isinstance(outputs, Tensor):
            raise TypeError(f"{who}: outputs must be a Tensor, got {type(outputs).__name__}")
        target = np.asarray(targets, dtype=outputs.dtype)
        if target.shape != outputs.shape:
            raise ValueError(f"{who}: outputs {outputs.shape} need targets of that shape, got {target.shape}")
        if not np.isfinite(outputs.data).all():
            raise ValueError(f"{who}: an output is not finite: {outputs.data!r}")
        error = (target - outputs.data).ravel()
        H = np.concatenate(jacobians(reshape(outputs, (-1,)), self.parameters), axis=1).T
        PH = self.P @ H
        # a solve, not an inverse; A is symmetric
        K = np.linalg.solve(H.T @ PH + self.noise * np.eye(error.size), PH.T).T
        self._move(K @ error)
        P = self.P - K @ PH.T
        # rounding would make P lopsided, and in the end not positive
        self.P = (P + P.T) / 2.0 + self.drift * np.eye(len(P))
        return float(error @ error) / 2.0

    def _move(self, step: Array) -> None:
        start = 0
        for parameter in self.parameters:
            part = step[start : start + parameter.size]
            parameter.data = parameter.data + part.reshape(parameter.shape)
            start += parameter.size

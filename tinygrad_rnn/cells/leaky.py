"""Leaky integrators: units with time constants, fixed or learned."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autodiff.primitive import Value
from ..autodiff.primitives import sigmoid, tanh
from ..autodiff.tensor import named
from .gated import GatedCell

__all__ = ["LeakyCell", "MozerCell"]


class LeakyCell(GatedCell):
    """Units that move towards their new value with a fixed time constant.

    ::

        n_t = tanh(W_n x_t + R_n h_{t-1} + b_n)
        h_t = (1 - 1/tau) * h_{t-1} + (1/tau) * n_t

    Leaky integrators as in Jaeger et al. 2007, and Tallec & Ollivier 2018, equation 7: they follow inputs
    that are slowed down uniformly, with tau slowed down alike. Without input a state has halved after
    ln 2 / -ln(1 - 1/tau) steps.

    Parameters
    ----------
    input_size, hidden_size, dtype, seed, init : see :class:`tinygrad_rnn.Cell`
    bias : bool
    time_constant : float or (hidden_size,) array
        tau in steps, at least 1; one for all units or one for each.

    Raises
    ------
    ValueError
        If a time constant is below 1 or their number does not fit.
    """

    def __init__(
        self, input_size: int, hidden_size: int, *, bias: bool = True, time_constant: Any = 4.0, **options: Any
    ) -> None:
        super().__init__(input_size, hidden_size, **options)
        tau = np.asarray(time_constant, dtype=self.dtype)
        if tau.shape not in ((), (hidden_size,)) or not (tau >= 1).all():
            raise ValueError(
                f"LeakyCell: time_constant must be one number or {hidden_size}, at least 1, got {time_constant!r}"
            )
        self.rate = 1.0 / np.broadcast_to(tau, (hidden_size,))
        self.declare("n", "candidate", bias=bias)

    def step(self, x: Value, state: Any) -> Any:
        n = named(n=tanh(self.net("n", x, state.h)))
        return (named(h=(1.0 - self.rate) * state.h + self.rate * n),)


class MozerCell(GatedCell):
    """Units that learn their time constants.

    ::

        tau = sigmoid(q)                                 in (0, 1), one for each unit
        n_t = tanh(W_n x_t + R_n h_{t-1} + b_n)
        h_t = tau * h_{t-1} + (1 - tau) * n_t

    Mozer 1992, "Induction of multiscale temporal structure". There tau is kept in its range by hand; here
    by a sigmoid. Spread evenly at first, so that some units are fast and some slow.

    Parameters
    ----------
    input_size, hidden_size, dtype, seed, init : see :class:`tinygrad_rnn.Cell`
    bias : bool
    """

    def __init__(self, input_size: int, hidden_size: int, *, bias: bool = True, **options: Any) -> None:
        super().__init__(input_size, hidden_size, **options)
        spread = (np.arange(hidden_size) + 0.5) / hidden_size
        self._keep("q", (hidden_size,), np.log(spread / (1.0 - spread)))
        self.q: Any
        self.declare("n", "candidate", bias=bias)

    def step(self, x: Value, state: Any) -> Any:
        tau = sigmoid(self.q)
        n = named(n=tanh(self.net("n", x, state.h)))
        return (named(h=tau * state.h + (1.0 - tau) * n),)

"""minGRU and minLSTM: gates that do not see the state, so that all steps can be computed at once."""

from __future__ import annotations

from typing import Any

from ..autodiff.primitive import Value
from ..autodiff.primitives import sigmoid
from ..autodiff.tensor import named
from .gated import GatedCell

__all__ = ["MinGRUCell", "MinLSTMCell"]


class MinGRUCell(GatedCell):
    """GRU without the state in its gate and its candidate.

    ::

        z_t = sigmoid(W_z x_t + b_z)               update gate
        n_t = W_n x_t + b_n                        candidate, linear
        h_t = (1 - z_t) * h_{t-1} + z_t * n_t      hidden state

    Feng et al. 2024, "Were RNNs all we needed?". The Jacobian dh_t/dh_{t-1} is diag(1 - z_t) and nothing
    else: how far a gradient reaches is decided by the inputs alone.

    Parameters
    ----------
    input_size, hidden_size, dtype, seed, init : see :class:`tinygrad_rnn.Cell`
    bias : bool
    """

    def __init__(self, input_size: int, hidden_size: int, *, bias: bool = True, **options: Any) -> None:
        super().__init__(input_size, hidden_size, **options)
        # the gate lets the input in: an initialisation that remembers has to close it
        self.declare("z", "input", bias=bias, sources=0)
        self.declare("n", "candidate", bias=bias, sources=0)

    def step(self, x: Value, state: Any) -> Any:
        z, n = named(z=sigmoid(self.net("z", x)), n=self.net("n", x))
        return (named(h=(1.0 - z) * state.h + z * n),)


class MinLSTMCell(GatedCell):
    """LSTM without the state in its gates, and without an output gate.

    ::

        f_t = sigmoid(W_f x_t + b_f),   i_t = sigmoid(W_i x_t + b_i)               gates
        n_t = W_n x_t + b_n                                                        candidate, linear
        h_t = f_t / (f_t + i_t) * h_{t-1} + i_t / (f_t + i_t) * n_t                hidden state

    Feng et al. 2024; the quotients make the two weights sum to 1.

    Parameters
    ----------
    input_size, hidden_size, dtype, seed, init : see :class:`tinygrad_rnn.Cell`
    bias : bool
    """

    def __init__(self, input_size: int, hidden_size: int, *, bias: bool = True, **options: Any) -> None:
        super().__init__(input_size, hidden_size, **options)
        for name, role in (("f", "forget"), ("i", "input"), ("n", "candidate")):
            self.declare(name, role, bias=bias, sources=0)

    def step(self, x: Value, state: Any) -> Any:
        f, i = named(f=sigmoid(self.net("f", x)), i=sigmoid(self.net("i", x)))
        n = named(n=self.net("n", x))
        total = f + i
        return (named(h=f / total * state.h + i / total * n),)

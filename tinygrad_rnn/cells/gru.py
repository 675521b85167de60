"""The gated recurrent unit."""

from __future__ import annotations

from typing import Any

from ..autodiff.functions import linear, split
from ..autodiff.primitive import Value
from ..autodiff.primitives import sigmoid, tanh
from ..autodiff.tensor import named
from ..recurrent.cell import Cell

__all__ = ["GRUCell"]


class GRUCell(Cell):
    """GRU with the reset gate after the recurrent product.

    ::

        r_t = sigmoid(W_ir x_t + b_ir + W_hr h_{t-1} + b_hr)            reset gate
        z_t = sigmoid(W_iz x_t + b_iz + W_hz h_{t-1} + b_hz)            update gate
        n_t = tanh(W_in x_t + b_in + r_t * (W_hn h_{t-1} + b_hn))       candidate
        h_t = (1 - z_t) * n_t + z_t * h_{t-1}                           hidden state

    Cho et al. 2014, in the first version's form that cuDNN and PyTorch use; the final paper resets
    *before* the product, U (r * h). An update gate of 1 keeps the state (Chung et al. 2014 write z for
    1 - z). Parameters, layout and gate order r, z, n as ``torch.nn.GRUCell``: weight_ih (3H, I),
    weight_hh (3H, H), bias_ih (3H,), bias_hh (3H,).

    Parameters
    ----------
    input_size, hidden_size, dtype, seed, init : see :class:`tinygrad_rnn.Cell`
    bias : bool
        Whether there are biases.
    """

    state_names = ("h",)

    def __init__(self, input_size: int, hidden_size: int, *, bias: bool = True, **options: Any) -> None:
        super().__init__(input_size, hidden_size, **options)
        rows, fill = 3 * hidden_size, self.preset
        gates = fill.bias("reset", "forget", "candidate")
        self.weight_ih = self.parameter("weight_ih", (rows, input_size), fill.input)
        self.weight_hh = self.parameter("weight_hh", (rows, hidden_size), fill.recurrent)
        self.bias_ih = self.parameter("bias_ih", (rows,), gates) if bias else None
        self.bias_hh = self.parameter("bias_hh", (rows,), fill.second_bias) if bias else None

    def step(self, x: Value, state: Any) -> Any:
        h = state.h
        xr, xz, xn = split(linear(x, self.weight_ih, self.bias_ih), 3, axis=1)
        hr, hz, hn = split(linear(h, self.weight_hh, self.bias_hh), 3, axis=1)
        r, z = named(r=sigmoid(xr + hr), z=sigmoid(xz + hz))
        n = named(n=tanh(xn + r * hn))
        h = named(h=(1.0 - z) * n + z * h)
        return (h,)

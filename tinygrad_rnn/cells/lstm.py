"""Long short-term memory."""

from __future__ import annotations

from typing import Any

from ..autodiff.functions import linear, split
from ..autodiff.primitive import Value
from ..autodiff.primitives import sigmoid, tanh
from ..autodiff.tensor import named
from ..recurrent.cell import Cell

__all__ = ["LSTMCell"]


class LSTMCell(Cell):
    """LSTM with a forget gate, without peepholes.

    ::

        i_t = sigmoid(W_ii x_t + b_ii + W_hi h_{t-1} + b_hi)      input gate
        f_t = sigmoid(W_if x_t + b_if + W_hf h_{t-1} + b_hf)      forget gate
        g_t = tanh   (W_ig x_t + b_ig + W_hg h_{t-1} + b_hg)      candidate
        o_t = sigmoid(W_io x_t + b_io + W_ho h_{t-1} + b_ho)      output gate
        c_t = f_t * c_{t-1} + i_t * g_t                           cell state
        h_t = o_t * tanh(c_t)                                     hidden state

    Hochreiter & Schmidhuber 1997, with the forget gate of Gers, Schmidhuber & Cummins 2000; parameters,
    layout and gate order i, f, g, o as ``torch.nn.LSTMCell``: weight_ih (4H, I), weight_hh (4H, H),
    bias_ih (4H,), bias_hh (4H,).

    Parameters
    ----------
    input_size, hidden_size, dtype, seed, init : see :class:`tinygrad_rnn.Cell`
    bias : bool
        Whether there are biases.
    """

    state_names = ("h", "c")

    def __init__(self, input_size: int, hidden_size: int, *, bias: bool = True, **options: Any) -> None:
        super().__init__(input_size, hidden_size, **options)
        rows, fill = 4 * hidden_size, self.preset
        gates = fill.bias("input", "forget", "candidate", "output")
        self.weight_ih = self.parameter("weight_ih", (rows, input_size), fill.input)
        self.weight_hh = self.parameter("weight_hh", (rows, hidden_size), fill.recurrent)
        self.bias_ih = self.parameter("bias_ih", (rows,), gates) if bias else None
        self.bias_hh = self.parameter("bias_hh", (rows,), fill.second_bias) if bias else None

    def step(self, x: Value, state: Any) -> Any:
        h, c = state
        z = linear(x, self.weight_ih, self.bias_ih) + linear(h, self.weight_hh, self.bias_hh)
        zi, zf, zg, zo = split(z, 4, axis=1)
        i, f, g, o = named(i=sigmoid(zi), f=sigmoid(zf), g=tanh(zg), o=sigmoid(zo))
        c = named(c=f * c + i * g)
        h = named(h=o * tanh(c))
        return h, c

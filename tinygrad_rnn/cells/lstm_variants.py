"""Two changes to the LSTM: one gate for input and forgetting, and layer normalisation."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autodiff.functions import linear, mean, split
from ..autodiff.primitive import Value
from ..autodiff.primitives import sigmoid, sqrt, square, tanh
from ..autodiff.tensor import named
from .gated import GatedCell

__all__ = ["CoupledLSTMCell", "LayerNormLSTMCell"]


class CoupledLSTMCell(GatedCell):
    """LSTM that writes only where it forgets.

    ::

        f_t = sigmoid(W_f x_t + R_f h_{t-1} + b_f)      forget gate; its complement lets the input in
        g_t = tanh   (W_g x_t + R_g h_{t-1} + b_g)      candidate
        o_t = sigmoid(W_o x_t + R_o h_{t-1} + b_o)      output gate
        c_t = f_t * c_{t-1} + (1 - f_t) * g_t           cell state
        h_t = o_t * tanh(c_t)                           hidden state

    The form in which tutorials draw it. Greff et al. 2017 compute the input gate and set f = 1 - i
    (:class:`CIFGCell`): the same family, but an initial bias of 1 then means the opposite.

    Parameters
    ----------
    input_size, hidden_size, dtype, seed, init : see :class:`tinygrad_rnn.Cell`
    bias : bool
    """

    state_names = ("h", "c")

    def __init__(self, input_size: int, hidden_size: int, *, bias: bool = True, **options: Any) -> None:
        super().__init__(input_size, hidden_size, **options)
        for name, role in (("f", "forget"), ("g", "candidate"), ("o", "output")):
            self.declare(name, role, bias=bias)

    def step(self, x: Value, state: Any) -> Any:
        h, c = state
        f, o = named(f=sigmoid(self.net("f", x, h)), o=sigmoid(self.net("o", x, h)))
        g = named(g=tanh(self.net("g", x, h)))
        c = named(c=f * c + (1.0 - f) * g)
        h = named(h=o * tanh(c))
        return h, c


class LayerNormLSTMCell(GatedCell):
    """LSTM with layer normalisation.

    ::

        f, i, o, g = LN(W_h h_{t-1}; a_1, s_1) + LN(W_x x_t; a_2, s_2) + b      before their nonlinearities
        c_t = sigmoid(f) * c_{t-1} + sigmoid(i) * tanh(g)
        h_t = sigmoid(o) * tanh(LN(c_t; a_3, s_3))
        LN(z; a, s) = a * (z - mean z) / sqrt(var z + 1e-5) + s

    Ba, Kiros & Hinton 2016, equations 20 to 22: each LN is over all four gates together. Some libraries
    normalise gate by gate, which is another cell.

    Parameters
    ----------
    input_size, hidden_size, dtype, seed, init : see :class:`tinygrad_rnn.Cell`
    bias : bool
        Whether there is b; gains a and shifts s there always are.
    """

    state_names = ("h", "c")

    def __init__(self, input_size: int, hidden_size: int, *, bias: bool = True, **options: Any) -> None:
        super().__init__(input_size, hidden_size, **options)
        rows, fill = 4 * hidden_size, self.preset
        self.weight_hh: Any
        self.weight_ih: Any
        self._keep("weight_hh", (rows, hidden_size), fill.recurrent)
        self._keep("weight_ih", (rows, input_size), fill.input)
        for name, size in (("h", rows), ("x", rows), ("c", hidden_size)):
            self._keep(f"gain_{name}", (size,), np.ones(size))
            self._keep(f"shift_{name}", (size,), np.zeros(size))
        self.bias: Any = None
        if bias:
            self._keep("bias", (rows,), fill.bias("forget", "input", "output", "candidate"))

    def normalise(self, name: str, z: Value) -> Value:
        """LN of `z` over its features, with the gain and shift called `name`."""
        centred = z - mean(z, axis=1, keepdims=True)
        scale = sqrt(mean(square(centred), axis=1, keepdims=True) + 1e-5)
        return getattr(self, f"gain_{name}") * (centred / scale) + getattr(self, f"shift_{name}")

    def step(self, x: Value, state: Any) -> Any:
        h, c = state
        z = self.normalise("h", linear(h, self.weight_hh)) + self.normalise("x", linear(x, self.weight_ih))
        zf, zi, zo, zg = split(z if self.bias is None else z + self.bias, 4, axis=1)
        f, i, o, g = named(f=sigmoid(zf), i=sigmoid(zi), o=sigmoid(zo), g=tanh(zg))
        c = named(c=f * c + i * g)
        h = named(h=o * tanh(self.normalise("c", c)))
        return h, c

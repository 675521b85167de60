"""Three changes to the LSTM: one gate for input and forgetting, layer normalisation, and a recurrent projection."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arguments import is_integer
from ..autodiff.functions import linear, mean, split
from ..autodiff.primitive import Value
from ..autodiff.primitives import sigmoid, sqrt, square, tanh
from ..autodiff.tensor import named
from ..recurrent.cell import Cell
from .gated import GatedCell

__all__ = ["CoupledLSTMCell", "LayerNormLSTMCell", "ProjectedLSTMCell"]


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


class ProjectedLSTMCell(Cell):
    """LSTM whose output is a projection of its memory cells.

    ::

        i_t = sigmoid(W_ii x_t + b_ii + W_hi h_{t-1} + b_hi)      input gate
        f_t = sigmoid(W_if x_t + b_if + W_hf h_{t-1} + b_hf)      forget gate
        g_t = tanh   (W_ig x_t + b_ig + W_hg h_{t-1} + b_hg)      candidate
        o_t = sigmoid(W_io x_t + b_io + W_ho h_{t-1} + b_ho)      output gate
        c_t = f_t * c_{t-1} + i_t * g_t                           cell state
        m_t = o_t * tanh(c_t)                                     output of the cells
        h_t = W_hr m_t                                            hidden state, their projection

    Sak, Senior & Beaufays 2014, without their peepholes; parameters, layout and gate order as
    ``torch.nn.LSTM(..., proj_size=P)``: weight_ih (4H, I), weight_hh (4H, P), bias_ih (4H,), bias_hh (4H,),
    weight_hr (P, H). Many memory cells then cost few recurrent weights: 5 H P in place of 4 H H.

    Parameters
    ----------
    input_size, dtype, seed, init : see :class:`tinygrad_rnn.Cell`
    hidden_size : int
        Memory cells: features of c.
    proj_size : int, optional
        Features of h, at most `hidden_size`; half of it when omitted.
    bias : bool
        Whether there are biases.

    Attributes
    ----------
    hidden_size : int
        Features of h, which whatever is above the cell reads: `proj_size`.
    memory_size : int
        Features of c.

    Raises
    ------
    ValueError
        If `proj_size` is no size, or larger than `hidden_size`.

    Examples
    --------
    >>> import tinygrad_rnn as tg
    >>> cell = tg.cells.ProjectedLSTMCell(3, 8, 2)
    >>> [value.shape for value in cell.initial_state(batch=1)], cell.hidden_size, cell.memory_size
    ([(1, 2), (1, 8)], 2, 8)
    """

    state_names = ("h", "c")

    def __init__(
        self, input_size: int, hidden_size: int, proj_size: int | None = None, *, bias: bool = True, **options: Any
    ) -> None:
        super().__init__(input_size, hidden_size, **options)
        size = (hidden_size + 1) // 2 if proj_size is None else proj_size
        if not is_integer(size) or size > hidden_size:
            raise ValueError(
                f"ProjectedLSTMCell: proj_size must be a positive integer of at most hidden_size={hidden_size}, "
                f"got {proj_size!r}"
            )
        rows, fill = 4 * hidden_size, self.preset
        gates = fill.bias("input", "forget", "candidate", "output")
        self.weight_ih = self.parameter("weight_ih", (rows, input_size), fill.input)
        self.weight_hh = self.parameter("weight_hh", (rows, size), fill.recurrent)
        self.bias_ih = self.parameter("bias_ih", (rows,), gates) if bias else None
        self.bias_hh = self.parameter("bias_hh", (rows,), fill.second_bias) if bias else None
        self.weight_hr = self.parameter("weight_hr", (size, hidden_size), fill.recurrent)
        self.hidden_size, self.memory_size = int(size), int(hidden_size)

    def initial_state(self, batch: int) -> Any:
        """Zeros: h of shape (batch, hidden_size) and c of shape (batch, memory_size)."""
        return self.State(*[np.zeros((batch, size), self.dtype) for size in (self.hidden_size, self.memory_size)])

    def step(self, x: Value, state: Any) -> Any:
        h, c = state
        z = linear(x, self.weight_ih, self.bias_ih) + linear(h, self.weight_hh, self.bias_hh)
        zi, zf, zg, zo = split(z, 4, axis=1)
        i, f, g, o = named(i=sigmoid(zi), f=sigmoid(zf), g=tanh(zg), o=sigmoid(zo))
        c = named(c=f * c + i * g)
        m = named(m=o * tanh(c))
        h = named(h=linear(m, self.weight_hr))
        return h, c

    def __repr__(self) -> str:
        return f"ProjectedLSTMCell({self.input_size}, {self.memory_size}, {self.hidden_size})"

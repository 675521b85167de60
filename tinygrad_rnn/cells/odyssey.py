"""The vanilla LSTM with peepholes, and the eight variants of "LSTM: a search space odyssey"."""

from __future__ import annotations

from typing import Any, ClassVar

from ..autodiff.functions import linear
from ..autodiff.primitive import Value
from ..autodiff.primitives import sigmoid, stop_gradient, tanh
from ..autodiff.tensor import named
from .gated import GatedCell

__all__ = ["CIFGCell", "FGRCell", "NFGCell", "NIAFCell", "NIGCell", "NOAFCell", "NOGCell", "NPCell", "PeepholeLSTMCell"]

_ROLES = {"z": "candidate", "i": "input", "f": "forget", "o": "output"}


class PeepholeLSTMCell(GatedCell):
    """LSTM whose gates see the cell state: the vanilla LSTM (V) of the odyssey.

    ::

        z_t = tanh   (W_z x_t + R_z h_{t-1} + b_z)                    block input
        i_t = sigmoid(W_i x_t + R_i h_{t-1} + p_i * c_{t-1} + b_i)    input gate
        f_t = sigmoid(W_f x_t + R_f h_{t-1} + p_f * c_{t-1} + b_f)    forget gate
        c_t = z_t * i_t + c_{t-1} * f_t                               cell state
        o_t = sigmoid(W_o x_t + R_o h_{t-1} + p_o * c_t + b_o)        output gate
        h_t = o_t * tanh(c_t)                                         block output

    Gers & Schmidhuber 2000 and Gers, Schraudolph & Schmidhuber 2002 for the peepholes; Graves &
    Schmidhuber 2005 for this form with its full gradient; Greff et al. 2017 for the name.

    Parameters
    ----------
    input_size, hidden_size, dtype, seed, init : see :class:`tinygrad_rnn.Cell`
    bias : bool
    cut_peepholes : bool
        As in 2002: peepholes carry values, no gradient.
    """

    state_names: tuple[str, ...] = ("h", "c")
    gates: ClassVar[str] = "zifo"
    peepholes: ClassVar[str] = "ifo"

    def __init__(
        self, input_size: int, hidden_size: int, *, bias: bool = True, cut_peepholes: bool = False, **options: Any
    ) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.cut_peepholes = cut_peepholes
        for name in self.gates:
            self.declare(name, _ROLES[name], bias=bias)
        for name in self.peepholes:
            self._keep(f"p_{name}", (hidden_size,), self.preset.second_bias)

    def with_peephole(self, name: str, x: Value, h: Value, c: Value) -> Value:
        """The net input W x + R h + b + p * c of a gate."""
        c = stop_gradient(c) if self.cut_peepholes else c
        return self.net(name, x, h) + getattr(self, f"p_{name}") * c

    def gate(self, name: str, x: Value, h: Value, c: Value) -> Value:
        """The gate sigmoid(W x + R h + b + p * c)."""
        return sigmoid(self.with_peephole(name, x, h, c))

    def step(self, x: Value, state: Any) -> Any:
        h, c = state
        z = named(z=tanh(self.net("z", x, h)))
        i, f = named(i=self.gate("i", x, h, c), f=self.gate("f", x, h, c))
        c = named(c=z * i + c * f)
        o = named(o=self.gate("o", x, h, c))
        h = named(h=o * tanh(c))
        return h, c


class NIGCell(PeepholeLSTMCell):
    """No input gate: ``c_t = z_t + c_{t-1} * f_t``, ``h_t = o_t * tanh(c_t)``. Greff et al. 2017."""

    gates = "zfo"
    peepholes = "fo"

    def step(self, x: Value, state: Any) -> Any:
        h, c = state
        z, f = named(z=tanh(self.net("z", x, h)), f=self.gate("f", x, h, c))
        c = named(c=z + c * f)
        o = named(o=self.gate("o", x, h, c))
        h = named(h=o * tanh(c))
        return h, c


class NFGCell(PeepholeLSTMCell):
    """No forget gate: ``c_t = z_t * i_t + c_{t-1}``, ``h_t = o_t * tanh(c_t)``. Greff et al. 2017."""

    gates = "zio"
    peepholes = "io"

    def step(self, x: Value, state: Any) -> Any:
        h, c = state
        z, i = named(z=tanh(self.net("z", x, h)), i=self.gate("i", x, h, c))
        c = named(c=z * i + c)
        o = named(o=self.gate("o", x, h, c))
        h = named(h=o * tanh(c))
        return h, c


class NOGCell(PeepholeLSTMCell):
    """No output gate: ``h_t = tanh(c_t)``. Greff et al. 2017."""

    gates = "zif"
    peepholes = "if"

    def step(self, x: Value, state: Any) -> Any:
        h, c = state
        z = named(z=tanh(self.net("z", x, h)))
        i, f = named(i=self.gate("i", x, h, c), f=self.gate("f", x, h, c))
        c = named(c=z * i + c * f)
        h = named(h=tanh(c))
        return h, c


class NIAFCell(PeepholeLSTMCell):
    """No input activation function: ``z_t = W_z x_t + R_z h_{t-1} + b_z``, ``h_t = o_t * tanh(c_t)``. Greff et al.
    2017.
    """

    def step(self, x: Value, state: Any) -> Any:
        h, c = state
        z = named(z=self.net("z", x, h))
        i, f = named(i=self.gate("i", x, h, c), f=self.gate("f", x, h, c))
        c = named(c=z * i + c * f)
        o = named(o=self.gate("o", x, h, c))
        h = named(h=o * tanh(c))
        return h, c


class NOAFCell(PeepholeLSTMCell):
    """No output activation function: ``h_t = o_t * c_t``. Greff et al. 2017."""

    def step(self, x: Value, state: Any) -> Any:
        h, c = state
        z = named(z=tanh(self.net("z", x, h)))
        i, f = named(i=self.gate("i", x, h, c), f=self.gate("f", x, h, c))
        c = named(c=z * i + c * f)
        o = named(o=self.gate("o", x, h, c))
        h = named(h=o * c)
        return h, c


class CIFGCell(PeepholeLSTMCell):
    """Coupled input and forget gate: ``f_t = 1 - i_t``, ``h_t = o_t * tanh(c_t)``. Greff et al. 2017."""

    gates = "zio"
    peepholes = "io"

    def step(self, x: Value, state: Any) -> Any:
        h, c = state
        z, i = named(z=tanh(self.net("z", x, h)), i=self.gate("i", x, h, c))
        f = named(f=1.0 - i)
        c = named(c=z * i + c * f)
        o = named(o=self.gate("o", x, h, c))
        h = named(h=o * tanh(c))
        return h, c


class NPCell(PeepholeLSTMCell):
    """No peepholes: the gates see x_t and h_{t-1} only, ``h_t = o_t * tanh(c_t)``. Greff et al. 2017."""

    peepholes = ""

    def step(self, x: Value, state: Any) -> Any:
        h, c = state
        z = named(z=tanh(self.net("z", x, h)))
        i, f, o = named(i=sigmoid(self.net("i", x, h)), f=sigmoid(self.net("f", x, h)), o=sigmoid(self.net("o", x, h)))
        c = named(c=z * i + c * f)
        h = named(h=o * tanh(c))
        return h, c


class FGRCell(PeepholeLSTMCell):
    """Full gate recurrence: every gate also sees all gates of the step before. Greff et al. 2017.

    ::

        i_t = sigmoid(W_i x_t + R_i h_{t-1} + R_ii i_{t-1} + R_if f_{t-1} + R_io o_{t-1} + p_i * c_{t-1} + b_i)
        f_t likewise, and o_t with p_o * c_t
        c_t = z_t * i_t + c_{t-1} * f_t
        h_t = o_t * tanh(c_t)

    Nine more matrices than the vanilla LSTM. In 1997 gates fed back too.
    """

    state_names: tuple[str, ...] = ("h", "c", "i", "f", "o")

    def __init__(self, input_size: int, hidden_size: int, **options: Any) -> None:
        super().__init__(input_size, hidden_size, **options)
        for name in "ifo":
            for source in "ifo":
                self._keep(f"R_{name}{source}", (hidden_size, hidden_size), self.preset.recurrent)

    def feedback(self, name: str, gates: Any) -> Value:
        """What the gates of the step before add to the net input of the gate called `name`."""
        i, f, o = (
            linear(value, getattr(self, f"R_{name}{source}")) for source, value in zip("ifo", gates, strict=True)
        )
        return i + f + o

    def step(self, x: Value, state: Any) -> Any:
        h, c, *gates = state
        z = named(z=tanh(self.net("z", x, h)))
        i = named(i=sigmoid(self.with_peephole("i", x, h, c) + self.feedback("i", gates)))
        f = named(f=sigmoid(self.with_peephole("f", x, h, c) + self.feedback("f", gates)))
        c = named(c=z * i + c * f)
        o = named(o=sigmoid(self.with_peephole("o", x, h, c) + self.feedback("o", gates)))
        h = named(h=o * tanh(c))
        return h, c, i, f, o

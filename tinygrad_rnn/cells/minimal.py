"""Gated units with fewer gates: GRU with the reset before the product, MGU and JANET."""

from __future__ import annotations

from typing import Any

from ..autodiff.primitive import Value
from ..autodiff.primitives import sigmoid, tanh
from ..autodiff.tensor import named
from .gated import GatedCell

__all__ = ["GRUResetBeforeCell", "JANETCell", "MGUCell"]


class GRUResetBeforeCell(GatedCell):
    """GRU with the reset gate before the recurrent product.

    ::

        r_t = sigmoid(W_r x_t + R_r h_{t-1} + b_r)              reset gate
        z_t = sigmoid(W_z x_t + R_z h_{t-1} + b_z)              update gate
        n_t = tanh   (W_n x_t + R_n (r_t * h_{t-1}) + b_n)      candidate
        h_t = z_t * h_{t-1} + (1 - z_t) * n_t                   hidden state

    Cho et al. 2014, the final paper; its first version, and :class:`GRUCell`, reset after the product. An
    update gate of 1 keeps the state; Chung et al. 2014 write z for 1 - z.

    Parameters
    ----------
    input_size, hidden_size, dtype, seed, init : see :class:`tinygrad_rnn.Cell`
    bias : bool
    """

    def __init__(self, input_size: int, hidden_size: int, *, bias: bool = True, **options: Any) -> None:
        super().__init__(input_size, hidden_size, **options)
        for name, role in (("r", "reset"), ("z", "forget"), ("n", "candidate")):
            self.declare(name, role, bias=bias)

    def step(self, x: Value, state: Any) -> Any:
        h = state.h
        r, z = named(r=sigmoid(self.net("r", x, h)), z=sigmoid(self.net("z", x, h)))
        n = named(n=tanh(self.net("n", x, r * h)))
        return (named(h=z * h + (1.0 - z) * n),)


class MGUCell(GatedCell):
    """Minimal gated unit: one gate that both forgets and resets, half the parameters of an LSTM.

    ::

        f_t = sigmoid(W_f x_t + R_f h_{t-1} + b_f)              forget gate
        n_t = tanh   (W_n x_t + R_n (f_t * h_{t-1}) + b_n)      candidate
        h_t = (1 - f_t) * h_{t-1} + f_t * n_t                   hidden state

    Zhou, Wu, Zhang & Zhou 2016. Despite its name, a forget gate of 1 forgets.

    Parameters
    ----------
    input_size, hidden_size, dtype, seed, init : see :class:`tinygrad_rnn.Cell`
    bias : bool
    """

    def __init__(self, input_size: int, hidden_size: int, *, bias: bool = True, **options: Any) -> None:
        super().__init__(input_size, hidden_size, **options)
        # the gate lets the input in: an initialisation that remembers has to close it
        self.declare("f", "input", bias=bias)
        self.declare("n", "candidate", bias=bias)

    def step(self, x: Value, state: Any) -> Any:
        h = state.h
        f = named(f=sigmoid(self.net("f", x, h)))
        n = named(n=tanh(self.net("n", x, f * h)))
        return (named(h=(1.0 - f) * h + f * n),)


class JANETCell(GatedCell):
    """LSTM with nothing but the forget gate.

    ::

        s_t = W_f x_t + R_f h_{t-1} + b_f
        n_t = tanh(W_n x_t + R_n h_{t-1} + b_n)                               candidate
        h_t = sigmoid(s_t) * h_{t-1} + (1 - sigmoid(s_t - beta)) * n_t        hidden state

    Van der Westhuizen & Lasenby 2018, "The unreasonable effectiveness of the forget gate", who fill b_f
    by chrono initialisation: ``init=tg.init.preset("chrono", t_max=T)``.

    Parameters
    ----------
    input_size, hidden_size, dtype, seed, init : see :class:`tinygrad_rnn.Cell`
    bias : bool
    beta : float
        How much less is forgotten than written over.
    """

    def __init__(
        self, input_size: int, hidden_size: int, *, bias: bool = True, beta: float = 1.0, **options: Any
    ) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.beta = beta
        self.declare("f", "forget", bias=bias)
        self.declare("n", "candidate", bias=bias)

    def step(self, x: Value, state: Any) -> Any:
        h = state.h
        s = self.net("f", x, h)
        f, i = named(f=sigmoid(s), i=1.0 - sigmoid(s - self.beta))
        n = named(n=tanh(self.net("n", x, h)))
        return (named(h=f * h + i * n),)

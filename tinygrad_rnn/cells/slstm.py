"""sLSTM: exponential gates and the stabiliser that keeps them finite."""

from __future__ import annotations

from typing import Any

from ..autodiff.primitive import Value
from ..autodiff.primitives import exp, maximum, sigmoid, softplus, tanh
from ..autodiff.tensor import named
from .gated import GatedCell

__all__ = ["SLSTMCell"]


class SLSTMCell(GatedCell):
    """LSTM with an exponential input gate, a normaliser and a stabiliser.

    ::

        zi, zf = W_. x_t + R_. h_{t-1} + b_.                    gates before their nonlinearities
        z_t = tanh   (W_z x_t + R_z h_{t-1} + b_z)              cell input
        o_t = sigmoid(W_o x_t + R_o h_{t-1} + b_o)              output gate
        m_t = max(log f + m_{t-1}, zi)                          stabiliser; log f = log sigmoid(zf), or zf
        i_t = exp(zi - m_t),   f_t = exp(log f + m_{t-1} - m_t)
        c_t = f_t * c_{t-1} + i_t * z_t                         cell state
        n_t = f_t * n_{t-1} + i_t                               normaliser
        h_t = o_t * c_t / n_t                                   hidden state

    Beck et al. 2024, "xLSTM", equations 8 to 17, with one head. The stabiliser cancels: h is the same for
    any m_{t-1}, as long as c and n are scaled by exp(-m_{t-1}) with it.

    Parameters
    ----------
    input_size, hidden_size, dtype, seed, init : see :class:`tinygrad_rnn.Cell`
    bias : bool
    forget : {"sigmoid", "exp"}
        The nonlinearity of the forget gate.

    Raises
    ------
    ValueError
        If `forget` is neither.
    """

    state_names = ("h", "c", "n", "m")

    def __init__(
        self, input_size: int, hidden_size: int, *, bias: bool = True, forget: str = "sigmoid", **options: Any
    ) -> None:
        super().__init__(input_size, hidden_size, **options)
        if forget not in ("sigmoid", "exp"):
            raise ValueError(f"SLSTMCell: forget must be 'sigmoid' or 'exp', got {forget!r}")
        self.forget = forget
        for name, role in (("i", "input"), ("f", "forget"), ("z", "candidate"), ("o", "output")):
            self.declare(name, role, bias=bias)

    def step(self, x: Value, state: Any) -> Any:
        h, c, n, m = state
        zi, zf = self.net("i", x, h), self.net("f", x, h)
        z, o = named(z=tanh(self.net("z", x, h)), o=sigmoid(self.net("o", x, h)))
        kept = (zf if self.forget == "exp" else -softplus(-zf)) + m
        m = named(m=maximum(kept, zi))
        i, f = named(i=exp(zi - m), f=exp(kept - m))
        c = named(c=f * c + i * z)
        n = named(n=f * n + i)
        h = named(h=o * (c / n))
        return h, c, n, m

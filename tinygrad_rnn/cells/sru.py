"""Simple recurrent unit."""

from __future__ import annotations

from typing import Any

from ..autodiff.functions import linear
from ..autodiff.primitive import Value
from ..autodiff.primitives import sigmoid
from ..autodiff.tensor import named
from .gated import GatedCell

__all__ = ["SRUCell"]


class SRUCell(GatedCell):
    """A light recurrence with a highway: nothing but elementwise products connects one step with the next.

    ::

        f_t = sigmoid(W_f x_t + v_f * c_{t-1} + b_f)      forget gate
        r_t = sigmoid(W_r x_t + v_r * c_{t-1} + b_r)      reset gate
        c_t = f_t * c_{t-1} + (1 - f_t) * (W_n x_t)       cell state
        h_t = r_t * c_t + (1 - r_t) * x_t                 hidden state; P x_t where the sizes differ

    Lei, Zhang, Wang, Dai & Artzi 2018.

    Parameters
    ----------
    input_size, hidden_size, dtype, seed, init : see :class:`tinygrad_rnn.Cell`
    bias : bool
    """

    state_names = ("h", "c")

    def __init__(self, input_size: int, hidden_size: int, *, bias: bool = True, **options: Any) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.v_f: Any
        self.v_r: Any
        self.P: Any = None
        for name, role in (("f", "forget"), ("r", "reset")):
            self.declare(name, role, bias=bias, sources=0)
            self._keep(f"v_{name}", (hidden_size,), self.preset.second_bias)
        self.declare("n", "candidate", bias=False, sources=0)
        if input_size != hidden_size:
            self._keep("P", (hidden_size, input_size), self.preset.input)

    def step(self, x: Value, state: Any) -> Any:
        c = state.c
        f = named(f=sigmoid(self.net("f", x) + self.v_f * c))
        r = named(r=sigmoid(self.net("r", x) + self.v_r * c))
        n = named(n=self.net("n", x))
        c = named(c=f * c + (1.0 - f) * n)
        h = named(h=r * c + (1.0 - r) * (x if self.P is None else linear(x, self.P)))
        return h, c

"""Second-order recurrent network: inputs multiply states."""

from __future__ import annotations

from typing import Any

from ..autodiff.functions import linear
from ..autodiff.primitive import Value
from ..autodiff.primitives import reshape
from ..autodiff.tensor import named
from .gated import GatedCell
from .rnn import NONLINEARITIES, nonlinearity_of

__all__ = ["SecondOrderCell"]


class SecondOrderCell(GatedCell):
    """A weight for every triple of next unit, state and input.

    ::

        h_t,i = sigmoid(sum_jk W_ijk h_{t-1},j x_t,k + b_i)      that is, h_t = sigmoid(W (h_{t-1} x_t^T) + b)

    Giles et al. 1992; Watrous & Kuhn 1992. With one-hot inputs there is one transition matrix for each
    symbol, so that any finite automaton can be wired by hand. W is kept as (H, H I), state by state.

    Parameters
    ----------
    input_size, hidden_size, dtype, seed, init : see :class:`tinygrad_rnn.Cell`
    bias : bool
    nonlinearity : {"tanh", "relu", "sigmoid", "identity"}
    """

    def __init__(
        self, input_size: int, hidden_size: int, *, bias: bool = True, nonlinearity: str = "sigmoid", **options: Any
    ) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.nonlinearity = nonlinearity_of("SecondOrderCell", nonlinearity)
        self.W: Any
        self.b: Any = None
        self._keep("W", (hidden_size, hidden_size * input_size), self.preset.input)
        if bias:
            self._keep("b", (hidden_size,), self.preset.bias("candidate"))

    def step(self, x: Value, state: Any) -> Any:
        pairs = reshape(state.h, (-1, self.hidden_size, 1)) * reshape(x, (-1, 1, self.input_size))
        a = linear(reshape(pairs, (-1, self.hidden_size * self.input_size)), self.W, self.b)
        return (named(h=NONLINEARITIES[self.nonlinearity](a)),)

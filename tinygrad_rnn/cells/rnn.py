"""The plain recurrent network."""

from __future__ import annotations

from typing import Any

from .. import primitives as p
from ..cell import Cell
from ..functions import linear
from ..primitive import Value
from ..tensor import named

__all__ = ["RNNCell"]

NONLINEARITIES = {"tanh": p.tanh, "relu": p.relu}


class RNNCell(Cell):
    """Elman network: ``h_t = tanh(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)``.

    Elman 1990; parameters and layout as ``torch.nn.RNNCell``: weight_ih (H, I), weight_hh (H, H),
    bias_ih (H,), bias_hh (H,).

    Parameters
    ----------
    input_size, hidden_size, dtype, seed, init : see :class:`tinygrad_rnn.Cell`
    bias : bool
        Whether there are biases.
    nonlinearity : {"tanh", "relu"}

    Raises
    ------
    ValueError
        If `nonlinearity` is neither.
    """

    state_names = ("h",)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        bias: bool = True,
        nonlinearity: str = "tanh",
        **options: Any,
    ) -> None:
        super().__init__(input_size, hidden_size, **options)
        if nonlinearity not in NONLINEARITIES:
            raise ValueError(f"RNNCell: nonlinearity must be 'tanh' or 'relu', got {nonlinearity!r}")
        self.nonlinearity = nonlinearity
        shape, fill = (hidden_size,), self.preset
        self.weight_ih = self.parameter("weight_ih", (hidden_size, input_size), fill.input)
        self.weight_hh = self.parameter("weight_hh", (hidden_size, hidden_size), fill.recurrent)
        self.bias_ih = self.parameter("bias_ih", shape, fill.bias("candidate")) if bias else None
        self.bias_hh = self.parameter("bias_hh", shape, fill.second_bias) if bias else None

    def step(self, x: Value, state: Any) -> Any:
        a = linear(x, self.weight_ih, self.bias_ih) + linear(state.h, self.weight_hh, self.bias_hh)
        h = named(h=NONLINEARITIES[self.nonlinearity](a))
        return (h,)

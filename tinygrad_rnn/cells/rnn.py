"""Plain recurrent networks: Elman's, Jordan's, and the one with identity and ReLU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..arguments import below_one, is_integer, one_of
from ..autodiff import primitives as p
from ..autodiff.functions import linear
from ..autodiff.primitive import Value
from ..autodiff.tensor import named
from ..recurrent.cell import Cell
from ..recurrent.init import Preset

__all__ = ["NONLINEARITIES", "IRNNCell", "JordanCell", "RNNCell", "nonlinearity_of"]

NONLINEARITIES: dict[str, Callable[[Value], Value]] = {
    "tanh": p.tanh,
    "relu": p.relu,
    "sigmoid": p.sigmoid,
    "identity": lambda a: a,
}


def nonlinearity_of(who: str, name: str) -> str:
    """The name back, if there is such a nonlinearity.

    Raises
    ------
    ValueError
        Naming the cell and the nonlinearities there are.
    """
    one_of(who, "nonlinearity", name, NONLINEARITIES)
    return name


class RNNCell(Cell):
    """Elman network: ``h_t = tanh(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)``.

    Elman 1990, who had the logistic function in place of tanh; parameters and layout as
    ``torch.nn.RNNCell``: weight_ih (H, I), weight_hh (H, H), bias_ih (H,), bias_hh (H,).

    Parameters
    ----------
    input_size, hidden_size, dtype, seed, init : see :class:`tinygrad_rnn.Cell`
    bias : bool
        Whether there are biases.
    nonlinearity : {"tanh", "relu", "sigmoid", "identity"}

    Raises
    ------
    ValueError
        If `nonlinearity` is none of these.
    """

    state_names = ("h",)

    def __init__(
        self, input_size: int, hidden_size: int, *, bias: bool = True, nonlinearity: str = "tanh", **options: Any
    ) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.nonlinearity = nonlinearity_of(type(self).__name__, nonlinearity)
        shape, fill = (hidden_size,), self.preset
        self.weight_ih = self.parameter("weight_ih", (hidden_size, input_size), fill.input)
        self.weight_hh = self.parameter("weight_hh", (hidden_size, hidden_size), fill.recurrent)
        self.bias_ih = self.parameter("bias_ih", shape, fill.bias("candidate")) if bias else None
        self.bias_hh = self.parameter("bias_hh", shape, fill.second_bias) if bias else None

    def step(self, x: Value, state: Any) -> Any:
        a = linear(x, self.weight_ih, self.bias_ih) + linear(state.h, self.weight_hh, self.bias_hh)
        h = named(h=NONLINEARITIES[self.nonlinearity](a))
        return (h,)


class IRNNCell(RNNCell):
    """ReLU network that begins as the identity: ``h_t = relu(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)``.

    Le, Jaitly & Hinton 2015: W_hh = I and b = 0 at first, so that a positive state is kept as it is and its
    gradient too; other weights Gaussian with standard deviation 0.001.

    Parameters
    ----------
    input_size, hidden_size, bias, dtype, seed : see :class:`RNNCell`
    init : str or callable
        Another one than the paper's.
    """

    def __init__(
        self, input_size: int, hidden_size: int, *, init: str | Callable[[int], Preset] = "identity", **options: Any
    ) -> None:
        super().__init__(input_size, hidden_size, nonlinearity="relu", init=init, **options)


class JordanCell(Cell):
    """Jordan network: the output is fed back, not the hidden units.

    ::

        s_t = decay * s_{t-1} + y_{t-1}              state units
        h_t = tanh(W_h x_t + R_h s_t + b_h)          hidden units
        y_t = sigmoid(V h_t + c)                     output

    Jordan 1986. His state units keep a share of themselves; ``decay=0`` gives the form of most
    textbooks, which feed y_{t-1} back directly.

    Parameters
    ----------
    input_size, dtype, seed, init : see :class:`tinygrad_rnn.Cell`
    hidden_size : int
        Features of y, which is what the cell gives out and feeds back.
    bias : bool
    decay : float
        In [0, 1).
    units : int, optional
        Hidden units; hidden_size when omitted.

    Raises
    ------
    ValueError
        If `decay` or `units` is out of its range.
    """

    state_names = ("y", "s")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        bias: bool = True,
        decay: float = 0.5,
        units: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(input_size, hidden_size, **options)
        below_one("JordanCell", decay=decay)
        n = hidden_size if units is None else units
        if not is_integer(n):
            raise ValueError(f"JordanCell: units must be a positive integer, got {units!r}")
        self.decay = decay
        fill = self.preset
        self.W_h = self.parameter("W_h", (n, input_size), fill.input)
        self.R_h = self.parameter("R_h", (n, hidden_size), fill.recurrent)
        self.V = self.parameter("V", (hidden_size, n), fill.input)
        self.b_h = self.parameter("b_h", (n,), fill.bias("candidate")) if bias else None
        self.c = self.parameter("c", (hidden_size,), fill.bias("output")) if bias else None

    def step(self, x: Value, state: Any) -> Any:
        s = named(s=self.decay * state.s + state.y)
        h = named(h=p.tanh(linear(x, self.W_h, self.b_h) + linear(s, self.R_h)))
        return named(y=p.sigmoid(linear(h, self.V, self.c))), s

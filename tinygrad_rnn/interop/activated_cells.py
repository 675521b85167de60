"""The cells of other people's files, whose nonlinearities are whatever the file says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..autodiff.functions import linear, split
from ..autodiff.primitive import Value
from ..autodiff.tensor import named
from ..cells import GRUCell, GRUResetBeforeCell, LSTMCell, RNNCell

Function = Callable[[Value], Value]

__all__ = ["ActivatedGRUCell", "ActivatedGRUResetBeforeCell", "ActivatedLSTMCell", "ActivatedRNNCell", "Function"]


class ActivatedLSTMCell(LSTMCell):
    """:class:`~tinygrad_rnn.cells.LSTMCell` with `gate` in place of the sigmoid, `candidate` and `output` of the tanh.

    Parameters
    ----------
    input_size, hidden_size, bias, dtype, seed, init : see :class:`~tinygrad_rnn.cells.LSTMCell`
    gate, candidate, output : function of an array or Tensor
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        gate: Function,
        candidate: Function,
        output: Function,
        **options: Any,
    ) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.gate, self.candidate, self.output = gate, candidate, output

    def step(self, x: Value, state: Any) -> Any:
        h, c = state
        z = linear(x, self.weight_ih, self.bias_ih) + linear(h, self.weight_hh, self.bias_hh)
        zi, zf, zg, zo = split(z, 4, axis=1)
        i, f, g, o = named(i=self.gate(zi), f=self.gate(zf), g=self.candidate(zg), o=self.gate(zo))
        c = named(c=f * c + i * g)
        h = named(h=o * self.output(c))
        return h, c


class ActivatedGRUCell(GRUCell):
    """:class:`~tinygrad_rnn.cells.GRUCell` with `gate` in place of the sigmoid, and `candidate` of the tanh.

    Parameters
    ----------
    input_size, hidden_size, bias, dtype, seed, init : see :class:`~tinygrad_rnn.cells.GRUCell`
    gate, candidate : function of an array or Tensor
    """

    def __init__(
        self, input_size: int, hidden_size: int, *, gate: Function, candidate: Function, **options: Any
    ) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.gate, self.candidate = gate, candidate

    def step(self, x: Value, state: Any) -> Any:
        h = state.h
        xr, xz, xn = split(linear(x, self.weight_ih, self.bias_ih), 3, axis=1)
        hr, hz, hn = split(linear(h, self.weight_hh, self.bias_hh), 3, axis=1)
        r, z = named(r=self.gate(xr + hr), z=self.gate(xz + hz))
        n = named(n=self.candidate(xn + r * hn))
        return (named(h=(1.0 - z) * n + z * h),)


class ActivatedGRUResetBeforeCell(GRUResetBeforeCell):
    """:class:`~tinygrad_rnn.cells.GRUResetBeforeCell` with `gate` in place of the sigmoid, and `candidate` of the tanh.

    Parameters
    ----------
    input_size, hidden_size, bias, dtype, seed, init : see :class:`~tinygrad_rnn.cells.GRUResetBeforeCell`
    gate, candidate : function of an array or Tensor
    """

    def __init__(
        self, input_size: int, hidden_size: int, *, gate: Function, candidate: Function, **options: Any
    ) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.gate, self.candidate = gate, candidate

    def step(self, x: Value, state: Any) -> Any:
        h = state.h
        r, z = named(r=self.gate(self.net("r", x, h)), z=self.gate(self.net("z", x, h)))
        n = named(n=self.candidate(self.net("n", x, r * h)))
        return (named(h=z * h + (1.0 - z) * n),)


class ActivatedRNNCell(RNNCell):
    """:class:`~tinygrad_rnn.cells.RNNCell` with another function in place of the tanh.

    Parameters
    ----------
    input_size, hidden_size, bias, dtype, seed, init : see :class:`~tinygrad_rnn.cells.RNNCell`
    output : function of an array or Tensor
    """

    def __init__(self, input_size: int, hidden_size: int, *, output: Function, **options: Any) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.output = output

    def step(self, x: Value, state: Any) -> Any:
        a = linear(x, self.weight_ih, self.bias_ih) + linear(state.h, self.weight_hh, self.bias_hh)
        return (named(h=self.output(a)),)

"""Time delays: connections that skip steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..arguments import is_integer
from ..autodiff.functions import linear
from ..autodiff.primitive import Value
from ..autodiff.tensor import named
from .gated import GatedCell
from .rnn import NONLINEARITIES, nonlinearity_of

__all__ = ["NARXCell"]


class NARXCell(GatedCell):
    """A network whose hidden state comes back after several delays.

    ::

        h_t = tanh(W x_t + sum_d R_d h_{t-d} + b)      d over the delays

    Lang, Waibel & Hinton 1990 for delays of inputs; Lin, Horne, Tino & Giles 1996 for delays of what is
    fed back: the gradient reaches D times as far through a delay of D, and no further. The states h_1, h_2,
    ... are the hidden states of the last steps, handed on: in the graph those are lines that skip steps.

    Parameters
    ----------
    input_size, hidden_size, dtype, seed, init : see :class:`tinygrad_rnn.Cell`
    bias : bool
    delays : sequence of int
        In steps, 1 being the last; all different.
    nonlinearity : {"tanh", "relu", "sigmoid", "identity"}

    Raises
    ------
    ValueError
        If there are no delays, or they are not different positive integers.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        bias: bool = True,
        delays: Sequence[int] = (1, 2, 3),
        nonlinearity: str = "tanh",
        **options: Any,
    ) -> None:
        super().__init__(input_size, hidden_size, **options)
        whole = all(map(is_integer, delays))
        if not delays or not whole or len(set(delays)) < len(delays):
            raise ValueError(f"NARXCell: delays must be different positive integers, got {delays!r}")
        self.delays = tuple(sorted(int(d) for d in delays))
        self.nonlinearity = nonlinearity_of("NARXCell", nonlinearity)
        self.name_states("h", *[f"h_{d}" for d in range(1, self.delays[-1])])
        self.declare("h", "candidate", bias=bias, sources=0)
        for d in self.delays:
            self._keep(f"R_{d}", (hidden_size, hidden_size), self.preset.recurrent)

    def step(self, x: Value, state: Any) -> Any:
        a = self.net("h", x)
        for d in self.delays:
            a = a + linear(state[d - 1], getattr(self, f"R_{d}"))
        h = named(h=NONLINEARITIES[self.nonlinearity](a))
        return h, *state[:-1]

"""Clockwork RNN: modules that tick at their own periods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arguments import is_integer
from ..autodiff.functions import concatenate, linear
from ..autodiff.primitive import Value
from ..autodiff.primitives import greater_equal, less, tanh, where
from ..autodiff.tensor import named
from .gated import GatedCell

__all__ = ["ClockworkCell"]


class ClockworkCell(GatedCell):
    """Modules of units, of which module i moves only at every T_i-th step.

    ::

        n_t = tanh(W x_t + R h_{t-1} + b)          R reaches from slow modules to equally fast or faster ones
        h_t,i = n_t,i if t mod T_i = 0, else h_{t-1},i

    Koutnik, Greff, Gomez & Schmidhuber 2014. Steps are counted from 0, so that all modules move at the
    first one. The state ``clock`` holds t mod T_i for every unit; no weight touches it.

    Parameters
    ----------
    input_size, hidden_size, dtype, seed, init : see :class:`tinygrad_rnn.Cell`
    bias : bool
    periods : sequence of int, optional
        One a module, rising; their number divides hidden_size. When omitted 1, 2, 4, 8, or fewer of them if
        four do not divide hidden_size.

    Raises
    ------
    ValueError
        If the periods do not rise, or do not divide the units.
    """

    state_names = ("h", "clock")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        bias: bool = True,
        periods: Sequence[int] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(input_size, hidden_size, **options)
        if periods is None:
            periods = [2**k for k in range(max(n for n in (4, 3, 2, 1) if hidden_size % n == 0))]
        whole = all(map(is_integer, periods))
        if not whole or list(periods) != sorted(set(periods)) or not periods or hidden_size % len(periods):
            raise ValueError(
                f"ClockworkCell: periods must be rising positive integers whose number divides {hidden_size}, got"
                f" {periods!r}"
            )
        self.periods = tuple(int(p) for p in periods)
        self.width = hidden_size // len(self.periods)
        self.ticks = np.repeat(np.asarray(self.periods, self.dtype), self.width)
        self.declare("n", "candidate", bias=bias, sources=0)
        for k in range(len(self.periods)):
            self._keep(f"R_{k}", (self.width, hidden_size - k * self.width), self.preset.recurrent)

    def step(self, x: Value, state: Any) -> Any:
        h, clock = state
        modules = [linear(h[:, k * self.width :], getattr(self, f"R_{k}")) for k in range(len(self.periods))]
        n = named(n=tanh(self.net("n", x) + concatenate(modules, axis=1)))
        h = named(h=where(less(clock, 0.5), n, h))
        clock = clock + 1.0
        return h, where(greater_equal(clock, self.ticks), 0.0, clock)

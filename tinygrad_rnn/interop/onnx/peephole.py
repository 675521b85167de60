"""The LSTM with peepholes, or with coupled gates, whose nonlinearities are whatever the file says."""

from __future__ import annotations

from typing import Any

from ...autodiff.primitive import Value
from ...autodiff.tensor import named
from ...cells import PeepholeLSTMCell
from ..activated_cells import Function

__all__ = ["ActivatedPeepholeLSTMCell"]


class ActivatedPeepholeLSTMCell(PeepholeLSTMCell):
    """:class:`~tinygrad_rnn.cells.PeepholeLSTMCell` with other functions in place of the sigmoid and the tanh.

    Parameters
    ----------
    input_size, hidden_size, bias, dtype, seed, init : see :class:`~tinygrad_rnn.cells.PeepholeLSTMCell`
    gate, candidate, output : function of an array or Tensor
    coupled : bool
        Whether the forget gate is 1 - i, as in :class:`~tinygrad_rnn.cells.CIFGCell`.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        gate: Function,
        candidate: Function,
        output: Function,
        coupled: bool,
        **options: Any,
    ) -> None:
        if coupled:
            self.gates, self.peepholes = "zio", "io"  # type: ignore[misc]
        super().__init__(input_size, hidden_size, **options)
        self.gate_function, self.candidate, self.output, self.coupled = gate, candidate, output, coupled

    def gate(self, name: str, x: Value, h: Value, c: Value) -> Value:
        """The gate of W x + R h + b + p * c."""
        return self.gate_function(self.with_peephole(name, x, h, c))

    def step(self, x: Value, state: Any) -> Any:
        h, c = state
        z, i = named(z=self.candidate(self.net("z", x, h)), i=self.gate("i", x, h, c))
        f = named(f=1.0 - i if self.coupled else self.gate("f", x, h, c))
        c = named(c=z * i + c * f)
        o = named(o=self.gate("o", x, h, c))
        h = named(h=o * self.output(c))
        return h, c

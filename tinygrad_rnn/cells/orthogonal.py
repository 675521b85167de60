"""A recurrent matrix that stays orthogonal."""

from __future__ import annotations

from typing import Any

from ..arguments import is_integer
from ..autodiff.functions import split
from ..autodiff.primitive import Value
from ..autodiff.primitives import abs as absolute
from ..autodiff.primitives import relu, sign, sqrt, sum
from ..autodiff.tensor import named
from .gated import GatedCell
from .rnn import NONLINEARITIES, nonlinearity_of

__all__ = ["OrthogonalRNNCell"]


class OrthogonalRNNCell(GatedCell):
    """A recurrent matrix made of reflections: its singular values are 1, whatever training does.

    ::

        Q = H_1 H_2 ... H_k,   H_j = I - 2 v_j v_j^T / (v_j^T v_j)      Householder reflections
        z_t = W x_t + Q h_{t-1}
        h_t = sign(z_t) * relu(|z_t| + b)                               modReLU

    Mhammedi, Hellicar, Rahman & Bailey 2017 for the parametrisation; Arjovsky, Shah & Bengio 2016 for
    unitary recurrence and modReLU. Where b is 0, and no input comes, the length of h never changes.

    Parameters
    ----------
    input_size, hidden_size, dtype, seed, init : see :class:`tinygrad_rnn.Cell`
    bias : bool
        Whether modReLU has its b; without, the network is linear.
    reflections : int, optional
        k; hidden_size of them reach every orthogonal matrix of one determinant. At most 4 when omitted.
    nonlinearity : {"modrelu", "tanh", "relu", "sigmoid", "identity"}
        What stands in place of modReLU; b is then added before it.

    Raises
    ------
    ValueError
        If `reflections` is not in 1 to hidden_size, or the nonlinearity is unknown.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        bias: bool = True,
        reflections: int | None = None,
        nonlinearity: str = "modrelu",
        **options: Any,
    ) -> None:
        super().__init__(input_size, hidden_size, **options)
        k = min(4, hidden_size) if reflections is None else reflections
        if not is_integer(k) or k > hidden_size:
            raise ValueError(f"OrthogonalRNNCell: reflections must lie in 1..{hidden_size}, got {reflections!r}")
        self.reflections = int(k)
        if nonlinearity != "modrelu":
            nonlinearity_of("OrthogonalRNNCell", nonlinearity)
        self.nonlinearity = nonlinearity
        self.declare("h", "candidate", bias=False, sources=0)
        self.v: Any
        self.b: Any = None
        self._keep("v", (self.reflections, hidden_size), self._rng.normal(size=(self.reflections, hidden_size)))
        if bias:
            self._keep("b", (hidden_size,), self._rng.uniform(-0.01, 0.01, hidden_size))

    def rotate(self, h: Value) -> Value:
        """Q h for every row of `h`."""
        mirrors = self.v * sqrt(2.0 / sum(self.v * self.v, axis=1, keepdims=True))
        for v in reversed(split(mirrors, self.reflections)):
            h = h - sum(h * v, axis=1, keepdims=True) * v
        return h

    def step(self, x: Value, state: Any) -> Any:
        z = self.net("h", x) + self.rotate(state.h)
        if self.nonlinearity != "modrelu":
            return (named(h=NONLINEARITIES[self.nonlinearity](z if self.b is None else z + self.b)),)
        size = absolute(z) if self.b is None else absolute(z) + self.b
        return (named(h=sign(z) * relu(size)),)

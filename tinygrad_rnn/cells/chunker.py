"""The two-level history compressor."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autodiff.primitive import Value
from ..autodiff.primitives import abs as absolute
from ..autodiff.primitives import greater, max, sigmoid, tanh, where
from ..autodiff.tensor import named
from .gated import GatedCell

__all__ = ["ChunkerCell"]


class ChunkerCell(GatedCell):
    """Two networks: one predicts its input, the other sees only what the first did not expect.

    ::

        u_t = 1 if max_k |x_t,k - p_{t-1},k| > threshold, else 0         unexpected
        n_t = tanh(W_h x_t + R_h h_{t-1} + b_h)
        h_t = u_t * n_t + (1 - u_t) * h_{t-1}                            chunker: moves at surprises only
        a_t = tanh(W_a x_t + R_a a_{t-1} + b_a)                          automatiser
        p_t = sigmoid(V a_t + d)                                         its prediction of x_{t+1}

    Schmidhuber 1992, "Learning complex, extended sequences using the principle of history compression". A
    predictable sequence of length T is as deep for the chunker as it has surprises; noise makes everything
    a surprise. Train p_t on x_{t+1}, and h_t on the task. The paper also hands the chunker the time of a
    surprise and lets the automatiser learn to imitate the chunker; both are left out here.

    Parameters
    ----------
    input_size, hidden_size, dtype, seed, init : see :class:`tinygrad_rnn.Cell`
    hidden_size : int
        Units of the chunker and of the automatiser, each.
    bias : bool
    threshold : float
        How far a prediction may be off, in (0, 1) for inputs in [0, 1].
    """

    state_names = ("h", "a", "p")

    def __init__(
        self, input_size: int, hidden_size: int, *, bias: bool = True, threshold: float = 0.5, **options: Any
    ) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.threshold = threshold
        self.declare("h", "candidate", bias=bias)
        self.declare("a", "candidate", bias=bias)
        self._keep("V", (input_size, hidden_size), self.preset.input)
        self.V: Any
        self.d: Any = None
        if bias:
            self._keep("d", (input_size,), np.zeros(input_size))

    def initial_state(self, batch: int) -> Any:
        """Zeros: h and a of shape (batch, hidden_size), the prediction p of shape (batch, input_size)."""
        h = np.zeros((batch, self.hidden_size), self.dtype)
        return self.State(h, h, np.zeros((batch, self.input_size), self.dtype))

    def step(self, x: Value, state: Any) -> Any:
        h, a, p = state
        unexpected = greater(max(absolute(x - p), axis=1, keepdims=True), self.threshold)
        u = named(u=where(unexpected, np.ones((1, 1), self.dtype), 0.0))
        n = named(n=tanh(self.net("h", x, h)))
        h = named(h=u * n + (1.0 - u) * h)
        a = named(a=tanh(self.net("a", x, a)))
        prediction = a @ self.V.T if self.d is None else a @ self.V.T + self.d
        return h, a, named(p=sigmoid(prediction))

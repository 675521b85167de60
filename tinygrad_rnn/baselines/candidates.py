"""Small nets that can be run with many candidates for their weights at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..arguments import choice, integer
from ..autodiff.primitives import sigmoid
from ..autodiff.scope import no_grad
from ..models import EncoderDecoder, Generator, SequenceModel

Array = npt.NDArray[Any]

__all__ = ["Candidates", "FromModel", "FullyConnected", "LatchUnit", "SparselyConnected"]


class Candidates(Protocol):
    """A net that can be run with many candidates for its weights at once."""

    @property
    def size(self) -> int:
        """How many weights there are."""

    def outputs(self, weights: Array, inputs: Array) -> Array:
        """Outputs (T, candidates, batch, O) for weights (candidates, size) and inputs (T, batch, I)."""


@dataclass(frozen=True)
class FullyConnected:
    """Topology A1: hidden units and an output that all see the input and each other.

    ::

        h_t = f(W_hx x_t + W_hh h_{t-1} + w_hy y_{t-1} + b)
        y_t = f(W_yx x_t + W_yh h_t     + w_yy y_{t-1})

    Only hidden units are biased. That the output sees the hidden units of its own step, as in the 1997 paper's
    experiments, is our reading: with those of the step before, parity is not found within 30,000 trials,
    where 2906 are published.

    Schmidhuber, Hochreiter & Bengio 2001, from memory.

    Parameters
    ----------
    hidden : int
    logistic : bool
        Units in (0, 1); otherwise tanh.
    """

    hidden: int = 1
    logistic: bool = True

    def __post_init__(self) -> None:
        integer(type(self).__name__, "hidden", self.hidden, 1)

    @property
    def size(self) -> int:
        """For each unit an input, all hidden units and the output; and biases."""
        return (self.hidden + 1) * (self.hidden + 2) + self.hidden

    def outputs(self, weights: Array, inputs: Array) -> Array:
        """See :class:`Candidates`; one input, one output."""
        n = self.hidden
        into_h, into_y, bias = np.split(_columns(self, weights), [n * (n + 2), (n + 1) * (n + 2)], axis=1)
        into_h = into_h.reshape(-1, n, n + 2)
        f = _squash(self.logistic)

        def step(x: Array, h: Array, y: Array) -> tuple[Array, Array]:
            h = f(into_h[:, :, :1] * x + into_h[:, :, 1:-1] @ h + into_h[:, :, -1:] * y + bias[..., None])
            own = (into_y[:, None, 1:-1] @ h)[:, 0]
            return h, f(into_y[:, :1] * x + own + into_y[:, -1:] * y[:, 0])[:, None]

        return _run(step, inputs, len(weights), n)


@dataclass(frozen=True)
class SparselyConnected:
    """Topology A2: hidden units that see the input, the output and themselves; the output sees all units.

    ::

        h_t = f(w_x x_t + w_y y_{t-1} + w_h * h_{t-1} + b)
        y_t = f(v_x x_t + v_h h_t + v_y y_{t-1} + c)

    All are biased. Schmidhuber, Hochreiter & Bengio 2001, from memory; see :class:`FullyConnected` for what
    is left open.

    Parameters
    ----------
    hidden : int
        10 in the paper.
    self_connected : bool
        Whether hidden units see themselves.
    logistic : bool
        Units in (0, 1); otherwise tanh.
    """

    hidden: int = 10
    self_connected: bool = True
    logistic: bool = True

    def __post_init__(self) -> None:
        integer(type(self).__name__, "hidden", self.hidden, 1)

    @property
    def size(self) -> int:
        """Four or three for a hidden unit; the output's."""
        return self.hidden * (3 + self.self_connected) + self.hidden + 3

    def outputs(self, weights: Array, inputs: Array) -> Array:
        """See :class:`Candidates`; one input, one output."""
        n = self.hidden
        own, v = np.split(_columns(self, weights), [n * (3 + self.self_connected)], axis=1)
        kinds = [kind[..., None] for kind in np.split(own, 3 + self.self_connected, axis=1)]
        w_x, w_y, b = kinds[:3]
        w_h: Any = kinds[3] if self.self_connected else 0.0
        f = _squash(self.logistic)

        def step(x: Array, h: Array, y: Array) -> tuple[Array, Array]:
            h = f(w_x * x + w_y * y + w_h * h + b)
            return h, f(
                v[:, None, :n] @ h + v[:, n, None, None] * x + v[:, n + 1, None, None] * y + v[:, n + 2, None, None]
            )

        return _run(step, inputs, len(weights), n)


@dataclass(frozen=True)
class LatchUnit:
    """The single tanh unit of the latch problems.

    - ``"I"``: ``y_t = tanh(w y_{t-1} + x_t)`` from a start value of its own for either class, which stands in
      place of the first input; weights (w, start for +1, start for -1).
    - ``"II"``: ``y_t = tanh(w y_{t-1} + v x_t + b)`` from 0; weights (w, v, b).

    Bengio, Simard & Frasconi 1994.

    Parameters
    ----------
    variant : {"I", "II"}
    """

    variant: str = "I"

    size = 3

    def __post_init__(self) -> None:
        choice("LatchUnit", "variant", self.variant, ("I", "II"))

    def outputs(self, weights: Array, inputs: Array) -> Array:
        """See :class:`Candidates`; one input, one output."""
        w, first, second = (column[:, None] for column in _columns(self, weights).T)
        x = inputs[..., 0]
        found = np.empty((len(x), len(weights), x.shape[1], 1))
        if self.variant == "I":
            y = np.where(x[0] > 0, first, second)
            found[0] = y[..., None]
            for t in range(1, len(x)):
                found[t, ..., 0] = y = np.tanh(w * y + x[t])
            return found
        y = np.zeros((len(weights), x.shape[1]))
        for t in range(len(x)):
            found[t, ..., 0] = y = np.tanh(w * y + first * x[t] + second)
        return found


class FromModel:
    """Any model, its parameters taken from a flat vector; candidates are run one after the other.

    Parameters
    ----------
    model : SequenceModel
        Its outputs must be in the units of the task's targets: ``output="sigmoid"`` and the like. Its
        parameters are those of the last candidate afterwards.
    """

    def __init__(self, model: SequenceModel) -> None:
        if not isinstance(model, SequenceModel):
            hint = "; it gives no outputs at every step" if isinstance(model, (Generator, EncoderDecoder)) else ""
            raise TypeError(f"FromModel: needs a SequenceModel, got {type(model).__name__}{hint}")
        self.model = model

    @property
    def size(self) -> int:
        """The number of all parameters together."""
        return sum(parameter.size for parameter in self.model.parameters())

    def load(self, weights: Array) -> None:
        """Give the model these weights (size,), such as the solution of a search."""
        (row,) = _columns(self, np.asarray(weights)[None])
        start = 0
        for parameter in self.model.parameters():
            parameter.data = row[start : start + parameter.size].reshape(parameter.shape)
            start += parameter.size

    def outputs(self, weights: Array, inputs: Array) -> Array:
        """See :class:`Candidates`."""
        found = []
        with no_grad():
            for row in _columns(self, weights):
                self.load(row)
                found.append(self.model(inputs).outputs.data)
        return np.stack(found, axis=1)


def _run(step: Callable[[Array, Array, Array], tuple[Array, Array]], inputs: Array, count: int, hidden: int) -> Array:
    """Outputs (T, count, batch, 1) of a net whose hidden units and output begin at 0."""
    steps, batch, width = inputs.shape
    if width != 1:
        raise ValueError(f"outputs: the net has a single input, got {width}")
    h, y = np.zeros((count, hidden, batch)), np.zeros((count, 1, batch))
    found = np.empty((steps, count, batch, 1))
    for t in range(steps):
        h, y = step(inputs[t, :, 0], h, y)
        found[t, ..., 0] = y[:, 0]
    return found


def _squash(logistic: bool) -> Callable[[Array], Array]:
    return sigmoid if logistic else np.tanh


def _columns(net: Candidates, weights: Array) -> Array:
    if weights.ndim != 2 or weights.shape[1] != net.size:
        raise ValueError(f"{type(net).__name__}: weights must be (candidates, {net.size}), got {weights.shape}")
    return weights

"""TracedCell: a cell whose step is a trace of somebody else's."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ...autodiff.primitive import Value
from ...autodiff.primitives import reshape
from ...autodiff.tensor import Tensor
from ...recurrent.cell import Cell
from .graph import Computation

__all__ = ["TracedCell", "as_function", "as_sequence"]


class TracedCell(Cell):
    """A cell that computes what a PyTorch module does in one step; made by :func:`tinygrad_rnn.from_torch`.

    Attributes
    ----------
    x_shape : tuple of int
        Of one input; an input of several axes comes in flat, as (batch, input_size).
    state_shapes : tuple of tuple of int
        Of the states, without the batch.
    """

    def __init__(
        self,
        computation: Computation,
        parameters: Mapping[str, tuple[Any, bool]],
        state_names: Sequence[str],
        x_shape: tuple[int, ...],
        state_shapes: Sequence[tuple[int, ...]],
        dtype: Any,
    ) -> None:
        super().__init__(math.prod(x_shape), state_shapes[0][-1], dtype=dtype)
        self.name_states(*state_names)
        self.x_shape, self.state_shapes = tuple(x_shape), tuple(state_shapes)
        self.initialisation = "loaded weights"
        for name, (value, trains) in parameters.items():
            self.parameter(name, value.shape, value).requires_grad = trains
        self._compute = as_function(computation)

    def initial_state(self, batch: int) -> Any:
        """The state before the first step: zeros."""
        return self.State(*[np.zeros((batch, *shape), self.dtype) for shape in self.state_shapes])

    def step(self, x: Value, state: Any) -> Any:
        batch = x.shape[0]
        x = x if len(self.x_shape) == 1 else reshape(x, (batch, *self.x_shape))
        return tuple(self._compute([x, *state], self._parameters, batch, 1))


def as_function(computation: Computation) -> Callable[..., list[Any]]:
    """A computation as a function, which counts by who it is and is not looked into: it never changes."""

    def run(inputs: Sequence[Any], parameters: Mapping[str, Any], batch: int, steps: int) -> list[Any]:
        return computation.run(inputs, parameters, batch, steps)

    return run


def as_sequence(sequence: Any, dtype: Any) -> Any:
    """What a module is given: numbers of that dtype as a Tensor, whole numbers as they are."""
    if isinstance(sequence, Tensor):
        return sequence
    sequence = np.asarray(sequence)
    return Tensor(sequence.astype(dtype)) if sequence.dtype.kind == "f" else sequence

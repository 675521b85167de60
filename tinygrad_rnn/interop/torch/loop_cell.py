"""A module of PyTorch that loops over time itself, as a cell for its step and what stands around the loop."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...autodiff.functions import concatenate, expand_dims, split
from ...autodiff.primitives import getitem, reshape, transpose
from ...recurrent.unroll import Run, unroll
from .graph import Computation
from .pieces import Pieces
from .rolling import At, Every
from .timesteps import Taken
from .trace import leaves, replaced
from .traced_cell import TracedCell, as_function, as_sequence

__all__ = ["LoopCell"]


class LoopCell(TracedCell):
    """The step of a module that loops over time itself; made by :func:`tinygrad_rnn.from_torch`.

    ``unroll(cell, x, reverse=cell.reverse)`` runs the loop over x (T, batch, features); :meth:`run` everything that the
    module does.

    Attributes
    ----------
    reverse : bool
        Whether the module reads the sequence from its end.
    batch_first : bool
        Whether the module, and :meth:`run`, take (batch, T, features); ``unroll`` never does.
    reason : str
        Why x is what the module makes of the whole sequence before its loop, and not the sequence itself; empty where
        it is.
    """

    reverse = False
    batch_first = False

    def __init__(
        self,
        pieces: Pieces,
        parameters: Mapping[str, tuple[Any, bool]],
        x_shape: tuple[int, ...],
        dtype: Any,
        *,
        batch_first: bool,
        steps: int,
        reason: str,
    ) -> None:
        names = pieces.states.names
        step = Computation(pieces.step, pieces.step.output, {"x", *names}, {ref.index for ref in pieces.step.output})
        super().__init__(step, parameters, names, x_shape, pieces.state_shapes(steps), dtype)
        self.reverse, self.batch_first, self.reason = pieces.reverse, batch_first, reason
        self._taken, self._sources = tuple(pieces.states.taken), tuple(pieces.sources)
        self._element_shapes = pieces.element_shapes()
        self._begun, self._keys = tuple(pieces.states.begun), tuple(pieces.keys)
        self._direct = all(source == 0 for source in pieces.sources)
        self._before = as_function(Computation(pieces.before, pieces.before.output))
        sources = pieces.before.output[: len(set(pieces.sources) | {0})]
        self._pulled = as_function(Computation(pieces.before, sources))
        self._first = as_function(Computation(pieces.first, pieces.first.output))
        self._free = tuple(pieces.free)
        returned = [leaf for leaf in leaves(pieces.after.output) if hasattr(leaf, "index")]
        self._after = as_function(Computation(pieces.after, returned))
        self._returned = pieces.after.output

    # ----------------------------------------------------------------------------------- one step

    def initial_state(self, batch: int) -> Any:
        """The state before the first step: what the module starts from, and zeros for what it makes of the sequence."""
        state = [np.zeros((batch, *shape), self.dtype) for shape in self.state_shapes]
        for place, value in zip(self._free, self._first([], self._parameters, batch, 1), strict=True):
            state[place] = value
        return self.State(*state)

    def step(self, x: Any, state: Any) -> Any:
        batch = x.shape[0]
        return tuple(self._compute([*self._elements(x, batch), *state], self._parameters, batch, 1))

    def _elements(self, x: Any, batch: int) -> list[Any]:
        """What a step reads of the sequences, of one timestep of the cell's input."""
        if self.reason:
            widths = np.cumsum([math.prod(shape) for shape in self._element_shapes])
            parts = split(x, [int(width) for width in widths[:-1]], axis=1)
            shaped = [reshape(part, (batch, *shape)) for part, shape in zip(parts, self._element_shapes, strict=True)]
            return [self._put_back(part, taken) for part, taken in zip(shaped, self._taken, strict=True)]
        x = x if len(self.x_shape) == 1 else reshape(x, (batch, *self.x_shape))
        if self._direct:
            return [self._put_back(x, taken) for taken in self._taken]
        values = self._pulled([expand_dims(x, int(self.batch_first))], self._parameters, batch, 1)
        found = [values[source] for source in self._sources]
        return [v if taken.kept else _first_along(v, taken.axis) for v, taken in zip(found, self._taken, strict=True)]

    def _put_back(self, element: Any, taken: Taken) -> Any:
        """An element with the axis of time, if the step reads it so."""
        return expand_dims(element, taken.axis) if taken.kept else element

    # ---------------------------------------------------------------------------------- everything

    def run(self, sequence: Any) -> tuple[Run, Any]:
        """What the whole module does.

        Parameters
        ----------
        sequence : array or Tensor
            As the module takes it.

        Returns
        -------
        Run
            Of this cell.
        Tensor, or nested structure of Tensors
            What the module returns.

        Raises
        ------
        ValueError
            If the sequence has too few axes.
        """
        sequence = as_sequence(sequence, self.dtype)
        if sequence.ndim < 2:
            raise ValueError(f"{type(self).__name__}.run: the sequence must have a batch axis, got {sequence.shape}")
        steps, batch = sequence.shape[:2][:: -1 if self.batch_first else 1]
        values = self._before([sequence], self._parameters, batch, steps)
        state = list(self.initial_state(batch))
        for place, value in zip(self._begun, values[len(values) - len(self._begun) :], strict=True):
            state[place] = value
        run = unroll(self, self.inputs_of(sequence, values), state, reverse=self.reverse)
        given = [sequence, *(self._of_steps(run, key) for key in self._keys)]
        found = iter(self._after(given, self._parameters, batch, steps))
        return run, replaced(self._returned, lambda leaf: next(found) if hasattr(leaf, "index") else leaf)

    def inputs_of(self, sequence: Any, values: Sequence[Any]) -> Any:
        """The inputs of the cell (T, batch, input_size)."""
        if not self.reason:
            return _flat(_time_first(sequence, int(self.batch_first)))
        parts = [
            _flat(_time_first(values[source], taken.axis))
            for source, taken in zip(self._sources, self._taken, strict=True)
        ]
        return concatenate(parts, axis=2)

    def _of_steps(self, run: Run, key: Every | At) -> Any:
        states = [state[key.index] for state in run.states]
        if isinstance(key, Every):
            return states
        return (states[::-1] if self.reverse else states)[key.step]


def _time_first(value: Any, axis: int) -> Any:
    order = (axis, *(k for k in range(value.ndim) if k != axis))
    return value if axis == 0 else transpose(value, order)


def _flat(value: Any) -> Any:
    return value if value.ndim == 3 else reshape(value, (*value.shape[:2], -1))


def _first_along(value: Any, axis: int) -> Any:
    return getitem.on((value,), {"index": (*(slice(None),) * axis, 0)})

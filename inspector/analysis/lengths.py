"""A run once more with more or fewer steps before what its loss reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tinygrad_rnn import Graph, Tensor
from tinygrad_rnn.arguments import is_integer
from tinygrad_rnn.autodiff.ancestry import ancestors
from tinygrad_rnn.autodiff.arrays import plain
from tinygrad_rnn.autodiff.primitives import getitem, stack
from tinygrad_rnn.plurals import counted
from tinygrad_rnn.recurrent.states import leaves_of, rebuild
from tinygrad_rnn.recurrent.unroll import Run, unroll

from ..tracing.trace import GradientTrace, timestep_in, trace
from .trials import whole_norms

__all__ = ["Lengths"]


class _Place(NamedTuple):
    """Where a value stands in a run of any length: so many steps back from the last, and what it is there."""

    back: int
    kind: str
    which: str | int


class Lengths:
    """A run at other lengths, with the very loss of its last steps.

    The inputs are the same as many steps back from the end, and before the first of them they begin again from the
    last. Of a run from the end of the sequence the last step is the one at t = 0.

    Parameters
    ----------
    found : GradientTrace
        Every operation on record.

    Attributes
    ----------
    read : int
        How many of the last steps the loss reads, of which a run has at least as many.

    Raises
    ------
    ValueError
        If the loss cannot be computed from another run, or :func:`~tinygrad_rnn.unroll` does not give this run again,
        as where sequences end early or the gradient is cut off.
    """

    def __init__(self, found: GradientTrace) -> None:
        self.found, self.reverse = found, all(part.reverse for part in found.run.cells)
        places = {value.id: place for place, value in self._values(found.run)}
        ends = {key: (place, ()) for key, place in places.items()} | dict(_rows_of_stacks(found.loss, places))
        self._read = {node: ends[node.id] for node in ancestors([found.loss], ends) if node.id in ends}
        self._loss = Graph(found.loss, self._read)
        self.read = 1 + max(place.back for place, _ in self._read.values())
        steps = {scope: t for part in found.run.cells for t, scope in enumerate(part.scopes)}
        if any(node.inputs and timestep_in(node.scope, steps) is not None for node in self._loss.nodes):
            raise ValueError("the loss reads a value inside a step that has no name")
        again, was = self.norms(found.steps), whole_norms(found)
        if not np.allclose(again, was, 1e-9, 1e-12 * np.abs(was).max(), equal_nan=True):
            raise ValueError("its cell does not give this run again")

    def run(self, steps: int) -> tuple[Run, Tensor]:
        """The run of so many steps, and its loss.

        Raises
        ------
        ValueError
            If there are none, or fewer than the loss reads.
        """
        run = self.found.run
        if not is_integer(steps) or steps < self.read:
            raise ValueError(f"a run whose loss reads {counted(self.read, 'step')} cannot have {steps}")
        first = 0 if self.reverse else -steps
        rows = np.arange(first, first + steps) % len(run)
        again = unroll(
            run.cell,
            np.stack([plain(x) for x in run.inputs])[rows],
            rebuild(run.initial_state, (plain(leaf) for leaf in leaves_of(run.initial_state))),
            reverse=run.reverse,
            between=[array[rows] for array in run.between] or None,
        )
        values = dict(self._values(again))
        feeds = {node: values[place][index] if index else values[place] for node, (place, index) in self._read.items()}
        return again, self._loss.run(feeds)

    def norms(self, steps: int) -> npt.NDArray[np.float64]:
        """The norm of the gradient by all states together at each of so many steps."""
        return whole_norms(trace(*self.run(steps)))

    def _values(self, run: Run) -> Iterator[tuple[_Place, Tensor]]:
        """What a loss may read of a run."""
        back = range(len(run)) if self.reverse else range(len(run))[::-1]
        for t, (output, state) in enumerate(zip(run.outputs, run.states, strict=True)):
            yield _Place(back[t], "output", 0), output
            yield from ((_Place(back[t], "state", k), leaf) for k, leaf in enumerate(leaves_of(state)))
        for (name, t), value in run.names.items():
            yield _Place(back[t], "name", name), value


def _rows_of_stacks(loss: Tensor, places: Mapping[int, _Place]) -> Iterator[tuple[int, tuple[_Place, Any]]]:
    """Rows of what is stacked, of which the loss depends on no other: ids, the values that they are, and the rest of
    their index.
    """
    for node in ancestors([loss], places):
        whole = node.inputs[0] if node.op is getitem else None
        if isinstance(whole, Tensor) and whole.op is stack and whole.attributes["axis"] == 0:
            index = node.attributes["index"]
            row, *rest = index if isinstance(index, tuple) else (index,)
            if isinstance(row, (int, np.integer)) and not isinstance(row, bool):
                operand = whole.inputs[int(row)]
                if isinstance(operand, Tensor) and operand.id in places:
                    yield node.id, (places[operand.id], tuple(rest))

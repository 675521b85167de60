"""The Tensors of a compiled run, each made when somebody looks at it."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

from ..autodiff.primitives import getitem
from ..autodiff.scope import Scope, using
from ..autodiff.tensor import Tensor
from ..recurrent.inner import TRAJECTORY, TRAJECTORY_AGAIN, VALUE, VALUE_AGAIN
from ..recurrent.lazy import LazyMapping, LazySequence
from ..recurrent.unroll import Run
from .checkpoint import Checkpointed
from .operation import Recomputed
from .program import Key
from .recurrence import Recurrence

__all__ = ["Views"]


class Views:
    """What can be seen of a run that is one node.

    Parameters
    ----------
    cell : CompiledCell
    recurrence : Recurrence
    tape : Tensor
        The run.
    recomputed : Recomputed
        Computes again what a checkpointed run has not kept.
    operands : sequence of Tensors
    attributes : dict
        Of the run, on record or not.
    around : Scope or None
        In which the run was recorded.
    """

    def __init__(
        self,
        cell: Any,
        recurrence: Recurrence,
        tape: Tensor,
        recomputed: Recomputed,
        operands: Sequence[Tensor],
        attributes: dict[str, Any],
        around: Scope | None,
    ) -> None:
        self.cell = cell
        self.recurrence = recurrence
        self.tape = tape
        self.recomputed = recomputed
        self.operands = operands
        self.attributes = attributes
        self.around = around
        self.steps = len(operands[0]._data)
        self.reverse = bool(attributes.get("reverse"))
        self.every = attributes.get("checkpoint", 0)
        self.tracks = (self._checkpointed if self.every else recurrence).tracks(self.steps)
        self.scopes = LazySequence(self.steps, lambda t: Scope(around, "timestep", f"t={t}", t))
        if self.every:
            self.recorded = tape.op is not None
            self.values = tape.values if self.recorded else [operand._data for operand in operands]
            self._segments: MutableMapping[int, Tensor] = WeakValueDictionary()
            self._latest: Tensor | None = None

    def run(self, inputs: Sequence[Tensor], state: Any) -> Run:
        """The run as :func:`~tinygrad_rnn.unroll` returns it."""
        kind, order = type(state), self.recurrence.traced.order
        # Held by the run alone: if this held them too, a run would not be freed before Python looks for circles.
        every = {name: self.series(("state", name)) for name in kind._fields}
        states = LazySequence(self.steps, lambda t: kind._make([series[t] for series in every.values()]))
        masked = ("output", "") in self.recurrence.step.outputs
        outputs = self.series(("output", "")) if masked else every[kind._fields[0]]
        names = LazyMapping(lambda: {name: every.get(name) or self.series(("value", name)) for name in order})
        return Run(self.cell, inputs, outputs, states, state, names, {}, self.reverse, self.scopes, self.tape)

    def series(self, key: Key) -> LazySequence:
        """A value at every timestep."""
        return LazySequence(self.steps, partial(self._value, key), partial(self._whole, key))

    def _value(self, key: Key, t: int) -> Tensor:
        row = self.steps - 1 - t if self.reverse else t
        first = 1 if key[0] == "state" else 0
        if self.every and not (first and row == self.steps - 1):
            return self._value_again(key, row, first, self.scopes[t])
        begin, rows, shape, size = self.tracks[key]
        start = begin + (rows - 1 if self.every else row + first) * size
        attributes = {"key": key, "row": row, "start": start, "shape": shape}
        return self.tape.inside(VALUE, attributes, self.scopes[t], str(key[1]) or None)

    def _value_again(self, key: Key, row: int, first: int, scope: Scope) -> Tensor:
        """A value between checkpoints, from its segment computed again."""
        begin, end = self._checkpointed.segments(self.steps)[row // self.every]
        track = self.recurrence.tracks(end - begin)[key]
        start = track.start + (row - begin + first) * track.size
        attributes = {"key": key, "row": row, "start": start, "shape": track.shape}
        with using(scope=scope, recording=self.recorded, anomaly=False, names=None):
            value: Tensor = VALUE_AGAIN.on((self.tape, self._segment(row // self.every)), attributes)
        value.name = str(key[1]) or None
        return value

    @property
    def _checkpointed(self) -> Checkpointed:
        return Checkpointed(self.recurrence, self.every)

    def _segment(self, number: int) -> Any:
        found: Any = self._segments.get(number)
        if found is None:
            found = self._recompute(segment=number)
            self._segments[number] = found
        self._latest = found  # kept alive for whoever goes through the timesteps one by one
        return found

    def _recompute(self, **what: Any) -> Tensor:
        """From the operands as they were: a leaf that has been assigned since stands there as a constant."""
        operands = [o if o._data is value else value for o, value in zip(self.operands, self.values, strict=True)]
        with using(scope=self.around, recording=self.recorded, anomaly=False, names=None):
            again: Tensor = self.recomputed.on((self.tape, *operands), {**self.attributes, **what})
        return again

    def _whole(self, key: Key) -> Tensor:
        """The value at all timesteps, (T, ...)."""
        with using(scope=self.around, anomaly=False, names=None):
            series = self._trajectory(key)
            out: Tensor = getitem(series, slice(None, None, -1)) if self.reverse else series
        return out

    def _trajectory(self, key: Key) -> Any:
        if self.every:
            return TRAJECTORY_AGAIN.on((self.tape, self._recompute(key=key)), {"key": key})
        track = self.tracks[key]
        start = track.start + int(key[0] == "state") * track.size
        return TRAJECTORY.on((self.tape,), {"key": key, "start": start, "shape": (self.steps, *track.shape)})

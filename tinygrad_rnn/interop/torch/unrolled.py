"""A module that loops over time in steps that differ: its whole graph, with timesteps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from ...autodiff.scope import Scope, context, timestep, using
from ...autodiff.tensor import Tensor, named
from ...recurrent.cell import Cell
from ...recurrent.unroll import Run
from ..names import state_name
from ..refusal import UnsupportedError
from .graph import Computation, Size, is_piece
from .timesteps import Irregular, Timeline, ancestors, refs
from .trace import Ref, Trace, leaves, replaced
from .traced_cell import as_sequence

__all__ = ["UnrolledCell", "states_along"]


class UnrolledCell(Cell):
    """A module whose loop repeats no step, for sequences of one length; made by :func:`tinygrad_rnn.from_torch`.

    It has no step for ``unroll``. :meth:`run` gives a Run like any other, to be traced, drawn and diagnosed: its states
    are the variables that every timestep hands on.

    Attributes
    ----------
    steps : int
        T, the length of the sequences that it takes.
    reverse : bool
        Whether the module reads the sequence from its end.
    batch_first : bool
        Whether the module, and :meth:`run`, take (batch, T, features).
    reason : str
        Why there is no step that repeats.
    """

    def __init__(
        self,
        time: Timeline,
        trace: Trace,
        parameters: Mapping[str, tuple[Any, bool]],
        x_shape: tuple[int, ...],
        dtype: Any,
        *,
        batch_first: bool,
        reason: str,
    ) -> None:
        states = states_along(time, trace)
        shapes = [time.operations[places[-1]].shape[1:] for places in states.values()]
        super().__init__(int(np.prod(x_shape)), shapes[0][-1], dtype=dtype)
        self.name_states(*states)
        self.initialisation = "loaded weights"
        for name, (value, trains) in parameters.items():
            self.parameter(name, value.shape, value).requires_grad = trains
        self.steps, self.reverse, self.batch_first, self.reason = time.steps.count, time.reverse, batch_first, reason
        self.state_shapes = tuple(shapes)
        self._states, self._output = states, time.output
        self._inputs = _elements(time)
        returned = [leaf for leaf in leaves(time.output) if isinstance(leaf, Ref)]
        whole = Trace(time.operations)
        self._computation = Computation(whole, [*returned, *(Ref(k) for places in states.values() for k in places)])
        self._returned = len(returned)
        self._starts = _starts(time, trace, states)
        self._when = _when(time, states, self._starts)
        self._names = _names(time, trace, states, self._when)

    def initial_state(self, batch: int) -> Any:
        """Zeros; what the module starts from is in its run."""
        return self.State(*[np.zeros((batch, *shape), self.dtype) for shape in self.state_shapes])

    def step(self, x: Any, state: Any) -> NoReturn:
        """There is none."""
        raise UnsupportedError(
            f"{self!r}: {self.reason}, so that there is no step to unroll; run the whole sequence with its run(x)"
        )

    def run(self, sequence: Any) -> tuple[Run, Any]:
        """What the whole module does.

        Parameters
        ----------
        sequence : array or Tensor
            As the module takes it, of :attr:`steps` timesteps.

        Returns
        -------
        Run
        Tensor, or nested structure of Tensors
            What the module returns.

        Raises
        ------
        ValueError
            If the sequence has another length.
        """
        sequence = as_sequence(sequence, self.dtype)
        axis = int(self.batch_first)
        if sequence.ndim < 2 or sequence.shape[axis] != self.steps:
            raise ValueError(f"{self!r}.run: takes sequences of {self.steps} timesteps, got shape {sequence.shape}")
        names: dict[tuple[str, int], Any] = {}
        scopes: list[Any] = []
        for t in range(self.steps):
            with timestep(t) as scope:
                scopes.append(scope)
        values = self._evaluate(sequence, sequence.shape[1 - axis], scopes, names)
        found = iter([values[k] for k in self._computation.outputs[: self._returned]])
        returned = replaced(self._output, lambda leaf: next(found) if isinstance(leaf, Ref) else leaf)
        inputs = [values[k] for k in self._inputs]
        for t, x in enumerate(inputs):
            names["x", t] = x
        states = [self.State(*[values[places[t]] for places in self._states.values()]) for t in range(self.steps)]
        begin = [
            values.get(start, Tensor(zeros, name=f"{name}_init"))
            for start, zeros, name in zip(
                self._starts, self.initial_state(sequence.shape[1 - axis]), self._states, strict=True
            )
        ]
        outputs = [state[0] for state in states]
        return Run(self, inputs, outputs, states, self.State(*begin), names, {}, self.reverse, scopes=scopes), returned

    def _evaluate(self, sequence: Any, batch: int, scopes: Sequence[Scope], names: Any) -> dict[int, Any]:
        """Every value, each in the scope of its timestep."""
        values: dict[int, Any] = dict(self._computation.folded)
        around = context.get().scope
        own = dict(self._parameters)
        for index, operation in self._computation.operations:
            if index in values:
                continue
            t = self._when.get(index)
            with using(scope=around if t is None else scopes[t], names=names):
                values[index] = self._computation.evaluate(operation, values, [sequence], own, batch, self.steps)
                if index in self._names:
                    named(**{self._names[index]: values[index]})
                elif index in self._starts and not isinstance(values[index], Tensor):
                    values[index] = Tensor(values[index], name=f"{list(self._states)[self._starts.index(index)]}_init")
        return values


def states_along(time: Timeline, trace: Trace) -> dict[str, list[int]]:
    """The variables that every step hands on, and the operations that give them at each timestep.

    Raises
    ------
    Irregular
        If there is none.
    """
    count = time.steps.count
    found: list[dict[str, int]] = []
    for step in range(count):
        last: dict[str, int] = {}
        for index in time.steps.of(step):
            shape: tuple[Any, ...] = time.operations[index].shape
            plain = len(shape) > 1 and shape[0] == Size(1, 0) and not any(isinstance(size, Size) for size in shape[1:])
            for variable in trace.bound.get(index, {}) if plain else ():
                last[state_name(variable.name)] = index
        found.append(last)
    handed = [
        {name for name, index in last.items() if any(_is_later(time, r, index) for r in time.steps.readers[index])}
        for last in found[:-1]
    ]
    shared = [name for name in found[-1] if all(name in names for names in handed) and name != "x"]
    shapes = {name: {tuple(time.operations[last[name]].shape) for last in found} for name in shared}
    states = {name: [last[name] for last in found] for name in shared if len(shapes[name]) == 1}
    states = {name: places[::-1] if time.reverse else places for name, places in states.items()}
    unique = {tuple(places): name for name, places in reversed(states.items())}
    if not unique:
        raise Irregular("and no variable holds a value that every step hands on")
    return {name: list(places) for places, name in reversed(unique.items())}


def _starts(time: Timeline, trace: Trace, states: Mapping[str, Sequence[int]]) -> list[int]:
    """What each state is before the first step: the value that its variable held by then; -1 for none."""
    starts = []
    for name, places in states.items():
        shape, first = time.operations[places[0]].shape, min(places)
        held = [
            index
            for index, variables in trace.bound.items()
            if index < first and time.steps.step.get(index) == -1 and time.operations[index].shape == shape
            if any(state_name(variable.name) == name for variable in variables)
        ]
        starts.append(max(held, default=-1))
    return starts


def _is_later(time: Timeline, reader: int, index: int) -> bool:
    """Whether an operation reads a value of the step before."""
    later = time.steps.step[reader] > time.steps.step[index]
    return later or time.operations[reader].place.is_again(time.operations[index].place)


def _elements(time: Timeline) -> list[int]:
    """What each timestep reads, in the order of time."""
    first: dict[int, int] = {}
    for index, (_, t) in sorted(time.chosen.items()):
        first.setdefault(t, index)
    return [first[t] for t in range(time.steps.count)]


def _names(
    time: Timeline, trace: Trace, states: Mapping[str, Sequence[int]], when: Mapping[int, int]
) -> dict[int, str]:
    """What the values of each timestep are called: a variable that is assigned several times names the last."""
    last: dict[tuple[str, int], int] = {}
    for index in sorted(when):
        if index in trace.names and index not in time.chosen and not is_piece(time.operations, index):
            last[trace.names[index].name, when[index]] = index
    names = {index: name for (name, _), index in last.items() if name not in (*states, "x")}
    return {**names, **{index: name for name, places in states.items() for index in places}}


def _when(time: Timeline, states: Mapping[str, Sequence[int]], starts: Sequence[int]) -> dict[int, int]:
    """The timestep of each operation; none of what comes before the loop, or behind it."""
    count = time.steps.count
    order = [places[::-1] if time.reverse else places for places in states.values()]
    step = dict(time.steps.step)
    begun = set(starts)
    for index in sorted(time.needed):  # what is made of the start alone belongs to the first step
        if step[index] == -1 and any(k in begun for k in refs(time.operations[index])):
            begun.add(index)
            step[index] = 0
    for index in sorted(
        time.needed - set(time.chosen)
    ):  # what reads the last of a step after a jump back is in the next
        for places in order:
            if 0 <= step[index] < count and places[step[index]] in refs(time.operations[index]):
                step[index] += time.operations[index].place.is_again(time.operations[places[step[index]]].place)
        step[index] = max([step[index], *(step[k] for k in refs(time.operations[index]))])
    inside = ancestors(time.operations, [places[-1] for places in order])
    found = {index: one for index, one in step.items() if 0 <= one < count and (one < count - 1 or index in inside)}
    return {index: count - 1 - one if time.reverse else one for index, one in found.items()}

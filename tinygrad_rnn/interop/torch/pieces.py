"""A loop taken apart: what comes before it, its step, what comes after it, each as a trace of its own."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..names import state_name
from .graph import Size, unified
from .rolling import At, Every, Loop
from .timesteps import Irregular, Taken, refs
from .trace import Operation, Place, Ref, Trace, leaves, replaced

__all__ = ["Pieces", "States", "same_pieces", "taken_apart"]


@dataclass
class States:
    """The states of the cell, the output first.

    Attributes
    ----------
    names : list of str
    values : list of int
        The operations of the step that give them; of a value that stays, itself.
    reads : list of int or None
        As which operation a step reads the old one; ``None`` for what is only read after the loop.
    starts : list of Ref
        The values before the first step, of those that have one.
    begun : list of int
        Which states those are.
    taken : list of Taken
        The sequences of which a step reads elements.
    """

    names: list[str]
    values: list[int]
    reads: list[int | None]
    starts: list[Ref]
    begun: list[int]
    taken: list[Taken]


@dataclass
class Pieces:
    """A loop taken apart, for one number of steps.

    Attributes
    ----------
    before : Trace
        From the sequence to the values of which a step reads elements, and to the values before the first step.
    first : Trace
        From nothing to those values before the first step in which the sequence has no part.
    free : list of int
        Which states they belong to.
    sources : list of int
        Which output of `before` each sequence is; 0 is the module's input itself.
    step : Trace
        From elements and states to the next states.
    after : Trace
        From the sequence and values of the steps to what the module returns.
    keys : list of Every or At
        Which those values are, by the number of the state.
    states : States
    reverse : bool
    """

    before: Trace
    first: Trace
    free: list[int]
    sources: list[int]
    step: Trace
    after: Trace
    keys: list[Every | At]
    states: States
    reverse: bool

    def element_shapes(self) -> list[tuple[int, ...]]:
        """Of what a step reads of each sequence, without batch and time."""
        shapes = []
        for number, taken in enumerate(self.states.taken):
            shape = list(self.step.operations[number].shape)
            if taken.kept:
                del shape[taken.axis]
            shapes.append(_without_batch(shape, "what a step reads of the sequence"))
        return shapes

    def state_shapes(self, steps: int) -> list[tuple[int, ...]]:
        """Of the states, without the batch; a memory may be as long as the sequence."""
        shapes = [self.step.operations[ref.index].shape for ref in self.step.output]
        return [_without_batch(s, f"the value {n}", steps) for s, n in zip(shapes, self.states.names, strict=True)]


def _without_batch(shape: Sequence[Any], what: str, steps: int | None = None) -> tuple[int, ...]:
    sizes = [size if isinstance(size, Size) else Size(0, size) for size in shape]
    grows = any(size.slope or size.both or (size.time and steps is None) for size in sizes[1:])
    if len(sizes) < 2 or sizes[0] != Size(1, 0) or grows:
        raise Irregular(f"{what} is not (batch, ...), with the batch in front")
    return tuple([size.at(0, steps or 0) for size in sizes[1:]])


class _Part:
    """A piece of a trace as a trace of its own: some of its values become inputs."""

    def __init__(self, loop: Loop, names: Mapping[int, Any]) -> None:
        self.operations, self.names = loop.operations, names
        self.trace = Trace()
        self.places: dict[Any, int] = {}

    def input(self, keys: Sequence[Any], number: int, shape: Sequence[Any]) -> None:
        """A value that is given, as input of that number; it may stand for several operations."""
        self.trace.operations.append(Operation("input", (number,), {}, tuple(shape), Place()))
        self.places |= dict.fromkeys(keys, len(self.trace.operations) - 1)

    def add(self, indices: Sequence[int], changed: Mapping[int, Operation] | None = None) -> list[Ref]:
        """Take over operations and what they depend on, as far as it is not given."""
        changed = changed or {}
        wanted: set[int] = set()
        stack = list(indices)
        while stack:
            index = stack.pop()
            if index not in wanted and index not in self.places:
                wanted.add(index)
                stack += refs(changed.get(index, self.operations[index]))
        for index in sorted(wanted):
            operation = copy.copy(changed.get(index, self.operations[index]))
            operation.args = tuple([self.within(arg) for arg in operation.args])
            operation.kwargs = self.within(dict(operation.kwargs))
            self.trace.operations.append(operation)
            self.places[index] = len(self.trace.operations) - 1
            if index in self.names:
                self.trace.names[self.places[index]] = self.names[index]
        return [Ref(self.places[index]) for index in indices]

    def within(self, value: Any) -> Any:
        """An argument with its references renumbered."""

        def change(leaf: Any) -> Any:
            if isinstance(leaf, Ref):
                return Ref(self.places[leaf.index])
            return Ref(self.places[leaf]) if isinstance(leaf, (Every, At)) else leaf

        return replaced(value, change)


def taken_apart(loop: Loop, trace: Trace) -> Pieces:
    """The pieces of a loop.

    Parameters
    ----------
    loop : Loop
    trace : Trace
        In which it was found, for the variables that hold its values.
    """
    names = trace.names
    entry = next(k for k, one in enumerate(loop.operations) if one.kind == "input")
    shape = loop.operations[entry].shape
    reads = _reading(loop)
    states = _states(loop, trace, reads)

    before = _Part(loop, {})
    before.input([entry], 0, shape)
    sources = list(dict.fromkeys([entry, *(taken.source for taken in states.taken)]))
    before.trace.output = before.add([*sources, *(start.index for start in states.starts)])

    first = _Part(loop, {})
    free = [
        (place, start) for place, start in zip(states.begun, states.starts, strict=True) if start.index not in reads
    ]
    first.trace.output = first.add([start.index for _, start in free])

    step = _Part(loop, names)
    for number, taken in enumerate(states.taken):
        found = [k for k, one in loop.taken.items() if one == taken]
        step.input(found, number, loop.operations[found[0]].shape)
    for number, (old, index) in enumerate(zip(states.reads, states.values, strict=True)):
        if old is not None:
            step.input([old], len(states.taken) + number, loop.operations[index].shape)
    step.trace.output = step.add(states.values)

    after = _Part(loop, {})
    after.input([entry], 0, shape)
    keys = list(dict.fromkeys(leaf for leaf in leaves(_afterwards(loop)) if isinstance(leaf, (Every, At))))
    for number, key in enumerate(keys):
        after.input([key], 1 + number, ())
    after.add([leaf.index for leaf in leaves(loop.output) if isinstance(leaf, Ref)], loop.after)
    after.trace.output = after.within(loop.output)

    numbered = [replace(key, index=states.values.index(key.index)) for key in keys]
    return Pieces(
        before.trace,
        first.trace,
        [place for place, _ in free],
        [sources.index(taken.source) for taken in states.taken],
        step.trace,
        after.trace,
        numbered,
        states,
        loop.reverse,
    )


def _reading(loop: Loop) -> set[int]:
    """What is computed of the sequence."""
    found: set[int] = set()
    for index, operation in enumerate(loop.operations):
        if operation.kind == "input" or any(k in found for k in refs(operation)):
            found.add(index)
    return found


def _afterwards(loop: Loop) -> Any:
    return [loop.output, *[[one.args, dict(one.kwargs)] for one in loop.after.values()]]


def _states(loop: Loop, trace: Trace, reading: set[int]) -> States:
    """Which values the states are, and what they are called."""
    starts = {one.index: one.start for one in loop.carried}
    old = {one: other for other, one in loop.handed.items()}
    inside = {*loop.step, *loop.taken, *loop.handed}
    read = list(dict.fromkeys(k for index in loop.step for k in refs(loop.operations[index])))
    handed = sorted(starts, key=lambda k: read.index(old[k]))  # in the order in which a step reads them: h, then c
    stay = [k for k in read if k in reading and k not in inside]
    ends = [leaf.index for leaf in leaves(_afterwards(loop)) if isinstance(leaf, At)]
    values = list(dict.fromkeys([*handed, *loop.collected, *ends, *stay]))
    names = dict(zip(values, _unique([_wanted(loop, trace, k, old.get(k)) for k in values]), strict=True))
    output = [*loop.collected, *(k for k in ends if k in starts)][:1]
    values = list(dict.fromkeys([*output, *values]))
    begun = [place for place, k in enumerate(values) if k in starts or k in stay]
    return States(
        [names[k] for k in values],
        values,
        [old.get(k, k if k in stay else None) for k in values],
        [starts.get(values[place], Ref(values[place])) for place in begun],
        begun,
        list(dict.fromkeys(loop.taken.values())),
    )


def _wanted(loop: Loop, trace: Trace, index: int, old: int | None) -> str:
    """What a state is called: after the variable in which the next step finds it."""
    if old is None:
        return trace.names[index].name if index in trace.names else "y"
    reader = next(k for k in loop.step if old in refs(loop.operations[k]))
    look = loop.operations[reader].look
    still = [variable for variable, last in trace.bound.get(old, {}).items() if last >= look]
    if still:
        return state_name(min(still, key=lambda variable: variable.depth).name)
    made = trace.bound.get(old, {})  # the states as a tuple or a list: what the innermost function calls it
    return state_name(max(made, key=lambda variable: variable.depth).name) if made else "h"


def _unique(names: Sequence[str]) -> list[str]:
    found: list[str] = []
    for name in names:
        number, unique = 1, name
        while unique in found or unique == "x":
            number += 1
            unique = f"{name}{number}"
        found.append(unique)
    return found


def same_pieces(first: Pieces, second: Pieces, lengths: tuple[int, int], who: str) -> Pieces:
    """The pieces of a loop over any number of steps, told by those over two.

    Raises
    ------
    UnsupportedError
        If something but sizes depends on the number of steps.
    """
    for name in ("before", "first", "step", "after"):
        unified(getattr(first, name), getattr(second, name), lengths, who, steps=True)
    return first

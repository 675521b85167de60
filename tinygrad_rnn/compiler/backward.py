"""The adjoint loop: from cotangents of what a run gave to cotangents of what it was given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .feeding import AllSteps, computed_once, contiguous_flat, input_places
from .forward import ForwardLoop
from .given import Given
from .loops import Loop
from .passes import BACKWARD, optimise
from .places import Place, Row
from .program import Array, Key, Name, Program, label
from .schedule import schedule
from .stages import Output
from .tape import place_on_tape

__all__ = ["DETAILS", "AdjointLoop", "Cotangents", "Seeds"]

DETAILS: dict[str, tuple[str, ...]] = {
    "": (),
    "states": ("state", "unmasked"),
    "all": ("state", "unmasked", "value", "before"),
}
"""How much of a run's inside is wanted: the roles of the values whose cotangents the loop keeps."""


class Seeds(NamedTuple):
    """Cotangents from outside: at every timestep (T, *shape), by key; of the final states, by name; and where
    there is any: whose, from which step on, at how many.
    """

    everywhere: Mapping[Key, Array]
    last: Mapping[Name, Array]
    read: tuple[tuple[Key, int, int], ...] = ()


class Cotangents(NamedTuple):
    """What the adjoint loop brings back.

    Attributes
    ----------
    x : ndarray (T, batch, input_size) or None
    states : mapping of state name to ndarray
        Of the initial states.
    operands : list of ndarray or None
        Of the captured Tensors, in order.
    inner : mapping of Key to ndarray (T, *shape)
        The whole cotangents of states and named values, as far as they were asked for.
    share : callable
        From step k to what it alone adds to the cotangents of the captured Tensors; only if all was asked for.
    """

    x: Any
    states: Mapping[Name, Any]
    operands: Sequence[Any]
    inner: Mapping[Key, Any]
    share: Callable[[int], Sequence[Any]]

    def only(self, reached: set[Key]) -> Cotangents:
        """Without those of operands that no path leads to."""
        if len(reached) > len(self.states) + len(self.operands):
            return self
        return self._replace(
            x=self.x if ("x", "") in reached else None,
            states={name: value if ("state", name) in reached else None for name, value in self.states.items()},
            operands=[o if ("operand", k) in reached else None for k, o in enumerate(self.operands)],
        )


class AdjointLoop:
    """An adjoint scheduled, fused and ready to run over any number of timesteps.

    Parameters
    ----------
    adjoint : Program
    forward : ForwardLoop
        Whose tape is read.
    detail : str
        A key of :data:`DETAILS`.
    backend, who : str
        For the :class:`Loop`.
    """

    def __init__(self, adjoint: Program, forward: ForwardLoop, detail: str, backend: str, who: str) -> None:
        roles = ("carry", "operand", "x", *DETAILS[detail])
        outputs = {key: value for key, value in adjoint.outputs.items() if key[0] in roles}
        self.forward = forward
        self.each = detail == "all"
        self.roles = DETAILS[detail]
        self.schedule = schedule(optimise(adjoint.with_body(adjoint.body, outputs), BACKWARD))
        self._keys = {value: key for key, value in [*forward.step.inputs.items(), *forward.taped.items()][::-1]}
        loop = self.schedule.loop
        places, kinds, self._fed = input_places(self.schedule, self._place)
        given = [key for key in forward.step.inputs if key[0] in ("x", "mask")]
        self._fed |= {label(key): key for key in given if label(key) in kinds}
        results = [_output(loop, key, value, self.each) for key, value in loop.outputs.items()]
        self._room = [(k, o.place.buffer, loop.types[o.value]) for k, o in zip(loop.outputs, results, strict=True)]
        kinds |= {buffer: kind.dtype for _, buffer, kind in self._room}
        carried = [o.place for o in results if o.place.row is Row.EVEN]
        self.loop = Loop(loop, places, results, kinds, backwards=True, carried=carried, backend=backend, who=who)
        self._states = [
            (name, label(("carry", name)), (2, *forward.step.types[value].shape))
            for (role, name), value in forward.step.inputs.items()
            if role == "state"
        ]
        self._constants = {label(("constant", v)): contiguous_flat(array) for v, array in loop.constants.items()}
        outside = [part.inputs for part in (self.schedule.ahead, self.schedule.after)]
        self._rows = {value for inputs in outside for (role, _), value in inputs.items() if role == "forward"}
        self._rows |= {value for value in self._keys if ("keep", value) in self.schedule.total.inputs}
        self._seeds = {value: key for key, value in adjoint.inputs.items() if key[0] == "seed"}
        self._once, self._ahead = computed_once(self.schedule), AllSteps(self.schedule.ahead)
        self._parts: dict[Sequence[Key] | None, tuple[AllSteps, Program]] = {}

    def run(self, tape: Array, given: Given, seeds: Seeds, wanted: Sequence[Key] | None) -> Cotangents:
        """Go back over all timesteps; parameters as for :meth:`Recurrence.backward`."""
        after, total = self._restrict(wanted)
        steps = given.steps
        layout = self.forward.layout(steps)
        feeds = given.feeds()
        for key, array in seeds.everywhere.items():
            feeds["seed", label(key)] = array
        for value, key in self._seeds.items():
            feeds["keep", value] = feeds[key]
        for value in self._rows:
            rows = self._all_rows(value, layout.tracks, tape, given)
            feeds["forward", value] = feeds["keep", value] = rows
        feeds |= self._once.evaluate(feeds)
        for (_, name), rows in self._ahead.evaluate(feeds).items():
            feeds["ahead", name] = feeds["keep", name] = rows
        buffers = {**layout.buffers(tape), **self._constants}
        for name, key in self._fed.items():
            buffers[name] = contiguous_flat(feeds[key])
        results = self._results(steps, buffers, seeds.last)
        self.loop.run(buffers, 0, steps, given.cut, given.before)
        feeds |= results
        results |= after.evaluate(feeds)
        feeds |= {key: array for key, array in results.items() if key[0] == "after"}
        totals = total.evaluate(self._add_up(feeds) if self.each else feeds)
        states = {name: buffers[buffer].reshape(shape)[0] for name, buffer, shape in self._states}
        inner = {key: array for key, array in results.items() if key[0] in self.roles}
        shares = [totals.get(("operand", k)) for k in range(len(given.operands))]
        share = self._sharing(feeds, len(given.operands)) if self.each else _unknown
        return Cotangents(results.get(("x", "")), states, shares, inner, share)

    def _place(self, value: int) -> Place:
        """Where the loop finds a value of the step."""
        key = self._keys[value]
        shape = self.forward.step.types[value].shape
        if self.forward.step.inputs.get(key) == value:
            return Place.whole(label(key), Row.NOW, shape)
        return place_on_tape(key, shape)

    def _all_rows(self, value: int, tracks: Any, tape: Array, given: Given) -> Any:
        """A value of the step at all timesteps."""
        key = self._keys[value]
        if key[0] in ("x", "mask"):
            return given.x if key[0] == "x" else given.mask
        rows = tracks[key].on(tape)
        if key[0] != "state":
            return rows
        return rows[:-1] if self.forward.step.inputs[key] == value else rows[1:]

    def _results(self, steps: int, buffers: dict[str, Array], last: Mapping[Name, Array]) -> dict[Key, Array]:
        """Room for what the loop puts out, also entered among the buffers; the carried cotangents to begin with."""
        results: dict[Key, Array] = {}
        for key, buffer, (shape, dtype) in self._room:
            if key[0] == "carry":
                rows = np.zeros((2, *shape), dtype)
                if key[1] in last:
                    rows[steps & 1] = last[key[1]]
            else:
                whole = key[0] == "sum" and not self.each
                results[key] = rows = np.zeros(shape, dtype) if whole else np.empty((steps, *shape), dtype)
            buffers[buffer] = rows.reshape(-1)
        return results

    def _restrict(self, wanted: Sequence[Key] | None) -> tuple[AllSteps, Program]:
        """What follows the loop, without the gradients that nobody wants."""
        wanted = None if wanted is None else tuple(wanted)
        if wanted not in self._parts:
            after, total = (_only(part, wanted) for part in (self.schedule.after, self.schedule.total))
            self._parts[wanted] = AllSteps(after), total
        return self._parts[wanted]

    def _add_up(self, feeds: Mapping[Key, Any]) -> Mapping[Key, Any]:
        """What was kept for every step instead of being added up."""
        return {key: value.sum(axis=0) if key[0] == "sum" else value for key, value in feeds.items()}

    def _sharing(self, feeds: Mapping[Key, Any], count: int) -> Callable[[int], Sequence[Any]]:
        kept = {key: feeds[key] for key in self.schedule.total.inputs if key in feeds}

        def share(k: int) -> Sequence[Any]:
            part = {key: value[k] if key[0] == "sum" else value[k : k + 1] for key, value in kept.items()}
            found = self.schedule.total.evaluate(part)
            return [found.get(("operand", number)) for number in range(count)]

        return share


def _unknown(k: int) -> Sequence[Any]:
    raise LookupError("shares of timesteps are known only if all was asked for")


def _output(loop: Program, key: Key, value: int, each: bool) -> Output:
    role, name = key
    shape = loop.types[value].shape
    if role == "sum" and not each:
        return Output(value, Place.whole(label(key), Row.ONLY, shape), add=True)
    if role == "carry":
        return Output(value, Place.whole(label(("carry", name)), Row.EVEN, shape))
    return Output(value, Place.whole(f"{role}' {name}", Row.NOW, shape))


def _only(program: Program, wanted: Sequence[Key] | None) -> Program:
    if wanted is None:
        return program
    outputs = {k: v for k, v in program.outputs.items() if k in wanted or k[0] not in ("x", "operand")}
    needed = program.needed(outputs.values())
    body = tuple(step for step in program.body if step.target in needed)
    inputs = {key: value for key, value in program.inputs.items() if value in needed}
    return Program(program.types, inputs, program.constants, body, outputs)

"""The adjoint loop: from cotangents of what a run gave to cotangents of what it was given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from .feeding import contiguous_flat, for_all_steps, input_places
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
    there is any.
    """

    everywhere: Mapping[Key, Array]
    last: Mapping[Name, Array]
    read: Mapping[Key, Array] = {}


@dataclass(frozen=True)
class Cotangents:
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
        return replace(
            self,
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
        places, kinds = input_places(loop, self._place)
        self._outputs = [_output(loop, key, value, self.each) for key, value in loop.outputs.items()]
        kinds |= {output.place.buffer: loop.types[output.value].dtype for output in self._outputs}
        self._carried = [o.place for o in self._outputs if o.place.row is Row.EVEN]
        self.loop = Loop(
            loop, places, self._outputs, kinds, backwards=True, carried=self._carried, backend=backend, who=who
        )
        self._fed = {key: places[v].buffer for key, v in loop.inputs.items() if key[0] not in ("carry", "forward")}
        self._constants = {label(("constant", v)): contiguous_flat(array) for v, array in loop.constants.items()}
        outside = [part.inputs for part in (self.schedule.ahead, self.schedule.after)]
        self._rows = {value for inputs in outside for (role, _), value in inputs.items() if role == "forward"}
        self._rows |= {value for value in self._keys if ("keep", value) in self.schedule.total.inputs}
        self._seeds = {value: key for key, value in adjoint.inputs.items() if key[0] == "seed"}
        self._parts: dict[frozenset[Key] | None, tuple[Program, Program]] = {}

    def run(self, tape: Array, given: Given, seeds: Seeds, wanted: Iterable[Key] | None) -> Cotangents:
        """Go back over all timesteps; parameters as for :meth:`Recurrence.backward`."""
        after, total = self._restrict(None if wanted is None else frozenset(wanted))
        layout = self.forward.layout(given.steps)
        feeds = given.feeds()
        feeds |= {("seed", label(key)): array for key, array in seeds.everywhere.items()}
        feeds |= {("keep", name): feeds[key] for name, key in self._seeds.items()}
        for value in self._rows:
            rows = self._all_rows(value, layout.tracks, tape, given)
            feeds["forward", value] = feeds["keep", value] = rows
        feeds |= self.schedule.once.evaluate(feeds)
        for (_, name), rows in for_all_steps(self.schedule.ahead, feeds).items():
            feeds["ahead", name] = feeds["keep", name] = rows
        buffers = layout.buffers(tape) | self._constants
        buffers["x"] = contiguous_flat(given.x)
        if given.mask is not None:
            buffers["mask"] = contiguous_flat(given.mask)
        buffers |= {name: contiguous_flat(feeds[key]) for key, name in self._fed.items()}
        results = self._results(given.steps, buffers, seeds.last)
        self.loop.run(buffers, 0, given.steps, given.cut, given.before)
        feeds |= results
        results |= for_all_steps(after, feeds)
        feeds |= {key: array for key, array in results.items() if key[0] == "after"}
        totals = total.evaluate(self._add_up(feeds) if self.each else feeds)
        states = {
            name: buffers[label(("carry", name))].reshape(2, *self.forward.step.types[value].shape)[0]
            for (role, name), value in self.forward.step.inputs.items()
            if role == "state"
        }
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
        for (key, value), output in zip(self.schedule.loop.outputs.items(), self._outputs, strict=True):
            shape, dtype = self.schedule.loop.types[value]
            if key[0] == "carry":
                rows = np.zeros((2, *shape), dtype)
                if key[1] in last:
                    rows[steps & 1] = last[key[1]]
                buffers[output.place.buffer] = rows.reshape(-1)
                continue
            whole = key[0] == "sum" and not self.each
            results[key] = np.zeros(shape, dtype) if whole else np.empty((steps, *shape), dtype)
            buffers[output.place.buffer] = results[key].reshape(-1)
        return results

    def _restrict(self, wanted: frozenset[Key] | None) -> tuple[Program, Program]:
        """What follows the loop, without the gradients that nobody wants."""
        if wanted not in self._parts:
            self._parts[wanted] = (_only(self.schedule.after, wanted), _only(self.schedule.total, wanted))
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


def _only(program: Program, wanted: frozenset[Key] | None) -> Program:
    if wanted is None:
        return program
    outputs = {k: v for k, v in program.outputs.items() if k in wanted or k[0] not in ("x", "operand")}
    needed = program.needed(outputs.values())
    body = tuple(step for step in program.body if step.target in needed)
    inputs = {key: value for key, value in program.inputs.items() if value in needed}
    return Program(program.types, inputs, program.constants, body, outputs)

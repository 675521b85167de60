"""The adjoint loop: from cotangents of what a run gave to cotangents of what it was given."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from .feeding import AllSteps, computed_once, contiguous_flat, input_places
from .forward import ForwardLoop
from .given import Given, given_to
from .loops import Loop
from .passes import BACKWARD, optimise
from .places import Place, Row
from .program import Array, Key, Name, Program, label
from .schedule import schedule
from .stages import Output
from .straight import Straight, rows_of
from .tape import place_on_tape, tracks_on_tape

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
        self._constants = {label(("constant", v)): contiguous_flat(array) for v, array in loop.constants.items()}
        outside = [part.inputs for part in (self.schedule.ahead, self.schedule.after)]
        self._rows = {value for inputs in outside for (role, _), value in inputs.items() if role == "forward"}
        self._rows |= {value for value in self._keys if ("keep", value) in self.schedule.total.inputs}
        self._seeds = {value: key for key, value in adjoint.inputs.items() if key[0] == "seed"}
        self._captured = sum(role == "operand" for role, _ in forward.step.inputs)
        self._once, self._ahead = computed_once(self.schedule), AllSteps(self.schedule.ahead)
        self._written: dict[Sequence[int] | None, Callable[..., Cotangents]] = {}

    def run(self, tape: Array, given: Given, seeds: Seeds, wanted: Sequence[int] | None) -> Cotangents:
        """Go back over all timesteps; parameters as for :meth:`Recurrence.backward`."""
        wanted = None if wanted is None else tuple(wanted)
        run = self._written.get(wanted)
        if run is None:
            run = self._written[wanted] = self._write(wanted)
        return run(given, self.forward.layout(len(given.operands[0])), tape, seeds)

    def _write(self, wanted: Sequence[int] | None) -> Callable[..., Cotangents]:
        """A run without the gradients that nobody wants, written out."""
        text = Straight("given, layout, tape, seeds")
        text.line("operands, mask, cut, before = given")
        text.line("slices, steps = layout.slices, len(operands[0])")
        known, tracks = given_to(self.forward.step), tracks_on_tape(self.forward.taped)
        outside: dict[Key, Key] = {("seed", label(key)): key for key in self.forward.taped}
        for value, seed in self._seeds.items():
            known[seed] = known["keep", value] = text.let(f"seeds.everywhere[{text.bind(outside[seed])}]")
        for value in self._rows:
            known["forward", value] = known["keep", value] = text.let(self._all_rows(value, tracks))
        known |= text.program(self._once, known)
        for (_, name), rows in self._ahead.write(text, known).items():
            known["ahead", name] = known["keep", name] = rows
        buffers = tracks | {name: text.bind(array) for name, array in self._constants.items()}
        buffers |= {name: f"{text.bind(contiguous_flat)}({known[key]})" for name, key in self._fed.items()}
        carried, results = self._results(text, buffers)
        self.loop.write(text, buffers, "steps", "cut", "before")
        known |= results
        after, total = self.schedule.after, self.schedule.total
        if wanted is not None:
            keys = [("x", ""), *[("state", name) for name in carried], *[("operand", k) for k in range(self._captured)]]
            after, total = (_only(part, {keys[k] for k in wanted}) for part in (after, total))
        results |= AllSteps(after).write(text, known)
        known |= {key: rows for key, rows in results.items() if key[0] == "after"}
        sums = {key: f"add_up({known[key]})" for key in total.inputs if key[0] == "sum" and self.each}
        totals = text.program(total, known | sums)
        kept = {key: known[key] for key in self.schedule.total.inputs if key in known}
        found = {
            "x": results.get(("x", ""), "None"),
            "states": _table(text, {name: f"{rows}[0]" for name, rows in carried.items()}),
            "operands": f"[{', '.join([totals.get(('operand', k), 'None') for k in range(self._captured)])}]",
            "inner": _table(text, {key: rows for key, rows in results.items() if key[0] in self.roles}),
            "share": f"{text.bind(self._sharing)}({_table(text, kept)})" if self.each else text.bind(_unknown),
        }
        text.line(f"return {text.bind(Cotangents)}({', '.join([found[name] for name in Cotangents._fields])})")
        return text.function()

    def _place(self, value: int) -> Place:
        """Where the loop finds a value of the step."""
        key = self._keys[value]
        shape = self.forward.step.types[value].shape
        if self.forward.step.inputs.get(key) == value:
            return Place.whole(label(key), Row.NOW, shape)
        return place_on_tape(key, shape)

    def _all_rows(self, value: int, tracks: Mapping[str, str]) -> str:
        """A value of the step at all timesteps."""
        key, step = self._keys[value], self.forward.step
        if key[0] in ("x", "mask"):
            return given_to(step)[key]
        shape = step.types[value].shape
        if key[0] != "state":
            return f"{tracks[label(key)]}.reshape({rows_of(shape)})"
        whole = f"{tracks[label(key)]}.reshape({rows_of(shape, 'steps + 1')})"
        return f"{whole}[{':-1' if step.inputs[key] == value else '1:'}]"

    def _results(self, text: Straight, buffers: dict[str, str]) -> tuple[dict[Name, str], dict[Key, str]]:
        """Room for the carried cotangents, with those to begin with, and for what else the loop puts out; also entered
        among the buffers.
        """
        carried: dict[Name, str] = {}
        results: dict[Key, str] = {}
        for key, buffer, (shape, dtype) in self._room:
            role, name = key
            if role == "carry":
                carried[name] = rows = text.let(f"zeros({rows_of(shape, '2')}, {text.bind(dtype)})")
                bound = text.bind(name)
                text.line(f"if {bound} in seeds.last: {rows}[steps & 1] = seeds.last[{bound}]")
            elif role == "sum" and not self.each:
                results[key] = rows = text.let(f"zeros({text.bind(shape)}, {text.bind(dtype)})")
            else:
                results[key] = rows = text.let(f"empty({rows_of(shape)}, {text.bind(dtype)})")
            buffers[buffer] = f"{rows}.ravel()"
        return carried, results

    def _sharing(self, kept: Mapping[Key, Array]) -> Callable[[int], Sequence[Any]]:
        """From step k to what it alone adds to the cotangents of the captured Tensors."""
        total = self.schedule.total

        def share(k: int) -> Sequence[Any]:
            part = {key: value[k] if key[0] == "sum" else value[k : k + 1] for key, value in kept.items()}
            found = total.evaluate(part)
            return [found.get(("operand", number)) for number in range(self._captured)]

        return share


def _table(text: Straight, entries: Mapping[Any, str]) -> str:
    """A dict, as an expression."""
    return "{" + ", ".join([f"{text.bind(key)}: {value}" for key, value in entries.items()]) + "}"


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


def _only(program: Program, wanted: Collection[Key]) -> Program:
    """The program without the cotangents that nobody wants."""
    outputs = {k: v for k, v in program.outputs.items() if k in wanted or k[0] not in ("x", "operand")}
    needed = program.needed(outputs.values())
    body = tuple(step for step in program.body if step.target in needed)
    inputs = {key: value for key, value in program.inputs.items() if value in needed}
    return Program(program.types, inputs, program.constants, body, outputs)

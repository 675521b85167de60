"""A traced step over time: the forward loop that fills the tape, and the adjoint loop that reads it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from ..batching import Batched
from ..primitives import astype
from .adjoint import derive_adjoint
from .fuse import Output
from .loops import Loop
from .passes import BACKWARD, FORWARD, optimise
from .passes.recompute import recompute
from .places import Place, Row
from .program import Array, Instruction, Key, Program
from .schedule import Schedule, schedule
from .symbol import UntraceableError
from .tracing import Traced

__all__ = ["Cotangents", "Recurrence", "Seeds", "Track"]


class Track(NamedTuple):
    """Where on the tape a value lies: the element it begins at, its rows (T, or T + 1 for a state), its shape."""

    start: int
    rows: int
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Elements of a row."""
        return math.prod(self.shape)

    def on(self, tape: Array) -> Array:
        """The value at all timesteps, (rows, *shape)."""
        return tape[self.start : self.start + self.rows * self.size].reshape(self.rows, *self.shape)


class Seeds(NamedTuple):
    """Cotangents that come from outside: at every timestep (T, *shape), or at the last one alone."""

    everywhere: Mapping[Key, Array]
    last: Mapping[str, Array]


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
        The whole cotangents of states and named values, if they were asked for.
    share : callable
        From step k to what it alone adds to the cotangents of the captured Tensors; only if `inner` was asked for.
    """

    x: Array | None
    states: Mapping[str, Array]
    operands: Sequence[Array | None]
    inner: Mapping[Key, Array]
    share: Callable[[int], Sequence[Array | None]]


class Recurrence:
    """Everything worked out about one step for inputs of one type.

    Time here is the order of processing: step k comes after step k - 1, whatever direction the run reads in.

    Parameters
    ----------
    traced : Traced
    backend : {"numba", "numpy"}
    who : str
        The cell, for warnings.
    """

    def __init__(self, traced: Traced, backend: str, who: str) -> None:
        self.traced = traced
        self.backend = backend
        self.who = who
        step = _without_before(optimise(traced.program, FORWARD))
        self.dtype = _dtype(step, who)
        self.adjoint = recompute(derive_adjoint(optimise(traced.program, FORWARD)), step)
        self.step, self.adjoint = _pack(step, self.adjoint, self.dtype)
        self._backward: dict[tuple[frozenset[Key], str], _Backward] = {}
        self._forward = _Forward(self)

    # ------------------------------------------------------------------------------------- the tape

    def tracks(self, steps: int) -> dict[Key, Track]:
        """What the tape of a run of that many timesteps holds, and where."""
        found: dict[Key, Track] = {}
        start = 0
        for key, value in self._forward.taped.items():
            track = Track(start, steps + (key[0] == "state"), self.step.types[value].shape)
            found[key] = track
            start += track.rows * track.size + 16 * 9
        return found

    def length(self, steps: int) -> int:
        """The number of elements of such a tape."""
        return sum(track.rows * track.size + 16 * 9 for track in self.tracks(steps).values())

    # --------------------------------------------------------------------------------------- running

    def forward(self, x: Array, states: Sequence[Array], operands: Sequence[Array], mask: Array | None) -> Array:
        """Run over all timesteps.

        Parameters
        ----------
        x : ndarray (T, batch, input_size)
        states, operands : sequences of ndarray
        mask : ndarray of bool (T, batch, 1) or None

        Returns
        -------
        ndarray
            The tape.
        """
        tape = np.empty(self.length(len(x)), self.dtype)
        tracks = self.tracks(len(x))
        for name, state in zip(self.state_names, states, strict=True):
            tracks["state", name].on(tape)[0] = state
        return self._forward.run(x, tape, tracks, operands, mask)

    def backward(
        self,
        tape: Array,
        x: Array,
        operands: Sequence[Array],
        mask: Array | None,
        seeds: Seeds,
        cut: int = 0,
        detail: str = "",
        wanted: Iterable[Key] | None = None,
    ) -> Cotangents:
        """Take cotangents back from what the run gave to what it was given.

        Parameters
        ----------
        tape, x, operands, mask : as for :meth:`forward`
        seeds : Seeds
        cut : int
            Truncated backpropagation: no cotangent passes from step k to k - 1 for k a multiple of this; 0 never.
        detail : {"", "states", "all"}
            Whether the cotangents of the states, or of all named values, are wanted too.
        wanted : iterable of Key, optional
            ``("x", "")`` and the ``("operand", number)`` to compute; all when omitted.
        """
        variant = (frozenset(seeds.everywhere), detail)
        if variant not in self._backward:
            self._backward[variant] = _Backward(self, frozenset(seeds.everywhere), detail)
        return self._backward[variant].run(tape, self.tracks(len(x)), x, operands, mask, seeds, cut, wanted)

    @property
    def state_names(self) -> list[str]:
        """The states, in order."""
        return [name for role, name in self.traced.program.inputs if role == "state"]

    def place(self, value: int) -> tuple[str, Place]:
        """The buffer and place at which the adjoint finds a value of the step."""
        shape = self.step.types[value].shape
        for (role, name), v in self.step.inputs.items():
            if v == value:
                return role, Place.whole(f"{role} {name}", Row.NOW, shape)
        for (role, name), v in self._forward.taped.items():
            if v == value:
                return role, Place.whole(f"{role} {name}", Row.NEXT if role == "state" else Row.NOW, shape)
        raise KeyError(value)


class _Forward:
    """The forward loop of a recurrence."""

    def __init__(self, owner: Recurrence) -> None:
        step = owner.step
        inputs = set(step.inputs.values())
        self.taped: dict[Key, int] = {("state", name): step.outputs["state", name] for name in owner.state_names}
        self.taped |= {key: value for key, value in step.outputs.items() if key[0] != "state"}
        kept = {int(name) for role, name in owner.adjoint.inputs if role == "forward"} - inputs
        self.taped |= {("kept", str(v)): v for v in sorted(kept - set(self.taped.values()))}
        self.schedule = schedule(step.with_body(step.body, self.taped))
        self.places, arrays = _input_places(self.schedule.loop, owner)
        outputs = [
            Output(value, Place.whole(f"{role} {name}", Row.NEXT if role == "state" else Row.NOW, step.types[value].shape))
            for (role, name), value in self.schedule.loop.outputs.items()
        ]
        kinds = {**arrays, **{o.place.buffer: step.types[o.value].dtype for o in outputs}}
        self.loop = Loop(
            self.schedule.loop, self.places, outputs, kinds, backwards=False, backend=owner.backend, who=owner.who
        )

    def run(
        self, x: Array, tape: Array, tracks: Mapping[Key, Track], operands: Sequence[Array], mask: Array | None
    ) -> Array:
        feeds: dict[Key, Any] = {("x", ""): x, **{("operand", str(k)): array for k, array in enumerate(operands)}}
        if mask is not None:
            feeds["mask", ""] = mask
        feeds |= _before(self.schedule, feeds)
        buffers = _flat(self.places, self.schedule.loop, feeds)
        for key, track in tracks.items():
            buffers[f"{key[0]} {key[1]}"] = tape[track.start : track.start + track.rows * track.size]
        kept = {key: value for key, value in self.schedule.loop.outputs.items() if key[0] == "keep"}
        for key, value in kept.items():
            shape, dtype = self.schedule.loop.types[value]
            feeds[key] = np.empty((len(x), *shape), dtype)
            buffers[f"{key[0]} {key[1]}"] = feeds[key].reshape(-1)
        self.loop.run(buffers, 0, len(x))
        for key, result in _batched(self.schedule.after, feeds).items():
            tracks[key].on(tape)[...] = result
        return tape


class _Backward:
    """The adjoint loop of a recurrence, for cotangents from outside that reach the given outputs."""

    def __init__(self, owner: Recurrence, seeded: frozenset[Key], detail: str) -> None:
        self.owner = owner
        self.inner = inner = detail == "all"
        adjoint = _seeded(owner, seeded)
        roles = {"": (), "states": ("state", "unmasked"), "all": ("state", "unmasked", "value", "before")}[detail]
        outputs = {k: v for k, v in adjoint.outputs.items() if k[0] in ("carry", "operand", "x", *roles)}
        adjoint = adjoint.with_body(adjoint.body, outputs)
        self.schedule = schedule(optimise(adjoint, BACKWARD))
        loop = self.schedule.loop
        self.places, kinds = _input_places(loop, owner)
        self.outputs = [_adjoint_output(loop, key, value, inner) for key, value in loop.outputs.items()]
        kinds |= {output.place.buffer: loop.types[output.value].dtype for output in self.outputs}
        self.carried = [o.place for o in self.outputs if o.place.row is Row.EVEN]
        self.loop = Loop(
            loop, self.places, self.outputs, kinds, backwards=True, carried=self.carried, backend=owner.backend, who=owner.who
        )

    def run(
        self,
        tape: Array,
        tracks: Mapping[Key, Track],
        x: Array,
        operands: Sequence[Array],
        mask: Array | None,
        seeds: Seeds,
        cut: int,
        wanted: Iterable[Key] | None,
    ) -> Cotangents:
        steps = len(x)
        feeds: dict[Key, Any] = {("operand", str(k)): array for k, array in enumerate(operands)}
        feeds |= {("seed", _joined(key)): array for key, array in seeds.everywhere.items()}
        feeds |= self._forward_values(tape, tracks, x, mask)
        feeds |= _before(self.schedule, feeds)
        feeds |= {("keep", name): array for (role, name), array in feeds.items() if role == "ahead"}
        buffers = _flat(self.places, self.schedule.loop, feeds) | self._tape_buffers(tape, tracks, x, mask)
        results = self._results(steps, buffers)
        for place in self.carried:
            buffers[place.buffer][:] = 0
            name = place.buffer.removeprefix("carry ")
            if name in seeds.last:
                buffers[place.buffer].reshape(2, -1)[steps & 1] = seeds.last[name].reshape(-1)
        self.loop.run(buffers, 0, steps, cut)
        feeds |= {key: array for key, array in results.items() if key[0] in ("keep", "sum")}
        results |= _batched(self.schedule.after, feeds, wanted)
        feeds |= {key: array for key, array in results.items() if key[0] == "after"}
        totals = _wanted(self.schedule.total, wanted).evaluate(self._summed(feeds))
        types, names = self.owner.step.types, self.owner.step.inputs
        states = {
            name: buffers[f"carry {name}"].reshape(2, *types[value].shape)[0].copy()
            for (role, name), value in names.items()
            if role == "state"
        }
        inner = {key: array for key, array in results.items() if key[0] in ("state", "unmasked", "value", "before")}
        shares = [totals.get(("operand", str(k))) for k in range(len(operands))]


        def share(k: int) -> Sequence[Array | None]:
            part = {key: value if key[0] != "keep" else value[k : k + 1] for key, value in feeds.items()}
            part |= {key: value[k] if key[0] == "sum" else value[k : k + 1] for key, value in feeds.items() if key[0] in ("sum", "after")}
            found = self.schedule.total.evaluate(part)
            return [found.get(("operand", str(number))) for number in range(len(operands))]

        inner = self._as_named(inner, states, mask)
        return Cotangents(results.get(("x", "")), states, shares, inner, share)

    def _summed(self, feeds: Mapping[Key, Any]) -> Mapping[Key, Any]:
        """What was kept for every step, where the loop did not add it up."""
        if not self.inner:
            return feeds
        return {key: value.sum(axis=0) if key[0] == "sum" else value for key, value in feeds.items()}

    def _forward_values(
        self, tape: Array, tracks: Mapping[Key, Track], x: Array, mask: Array | None
    ) -> dict[Key, Any]:
        """The values of the step that the adjoint reads, for all timesteps."""
        found: dict[Key, Any] = {}
        read = {key for part in (self.schedule.ahead, self.schedule.loop, self.schedule.after) for key in part.inputs}
        read |= {("forward", name) for role, name in self.schedule.total.inputs if role == "keep"}
        for role, name in read:
            if role == "forward":
                found[role, name] = self._forward_value(int(name), tape, tracks, x, mask)
        return {**found, **{("keep", name): array for (_, name), array in found.items() if array is not None}}

    def _forward_value(
        self, value: int, tape: Array, tracks: Mapping[Key, Track], x: Array, mask: Array | None
    ) -> Array | None:
        try:
            role, place = self.owner.place(value)
        except KeyError:
            return None  # a value of the adjoint's own, kept by its loop
        if role in ("x", "mask"):
            return x if role == "x" else mask
        key = (role, place.buffer[len(role) + 1 :])
        rows = tracks[key].on(tape)
        if role != "state":
            return rows
        return rows[1:] if place.row is Row.NEXT else rows[:-1]

    def _tape_buffers(
        self, tape: Array, tracks: Mapping[Key, Track], x: Array, mask: Array | None
    ) -> dict[str, Array]:
        """The values of the step that the adjoint loop reads, as flat buffers."""
        found: dict[str, Array] = {}
        for (role, name), value in self.schedule.loop.inputs.items():
            if role != "forward":
                continue
            role, place = self.owner.place(value)
            if role in ("x", "mask"):
                found[place.buffer] = _contiguous(x if role == "x" else mask)
            else:
                track = tracks[role, place.buffer[len(role) + 1 :]]
                found[place.buffer] = tape[track.start : track.start + track.rows * track.size]
        return found

    def _results(self, steps: int, buffers: dict[str, Array]) -> dict[Key, Array]:
        """Room for what the loop puts out, also entered among the buffers."""
        results: dict[Key, Array] = {}
        for (key, value), output in zip(self.schedule.loop.outputs.items(), self.outputs, strict=True):
            shape, dtype = self.schedule.loop.types[value]
            if key[0] == "carry":
                buffers[output.place.buffer] = np.zeros(2 * math.prod(shape), dtype)
            elif key[0] == "sum" and not self.inner:
                results[key] = np.zeros(shape, dtype)
                buffers[output.place.buffer] = results[key].reshape(-1)
            else:
                results[key] = np.empty((steps, *shape), dtype)
                buffers[output.place.buffer] = results[key].reshape(-1)
        return results

    def _as_named(
        self, inner: dict[Key, Array], first: Mapping[str, Array], mask: Array | None
    ) -> dict[Key, Array]:
        """The cotangents of the values that have the names of states in an eager run.

        Where no sequence has ended, that is what the step computed; and a state that is an earlier state handed on
        is that very state.
        """
        found = {key: array for key, array in inner.items() if key[0] != "unmasked"}
        if not any(key[0] == "state" for key in found):
            return found
        steps = len(next(iter(found.values())))
        full = np.ones(steps, bool) if mask is None else mask.all(axis=(1, 2))
        for (role, name), array in inner.items():
            if role == "unmasked":
                found["state", name][full] = array[full]
        carried = self.owner.traced.carried
        for k in range(steps) if carried else ():
            for name, source in carried.items():
                if full[k] and ("state", name) in found:
                    found["state", name][k] = found["state", source][k - 1] if k else first[source]
        return found


# ------------------------------------------------------------------------------------------ preparing


def _without_before(step: Program) -> Program:
    """The step without the outputs of which only the cotangents are wanted."""
    return step.with_body(step.body, {k: v for k, v in step.outputs.items() if k[0] not in ("before", "unmasked")})


def _dtype(step: Program, who: str) -> np.dtype[Any]:
    """The one floating dtype of a step."""
    kinds = {kind.dtype for value, kind in step.types.items() if kind.dtype.kind == "f" and value in _used(step)}
    if len(kinds) != 1:
        raise UntraceableError(f"{who} mixes {' and '.join(sorted(map(str, kinds)))}")
    return kinds.pop()


def _used(step: Program) -> set[int]:
    return {v for one in step.body for v in (*one.values, one.target)} | set(step.outputs.values())


_PACKED = 1_000_000
"""Added to the number of a value to give that of its floating form."""


def _pack(step: Program, adjoint: Program, dtype: np.dtype[Any]) -> tuple[Program, Program]:
    """Let values that are no floating numbers lie on the tape as such: booleans become 0 and 1."""
    given = set(step.inputs.values()) | set(step.constants)
    read = {int(name) for role, name in adjoint.inputs if role == "forward"}
    found = [v for v in sorted({*read, *step.outputs.values()} - given) if step.types[v].dtype != dtype]
    types = {v + _PACKED: step.types[v]._replace(dtype=dtype) for v in found}
    to_numbers = [Instruction(v + _PACKED, astype, (v,), {"dtype": dtype}) for v in found]
    back = [Instruction(v, astype, (v + _PACKED,), {"dtype": step.types[v].dtype}) for v in found if v in read]
    inputs = {key: v for key, v in adjoint.inputs.items() if key[0] != "forward" or v not in found}
    inputs |= {("forward", str(v + _PACKED)): v + _PACKED for v in found if v in read}
    outputs = {key: v + _PACKED if v in found else v for key, v in step.outputs.items()}
    return (
        replace(step, types={**step.types, **types}, body=(*step.body, *to_numbers), outputs=outputs),
        replace(adjoint, types={**adjoint.types, **types}, inputs=inputs, body=(*back, *adjoint.body)),
    )


def _seeded(owner: Recurrence, seeded: frozenset[Key]) -> Program:
    """The adjoint with cotangents from outside."""
    if not seeded:
        return owner.adjoint
    plain = optimise(owner.traced.program, FORWARD)
    adjoint = recompute(derive_adjoint(plain, seeded), _without_before(plain))
    return _pack(_without_before(plain), adjoint, owner.dtype)[1]


def _joined(key: Key) -> str:
    return " ".join(part for part in key if part)


def _adjoint_output(loop: Program, key: Key, value: int, inner: bool) -> Output:
    role, name = key
    shape = loop.types[value].shape
    if role == "sum" and not inner:
        return Output(value, Place.whole(f"sum {name}", Row.ONLY, shape), add=True)
    if role == "carry":
        return Output(value, Place.whole(f"carry {name}", Row.EVEN, shape))
    return Output(value, Place.whole(f"{role}' {name}", Row.NOW, shape))


def _input_places(loop: Program, owner: Recurrence) -> tuple[dict[int, Place], dict[str, np.dtype[Any]]]:
    """Where the loop finds its inputs and constants, and the dtypes of those buffers."""
    places: dict[int, Place] = {}
    for (role, name), value in loop.inputs.items():
        shape = loop.types[value].shape
        if role == "forward":
            places[value] = owner.place(value)[1]
        elif role in ("once", "operand"):
            places[value] = Place.whole(f"{role} {name}", Row.ONLY, shape)
        else:
            places[value] = Place.whole(f"{role} {name}", Row.ODD if role == "carry" else Row.NOW, shape)
    places |= {v: Place.whole(f"constant {v}", Row.ONLY, array.shape) for v, array in loop.constants.items()}
    return places, {place.buffer: loop.types[value].dtype for value, place in places.items()}


# -------------------------------------------------------------------------------------------- feeding


def _before(plan: Schedule, feeds: Mapping[Key, Any]) -> dict[Key, Any]:
    """The results of what runs once, and of what runs ahead of the loop."""
    once = plan.once.evaluate(feeds)
    return {**once, **_batched(plan.ahead, {**feeds, **once})}


def _batched(program: Program, feeds: Mapping[Key, Any], wanted: Iterable[Key] | None = None) -> dict[Key, Array]:
    """A program run for all timesteps at once."""
    part = _wanted(program, wanted)
    members = {key: feeds[key] if key[0] in ("once", "operand") else Batched(feeds[key]) for key in part.inputs}
    return {key: getattr(value, "array", value) for key, value in part.evaluate(members).items()}


def _wanted(program: Program, wanted: Iterable[Key] | None) -> Program:
    """The program without the gradients that nobody wants."""
    if wanted is None:
        return program
    keep = set(wanted)
    outputs = {k: v for k, v in program.outputs.items() if k in keep or k[0] not in ("x", "operand")}
    needed = program.needed(outputs.values())
    body = tuple(step for step in program.body if step.target in needed)
    return Program(
        program.types, {k: v for k, v in program.inputs.items() if v in needed}, program.constants, body, outputs
    )


def _flat(places: Mapping[int, Place], loop: Program, feeds: Mapping[Key, Any]) -> dict[str, Array]:
    """The inputs of a loop as flat buffers."""
    buffers = {f"constant {value}": _contiguous(array) for value, array in loop.constants.items()}
    for key, value in loop.inputs.items():
        if key in feeds and key[0] not in ("state", "forward"):
            buffers[places[value].buffer] = _contiguous(feeds[key])
    return buffers


def _contiguous(array: Any) -> Array:
    flat: Array = np.require(array, requirements=["C", "W", "A"]).reshape(-1)
    return flat

"""A traced step over time: everything that is worked out once about a cell for inputs of one type."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .adjoint import derive_adjoint
from .backward import AdjointLoop, Cotangents, Seeds
from .errors import UntraceableError
from .forward import ForwardLoop
from .given import Given
from .loops import warn_of
from .packing import pack
from .passes import FORWARD, INTERPRETED, optimise
from .passes.recomputation import recompute, worth_keeping
from .program import Array, Key, Name, Program
from .reach import Reach
from .tape import Track
from .tracing import Traced

__all__ = ["Recurrence"]


class Recurrence:
    """The forward loop of a step, and its adjoint loops for whatever a loss reads.

    Time here is the order of processing: step k comes after step k - 1, whatever direction a run reads in.

    Parameters
    ----------
    traced : Traced
    backend : {"numba", "numpy"}
    who : str
        The cell, for warnings.

    Attributes
    ----------
    step : Program
        The optimised step.
    """

    def __init__(self, traced: Traced, backend: str, who: str) -> None:
        self.traced = traced
        self.who = who
        self.reach = Reach(traced.program)
        empty = 0 in traced.program.types[traced.program.inputs["x", ""]].shape
        self._work_out("numpy" if empty else backend)
        if self.backend == "numba":  # before any of it takes its time to compile
            output: Key = ("output", "") if ("output", "") in self.step.outputs else ("state", self.state_names[0])
            usual = (frozenset([output]), "")
            back = self._adjoints[usual] = self._adjoint(*usual)
            problem = self.forward_loop.loop.problem or back.loop.problem
            if problem:
                warn_of(who, problem)
                self._work_out("numpy")

    def _work_out(self, backend: str) -> None:
        self.backend = backend
        self._full = optimise(self.traced.program, FORWARD if backend == "numba" else INTERPRETED)
        plain = _without_unseen(self._full)
        self.dtype = _dtype(plain)
        every = derive_adjoint(self._full, plain.outputs)
        self._kept = worth_keeping(every, plain)
        self.step, adjoint = pack(plain, recompute(every, plain, self._kept), self.dtype)
        self._adjoints: dict[tuple[frozenset[Key], str], AdjointLoop] = {}
        self.forward_loop = ForwardLoop(self.step, adjoint, backend, self.who)
        self.state_names = self.forward_loop.state_names

    def tracks(self, steps: int) -> Mapping[Key, Track]:
        """What the tape of a run of that many timesteps holds, and where."""
        return self.forward_loop.layout(steps).tracks

    def forward(self, given: Given, tape: Array | None = None) -> Array:
        """The tape of a run: the one that is there to be written, or a new one."""
        return self.forward_loop.run(given, tape)

    def backward(
        self, tape: Array, given: Given, seeds: Seeds, detail: str = "", wanted: Sequence[int] | None = None
    ) -> Cotangents:
        """Take cotangents back from what the run gave to what it was given.

        Parameters
        ----------
        tape : ndarray
            Of the run.
        given : Given
        seeds : Seeds
        detail : {"", "states", "all"}
            Whether the cotangents of the states, or of all named values, are wanted too.
        wanted : sequence of int, optional
            The numbers of the run's operands whose cotangents to compute: inputs, states, captured Tensors; all when
            omitted.
        """
        found = self.adjoint_loop(seeds.everywhere, detail).run(tape, given, seeds, wanted)
        if not detail or (given.mask is None and not self.traced.carried):
            return found
        return found._replace(inner=self.as_named(found.inner, found.states, given))

    def adjoint_loop(self, seeded: Iterable[Key], detail: str) -> AdjointLoop:
        """The loop for cotangents that come to the given outputs at every timestep."""
        variant = (frozenset(seeded), detail)
        if variant not in self._adjoints:
            made = self._adjoints[variant] = self._adjoint(*variant)
            if made.loop.problem:
                warn_of(self.who, made.loop.problem)
        return self._adjoints[variant]

    def _adjoint(self, seeded: frozenset[Key], detail: str) -> AdjointLoop:
        plain = _without_unseen(self._full)
        adjoint = recompute(derive_adjoint(self._full, seeded), plain, self._kept)
        _, packed = pack(plain, adjoint, self.dtype)
        return AdjointLoop(packed, self.forward_loop, detail, self.backend, self.who)

    def as_named(self, inner: Mapping[Key, Array], first: Mapping[Name, Array], given: Given) -> dict[Key, Array]:
        """The cotangents of the values that have the names of states in an eager run.

        Where a sequence has not ended, that is what the step computed; and a state that is an earlier state handed on
        is that very state, unless truncation has made it one of its own.
        """
        found = {key: array for key, array in inner.items() if key[0] != "unmasked"}
        for (role, name), array in inner.items():
            if role == "unmasked":
                found["state", name] = np.where(_running(given.mask, array), array, found["state", name])
        carried = [pair for pair in self.traced.carried.items() if ("state", pair[0]) in found]
        for k in range(len(found["state", carried[0][0]])) if carried else ():
            for name, source in carried if not (k and given.cut and k % given.cut == 0) else ():
                earlier, now = found["state", source][k - 1] if k else first[source], found["state", name]
                now[k] = np.where(_running(given.mask, now)[k], earlier, now[k])
        return found


def _running(mask: Array | None, value: Array) -> Any:
    """Where sequences have not ended, (T, batch, 1, ...)."""
    ones = (1,) * (value.ndim - 2)
    return np.ones((len(value), 1, *ones), bool) if mask is None else mask.reshape(*mask.shape[:2], *ones)


def _without_unseen(step: Program) -> Program:
    """The step without the outputs of which only the cotangents are wanted."""
    return step.with_body(step.body, {k: v for k, v in step.outputs.items() if k[0] not in ("before", "unmasked")})


def _dtype(step: Program) -> Any:
    """The one floating dtype of a step."""
    used = {v for one in step.body for v in (*one.values, one.target)} | set(step.outputs.values())
    kinds = {kind.dtype for value, kind in step.types.items() if kind.dtype.kind == "f" and value in used}
    if len(kinds) != 1:
        raise UntraceableError(f"its step mixes {' and '.join(sorted(map(str, kinds)))}")
    return kinds.pop()

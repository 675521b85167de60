"""What can be turned on a run: the knobs that its page offers, and what the run comes to at each of their settings."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tinygrad_rnn.plurals import counted

from ..analysis.diagnose import Diagnosis, is_gate, kept_of
from ..analysis.initialisations import initialisations
from ..analysis.lengths import Lengths
from ..analysis.trials import Change, Trials
from ..picture.theme import GATE_WORDS
from ..tracing.names import gates_of, own_name
from ..tracing.values import parts_of

__all__ = ["Knob", "Knobs", "Turned"]

Floats = npt.NDArray[np.float64]

_BIASES = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0)
_SCALES = (0.5, 0.7, 0.85, 1.0, 1.15, 1.3, 1.6, 2.0)
_RECURRENT = ("weight_hh", "R_")
"""What the cells of the registry call weights from state to state."""
_SHARES = (0.25, 0.5, 1.0, 2.0)
_NUMBERS = 60_000
"""How many numbers in a step take as long as the step itself."""


class Knob(NamedTuple):
    """Something to turn.

    Attributes
    ----------
    kind : {"bias", "scale", "weights", "cut", "length"}
        What a setting does, see :class:`~inspector.analysis.trials.Change`; or how many steps are run.
    names : tuple of str
        Of the gates, parameters or states that it is about.
    words : str
        What the page calls it.
    settings : tuple of float
    now : float
        The setting at which the run is as it is.
    labels : tuple of str
        What settings are called, if they are no amounts.
    note : str
        What else one has to know.
    """

    kind: str
    names: tuple[str, ...]
    words: str
    settings: tuple[float, ...]
    now: float
    labels: tuple[str, ...] = ()
    note: str = ""

    @property
    def name(self) -> str:
        """By which, with its kind, it is known."""
        return "" if self.kind == "weights" else " ".join(self.names)


class Turned(NamedTuple):
    """What a run comes to at a setting.

    Attributes
    ----------
    kept : float
        What is left of the gradient of the whole state at the other end of time.
    norms : ndarray
        Of the gradient by all states together at every step; of a run of another length by steps back from its last.
    """

    kept: float
    norms: Floats


class Knobs:
    """The knobs of a run, and the run at their settings.

    Parameters
    ----------
    found : Diagnosis
    """

    def __init__(self, found: Diagnosis) -> None:
        self.found, self.trace = found, found.trace
        self._fillings, self._filling = initialisations(self.trace.run.cell, self.trace.steps)
        self._trials = Trials(self.trace, self._fillings)
        self.whole = self._trials.whole

    @cached_property
    def every(self) -> tuple[Knob, ...]:
        """All there are but :attr:`length`, those that say most first."""
        if not self._turns:
            return ()
        return (*self._biases(), *self._scales(), *self._initialisation(), *self._cuts())

    @cached_property
    def length(self) -> Knob | None:
        """That of how many steps are run; to know whether there is one the run is run once more."""
        steps = self.trace.steps
        settings = tuple(float(int(share * steps)) for share in _SHARES)
        if not self._turns or self._lengths is None or settings[0] < self._lengths.read:
            return None
        note = f"on the last inputs; beyond {counted(steps, 'step')} they begin again"
        return Knob("length", (), "length", settings, float(steps), note=note)

    def cost(self, knob: Knob) -> float:
        """How many steps of a run take as long as all settings of a knob."""
        steps, size = float(self.trace.steps), self._trials.numbers / self.trace.steps / _NUMBERS
        lanes = len(knob.settings) - 1
        if knob.kind == "cut" or not self._trials.together:
            return 2 * lanes * steps * (1 + size)
        return steps * (1 + lanes * size)

    @property
    def cost_of_length(self) -> float:
        """The same of :attr:`length`, before it is known whether there is one."""
        return (1 + sum(_SHARES)) * (self.trace.steps + self._trials.numbers / _NUMBERS)

    def measure(self, knobs: Sequence[Knob]) -> None:
        """Look at all settings of several knobs at once, which takes less time than one after the other."""
        changes = [_change(knob, setting) for knob in knobs for setting in knob.settings if setting != knob.now]
        self._trials.measure([change for change in changes if change is not None])

    def at(self, knob: Knob, setting: float) -> Turned:
        """The run at a setting of a knob.

        Raises
        ------
        ValueError
            If there is no such setting.
        """
        if knob.kind == "length":
            return self._at_length(setting)
        if setting == knob.now:
            return Turned(kept_of(self.whole, self.trace), self.whole)
        if not math.isfinite(setting) or (knob.labels and setting not in knob.settings):
            raise ValueError(f"{knob.words} cannot be {setting}")
        change = _change(knob, setting)
        assert change is not None
        self._trials.measure([change])
        norms = self._trials.norms(change)
        return Turned(kept_of(norms, self.trace), norms)

    def _at_length(self, steps: float) -> Turned:
        if not math.isfinite(steps) or steps != int(steps) or self._lengths is None:
            raise ValueError(f"a run cannot have {steps:g} steps")
        longest = int(_SHARES[-1] * self.trace.steps)
        if steps > longest:
            raise ValueError(f"of {counted(self.trace.steps, 'step')}, at most {longest:,} are run, not {steps:,.0f}")
        norms = self._lengths.norms(int(steps))
        return Turned(kept_of(norms, self.trace), norms if self._lengths.reverse else norms[::-1])

    # ------------------------------------------------------------------------------------ which there are

    def _biases(self) -> Iterator[Knob]:
        """The gate that takes most of the gradient, and forget gates in any case."""
        run = self.trace.run
        seen: list[tuple[str, ...]] = []
        for factor in self._factors:
            if not seen and factor.gate and is_gate(run, factor.gate):
                seen.append((factor.gate,))
        every = (name for name in gates_of(run) if GATE_WORDS.get(own_name(name)) == "forget")
        forget = tuple(name for name in every if is_gate(run, name))
        seen += [forget] if forget and forget not in seen else []
        for names in seen:
            words = names[0] if len(names) == 1 else f"{own_name(names[0])} of every layer"
            yield Knob("bias", names, f"more bias in {words}", _BIASES, 0.0)

    def _scales(self) -> Iterator[Knob]:
        """The weights on the way; if there are none that the gradient is multiplied by, all recurrent ones together."""
        on_way = dict.fromkeys(factor.parameter for factor in self._factors if factor.parameter)
        found: list[tuple[str, ...]] = [(name,) for name in on_way]
        recurrent = tuple(name for name in self.trace.parameters if name.startswith(_RECURRENT))
        for names in found or ([recurrent] if recurrent else []):
            words = names[0] if len(names) == 1 else "recurrent weights"
            yield Knob("scale", names, f"{words} times", _SCALES, 1.0)

    @property
    def _turns(self) -> bool:
        """Whether there is a way of the gradient that anything could change."""
        return self.trace.steps > 1 and bool(np.isfinite(self.whole).all())

    @property
    def _factors(self) -> list[Any]:
        """What the gradient is multiplied by on its way, that which takes most first; unknown if none gets through."""
        fall = self.found.fall
        return [] if fall is None else [fall.factors[part] for part in fall.names if part in fall.factors]

    def _initialisation(self) -> Iterator[Knob]:
        labels = tuple(self._fillings)
        if labels:
            settings = tuple(map(float, range(len(labels))))
            note = "weights anew from the seed of the cell"
            yield Knob(
                "weights", labels, "initialisation", settings, settings[labels.index(self._filling)], labels, note
            )

    def _cuts(self) -> Iterator[Knob]:
        """The state that is also the output, where others go on without it."""
        fields = [(prefix, part.initial_state._fields) for prefix, part in parts_of(self.trace.run)]
        names = tuple(prefix + own[0] for prefix, own in fields if len(own) > 1)
        if names and len(names) == len(fields):
            own = dict.fromkeys(own[0] for _, own in fields)
            words = f"cut at {', '.join(own)}"
            yield Knob("cut", names, words, (0.0, 1.0), 0.0, ("off", "on"), "no gradient along it into the step before")

    @cached_property
    def _lengths(self) -> Lengths | None:
        try:
            return Lengths(self.trace)
        except (TypeError, ValueError, KeyError):  # whatever does not go for other lengths
            return None


def _change(knob: Knob, setting: float) -> Change | None:
    if knob.kind == "length":
        return None
    if knob.kind == "weights":
        return Change("weights", (knob.labels[int(setting)],))
    return Change(knob.kind, knob.names, 1.0 if knob.kind == "cut" else setting)

"""diagnose: what is wrong with a gradient along time, where it happens, and what would help, in words and numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes

from tinygrad_rnn import Tensor
from tinygrad_rnn.plurals import counted
from tinygrad_rnn.recurrent.unroll import Run

from ..picture.paper import Width
from ..plots.curves import plot_decay
from ..results import Analysis
from ..tracing.decay import decay_rate
from ..tracing.nonlinearities import nonlinearities
from ..tracing.replay import recorded
from ..tracing.sparkline import sparkline
from ..tracing.trace import GradientTrace
from ..tracing.trace import trace as trace_of
from .loss_steps import LossSteps
from .stops import stops
from .trials import Change, Trials, whole_norms
from .waterfall import Factor, Waterfall, waterfall_of
from .whatif import WhatIf

__all__ = [
    "EXPLODES",
    "VANISHES",
    "Diagnosis",
    "Outcome",
    "Remedy",
    "diagnose",
    "diagnosis_of",
    "is_gate",
    "kept_of",
    "life",
    "outcome",
]

VANISHES, EXPLODES = 1e-2, 1e3
"""What is left of the state's gradient at the other end of time; in between all is well. From nets that were
trained: docs/diagnose.md.
"""
_GOAL = 0.1
"""What a remedy should leave at the other end of time."""
_BIASES = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
_UP, _DOWN = (1.05, 1.2, 1.4, 1.7, 2.0, 2.5, 3.0, 4.0), (0.95, 0.85, 0.7, 0.5, 0.35, 0.25)
_FINER = 4
"""How often the stretch around the best setting is halved where none was good enough."""


@dataclass(frozen=True)
class Remedy:
    """A change that was tried on the very run, and what came of it.

    Attributes
    ----------
    change : str
    kept_before, kept : float
        What is left of the gradient at the other end of time, before and with the change.
    half_life : float
        In steps, with the change; see :class:`~inspector.Decay`.
    tried : WhatIf
        The run with the change, recorded when it is looked at.
    """

    change: str
    kept_before: float
    kept: float
    half_life: float
    _steps: int = field(repr=False)
    _again: Callable[[], WhatIf] = field(repr=False, compare=False)

    @cached_property
    def tried(self) -> WhatIf:
        return self._again()

    def __str__(self) -> str:
        return (
            f"{self.change}: {_kept(self.kept)} would arrive instead of {_kept(self.kept_before)},"
            f" {life(self.half_life, self._steps)}"
        )


@dataclass(frozen=True, eq=False)
class Diagnosis(Analysis):
    """What :func:`diagnose` found.

    Attributes
    ----------
    verdict : {"well", "vanishes", "explodes", "stops", "not finite"}
    finding : str
        In a sentence.
    evidence : tuple of str
        Where on the way it happens, with numbers.
    remedies : tuple of Remedy
        The first is the smallest change found that helps; empty if all is well.
    state : str
        The state that carries the gradient furthest.
    kept, half_life : float
        What is left of the gradient of the whole state at the other end of time, and after how many steps half is lost.
    fall : Waterfall or None
    trace : GradientTrace
    """

    verdict: str
    finding: str
    evidence: tuple[str, ...]
    remedies: tuple[Remedy, ...]
    state: str
    kept: float
    half_life: float
    fall: Waterfall | None = field(repr=False)
    trace: GradientTrace = field(repr=False)

    def plot(self, ax: Axes | None = None, *, width: Width = None) -> Axes:
        """The decay as it is, and with the first remedy."""
        traces = {"as it is": self.trace}
        if self.remedies:
            traces[self.remedies[0].change] = self.remedies[0].tried.traces[1]
        return plot_decay(traces, ax=ax, width=width)

    def facts(self) -> dict[str, Any]:
        remedies = [{"change": one.change, "kept": one.kept, "half_life": one.half_life} for one in self.remedies]
        return {**super().facts(), "remedies": remedies}

    def records(self) -> tuple[Sequence[str], Iterable[Sequence[Any]]]:
        """One line a statement: what it is (the finding, evidence or a remedy), its words, what is left of the gradient
        and the half-life.
        """
        rows: list[tuple[Any, ...]] = [("finding", self.finding, self.kept, self.half_life)]
        rows += [("evidence", one, "", "") for one in self.evidence]
        rows += [("remedy", one.change, one.kept, one.half_life) for one in self.remedies]
        return ("what", "words", "kept", "half_life"), rows

    def __str__(self) -> str:
        return self._text()  # in which the finding says what is not finite

    @np.errstate(all="ignore")
    def _text(self) -> str:
        whole = whole_norms(self.trace)
        lines = [f"{self.trace.label}, {counted(self.trace.steps, 'step')}: {self.finding}", f"  {sparkline(whole)}"]
        lines += [f"  - {one}" for one in self.evidence]
        if self.remedies:
            lines.append("what would help, tried on this run:")
            lines += [f"  - {one}" for one in self.remedies]
        return "\n".join(lines)


def diagnose(run: Run, loss: Tensor) -> Diagnosis:
    """Say whether the gradient of `loss` lasts through the run, and if not, what takes it and what would help.

    The verdict goes by what is left, at the other end of time, of the gradient of the whole state: below
    :data:`VANISHES` of what it is at its latest step, or above :data:`EXPLODES` of it. Where it goes is read off the
    waterfall of the state that carries it furthest, and remedies are not rules of thumb: each was tried on this run,
    with :func:`~inspector.what_if`.

    Parameters
    ----------
    run : Run
    loss : Tensor
        A single number computed from the run.

    Returns
    -------
    Diagnosis

    Raises
    ------
    TypeError, ValueError
        As from :func:`~inspector.trace`.

    Examples
    --------
    >>> import numpy as np
    >>> import inspector
    >>> import tinygrad_rnn as tg
    >>> cell = tg.cells.LSTMCell(2, 4, seed=0)
    >>> run = tg.unroll(cell, np.random.default_rng(0).normal(size=(50, 1, 2)))
    >>> found = inspector.diagnose(run, run.outputs[-1].sum())
    >>> found.verdict, found.state
    ('vanishes', 'c')
    """
    return diagnosis_of(trace_of(*recorded(run, loss)))


@np.errstate(all="ignore")
def diagnosis_of(found: GradientTrace) -> Diagnosis:
    """The same from a trace of a run with every operation on record."""
    run, loss = found.run, found.loss
    whole = whole_norms(found)
    verdict, kept, half_life = outcome(found, found.not_finite is None)
    far, near = _ends(whole, found)
    if verdict == "not finite":
        return _broken(found, whole)
    if verdict == "stops":
        return _stopped(run, found, whole, far)
    if len(run) == 1:
        finding = f"all is well: in a run of one step the gradient, of norm {whole[0]:.3g}, has nowhere to decay"
        return Diagnosis("well", finding, (), (), found.states[-1], 1.0, math.nan, None, found)
    fall = waterfall_of(found)
    evidence, alone = [*_evidence(run, fall)], _alone(run, loss, far)
    rate = f"at t = {far} it is {_kept(kept)} of what it is at t = {near}, {life(half_life, len(run))}"
    finding = {
        "vanishes": f"the gradient vanishes: {rate}",
        "explodes": f"the gradient explodes: {rate}",
        "well": f"{_well(kept)}: {rate}",
    }[verdict]
    if alone is not None:
        evidence.append(alone.words)
        if verdict == "well" and alone.lost:
            finding = f"well only because the loss reads {counted(alone.readers, 'step')}: {rate}"
    remedies: list[Remedy] = []
    for one in () if verdict == "well" else _remedies(found, fall, kept, verdict):
        if isinstance(one, Remedy):
            remedies.append(one)
        else:
            evidence.append(one)
    return Diagnosis(verdict, finding, tuple(evidence), tuple(remedies), fall.state, kept, half_life, fall, found)


# ----------------------------------------------------------------------------------------- verdicts


class Outcome(NamedTuple):
    """A verdict, what is left of the gradient of the whole state at the other end of time, and its half-life."""

    verdict: str
    kept: float
    half_life: float


@np.errstate(all="ignore")
def outcome(found: GradientTrace, is_finite: bool) -> Outcome:
    """The verdict on a trace, see :class:`Diagnosis`; `is_finite` says whether all values of the run are."""
    whole = whole_norms(found)
    if not (is_finite and np.isfinite(whole).all()):
        return Outcome("not finite", math.nan, math.nan)
    kept, half_life = kept_of(whole, found), _half_life(whole, found)
    if not whole[_ends(whole, found)[0]]:
        return Outcome("stops", 0.0, half_life)
    if len(whole) == 1:
        return Outcome("well", 1.0, math.nan)
    return Outcome("vanishes" if kept < VANISHES else "explodes" if kept > EXPLODES else "well", kept, half_life)


def kept_of(whole: Any, found: GradientTrace) -> float:
    """What is left of the gradient of the whole state at the other end of time, of its norms at every step of a run
    like this one; NaN if they are not finite.
    """
    if not np.isfinite(whole).all():
        return math.nan
    far, near = _ends(whole, found)
    return float(whole[far] / whole[near]) if whole[near] else 0.0


def _ends(whole: Any, found: GradientTrace) -> tuple[int, int]:
    """The first step in the direction of time, and the last one that the loss depends on."""
    reverse = _is_reversed(found)
    reached = np.flatnonzero(whole)
    last = (int(reached[0]) if reverse else int(reached[-1])) if len(reached) else 0
    return (len(whole) - 1 if reverse else 0), last


def _half_life(whole: Any, found: GradientTrace) -> float:
    """In steps on the way of the gradient, which in a run from the end of the sequence is that of time."""
    return decay_rate(whole[::-1] if _is_reversed(found) else whole).half_life


def _is_reversed(found: GradientTrace) -> bool:
    return all(part.reverse for part in found.run.cells)


def _stopped(run: Run, found: GradientTrace, whole: Any, far: int) -> Diagnosis:
    state = run.cells[0].states[far]
    lines = dict.fromkeys(line for leaf in state for line in stops(found.loss, leaf, run).lines())
    finding = f"no gradient reaches t = {far}" if whole.any() else "the gradient is exactly 0 at every timestep"
    return Diagnosis("stops", finding, tuple(lines), (), found.states[0], 0.0, math.nan, None, found)


def _broken(found: GradientTrace, whole: Any) -> Diagnosis:
    ill = np.flatnonzero(~np.isfinite(whole))
    reverse = _is_reversed(found)
    states = (
        f"the gradient by the states is not finite from t = {ill[0] if reverse else ill[-1]} back"
        if len(ill)
        else "the gradient by the states is finite"
    )
    finding = f"{found.not_finite}; {states}" if found.not_finite is not None else states
    return Diagnosis(
        "not finite", finding, (), (), found.states[0], math.nan, math.nan, None, found, not_finite=found.not_finite
    )


# ----------------------------------------------------------------------------------------- evidence


def _evidence(run: Run, fall: Waterfall) -> Iterator[str]:
    """The operations that take most, in order, as shares of what is lost on the way."""
    parts = {str(name): float(value) for name, value in zip(fall.mean.axes["part"], fall.mean.values, strict=True)}
    measured = fall.total.values[np.isfinite(fall.total.values)]
    if not len(measured):
        return
    total = float(measured.mean())
    yield f"along {fall.state} its norm is multiplied by {math.exp(total):.3g} a step back ({total:+.3f} nats)"
    sign, verb = (1, "gained comes from") if total > 0 else (-1, "lost goes in")
    much = sum(sign * value for value in parts.values() if sign * value > 0)
    for name, value in sorted(parts.items(), key=lambda pair: -sign * pair[1]):
        if sign * value > 0.05 * much:
            yield f"{sign * value / much:.0%} of what is {verb} {name}{_typical(run, fall.factors.get(name))}"
    against = {name: -sign * value for name, value in parts.items() if -sign * value > 0.05 * much}
    if against:
        most_first = sorted(against, key=lambda name: -against[name])
        ways = ", ".join(f"{name}{_typical(run, fall.factors.get(name))}" for name in most_first)
        yield (
            f"{sum(against.values()) / much:.0%} of that is {'taken back by' if total > 0 else 'made up for by'} {ways}"
        )


class _Alone(NamedTuple):
    """What comes of the loss of its last step alone: whether it is lost on the way, and in words."""

    readers: int
    lost: bool
    words: str


def _alone(run: Run, loss: Tensor, far: int) -> _Alone | None:
    """How far the loss of one step reaches, where later and earlier ones hide it; None if it reads one step only."""
    steps = LossSteps(run, loss)
    if len(steps.readers) < 2:
        return None
    last = min(steps.readers, key=lambda t: -abs(t - far))
    verdict, kept, half_life = outcome(trace_of(run, steps.alone(last)), True)
    if verdict == "not finite":
        return None
    arrives = (
        f"{_kept(kept)} arrives at t = {far}, {life(half_life, len(run))}" if kept else f"nothing arrives at t = {far}"
    )
    words = f"of what the loss of t = {last} alone sends back, {arrives}"
    return _Alone(len(steps.readers), verdict in ("vanishes", "stops"), words)


def _typical(run: Run, factor: Factor | None) -> str:
    """The mean of a gate that multiplies, or of the derivative that does."""
    if factor is None:
        return ""
    values = [value.data.mean() for (name, _), value in run.names.items() if name == factor.gate]
    if values:
        return f" (mean {factor.gate} = {np.mean(values):.2f})"
    slopes = [
        float(np.mean(one.derivatives))
        for one in nonlinearities(run)
        if one.label == factor.slope and one.derivatives.size
    ]
    return f" (mean slope {np.mean(slopes):.2f})" if slopes else ""


# ----------------------------------------------------------------------------------------- remedies


def _remedies(found: GradientTrace, fall: Waterfall, kept: float, verdict: str) -> Iterator[Remedy | str]:
    """Changes of gates on the way, and of the weights, that bring the gradient back into bounds; and in words which
    cannot.
    """
    factors = [fall.factors[part] for part in fall.names if part in fall.factors]
    kinds: dict[tuple[str, str], list[float]] = {}
    for factor in factors:
        if is_gate(found.run, factor.gate):
            sign = -1.0 if factor.closes != (verdict == "explodes") else 1.0
            kinds.setdefault(("bias", factor.gate), [sign * more for more in _BIASES])
    for factor in factors:
        if factor.parameter:
            kinds.setdefault(("scale", factor.parameter), list(_DOWN if verdict == "explodes" else _UP))
    trials, first = Trials(found), {kind: [_change(kind, much) for much in kinds[kind]] for kind in kinds}
    trials.measure([change for changes in first.values() for change in changes])
    idle = {kind for kind, changes in first.items() if trials.change_nothing(changes)}
    looked = {kind: settings for kind, settings in kinds.items() if kind not in idle}
    for _ in range(_FINER // 2):
        if trials.together:
            looked = {kind: sorted([*looked[kind], *_between(trials, kind, looked[kind])]) for kind in looked}
            trials.measure([_change(kind, much) for kind, settings in looked.items() for much in settings])
    for kind, settings in kinds.items():
        if kind in idle:
            yield f"no {'bias in' if kind[0] == 'bias' else 'multiple of'} {kind[1]} changes what arrives"
        else:
            yield from _best(partial(_remedy, trials, kept, kind), settings, kept)


def _change(kind: tuple[str, str], much: float) -> Change:
    """Two digits are enough for advice."""
    return Change(kind[0], (kind[1],), float(f"{much:.2g}"))


def _between(trials: Trials, kind: tuple[str, str], settings: Sequence[float]) -> Iterator[float]:
    """Where :func:`_best` looks when it halves the stretch around the best of some settings twice, if none of them is
    good enough.
    """
    kept = []
    for much in settings:
        kept.append(_left(trials, _change(kind, much)))
        if _GOAL <= kept[-1] <= 1 / _GOAL:
            return
    k = min(range(len(kept)), key=lambda k: _distance(kept[k]))
    for j in (k - 1, k + 1):
        if 0 <= j < len(settings):
            yield from (settings[k] + (settings[j] - settings[k]) * n / 4 for n in range(1, 4))


def is_gate(run: Run, name: str) -> bool:
    """Whether a named value is a gate, which a nonlinearity keeps between 0 and 1."""
    values = [value for (own, _), value in run.names.items() if own == name]
    return bool(values) and all(value.op is not None and value.op.bounds == (0.0, 1.0) for value in values)


def _best(tried: Callable[[float], Remedy], settings: Sequence[float], kept: float) -> Iterator[Remedy]:
    """The first setting that helps enough; else the best that is found around the best of them, if it helps at all."""
    found: list[tuple[float, Remedy]] = []
    for much in settings:
        found.append((much, tried(much)))
        if _GOAL <= found[-1][1].kept <= 1 / _GOAL:
            yield found[-1][1]
            return
    for _ in range(_FINER):
        k = min(range(len(found)), key=lambda k: _distance(found[k][1].kept))
        beside = [j for j in (k - 1, k + 1) if 0 <= j < len(found)]
        found += [(much, tried(much)) for much in [(found[k][0] + found[j][0]) / 2 for j in beside]]
        found.sort(key=lambda pair: pair[0])
    best = min((remedy for _, remedy in found), key=lambda remedy: _distance(remedy.kept))
    if _distance(best.kept) < 0.9 * _distance(kept):
        yield best


def _remedy(trials: Trials, kept: float, kind: tuple[str, str], much: float) -> Remedy:
    change, found = _change(kind, much), trials.found
    half_life = _half_life(trials.norms(change), found)
    return Remedy(str(change), kept, _left(trials, change), half_life, found.steps, partial(trials.again, change))


def _left(trials: Trials, change: Change) -> float:
    """What is left of the gradient at the other end of time, with a change; infinite if that cannot be said."""
    whole = trials.norms(change)
    far, near = _ends(whole, trials.found)
    return float(whole[far] / whole[near]) if np.isfinite(whole).all() and whole[near] else math.inf


_distance: Callable[[float], float] = lambda kept: abs(math.log(kept)) if 0 < kept < math.inf else math.inf  # noqa: E731


# -------------------------------------------------------------------------------------------- words


def _kept(share: float) -> str:
    return f"{share:.0%}" if 0.005 <= share < 10 else f"{share:.2g}"


def _well(kept: float) -> str:
    """Nothing is wrong yet, but a run too short to show what a gradient that is on its way will come to says so."""
    if _GOAL <= kept <= 1 / _GOAL:
        return "all is well"
    return f"well so far, but {'fading' if kept < 1 else 'growing'}"


def life(half_life: float, steps: int) -> str:
    """A half-life in a run of so many steps, in words."""
    if not abs(half_life) <= steps:
        return "level along the way"
    return (
        f"half-life {counted(half_life, 'step', '.3g')}"
        if half_life > 0
        else f"doubling every {counted(-half_life, 'step', '.3g')}"
    )

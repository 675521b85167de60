"""What the page knows of its runs: one JSON document, whose fields ``schema.json`` states."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from tinygrad_rnn import Tensor
from tinygrad_rnn.plurals import counted
from tinygrad_rnn.recurrent.unroll import Run

from ..algebra.equations import Highway, equations
from ..analysis.band import Band
from ..analysis.diagnose import Diagnosis, diagnosis_of
from ..analysis.loss_steps import LossSteps
from ..analysis.reach import reach_of
from ..analysis.shares import LOSS, shares_of
from ..analysis.trials import whole_norms
from ..analysis.weights import steps_for
from ..picture.curve_styles import Style, styles
from ..picture.theme import gate_label
from ..text import shortened, visible
from ..tracing.names import gates_of
from ..tracing.replay import recorded
from ..tracing.trace import GradientTrace, norm_of, norms, trace
from ..tracing.values import parts_of, recorded_values
from .chains import link, pairs
from .names import namer
from .packing import finite, pack_floats, pack_levels, pack_norms, pooled
from .sliders import Sliders
from .theme_css import hue_of
from .tile import MOST_TILES, level_of

__all__ = ["SCHEMA", "VERSION", "Facts", "Subject", "document"]

SCHEMA, VERSION = "inspector-page", 1
_WHOLE = 20_000
"""Timesteps up to which every norm is kept."""
_BOTH_LEVELS = 500
"""Timesteps up to which every operation is drawn, too."""
_UNITS, _COLUMNS, _MAP = 64, 2000, 240
"""Rows and columns of a gate's picture, and sides of the map of reach, at most."""
_HEADLINE = 260.0
"""Points of type of 11 points that the label has in the headline, so that the verdict follows in the same lines."""
_UNDRAWN = f"Not drawn: the steps differ, and are of more than {MOST_TILES} kinds. Every number is there all the same."
_SEQUENCES = 8
"""Sequences of a batch whose gates are there to choose from, at most."""
_GATES, _GATES_A_STEP = 120_000, 950
"""Numbers that their gates may have in all runs together: so many, or in proportion to the longest of the runs."""
_SHALLOWEST, _DEEPEST = 4.0, 10.0
"""Decades of the map of reach that its colours tell apart; of few, what hardly fades would look as if it had died."""

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Subject:
    """A run that the page shows, and what is said beside it.

    Attributes
    ----------
    label : str
        What its button says.
    run, loss : Run, Tensor
    note : str
        What else is known of it, as whether it was trained.
    diagnosis : Diagnosis or None
        If it is made already.
    has_loss : bool
        Whether the loss's value means anything, not its derivatives alone.
    marks : mapping of str to sequence of int
        By what is there the steps at which it is; those that the run has not are not shown.
    spread : Band or None
        How the gradient decays in others that it is one of.
    """

    label: str
    run: Run
    loss: Tensor
    note: str = ""
    diagnosis: Diagnosis | None = None
    has_loss: bool = True
    marks: Mapping[str, Sequence[int]] = field(default_factory=dict)
    spread: Band | None = None


@np.errstate(all="ignore")
def document(
    subjects: Sequence[Subject | Facts], title: str, sliders: bool | None = None, live: bool = False
) -> dict[str, Any]:
    """All that the page shows of the runs.

    Parameters
    ----------
    subjects : sequence of Subject or Facts
    title : str
    sliders : bool, optional
        Whether what they show is computed beforehand, all of it or none; of each run as far as that takes some
        seconds when omitted.
    live : bool
        Whether there is a Python that can be asked about sliders.
    """
    facts = [one if isinstance(one, Facts) else Facts(one) for one in subjects]
    keys = _keys([one.subject.label for one in facts])
    room = max(_GATES, _GATES_A_STEP * max(one.steps for one in facts))
    sequences = max(1, min(_SEQUENCES, room // max(1, sum(one.gates_size for one in facts))))
    runs = [one.data(key, sequences, sliders, live) for one, key in zip(facts, keys, strict=True)]
    for before, after in pairs([(one.subject.run, one.subject.loss) for one in facts]):
        link(runs[before], runs[after], (facts[before].whole, facts[after].whole))
    return {"schema": SCHEMA, "version": VERSION, "title": visible(title), "runs": runs}


def _keys(labels: Sequence[str]) -> list[str]:
    """Short names for addresses, no two alike."""
    found: list[str] = []
    for label in labels:
        stem = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")[:24] or "run"
        numbered = (stem if k == 1 else f"{stem}-{k}" for k in range(1, len(labels) + 1))
        found.append(next(key for key in numbered if key not in found))
    return found


class Facts:
    """What is known of one run, found out when it is asked for.

    Parameters
    ----------
    subject : Subject

    Attributes
    ----------
    sliders : Sliders
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.run, self.loss = recorded(subject.run, subject.loss)
        self.steps, self.name_of = len(self.run), namer(self.run)
        self.pool = math.ceil(self.steps / _WHOLE)
        self.sliders = Sliders(lambda: self.diagnosis, self.pool)

    @cached_property
    def trace(self) -> GradientTrace:
        return trace(self.run, self.loss)

    @cached_property
    def diagnosis(self) -> Diagnosis:
        return self.subject.diagnosis or diagnosis_of(self.trace)

    @cached_property
    def whole(self) -> Array:
        """The gradient by the whole state at every step."""
        return whole_norms(self.trace)

    @cached_property
    def _batch(self) -> int:
        return int(self.run.outputs[0].shape[0])

    def data(self, key: str, sequences: int, sliders: bool | None, live: bool) -> dict[str, Any]:
        """The run as the page has it; what does not apply is left out."""
        states = [name for part, name in self._state_names() if part.reverse]
        found = {
            "key": key,
            "label": visible(self.subject.label),
            "short": visible(shortened(self.subject.label, _HEADLINE)),
            "note": visible(self.subject.note),
            "cell": visible(repr(self.subject.run.cell)),
            "init": visible(self.trace.initialisation),
            "T": self.steps,
            "batch": self._batch,
            "pool": self.pool,
            "dtype": str(self.loss.dtype),
            "loss": finite(float(self.loss.item())) if self.subject.has_loss else None,
            "states": [self.name_of(name) for name in self.trace.states],
            "fold": {
                str(kind): float(np.finfo(kind).smallest_subnormal)
                for kind in (np.dtype(np.float16), np.dtype(np.float32))
            },
            "curves": {self.name_of(name): list(style) for name, style in self._styles.items()},
            "verdict": self._verdict(),
            "whole": self._norms(self.whole),
            "begin": self._begin({self.name_of(name) for name in self.trace.states} <= set(states)),
            "norms": {self.name_of(name): self._norms(self.trace.norm(name)) for name in self.trace.names},
            "marks": self._marks(),
            "sequences": _spread(self._batch, sequences),
            "gates": [self._gate(name, values, _spread(self._batch, sequences)) for name, values in self._rows.items()],
            "band": self._band(),
            "weights": self._weights(),
            "ways": self._ways(),
            "reach": self._reach(),
            "equations": self._equations(),
            "levels": self._levels,
            "undrawn": None if self._levels else _UNDRAWN,
            "sliders": [] if sliders is False else self.sliders.data(every=bool(sliders), asked=live),
        }
        if states:
            found["backwards"] = states
        if self.trace.not_finite is not None:
            found["notFinite"] = visible(str(self.trace.not_finite))
        return {name: value for name, value in found.items() if value not in (None, [])}

    @cached_property
    def _styles(self) -> dict[str, Style]:
        return styles([*self.trace.states, *self.trace.names, LOSS])

    @cached_property
    def _levels(self) -> list[dict[str, Any]]:
        wanted = ("cell", "operation") if self.steps <= _BOTH_LEVELS else ("cell",)
        found = (level_of(self.run, self.trace, level, self.pool) for level in wanted)
        return [level for level in found if level is not None]

    @cached_property
    def _hues(self) -> dict[str, int]:
        """The colours that gates have in the drawings."""
        return {gate["name"]: gate["hue"] for level in self._levels for gate in level["gates"]}

    def _state_names(self) -> list[tuple[Run, str]]:
        return [
            (part, self.name_of(prefix + name))
            for prefix, part in parts_of(self.run)
            for name in part.initial_state._fields
        ]

    def _begin(self, is_reversed: bool) -> int:
        """The step at which the reverse sweep begins: the first on its way where there is any gradient."""
        way = range(self.steps) if is_reversed else range(self.steps)[::-1]
        return next((t for t in way if self.whole[t] > 0), way[0])

    def _norms(self, norms: Array) -> Any:
        return pack_norms(pooled(norms, self.pool))

    def _verdict(self) -> dict[str, Any]:
        found = self.diagnosis
        every = [self.trace.parameter_norm(name) for name in self.trace.parameters]
        return {
            "kind": found.verdict,
            "text": visible(found.finding),
            "evidence": [visible(line) for line in found.evidence],
            "remedies": [visible(str(remedy)) for remedy in found.remedies],
            "kept": finite(found.kept),
            "halfLife": finite(found.half_life),
            "steps90": steps_for(norms(np.stack(every, axis=1)), 0.9) or None if every else None,
            "state": self.name_of(found.state),
        }

    def _marks(self) -> list[dict[str, Any]]:
        found = {words: [t for t in steps if t < self.steps] for words, steps in self.subject.marks.items()}
        return [{"words": words, "steps": steps} for words, steps in found.items() if steps]

    @cached_property
    def _rows(self) -> dict[str, list[Tensor]]:
        """The gates and states that are there at every step."""
        values, steps = recorded_values(self.run), range(self.steps)
        names = (*gates_of(self.run), *self.trace.states)
        return {name: [values[name, t] for t in steps] for name in names if all((name, t) in values for t in steps)}

    @property
    def gates_size(self) -> int:
        """How many numbers the pictures of gates have for one sequence."""
        columns = math.ceil(self.steps / self._gate_pool)
        return sum(columns * min(_UNITS, rows[0].size // self._batch) for rows in self._rows.values())

    @property
    def _gate_pool(self) -> int:
        return math.ceil(self.steps / _COLUMNS)

    def _gate(self, name: str, values: Sequence[Tensor], sequences: Sequence[int]) -> dict[str, Any]:
        """The numbers of single sequences, as a mean over the batch blurs gates into grey; and that mean."""
        if values[0].shape[:1] != (self._batch,):
            sequences = sequences[:1]
        series = np.stack([np.asarray(value.data)[list(sequences)].reshape(len(sequences), -1) for value in values], 2)
        units, pool = series.shape[1], self._gate_pool
        chosen = series[:, _spread(units, _UNITS)]
        op = values[0].op
        bounds, largest = (op.bounds if op is not None else None) or (-math.inf, math.inf), _largest(series)
        low, high = (end if math.isfinite(end) else math.copysign(largest, end) for end in bounds)
        columns = np.stack([chosen[..., t : t + pool].mean(axis=2) for t in range(0, self.steps, pool)], axis=2)
        layer, _, own = self.name_of(name).rpartition("/")
        others = (self.name_of(one).rpartition("/") for one in self.trace.names)
        siblings = tuple(other for where, _, other in others if where == layer)
        return {
            "name": self.name_of(name),
            "word": visible(f"{layer} {gate_label(own, siblings)}".strip()),
            "op": "" if op is None else op.name,
            **(
                {"state": True}
                if name in self.trace.states
                else {"state": False, "hue": self._hues.get(own, hue_of(own, siblings))}
            ),
            "units": chosen.shape[1],
            "allUnits": units,
            "pool": pool,
            "values": pack_levels(columns[0], low, high),
            **({"others": pack_levels(np.concatenate(columns[1:]), low, high)} if len(sequences) > 1 else {}),
            "mean": pack_floats(pooled(np.array([np.mean(value.data) for value in values]), self.pool)),
        }

    def _band(self) -> dict[str, Any] | None:
        """Quantiles of the gradient by each state in all that the run is one of."""
        spread = self.subject.spread
        if spread is None:
            return None
        count = len(spread.norms.axes[spread.over])
        return {
            "words": f"half and nine tenths of {counted(count, spread.over)}",
            "norms": {self.name_of(name): self._norms(spread.quantiles["state", name]) for name in spread.states},
        }

    def _weights(self) -> dict[str, Any] | None:
        names = self.trace.parameters
        if not names:
            return None
        norms = np.array([self.trace.parameter_norm(name) for name in names])
        totals = [norm_of(self.trace.parameter_gradient(name)) for name in names]
        return {
            "names": [visible(name) for name in names],
            "layers": self._layers_of(names),
            "norms": self._norms(norms),
            "total": pack_floats(totals),
        }

    def _layers_of(self, names: Sequence[str]) -> list[str]:
        """The layer that each parameter belongs to; none of a single cell."""
        layers = {
            parameter.id: visible(prefix).removesuffix("/")
            for prefix, part in parts_of(self.run)
            for parameter in part.cell.parameters()
        }
        ids = {name: parameter.id for name, parameter in self.run.cell.named_parameters()}
        return [layers.get(ids[name], "") for name in names]

    def _ways(self) -> dict[str, Any]:
        found = shares_of(self.trace)
        return {
            "states": [self.name_of(name) for name in found.states],
            "ways": [self.name_of(name) for name in found.ways],
            "shares": pack_floats(found.shares.values[:, :: self.pool]),
        }

    def _reach(self) -> dict[str, Any] | None:
        """The map of a loss at every step: the loss of the run, if it reads several, else one on every output."""
        every = math.ceil(self.steps / _MAP)
        read: Sequence[int] = LossSteps(self.run, self.loss).readers
        loss, note = self.loss, "of the loss that each step has"
        if len(read) < 2 or len(read) > _MAP:
            read = range(every - 1, self.steps, every) if every > 1 else range(self.steps)
            loss = reduce(operator.add, ((self.run.outputs[s] ** 2).mean() for s in read))
            note = "of a loss on every output" if every == 1 else f"of a loss on every output, at each {every}th step"
        parts = LossSteps(self.run, loss)
        one = len(self.trace.states) == 1 or not self.run.children
        state = parts.names[-1] if one else self._furthest(parts.names)
        rows, horizon = reach_of(parts, state, read)
        rows = pooled(rows, every)
        seen = rows[np.isfinite(rows) & (rows > 0)]
        if not seen.size:
            return None
        high = float(np.log10(seen.max()))
        low = min(max(float(np.log10(seen.min())), high - _DEEPEST), high - _SHALLOWEST)
        return {
            "state": self.name_of(state),
            "pool": every,
            "steps": [int(s) for s in read],
            "note": note,
            "map": pack_levels(np.where(rows > 0, np.log10(rows), np.nan), low, high),
            "horizon": pack_floats(horizon),
        }

    def _furthest(self, states: Sequence[str]) -> str:
        return self.diagnosis.state if self.diagnosis.state in states else states[-1]

    def _equations(self) -> list[dict[str, Any]]:
        return [
            {
                "layer": visible(layer.name),
                "text": visible(line.unicode),
                "keys": [visible(key) for key in line.keys],
                "rail": isinstance(line, Highway),
            }
            for layer in equations(self.run).layers
            for line in layer.lines
        ]


def _spread(count: int, most: int) -> list[int]:
    """So many places, or all, evenly from the first to the last."""
    found: list[int] = np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist()
    return found


def _largest(rows: Array) -> float:
    seen = np.abs(rows[np.isfinite(rows)])
    return float(seen.max()) if seen.size else 1.0

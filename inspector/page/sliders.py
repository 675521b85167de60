"""Sliders of a page that has no Python behind it: the decay at a few settings, each measured on the very run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ..analysis.diagnose import Diagnosis, is_gate, outcome
from ..analysis.trials import whole_norms
from ..analysis.whatif import rerun
from ..text import visible
from ..tracing.trace import GradientTrace
from .packing import finite, pack_norms, pooled

__all__ = ["Knob", "sliders_of", "turned"]

_MOST = 60_000
"""Values along time, timesteps times settings, that are computed beforehand at most: about two seconds."""
_BIASES = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0)
_SCALES = (0.5, 0.7, 0.85, 1.0, 1.15, 1.3, 1.6, 2.0)


class Knob(NamedTuple):
    """Something to turn: an argument of :func:`~inspector.what_if`, the name in it, words, settings, and today's."""

    kind: str
    name: str
    words: str
    settings: tuple[float, ...]
    now: float


def _knobs(found: Diagnosis) -> Iterator[Knob]:
    """The gate that takes most of the gradient, and the weights on the way."""
    if found.fall is None:
        return
    factors = [found.fall.factors[part] for part in found.fall.names if part in found.fall.factors]
    gates = dict.fromkeys(factor.gate for factor in factors if factor.gate and is_gate(found.trace.run, factor.gate))
    for gate in list(gates)[:1]:
        yield Knob("bias", gate, f"more bias in {gate}", _BIASES, 0.0)
    for name in dict.fromkeys(factor.parameter for factor in factors if factor.parameter):
        yield Knob("scale", name, f"{name} times", _SCALES, 1.0)
    if not any(factor.parameter for factor in factors):
        recurrent = [name for name in found.trace.parameters if name.rpartition("/")[2].startswith("weight_hh")]
        for name in recurrent[:1]:
            yield Knob("scale", name, f"{name} times", _SCALES, 1.0)


def sliders_of(found: Diagnosis, pool: int) -> list[dict[str, Any]]:
    """Every knob at all of its settings, as long as that does not take too long."""
    made = []
    room = _MOST
    for knob in _knobs(found):
        room -= len(knob.settings) * found.trace.steps
        if room < 0:
            break
        traces = [
            found.trace if setting == knob.now else turned(found.trace, knob.kind, knob.name, setting)
            for setting in knob.settings
        ]
        made.append(
            {
                "kind": knob.kind,
                "name": visible(knob.name),
                "words": visible(knob.words),
                "settings": list(knob.settings),
                "now": knob.now,
                "curves": pack_norms(pooled(np.array([whole_norms(one) for one in traces]), pool)),
                "kept": [finite(outcome(one, True).kept) for one in traces],
            }
        )
    return made


def turned(found: GradientTrace, kind: str, name: str, setting: float) -> GradientTrace:
    """The run once more with a knob at a setting."""
    changed: Any = {kind: {name: setting}}
    return rerun(found, **changed).traces[1]

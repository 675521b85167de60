"""Sliders of the page: the decay at some settings, measured beforehand on the very run; or what Python answers."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ..analysis.diagnose import Diagnosis
from ..text import visible
from .knobs import Knob, Knobs, Turned
from .packing import finite, pack_norms, pooled

__all__ = ["Sliders"]

_MOST = 5_000.0
"""Timesteps that are run again beforehand, which takes some seconds."""


class Sliders:
    """The sliders of one run.

    Parameters
    ----------
    find : callable
        The diagnosis, which is asked for when it is first needed.
    pool : int
        Timesteps that make a column of every series.
    """

    def __init__(self, find: Callable[[], Diagnosis], pool: int) -> None:
        self._find, self._pool = find, pool

    @cached_property
    def _knobs(self) -> Knobs:
        return Knobs(self._find())

    def data(self, every: bool = False, asked: bool = False) -> list[dict[str, Any]]:
        """What the page has of them: all with curves that together take little time, or `every` one; the others
        without, if they can be `asked` about.
        """
        knobs, room, curves = self._knobs, math.inf if every else _MOST, []
        offered = list(knobs.every)
        for knob in knobs.every:
            if (cost := knobs.cost(knob)) <= room:
                curves.append(knob)
                room -= cost
        affordable = knobs.cost_of_length <= room
        if (affordable or asked) and knobs.length is not None:
            offered.append(knobs.length)
            curves += [knobs.length] if affordable else []
        knobs.measure(curves)
        found = [self._curves(knob) if knob in curves else _words(knob) for knob in offered if asked or knob in curves]
        return [one for one in found if one is not None]

    @np.errstate(all="ignore")
    def answer(self, kind: str, name: str, setting: float) -> tuple[float | None, npt.NDArray[np.float64]]:
        """What is left of the gradient at the other end of time with a knob at a setting, and the norm by the whole
        state at every step; of a run of another length by steps back.

        Raises
        ------
        ValueError
            If there is no such knob or setting.
        """
        knobs = self._knobs
        every = (*knobs.every, *([] if kind != "length" or knobs.length is None else [knobs.length]))
        knob = next((one for one in every if (one.kind, visible(one.name)) == (kind, name)), None)
        if knob is None:
            raise ValueError(f"there is no slider {kind!r} for {name!r}")
        found = knobs.at(knob, setting)
        return finite(found.kept), pooled(found.norms, self._pool)

    def _curves(self, knob: Knob) -> dict[str, Any] | None:
        """A slider with what comes of all its settings; none of a cut that changes nothing."""
        turned = [self._knobs.at(knob, setting) for setting in knob.settings]
        if knob.kind == "cut" and np.array_equal(turned[0].norms, turned[1].norms):
            return None
        rows = np.array([_row(one, len(self._knobs.whole)) for one in turned])
        return {
            **_words(knob),
            "curves": pack_norms(pooled(rows, self._pool)),
            "kept": [finite(one.kept) for one in turned],
        }


def _words(knob: Knob) -> dict[str, Any]:
    found: dict[str, Any] = {
        "kind": knob.kind,
        "name": visible(knob.name),
        "words": visible(knob.words),
        "settings": list(knob.settings),
        "now": knob.now,
    }
    if knob.labels:
        found["labels"] = [visible(label) for label in knob.labels]
    return found | ({"note": visible(knob.note)} if knob.note else {})


def _row(turned: Turned, steps: int) -> npt.NDArray[np.float64]:
    """As many numbers as the run has steps: of a longer one the last, of a shorter one with none behind."""
    row = np.full(steps, np.nan)
    row[: len(turned.norms)] = turned.norms[:steps]
    return row

"""What parameters and arguments of tasks must be; every message names the task, the value and the way out."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

import numpy as np

__all__ = ["choice", "flag", "fraction", "generator", "integer", "ordered", "variance"]


def integer(task: str, name: str, value: Any, least: int, why: str = "") -> None:
    """Demand an integer of at least `least`; `why` says what would go wrong below."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Integral):
        raise TypeError(f"{task}: {name} must be an integer, got {value!r}")
    if value < least:
        reason = f": {why}" if why else ""
        raise ValueError(f"{task}: {name} must be at least {least}, got {value}{reason}")


def ordered(task: str, low: str, high: str, least: int, **values: Any) -> None:
    """Demand integers ``least <= low <= high``, given as ``low=..., high=...`` under their own names."""
    integer(task, low, values[low], least)
    integer(task, high, values[high], least)
    if values[low] > values[high]:
        raise ValueError(f"{task}: {low} must not exceed {high}, got {low}={values[low]} and {high}={values[high]}")


def fraction(task: str, name: str, value: Any) -> None:
    """Demand a number in [0, 1]."""
    _finite(task, name, value)
    if not 0 <= value <= 1:
        raise ValueError(f"{task}: {name} must lie in [0, 1], got {value}")


def variance(task: str, name: str, value: Any) -> None:
    """Demand a finite number that is not negative."""
    _finite(task, name, value)
    if value < 0:
        raise ValueError(f"{task}: {name} must not be negative, got {value}")


def choice(task: str, name: str, value: Any, options: Iterable[Any]) -> None:
    """Demand one of `options`."""
    listed = list(options)
    # 4.0 == 4 and True == 1, but neither will do as a size
    named = isinstance(value, (str, Integral)) and not isinstance(value, bool)
    if not named or value not in listed:
        raise ValueError(f"{task}: {name} must be {' or '.join(map(repr, listed))}, got {value!r}")


def flag(task: str, name: str, value: Any) -> None:
    """Demand True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{task}: {name} must be True or False, got {value!r}")


def generator(task: str, rng: Any) -> None:
    """Demand a ``numpy.random.Generator``."""
    if not isinstance(rng, np.random.Generator):
        raise TypeError(
            f"{task}: rng must be a numpy.random.Generator, got {type(rng).__name__}; "
            "make one with numpy.random.default_rng(seed)"
        )


def _finite(task: str, name: str, value: Any) -> None:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        raise TypeError(f"{task}: {name} must be a number, got {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"{task}: {name} must be finite, got {value}")

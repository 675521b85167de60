"""The checks of arguments: every message names who was called, the argument, the value and the way out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from numbers import Integral, Real
from typing import Any, TypeVar

import numpy as np

__all__ = [
    "below_one",
    "choice",
    "flag",
    "fraction",
    "generator",
    "integer",
    "integer_range",
    "is_integer",
    "is_number",
    "look_up",
    "not_negative",
    "one_of",
    "positive",
]

Found = TypeVar("Found")


def is_integer(value: Any, least: int = 1) -> bool:
    """Whether a value is a whole number of at least `least`; True and False are none."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


def is_number(value: Any) -> bool:
    """Whether a value is a real number, be it infinite; True and False are none."""
    return isinstance(value, Real) and not isinstance(value, bool)


def integer(owner: str, name: str, value: Any, least: int, why: str = "") -> None:
    """Demand an integer of at least `least`; `why` says what would go wrong below."""
    if not is_number(value) or not isinstance(value, Integral):
        raise TypeError(f"{owner}: {name} must be an integer, got {value!r}")
    if not is_integer(value, least):
        reason = f": {why}" if why else ""
        raise ValueError(f"{owner}: {name} must be at least {least}, got {value}{reason}")


def integer_range(owner: str, low: str, high: str, least: int, **values: Any) -> None:
    """Demand integers ``least <= low <= high``, given as ``low=..., high=...`` under their own names."""
    integer(owner, low, values[low], least)
    integer(owner, high, values[high], least)
    if values[low] > values[high]:
        raise ValueError(f"{owner}: {low} must not exceed {high}, got {low}={values[low]} and {high}={values[high]}")


def positive(owner: str, **numbers: Any) -> None:
    """Demand numbers above 0, infinity included."""
    for name, number in numbers.items():
        _number(owner, name, number)
        if not number > 0:
            raise ValueError(f"{owner}: {name} must be positive, got {number}")


def below_one(owner: str, **numbers: Any) -> None:
    """Demand numbers in [0, 1)."""
    for name, number in numbers.items():
        _number(owner, name, number)
        if not 0 <= number < 1:
            raise ValueError(f"{owner}: {name} must lie in [0, 1), got {number}")


def fraction(owner: str, name: str, value: Any) -> None:
    """Demand a number in [0, 1]."""
    _finite(owner, name, value)
    if not 0 <= value <= 1:
        raise ValueError(f"{owner}: {name} must lie in [0, 1], got {value}")


def not_negative(owner: str, name: str, value: Any) -> None:
    """Demand a finite number of at least 0."""
    _finite(owner, name, value)
    if value < 0:
        raise ValueError(f"{owner}: {name} must not be negative, got {value}")


def choice(owner: str, name: str, value: Any, options: Iterable[Any]) -> None:
    """Demand one of a few options."""
    listed = list(options)
    # 4.0 == 4 and True == 1, but neither will do as a size
    named = isinstance(value, (str, Integral)) and not isinstance(value, bool)
    if not named or value not in listed:
        raise ValueError(f"{owner}: {name} must be {' or '.join(map(repr, listed))}, got {value!r}")


def one_of(owner: str, name: str, value: Any, names: Iterable[str]) -> None:
    """Demand a name out of a table."""
    known = list(names)
    if value not in known:
        raise ValueError(f"{owner}: {name} must be one of {', '.join(known)}, got {value!r}")


def look_up(kind: str, name: Any, table: Mapping[str, Found]) -> Found:
    """What a table holds under a name; `kind` says what that is.

    Raises
    ------
    KeyError
        If there is nothing; the message suggests near matches and lists the names there are.
    """
    if name not in table:
        near = get_close_matches(str(name).lower(), table, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}? There are" if near else "choose from"
        raise KeyError(f"no {kind} called {name!r}; {hint} {', '.join(table)}")
    return table[name]


def flag(owner: str, name: str, value: Any) -> None:
    """Demand True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{owner}: {name} must be True or False, got {value!r}")


def generator(owner: str, rng: Any) -> None:
    """Demand a ``numpy.random.Generator``."""
    if not isinstance(rng, np.random.Generator):
        raise TypeError(
            f"{owner}: rng must be a numpy.random.Generator, got {type(rng).__name__}; "
            "make one with numpy.random.default_rng(seed)"
        )


def _number(owner: str, name: str, value: Any) -> None:
    if not is_number(value):
        raise TypeError(f"{owner}: {name} must be a number, got {value!r}")


def _finite(owner: str, name: str, value: Any) -> None:
    _number(owner, name, value)
    if not math.isfinite(value):
        raise ValueError(f"{owner}: {name} must be finite, got {value}")

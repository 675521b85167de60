"""What a file says of a layer: read with care, since anybody may have written it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

import numpy as np

from ..refusal import UnsupportedError
from ..weights import printable

__all__ = ["Config", "Shape", "near", "parse", "size_of"]

Shape = tuple[int | None, ...]
"""With the batch in front; None is an axis of any length."""

_DEEPEST = 200
_LARGEST = 2**31
_DTYPES = {"float16": "float32", "bfloat16": "float32", "mixed_float16": "float32", "mixed_bfloat16": "float32"}
"""What is computed in half precision there is computed in single precision here."""


def near(name: str, known: Iterable[str]) -> str:
    """Which of the known ones are called much like what is refused, to be put behind the message."""
    names = sorted(known)
    found = get_close_matches(name, names, cutoff=0.5)
    if not found:
        return f"; {len(names)} others are known, see docs/keras.md"
    return f"; of {len(names)} that are known, nearest {'is' if len(found) == 1 else 'are'} {', '.join(found)}"


def parse(who: str, text: str | bytes) -> dict[str, Any]:
    """A JSON object out of a file.

    Raises
    ------
    ValueError
        If it is none, or nested too deeply.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{who} is no JSON: {printable(str(error))}") from None
    level: list[Any] = [found]
    for _ in range(_DEEPEST):
        level = [
            inner
            for value in level
            if isinstance(value, (dict, list))
            for inner in (value.values() if isinstance(value, dict) else value)
        ]
    if level:
        raise ValueError(f"{who} is nested more than {_DEEPEST} deep")
    if not isinstance(found, dict):
        raise ValueError(f"{who} is no JSON object")
    return found


def size_of(value: Any) -> int | None:
    """A number of elements, or None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LARGEST else None


class Config(Mapping[str, Any]):
    """The options of a layer.

    Parameters
    ----------
    values : mapping
    place : str
        File and layer, for messages.
    keras : tuple of int
        The version that wrote the file.
    """

    def __init__(self, values: Mapping[str, Any], place: str, keras: tuple[int, ...]) -> None:
        self._values, self.place, self.keras = values, place, keras

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Any:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def inside(self, values: Mapping[str, Any]) -> Config:
        """The options of what lies in this layer."""
        return Config(values, self.place, self.keras)

    def quote(self, value: Any) -> str:
        """A value as it may stand in a message."""
        text = printable(repr(value))
        return text if len(text) <= 80 else f"{text[:77]}..."

    def fail(self, message: str) -> NoReturn:
        """ValueError with the place in front."""
        raise ValueError(f"{self.place} {message}")

    def refuse(self, message: str) -> NoReturn:
        """UnsupportedError with the place in front."""
        raise UnsupportedError(f"{self.place} {message}")

    def _value(self, name: str, default: Any) -> Any:
        if name not in self._values and default is None:
            self.fail(f"has no {name}")
        return self._values.get(name, default)

    def integer(self, name: str, default: int | None = None, least: int = 1) -> int:
        """A whole number."""
        value = self._value(name, default)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value < _LARGEST:
            self.fail(f"has {name}={self.quote(value)}, which must be a whole number from {least}")
        return value

    def integers(self, name: str, count: int, default: int | None = None, least: int = 1) -> tuple[int, ...]:
        """As many whole numbers, which may be written as one."""
        value = self._value(name, default)
        values = list(value) if isinstance(value, (list, tuple)) else [value] * count
        if len(values) != count:
            self.fail(f"has {name}={self.quote(value)}, which must be {count} whole numbers")
        return tuple(self.inside({name: each}).integer(name, least=least) for each in values)

    def axes(self, name: str, default: int) -> tuple[int, ...]:
        """One axis or several."""
        value = self._value(name, default)
        values = list(value) if isinstance(value, (list, tuple)) else [value]
        return tuple(self.inside({name: each}).integer(name, least=-64) for each in values)

    def number(self, name: str, default: float | None = None) -> float:
        """A real number."""
        value = self._value(name, default)
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not np.isfinite(value):
            self.fail(f"has {name}={self.quote(value)}, which must be a number")
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        """True or False."""
        value = self._values.get(name, default)
        value = default if value is None else value
        if not isinstance(value, (bool, int)) or value not in (0, 1):
            self.fail(f"has {name}={self.quote(value)}, which must be true or false")
        return bool(value)

    def choice(self, name: str, known: Sequence[Any], default: Any = None) -> Any:
        """One of several."""
        value = self._values.get(name, default)
        if not isinstance(value, (str, type(None))) or value not in known:
            self.fail(f"has {name}={self.quote(value)}, which must be one of {', '.join(map(str, known))}")
        return value

    def shape(self, name: str) -> Shape | None:
        """A shape, if it is there."""
        value = self._values.get(name)
        if value is None:
            return None
        if not isinstance(value, (list, tuple)) or any(n is not None and size_of(n) is None for n in value):
            self.fail(f"has {name}={self.quote(value)}, which is no shape")
        return tuple(value)

    @property
    def dtype(self) -> np.dtype[Any]:
        """What the layer computes in."""
        given = self._values.get("dtype")
        while isinstance(given, dict):
            inside = given.get("config")
            given = inside.get("name") if isinstance(inside, dict) else "?"
        given = "float32" if given is None else given
        given = _DTYPES.get(given, given) if isinstance(given, str) else given
        if given not in ("float32", "float64"):
            if given in ("int8", "int32", "int64", "uint8", "bool"):  # an Input's
                return np.dtype(given)
            self.refuse(f"computes in {self.quote(given)}; float16, bfloat16, float32 and float64 are supported")
        return np.dtype(given)

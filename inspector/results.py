"""Arrays whose axes have names and whose places have labels, and what an analysis gives back: several of them."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tinygrad_rnn import files

from .notebook import Shown
from .tracing.finite import NotFinite

__all__ = ["Finding", "Label", "Labelled"]

Label = str | int | float


@dataclass(frozen=True, eq=False)
class Labelled:
    """An array with a label at every place of every axis.

    Parameters
    ----------
    values : array_like
    axes : mapping of str to sequence
        Name of each axis, in order, to the labels along it: ``{"t": range(5), "state": ("h", "c")}``.
    what : str
        What a value is, such as ``"gradient norm"``.

    Raises
    ------
    ValueError
        If the axes do not fit the shape.

    Examples
    --------
    >>> from inspector.results import Labelled
    >>> norms = Labelled([[1.0, 2.0], [3.0, 4.0]], {"t": [0, 1], "state": ["h", "c"]}, "gradient norm")
    >>> norms["state", "c"]
    array([2., 4.])
    """

    values: npt.NDArray[Any]
    axes: Mapping[str, Sequence[Label]]
    what: str = "value"

    def __init__(self, values: npt.ArrayLike, axes: Mapping[str, Sequence[Label]], what: str = "value") -> None:
        array = np.array(values)
        array.flags.writeable = False
        object.__setattr__(self, "values", array)
        object.__setattr__(self, "axes", {name: tuple(labels) for name, labels in axes.items()})
        object.__setattr__(self, "what", what)
        sizes = tuple(len(labels) for labels in self.axes.values())
        if array.shape != sizes:
            raise ValueError(
                f"Labelled: values have shape {array.shape}, axes {dict(zip(self.axes, sizes, strict=True))}"
            )

    def __repr__(self) -> str:
        return f"<Labelled: {self.what} ({', '.join(f'{name} {len(labels)}' for name, labels in self.axes.items())})>"

    def __str__(self) -> str:
        axes = ", ".join(f"{name} {_ends(labels)}" for name, labels in self.axes.items())
        return f"{self.what} ({axes})\n{np.array2string(self.values, precision=4, threshold=100)}"

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.array(self.values, dtype=dtype)

    def __getitem__(self, key: tuple[str, Label]) -> npt.NDArray[Any]:
        """The values at one label of one axis.

        Raises
        ------
        KeyError
            If there is no such axis or label.
        """
        axis, label = key
        if axis not in self.axes:
            raise KeyError(f"no axis is called {axis!r}; there are {', '.join(self.axes)}")
        labels = list(self.axes[axis])
        if label not in labels:
            raise KeyError(f"{axis} has no {label!r}; it has {', '.join(map(str, labels[:20]))}")
        found: npt.NDArray[Any] = np.take(self.values, labels.index(label), axis=list(self.axes).index(axis))
        return found

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """One tuple a value: its labels, then the value."""
        for labels, value in zip(itertools.product(*self.axes.values()), self.values.reshape(-1).tolist(), strict=True):
            yield (*labels, value)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and strings, fit for JSON; what is not finite is ``None``."""
        return {
            "what": self.what,
            "axes": {k: [_plain(v) for v in labels] for k, labels in self.axes.items()},
            "values": _plain(self.values.tolist()),
        }

    def to_pandas(self) -> Any:
        """A pandas Series with one level of its index for each axis.

        Raises
        ------
        ModuleNotFoundError
            If pandas is not installed.
        """
        import pandas

        index = pandas.MultiIndex.from_product(list(self.axes.values()), names=list(self.axes))
        return pandas.Series(self.values.reshape(-1), index=index, name=self.what)


@dataclass(frozen=True, eq=False)
class Finding(Shown):
    """What an analysis gives back: a dataclass whose :class:`Labelled` fields are its tables.

    Attributes
    ----------
    not_finite : NotFinite or None
        Where NaN or infinity first appears in what was analysed; none if all is finite. It stands first in the text,
        above every picture, and in what is exported as JSON.
    """

    not_finite: NotFinite | None = field(default=None, kw_only=True)

    def __str__(self) -> str:
        with np.errstate(all="ignore"):
            text = self._text()
        return f"{self.not_finite}\n{text}" if self.not_finite else text

    def _text(self) -> str:
        """What was found, in words and numbers."""
        raise NotImplementedError

    def tables(self) -> dict[str, Labelled]:
        """The labelled arrays by name."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: value for name, value in fields.items() if isinstance(value, Labelled)}

    def to_dict(self) -> dict[str, Any]:
        """All tables, and all plain numbers and strings, fit for JSON.

        JSON has no NaN and no infinity: both are ``None``, and ``"not_finite"`` says where they begin, if anywhere.
        """
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        plain = {k: _plain(v) for k, v in fields.items() if isinstance(v, (str, bool, int, float, np.number))}
        ill = {"not_finite": self.not_finite and self.not_finite.to_dict()}
        return {**plain, **ill, **{name: table.to_dict() for name, table in self.tables().items()}}

    def to_json(self, path: str | Path) -> Path:
        """Write :meth:`to_dict`; the file appears only when it is complete."""
        return files.write(path, json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False, indent=1) + "\n")

    def to_csv(self, path: str | Path) -> Path:
        """Write one line a value: its table, what it is, its labels, itself; what is not finite as ``nan``,
        ``inf`` or ``-inf``.
        """
        tables = self.tables()
        axes = list(dict.fromkeys(axis for table in tables.values() for axis in table.axes))

        def rows() -> Iterator[list[Any]]:
            for name, table in tables.items():
                for *labels, value in table.rows():
                    at = dict(zip(table.axes, labels, strict=True))
                    yield [name, table.what, *(at.get(axis, "") for axis in axes), value]

        return files.write_csv(path, ["table", "what", *axes, "value"], rows())

    def to_pandas(self) -> dict[str, Any]:
        """Each table as a pandas Series, by name."""
        return {name: table.to_pandas() for name, table in self.tables().items()}


def _ends(labels: Sequence[Label]) -> str:
    return ", ".join(map(str, labels)) if len(labels) <= 6 else f"{labels[0]} … {labels[-1]}"


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, complex):
        return [_plain(value.real), _plain(value.imag)]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value

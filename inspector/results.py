"""Arrays whose axes have names and whose places have labels, and the one base of everything that is measured."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tinygrad_rnn import files

from . import notebook

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .tracing.finite import NotFinite

__all__ = ["Analysis", "Label", "Labelled", "Result", "as_json", "optional"]

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
    >>> norms.sel(state="c", t=[1]).values
    array([4.])
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

    def __float__(self) -> float:
        return float(self.values)

    def __getitem__(self, key: tuple[str, Label]) -> npt.NDArray[Any]:
        """The values at one label of one axis.

        Raises
        ------
        KeyError
            If there is no such axis or label.
        """
        axis, label = key
        return self.sel(**{axis: label}).values

    def sel(self, **labels: Label | Sequence[Label]) -> Labelled:
        """What is at some labels of some axes.

        Parameters
        ----------
        **labels
            By the name of an axis one of its labels, and the axis is gone; or a list of labels, and it has these.

        Returns
        -------
        Labelled
            With the axes that are left. ``float`` makes a number of it where none is.

        Raises
        ------
        KeyError
            If there is no such axis or label.
        """
        values, axes = self.values, dict(self.axes)
        for axis, wanted in labels.items():
            if axis not in axes:
                raise KeyError(f"no axis is called {axis!r}; there are {', '.join(self.axes)}")
            at = list(axes).index(axis)
            if isinstance(wanted, (str, int, float, np.generic)):
                values = values.take(self._place(axis, wanted), axis=at)
                del axes[axis]
            else:
                axes[axis] = tuple(wanted)
                values = values.take([self._place(axis, one) for one in axes[axis]], axis=at)
        return Labelled(values, axes, self.what)

    def _place(self, axis: str, label: Label) -> int:
        known = self.axes[axis]
        if label not in known:
            raise KeyError(f"{axis} has no {label!r}; it has {', '.join(map(str, known[:20]))}")
        return list(known).index(label)

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """One tuple a value: its labels, then the value."""
        for labels, value in zip(itertools.product(*self.axes.values()), self.values.reshape(-1).tolist(), strict=True):
            yield (*labels, value)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and strings, fit for JSON; what is not finite is ``None``."""
        axes = {name: _plain(list(labels)) for name, labels in self.axes.items()}
        return {"what": self.what, "axes": axes, "values": _plain(self.values.tolist())}

    def to_pandas(self) -> Any:
        """A pandas Series with one level of its index for each axis.

        Raises
        ------
        ModuleNotFoundError
            If pandas is not installed.
        """
        pandas = optional("pandas", "to_pandas")
        index = pandas.MultiIndex.from_product(list(self.axes.values()), names=list(self.axes))
        return pandas.Series(self.values.reshape(-1), index=index, name=self.what)

    def to_xarray(self) -> Any:
        """An xarray DataArray with a dimension and its coordinates for each axis.

        Raises
        ------
        ModuleNotFoundError
            If xarray is not installed.
        """
        xarray = optional("xarray", "to_xarray")
        coordinates = {name: list(labels) for name, labels in self.axes.items()}
        return xarray.DataArray(self.values, coordinates, list(coordinates), name=self.what)


class Result:
    """What was measured: it says itself, draws itself, and writes itself.

    A subclass provides :meth:`tables`, :meth:`facts`, its words as ``_text`` and, if it has a picture, ``plot``; a
    dataclass the last two alone, as its fields are its tables and facts. All else follows from these.

    Attributes
    ----------
    not_finite : NotFinite, str or None
        Where NaN or infinity first appears in what was measured; none if all is finite. It stands first in the text,
        above every picture, and in what is exported as JSON.
    """

    not_finite: Any = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__repr__" not in cls.__dict__:  # or a dataclass would write its own
            cls.__repr__ = Result.__repr__  # type: ignore[method-assign]

    # ------------------------------------------------------------------------------------- what it provides

    def tables(self) -> dict[str, Labelled]:
        """The labelled arrays by name."""
        return {name: value for name, value in self._fields().items() if isinstance(value, Labelled)}

    def facts(self) -> dict[str, Any]:
        """The plain numbers and strings by name."""
        return {name: value for name, value in self._fields().items() if _is_plain(value)}

    def _text(self) -> str:
        """What was found, in words and numbers."""
        raise NotImplementedError

    def plot(self, ax: Axes | None = None, *, width: float | str | None = None) -> Axes:
        """Draw what was found.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure when omitted.
        width : float or {"column", "page", "slide"}, optional
            How wide a new figure is where it is shown; as for :func:`~inspector.plot_decay`.

        Raises
        ------
        TypeError
            If there is no picture of it.
        """
        diagram = ", .save(path) writes its diagram" if type(self).save is not Result.save else ""
        raise TypeError(f"{type(self).__name__}: there is no picture of it on Axes; str() says what was found{diagram}")

    def _fields(self) -> dict[str, Any]:
        if not dataclasses.is_dataclass(self):
            return {}
        return {one.name: getattr(self, one.name) for one in dataclasses.fields(self) if not one.name.startswith("_")}

    # --------------------------------------------------------------------------------------------- its words

    def __str__(self) -> str:
        with np.errstate(all="ignore"):
            text = self._text()
        return f"{self.not_finite}\n{text}" if self.not_finite else text

    def __repr__(self) -> str:
        return notebook.brief(type(self), str(self))

    # --------------------------------------------------------------------------------------------- its files

    def to_dict(self) -> dict[str, Any]:
        """All facts and tables as plain lists and strings, fit for JSON.

        JSON has no NaN and no infinity: both are ``None``, and ``"not_finite"`` says where they begin, if anywhere.
        """
        ill = self.not_finite.to_dict() if hasattr(self.not_finite, "to_dict") else self.not_finite
        tables = {name: table.to_dict() for name, table in self.tables().items()}
        return {**{name: _plain(value) for name, value in self.facts().items()}, "not_finite": ill, **tables}

    def to_json(self, path: str | Path) -> Path:
        """Write :meth:`to_dict`; the file appears only when it is complete."""
        return files.write(path, as_json(self.to_dict()))

    def records(self) -> tuple[Sequence[str], Iterable[Sequence[Any]]]:
        """What :meth:`to_csv` writes, the names of its columns and its rows: one a value, with its table, what it is,
        and its labels.
        """
        tables = self.tables()
        axes = list(dict.fromkeys(axis for table in tables.values() for axis in table.axes))

        def rows() -> Iterator[list[Any]]:
            for name, table in tables.items():
                for *labels, value in table.rows():
                    at = dict(zip(table.axes, labels, strict=True))
                    yield [name, table.what, *(at.get(axis, "") for axis in axes), value]

        return ["table", "what", *axes, "value"], rows()

    def to_csv(self, path: str | Path) -> Path:
        """Write :meth:`records`, what is not finite as ``nan``, ``inf`` or ``-inf``, which NumPy and pandas read; the
        file appears only when it is complete.
        """
        return files.write_csv(path, *self.records())

    def to_pandas(self) -> Any:
        """Each table as a pandas Series, by name.

        Raises
        ------
        ModuleNotFoundError
            If pandas is not installed.
        """
        return {name: table.to_pandas() for name, table in self.tables().items()}

    def to_xarray(self) -> dict[str, Any]:
        """Each table as an xarray DataArray, by name.

        Raises
        ------
        ModuleNotFoundError
            If xarray is not installed.
        """
        return {name: table.to_xarray() for name, table in self.tables().items()}

    # ------------------------------------------------------------------------------------------- its picture

    def save(self, path: str | Path, *, dpi: float | None = None, **options: Any) -> Path:
        """Write the picture; the file appears only when it is complete.

        Parameters
        ----------
        path : path
            Ends in ``.svg``, ``.png`` or ``.pdf``.
        dpi : float, optional
            Pixels an inch of a PNG; 144 when omitted.
        **options
            As for :meth:`plot`, apart from `ax`, such as its `width`.

        Raises
        ------
        ValueError
            If the suffix is none of these, or `dpi` is not between 10 and 1,200.
        """
        written: Path = self.plot(**options).figure.save(path, dpi)  # type: ignore[union-attr]
        return written

    def _repr_html_(self) -> str:
        return notebook.words_above(str(self), self._picture())

    def _picture(self) -> str:
        """As HTML; nothing of what has none, and of what cannot be drawn why not."""
        if type(self).plot is Result.plot:
            return ""
        try:
            return str(self.plot()._repr_html_())  # type: ignore[attr-defined]
        except ValueError as error:
            return notebook.words(str(error))


@dataclass(frozen=True, eq=False)
class Analysis(Result):
    """A result that was made at once and does not change: the base of the dataclasses that analyses give back."""

    not_finite: NotFinite | None = field(default=None, kw_only=True)


def _ends(labels: Sequence[Label]) -> str:
    return ", ".join(map(str, labels)) if len(labels) <= 6 else f"{labels[0]} … {labels[-1]}"


def optional(name: str, who: str) -> Any:
    """A module that need not be installed; `who` asks for it.

    Raises
    ------
    ModuleNotFoundError
        If it is not installed, saying how to.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise ModuleNotFoundError(
            f"{who} needs {name}, which is not installed: pip install 'tinygrad-rnn[{name}]'", name=name
        ) from None


def as_json(value: Any) -> str:
    """The text of a file of results; what is not finite is ``null``."""
    return json.dumps(_plain(value), ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def _is_plain(value: Any) -> bool:
    """A number or a string, or a tuple of such and of nothing."""
    if isinstance(value, tuple):
        return all(one is None or _is_plain(one) for one in value)
    return isinstance(value, (str, bool, int, float, np.number))


def _plain(value: Any) -> Any:
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: _plain(one) for name, one in value._asdict().items()}
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, complex):
        return [_plain(value.real), _plain(value.imag)]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value

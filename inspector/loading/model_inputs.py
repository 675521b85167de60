"""What a model is run on: arrays out of files, and for the rest random ones."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from tinygrad_rnn.interop.imported import Call, Imported, Port
from tinygrad_rnn.interop.tensor_files import load_npy, load_npz
from tinygrad_rnn.interop.weights import printable

from .load import LoadError
from .suggest import did_you_mean

Array = npt.NDArray[Any]

__all__ = ["BATCH", "LENGTH", "Called", "Sizes", "call_model"]

_BATCH = re.compile(r"n|b|bs|.*batch.*", re.IGNORECASE)
_TIME = re.compile(r"t|l|T of .*|.*(seq|len|time|step|frame|window).*", re.IGNORECASE)


LENGTH, BATCH = 50, 1
_MOST_TRIES, _MOST_RANDOM = 16, 1 << 27


class Sizes(NamedTuple):
    """How large axes are that the file leaves free; None for the usual."""

    length: int | None = None
    batch: int | None = None


class Called(NamedTuple):
    """A call, and what it was made on in words, an input a line."""

    call: Call
    inputs: list[str]


def call_model(model: Imported, given: list[str], sizes: Sizes, seed: int) -> Called:
    """Run a model on arrays that are given, and on random ones for its other inputs.

    Parameters
    ----------
    model : Imported
    given : list of str
        ``FILE``, ``NAME=FILE`` or ``NAME=NUMBERS``: an ``.npy``, or an ``.npz`` with inputs by their names.
    sizes : Sizes
    seed : int

    Raises
    ------
    LoadError
        If there is no such input or file, the file leaves no axis free for a size that is asked for, or the model
        cannot be run on this.
    """
    arrays = dict(_given(model, given))
    others = {name: model.inputs[name] for name in model.inputs if name not in arrays and name not in model.optional}
    for name, port in others.items():
        if port.shape == ("...",):
            raise LoadError(f"the file does not say the shape of input {printable(name)}: give it with --input")
    _check_free(others, sizes)
    known: dict[Axis, int] = {
        axis: size
        for name, array in arrays.items()
        for axis, size in zip(_axes(name, model.inputs[name]), np.shape(array), strict=False)
        if not isinstance(axis, int)
    }
    length, failed, ran = sizes.length or LENGTH, None, None
    first: Mapping[Axis, int] = {}
    for guess in _guesses(others, known, length, sizes.batch or BATCH):
        values: dict[str, Any] = dict(arrays)
        said = [f"{printable(name)}: given, {array.shape}" for name, array in arrays.items()]
        rng = np.random.default_rng(seed)
        for name, port in others.items():
            shape = tuple(axis if isinstance(axis, int) else guess[axis] for axis in _axes(name, port))
            values[name], how = _random(model, name, port, shape, length, rng)
            said.append(f"{printable(name)}: {how}, {shape}")
        values = {name: [value] if model.inputs[name].is_sequence else value for name, value in values.items()}
        try:
            with np.errstate(all="ignore"):  # what is not finite is told in the answer
                found = Called(model(**values), said)
        except (ValueError, TypeError) as error:
            if failed is None:
                failed, first = error, guess
            continue
        ran = ran or found
        if not found.call.runs or any(len(run) == length for run in found.call.runs.values()):
            return found
    if ran is None:
        raise LoadError(f"{failed}{_set(first, known)}") from failed
    return ran


# ------------------------------------------------------------------------------------- sizes of axes

Axis: TypeAlias = int | str | tuple[str, int]
"""A size, a name, or the place of an axis that has none."""


def _axes(name: str, port: Port) -> list[Axis]:
    return [(name, k) if axis == "?" else axis for k, axis in enumerate(port.shape)]


def _free(ports: Mapping[str, Port]) -> list[Axis]:
    """The axes of any length, each once."""
    return list(dict.fromkeys(a for name, port in ports.items() for a in _axes(name, port) if not isinstance(a, int)))


def _check_free(ports: Mapping[str, Port], sizes: Sizes) -> None:
    free = _free(ports)
    for flag, size, other in (("--length", sizes.length, _BATCH), ("--batch", sizes.batch, _TIME)):
        if size is not None and all(isinstance(axis, str) and other.fullmatch(axis) for axis in free):
            listed = ", ".join(f"{printable(name)} {port.axes}" for name, port in ports.items()) or "what is given"
            raise LoadError(f"{flag} {size}: the file leaves no such axis free in {listed}")


def _guesses(
    ports: Mapping[str, Port], known: Mapping[Axis, int], length: int, batch: int
) -> Iterator[dict[Axis, int]]:
    """Sizes for the free axes, the likeliest first: where a name does not say which is time, the run will."""
    sizes = dict(known)
    unclear = []
    for axis in _free(ports):
        if axis in sizes:
            continue
        if isinstance(axis, str) and _BATCH.fullmatch(axis):
            sizes[axis] = batch
        elif isinstance(axis, str) and _TIME.fullmatch(axis):
            sizes[axis] = length
        else:
            unclear.append(axis)
    orders = [
        (batch, length) if k == 0 and batch not in sizes.values() else (length, batch) for k in range(len(unclear))
    ]
    choices = itertools.islice(itertools.product(*orders), _MOST_TRIES)
    for chosen in sorted(
        choices, key=lambda one: len(one) > 1 and len(set(one)) == 1
    ):  # time and batch before twice one
        yield {**sizes, **dict(zip(unclear, chosen, strict=True))}


def _set(sizes: Mapping[Axis, int], known: Mapping[Axis, int]) -> str:
    """What was chosen for the free axes of a call that failed, to be put behind the message."""
    chosen = [
        f"{printable(axis) if isinstance(axis, str) else f'axis {axis[1]} of {printable(axis[0])}'} = {size}"
        for axis, size in sizes.items()
        if axis not in known and not isinstance(axis, int)
    ]
    return f"; free axes were set to {', '.join(chosen)}: --batch and --length set them" if chosen else ""


# --------------------------------------------------------------------------------------------- values


def _random(
    model: Imported, name: str, port: Port, shape: tuple[int, ...], length: int, rng: np.random.Generator
) -> tuple[Array, str]:
    """Numbers for an input, and what they are."""
    if math.prod(shape) > _MOST_RANDOM:
        raise LoadError(f"{printable(model.name)}: input {printable(name)} has {math.prod(shape):,} numbers; give it")
    if port.dtype.kind == "b":
        return np.ones(shape, bool), "all true"
    if port.dtype.kind not in "iu":
        return rng.normal(size=shape).astype(port.dtype), "random numbers"
    readers = [layer for layer in model.layers if name in layer.inputs]
    if any(layer.recurrent and layer.inputs[4:5] == (name,) for layer in readers):
        return np.full(shape, length, port.dtype), f"all {length}"
    tables = [
        parameter.shape[0]
        for layer in readers
        for key, parameter in model.named_parameters()
        if len(parameter.shape) == 2 and (key in layer.inputs or key.startswith(f"{layer.name}/"))
    ]
    limit = min([*tables, np.iinfo(port.dtype).max]) if tables else 2
    return rng.integers(0, limit, shape).astype(port.dtype), f"random whole numbers below {limit}"


def _given(model: Imported, given: list[str]) -> Iterator[tuple[str, Array]]:
    """Inputs by name, as the command line gives them."""
    left = list(model.inputs)
    for text in given:
        for name, array in _read(text, left):
            if name not in left:
                known = list(map(printable, model.inputs))
                wrong = f"no input is called {name!r}{did_you_mean(name, known)}; there are {', '.join(known)}"
                raise LoadError(f"--input: {f'{name!r} is given twice' if name in model.inputs else wrong}")
            left.remove(name)
            yield name, array


def _read(text: str, left: list[str]) -> Iterator[tuple[str, Array]]:
    name, equals, value = text.partition("=")
    if not equals or _is_there(text):
        name, value = "", text
    if not name and not left:
        raise LoadError(f"--input {text}: every input is given already")
    try:
        if Path(value).suffix == ".npz":
            arrays = load_npz(value)
            yield from ({name: arrays.popitem()[1]} if name and len(arrays) == 1 else arrays).items()
        else:
            yield name or left[0], load_npy(value) if _is_there(value) or not name else _numbers(value)
    except (FileNotFoundError, ValueError) as error:
        raise LoadError(f"--input {text}: {error}") from None


def _is_there(text: str) -> bool:
    """Whether this is a path to what is no folder."""
    try:
        return Path(text).exists() and not Path(text).is_dir()
    except (OSError, ValueError):  # longer than a path can be
        return False


def _numbers(text: str) -> Array:
    """Numbers as they are written: ``16000`` or ``[[0.5, 1]]``."""
    try:
        found = np.array(json.loads(text))
        if found.dtype.kind in "ifb":
            return found
    except (ValueError, RecursionError):
        pass
    raise ValueError(f"there is no file {text}, and it is no number or list of numbers")

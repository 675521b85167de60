"""Models out of files of any format, and what the `inspector` command runs them on and asks of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.interop.file_format import format_of
from tinygrad_rnn.interop.imported import Call, Imported, Layer, Port, cell_of
from tinygrad_rnn.interop.weights import Group, printable
from tinygrad_rnn.recurrent.unroll import Run

from .load import LoadError
from .suggest import did_you_mean

__all__ = ["Target", "model_in", "model_of", "part_of", "target_of"]


def model_in(path: Path) -> Imported:
    """The model of an ONNX or Keras file.

    Raises
    ------
    LoadError
        If it cannot be read, or holds what has no counterpart here; on one line that names the file.
    """
    load = {"onnx": tg.load_onnx, "keras": tg.load_keras}[format_of(path)]
    try:
        return load(path)
    except (FileNotFoundError, ValueError) as error:
        message = str(error).removeprefix("load_onnx: ").removeprefix("load_keras: ")
        raise LoadError(message if path.name in message else f"{path}: {message}") from None


class _Weights:
    """Weights of one of PyTorch's recurrent networks as a model with one input and one output."""

    format, producer = "weights", "by PyTorch's names"
    optional: frozenset[str] = frozenset()

    def __init__(self, group: Group) -> None:
        self._group = group
        network = group.network(np.float64)
        size = sum(parameter.size for parameter in network.parameters())
        name = group.prefix or "network"
        self.inputs = {"x": Port(("T", "batch", network.input_size), np.dtype(np.float64))}
        self.outputs = {"y": Port(("T", "batch", network.hidden_size), np.dtype(np.float64))}
        self.layers: tuple[Layer, ...] = (
            Layer(name, type(network).__name__, ("x",), ("y",), size, True, repr(network)),
        )

    def run(
        self, values: dict[str, tg.Tensor], parameters: Mapping[str, tg.Tensor]
    ) -> tuple[dict[str, tg.Tensor], dict[str, Run]]:
        """The outputs of every step, and the run."""
        network: Any = self._group.network(np.float64)
        run = tg.unroll(cell_of(network, parameters), values["x"])
        return {"y": run.stacked}, {self.layers[0].name: run}


def model_of(group: Group, path: Path) -> Imported:
    """The recurrent network of some weights as a model, computing in float64.

    Raises
    ------
    LoadError
        If they fit no network.
    """
    try:
        return Imported(_Weights(group), group.network(np.float64).state_dict(), path.name)
    except (KeyError, ValueError) as error:
        raise LoadError(f"{path}: {str(error.args[0]).removeprefix('load_torch: ')}") from None


def part_of(call: Call, name: str | None) -> dict[str, Run]:
    """The recurrent parts of a call, or the one meant by a name or the end of one.

    Raises
    ------
    LoadError
        If there are none, or none or several are called so.
    """
    if not call.runs:
        raise LoadError("there is no recurrent part in this model")
    if name is None:
        return call.runs
    found = [name] if name in call.runs else [part for part in call.runs if f"/{part}".endswith(f"/{name.strip('/')}")]
    if len(found) != 1:
        names = list(map(printable, call.runs))
        raise LoadError(
            f"--layer: {'several parts are' if found else 'no recurrent part is'} called {name!r}"
            f"{did_you_mean(name, names)}; there are {', '.join(names)}"
        )
    return {found[0]: call.runs[found[0]]}


# ------------------------------------------------------------------------------------------ the loss


class Target(NamedTuple):
    """A number computed from a model's outputs.

    Attributes
    ----------
    loss : Tensor
    text : str
        What it is.
    """

    loss: tg.Tensor
    text: str


def target_of(model: Imported, call: Call, wanted: str | None) -> Target:
    """The number whose gradient is looked at.

    Parameters
    ----------
    model, call
    wanted : str, optional
        ``NAME``, ``NAME[INDEX]`` or ``[INDEX]`` of the first output, the sum of which is taken. When omitted, of the
        first output the largest number of the last step, for every sequence.

    Raises
    ------
    LoadError
        If there is no such output or place, or no gradient can flow from it.
    """
    if wanted is None:
        name = next((name for name, value in call.items() if _has_gradient(value) and value.size), None)
        if name is None:
            raise LoadError("no output of this model has a gradient")
        return _largest(name, call[name], _time_axis(model, call, name))
    name, place = (wanted, None) if wanted in call else _split(wanted, next(iter(call)))
    if name not in call:
        names = list(map(printable, call))
        raise LoadError(
            f"--target: no output is called {name!r}{did_you_mean(name, names)}; there are {', '.join(names)}"
        )
    value = call[name]
    if not _has_gradient(value):
        raise LoadError(f"--target: output {name!r} is {model.outputs[name]} and has no gradient")
    try:
        index = () if place is None else _index(place)
        value.data[index]  # whose errors name no function of ours
    except (IndexError, ValueError) as error:
        raise LoadError(f"--target {wanted}: {error}; {printable(name)} has shape {value.shape}") from None
    chosen = value[index]
    if not chosen.size:
        raise LoadError(f"--target {wanted} chooses no number; {printable(name)} has shape {value.shape}")
    many = chosen.size != 1
    said = printable(name) + (f"[{place}]" if place is not None else "")
    return Target(chosen.sum(), f"the sum of {said} {chosen.shape}" if many else said)


def _has_gradient(value: Any) -> bool:
    """Whether an output, which may be a list, is a Tensor with a gradient."""
    return isinstance(value, tg.Tensor) and value.requires_grad


def _split(wanted: str, first: str) -> tuple[str, str | None]:
    found = re.fullmatch(r"(.*)\[([^\[\]]*)\]", wanted)
    return (found[1] or first, found[2]) if found else (wanted, None)


def _index(text: str) -> tuple[Any, ...]:
    def one(part: str) -> Any:
        if part == "...":
            return ...
        if not part:
            raise ValueError
        ends = [int(end) if end.strip() else None for end in part.split(":")]
        return ends[0] if len(ends) == 1 and ends[0] is not None else slice(*ends)

    try:
        return tuple(one(part.strip()) for part in text.split(","))
    except (ValueError, TypeError):
        raise ValueError("an index is whole numbers and slices between commas, such as -1,0,3 or :,2") from None


def _time_axis(model: Imported, call: Call, name: str) -> int | None:
    """The axis of an output along which time goes, if any."""
    shape, port = call[name].shape, model.outputs[name].shape
    lengths = {len(run) for run in call.runs.values()} - {1}
    axes = [k for k in range(max(len(shape) - 1, 1)) if shape[k : k + 1] and shape[k] in lengths]
    free = [k for k in axes if k < len(port) and isinstance(port[k], str) and port[k] != "batch"]
    return next(iter(free or axes), None)


def _largest(name: str, value: tg.Tensor, axis: int | None) -> Target:
    last = value if axis is None else value[(*(slice(None),) * axis, -1)]
    rest = ["-1" if k == axis else ":" for k in range(len(value.shape))]
    said = printable(name)
    if last.size > 1 and last.shape[-1] > 1:
        place = np.argmax(last.data, axis=-1)
        chosen = last[(*np.indices(place.shape), place)].sum()
        if place.size > 1:
            where = f"{said}[{', '.join(rest)}]" if axis is not None else said
            return Target(chosen, f"the largest numbers of {where} along its last axis, {place.size} of them, added")
        places = ["0" if k == ":" else k for k in rest[:-1]]
        number = str(int(place.reshape(-1)[0]))
        return Target(chosen, f"{said}[{', '.join([*places, number])}], the largest of {last.shape[-1]} numbers")
    which = said if axis is None else f"{said}[{', '.join(rest)}]"
    return Target(last.sum(), f"the sum of {which}" if last.size > 1 else which)

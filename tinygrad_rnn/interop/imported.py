"""Imported: somebody else's model out of a file or a function, with the recurrent parts as runs of our cells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from ..autodiff.tensor import Tensor
from ..plurals import counted
from ..recurrent.cell import Cell, Parametrised
from ..recurrent.stacks import Bidirectional, Stacked
from ..recurrent.unroll import Run
from .weights import printable

Array = npt.NDArray[Any]
Network = TypeVar("Network", Cell, Bidirectional, Stacked)

__all__ = ["Call", "Imported", "Layer", "Port", "Program", "cell_of"]


class Port(NamedTuple):
    """What goes in or comes out.

    Attributes
    ----------
    shape : tuple of int or str
        An axis of any length by its name; ``"?"`` has none. ``("...",)`` if the number of axes is not known.
    dtype : dtype
    is_sequence : bool
        Whether it is a list of such, each of a shape of its own.
    """

    shape: tuple[int | str, ...]
    dtype: np.dtype[Any]
    is_sequence: bool = False

    def __str__(self) -> str:
        """As it reads on a screen: ``(T, batch, 8) float32``."""
        return f"{'list of ' * self.is_sequence}{self.axes} {self.dtype}"

    @property
    def axes(self) -> str:
        """The shape as it reads on a screen."""
        axes = ", ".join(printable(str(size)) for size in self.shape)
        return f"({axes}{',' * (len(self.shape) == 1)})"


class Layer(NamedTuple):
    """One layer or node of a model.

    Attributes
    ----------
    name, kind : str
    inputs, outputs : tuple of str
    parameters : int
        How many numbers it learns.
    recurrent : bool
        Whether a call has a run of it.
    note : str
        Its sizes and options.
    """

    name: str
    kind: str
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    parameters: int = 0
    recurrent: bool = False
    note: str = ""


class Call(Mapping[str, Tensor]):
    """What a model gives for some inputs: its outputs by name.

    Attributes
    ----------
    runs : dict of str to Run
        Of every recurrent layer or node, both directions and stacked cells together.
    """

    def __init__(self, outputs: Mapping[str, Tensor], runs: Mapping[str, Run]) -> None:
        self._outputs = dict(outputs)
        self.runs = dict(runs)

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._outputs:
            raise KeyError(f"no output {name!r}{_nearest(name, self)}; there are {', '.join(map(printable, self))}")
        return self._outputs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._outputs)

    def __len__(self) -> int:
        return len(self._outputs)

    def __repr__(self) -> str:
        shapes = {name: getattr(value, "shape", f"{type(value).__name__}") for name, value in self.items()}
        outputs = ", ".join(f"{printable(name)} {shape}" for name, shape in shapes.items())
        runs = ", ".join(f"{printable(name)} ({counted(len(run), 'step')})" for name, run in self.runs.items())
        return f"Call: {outputs}; runs: {runs or 'none'}"


class Program(Protocol):
    """What a format brings: a model as something that can be run.

    Attributes
    ----------
    format, producer : str
        "ONNX"; "pytorch 2.13.0, opset 18".
    inputs, outputs : dict of str to Port
    optional : frozenset of str
        Inputs that may be left out.
    layers : tuple of Layer
    """

    format: str
    producer: str
    inputs: dict[str, Port]
    outputs: dict[str, Port]
    optional: frozenset[str]
    layers: tuple[Layer, ...]

    def run(
        self, values: dict[str, Tensor], parameters: Mapping[str, Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Run]]:
        """The outputs, and the runs of the recurrent parts."""
        ...


class Imported(Parametrised):
    """A model of somebody else's: call it like a function of its inputs.

    Made by :func:`tinygrad_rnn.load_onnx`, :func:`~tinygrad_rnn.load_keras` and :func:`~tinygrad_rnn.from_jax`. Names
    and layout of the parameters are the model's own, and gradients reach them; recurrent parts run as cells of ours, so
    that every analysis and drawing takes ``call.runs[name]``.

    Attributes
    ----------
    name : str
        Of the file or function.
    format, producer : str
    inputs, outputs : dict of str to Port
        Shapes and dtypes; an axis of any length has a name.
    optional : frozenset of str
        Inputs that may be left out.
    layers : tuple of Layer
    """

    def __init__(self, program: Program, parameters: Mapping[str, Any], name: str) -> None:
        self._program = program
        self._parameters = {key: _leaf(key, value) for key, value in parameters.items()}
        self.name = name
        self.format, self.producer = program.format, program.producer
        self.inputs, self.outputs, self.optional = program.inputs, program.outputs, program.optional
        self.layers = program.layers

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Pairs of name and parameter, as the file has them."""
        yield from self._parameters.items()

    def astype(self, dtype: Any) -> Imported:
        """The same model with parameters and inputs in another precision, in which it then computes."""
        chosen = np.dtype(dtype)
        parameters = {name: p.data.astype(chosen) if p.requires_grad else p.data for name, p in self.named_parameters()}
        found = Imported(self._program, parameters, self.name)
        found.inputs = {
            name: port._replace(dtype=chosen) if port.dtype.kind == "f" else port for name, port in self.inputs.items()
        }
        return found

    def __call__(self, *args: Any, **named: Any) -> Call:
        """Run the model.

        Parameters
        ----------
        *args, **named : array or Tensor
            The inputs, by position or by name.

        Returns
        -------
        Call
            A mapping of output names to Tensors, with ``.runs``.

        Raises
        ------
        TypeError
            If an input is missing, unknown or given twice.
        ValueError
            If one has the wrong dtype, number of axes or size.
        """
        given = self._given(args, named)
        sizes: dict[str, tuple[int, str]] = {}
        values = {name: self._value(name, given[name], sizes) for name in self.inputs if name in given}
        return Call(*self._program.run(values, self._parameters))

    def _given(self, args: tuple[Any, ...], named: Mapping[str, Any]) -> dict[str, Any]:
        names = tuple(self.inputs)
        if len(args) > len(names):
            raise TypeError(f"{self._who}: takes {counted(len(names), 'input')} {self._listed}, got {len(args)}")
        given = dict(zip(names, args, strict=False))
        for name, value in named.items():
            if name not in self.inputs:
                raise TypeError(f"{self._who}: no input {name!r}{_nearest(name, names)}; there are {self._listed}")
            if name in given:
                raise TypeError(f"{self._who}: input {name!r} is given twice")
            given[name] = value
        given = {name: v for name, v in given.items() if v is not None or name not in self._program.optional}
        missing = [name for name in names if name not in given and name not in self.optional]
        if missing:
            wanted = ", ".join(f"{printable(name)} {self._in_file(name)}" for name in missing)
            raise TypeError(f"{self._who}: missing {wanted}")
        return given

    @property
    def _who(self) -> str:
        return printable(self.name)

    def _in_file(self, name: str) -> Port:
        """An input as its file has it, whatever :meth:`astype` has made of it."""
        return self._program.inputs[name]

    @property
    def _listed(self) -> str:
        return f"({', '.join(map(printable, self.inputs))})"

    def _value(self, name: str, value: Any, sizes: dict[str, tuple[int, str]]) -> Any:
        """An input as Tensors that fit; `sizes` are those of the axes with names so far, and who has them."""
        port = self.inputs[name]
        if port.is_sequence and isinstance(value, (list, tuple)):
            return [self._tensor(name, part, port, {}) for part in value]
        return self._tensor(name, value, port, sizes)

    def _tensor(self, name: str, value: Any, port: Port, sizes: dict[str, tuple[int, str]]) -> Tensor:
        if isinstance(value, Tensor) and (value.dtype.kind != "f" or port.dtype.kind == "f"):
            tensor = value
        else:
            array = _as_whole(value) if isinstance(value, Tensor) else np.asarray(value)
            if not np.can_cast(array.dtype, port.dtype, "same_kind") and not _is_whole(array, port.dtype):
                raise ValueError(f"{self._who}: input {name!r} holds {self._in_file(name).dtype}, got {array.dtype}")
            tensor = Tensor(array.astype(port.dtype))
        if port.shape == ("...",):
            return tensor
        wrong = len(tensor.shape) != len(port.shape)
        for size, wanted in zip(tensor.shape, port.shape, strict=False):
            if isinstance(wanted, int):
                wrong |= size != wanted
            elif wanted != "?" and sizes.setdefault(wanted, (size, name))[0] != size:
                known, other = sizes[wanted]
                raise ValueError(
                    f"{self._who}: {printable(wanted)} is {known} in input {other!r} and {size} in {name!r}"
                )
        if wrong:
            raise ValueError(f"{self._who}: input {name!r} is {self._in_file(name)}, got {tensor.shape}")
        return tensor

    def __repr__(self) -> str:
        return f"Imported({self._who}: {self.format}, {counted(len(self.layers), 'layer')})"

    def __str__(self) -> str:
        """One screen: what is in the model."""
        shown = _most_telling(self.layers)
        rows = [("layer", "kind", "parameters", "")]
        rows += [
            (printable(layer.name), layer.kind, f"{layer.parameters:,}" if layer.parameters else "", layer.note)
            for layer in shown
        ]
        widths = [max(len(row[k]) for row in rows) for k in range(3)]
        total = sum(parameter.size for parameter in self.parameters())
        recurrent = sum(layer.recurrent for layer in self.layers)
        return "\n".join(
            [
                f"{self._who}: {self.format}, {printable(self.producer)}",
                f"{counted(len(self.layers), 'layer')}, {recurrent} recurrent; {counted(total, 'parameter', ',')}",
                *(
                    f"  in   {printable(name)} {port}{', may be left out' * (name in self._program.optional)}"
                    for name, port in self.inputs.items()
                ),
                *(f"  out  {printable(name)} {port}" for name, port in self.outputs.items()),
                *(
                    f"  {name:{widths[0]}}  {kind:{widths[1]}}  {size:>{widths[2]}}  {note}".rstrip()
                    for name, kind, size, note in rows
                ),
                *[f"  and {len(self.layers) - len(shown)} smaller ones"] * (len(shown) < len(self.layers)),
            ]
        )


_SCREEN = 40
"""Layers that are listed."""


def _most_telling(layers: tuple[Layer, ...]) -> list[Layer]:
    """As many layers as fit on a screen, in their order: recurrent ones first, then the largest."""
    ranked = sorted(range(len(layers)), key=lambda k: (not layers[k].recurrent, -layers[k].parameters, k))
    return [layers[k] for k in sorted(ranked[:_SCREEN])]


def cell_of(network: Network, weights: Mapping[str, Tensor]) -> Network:
    """A network that computes with other weights in place of its parameters, such as ones computed from a file's.

    Parameters
    ----------
    network : Cell, Bidirectional or Stacked
        Just made: it is changed, and given back.
    weights : mapping of str to Tensor
        By the names of its parameters; all of them.

    Raises
    ------
    ValueError
        If names or shapes differ.
    """
    own = dict(network.named_parameters())
    if own.keys() != weights.keys():
        raise ValueError(f"{network!r} has the weights {', '.join(own)}, not {', '.join(weights)}")
    for name, parameter in own.items():
        if parameter.shape != weights[name].shape:
            raise ValueError(f"{network!r}: {name} has shape {parameter.shape}, not {weights[name].shape}")
    instead = {parameter.id: weights[name] for name, parameter in own.items()}
    for name, weight in weights.items():
        if weight.op is not None and weight.name is None:
            weight.name = name  # as which it is drawn
    for cell in _cells(network):
        for holder in (vars(cell), cell._parameters):
            for name, value in holder.items():
                if isinstance(value, Tensor) and value.id in instead:
                    holder[name] = instead[value.id]
    network._after_load()
    return network


def _cells(network: Cell | Bidirectional | Stacked) -> Iterator[Cell]:
    if isinstance(network, Cell):
        yield network
        return
    parts = network.layers if isinstance(network, Stacked) else (network.forward, network.backward)
    for part in parts:
        yield from _cells(part)


def _leaf(name: str, value: Any) -> Tensor:
    array = np.asarray(value)
    return Tensor(np.array(array), array.dtype.kind == "f", name)


def _as_whole(value: Tensor) -> Array:
    """The numbers of a Tensor, which are floating ones unless asked for, as integers if that is what they are."""
    array = value.data
    whole = array.astype(np.int64) if not value.requires_grad and np.all(np.abs(array) < 2**53) else array
    return whole if np.array_equal(whole, array) else array


def _is_whole(array: Array, dtype: np.dtype[Any]) -> bool:
    """Whether all numbers are in the range of another kind of integers; lists of Python's come as int64."""
    if array.dtype.kind not in "iub" or dtype.kind not in "iu":
        return False
    limits = np.iinfo(dtype)
    return not array.size or bool(array.min() >= limits.min and array.max() <= limits.max)


def _nearest(name: str, names: Any) -> str:
    near = get_close_matches(name, list(names), n=1)
    return f"; did you mean {printable(near[0])!r}?" if near else ""

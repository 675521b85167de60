"""What a layer of Keras' is here: options, variables with names and shapes, and what it computes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from ...autodiff import primitives as p
from ...autodiff.scope import scope
from ...autodiff.tensor import Tensor
from ...recurrent.unroll import Run
from ..weights import printable
from .config import Config, Shape

Array = npt.NDArray[Any]
Kind = TypeVar("Kind", bound="type[KerasLayer]")

__all__ = ["LAYERS", "Arguments", "Frame", "KerasLayer", "Reference", "Signal", "Variable", "register"]


class Reference(NamedTuple):
    """What the n-th call of a layer gave out."""

    layer: str
    node: int
    tensor: int


class Signal(NamedTuple):
    """A value on its way between layers, and which timesteps count, (batch, T); None if all do."""

    value: Any
    mask: Array | None = None


@dataclass
class Variable:
    """A variable of a layer's.

    Attributes
    ----------
    name : str
        The whole path, as Keras calls it.
    shape : tuple of int
    trainable, used : bool
        Whether the layer may learn it, and whether anything is computed with it.
    """

    name: str
    shape: tuple[int, ...]
    trainable: bool = True
    used: bool = True

    @property
    def base(self) -> str:
        """The last part of the name."""
        return self.name.rpartition("/")[2]


@dataclass
class Frame:
    """One call of a model: its parameters, and the runs made so far."""

    parameters: Mapping[str, Tensor]
    runs: dict[str, Run] = field(default_factory=dict)

    def __getitem__(self, variable: Variable) -> Tensor:
        return self.parameters[variable.name]

    def keep(self, name: str, run: Run) -> None:
        """Keep the run of a layer; of one called several times the later ones as ``name:1``."""
        count = sum(known == name or known.startswith(f"{name}:") for known in self.runs)
        self.runs[f"{name}:{count}" if count else name] = run


class Arguments(NamedTuple):
    """What a call gives a layer besides its inputs: by name Signals, lists of them, and plain values."""

    named: Mapping[str, Any]

    def signals(self, name: str) -> list[Signal]:
        """Those of one name, flat."""
        found: list[Signal] = []
        todo = [self.named.get(name)]
        while todo:
            value = todo.pop()
            if isinstance(value, Signal):
                found.append(value)
            elif isinstance(value, (list, tuple)):
                todo += reversed(value)
        return found


class KerasLayer:
    """A layer.

    Parameters
    ----------
    name : str
        Its own.
    path : str
        Its name behind those of the models and layers that it lies in.
    config : Config
    maker : callable
        From a layer's JSON object and its path to the layer, for those that hold others.
    """

    kind: str = ""
    keeps_mask: ClassVar[bool] = False
    takes_integers: ClassVar[bool] = False
    takes: ClassVar[tuple[int, int]] = (1, 1)
    knows: ClassVar[frozenset[str]] = frozenset()
    recurrent: bool = False

    def __init__(self, name: str, path: str, config: Config, maker: Callable[[Any, str], KerasLayer]) -> None:
        self.name, self.path, self.config, self._maker = name, path, config, maker
        self.variables: dict[str, Variable] = {}
        self.parts: dict[str, Any] = {}
        self.note = ""
        self.setup()
        self.is_trainable = config.flag("trainable", True)

    # ------------------------------------------------------------------- what a kind of layer says

    def setup(self) -> None:
        """Read the options."""

    def build(self, shapes: list[Shape], named: Mapping[str, Any]) -> list[Shape]:
        """Declare variables for inputs of these shapes; the shapes of the outputs."""
        return [self.shape_after(shapes[0])]

    def shape_after(self, shape: Shape) -> Shape:
        """Of a layer with one input and output."""
        return shape

    def run(self, frame: Frame, inputs: list[Signal], call: Arguments) -> list[Signal]:
        """The outputs."""
        return [Signal(self.compute(frame, inputs[0].value), inputs[0].mask if self.keeps_mask else None)]

    def compute(self, frame: Frame, x: Any) -> Any:
        """Of a layer with one input and output."""
        raise NotImplementedError

    # --------------------------------------------------------------------------------- for others

    def built(self, shapes: list[Shape], named: Mapping[str, Any]) -> list[Shape]:
        """:meth:`build`, once the inputs are as many as the layer takes."""
        least, most = self.takes
        if not least <= len(shapes) <= most:
            self.config.fail(
                f"is called with {len(shapes)} inputs, not {least if least == most else f'{least} to {most}'}"
            )
        for name, value in named.items():
            plain = name.removesuffix(" shapes")
            if plain not in self.knows and plain not in ("training", "mask") and value not in (None, False):
                self.config.refuse(f"is called with {printable(str(name))}=, which is not supported")
        return self.build(shapes, named)

    def called(self, frame: Frame, inputs: list[Signal], call: Arguments) -> list[Signal]:
        """:meth:`run`, in the layer's scope, on values of its dtype."""
        given = call.named.get("mask")
        masks = given if isinstance(given, list) else [given]
        inputs = [
            Signal(signal.value, as_array(mask.value).astype(bool)) if isinstance(mask, Signal) else signal
            for signal, mask in itertools.zip_longest(inputs, masks[: len(inputs)])
        ]
        with scope(self.name):
            return self.run(frame, [self._cast(signal) for signal in inputs], call)

    def _cast(self, signal: Signal) -> Signal:
        value, dtype = signal.value, self.config.dtype
        if self.takes_integers or value.dtype == dtype or dtype.kind != "f":
            return signal
        return Signal(p.astype(value, dtype), signal.mask)

    def variable(
        self, name: str, shape: Sequence[int | None], *, trainable: bool = True, used: bool = True
    ) -> Variable:
        """Declare a variable; once more, when the layer is called again, with the same shape."""
        if any(size is None for size in shape):
            self.config.fail(f"has an input of unknown width, so that its {name} {tuple(shape)} has no shape")
        sizes = tuple(int(size or 0) for size in shape)
        known = self.variables.get(name)
        if known is None:
            known = self.variables[name] = Variable(f"{self.path}/{name}", sizes, trainable and self.is_trainable, used)
        elif known.shape != sizes:
            self.config.fail(f"is called with inputs that need a {name} {known.shape} and one {sizes}")
        return known

    def part(self, key: str, layer: Any, path: str | None = None) -> KerasLayer:
        """A layer inside, out of its JSON object; `key` is the attribute by which Keras holds it."""
        made = self._maker(layer, self.path)
        self.parts[key] = made
        return made

    def all_variables(self) -> Iterator[Variable]:
        """Its own and those of the layers inside, in Keras' order."""
        yield from self.variables.values()
        for part in self.parts.values():
            for layer in part if isinstance(part, list) else [part]:
                yield from layer.all_variables()

    def rank(self, shape: Shape, *ranks: int) -> None:
        """Refuse an input with another number of axes."""
        if len(shape) not in ranks:
            self.config.fail(f"has an input with {len(shape)} axes, must have {' or '.join(map(str, ranks))}")

    def axis(self, axis: int, shape: Shape) -> int:
        """An axis counted from the front."""
        if not -len(shape) <= axis < len(shape):
            self.config.fail(f"has axis {axis}, its input {len(shape)}")
        return axis % len(shape)


LAYERS: dict[str, type[KerasLayer]] = {}
"""Every layer that is known, by the name of Keras' class."""


def register(*names: str) -> Callable[[Kind], Kind]:
    """A class that stands for Keras' classes of these names."""

    def enter(kind: Kind) -> Kind:
        LAYERS.update(dict.fromkeys(names, kind))
        return kind

    return enter


def as_array(value: Any) -> Array:
    """The numbers of a Tensor or array."""
    return np.asarray(value.data if isinstance(value, Tensor) else value)

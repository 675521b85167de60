"""Several cells as one: layers above each other, and the two directions of time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from ..autodiff.tensor import Tensor
from ..plurals import counted
from .cell import Cell, Parametrised

__all__ = ["Bidirectional", "Layer", "Stacked"]

_REVERSE = "_reverse"


class Directions(NamedTuple):
    """The states of the two directions."""

    forward: Any
    backward: Any


class Bidirectional(Parametrised):
    """One cell that reads the sequence forwards and one that reads it backwards (Schuster & Paliwal 1997).

    The outputs are the two hidden states side by side: (batch, hidden of both). Parameters of the
    backward cell carry the suffix ``_reverse``, as in ``torch.nn.LSTM(bidirectional=True)``.

    Parameters
    ----------
    forward, backward : Cell
        Of the same input size.

    Raises
    ------
    ValueError
        If the input sizes differ, or both are the same object.
    """

    def __init__(self, forward: Cell, backward: Cell) -> None:
        for cell in (forward, backward):
            if not isinstance(cell, Cell):
                raise TypeError(f"Bidirectional: a direction must be a Cell, got {type(cell).__name__}")
        if forward is backward:
            raise ValueError("Bidirectional: the two directions must be two cells, not one used twice")
        if forward.input_size != backward.input_size:
            raise ValueError(f"Bidirectional: input sizes {forward.input_size} and {backward.input_size} differ")
        self.forward = forward
        self.backward = backward
        self.input_size = forward.input_size
        self.hidden_size = forward.hidden_size + backward.hidden_size
        self.dtype: np.dtype[Any] = forward.dtype

    @property
    def is_compiled(self) -> bool:
        """Whether a cell in it is compiled."""
        return self.forward.is_compiled or self.backward.is_compiled

    @property
    def initialisation(self) -> str:
        """How the parameters were filled."""
        return self.forward.initialisation

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        yield from self.forward.named_parameters()
        for name, parameter in self.backward.named_parameters():
            yield name + _REVERSE, parameter

    def initial_state(self, batch: int) -> Directions:
        """The initial states of both directions."""
        return Directions(self.forward.initial_state(batch), self.backward.initial_state(batch))

    def _after_load(self) -> None:
        self.forward._after_load()
        self.backward._after_load()

    def __repr__(self) -> str:
        return f"Bidirectional({self.forward!r}, {self.backward!r})"


class Stacked(Parametrised):
    """Layers above each other: the outputs of one are the inputs of the next.

    Parameters of layer k carry the suffix ``_lk``, as in ``torch.nn.LSTM(num_layers=...)``.

    Parameters
    ----------
    *layers : Cell or Bidirectional
        From the bottom up.

    Raises
    ------
    ValueError
        If there is no layer, a layer is used twice, or its input size is not the width below it.
    """

    def __init__(self, *layers: Layer) -> None:
        if len(layers) == 1 and isinstance(layers[0], (list, tuple)):
            layers = tuple(layers[0])
        if not layers:
            raise ValueError("Stacked: give at least one layer")
        for layer in layers:
            if not isinstance(layer, (Cell, Bidirectional)):
                raise TypeError(f"Stacked: a layer must be a Cell or Bidirectional, got {type(layer).__name__}")
        for k, (below, above) in enumerate(itertools.pairwise(layers)):
            if above.input_size != below.hidden_size:
                raise ValueError(
                    f"Stacked: layer {k + 1} reads {counted(above.input_size, 'feature')}, layer {k} gives"
                    f" {below.hidden_size}"
                )
        if len({id(layer) for layer in layers}) < len(layers):
            raise ValueError("Stacked: a layer is used twice; its parameters would be shared")
        self.layers = layers
        self.input_size = layers[0].input_size
        self.hidden_size = layers[-1].hidden_size
        self.dtype: np.dtype[Any] = layers[0].dtype

    @property
    def is_compiled(self) -> bool:
        """Whether a cell in it is compiled."""
        return any(layer.is_compiled for layer in self.layers)

    @property
    def initialisation(self) -> str:
        """How the parameters were filled."""
        return self.layers[0].initialisation

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        for k, layer in enumerate(self.layers):
            for name, parameter in layer.named_parameters():
                base, reverse = (name[: -len(_REVERSE)], _REVERSE) if name.endswith(_REVERSE) else (name, "")
                yield f"{base}_l{k}{reverse}", parameter

    def initial_state(self, batch: int) -> tuple[Any, ...]:
        """The initial state of every layer."""
        return tuple(layer.initial_state(batch) for layer in self.layers)

    def _after_load(self) -> None:
        for layer in self.layers:
            layer._after_load()

    def __repr__(self) -> str:
        return f"Stacked({', '.join(map(repr, self.layers))})"


Layer: TypeAlias = Cell | Bidirectional

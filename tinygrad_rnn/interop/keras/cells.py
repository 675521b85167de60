"""Keras' recurrent cells as ours, their weights computed from Keras' variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...autodiff import functions
from ...autodiff import primitives as p
from ...autodiff.tensor import Tensor
from ...cells import GRUCell, GRUResetBeforeCell, LSTMCell, RNNCell
from ...recurrent.cell import Cell
from ...recurrent.stacks import Stacked
from ..activated_cells import ActivatedGRUCell, ActivatedGRUResetBeforeCell, ActivatedLSTMCell, ActivatedRNNCell
from ..imported import cell_of
from .activations import activation_of
from .config import Shape
from .layer import Frame, KerasLayer, register

__all__ = ["KerasCell", "StackedCells"]


class KerasCell(KerasLayer):
    """One step of time: variables, and a cell of ours that computes with them."""

    gates = 1
    default_gate = ""
    states = 1
    takes = (1, 1)

    def setup(self) -> None:
        self.units = self.config.integer("units")
        self.has_bias = self.config.flag("use_bias", True)
        self.activation = activation_of(self.config, "activation", "tanh")
        older = self.config.keras < (3,)
        self.gate = activation_of(self.config, "recurrent_activation", "hard_sigmoid" if older else "sigmoid")

    @property
    def sizes(self) -> list[int]:
        """Of the states, in Keras' order."""
        return [self.units] * self.states

    @property
    def output_size(self) -> int:
        """Of what goes to the next layer."""
        return self.units

    @property
    def bias_shape(self) -> tuple[int, ...]:
        """Of all gates."""
        return (self.gates * self.units,)

    def shape_after(self, shape: Shape) -> Shape:
        self.features = shape[-1]
        rows = self.gates * self.units
        self.kernel = self.variable("kernel", (shape[-1], rows))
        self.recurrent_kernel = self.variable("recurrent_kernel", (self.units, rows))
        self.bias = self.variable("bias", self.bias_shape) if self.has_bias else None
        return (shape[0], self.units)

    def cell(self, frame: Frame) -> Cell:
        """A cell of ours."""
        kernel, recurrent = frame[self.kernel], frame[self.recurrent_kernel]
        made = self.make(
            int(self.features or 0), self.units, bias=self.has_bias, dtype=kernel.dtype, seed=0, init="pytorch"
        )
        weights = self.weights(kernel, recurrent, None if self.bias is None else frame[self.bias])
        return cell_of(made, weights)

    def make(self, *sizes: int, **options: Any) -> Cell:
        """The cell, still with weights of its own."""
        raise NotImplementedError

    def weights(self, kernel: Tensor, recurrent: Tensor, bias: Tensor | None) -> Mapping[str, Tensor]:
        """Ours, computed from Keras'."""
        found = {"weight_ih": kernel.T, "weight_hh": recurrent.T}
        return found if bias is None else {**found, "bias_ih": bias, "bias_hh": _zeros(bias.shape, bias.dtype)}


def _zeros(shape: tuple[int, ...], dtype: Any) -> Tensor:
    return Tensor(np.zeros(shape, dtype), name="0")


def _is_plain(cell: KerasCell) -> bool:
    return cell.activation is p.tanh and cell.gate is p.sigmoid


@register("SimpleRNNCell")
class SimpleRNN(KerasCell):
    """One matrix, one function."""

    def make(self, *sizes: int, **options: Any) -> Cell:
        if self.activation in (p.tanh, p.relu):
            name = "tanh" if self.activation is p.tanh else "relu"
            return RNNCell(*sizes, nonlinearity=name, **options)
        return ActivatedRNNCell(*sizes, output=self.activation, **options)


@register("LSTMCell")
class LSTM(KerasCell):
    """Gates in the order i, f, c, o, as ours."""

    gates, states = 4, 2

    def make(self, *sizes: int, **options: Any) -> Cell:
        if _is_plain(self):
            return LSTMCell(*sizes, **options)
        return ActivatedLSTMCell(*sizes, gate=self.gate, candidate=self.activation, output=self.activation, **options)


@register("GRUCell")
class GRU(KerasCell):
    """Gates in the order z, r, h; ours are r, z, n."""

    gates = 3

    def setup(self) -> None:
        super().setup()
        self.resets_after = self.config.flag("reset_after", self.config.keras >= (3,))

    @property
    def bias_shape(self) -> tuple[int, ...]:
        return (2, 3 * self.units) if self.resets_after else (3 * self.units,)

    def make(self, *sizes: int, **options: Any) -> Cell:
        kinds: tuple[type[Cell], type[Cell]] = (GRUResetBeforeCell, ActivatedGRUResetBeforeCell)
        if self.resets_after:
            kinds = (GRUCell, ActivatedGRUCell)
        if _is_plain(self):
            return kinds[0](*sizes, **options)
        return kinds[1](*sizes, gate=self.gate, candidate=self.activation, **options)  # type: ignore[call-arg]

    def weights(self, kernel: Tensor, recurrent: Tensor, bias: Tensor | None) -> Mapping[str, Tensor]:
        if self.resets_after:
            biases = [] if bias is None else [_resorted(bias[0], 0), _resorted(bias[1], 0)]
            return _pytorch(_resorted(kernel, 1).T, _resorted(recurrent, 1).T, *biases)
        found: dict[str, Tensor] = {}
        for letter, value in (("W", kernel), ("R", recurrent)):
            z, r, n = functions.split(value, 3, axis=1)
            found |= {f"{letter}_r": r.T, f"{letter}_z": z.T, f"{letter}_n": n.T}
        if bias is not None:
            z, r, n = functions.split(bias, 3)
            found |= {"b_r": r, "b_z": z, "b_n": n}
        return found


def _resorted(value: Any, axis: int) -> Any:
    z, r, n = functions.split(value, 3, axis=axis)
    return functions.concatenate([r, z, n], axis)


def _pytorch(weight_ih: Tensor, weight_hh: Tensor, *biases: Tensor) -> dict[str, Tensor]:
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    return dict(zip(names, (weight_ih, weight_hh, *biases), strict=False))


class CuDNN(KerasCell):
    """A cell as cuDNN keeps it: for each gate a matrix (units, features), written over the shape of its transpose.

    See ``_convert_rnn_weights`` in Keras 2: there is a second bias, too.
    """

    @property
    def bias_shape(self) -> tuple[int, ...]:
        return (2 * self.gates * self.units,)

    def setup(self) -> None:
        super().setup()
        self.gate, self.activation = p.sigmoid, p.tanh

    def weights(self, kernel: Tensor, recurrent: Tensor, bias: Tensor | None) -> Mapping[str, Tensor]:
        rows = [p.reshape(part, (self.units, -1)) for part in functions.split(kernel, self.gates, axis=1)]
        square = functions.split(recurrent, self.gates, axis=1)
        biases = [] if bias is None else [functions.split(half, self.gates) for half in functions.split(bias, 2)]
        parts = [rows, square, *biases]
        if self.gates == 3:
            parts = [[r, z, n] for z, r, n in parts]
        return _pytorch(*[functions.concatenate(part, 0) for part in parts])


@register("CuDNNLSTMCell")
class CuDNNLSTM(CuDNN):
    """Gates in the order i, f, c, o."""

    gates, states = 4, 2

    def make(self, *sizes: int, **options: Any) -> Cell:
        return LSTMCell(*sizes, **options)


@register("CuDNNGRUCell")
class CuDNNGRU(CuDNN):
    """Gates in the order z, r, h; reset after the product."""

    gates = 3

    def make(self, *sizes: int, **options: Any) -> Cell:
        return GRUCell(*sizes, **options)


@register("StackedRNNCells")
class StackedCells(KerasLayer):
    """Cells above each other."""

    def setup(self) -> None:
        given = self.config.get("cells")
        if not isinstance(given, list) or not given:
            self.config.fail("has no cells")
        made = [self._maker(cell, self.path) for cell in given]
        for cell in made:
            if not isinstance(cell, KerasCell):
                self.config.refuse(f"stacks a {cell.kind}; cells of LSTM, GRU and SimpleRNN are supported")
        self.cells: list[KerasCell] = [cell for cell in made if isinstance(cell, KerasCell)]
        self.parts["cells"] = self.cells

    @property
    def sizes(self) -> list[int]:
        """Of the states of all cells."""
        return [size for cell in self.cells for size in cell.sizes]

    @property
    def output_size(self) -> int:
        """Of the last cell."""
        return self.cells[-1].units

    def shape_after(self, shape: Shape) -> Shape:
        for cell in self.cells:
            shape = cell.shape_after(shape)
        return shape

    def cell(self, frame: Frame) -> Stacked:
        """A stack of ours."""
        return Stacked(*[cell.cell(frame) for cell in self.cells])

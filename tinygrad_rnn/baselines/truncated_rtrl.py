"""How LSTM learned in 1997: truncated real-time recurrent learning, written out by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..autodiff.primitives import sigmoid
from ..cells.lstm1997 import SQUASH, LSTM1997Cell
from ..models import Linear
from ..plurals import counted
from ..recurrent.cell import Parametrised

Array = npt.NDArray[Any]

__all__ = ["Net", "check_net", "truncated_rtrl_gradients"]

_SLOPES: dict[str, Callable[[Array], Array]] = {
    "g": lambda v: (2.0 + v) * (2.0 - v) / 4.0,
    "h": lambda v: (1.0 + v) * (1.0 - v) / 2.0,
    "sigmoid": lambda v: v * (1.0 - v),
    "tanh": lambda v: 1.0 - v * v,
    "identity": np.ones_like,
}
"""The derivatives of the squashing functions, told from their values."""


def truncated_rtrl_gradients(
    cell: LSTM1997Cell, readout: Linear, inputs: Any, targets: Any, mask: Any
) -> dict[str, Array]:
    """Gradients of ``1/2 sum (t - y)**2`` over the asked positions, as the paper computes them.

    With e for the errors that the paper calls by the same letter, y for what feeds a unit, and the outputs
    of a step computed from the memory cells of that step::

        e_k = f'(net_k) (t_k - y_k)                                                    (19)
        e_out = f'(net_out) sum_v h(s_v) sum_k w_kv e_k                                (21)
        e_s,v = y_out h'(s_v) sum_k w_kv e_k                                           (23)
        ds_v/dw_in,m = ds_v/dw_in,m + g(net_v) f'(net_in) y_m                          (25)
        ds_v/dw_v,m  = ds_v/dw_v,m  + g'(net_v) y_in y_m                               (27)
        -dE/dw_km = e_k y_m,   -dE/dw_out,m = e_out y_m                                (22)
        -dE/dw_in,m = sum_v e_s,v ds_v/dw_in,m,   -dE/dw_vm = e_s,v ds_v/dw_vm         (26, 28)

    Time runs forwards only, and what is stored does not grow with T. This is what reverse-mode
    differentiation gives for ``LSTM1997Cell(truncated=True)``.

    Hochreiter & Schmidhuber 1997, appendix A.1.

    Parameters
    ----------
    cell : LSTM1997Cell
        With ``truncated=True``.
    readout : Linear
        In front of logistic outputs; it may see the inputs beside the memory cells.
    inputs : (T, batch, input_size)
    targets : (T, batch, output_size)
    mask : (T, batch) of bool
        Where an output is asked for.

    Returns
    -------
    dict of str to ndarray
        By the names in ``SequenceModel(cell, ...)``: ``cell.W_i``, ..., ``readout.weight``.

    Raises
    ------
    TypeError
        If `cell` is no LSTM1997Cell or `readout` no Linear.
    ValueError
        If the cell is not truncated, or shapes do not fit.
    """
    who = "truncated_rtrl_gradients"
    net = Net(who, cell, readout)
    x, t, asked = np.asarray(inputs, float), np.asarray(targets, float), np.asarray(mask, bool)
    if x.ndim != 3 or x.shape[2] != net.inputs:
        raise ValueError(f"{who}: inputs must be (T, batch, {net.inputs}), got {x.shape}")
    if t.shape != (*x.shape[:2], net.outputs) or asked.shape != x.shape[:2]:
        raise ValueError(
            f"{who}: inputs {x.shape} need targets {(*x.shape[:2], net.outputs)} and mask {x.shape[:2]}, "
            f"got {t.shape} and {asked.shape}"
        )
    weights = net.pack(net.arrays(cell, readout))
    totals = [np.zeros_like(matrix) for matrix in weights]
    net.begin(x.shape[1])
    for now, target, wanted in zip(x, t, asked, strict=True):
        y = net.forward(weights, now)
        if wanted.any():
            for total, share in zip(totals, net.gradients(weights, (y - target) * wanted[:, None]), strict=True):
                total += share.sum(axis=0)
    return net.unpack(totals)


class Net:
    """The equations, for nets along a leading axis; weights may have that axis too, or be shared.

    All weights are two matrices. In the first, rows are input gates, output gates and memory cells, columns
    the inputs, what feeds back, and 1; in the second, rows are outputs, columns the memory cells, the inputs
    if they are seen, and 1.
    """

    def __init__(self, who: str, cell: Any, readout: Any) -> None:
        check_net(who, cell, readout)
        self.inputs, self.cells, self.blocks = cell.input_size, cell.hidden_size, cell.blocks
        self.outputs, self.sees_inputs = readout.output_size, readout.input_size > cell.hidden_size
        self.gates = ["i", "o"] if cell.output_gate else ["i"]
        self.fed_back = self.cells + len(self.gates) * self.blocks if cell.recurrent else 0
        names = {function: name for name, function in SQUASH.items()}
        self.g, self.g_slope = cell.g, _SLOPES[names[cell.g]]
        self.h, self.h_slope = cell.h, _SLOPES[names[cell.h]]
        self.places = self._places(cell, readout)
        self.exists = self.pack({name: np.ones(array.shape) for name, array in self.arrays(cell, readout).items()})

    def _places(self, cell: LSTM1997Cell, readout: Linear) -> dict[str, tuple[int, slice, Any]]:
        """For each parameter the matrix, the rows and the columns in which it lies."""
        width, B = self.inputs + self.fed_back, self.blocks
        rows = {gate: slice(k * B, (k + 1) * B) for k, gate in enumerate(self.gates)}
        rows["c"] = slice(len(self.gates) * B, None)
        columns = {"W": slice(self.inputs), "R": slice(self.inputs, width), "b": width}
        places: dict[str, tuple[int, slice, Any]] = {}
        for name, _ in cell.named_parameters():
            kind, gate = name.split("_")
            places[f"cell.{name}"] = (0, rows[gate], columns[kind])
        places["readout.weight"] = (1, slice(None), slice(readout.input_size))
        if readout.bias is not None:
            places["readout.bias"] = (1, slice(None), readout.input_size)
        return places

    def arrays(self, cell: Parametrised, readout: Parametrised) -> dict[str, Array]:
        """Every parameter by name."""
        own = {f"cell.{name}": array for name, array in cell.state_dict().items()}
        return own | {f"readout.{name}": array for name, array in readout.state_dict().items()}

    def pack(self, arrays: Mapping[str, Array]) -> list[Array]:
        """The two matrices of all parameters; what does not exist is 0."""
        lead = arrays["readout.weight"].shape[:-2]
        seen = self.cells + self.inputs * self.sees_inputs
        matrices = [
            np.zeros((*lead, len(self.gates) * self.blocks + self.cells, self.inputs + self.fed_back + 1)),
            np.zeros((*lead, self.outputs, seen + 1)),
        ]
        for name, (which, rows, columns) in self.places.items():
            matrices[which][..., rows, columns] = arrays[name]
        return matrices

    def unpack(self, matrices: Sequence[Array]) -> dict[str, Array]:
        """The parameters by name."""
        return {
            name: matrices[which][..., rows, columns].copy() for name, (which, rows, columns) in self.places.items()
        }

    def begin(self, count: int) -> None:
        """Start `count` sequences."""
        sources = self.inputs + self.fed_back + 1
        self.u = np.zeros((count, self.fed_back))
        self.s = np.zeros((count, self.cells))
        self.ds_din = np.zeros((count, self.cells, sources))
        self.ds_dc = np.zeros((count, self.cells, sources))
        self.one = np.ones((count, 1))

    def forget(self, k: int) -> None:
        """Start sequence `k` anew."""
        for memory in (self.u, self.s, self.ds_din, self.ds_dc):
            memory[k] = 0.0

    def forward(self, weights: Sequence[Array], x: Array) -> Array:
        """One step from inputs (nets, input_size) to outputs (nets, output_size), equations 25 and 27 included."""
        B = self.blocks
        self.y = np.concatenate([x, self.u, self.one], axis=1)
        net = _times(weights[0], self.y)
        self.gate = sigmoid(net[:, : -self.cells])
        slope = self.gate * (1.0 - self.gate)
        g = self.g(net[:, -self.cells :])
        i = self._of_cells(self.gate[:, :B])
        self.s += i * g
        self.ds_din += (g * self._of_cells(slope[:, :B]))[..., None] * self.y[:, None]
        self.ds_dc += (self.g_slope(g) * i)[..., None] * self.y[:, None]
        self.squashed = self.h(self.s)
        h = self.squashed * self._of_cells(self.gate[:, B:]) if "o" in self.gates else self.squashed
        if self.fed_back:
            self.u = np.concatenate([h, self.gate], axis=1)
        self.seen = np.concatenate([h, x, self.one] if self.sees_inputs else [h, self.one], axis=1)
        self.out = np.asarray(sigmoid(_times(weights[1], self.seen)))
        return self.out

    def gradients(self, weights: Sequence[Array], error: Array) -> list[Array]:
        """Equations 19 to 28 without the learning rate, each net's own, for the error ``y - t`` of this step."""
        B, count = self.blocks, len(error)
        e_k = error * self.out * (1.0 - self.out)
        into = np.matmul(e_k[:, None], weights[1][..., : self.cells])[:, 0]
        e_s = into * self.h_slope(self.squashed)
        rows = []
        if "o" in self.gates:
            o = self.gate[:, B:]
            e_s = e_s * self._of_cells(o)
            e_out = o * (1.0 - o) * (self.squashed * into).reshape(count, B, -1).sum(axis=2)
            rows = [e_out[..., None] * self.y[:, None]]
        d_in = (e_s[..., None] * self.ds_din).reshape(count, B, -1, self.y.shape[1]).sum(axis=2)
        hidden = np.concatenate([d_in, *rows, e_s[..., None] * self.ds_dc], axis=1)
        return [hidden * self.exists[0], e_k[..., None] * self.seen[:, None] * self.exists[1]]

    def _of_cells(self, blocks: Array) -> Array:
        """What belongs to blocks (nets, blocks), repeated for each of their memory cells."""
        size = self.cells // self.blocks
        return blocks if size == 1 else np.repeat(blocks, size, axis=1)


def _times(matrix: Array, vectors: Array) -> Array:
    """Matrix (..., rows, columns) times each of the vectors (nets, columns)."""
    if matrix.ndim == 2:
        return np.asarray(vectors @ matrix.T)
    return np.asarray(np.matmul(matrix, vectors[..., None])[..., 0])


def check_net(who: str, cell: Any, readout: Any) -> None:
    if not isinstance(cell, LSTM1997Cell):
        raise TypeError(f"{who}: cell must be an LSTM1997Cell, got {type(cell).__name__}")
    if not isinstance(readout, Linear):
        raise TypeError(f"{who}: readout must be a Linear, got {type(readout).__name__}")
    if not cell.truncated:
        raise ValueError(f"{who}: the rule is the truncated gradient; make the cell with truncated=True, got {cell!r}")
    if readout.input_size not in (cell.hidden_size, cell.hidden_size + cell.input_size):
        raise ValueError(
            f"{who}: readout must see {counted(cell.hidden_size, 'memory cell')}, or"
            f" {counted(cell.input_size, 'input')} as well, got {counted(readout.input_size, 'feature')}"
        )

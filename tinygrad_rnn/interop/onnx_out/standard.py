"""Cells that are one of ONNX's own recurrent operators: their weights in its layout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...cells import CIFGCell, GRUCell, GRUResetBeforeCell, IRNNCell, LSTMCell, NPCell, PeepholeLSTMCell, RNNCell
from ...recurrent.cell import Cell
from .model import Array, Graph, Operand, Value

__all__ = ["Standard", "recurrent", "standard_of"]

_ACTIVATIONS = {"tanh": "Tanh", "relu": "Relu", "sigmoid": "Sigmoid"}


class Standard(NamedTuple):
    """A cell as an operator.

    Attributes
    ----------
    kind : {"RNN", "LSTM", "GRU"}
    weights : dict of str to array
        W (G*H, I), R (G*H, H) and, if there are any, B (2*G*H,) and P (3*H,).
    activations : tuple of str
        Of the one direction; empty for the usual ones.
    options : dict
        Further attributes.
    """

    kind: str
    weights: dict[str, Array]
    activations: tuple[str, ...] = ()
    options: dict[str, int] = {}  # noqa: RUF012 - never changed

    def goes_with(self, other: Standard) -> bool:
        """Whether both can be the two directions of one node."""
        return (
            self.kind == other.kind
            and self.options == other.options
            and {name: array.shape for name, array in self.weights.items()}
            == {name: array.shape for name, array in other.weights.items()}
        )


def standard_of(cell: Cell) -> Standard | None:
    """The operator that computes what a cell does; None if there is none.

    By exact class: whoever changes a part of a step has another cell.
    """
    make = _STANDARD.get(type(cell))
    return make(cell) if make and "step" not in vars(cell) else None


def _rows(array: Array, order: Sequence[int]) -> Array:
    """Blocks of rows, one a gate, in another order."""
    blocks = np.split(array, len(order))
    return np.concatenate([blocks[k] for k in order])


def _together(cell: Any, order: Sequence[int]) -> dict[str, Array]:
    """The weights of a cell that has all gates in one matrix."""
    weights = {"W": _rows(cell.weight_ih.data, order), "R": _rows(cell.weight_hh.data, order)}
    if cell.bias_ih is not None:
        weights["B"] = np.concatenate([_rows(bias.data, order) for bias in (cell.bias_ih, cell.bias_hh)])
    return weights


def _apart(cell: Any, gates: Sequence[str | None]) -> dict[str, Array]:
    """The weights of a cell that has them by gate; None is one that the operator has and does not read."""
    shape = {"W": (cell.hidden_size, cell.input_size), "R": (cell.hidden_size,) * 2, "b": (cell.hidden_size,)}

    def rows(what: str) -> Array:
        zeros = np.zeros(shape[what], cell.dtype)
        return np.concatenate([zeros if g is None else getattr(cell, f"{what}_{g}").data for g in gates])

    weights = {"W": rows("W"), "R": rows("R")}
    if hasattr(cell, f"b_{gates[0]}"):
        biases = rows("b")
        weights["B"] = np.concatenate([biases, np.zeros_like(biases)])
    return weights


def _rnn(cell: Any) -> Standard | None:
    activation = _ACTIVATIONS.get(cell.nonlinearity)
    return Standard("RNN", _together(cell, [0]), (activation,)) if activation else None


def _lstm(cell: Any) -> Standard:
    return Standard("LSTM", _together(cell, [0, 3, 1, 2]))


def _gru(cell: Any) -> Standard:
    return Standard("GRU", _together(cell, [1, 0, 2]), options={"linear_before_reset": 1})


def _gru_reset_before(cell: Any) -> Standard:
    return Standard("GRU", _apart(cell, "zrn"))


def _peephole_lstm(cell: Any) -> Standard | None:
    if cell.cut_peepholes:  # the operator has no such thing
        return None
    weights = _apart(cell, ["i", "o", "f" if "f" in cell.gates else None, "z"])
    if cell.peepholes:
        zeros = np.zeros(cell.hidden_size, cell.dtype)
        found = [getattr(cell, f"p_{name}").data if name in cell.peepholes else zeros for name in "iof"]
        weights["P"] = np.concatenate(found)
    return Standard("LSTM", weights, options={} if "f" in cell.gates else {"input_forget": 1})


_STANDARD: dict[type, Callable[[Any], Standard | None]] = {
    RNNCell: _rnn,
    IRNNCell: _rnn,
    LSTMCell: _lstm,
    GRUCell: _gru,
    GRUResetBeforeCell: _gru_reset_before,
    PeepholeLSTMCell: _peephole_lstm,
    NPCell: _peephole_lstm,
    CIFGCell: _peephole_lstm,
}


def recurrent(
    outer: Graph,
    sides: Sequence[Standard],
    x: Value,
    starts: Sequence[Sequence[Value]],
    names: Sequence[str],
    about: str,
    direction: str,
) -> list[Value]:
    """The node of one or both directions.

    Parameters
    ----------
    starts : sequence of sequences of Value (1, batch, H)
        The states of each direction before its first step.
    names : sequence of str
        Of the node, of the outputs and of the last states, direction by direction.

    Returns
    -------
    list of Value
        The outputs (T, batch, H of all directions), and each direction's states (batch, H) after its last step.
    """
    label, of_outputs, *of_finals = names
    kind, weights, _, options = sides[0]
    hidden = weights["R"].shape[1]
    read: list[Operand] = [x]
    for name in ("W", "R", "B"):
        arrays = [side.weights[name] for side in sides if name in side.weights]
        whole = np.stack(arrays).astype(x.dtype) if arrays else None
        read.append(None if whole is None else outer.model.initialiser(f"{label}.{name}", whole))
    read.append(None)  # every sequence is as long as x
    read += [outer.node("Concat", *same, axis=0) if len(same) > 1 else same[0] for same in zip(*starts, strict=True)]
    if "P" in weights:
        whole = np.stack([side.weights["P"] for side in sides]).astype(x.dtype)
        read.append(outer.model.initialiser(f"{label}.P", whole))
    attributes: dict[str, Any] = {**options, "hidden_size": hidden, "direction": direction}
    activations = [name for side in sides for name in side.activations]
    if activations and set(activations) != {"Tanh"}:
        attributes["activations"] = activations
    results = [f"{label}.{name}" for name in ("Y", "Y_h", "Y_c")[: 1 + len(starts[0])]]
    y, *last = outer.results(kind, read, [x.dtype] * len(results), results, label=label, doc_string=about, **attributes)
    if len(sides) == 1:
        outputs = outer.node("Squeeze", y, np.array([1]), name=of_outputs)
        finals = [outer.node("Squeeze", v, np.array([0]), name=n) for v, n in zip(last, of_finals, strict=True)]
        return [outputs, *finals]
    turned = outer.node("Transpose", y, perm=[0, 2, 1, 3])
    outputs = outer.node("Reshape", turned, np.array([0, 0, 2 * hidden]), name=of_outputs)
    places = [(value, d) for d in range(2) for value in last]
    pairs = zip(places, of_finals, strict=True)
    return [outputs, *[outer.node("Gather", v, np.array(d), axis=0, name=n) for (v, d), n in pairs]]

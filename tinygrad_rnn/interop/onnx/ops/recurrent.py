"""RNN, LSTM and GRU: runs of cells whose weights are computed from the file's own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ....autodiff import primitives as p
from ....autodiff.functions import concatenate, expand_dims, split, stack
from ....autodiff.primitive import Value
from ....autodiff.tensor import Tensor
from ....cells import CIFGCell, GRUCell, GRUResetBeforeCell, LSTMCell, PeepholeLSTMCell, RNNCell
from ....recurrent.stacks import Bidirectional
from ....recurrent.unroll import unroll
from ...activated_cells import (
    ActivatedGRUCell,
    ActivatedGRUResetBeforeCell,
    ActivatedLSTMCell,
    ActivatedRNNCell,
    Function,
)
from ...imported import cell_of
from ..operators import OPERATORS, Place, Results, bounded, integers, operator
from ..peephole import ActivatedPeepholeLSTMCell

DEFAULTS = {"RNN": ("Tanh",), "LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh")}
NUMBERS: dict[str, tuple[float, ...]] = {
    "affine": (1.0, 0.0),
    "elu": (1.0,),
    "hardsigmoid": (0.2, 0.5),
    "leakyrelu": (0.01,),
    "relu": (),
    "scaledtanh": (1.0, 1.0),
    "sigmoid": (),
    "softplus": (),
    "softsign": (),
    "tanh": (),
    "thresholdedrelu": (1.0,),
}
"""The activations that the standard lists, with what alpha and beta are where they are not given."""
OPERATOR_NAMES = {"elu": "Elu", "hardsigmoid": "HardSigmoid", "leakyrelu": "LeakyRelu", "relu": "Relu"} | {
    "sigmoid": "Sigmoid",
    "softplus": "Softplus",
    "softsign": "Softsign",
    "tanh": "Tanh",
    "thresholdedrelu": "ThresholdedRelu",
}


class Weights(NamedTuple):
    """Those of one direction: W (G*H, I), R (G*H, H), B (2*G*H,) or None, P (3*H,) or None."""

    W: Value
    R: Value
    B: Value | None
    P: Value | None


# ------------------------------------------------------------------------------------- activations


def _refuses(kind: str) -> Any:
    def why(outputs: int, given: Any, **options: Any) -> str:
        count = len(DEFAULTS[kind]) * (2 if options.get("direction") == "bidirectional" else 1)
        names = options.get("activations")
        if options.get("direction") not in ("forward", "reverse", "bidirectional"):
            return f"there is no direction {options.get('direction')!r}"
        if names is not None and len(names) < count:  # RNN's default is two, whatever the direction
            return f"needs {count} activations, has {len(names)}"
        unknown = [name for name in names or () if name.lower() not in NUMBERS]
        if unknown:
            return f"there is no activation {unknown[0]}"
        if options.get("clip") is not None and not options["clip"] > 0:
            return f"clip must be positive, got {options['clip']}"
        return "" if options.get("layout", 0) in (0, 1) else f"there is no layout {options['layout']}"

    return why


def _activations(kind: str, directions: int, options: dict[str, Any]) -> list[list[tuple[str, tuple[float, ...]]]]:
    """By direction, names and numbers: alphas and betas are taken in turn by those that have them."""
    count = len(DEFAULTS[kind])
    names = [name.lower() for name in options.get("activations") or DEFAULTS[kind] * directions]
    given = iter(options.get("activation_alpha") or ()), iter(options.get("activation_beta") or ())
    found = []
    for name in names:
        numbers = zip(given, NUMBERS[name], strict=False)
        found.append((name, tuple([float(next(values, default)) for values, default in numbers])))
    return [found[k * count : (k + 1) * count] for k in range(directions)]


def _function(name: str, numbers: tuple[float, ...], clip: float | None) -> Function:
    if clip is None:
        return partial(_activated, name, numbers)
    return partial(_clipped, name, numbers, clip)


def _activated(name: str, numbers: tuple[float, ...], x: Value) -> Value:
    if name == "affine":
        return p.add(p.multiply(x, numbers[0]), numbers[1])
    if name == "scaledtanh":
        return p.multiply(p.tanh(p.multiply(x, numbers[1])), numbers[0])
    versions = OPERATORS[OPERATOR_NAMES[name]]
    function = versions[max(versions)].function
    return function(x, **dict(zip(("alpha", "beta"), numbers, strict=False)))


def _clipped(name: str, numbers: tuple[float, ...], clip: float, x: Value) -> Value:
    return _activated(name, numbers, p.where(p.greater(x, clip), clip, p.where(p.less(x, -clip), -clip, x)))


# ------------------------------------------------------------------------------------------- cells


def _rows(value: Value, order: Sequence[int]) -> Value:
    """Blocks of rows, one a gate, in another order."""
    parts = split(value, len(order), axis=0)
    return concatenate([parts[k] for k in order], axis=0)


def _standard(weights: Weights, order: Sequence[int]) -> dict[str, Value]:
    found = {"weight_ih": _rows(weights.W, order), "weight_hh": _rows(weights.R, order)}
    if weights.B is not None:
        ours = split(weights.B, 2, axis=0)
        found |= {"bias_ih": _rows(ours[0], order), "bias_hh": _rows(ours[1], order)}
    return found


def _gatewise(weights: Weights, gates: str, order: Sequence[int]) -> dict[str, Value]:
    """Each gate's own W, R and b, where `order` says which block of the file's is whose."""
    count = weights.W.shape[0] // weights.R.shape[1]
    W, R = split(weights.W, count, axis=0), split(weights.R, count, axis=0)
    found: dict[str, Value] = {}
    for name, k in zip(gates, order, strict=True):
        found |= {f"W_{name}": W[k], f"R_{name}": R[k]}
    if weights.B is not None:
        b = split(weights.B, 2 * count, axis=0)
        found |= {f"b_{name}": b[k] + b[count + k] for name, k in zip(gates, order, strict=True)}
    return found


def _cell(kind: str, weights: Weights, activations: Any, options: dict[str, Any], dtype: Any) -> Any:
    """The cell of one direction: the usual one where all is as usual."""
    clip = options.get("clip")
    hidden = weights.R.shape[1]
    usual = clip is None and tuple(name for name, _ in activations) == tuple(s.lower() for s in DEFAULTS[kind])
    made: dict[str, Any] = {"input_size": weights.W.shape[1], "hidden_size": hidden}
    made |= {"bias": weights.B is not None, "dtype": dtype, "seed": 0}
    # what enters an activation is clipped, but for the cell state: so onnxruntime reads the standard
    f, *rest = [_function(name, numbers, clip if k < 2 else None) for k, (name, numbers) in enumerate(activations)]
    if kind == "RNN":
        plain = {"tanh", "relu", "sigmoid"} & {activations[0][0]} if clip is None else ()
        cell: Any = RNNCell(nonlinearity=activations[0][0], **made) if plain else ActivatedRNNCell(output=f, **made)
        return cell_of(cell, _tensors(_standard(weights, [0])))
    if kind == "GRU":
        own: dict[str, Any] = {} if usual else {"gate": f, "candidate": rest[0]}
        if options.get("linear_before_reset"):
            cell = (GRUCell if usual else ActivatedGRUCell)(**made, **own)
            return cell_of(cell, _tensors(_standard(weights, [1, 0, 2])))
        cell = (GRUResetBeforeCell if usual else ActivatedGRUResetBeforeCell)(**made, **own)
        return cell_of(cell, _tensors(_gatewise(weights, "rzn", [1, 0, 2])))
    own = {} if usual else {"gate": f, "candidate": rest[0], "output": rest[1]}
    coupled = bool(options.get("input_forget"))
    if weights.P is None and not coupled:
        cell = (LSTMCell if usual else ActivatedLSTMCell)(**made, **own)
        return cell_of(cell, _tensors(_standard(weights, [0, 2, 3, 1])))
    gates, order = ("zio", [3, 0, 1]) if coupled else ("zifo", [3, 0, 2, 1])
    found = _gatewise(weights, gates, order)
    zeros = np.zeros(3 * hidden, dtype)
    pi, po, pf = split(zeros if weights.P is None else weights.P, 3, axis=0)
    found |= {"p_i": pi, "p_o": po} | ({} if coupled else {"p_f": pf})
    if usual:
        cell = (CIFGCell if coupled else PeepholeLSTMCell)(**made)
    else:
        cell = ActivatedPeepholeLSTMCell(coupled=coupled, **made, **own)
    return cell_of(cell, _tensors(found))


def _tensors(weights: dict[str, Value]) -> dict[str, Any]:
    return {name: w if isinstance(w, Tensor) else Tensor(np.array(w), name=name) for name, w in weights.items()}


# ------------------------------------------------------------------------------------------- runs


def _run(
    kind: str, x: Value, W: Value, R: Value, B: Any, lengths: Any, starts: list[Any], P: Any, at: Place, options: Any
) -> Any:
    layout, direction = options.get("layout", 0), options["direction"]
    directions = 2 if direction == "bidirectional" else 1
    if layout:
        x = p.transpose(x, (1, 0, 2))
        starts = [start if start is None else p.transpose(start, (1, 0, 2)) for start in starts]
    _check(kind, x, W, R, B, P, directions, options)
    steps, batch, hidden = x.shape[0], x.shape[1], R.shape[2]
    bounded((steps, directions, batch, hidden))
    activations = _activations(kind, directions, options)
    cells, begun = [], []
    for d in range(directions):
        weights = Weights(W[d], R[d], *(None if value is None else value[d] for value in (B, P)))
        cells.append(_cell(kind, weights, activations[d], options, x.dtype))
        begun.append(tuple(np.zeros((batch, hidden), x.dtype) if start is None else start[d] for start in starts))
    mask = None if lengths is None else _mask(lengths, steps, batch)
    if directions == 2:
        run = unroll(Bidirectional(*cells), x, tuple(begun), mask=mask)
        y = p.transpose(p.reshape(run.stacked, (steps, batch, 2, hidden)), (0, 2, 1, 3))
        last = list(run.final_state)
    else:
        run = unroll(cells[0], x, begun[0], mask=mask, reverse=direction == "reverse")
        y, last = expand_dims(run.stacked, 1), [run.final_state]
    at.runs.keep(at.name, run)
    finals = [stack([state[k] for state in last]) for k in range(len(starts))]
    if layout:
        y, finals = p.transpose(y, (2, 0, 1, 3)), [p.transpose(value, (1, 0, 2)) for value in finals]
    return Results([y, *finals])


def _check(kind: str, x: Any, W: Any, R: Any, B: Any, P: Any, directions: int, options: Any) -> None:
    gates = {"RNN": 1, "LSTM": 4, "GRU": 3}[kind]
    hidden = options.get("hidden_size") or (R.shape[-1] if R.ndim else 0)
    if x.ndim != 3:
        raise ValueError(f"X must have three axes, got {x.shape}")
    wanted = {
        "W": (W, (directions, gates * hidden, x.shape[2])),
        "R": (R, (directions, gates * hidden, hidden)),
        "B": (B, (directions, 2 * gates * hidden)),
        "P": (P, (directions, 3 * hidden)),
    }
    for name, (value, shape) in wanted.items():
        if value is not None and value.shape != shape:
            raise ValueError(f"{name} must be {shape} for hidden_size {hidden} and X {x.shape}, got {value.shape}")


def _mask(lengths: Any, steps: int, batch: int) -> Any:
    counts = np.asarray(integers(lengths))
    if counts.shape != (batch,) or (counts < 0).any() or (counts > steps).any():
        raise ValueError(f"sequence_lens must be {batch} numbers in 0..{steps}, got {counts}")
    return np.arange(steps)[:, None] < counts


@operator("RNN", refuses=_refuses("RNN"))
def _rnn(
    X: Value,
    W: Value,
    R: Value,
    B: Any = None,
    sequence_lens: Any = None,
    initial_h: Any = None,
    *,
    at: Place,
    direction: str,
    activations: Any = None,
    activation_alpha: Any = None,
    activation_beta: Any = None,
    clip: float | None = None,
    hidden_size: int | None = None,
    layout: int = 0,
) -> Any:
    options = {"direction": direction, "activations": activations, "activation_alpha": activation_alpha}
    options |= {"activation_beta": activation_beta, "clip": clip, "hidden_size": hidden_size, "layout": layout}
    return _run("RNN", X, W, R, B, sequence_lens, [initial_h], None, at, options)


@operator("GRU", refuses=_refuses("GRU"))
def _gru(
    X: Value,
    W: Value,
    R: Value,
    B: Any = None,
    sequence_lens: Any = None,
    initial_h: Any = None,
    *,
    at: Place,
    direction: str,
    activations: Any = None,
    activation_alpha: Any = None,
    activation_beta: Any = None,
    clip: float | None = None,
    hidden_size: int | None = None,
    layout: int = 0,
    linear_before_reset: int = 0,
) -> Any:
    options = {"direction": direction, "activations": activations, "activation_alpha": activation_alpha}
    options |= {"activation_beta": activation_beta, "clip": clip, "hidden_size": hidden_size, "layout": layout}
    options |= {"linear_before_reset": linear_before_reset}
    return _run("GRU", X, W, R, B, sequence_lens, [initial_h], None, at, options)


@operator("LSTM", refuses=_refuses("LSTM"))
def _lstm(
    X: Value,
    W: Value,
    R: Value,
    B: Any = None,
    sequence_lens: Any = None,
    initial_h: Any = None,
    initial_c: Any = None,
    P: Any = None,
    *,
    at: Place,
    direction: str,
    activations: Any = None,
    activation_alpha: Any = None,
    activation_beta: Any = None,
    clip: float | None = None,
    hidden_size: int | None = None,
    layout: int = 0,
    input_forget: int = 0,
) -> Any:
    options = {"direction": direction, "activations": activations, "activation_alpha": activation_alpha}
    options |= {"activation_beta": activation_beta, "clip": clip, "hidden_size": hidden_size, "layout": layout}
    options |= {"input_forget": input_forget}
    return _run("LSTM", X, W, R, B, sequence_lens, [initial_h, initial_c], P, at, options)

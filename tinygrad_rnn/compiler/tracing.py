"""One step of a cell as a program: inputs, states and captured Tensors in; states and named values out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..autodiff.primitives import where
from ..autodiff.scope import timestep, using
from ..autodiff.tensor import Tensor
from ..recurrent.cell import Cell
from .errors import UntraceableError
from .program import Key, Program, Type
from .symbol import Builder, Symbol

__all__ = ["Traced", "trace_step"]


@dataclass(frozen=True)
class Traced:
    """A step that has been run once on symbols.

    Attributes
    ----------
    program : Program
        Inputs ``("x", "")``, ``("state", name)``, ``("operand", number)`` and, if masked, ``("mask", "")``;
        outputs ``("state", name)``, ``("value", name)`` for named values, ``("before", name)`` for the unnamed
        operand of the nonlinearity behind a named value and, if masked, ``("output", "")`` and
        ``("unmasked", name)``, the states before those of ended sequences were put back.
    captured : tuple of Tensor
        What the operands stand for.
    carried : mapping of str to str
        States that are an earlier state handed on unchanged: c_t = h_{t-1} is ``{"c": "h"}``.
    order : tuple of str
        The names of values and states in the order in which the step gives them.
    """

    program: Program
    captured: tuple[Tensor, ...]
    carried: Mapping[str, str]
    order: tuple[str, ...]


def trace_step(cell: Cell, x: Type, state: Sequence[Type], masked: bool) -> Traced:
    """Run a step once on symbols of the given types.

    Raises
    ------
    UntraceableError
        If the step looks at numbers, or its states change their dtype.
    """
    builder = Builder()
    symbols = builder.input(("x", ""), x)
    old = cell.State(*[builder.input(("state", n), s) for n, s in zip(cell.state_names, state, strict=True)])
    inputs = {symbol.index: name for name, symbol in old._asdict().items()}
    running = builder.input(("mask", ""), Type((x.shape[0], 1), np.dtype(bool))) if masked else None
    names: dict[tuple[str, int], Any] = {}
    with using(names=names, anomaly=False, recording=True), timestep(0):
        given = symbols if running is None else where(running, symbols, 0.0)
        new = cell(given, old)
        raw = new
        if running is not None:
            new = cell.State(*[where(_fit(running, n), n, o) for n, o in zip(new, old, strict=True)])
    outputs: dict[Key, Any] = {}
    carried: dict[str, str] = {}
    for name, value, plain, before in zip(cell.state_names, new, raw, old, strict=True):
        outputs["state", name] = value
        if (value.shape, value.dtype) != (before.shape, before.dtype):
            raise UntraceableError(f"state {name} goes from {before.dtype} to {value.dtype}{_hint(value.dtype)}")
        if type(plain) is not Symbol or plain.index == symbols.index:
            raise UntraceableError(f"state {name} is not computed from inputs and states")
        if plain.index in inputs:
            carried[name] = inputs[plain.index]
        if running is not None:
            outputs["unmasked", name] = plain
    for (name, _), value in names.items():
        if name in cell.state_names:
            continue
        if type(value) is not Symbol or value.index in builder.inputs.values():
            raise UntraceableError(f"{name} names a value that the step does not compute")
        outputs["value", name] = value
    if running is not None:
        outputs["output", ""] = where(_fit(running, new[0]), new[0], 0.0)
    outputs |= _preactivations(builder, outputs, given)
    order = tuple(dict.fromkeys([*(name for name, _ in names), *cell.state_names]))
    return Traced(builder.program(outputs), tuple(builder.captured.values()), carried, order)


def _hint(dtype: Any) -> str:
    """How float64 comes into a step of float32 unnoticed."""
    return ", as where(condition, 1.0, 0.0) is, of numbers that have no dtype" if dtype == np.float64 else ""


def _fit(mask: Symbol, value: Any) -> Any:
    return mask.reshape(mask.shape[0], *(1,) * (value.ndim - 1))


def _preactivations(builder: Builder, outputs: Mapping[Key, Any], x: Symbol) -> dict[Key, Symbol]:
    """What stands in front of the nonlinearity that gives a named value, unless it has a name itself."""
    made = {step.target: step for step in builder.body}
    known = {builder.lift(value) for value in outputs.values()} | set(builder.inputs.values()) | {x.index}
    known |= {made[value].operands[1] for value in known if value in made and made[value].op.name == "where"}
    found: dict[Key, Symbol] = {}
    for (role, name), value in outputs.items():
        step = made.get(value.index) if role != "output" and type(value) is Symbol else None
        if step is None or not step.op.activation or (("value", f"z_{name}") in outputs):
            continue
        operand = step.operands[0]
        source: Any = operand
        while source in made and made[source].op.name == "stop_gradient":
            source = made[source].operands[0]
        if isinstance(operand, int) and source in made and source not in known:
            found["before", f"z_{name}"] = Symbol(builder, operand)
    return found

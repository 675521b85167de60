"""The named values of a run: recorded one by one, or inside the single node of a compiled run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tinygrad_rnn import Tensor
from tinygrad_rnn.autodiff.cotangent import Lazy
from tinygrad_rnn.recurrent.inner import HELD, INSIDE
from tinygrad_rnn.recurrent.unroll import Run

Array = npt.NDArray[Any]

__all__ = [
    "gradients_inside",
    "in_order",
    "insides",
    "mask_held",
    "parts_of",
    "recorded_values",
    "shares_inside",
    "zeros_inside",
]


def recorded_values(run: Run) -> dict[tuple[str, int], Tensor]:
    """The inputs, and what has been recorded step by step, by name and timestep; preactivations as ``z_f``."""
    values = {("x", t): x for t, x in enumerate(run.inputs)}
    for prefix, part in parts_of(run):
        if part.tape is None:
            values |= {(prefix + name, t): value for (name, t), value in part.names.items() if name != "x"}
    return {**values, **_preactivations(values, _preactivation_names(run))}


def insides(run: Run) -> dict[Tensor, tuple[str, Run]]:
    """For every compiled part of a run, the Tensor that asks a sweep for all that lies inside; prefix and part."""
    parts = [(prefix, part) for prefix, part in parts_of(run) if part.tape is not None]
    return {INSIDE.on((part.tape,), {"key": ("all", "")}): (prefix, part) for prefix, part in parts}


def gradients_inside(prefix: str, part: Run, cotangents: Any) -> dict[tuple[str, int], Array]:
    """The gradients of all named values of a compiled run, by name and timestep."""
    found: dict[tuple[str, int], Array] = {}
    mask = part.tape.attributes.get("mask") if part.tape is not None else None
    lead = int(hasattr(part.cell, "members"))  # of an ensemble, which stand in front
    for (role, name), series in cotangents.inner.items():
        for k, gradient in enumerate(series):
            t = _timestep(part, k)
            found[prefix + name, t] = (
                gradient if mask is None or role != "state" else _where_running(mask[t], gradient, lead)
            )
    return found


def mask_held(run: Run, values: Mapping[tuple[str, int], Tensor], gradients: dict[tuple[str, int], Array]) -> None:
    """Put 0 where a named value is a state merely held after the end of a sequence, whatever a step calls it."""
    running = {t: value.inputs[0] for (_, t), value in values.items() if value.op is HELD and value.timestep == t}
    if running:
        states = {
            value.id for _, part in parts_of(run) for state in (part.initial_state, *part.states) for value in state
        }
        for key, value in values.items():
            if value.id in states and key[1] in running:
                gradients[key] = _where_running(running[key[1]], gradients[key])


def _where_running(running: Any, gradient: Array, lead: int = 0) -> Array:
    running = np.asarray(running).reshape(-1, *(1,) * (gradient.ndim - 1 - lead))
    return np.where(running, gradient, np.zeros((), gradient.dtype))


def zeros_inside(prefix: str, part: Run) -> dict[tuple[str, int], Array]:
    """The same where the loss does not depend on the run."""
    tape: Any = part.tape
    found: dict[tuple[str, int], Array] = {}
    for (_, name), shape in tape.op.inside(tape).items():
        zeros = np.broadcast_to(np.zeros((), tape.dtype), shape)
        found |= {(prefix + name, _timestep(part, k)): zeros for k in range(len(part))}
    return found


def shares_inside(part: Run, cotangents: Any, owner: Mapping[int, str]) -> Iterator[tuple[str, Lazy, int]]:
    """What each timestep of a compiled run adds to the gradients of parameters: name, share, timestep."""
    assert part.tape is not None
    first = 1 + len(part.initial_state)
    for number, operand in enumerate(part.tape.inputs[first:]):
        if operand.id in owner and cotangents.operands[number] is not None:
            for k in range(len(part)):
                yield owner[operand.id], _Share(cotangents.share, k, number, operand), _timestep(part, k)


def in_order(run: Run, gradients: Mapping[tuple[str, int], Any]) -> tuple[str, ...]:
    """The names of gradients in the order in which the cells give them."""
    known = dict.fromkeys(name for name, _ in gradients)
    before = _preactivation_names(run)
    return tuple(name for name in dict.fromkeys([*before, *before.values(), *known]) if name in known)


class _Share(Lazy):
    """One timestep's share of one parameter's gradient, worked out when it is looked at."""

    __slots__ = ("_number", "_of", "_step", "dtype", "shape")

    def __init__(self, of: Any, step: int, number: int, operand: Tensor) -> None:
        self._of, self._step, self._number = of, step, number
        self.shape, self.dtype = operand.shape, operand.dtype

    def dense(self) -> Array:
        share: Array = self._of(self._step)[self._number]
        return share


def parts_of(run: Run, prefix: str = "") -> Iterator[tuple[str, Run]]:
    """The runs of the single cells with the prefix of their names."""
    if not run.children:
        yield prefix, run
    for name, child in run.children.items():
        yield from parts_of(child, f"{prefix}{name}/")


def _timestep(part: Run, k: int) -> int:
    return len(part) - 1 - k if part.reverse else k


def _preactivation_names(run: Run) -> dict[str, str]:
    """What stands in front of each named value is called, by the name of that."""
    found = {"x": "z_x"}
    for prefix, part in parts_of(run):
        found |= {prefix + name: f"{prefix}z_{name}" for name, _ in part.names if name != "x"}
    return found


def _preactivations(
    values: Mapping[tuple[str, int], Tensor], before: Mapping[str, str]
) -> dict[tuple[str, int], Tensor]:
    """The unnamed operand of the activation behind each named value, if both belong to that timestep."""
    named = {value.id for value in values.values()}
    named |= {getattr(v.inputs[1], "id", -1) for v in values.values() if v.op is not None and v.op.name == "where"}
    inputs = {value.id for (name, _), value in values.items() if name == "x"}
    found = {}
    for (name, t), value in values.items():
        value = value.inputs[1] if value.op is HELD and isinstance(value.inputs[1], Tensor) else value
        if value.op is None or not value.op.activation or value.timestep != t:  # handed on from earlier
            continue
        operand = value.inputs[0]
        key = (before[name], t)
        if key not in values and isinstance(operand, Tensor) and _is_new(operand, t, named, inputs):
            found[key] = operand
    return found


def _is_new(value: Tensor, t: int, named: set[int], inputs: set[int]) -> bool:
    """Whether a step has computed a value, rather than been given it, masked or cut off perhaps, or named it.

    What a named value is chosen from, as a state is where sequences have ended, counts as named.
    """
    while value.op is not None and value.op.name == "stop_gradient" and isinstance(value.inputs[0], Tensor):
        value = value.inputs[0]
    masked = value.op is not None and value.op.name == "where" and getattr(value.inputs[1], "id", None) in inputs
    return value.timestep == t and value.op is not None and value.id not in named and not masked

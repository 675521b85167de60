"""The named values of a run: recorded one by one, or inside the single node of a compiled run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tinygrad_rnn import Tensor
from tinygrad_rnn.autodiff.cotangent import Lazy
from tinygrad_rnn.recurrent.inner import HELD, INSIDE
from tinygrad_rnn.recurrent.lazy import LazyMapping, LazySequence
from tinygrad_rnn.recurrent.unroll import Run

Array = npt.NDArray[Any]

__all__ = [
    "gradients_inside",
    "in_order",
    "inputs_as_one",
    "insides",
    "mask_held",
    "parts_of",
    "recorded_values",
    "shares_inside",
    "zeros",
    "zeros_inside",
]


def recorded_values(run: Run, inputs: bool = True) -> dict[tuple[str, int], Tensor]:
    """The inputs, and what has been recorded step by step, by name and timestep; preactivations as ``z_f``."""
    values = {("x", t): x for t, x in enumerate(run.inputs)} if inputs else {}
    for prefix, part in parts_of(run):
        if part.tape is None:
            values |= {(prefix + name, t): value for (name, t), value in part.names.items() if name != "x"}
    return {**values, **_preactivations(values, _preactivation_names(run))}


def insides(run: Run) -> dict[Tensor, tuple[str, Run]]:
    """For every compiled part of a run, the Tensor that asks a sweep for all that lies inside; prefix and part."""
    parts = [(prefix, part) for prefix, part in parts_of(run) if part.tape is not None]
    return {INSIDE.on((part.tape,), {"key": ("all", "")}): (prefix, part) for prefix, part in parts}


def inputs_as_one(run: Run) -> Tensor | None:
    """The inputs of a compiled run as one Tensor (T, ...), if they have not come one by one."""
    inputs = run.inputs
    return inputs.whole() if isinstance(inputs, LazySequence) and inputs.whole is not None else None


def gradients_inside(prefix: str, part: Run, cotangents: Any) -> dict[str, Array]:
    """The gradients of all named values of a compiled run, (T, ...), by name."""
    assert part.tape is not None
    mask = part.tape.attributes.get("mask")
    lead = int(hasattr(part.cell, "members"))  # of an ensemble, which stand behind time
    found: dict[str, Array] = {}
    for (role, name), series in cotangents.inner.items():
        series = series[::-1] if part.reverse else series
        if mask is not None and role == "state":
            steps, batch, _ = mask.shape
            running = mask.reshape(steps, *(1,) * lead, batch, *(1,) * (series.ndim - 2 - lead))
            series = np.where(running, series, np.zeros((), series.dtype))
        found[prefix + name] = series
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


def _where_running(running: Any, gradient: Array) -> Array:
    running = np.asarray(running).reshape(-1, *(1,) * (gradient.ndim - 1))
    return np.where(running, gradient, np.zeros((), gradient.dtype))


def zeros_inside(prefix: str, part: Run, reached: Collection[str]) -> dict[str, Array]:
    """Zeros for the named values of a compiled run that are not among those that the loss depends on."""
    tape: Any = part.tape
    inside = [(prefix + name, shape) for (_, name), shape in tape.op.inside(tape).items()]
    return {name: zeros((len(part), *shape), tape.dtype) for name, shape in inside if name not in reached}


def zeros(shape: tuple[int, ...], dtype: Any) -> Array:
    """No gradient, in an array of a single element."""
    return np.broadcast_to(np.zeros((), dtype), shape)


def shares_inside(part: Run, cotangents: Any, owner: Mapping[int, str]) -> Iterator[tuple[str, Iterable[Any]]]:
    """What each timestep of a compiled run adds to the gradients of parameters: name, and pairs of timestep and share,
    which are made when somebody looks at them.
    """
    assert part.tape is not None
    first = 1 + len(part.initial_state)
    for number, operand in enumerate(part.tape.inputs[first:]):
        if operand.id in owner and cotangents.operands[number] is not None:
            yield owner[operand.id], _Shares(cotangents.share, number, operand, part)


def in_order(run: Run, names: Iterable[str]) -> tuple[str, ...]:
    """The names of gradients in the order in which the cells give them."""
    known = dict.fromkeys(names)
    before = _preactivation_names(run)
    return tuple(name for name in dict.fromkeys([*before, *before.values(), *known]) if name in known)


class _Shares:
    """Each timestep's share of one parameter's gradient, with the timestep."""

    def __init__(self, of: Any, number: int, operand: Tensor, part: Run) -> None:
        self._of, self._number, self._operand = of, number, operand
        self._part = part

    def __iter__(self) -> Iterator[tuple[int, Lazy]]:
        for k in range(len(self._part)):
            yield _timestep(self._part, k), _Share(self._of, k, self._number, self._operand)


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
        lazy = isinstance(part.names, LazyMapping)
        names: Iterable[str] = part.names.sequences if lazy else (name for name, _ in part.names)  # type: ignore[attr-defined]
        found |= {prefix + name: f"{prefix}z_{name}" for name in names if name != "x"}
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

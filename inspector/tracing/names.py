"""The names of a run's values, states and gates, by which an analysis tells its paths apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from tinygrad_rnn import Tensor
from tinygrad_rnn.autodiff.ancestry import ancestors
from tinygrad_rnn.plurals import counted
from tinygrad_rnn.recurrent.unroll import Run

from . import replay
from .trace import behind, check, trace
from .values import recorded_values

__all__ = [
    "cut_set",
    "first_reached",
    "gates_of",
    "is_reversed",
    "names_by_id",
    "own_name",
    "recorded",
    "state_values",
    "states_of",
    "value_at",
]


def recorded(run: Any, loss: Any, who: str) -> tuple[Run, Tensor]:
    """The run and its loss with every operation recorded: of a compiled run its replay.

    Raises
    ------
    TypeError
        If `run` is no Run, or `loss` no Tensor.
    ValueError
        If `loss` is not a single number, or does not depend on any value of the run.
    """
    check(run, loss, who)
    run, loss = replay.recorded(run, loss)
    behind(loss, recorded_values(run).values(), who)
    return run, loss


def state_values(run: Run, prefix: str = "") -> dict[str, list[Tensor]]:
    """The Tensors of each state, step by step; names as in a trace: ``h``, ``layer0/h``, ``forward/h``."""
    if not run.children:
        fields = run.initial_state._fields
        return {prefix + name: [getattr(state, name) for state in run.states] for name in fields}
    found: dict[str, list[Tensor]] = {}
    for name, child in run.children.items():
        found |= state_values(child, f"{prefix}{name}/")
    return found


def states_of(run: Run) -> tuple[str, ...]:
    """The names of the states."""
    return tuple(state_values(run))


def gates_of(run: Run) -> tuple[str, ...]:
    """The names that the steps give to values which are no states."""
    states = states_of(run)
    return tuple(dict.fromkeys(name for name, _ in run.names if name != "x" and name not in states))


def names_by_id(run: Run) -> dict[int, tuple[str, int]]:
    """The name and the timestep of every named value, by Tensor id; of several the one that it was given first."""
    found: dict[int, tuple[str, int]] = {}
    for key, value in recorded_values(run).items():
        found.setdefault(value.id, key)
    return found


def cut_set(run: Run, loss: Tensor, names: Iterable[str], who: str) -> dict[int, str]:
    """Which of `names` each value belongs to, by Tensor id.

    A name is that of a value at all timesteps, such as ``f``, ``z_f`` or ``layer0/h``; or that of a parameter,
    which stands for the operations that read it. A value with several names keeps the first that it was given.

    Raises
    ------
    KeyError
        If nothing has such a name.
    """
    values = recorded_values(run)
    parameters = {parameter.id: name for name, parameter in run.cell.named_parameters()}
    names = tuple(names)
    known = dict.fromkeys([*(name for name, _ in values), *parameters.values()])
    for name in names:
        if name not in known:
            raise KeyError(f"{who}: nothing is called {name!r}; there are {', '.join(known)}")
    found: dict[int, str] = {}
    for (name, _), value in values.items():
        if name in names:
            found.setdefault(value.id, name)
    wanted = {key: name for key, name in parameters.items() if name in names}
    if wanted:
        for key, name in _readers(loss, wanted):
            found.setdefault(key, name)
    return found


def _readers(loss: Tensor, parameters: dict[int, str]) -> Iterator[tuple[int, str]]:
    """The operations that read one of the parameters, as it is or transposed, sliced and so on."""
    derived = dict(parameters)
    for node in ancestors([loss]):
        operands = [operand for operand in node.inputs if isinstance(operand, Tensor)]
        owners = [derived[operand.id] for operand in operands if operand.id in derived]
        if owners and len(owners) == len(operands):
            derived[node.id] = owners[0]
        elif owners:
            yield node.id, owners[0]


def value_at(run: Run, key: tuple[str, int], who: str) -> Tensor:
    """The value of a name at a timestep, negative ones from the end.

    Raises
    ------
    TypeError
        If `key` is no pair of a name and a timestep.
    KeyError
        If nothing has the name at that timestep.
    """
    if not (
        isinstance(key, (tuple, list))
        and len(key) == 2
        and isinstance(key[0], str)
        and isinstance(key[1], (int, np.integer))
    ):
        raise TypeError(f"{who}: give a value as (name, timestep), such as ('h', 0), got {key!r}")
    values = recorded_values(run)
    name, t = key[0], int(key[1]) + len(run) * (key[1] < 0)
    if (name, t) not in values:
        known = ", ".join(dict.fromkeys(name for name, _ in values))
        raise KeyError(
            f"{who}: there is no {key[0]!r} at timestep {key[1]}; the run has {counted(len(run), 'step')} and {known}"
        )
    return values[name, t]


def first_reached(run: Run, loss: Tensor) -> tuple[str, int]:
    """A state, and the timestep that its gradient reaches last: of an LSTM c at 0.

    Of the states that cells keep to themselves the one with the largest gradient there; an output's, if no other has
    any.
    """
    found = trace(run, loss)
    outputs = {value.id for part in run.cells for value in part.outputs}
    ends = [(name, len(run) - 1 if is_reversed(run, name) else 0) for name in found.states]
    values = state_values(run)
    kept = [
        (name, t)
        for name, t in ends
        if values[name][t].id not in outputs and values[name][t].timestep == t and found.norm(name)[t] > 0
    ]
    return max(kept or ends, key=lambda end: float(np.nan_to_num(found.norm(end[0])[end[1]])))


def own_name(name: str) -> str:
    """The name of a value without the layers that it lies in: the h of ``layer0/h``."""
    return name.split("/")[-1]


def is_reversed(run: Run, name: str) -> bool:
    """Whether time runs backwards in the layer or direction that a state belongs to."""
    for part in name.split("/")[:-1]:
        run = run.children[part]
    return run.reverse

"""The nonlinearities of every timestep: which gate or state each one serves, and its derivative there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tinygrad_rnn import Tensor
from tinygrad_rnn.autodiff.ancestry import ancestors, parts
from tinygrad_rnn.recurrent.unroll import Run

from .values import parts_of

Array = npt.NDArray[Any]

__all__ = ["Nonlinearity", "named_values", "nonlinearities"]


class Nonlinearity(NamedTuple):
    """One nonlinear operation of one timestep.

    Attributes
    ----------
    label : str
        The gate or state that it gives, such as ``f`` or ``layer0/f``; if that has no name what it is taken of,
        ``tanh(c)``, or what it serves, ``exp in s``. The second alike of a timestep is ``exp in s 2``.
    t : int
    node : Tensor
        Its result.
    operand : int
        The operand that changes from sequence to sequence.
    rows : ndarray or slice
        The sequences of the batch that have not ended.
    """

    label: str
    t: int
    node: Tensor
    operand: int
    rows: Any

    @property
    def values(self) -> Array:
        """Its results where sequences are running."""
        found: Array = self.node.data[self.rows]
        return found

    @property
    def derivatives(self) -> Array:
        """Its derivative at each of those values, by the rule that the reverse sweep uses."""
        node, op = self.node, self.node.op
        assert op is not None
        rule = op.rule(self.operand)
        assert rule is not None
        slopes: Array = np.broadcast_to(
            rule(np.ones_like(node.data), node.data, *node.values, **node.attributes), node.shape
        )[self.rows]
        return slopes


def nonlinearities(run: Run) -> Iterator[Nonlinearity]:
    """Every nonlinear operation of the steps of a run, in the order of recording.

    One of parameters alone is left out: it is the same at each step. So is one of two values, such as the larger
    of two gates.

    Parameters
    ----------
    run : Run
        With every operation on record, not compiled.
    """
    outputs = list({value.id: value for value in [*run.outputs, *run.names.values()]}.values())
    names, owners = _names(run), parts(outputs)
    steps = {scope: (prefix, part, t) for prefix, part in parts_of(run) for t, scope in enumerate(part.scopes)}
    fixed = {parameter.id for parameter in run.cell.parameters()}
    seen: dict[tuple[str, int], int] = {}
    for node in ancestors(outputs):
        operands = [
            k for k, operand in enumerate(node.inputs) if isinstance(operand, Tensor) and operand.id not in fixed
        ]
        if node.op is not None and not operands:
            fixed.add(node.id)
        step = node.scope.step if node.scope is not None else None
        if step not in steps or not _is_nonlinear(node, operands):
            continue
        prefix, part, t = steps[step]
        label = "".join(names[node.id]) if node.id in names else _unnamed(node, operands[0], names, owners, prefix)
        seen[label, t] = seen.get((label, t), 0) + 1
        label = label if seen[label, t] == 1 else f"{label} {seen[label, t]}"
        yield Nonlinearity(label, t, node, operands[0], _running(part, t))


def named_values(run: Run) -> Iterator[tuple[str, int, Array]]:
    """Every named value of every timestep but the inputs, where sequences are running."""
    for prefix, part in parts_of(run):
        for (name, t), value in part.names.items():
            if name != "x":
                yield prefix + name, t, value.data[_running(part, t)]


def _is_nonlinear(node: Tensor, operands: list[int]) -> bool:
    return node.op is not None and node.op.kind == "nonlinear" and len(operands) == 1


def _names(run: Run) -> dict[int, tuple[str, str]]:
    """Prefixes and names by Tensor id. Where sequences have ended, what a state is chosen from goes by its name too."""
    found: dict[int, tuple[str, str]] = {}
    for prefix, part in parts_of(run):
        for (name, t), value in part.names.items():
            found.setdefault(value.id, (prefix, name))
            if not isinstance(_running(part, t), slice) and value.op is not None and value.op.name == "where":
                found.setdefault(getattr(value.inputs[1], "id", -1), (prefix, name))
    return found


def _unnamed(
    node: Tensor, operand: int, names: dict[int, tuple[str, str]], owners: dict[int, str | None], prefix: str
) -> str:
    of, owner, op = names.get(node.inputs[operand].id), owners[node.id], node.op
    assert op is not None
    if of is not None and of[0] == prefix:
        return f"{prefix}{op.name}({of[1]})"
    return f"{prefix}{op.name} in {owner}" if owner is not None else prefix + op.name


def _running(part: Run, t: int) -> Any:
    """The sequences that go on at a timestep: all, or those for which the new state is chosen over the old."""
    state = part.states[t][0]
    if state.op is not None and state.op.name == "where":
        chosen = state.inputs[0]
        if (
            isinstance(chosen, np.ndarray)
            and chosen.dtype == bool
            and chosen.shape == (len(state.data), *(1,) * (state.ndim - 1))
        ):
            return chosen.reshape(-1)
    return slice(None)

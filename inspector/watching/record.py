"""A call, or the calls of a loop, as arrays in our layout: what a replay needs, and what it is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tinygrad_rnn.interop.packages import import_package
from tinygrad_rnn.interop.weights import as_array

from .call import Call, Kind

Array = npt.NDArray[Any]

__all__ = ["Record", "loop_record", "sequence_record"]


@dataclass(frozen=True, eq=False)
class Record:
    """What went through a part, in the precision of the model, but float32 for half of it.

    Attributes
    ----------
    kind : Kind
    weights : dict of str to array
    inputs : array (T, batch, features)
    lengths : array (batch,) or None
    states : dict of str to array (layers * directions, batch, hidden)
        Before the first step; of a single cell (batch, hidden). Empty where none was given.
    masks : tuple of arrays (T, batch, hidden)
        What dropout multiplied the outputs of each layer but the last with; empty if nothing.
    restarts : dict of int to tuple of (array or None)
        Of a loop: the states that a step went on from if they are not those of the step before.
    outputs : array (T, batch, hidden)
    seeds : dict of str to array
        The gradient that came from outside: ``outputs``, and for each state ``h``, ``c`` the last of a sequence
        (layers * directions, batch, hidden), or those of all steps of a loop (T, batch, hidden).
    theirs : dict of str to array
        PyTorch's gradients by the Tensors that asked for one, as `weights`, `inputs` and `states` are laid out.
    precision : str
        The lowest dtype that took part.
    differentiated : bool
        Whether an earlier backward pass can itself be differentiated, so that a gradient may come from within.
    """

    kind: Kind
    weights: Mapping[str, Array]
    inputs: Array
    lengths: Array | None
    states: Mapping[str, Array]
    masks: tuple[Array, ...]
    restarts: Mapping[int, tuple[Array | None, ...]]
    outputs: Array
    seeds: Mapping[str, Array]
    theirs: Mapping[str, Array]
    precision: str
    differentiated: bool

    @property
    def numbers(self) -> int:
        """About how many numbers a run keeps of all its steps: those of the gates, the states and what is between."""
        steps, batch, _ = self.inputs.shape
        rows = [2 * len(array) for name, array in self.weights.items() if "weight_ih" in name]
        return int(steps) * int(batch) * sum(rows)

    def first(self, batch: int) -> Record:
        """Of the first sequences of the batch alone; the gradients by the weights, which need all, are left out."""
        if batch >= self.inputs.shape[1]:
            return self

        def part(array: Array) -> Array:
            return array[..., :batch, :]

        return replace(
            self,
            inputs=part(self.inputs),
            lengths=None if self.lengths is None else self.lengths[:batch],
            states={name: part(state) for name, state in self.states.items()},
            masks=tuple(map(part, self.masks)),
            restarts={t: tuple(None if one is None else part(one) for one in row) for t, row in self.restarts.items()},
            outputs=part(self.outputs),
            seeds={name: part(seed) for name, seed in self.seeds.items()},
            theirs={name: part(theirs) for name, theirs in self.theirs.items() if name not in self.weights},
        )


def sequence_record(call: Call) -> Record:
    """What went through a module that reads a whole sequence."""
    layout = call.layout
    lay = {"x": layout.sequence, "outputs": layout.sequence, "h": layout.state, "c": layout.state}
    given = {name: as_array(lay[name](tensor)) for name, tensor in call.given.items()}
    lengths = layout.lengths
    return Record(
        call.kind,
        {name: as_array(weight) for name, weight in call.weights.items()},
        given.pop("x"),
        None if lengths is None else lengths.numpy(),
        given,
        _masks(call),
        {},
        as_array(layout.sequence(call.gave["outputs"])),
        {name: as_array(lay[name](tensor)) for name, tensor in call.cotangents.items()},
        {name: as_array(lay.get(name, _same)(tensor)) for name, tensor in call.gradients.items()},
        _name(_lowest([call])),
        call.differentiated,
    )


def loop_record(calls: Sequence[Call]) -> Record:
    """What went through a cell that was called once a step."""
    first, names, lowest = calls[0], calls[0].kind.states, _lowest(calls)
    rounding = 4 * import_package("torch", "watch").finfo(lowest).eps
    rows = [{name: _row(tensor) for name, tensor in call.gave.items()} for call in calls]
    restarts = {
        t: tuple(None if joined else _row(call.given[name]) for name, joined in zip(names, call.joined, strict=True))
        for t, call in enumerate(calls)
        if t and not all(call.joined)
    }
    theirs: dict[str, Array] = {}
    for name in first.weights:
        parts = [as_array(call.gradients[name]) for call in calls if name in call.gradients]
        if parts:
            theirs[name] = np.sum(parts, axis=0)
    if "x" in first.asks or any("x" in call.gradients for call in calls):
        theirs["x"] = np.stack([_or_zeros(call.gradients.get("x"), call.given["x"]) for call in calls])
    theirs |= {name: _row(first.gradients[name]) for name in names if name in first.gradients}
    return Record(
        first.kind,
        {name: as_array(weight) for name, weight in first.weights.items()},
        np.stack([_row(call.given["x"]) for call in calls]),
        None,
        {name: _row(first.given[name]) for name in names if name in first.given},
        (),
        restarts,
        np.stack([row[names[0]] for row in rows]),
        {name: np.stack([_from_outside(calls, t, name, rounding) for t in range(len(calls))]) for name in names},
        theirs,
        _name(lowest),
        any(call.differentiated for call in calls),
    )


def _from_outside(calls: Sequence[Call], t: int, name: str, rounding: float) -> Array:
    """What a state of a step got from anywhere but its own step and the next one that goes on from it.

    What is no more than the rounding of the others is nothing.
    """
    call = calls[t]
    total = _or_zeros(call.cotangents.get(name), call.gave[name])
    known = [call.inside.get(name)]
    if t + 1 < len(calls) and calls[t + 1].joined[call.kind.states.index(name)]:
        known.append(calls[t + 1].gradients.get(name))
    parts = [_row(part) for part in known if part is not None]
    rest = total - sum(parts)
    size = np.abs(total) + sum(map(np.abs, parts))
    return np.where(np.abs(rest) <= rounding * size, 0.0, rest)


def _masks(call: Call) -> tuple[Array, ...]:
    """The masks that dropout drew between the layers: the same draws once more, from the same state of the generator.

    It is the outputs that prove them right, see :attr:`Seen.agreement`.
    """
    if call.random is None:
        return ()
    torch = import_package("torch", "watch")
    layers = len([name for name in call.weights if name.startswith("weight_ih") and not name.endswith("_reverse")])
    outputs = call.gave["outputs"]
    shape = outputs.shape if call.layout.packed is not None else call.layout.sequence(outputs).shape
    like = torch.ones(shape, dtype=outputs.dtype)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.set_rng_state(call.random)
        drawn = [torch.nn.functional.dropout(like, call.kind.dropout, True) for _ in range(layers - 1)]
    lay = _same if call.layout.packed is None else call.layout.sequence
    return tuple(as_array(lay(mask)) for mask in drawn)


def _lowest(calls: Sequence[Call]) -> Any:
    """The dtype with the fewest digits that took part."""
    dtypes = {tensor.dtype for call in calls for tensor in (*call.gave.values(), *call.given.values())}
    return max(dtypes, key=lambda dtype: import_package("torch", "watch").finfo(dtype).eps)


def _name(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")


def _or_zeros(tensor: Any, like: Any) -> Array:
    return np.zeros_like(_row(like)) if tensor is None else _row(tensor)


def _row(tensor: Any) -> Array:
    """A state or input of one step, (batch, features)."""
    array = as_array(tensor)
    return array if array.ndim == 2 else array[None]


def _same(tensor: Any) -> Any:
    return tensor

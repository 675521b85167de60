"""The whole run as one operation of the eager graph, and the values inside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..batching import Batched
from ..cotangent import Lazy, Scatter, accumulate, dense
from ..primitives import getitem, reshape, stack, stop_gradient
from ..sweep import Recurrent, sweep
from ..tensor import Tensor
from .backward import Cotangents, Seeds
from .program import Array, Key
from .recurrence import Recurrence

__all__ = ["Flow", "UnrolledRun"]


class Flow(Lazy):
    """The cotangent of a run: what came from outside, and what the adjoint loop made of it."""

    __slots__ = ("contributions", "cotangents", "dtype", "shape")

    def __init__(self, contributions: list[Any], cotangents: Cotangents, tape: Array) -> None:
        self.contributions = contributions
        self.cotangents = cotangents
        self.shape = tape.shape
        self.dtype = tape.dtype

    def dense(self) -> Array:
        several = len(self.contributions) > 1
        total: Array = dense(accumulate(self.contributions) if several else self.contributions[0])
        return total


class UnrolledRun(Recurrent):
    """A cell over a whole sequence: from inputs (T, batch, features), states and parameters to the tape.

    Parameters
    ----------
    name : str
        Shown in drawings.
    find : callable
        From the operands' arrays and whether there is a mask to the :class:`Recurrence` for inputs of that type.
    """

    def __init__(self, name: str, find: Callable[[Sequence[Array], bool], Recurrence]) -> None:
        self.find = find

        def forward(*operands: Array, truncate: int = 0, reverse: bool = False, mask: Array | None = None) -> Array:
            recurrence = find(operands, mask is not None)
            x, states, captured = _sorted(recurrence, operands)
            return recurrence.forward(_ordered(x, reverse), states, captured, _mask(mask, reverse))

        forward.__name__ = name
        forward.__doc__ = "A whole run of a compiled cell."
        super().__init__(forward, (lambda *_, **__: iter(()),), variadic=True, analytic=False)

    def pull(
        self, node: Any, contributions: list[Any], live: Sequence[int], inner: Sequence[Any], create_graph: bool
    ) -> tuple[Any, Any, list[tuple[int, Any]]]:
        """One adjoint loop for all that is wanted."""
        if create_graph:
            return self._pull_tensors(node, contributions, live)
        if any(isinstance(part, Batched) for part in contributions):
            return self._pull_batched(node, contributions, live, inner)
        found = self._cotangents(node, contributions, live, _detail(inner))
        return Flow(contributions, found, node._data), found, _edges(self._in_order(node, found), live)

    def _cotangents(self, node: Any, contributions: list[Any], live: Sequence[int], detail: str) -> Cotangents:
        attributes = node.attributes
        recurrence = self.find(node.values, attributes.get("mask") is not None)
        x, states, captured = _sorted(recurrence, node.values)
        reverse = bool(attributes.get("reverse"))
        seeds = _seeds(recurrence, contributions, len(x))
        first = 1 + len(states)
        wanted = [("x", "") if k == 0 else ("operand", str(k - first)) for k in live if k == 0 or k >= first]
        mask = _mask(attributes.get("mask"), reverse)
        found = recurrence.backward(
            node._data, _ordered(x, reverse), captured, mask, seeds, attributes.get("truncate", 0), detail, wanted
        )
        return found

    def _in_order(self, node: Any, found: Cotangents) -> list[Any]:
        """The cotangents of the operands, in their order."""
        x = None if found.x is None else _ordered(found.x, bool(node.attributes.get("reverse")))
        return [x, *found.states.values(), *found.operands]

    def _pull_batched(
        self, node: Any, contributions: list[Any], live: Sequence[int], inner: Sequence[Any]
    ) -> tuple[Any, Any, list[tuple[int, Any]]]:
        """Many cotangents, one after the other."""
        total = accumulate(contributions) if len(contributions) > 1 else contributions[0]
        single = [self._cotangents(node, [row], live, _detail(inner)) for row in total.array]
        lists = [self._in_order(node, found) for found in single]
        operands = [None if parts[0] is None else Batched(np.stack(parts)) for parts in zip(*lists, strict=True)]
        values = {key: Batched(np.stack([found.inner[key] for found in single])) for key in single[0].inner}
        return total, Cotangents(None, {}, [], values, single[0].share), _edges(operands, live)

    def _pull_tensors(
        self, node: Any, contributions: list[Any], live: Sequence[int]
    ) -> tuple[Any, Any, list[tuple[int, Any]]]:
        """On Tensors: the run once more, step by step, so that what the sweep does is recorded."""
        total = accumulate(contributions) if len(contributions) > 1 else contributions[0]
        recurrence = self.find(node.values, node.attributes.get("mask") is not None)
        values = _replay(recurrence, node.inputs, **node.attributes)
        outputs: list[Tensor] = []
        cotangents: list[Tensor] = []
        steps = len(node.values[0])
        for key, track in recurrence.tracks(steps).items():
            for k in range(steps) if key in values else ():
                start = track.start + (k + (key[0] == "state")) * track.size
                outputs.append(values[key][k])
                cotangents.append(reshape(getitem(total, slice(start, start + track.size)), track.shape))
        rows = [tensor for series in values.values() for tensor in series]
        found: dict[int, Any] = {}
        for value, cotangent, _ in sweep(outputs, cotangents, [*node.inputs, *rows], create_graph=True):
            found[value.id] = cotangent
        inner = {
            key: stack(*[found.get(v.id, Tensor(np.zeros(v.shape, v.dtype))) for v in series])
            for key, series in values.items()
        }
        edges = [(k, found[node.inputs[k].id]) for k in live if node.inputs[k].id in found]
        return total, Cotangents(None, {}, [], inner, lambda k: []), edges


def _replay(
    recurrence: Recurrence, operands: Sequence[Any], truncate: int = 0, reverse: bool = False, mask: Array | None = None
) -> dict[Key, list[Any]]:
    """The run step by step on Tensors: every state and named value, in the order of processing."""
    x, states, captured = _sorted(recurrence, operands)
    names = recurrence.state_names
    state = dict(zip(names, states, strict=True))
    fixed: dict[Key, Any] = {("operand", str(k)): value for k, value in enumerate(captured)}
    series: dict[Key, list[Any]] = {}
    for k in range(x.shape[0]):
        if truncate and k and k % truncate == 0:
            state = {name: stop_gradient(value) for name, value in state.items()}
        row = x.shape[0] - 1 - k if reverse else k
        feeds = fixed | {("x", ""): getitem(x, row)} | {("state", name): value for name, value in state.items()}
        if mask is not None:
            feeds["mask", ""] = mask[row]
        found = recurrence.traced.program.evaluate(feeds)
        state = {name: found["state", name] for name in names}
        for key, value in found.items():
            series.setdefault(key, []).append(value)
    return series


def _sorted(recurrence: Recurrence, operands: Sequence[Any]) -> tuple[Any, Sequence[Any], Sequence[Any]]:
    """Inputs, initial states and captured Tensors."""
    count = len(recurrence.state_names)
    return operands[0], operands[1 : 1 + count], operands[1 + count :]


def _ordered(x: Array, reverse: bool) -> Array:
    return x[::-1] if reverse else x


def _mask(mask: Array | None, reverse: bool) -> Array | None:
    return None if mask is None else _ordered(mask, reverse)


def _edges(cotangents: Sequence[Any], live: Sequence[int]) -> list[tuple[int, Any]]:
    return [(k, cotangents[k]) for k in live if cotangents[k] is not None]


def _detail(inner: Sequence[Any]) -> str:
    """How much of the inside is wanted: nothing, the states, or everything that has a name."""
    roles = {value.attributes["key"][0] for value in inner}
    return "" if not roles else "states" if roles == {"state"} else "all"


def _seeds(recurrence: Recurrence, contributions: list[Any], steps: int) -> Seeds:
    """Cotangents of parts of the tape, sorted by what lies there."""
    tracks = recurrence.tracks(steps)
    everywhere: dict[Key, Array] = {}
    last: dict[str, Array] = {}
    owned: set[Key] = set()
    for part in contributions:
        for key, first, rows in _pieces(part, tracks):
            track = tracks[key]
            offset = int(key[0] == "state")
            if key[0] == "state" and first == steps and len(rows) == 1:
                last[key[1]] = last[key[1]] + rows[0] if key[1] in last else rows[0]
            elif key not in everywhere and first == offset and len(rows) == steps:
                everywhere[key] = rows
            else:
                if key not in owned:
                    have = everywhere.get(key)
                    everywhere[key] = np.zeros((steps, *track.shape), rows.dtype) if have is None else have.copy()
                    owned.add(key)
                everywhere[key][first - offset : first - offset + len(rows)] += rows
    for name in [name for name in last if ("state", name) in everywhere]:
        if ("state", name) not in owned:
            everywhere["state", name] = everywhere["state", name].copy()
        everywhere["state", name][-1] += last.pop(name)
    return Seeds(everywhere, last)


def _pieces(part: Any, tracks: Mapping[Key, Any]) -> Any:
    """A cotangent of the tape as pieces: whose track, from which row, and the rows (n, *shape)."""
    if type(part) is Scatter and isinstance(part.index, slice):
        start = part.index.start
        key, track = next((k, t) for k, t in tracks.items() if t.start <= start < t.start + t.rows * t.size)
        yield key, (start - track.start) // track.size, part.values.reshape(-1, *track.shape)
        return
    whole = np.asarray(dense(part))
    for key, track in tracks.items():
        rows = track.on(whole)
        offset = int(key[0] == "state")
        if rows[offset:].any():
            yield key, offset, rows[offset:]

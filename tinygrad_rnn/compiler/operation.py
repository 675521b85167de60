"""The whole run as one operation of the eager graph, and the values inside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..autodiff.batching import Batched
from ..autodiff.cotangent import Lazy, dense
from ..autodiff.primitive import Primitive
from ..autodiff.primitives import getitem, reshape, stack, stop_gradient, where
from ..autodiff.sweep import Recurrent, sweep
from ..autodiff.tensor import Tensor
from ..recurrent.inner import RowsOf
from .backward import Cotangents, Seeds
from .checkpoint import Checkpointed
from .given import Given
from .program import Array, Key, Name
from .recurrence import Recurrence

__all__ = ["Flow", "Recomputed", "UnrolledRun"]


class Flow(Lazy):
    """The cotangent of a run: what came from outside, and what the adjoint loop made of it."""

    __slots__ = ("contributions", "cotangents", "dtype", "shape")

    def __init__(self, contributions: list[Any], cotangents: Cotangents, tape: Array) -> None:
        self.contributions = contributions
        self.cotangents = cotangents
        self.shape = tape.shape
        self.dtype = tape.dtype

    def dense(self) -> Array:
        total: Array = np.add.reduce([dense(part) for part in self.contributions])
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

        def forward(
            *operands: Array, truncate: int = 0, reverse: bool = False, mask: Array | None = None, checkpoint: int = 0
        ) -> Array:
            loops = _loops(find(operands, mask is not None), checkpoint)
            return loops.forward(_describe(operands, truncate, reverse, mask))

        forward.__name__ = name
        forward.__doc__ = "A whole run of a compiled cell."
        super().__init__(forward, (lambda *_, **__: iter(()),), variadic=True, analytic=False)

    def pull(
        self, node: Any, contributions: list[Any], live: Sequence[int], inner: Sequence[Any], create_graph: bool
    ) -> tuple[Any, Any, list[tuple[int, Any]]]:
        """One adjoint loop for all that is wanted."""
        if create_graph:
            return self._pull_tensors(node, contributions, live)
        if _members(contributions[0]) is not None:
            return self._pull_batched(node, contributions, live, inner)
        found = self._cotangents(node, contributions, live, _detail(inner))
        return Flow(contributions, found, node._data), found, _edges(self._in_order(node, found), live)

    def inside(self, node: Any) -> dict[Key, tuple[int, ...]]:
        """The states, named values and preactivations of a run, with their shapes at one timestep."""
        program = self.find(node.values, node.attributes.get("mask") is not None).traced.program
        wanted = ("state", "value", "before")
        return {key: program.types[value].shape for key, value in program.outputs.items() if key[0] in wanted}

    def _cotangents(self, node: Any, contributions: list[Any], live: Sequence[int], detail: str) -> Cotangents:
        attributes, steps = dict(node.attributes), len(node.values[0])
        recurrence = self.find(node.values, attributes.get("mask") is not None)
        every = attributes.pop("checkpoint", 0)
        given = _describe(node.values, **attributes)
        seeds = _seeds(recurrence, contributions, steps, every)
        found = _loops(recurrence, every).backward(node._data, given, seeds, detail, live)
        reached = recurrence.reach(seeds.read, steps, given.cut, given.mask)
        return found if len(reached) == len(node.values) else found.only(reached)

    def _in_order(self, node: Any, found: Cotangents) -> list[Any]:
        """The cotangents of the operands, in their order."""
        x = None if found.x is None else _reorder(found.x, bool(node.attributes.get("reverse")))
        return [x, *found.states.values(), *found.operands]

    def _pull_batched(
        self, node: Any, contributions: list[Any], live: Sequence[int], inner: Sequence[Any]
    ) -> tuple[Any, Any, list[tuple[int, Any]]]:
        """Many cotangents, one after the other."""
        count = len(_members(contributions[0]))
        split = [[_member(part, k) for part in contributions] for k in range(count)]
        single = [self._cotangents(node, parts, live, _detail(inner)) for parts in split]
        lists = [self._in_order(node, found) for found in single]
        operands = [None if parts[0] is None else Batched(np.stack(parts)) for parts in zip(*lists, strict=True)]
        values = {key: Batched(np.stack([found.inner[key] for found in single])) for key in single[0].inner}
        return contributions[0], Cotangents(None, {}, [], values, single[0].share), _edges(operands, live)

    def _pull_tensors(
        self, node: Any, contributions: list[Any], live: Sequence[int]
    ) -> tuple[Any, Any, list[tuple[int, Any]]]:
        """On Tensors: the run once more, step by step, so that what the sweep does is recorded."""
        recurrence = self.find(node.values, node.attributes.get("mask") is not None)
        values = _replay(recurrence, node.inputs, **node.attributes)
        outputs: list[Tensor] = []
        cotangents: list[Tensor] = []
        for part in contributions:
            for key, k, cotangent in _tensor_pieces(part, recurrence, node, values):
                outputs.append(values[key][k])
                cotangents.append(cotangent)
        rows = [tensor for series in values.values() for tensor in series]
        found: dict[int, Any] = {}
        for value, cotangent, _ in sweep(outputs, cotangents, [*node.inputs, *rows], create_graph=True):
            found[value.id] = cotangent
        shares = {
            key: [found.get(v.id, Tensor(np.zeros(v.shape, v.dtype))) for v in series] for key, series in values.items()
        }
        edges = [(k, found[node.inputs[k].id]) for k in live if node.inputs[k].id in found]
        mask = _mask(node.attributes.get("mask"), bool(node.attributes.get("reverse")))
        for k, running in enumerate(() if mask is None else mask):
            # As eagerly: where a state is new, all that the step reads of it counts.
            for name in recurrence.state_names:
                new, state = values["unmasked", name][k], values["state", name][k]
                share, held = found.get(new.id, shares["unmasked", name][k]), shares["state", name][k]
                found[state.id] = where(running.reshape(len(running), *(1,) * (held.ndim - 1)), share, held)
                shares["state", name][k] = found[state.id]
        inner = {key: stack(*parts) for key, parts in shares.items()}
        return contributions[0], Cotangents(None, {}, [], inner, lambda k: []), edges


def _members(part: Any) -> Any:
    """The members of a cotangent that stands for many."""
    rows = part.rows if isinstance(part, RowsOf) else part
    return rows.array if isinstance(rows, Batched) else None


def _member(part: Any, k: int) -> Any:
    return RowsOf(part.key, part.first, part.rows.array[k], part) if isinstance(part, RowsOf) else part.array[k]


def _tensor_pieces(
    part: Any, recurrence: Recurrence, node: Any, values: Mapping[Key, Any]
) -> Iterator[tuple[Key, int, Tensor]]:
    """A recorded cotangent of the tape as cotangents of single values: whose, of which step."""
    if isinstance(part, RowsOf):
        yield from ((part.key, part.first + k, getitem(part.rows, k)) for k in range(part.rows.shape[0]))
        return
    steps, every = len(node.values[0]), node.attributes.get("checkpoint", 0)
    for key, track in _loops(recurrence, every).tracks(steps).items():
        first = int(key[0] == "state")
        for row in range(track.rows - 1 if every else first, track.rows) if key in values else ():
            start = track.start + row * track.size
            piece = reshape(getitem(part, slice(start, start + track.size)), track.shape)
            yield key, steps - 1 if every else row - first, piece


def _replay(
    recurrence: Recurrence,
    operands: Sequence[Any],
    truncate: int = 0,
    reverse: bool = False,
    mask: Array | None = None,
    checkpoint: int = 0,
) -> dict[Key, list[Any]]:
    """The run step by step on Tensors: every state and named value, in the order of processing."""
    x, *rest = operands
    names = recurrence.state_names
    state = dict(zip(names, rest, strict=False))
    fixed: dict[Key, Any] = {("operand", k): value for k, value in enumerate(rest[len(names) :])}
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


def _describe(operands: Sequence[Array], truncate: int = 0, reverse: bool = False, mask: Array | None = None) -> Given:
    """What a run is given, of its operands and attributes."""
    if reverse:
        operands, mask = (operands[0][::-1], *operands[1:]), _mask(mask, True)
    return Given(operands, mask, truncate)


def _loops(recurrence: Recurrence, every: int) -> Recurrence | Checkpointed:
    return Checkpointed(recurrence, every) if every else recurrence


def _reorder(x: Array, reverse: bool) -> Array:
    return x[::-1] if reverse else x


def _mask(mask: Array | None, reverse: bool) -> Array | None:
    return None if mask is None else _reorder(mask, reverse)


def _edges(cotangents: Sequence[Any], live: Sequence[int]) -> list[tuple[int, Any]]:
    return [(k, cotangents[k]) for k in live if cotangents[k] is not None]


def _detail(inner: Sequence[Any]) -> str:
    """How much of the inside is wanted: nothing, the states, or everything that has a name."""
    if not inner:
        return ""
    return "states" if {value.attributes["key"][0] for value in inner} == {"state"} else "all"


def _seeds(recurrence: Recurrence, contributions: list[Any], steps: int, every: int) -> Seeds:
    """Cotangents of parts of the tape, sorted by what lies there."""
    everywhere: dict[Key, Array] = {}
    last: dict[Name, Array] = {}
    read: list[tuple[Key, int, int]] = []
    owned: set[Key] = set()
    for part in contributions:
        for key, first, rows in _pieces(recurrence, part, steps, every):
            count = len(rows)
            read.append((key, first, count))
            if count == 1 and first == steps - 1 and key[0] == "state":
                last[key[1]] = last[key[1]] + rows[0] if key[1] in last else rows[0]
            elif key not in everywhere and count == steps:
                everywhere[key] = rows
            else:
                if key not in owned:
                    have = everywhere.get(key)
                    shape = (steps, *recurrence.tracks(steps)[key].shape)
                    everywhere[key] = np.zeros(shape, rows.dtype) if have is None else have.copy()
                    owned.add(key)
                everywhere[key][first : first + count] += rows
    for name in [name for name in last if ("state", name) in everywhere] if everywhere else ():
        if ("state", name) not in owned:
            everywhere["state", name] = everywhere["state", name].copy()
        everywhere["state", name][-1] += last.pop(name)
    return Seeds(everywhere, last, tuple(read))


def _pieces(recurrence: Recurrence, part: Any, steps: int, every: int) -> Iterable[tuple[Key, int, Array]]:
    """A cotangent of the tape as pieces: whose, from which step on, and the rows (n, *shape)."""
    if isinstance(part, RowsOf):
        return ((part.key, part.first, part.rows),)
    whole = np.asarray(dense(part))
    found = [
        (key, steps - 1 if every else 0, track.on(whole)[-1 if every else int(key[0] == "state") :])
        for key, track in _loops(recurrence, every).tracks(steps).items()
    ]
    return [piece for piece in found if piece[2].any()]


class Recomputed(Primitive):
    """Values of a checkpointed run, computed again from the nearest checkpoint; no gradient flows through here.

    Its operands are the tape and those of the run; it gives the full tape of one segment, or one value at all
    timesteps.
    """

    def __init__(self, name: str, find: Callable[[Sequence[Array], bool], Recurrence]) -> None:
        def forward(
            tape: Array,
            *operands: Array,
            checkpoint: int,
            segment: int | None = None,
            key: Key | None = None,
            truncate: int = 0,
            reverse: bool = False,
            mask: Array | None = None,
        ) -> Array:
            recurrence = find(operands, mask is not None)
            given = _describe(operands, truncate, reverse, mask)
            checkpointed = Checkpointed(recurrence, checkpoint)
            if segment is not None:
                return checkpointed.segment(tape, given, segment)
            assert key is not None
            return checkpointed.trajectory(tape, given, key)

        forward.__name__ = name
        forward.__doc__ = "Values of a checkpointed run, computed again."
        super().__init__(forward, (None,), variadic=True, analytic=False)

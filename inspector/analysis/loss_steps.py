"""What the loss reads at each step, pulled back to every state on its own: the adjoints of all loss steps at once."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tinygrad_rnn import Scope, Tensor
from tinygrad_rnn.autodiff.ancestry import ancestors
from tinygrad_rnn.autodiff.batching import Batched
from tinygrad_rnn.autodiff.cotangent import dense
from tinygrad_rnn.autodiff.sweep import Visit, sweep
from tinygrad_rnn.recurrent.inner import HELD
from tinygrad_rnn.recurrent.unroll import Run

from ..tracing.trace import timestep_in
from ..tracing.values import parts_of
from .wide_sweep import Lanes, Seed, Step, joined, lanes_at_once, that_fit, wide_sweep

Array = npt.NDArray[Any]

__all__ = ["LossSteps", "Piece"]


class Piece(NamedTuple):
    """A part of the gradient by a state: whose (a place in ``names``), at which timestep, and the numbers.

    The whole state of a cell comes in several pieces, one a state.
    """

    name: int
    t: int
    tensor: int
    gradient: Array


@dataclass(frozen=True)
class _Place:
    """A state a Tensor is: of a cell at a timestep."""

    name: int
    cell: int
    t: int


class LossSteps:
    """The loss of a recorded run, taken apart by the step at which it reads the run.

    A value belongs to the step that computed it. What the loss takes from the values of step s, along whatever way
    outside the steps, is the loss of step s; its adjoints at all states are those of the run with this as its seed.
    They add up to the adjoints of the loss.

    Parameters
    ----------
    run : Run
        With every operation on record.
    loss : Tensor
        A single number.

    Attributes
    ----------
    names : tuple of str
        ``h``, ``c`` and for the whole state ``(h, c)``, of each cell.
    backward : tuple of bool
        For each name whether its cell reads the sequence from its end.
    """

    def __init__(self, run: Run, loss: Tensor) -> None:
        self.steps, self._at_once = len(run), lanes_at_once(run)
        self._cells = [part for _, part in parts_of(run)]
        names: list[str] = []
        self._single: dict[int, list[_Place]] = {}
        self._whole: dict[int, list[_Place]] = {}
        self.backward: tuple[bool, ...] = ()
        for cell, (prefix, part) in enumerate(parts_of(run)):
            fields = part.initial_state._fields
            for field in fields:
                self._place(self._single, [[state[fields.index(field)]] for state in part.states], len(names), cell)
                names.append(prefix + field)
            if len(fields) > 1:
                self._place(self._whole, part.states, len(names), cell)
                names.append(f"{prefix}({', '.join(fields)})")
            self.backward += (part.reverse,) * (len(names) - len(self.backward))
        self.names = tuple(names)
        self._outputs = {output.id for part in self._cells for output in part.outputs} - set(self._single)
        self._owner = self._owners(loss)
        self._seeds = self._read(loss)

    def total(self) -> Iterator[Piece]:
        """The gradient of the whole loss by every state; what it does not depend on is left out."""
        nodes = list(self._seeds)
        yield from self._pieces(nodes, [self._seeds[node] for node in nodes])

    def each(self) -> Iterator[tuple[slice | Array, Piece]]:
        """The same for every loss step: which steps, and a piece with these steps in front.

        Steps swept together meet on edges that only some of them take, where the others have 0 times the derivative,
        which is no number if that is not finite; :meth:`each_apart` keeps it out.
        """
        if any(v.op is HELD and self._step_of(v) != self._step_of(v.inputs[1]) for v in self._states()):
            yield from self.each_apart()
            return
        read = np.array(sorted({self._owner[node.id][1] for node in self._seeds}))
        lane_of = {s: lane for lane, s in enumerate(read.tolist())}
        every = [Seed(node, lane_of[self._owner[node.id][1]], cotangent) for node, cotangent in self._seeds.items()]
        for first in range(0, len(read), self._at_once):
            for rows, piece in self._side_by_side([seed for seed in every if 0 <= seed.lane - first < self._at_once]):
                yield rows if len(read) == self.steps else read[rows], piece

    def _side_by_side(self, seeds: Sequence[Seed]) -> Iterator[tuple[slice, Piece]]:
        arriving: dict[tuple[int, _Place], list[Lanes]] = {}
        for node, lane, cotangent in seeds:
            for place in self._whole.get(node.id, ()):
                if not self._before(self._owner[node.id][1], place):
                    arriving.setdefault((node.id, place), []).append(Lanes(lane, cotangent[None]))
        for step, totals, sent in wide_sweep(seeds, self._states(), self._step_of):
            cell, t = (step.cell, step.t) if step is not None else (None, None)
            for key, lanes in sent.items():
                for place in self._whole.get(key, ()):
                    if self._comes_later(cell, t, place):
                        arriving.setdefault((key, place), []).append(lanes)
            for key, lanes in totals.items():
                for place in self._single.get(key, ()):
                    yield lanes.rows, Piece(place.name, place.t, key, lanes.array)
                for place in self._whole.get(key, ()):
                    if (key, place) in arriving:
                        whole = joined(arriving.pop((key, place)))
                        yield whole.rows, Piece(place.name, place.t, key, whole.array)

    def each_apart(self) -> Iterator[tuple[slice, Piece]]:
        """The same where something is not finite, which stays out of the gradients of steps that do not take its way,
        at the cost of a second look at every edge.
        """
        widest = max((value.size for part in self._cells for value in part.states[0]), default=1)
        size = that_fit(widest)
        senders = self._senders()
        for first in range(0, self.steps, size):
            rows = slice(first, min(first + size, self.steps))
            nodes = [node for node in self._seeds if rows.start <= self._owner[node.id][1] < rows.stop]
            seeds = [self._row(node, self._owner[node.id][1] - first, rows.stop - first) for node in nodes]
            for piece in self._pieces(nodes, seeds, partial(_only, senders, rows)):
                yield rows, piece

    @property
    def readers(self) -> list[int]:
        """The steps that the loss reads, in the order of time."""
        return sorted({self._owner[node.id][1] for node, seed in self._seeds.items() if np.any(seed)})

    def alone(self, step: int) -> Tensor:
        """A number with the gradient of the loss of one step that it reads."""
        nodes = [node for node in self._seeds if self._owner[node.id][1] == step]
        terms: list[Tensor] = [(node * self._seeds[node]).sum() for node in nodes]
        return reduce(operator.add, terms)

    def _senders(self) -> dict[int, int]:
        """The steps whose loss sends a gradient to each node, by id and as bits: along the edges that a sweep
        follows.
        """
        visits = sweep(list(self._seeds), list(self._seeds.values()), self._states())
        edges = {node.id: [node.inputs[k].id for k, _ in passed] for node, _, passed in visits}
        senders = {node.id: 1 << self._owner[node.id][1] for node in self._seeds}
        for key in sorted(edges, reverse=True):  # the sweep comes to a value inside another after that other
            for operand in edges[key]:
                senders[operand] = senders.get(operand, 0) | senders.get(key, 0)
        return senders

    def _states(self) -> list[Tensor]:
        return [value for part in self._cells for state in part.states for value in state]

    def _row(self, node: Tensor, row: int, rows: int) -> Batched:
        array = np.zeros((rows, *node.shape), node.dtype)
        array[row] = self._seeds[node]
        return Batched(array)

    def _place(self, places: dict[int, list[_Place]], states: Sequence[Any], name: int, cell: int) -> None:
        for t, state in enumerate(states):
            for key in dict.fromkeys(value.id for value in state):  # a value that is two states counts once
                places.setdefault(key, []).append(_Place(name, cell, t))

    def _owners(self, loss: Tensor) -> dict[int, tuple[int, int]]:
        """The cell and the step that each value belongs to; a state that no step has computed to the first that
        has it.
        """
        steps = {scope: (k, t) for k, part in enumerate(self._cells) for t, scope in enumerate(part.scopes)}
        order = {scope: t for scope, (_, t) in steps.items()}
        known: dict[Scope | None, Scope | None] = {}
        owner: dict[int, tuple[int, int]] = {}
        for node in ancestors([loss]):
            if node.scope not in known:
                inside = timestep_in(node.scope, order) is not None
                known[node.scope] = node.scope.step if inside and node.scope is not None else None
            step = known[node.scope]
            if step is not None:
                owner[node.id] = steps[step]
        for key, places in self._single.items():
            first = places[-1 if self._cells[places[0].cell].reverse else 0]
            owner.setdefault(key, (first.cell, first.t))
        return owner

    def _read(self, loss: Tensor) -> dict[Tensor, Array]:
        """What the loss sends to each value of a step from outside the steps: a sweep that stops there."""
        reached = [node for node in ancestors([loss], self._owner) if node.id in self._owner]
        one = np.ones(loss.shape, loss.dtype)
        visits = sweep([loss], [one], reached, ends=self._owner)
        return {node: np.asarray(dense(total)) for node, total, _ in visits if node.id in self._owner}

    def _pieces(
        self, nodes: list[Tensor], seeds: Sequence[Any], edit: Callable[[Tensor, int, Any, Any], Any] | None = None
    ) -> Iterator[Piece]:
        """The adjoints of all states, as the sweep meets them."""
        arriving: dict[tuple[int, _Place], Any] = {}
        for node, seed in zip(nodes, seeds, strict=True):
            for place in self._whole.get(node.id, ()):
                if not self._before(self._owner[node.id][1], place):
                    arriving[node.id, place] = seed
        for visit in sweep(nodes, seeds, self._states(), edit=edit) if nodes else ():
            node, total, _ = visit
            self._arrive(visit, arriving)
            for place in self._single.get(node.id, ()):
                yield Piece(place.name, place.t, node.id, _array(total))
            for place in self._whole.get(node.id, ()):
                if (node.id, place) in arriving:
                    yield Piece(place.name, place.t, node.id, _array(arriving.pop((node.id, place))))

    def _arrive(self, visit: Visit, arriving: dict[tuple[int, _Place], Any]) -> None:
        """Note what a later step, or what is no step of the cell, sends to its state."""
        node, _, edges = visit
        step = self._step_of(node)
        cell, t = (step.cell, step.t) if step is not None else (None, None)
        for operand, contribution in edges:
            target = node.inputs[operand].id
            for place in self._whole.get(target, ()):
                if self._comes_later(cell, t, place):
                    have = arriving.get((target, place))
                    arriving[target, place] = contribution if have is None else dense(have) + dense(contribution)

    def _step_of(self, node: Tensor) -> Step | None:
        """The step that an operation belongs to; what stands between a state and the output to none."""
        if node.id not in self._owner or node.id in self._outputs:
            return None
        cell, t = self._owner[node.id]
        return Step(self.steps - 1 - t if self._cells[cell].reverse else t, cell, t)

    def _comes_later(self, cell: int | None, t: int | None, place: _Place) -> bool:
        """Whether what reads a state is no step of its cell, or a later one."""
        return cell != place.cell or t is None or (t != place.t and not self._before(t, place))

    def _before(self, t: int, place: _Place) -> bool:
        """Whether a step comes before that of a state, as the cell reads the sequence."""
        return t > place.t if self._cells[place.cell].reverse else t < place.t


def _only(senders: dict[int, int], steps: slice, node: Tensor, operand: int, part: Any, cotangent: Any) -> Any:
    """What flows through an edge for those of the loss steps that send anything to its node."""
    part = dense(part)
    if np.isfinite(part.array).all():  # then the others have their 0
        return part
    sent = np.array([bool(senders[node.id] >> s & 1) for s in range(steps.start, steps.stop)])
    return Batched(np.where(sent.reshape(-1, *(1,) * part.ndim), part.array, np.zeros((), part.dtype)))


def _array(total: Any) -> Array:
    total = dense(total)
    return total.array if isinstance(total, Batched) else np.asarray(total)

"""A trace in the order of time: what reads one timestep of the sequence, and to which step each operation belongs."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .trace import Operation, Ref, Trace, leaves, replaced

__all__ = ["Irregular", "Steps", "Taken", "Timeline", "ancestors", "code_of", "refs", "timeline"]


class Irregular(Exception):
    """Why a trace is no loop whose steps are the same."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The elements of a sequence that a step reads: of which value, along which axis, and whether the axis stays."""

    source: int
    axis: int
    kept: bool


# ------------------------------------------------------------------------------------- one notation


def _written_alike(trace: Trace) -> tuple[list[Operation], Any]:
    """The operations with every way of taking one timestep, or of putting timesteps together, written alike."""
    operations: list[Operation] = []
    same: dict[int, int] = {}

    def current(leaf: Any) -> Any:
        return Ref(same.get(leaf.index, leaf.index)) if isinstance(leaf, Ref) else leaf

    for index, one in enumerate(trace.operations):
        operation = replace(one, args=tuple(replaced(one.args, current)), kwargs=replaced(one.kwargs, current))
        operation = _as_selection(operations, operation)
        operation = _as_stack(operations, operation)
        operations.append(operation)
        inside = _inside_stack(operations, operation)
        if operation.kind == "add.Tensor" and operation.args[1:] in (
            (0,),
            (0.0,),
        ):  # the start of sum(...), of total = 0
            inside = operation.args[0].index
        if inside is not None:
            same[index] = inside
    return operations, replaced(trace.output, current)


def _as_selection(operations: Sequence[Operation], operation: Operation) -> Operation:
    """Parts of ``unbind`` and of ``split(1)``, and negative places, as ``select`` and ``slice``."""
    if operation.kind == "getitem":
        whole = operations[operation.args[0].index]
        place = operation.args[1]
        if whole.kind == "unbind.int":
            axis = _normal(operations, whole.args[0], whole.args[1] if len(whole.args) > 1 else 0)
            return replace(operation, kind="select.int", args=(whole.args[0], axis, place), view=True)
        if whole.kind in ("split.Tensor", "unsafe_split.Tensor") and whole.args[1] == 1:
            axis = _normal(operations, whole.args[0], whole.args[2] if len(whole.args) > 2 else 0)
            return replace(operation, kind="slice.Tensor", args=(whole.args[0], axis, place, place + 1), view=True)
    if operation.kind == "select.int":
        source, axis, place = operation.args
        axis = _normal(operations, source, axis)
        size = operations[source.index].shape[axis]
        if isinstance(place, int) and isinstance(size, int):
            return replace(operation, args=(source, axis, place % size))
    return operation


def _normal(operations: Sequence[Operation], source: Any, axis: Any) -> Any:
    return axis % len(operations[source.index].shape) if isinstance(axis, int) and isinstance(source, Ref) else axis


def _as_stack(operations: Sequence[Operation], operation: Operation) -> Operation:
    """What was written place by place into zeros, or joined along new axes, as ``stack``."""
    if operation.kind == "cat.default":
        axis = operation.args[1] if len(operation.args) > 1 else 0
        parts = [operations[part.index] for part in operation.args[0]]
        rank = len(operation.shape)
        if all(part.kind == "unsqueeze.default" and (part.args[1] - axis) % rank == 0 for part in parts):
            return replace(operation, kind="stack.default", args=([part.args[0] for part in parts], axis % rank))
        return operation
    if operation.kind != "put" or operation.args[2] != "select.int":
        return operation
    axis = operation.args[3]
    values: dict[int, Ref] = {}
    base = operation
    while base.kind == "put" and base.args[2:4] == ("select.int", axis):
        values.setdefault(base.args[4], base.args[1])
        base = operations[base.args[0].index]
    size = operation.shape[axis]
    if not isinstance(size, int) or set(values) != set(range(size)):
        return operation
    return replace(operation, kind="stack.default", args=([values[t] for t in range(size)], axis), kwargs={})


def _inside_stack(operations: Sequence[Operation], operation: Operation) -> int | None:
    """The value that is taken out of a stack again."""
    if operation.kind != "select.int":
        return None
    source = operations[operation.args[0].index]
    if source.kind != "stack.default":
        return None
    axis = source.args[1] if len(source.args) > 1 else source.kwargs.get("dim", 0)
    values = source.args[0]
    if axis % len(source.shape) != operation.args[1]:
        return None
    found: int = values[operation.args[2]].index
    return found


def refs(operation: Operation) -> Iterator[int]:
    """The numbers of the operands."""
    for leaf in leaves([operation.args, operation.kwargs]):
        if isinstance(leaf, Ref):
            yield leaf.index


def ancestors(operations: Sequence[Operation], of: Sequence[int]) -> set[int]:
    """What values depend on, they included."""
    found, stack = set(), list(of)
    while stack:
        index = stack.pop()
        if index not in found:
            found.add(index)
            stack += refs(operations[index])
    return found


# ---------------------------------------------------------------------------------------- the time


def _selections(operations: Sequence[Operation], needed: set[int], steps: int) -> dict[int, tuple[Taken, int]]:
    """Which operations take one element of a sequence, and which: all are taken, of a value before the loop."""
    groups: dict[Taken, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    late: set[int] = set()
    reads: set[int] = set()
    for index in sorted(needed):
        operation = operations[index]
        if operation.kind == "input" or any(k in reads for k in refs(operation)):
            reads.add(index)
        if any(k in late for k in refs(operation)):
            late.add(index)
            continue
        place = _place(operations, operation, steps)
        if place is not None and operation.args[0].index in reads:
            groups[place[0]][place[1]].append(index)
            late.add(index)
    found: dict[int, tuple[Taken, int]] = {}
    for taken, places in groups.items():
        if set(places) == set(range(steps)):
            found |= {index: (taken, t) for t, indices in places.items() for index in indices}
    return found


def _place(operations: Sequence[Operation], operation: Operation, steps: int) -> tuple[Taken, int] | None:
    if operation.kind == "select.int":
        source, axis, t = operation.args
        kept = False
    elif operation.kind == "slice.Tensor" and len(operation.args) == 4:
        source, axis, t, stop = operation.args
        kept = True
        if not isinstance(t, int) or stop != t + 1:
            return None
    else:
        return None
    if operations[source.index].shape[axis] != steps or not isinstance(t, int):
        return None
    return Taken(source.index, axis, kept), t


def _direction(operations: Sequence[Operation], needed: set[int], chosen: dict[int, tuple[Taken, int]]) -> bool:
    """Whether time runs backwards: in which order the elements are used, perhaps several times over."""
    used = [chosen[k][1] for index in sorted(needed) for k in refs(operations[index]) if k in chosen]
    last = max(used)
    steps = {(b - a) for a, b in itertools.pairwise(used) if a != b and {a, b} != {0, last}}
    if steps in ({1}, {-1}):
        return steps == {-1}
    if steps == {1, -1}:
        raise Irregular("it reads the sequence in both directions")
    first = dict.fromkeys(used)
    raise Irregular(f"it reads the sequence in the order {', '.join(map(str, first))}")


# --------------------------------------------------------------------------------------- the steps


class Steps:
    """To which step each operation belongs: that in which its last operand comes to be, or the next."""

    def __init__(
        self, operations: list[Operation], needed: set[int], when: dict[int, int], trace: Trace, count: int, alike: bool
    ) -> None:
        self.operations, self.needed, self.trace, self.count = operations, needed, trace, count
        self.step: dict[int, int] = {}
        self.readers: dict[int, list[int]] = defaultdict(list)
        for index in sorted(needed):
            operation = operations[index]
            for k in refs(operation):
                self.readers[k].append(index)
            inside = max((self.step[k] for k in refs(operation)), default=-1)
            self.step[index] = when.get(index, inside)
        self.leaves = set(when)
        if not alike:
            for step in range(count - 1):
                while self._postponed(step):
                    pass
            return
        middle = count // 2
        moved: set[int] = set()
        while cone := self._postponed(middle):
            moved |= cone
        for step in range(count - 1):
            if step != middle:
                self._postpone_alike(step, {code_of(operations[index]) for index in moved})

    def _postpone_alike(self, step: int, code: set[Any]) -> None:
        """Move of a step what was moved of the one in the middle."""
        for index in reversed(self.of(step)):
            later = all(self.step[reader] > step for reader in self.readers[index])
            if later and code_of(self.operations[index]) in code:
                self.step[index] = step + 1

    def _postponed(self, step: int) -> set[int]:
        """Move to the next step what only that reads, where fewer values are handed on then, or those with names.

        So h is handed on, and not the product of weights and h, though that could be computed at once.
        """
        handed = {k for k in self.of(step) if self._is_handed(k, step)}
        groups: dict[frozenset[int], list[int]] = defaultdict(list)
        for index in handed:
            if all(self.step[reader] > step for reader in self.readers[index]):
                groups[self._operands(index)].append(index)
        for group in groups.values():
            moved = self._cone(group, handed, step)
            self.step |= dict.fromkeys(moved, step + 1)
            if moved:
                return moved
        return set()

    def _operands(self, index: int) -> frozenset[int]:
        return frozenset(k for k in refs(self.operations[index]) if self.step[k] >= 0)

    def _is_handed(self, index: int, step: int) -> bool:
        return any(self.step[reader] > step and not self._gathers(reader) for reader in self.readers[index])

    def _cone(self, group: list[int], handed: set[int], step: int) -> set[int]:
        """A group of values and what lies behind them, up to fewer values, or to one at which a step rather ends."""
        moved = set(group)
        while True:
            border = {k for index in moved for k in self._operands(index)} - moved
            if not border or any(self.step[k] != step or k in self.leaves for k in border):
                return set()
            new = border - handed
            if len(new) < len(group):
                return moved
            if len(new) == len(group) == 1 and self._is_earlier(min(new), group[0]):
                return moved
            behind = {k for k in new if all(self.step[r] > step or r in moved for r in self.readers[k])}
            if not behind:
                return set()
            moved |= behind

    def _gathers(self, index: int) -> bool:
        return self.operations[index].kind in ("stack.default", "cat.default")

    def _is_earlier(self, one: int, other: int) -> bool:
        """Whether the step ends with `one`: a variable of an outer function, or what is read after a jump back."""
        ranks = [self.trace.names[k].depth if k in self.trace.names else math.inf for k in (one, other)]
        if ranks[0] != ranks[1]:
            return ranks[0] < ranks[1]
        return self.operations[other].place.is_again(self.operations[one].place)

    def of(self, step: int) -> list[int]:
        """The operations of a step in order, without the elements of sequences that it reads."""
        return [k for k in sorted(self.needed) if self.step[k] == step and k not in self.leaves]


@dataclass
class Timeline:
    """A trace along time, whether its steps are the same or not.

    Attributes
    ----------
    operations : list of Operation
    output : nested structure
    needed : set of int
        What the output depends on.
    chosen : dict of int to (Taken, int)
        Which operations take one timestep of a sequence, and which.
    reverse : bool
    steps : Steps
        To which step each operation belongs, in the order in which they run; -1 before the first.
    """

    operations: list[Operation]
    output: Any
    needed: set[int]
    chosen: dict[int, tuple[Taken, int]]
    reverse: bool
    steps: Steps


def timeline(trace: Trace, count: int, alike: bool = False) -> Timeline:
    """Put the operations of a trace of so many steps in the order of time, with `alike` all steps as the middle one.

    Raises
    ------
    Irregular
        If the sequence is not read one timestep after the other.
    """
    operations, output = _written_alike(trace)
    needed = ancestors(operations, [leaf.index for leaf in leaves(output) if isinstance(leaf, Ref)])
    chosen = _selections(operations, needed, count)
    if not chosen:
        raise Irregular("no loop reads the sequence one timestep after the other")
    reverse = _direction(operations, needed, chosen)
    when = {index: (count - 1 - t if reverse else t) for index, (_, t) in chosen.items()}
    needed = _alive(operations, needed)
    return Timeline(operations, output, needed, chosen, reverse, Steps(operations, needed, when, trace, count, alike))


def _alive(operations: Sequence[Operation], needed: set[int]) -> set[int]:
    """What the output depends on, and in the last step what it depends on in others: the last cell state, for one."""
    wanted = {code_of(operations[index]) for index in needed if operations[index].place.way}
    return ancestors(operations, [*needed, *(k for k, one in enumerate(operations) if code_of(one) in wanted)])


def code_of(operation: Operation) -> tuple[Any, ...]:
    """The piece of code that an operation is, whenever it runs."""
    part = operation.args[1] if operation.kind == "getitem" else None
    return operation.kind, part, tuple([offset for _, offset in operation.place.way])

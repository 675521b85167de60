"""A loop over time found in a trace, in which it stands unrolled: the step that repeats, and the values it hands on."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .torch_trace import Operation, Ref, Trace, leaves, replaced

__all__ = ["At", "Carried", "Every", "Irregular", "Loop", "Taken", "Timeline", "ancestors", "refs", "roll", "timeline"]


class Irregular(Exception):
    """Why a trace is no loop whose steps are the same."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The elements of a sequence that a step reads: of which value, along which axis, and whether the axis stays."""

    source: int
    axis: int
    kept: bool


@dataclass(frozen=True, slots=True)
class Every:
    """The values that an operation of the step gives at all steps, as a list in the order of time."""

    index: int


@dataclass(frozen=True, slots=True)
class At:
    """The value that an operation of the step gives at one step that is run, counted from the last if negative."""

    index: int
    step: int


@dataclass(frozen=True, slots=True)
class Carried:
    """A value that a step hands on to the next: the operation that gives it, and the value before the first step."""

    index: int
    start: Ref


@dataclass
class Loop:
    """What was found.

    Attributes
    ----------
    operations : list of Operation
        Of the whole trace.
    step : list of int
        The operations of one step, in order.
    taken : dict from int to Taken
        Which operands of the step are elements of sequences.
    carried : list of Carried
    handed : dict from int to int
        From what a step reads of the step before to the operation of the step that gives it to the next.
    collected : list of int
        Operations of the step whose values are read after the loop at every step.
    reverse : bool
        Whether time runs backwards.
    output : nested structure
        What the module returns.
    after : dict from int to Operation
        What is computed after the loop, with :class:`Every` and :class:`At` for values of the steps.
    """

    operations: list[Operation]
    step: list[int]
    taken: dict[int, Taken]
    carried: list[Carried]
    handed: dict[int, int]
    collected: list[int]
    reverse: bool
    output: Any
    after: dict[int, Operation]


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


class _Steps:
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
                self._postpone_alike(step, {_code(operations[index]) for index in moved})

    def _postpone_alike(self, step: int, code: set[Any]) -> None:
        """Move of a step what was moved of the one in the middle."""
        for index in reversed(self.of(step)):
            later = all(self.step[reader] > step for reader in self.readers[index])
            if later and _code(self.operations[index]) in code:
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
    steps : _Steps
        To which step each operation belongs, in the order in which they run; -1 before the first.
    """

    operations: list[Operation]
    output: Any
    needed: set[int]
    chosen: dict[int, tuple[Taken, int]]
    reverse: bool
    steps: _Steps


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
    return Timeline(operations, output, needed, chosen, reverse, _Steps(operations, needed, when, trace, count, alike))


def _alive(operations: Sequence[Operation], needed: set[int]) -> set[int]:
    """What the output depends on, and in the last step what it depends on in others: the last cell state, for one."""
    wanted = {_code(operations[index]) for index in needed if operations[index].place.way}
    return ancestors(operations, [*needed, *(k for k, one in enumerate(operations) if _code(one) in wanted)])


def _code(operation: Operation) -> tuple[Any, ...]:
    """The piece of code that an operation is, whenever it runs."""
    part = operation.args[1] if operation.kind == "getitem" else None
    return operation.kind, part, tuple([offset for _, offset in operation.place.way])


def roll(trace: Trace, steps: int) -> Loop:
    """Find the loop in a trace of so many steps.

    Raises
    ------
    Irregular
        If there is none, or if its steps differ; the message says where.
    """
    time = timeline(trace, steps, alike=True)
    template = time.steps.of(steps // 2)
    if not template:
        raise Irregular("nothing is computed between one timestep and the next")
    found = _Matching(time.operations, time.steps, template, steps // 2, time.chosen)
    return found.loop(time.output, time.reverse, steps)


class _Matching:
    """The step in the middle, held against every other."""

    def __init__(
        self, operations: list[Operation], order: _Steps, template: list[int], middle: int, chosen: Any
    ) -> None:
        self.operations, self.order, self.template, self.middle = operations, order, template, middle
        self.chosen = chosen
        self.inside = set(template)
        self.taken = {k: chosen[k][0] for index in template for k in refs(operations[index]) if k in chosen}
        self.maps: list[dict[int, int]] = [{} for _ in range(order.count)]
        self.handed: dict[int, int] = {}
        self.starts: dict[int, int] = {}

    def loop(self, output: Any, reverse: bool, steps: int) -> Loop:
        """All of what was found."""
        for step in range(1, steps - 1):
            self._regular(step)
        self._handed_on()
        self._first()
        self._last()
        after, collected, result = self._after(output, reverse)
        carried = [Carried(k, Ref(self.starts[k])) for k in self.template if k in self.starts]
        return Loop(self.operations, self.template, self.taken, carried, self.handed, collected, reverse, result, after)

    def _regular(self, step: int) -> None:
        """One of the steps that have both neighbours, operation by operation."""
        found = self.order.of(step)
        for one, other in zip(self.template, found, strict=False):
            self._alike(one, other, step)
        if len(found) != len(self.template):
            raise Irregular(f"step {step} has {len(found)} operations, step {self.middle} has {len(self.template)}")
        self.maps[step] = dict(zip(self.template, found, strict=True))

    def _alike(self, one: int, other: int, step: int) -> None:
        a, b = self.operations[one], self.operations[other]
        if a.kind != b.kind:
            raise Irregular(
                f"step {step} computes {_short(b)} (in {b.place}) where step {self.middle} computes {_short(a)}"
                f" (in {a.place})"
            )
        if _static(a) != _static(b):
            raise Irregular(f"{_short(a)} is not given the same in steps {self.middle} and {step} (in {a.place})")

    def _handed_on(self) -> None:
        """What a step reads of the one before, told from the step in the middle; and that all others do as it does."""
        back = {other: one for one, other in self.maps[self.middle - 1].items()}
        for index in self.template:
            for k in refs(self.operations[index]):
                if k in back:
                    self.handed[k] = back[k]
                elif k not in self.inside and k not in self.chosen and self.order.step[k] >= 0:
                    raise Irregular(f"a step reads more than the step before (in {self.operations[index].place})")
                if k in self.chosen and self.order.step[k] != self.middle:
                    raise Irregular(f"a step reads the input of another (in {self.operations[index].place})")
        for step in range(1, self.order.count - 1):
            for one, other in self.maps[step].items():
                self._operands(one, other, step)

    def _operands(self, one: int, other: int, step: int) -> None:
        pairs = zip(refs(self.operations[one]), refs(self.operations[other]), strict=True)
        for a, b in pairs:
            if a in self.inside:
                same = self.maps[step][a] == b
            elif a in self.chosen:
                same = b in self.chosen and self.chosen[a][0] == self.chosen[b][0] and self.order.step[b] == step
            elif a in self.handed:
                before = self.maps[step - 1]
                same = step == 1 or before[self.handed[a]] == b
            else:
                same = self._same(a, b)
            if not same:
                raise Irregular(
                    f"{_short(self.operations[one])} reads other values in step {step} than in step {self.middle} (in"
                    f" {self.operations[one].place})"
                )

    def _first(self) -> None:
        """The first step, told backwards from what the second reads of it."""
        pending = []
        for one, other in self.maps[1].items():
            for a, b in zip(refs(self.operations[one]), refs(self.operations[other]), strict=True):
                if a in self.handed:
                    pending.append((self.handed[a], b))
        self._backwards(pending, 0)
        missing = set(self.handed.values()) - set(self.starts)
        if missing:
            place = self.operations[min(missing)].place
            raise Irregular(f"the first step does not read what the others are handed on (in {place})")

    def _backwards(self, pending: list[tuple[int, int]], step: int) -> None:
        found = self.maps[step]
        while pending:
            one, other = pending.pop()
            if one in found:
                if found[one] != other:
                    raise Irregular(f"step {step} differs from the others (in {self.operations[other].place})")
                continue
            found[one] = other
            if self._begins_a_sum(one, other, pending, step):
                continue
            self._alike(one, other, step)
            a, b = self.operations[one], self.operations[other]
            for x, y in zip(refs(a), refs(b), strict=True):
                if x in self.inside:
                    pending.append((x, y))
                elif x in self.handed:
                    self._begin(self.handed[x], y, step)
                elif x in self.chosen:
                    if y not in self.chosen or self.order.step[y] != step:
                        raise Irregular(f"step {step} does not read its input (in {b.place})")
                elif not self._same(x, y):
                    raise Irregular(f"step {step} reads other values (in {b.place})")

    def _begins_a_sum(self, one: int, other: int, pending: list[tuple[int, int]], step: int) -> bool:
        """Whether `one` adds to what was added up before, and `other`, in the first step, is the first summand."""
        a, b = self.operations[one], self.operations[other]
        if step or a.kind != "add.Tensor" or a.kwargs:
            return False
        before = [k for k in refs(a) if self.handed.get(k) == one]
        added = [k for k in refs(a) if k in self.inside]
        is_sum = _code(a) == _code(b)
        if len(before) != 1 or len(added) != 1 or is_sum:
            return False
        zeros = replace(b, kind="full.default", args=(list(a.shape), 0.0), kwargs={}, shape=a.shape, view=False)
        self.operations.append(zeros)
        self._begin(one, len(self.operations) - 1, step)
        pending.append((added[0], other))
        return True

    def _begin(self, handed: int, value: int, step: int) -> None:
        if step > 0:
            if self.maps[step - 1].get(handed) != value:
                raise Irregular(f"step {step} reads other values (in {self.operations[value].place})")
        elif self.starts.setdefault(handed, value) != value:
            raise Irregular(f"the first step begins from two values (in {self.operations[value].place})")

    def _last(self) -> None:
        """The last step, of which what nobody reads is missing, and behind which other operations follow."""
        step = self.order.count - 1
        found = self.maps[step]
        rest = self.order.of(step)
        for one in self.template:
            fitting = next((other for other in rest if self._fits(one, other, step)), None)
            if fitting is not None:
                found[one] = fitting
                rest.remove(fitting)

    def _fits(self, one: int, other: int, step: int) -> bool:
        a, b = self.operations[one], self.operations[other]
        if a.kind != b.kind or _static(a) != _static(b):
            return False
        for x, y in zip(refs(a), refs(b), strict=True):
            if x in self.inside:
                same = self.maps[step].get(x) == y
            elif x in self.handed:
                same = self.maps[step - 1].get(self.handed[x]) == y
            elif x in self.chosen:
                same = y in self.chosen and self.chosen[x][0] == self.chosen[y][0] and self.order.step[y] == step
            else:
                same = self._same(x, y)
            if not same:
                return False
        return True

    def _same(self, one: int, other: int) -> bool:
        """Whether two values from before the loop are the same, or made alike, as zeros are in each step."""
        if one == other:
            return True
        a, b = self.operations[one], self.operations[other]
        if self.order.step.get(other, 0) >= 0 or a.kind != b.kind or a.kind in ("input", "parameter"):
            return False
        if a.kind == "constant":
            return np.array_equal(a.args[0], b.args[0])
        return _static(a) == _static(b) and all(map(self._same, refs(a), refs(b)))

    # ----------------------------------------------------------------------------------- afterwards

    def _after(self, output: Any, reverse: bool) -> tuple[dict[int, Operation], list[int], Any]:
        """What is computed of the values of all steps or of single ones."""
        after: dict[int, Operation] = {}
        result = self._gathered(output, reverse)
        pending = [leaf for leaf in leaves(result) if isinstance(leaf, (Ref, Every))]
        collected = [leaf.index for leaf in pending if isinstance(leaf, Every)]
        while pending:
            leaf = pending.pop(0)
            if isinstance(leaf, Ref) and leaf.index not in after:
                one = self.operations[leaf.index]
                args = tuple([self._gathered(arg, reverse) for arg in one.args])
                after[leaf.index] = replace(one, args=args, kwargs=self._gathered(dict(one.kwargs), reverse))
                inside = list(leaves([args, after[leaf.index].kwargs]))
                collected += [found.index for found in inside if isinstance(found, Every)]
                pending += [found for found in inside if isinstance(found, Ref)]
        return dict(sorted(after.items())), list(dict.fromkeys(collected)), result

    def _gathered(self, value: Any, reverse: bool) -> Any:
        """An argument of what comes after the loop, with :class:`Every` and :class:`At` for values of the steps."""
        if isinstance(value, dict):
            return {key: self._gathered(part, reverse) for key, part in value.items()}
        if isinstance(value, (list, tuple)):
            every = self._every(list(value), reverse)
            return every or type(value)([self._gathered(part, reverse) for part in value])
        if not isinstance(value, Ref):
            return value
        count = self.order.count
        for step, found in enumerate(self.maps):
            for one, other in found.items():
                if other == value.index:
                    return At(one, step if step < count // 2 else step - count)
        return value

    def _every(self, values: list[Any], reverse: bool) -> Every | None:
        """The values of all steps in the order of time, if these are such."""
        count = self.order.count
        if len(values) != count or not all(isinstance(value, Ref) for value in values):
            return None
        numbers = [value.index for value in (values[::-1] if reverse else values)]
        one = next((one for one, other in self.maps[self.middle].items() if other == numbers[self.middle]), None)
        if one is None:
            return None
        self._backwards([(one, numbers[0])], 0)
        if [found.get(one) for found in self.maps] != numbers:
            raise Irregular(f"not every step gives its output alike (in {self.operations[one].place})")
        return Every(one)


def _short(operation: Operation) -> str:
    return operation.kind.removesuffix(".default")


def _static(operation: Operation) -> Any:
    """What an operation is given besides values."""
    plain = [("value",) if isinstance(leaf, Ref) else leaf for leaf in leaves([operation.args, operation.kwargs])]
    return [repr(leaf) for leaf in plain]

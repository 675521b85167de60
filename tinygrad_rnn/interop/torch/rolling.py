"""A loop over time found in a trace, in which it stands unrolled: the step that repeats, and the values it hands on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .timesteps import Irregular, Steps, Taken, code_of, refs, timeline
from .trace import Operation, Ref, Trace, leaves

__all__ = ["At", "Carried", "Every", "Loop", "roll"]


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
        self, operations: list[Operation], order: Steps, template: list[int], middle: int, chosen: Any
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
            lists = sorted((found, self.template), key=len)
            known = {code_of(self.operations[k]) for k in lists[0]}
            other = next((k for k in lists[1] if code_of(self.operations[k]) not in known), lists[1][-1])
            has, misses = (step, self.middle) if lists[1] is found else (self.middle, step)
            lone = self.operations[other]
            raise Irregular(f"step {has} computes {_short(lone)} (in {lone.place}), which step {misses} does not")
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
        is_sum = code_of(a) == code_of(b)
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

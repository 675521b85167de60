"""Fusion: one step as a few loop nests and matrix products, with a place for every value that needs one.

Pointwise operations of one shape that do not wait for each other share a loop nest, and with them the
reductions of what they compute. A value gets memory only if something outside its nest reads it; scratch memory
is used again as soon as its last reader is through.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from .levels import Levels
from .memory import Memory
from .places import Place
from .program import Instruction, Program
from .scratch import share_scratch
from .stages import Load, Nest, Output, Plan, Product, Store, copy_nest, layout_of, spread

__all__ = ["fuse"]

_FEW = 256
"""Elements of a nest that are few enough for the detour of :meth:`_Fusion._apart` to pay: LSTM forwards with it and
without, in us for 100 steps, 15 and 45 at 16 elements, 116 and 236 at 64, 154 and 152 at 128, 776 and 688 at 1,024."""


def fuse(program: Program, inputs: Mapping[int, Place], outputs: Sequence[Output]) -> Plan:
    """Turn a program into loop nests and products.

    Parameters
    ----------
    program : Program
        One step.
    inputs : mapping of value to Place
    outputs : sequence of Output

    Raises
    ------
    UnsupportedError
        If an operation, or its operands' types, are not among those that can be fused.
    """
    levels = Levels(program, inputs.keys(), {output.value for output in outputs})
    memory = Memory(program, levels, inputs, outputs)
    return _Fusion(program, levels, memory, outputs).plan()


class _Fusion:
    """The stages of a step: what each loads, computes and stores."""

    def __init__(self, program: Program, levels: Levels, memory: Memory, outputs: Sequence[Output]) -> None:
        self.program = program
        self.levels = levels
        self.kind = levels.kind
        self.memory = memory
        self.outputs = outputs
        self.nests: dict[tuple[int, tuple[int, ...]], Nest] = {}
        self.barriers: dict[int, list[Instruction]] = {}
        self.home: dict[int, Nest] = {}

    def plan(self) -> Plan:
        self._fill_nests()
        stages: list[Nest | Product] = []
        for level in range(max([0, *self.levels.level.values()]) + 1):
            nests = [nest for (at, _), nest in self.nests.items() if at == level]
            nests.sort(key=lambda nest: (math.prod(nest.shape), len(nest.shape)))
            stages += self._copies(value for nest in nests for step in nest.steps for value in step.values)
            stages += nests
            for step in self.barriers.get(level, []):
                stages += self._copies(step.values)
                stages += self._join(step) if self.kind[step.target] == "join" else self._product(step)
        for output in self.outputs:
            if self.kind.get(output.value) == "view":
                self.memory.place(self.levels.origin(output.value))
        self._connect(stages)
        stages += self._leftovers()
        busy = [stage for stage in stages if isinstance(stage, Product) or stage.stores]
        apart = [part for stage in busy for part in self._apart(stage)]
        return Plan(self.program, *share_scratch(apart, self.memory.scratch))

    def _fill_nests(self) -> None:
        for step in self.program.body:
            level = self.levels.level[step.target]
            if self.levels.in_nest(step.target):
                shape = self.levels.nest_shape(step)
                self.home[step.target] = self.nests.setdefault((level, shape), Nest(shape))
                self.home[step.target].steps.append(step)
            elif self.kind[step.target] != "view":
                self.barriers.setdefault(level, []).append(step)

    def _copies(self, values: Iterable[int]) -> Iterable[Nest]:
        """What has to be moved before values can be read."""
        for value in values:
            if self.kind.get(value) == "view":
                self.memory.place(value)
                yield from self._copies(self.levels.made[value].values)
                if value in self.memory.copies:
                    yield self.memory.copies.pop(value)

    def _join(self, step: Instruction) -> Iterable[Nest]:
        for value, place in self.memory.parts(step):
            if self.kind.get(value) == "pointwise":
                self.home[value].stores.append(Store(value, place))
            else:
                yield copy_nest(value, self.memory.place(value), Store(value, place))

    def _product(self, step: Instruction) -> Iterable[Nest | Product]:
        shape, kind = self.program.types[step.target]
        left, right = (self._matrix(value) for value in step.values)
        yield from (copy for _, copy in (left, right) if copy is not None)
        a, b = (place.broadcast((*shape[:-2], *place.shape[-2:])) for place, _ in (left, right))
        yield Product(a, b, self.memory.place(step.target), kind)

    def _matrix(self, value: int) -> tuple[Place, Nest | None]:
        """An operand of a product: as it lies, if its rows or its columns follow each other; else a copy."""
        place = self.memory.place(value)
        if layout_of(place) is not None:
            return place, None
        copy = self.memory.reserve(value)
        return copy, copy_nest(value, place, Store(value, copy))

    def _apart(self, stage: Nest | Product) -> Iterable[Nest | Product]:
        """A small nest that writes to no buffer of which it reads another part, as the next state lies behind the last.

        To use vectors all the same, the compiler would check at every step that the two rows do not overlap, and
        takes a small nest to be too short for that. Such a store takes a detour over scratch memory.
        """
        detours: list[Nest] = []
        if isinstance(stage, Nest) and stage.steps and math.prod(stage.shape) <= _FEW:
            read = {load.place.buffer: load.place for load in stage.loads}
            for number, store in enumerate(stage.stores):
                if store.how == "set" and read.get(store.place.buffer, store.place) != store.place:
                    scratch = self.memory.reserve(store.value)
                    stage.stores[number] = Store(store.value, scratch)
                    detours.append(copy_nest(store.value, scratch, store))
        return [stage, *detours]

    def _connect(self, stages: list[Nest | Product]) -> None:
        """Loads and stores of the nests; what a nest reads from memory, another must have stored."""
        stored: set[int] = {value for value in self.memory.places if value in self.home}
        stored |= {value for value in self.home if self.kind[value] == "reduction"}
        for nest in [stage for stage in stages if isinstance(stage, Nest) and stage.steps]:
            inside = {step.target for step in nest.steps if self.kind[step.target] == "pointwise"}
            read = dict.fromkeys(v for step in nest.steps for v in step.values if v not in inside)
            nest.loads += [Load(value, self.memory.place(value).broadcast(nest.shape)) for value in read]
            origins = map(self.levels.origin, read)
            stored.update(origin for origin in origins if origin in self.home)
        for value in sorted(stored):
            nest, place = self.home[value], self.memory.place(value)
            if self.kind[value] == "reduction":
                step = self.levels.made[value]
                nest.stores.append(Store(step.values[0], spread(step, place, nest.shape), step.op.name))
            elif not any(store.value == value and store.place == place for store in nest.stores):
                nest.stores.append(Store(value, place))

    def _leftovers(self) -> Iterable[Nest]:
        """Outputs that are not at their place yet."""
        for value, place, add in self.outputs:
            if not add and self.memory.places.get(value) == place:
                continue
            store = Store(value, place, "add" if add else "set")
            if self.kind.get(value) == "pointwise":
                self.home[value].stores.append(store)
            else:
                yield from self._copies([value])
                yield copy_nest(value, self.memory.place(value), store)

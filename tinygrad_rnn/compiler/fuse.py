"""Fusion: one step as a few loop nests and matrix products, with a place for every value that needs one.

Pointwise operations of one shape that do not wait for each other share a loop nest, and with them the
reductions of what they compute. A value gets memory only if something outside its nest reads it; scratch memory
is used again as soon as its last reader is through.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .expressions import EXPRESSIONS
from .indexing import Window, window
from .places import Place, Row
from .program import Instruction, Program
from .scratch import share_scratch
from .stages import Load, Nest, Output, Plan, Product, Store, copy_nest, layout_of, spread

__all__ = ["UnsupportedError", "fuse"]

REDUCTIONS = ("sum", "max", "min")


class UnsupportedError(TypeError):
    """An operation that the loops cannot do; the message names it."""


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
    return _Fusion(program, inputs, outputs).plan()


class _Fusion:
    """The decisions, one after the other: when each value is there, where it lies, who reads it."""

    def __init__(self, program: Program, inputs: Mapping[int, Place], outputs: Sequence[Output]) -> None:
        self.program = program
        self.types = program.types
        self.outputs = outputs
        self.made = program.producers()
        self.places: dict[int, Place] = dict(inputs)
        self.level: dict[int, int] = dict.fromkeys(inputs, 0)
        self.kind = {step.target: self._kind(step) for step in program.body}
        self.nests: dict[tuple[int, tuple[int, ...]], Nest] = {}
        self.barriers: dict[int, list[Instruction]] = {}
        self.home: dict[int, Nest] = {}
        self.scratch: dict[str, tuple[np.dtype[Any], int]] = {}

    def plan(self) -> Plan:
        for step in self.program.body:
            self._level(step)
        self._sink()
        self._fill_nests()
        self._place_outputs()
        self._place_joins()
        stages: list[Nest | Product] = []
        for level in range(max([0, *self.level.values()]) + 1):
            mine = [nest for (at, _), nest in self.nests.items() if at == level]
            mine.sort(key=lambda nest: (math.prod(nest.shape), len(nest.shape)))
            stages += mine
            for step in self.barriers.get(level, []):
                stages += self._barrier(step)
        for value, _, _ in self.outputs:
            self._place(self._origin(value)) if self.kind.get(value) == "view" else None
        self._connect(stages)
        stages += self._leftovers()
        busy = [stage for stage in stages if isinstance(stage, Product) or stage.stores]
        return Plan(self.program, *share_scratch(busy, self.scratch))

    # ------------------------------------------------------------------------------------ when

    def _kind(self, step: Instruction) -> str:
        name, op = step.op.name, step.op
        shapes = [self.types[value].shape for value in step.values]
        for value in (*step.values, step.target):
            if self.types[value].dtype.char not in "fd?ilqbhBHILQ":
                raise UnsupportedError(f"{name} on {self.types[value].dtype}")
        if name == "getitem" and window(step.attributes["index"], shapes[0]) is not None:
            return "view"
        if name in ("transpose", "reshape"):
            return "view"
        if name == "concatenate" and len(step.values) == len(step.operands):
            return "join"
        if name == "matmul" and [len(s) for s in shapes] == [2, 2] and self._one_dtype(step):
            return "product"
        if name in REDUCTIONS and self.types[step.target].dtype.kind == "f":
            return "reduction"
        if op.elementwise and name in EXPRESSIONS:
            return "pointwise"
        raise UnsupportedError(f"{name} on shapes {', '.join(map(str, shapes))}")

    def _one_dtype(self, step: Instruction) -> bool:
        kinds = {self.types[value].dtype.char for value in (*step.values, step.target)}
        return len(kinds) == 1 and kinds <= {"f", "d"}

    def _level(self, step: Instruction) -> None:
        """The level whose loop nests compute a value; products and joins come behind the nests of theirs."""
        kind = self.kind[step.target]
        if kind in ("pointwise", "reduction"):
            shape = self._shape(step)
            level = max([0, *(self._ready(value, shape) for value in step.values)])
        elif kind == "view":
            level = self.level[step.values[0]]
        else:
            level = max([0, *(self._there(value) for value in step.values)])
            self.barriers.setdefault(level, []).append(step)
        self.level[step.target] = level

    def _shape(self, step: Instruction) -> tuple[int, ...]:
        """What the loops around a pointwise operation or a reduction run over."""
        return self.types[step.target if self.kind[step.target] == "pointwise" else step.values[0]].shape

    def _sink(self) -> None:
        """Compute what is only read later where it is read, if all it needs lies in memory anyway.

        The bias of a gate, say, is added when the product has come, not stored before.
        """
        uses, outputs = self.program.uses(), {output.value for output in self.outputs}
        for step in reversed(self.program.body):
            readers = uses.get(step.target, [])
            if self.kind[step.target] != "pointwise" or step.target in outputs or not readers:
                continue
            shape = self.types[step.target].shape
            if any(self.kind[r.target] not in ("pointwise", "reduction") or self._shape(r) != shape for r in readers):
                continue
            level = min(self.level[reader.target] for reader in readers)
            at_hand = all(self._origin(v) in self.places or self.level[self._origin(v)] < level for v in step.values)
            if level > self.level[step.target] and at_hand:
                self.level[step.target] = level

    def _fill_nests(self) -> None:
        for step in self.program.body:
            if self.kind[step.target] in ("pointwise", "reduction"):
                key = (self.level[step.target], self._shape(step))
                self.home[step.target] = self.nests.setdefault(key, Nest(key[1]))
                self.home[step.target].steps.append(step)

    def _origin(self, value: int) -> int:
        """What a view is a view of."""
        while self.kind.get(value) == "view":
            value = self.made[value].values[0]
        return value

    def _there(self, value: int) -> int:
        """The level at whose end a value lies in memory."""
        return self.level[self._origin(value)]

    def _ready(self, value: int, shape: tuple[int, ...]) -> int:
        """The first level whose nests of `shape` can read a value."""
        origin = self._origin(value)
        level = self.level[origin]
        if origin in self.places:
            return level
        if self.kind[origin] != "pointwise" or origin != value:
            return level + 1
        own = self.types[value].shape
        return level if own == shape or (math.prod(own), len(own)) < (math.prod(shape), len(shape)) else level + 1

    # ----------------------------------------------------------------------------------- where

    def _place_outputs(self) -> None:
        for value, place, add in self.outputs:
            if not add and value not in self.places and self.kind.get(value) != "view":
                self.places[value] = place

    def _place_joins(self) -> None:
        """A part of a joined value lies where it belongs in the whole, if it is computed for that alone."""
        for step in reversed(self.program.body):
            if self.kind[step.target] != "join":
                continue
            for value, place in self._parts(step):
                if value in self.home and value not in self.places and self.kind[value] == "pointwise":
                    self.places[value] = place

    def _parts(self, join: Instruction) -> Iterable[tuple[int, Place]]:
        whole = self._place(join.target)
        axis = join.attributes.get("axis", 0) % len(whole.shape)
        start = 0
        for value in join.values:
            n = self.types[value].shape[axis]
            bounds = tuple((start, start + n) if k == axis else (0, m) for k, m in enumerate(whole.shape))
            start += n
            if n:
                yield value, whole.cut(Window(bounds))

    def _place(self, value: int) -> Place:
        """Where a value lies; scratch memory if it has no place yet."""
        if value not in self.places:
            step = self.made.get(value)
            if step is not None and self.kind[value] == "view":
                self.places[value] = self._view(step)
            else:
                self.places[value] = self._scratch(value)
        return self.places[value]

    def _view(self, step: Instruction) -> Place:
        place = self._place(step.values[0])
        if step.op.name == "getitem":
            cut = window(step.attributes["index"], place.shape)
            assert cut is not None
            return place.cut(cut)
        if step.op.name == "transpose":
            axes = step.attributes.get("axes")
            ndim = len(place.shape)
            return place.transposed(tuple(range(ndim))[::-1] if axes is None else tuple(a % ndim for a in axes))
        if not place.is_contiguous:
            raise UnsupportedError(f"reshape of a slice of shape {place.shape}")
        return place.reshaped(self.types[step.target].shape)

    def _scratch(self, value: int) -> Place:
        shape, dtype = self.types[value]
        name = f"scratch {len(self.scratch)}"
        self.scratch[name] = (dtype, math.prod(shape))
        return Place.whole(name, Row.ONLY, shape)

    # ------------------------------------------------------------------------------ who reads it

    def _barrier(self, step: Instruction) -> Iterable[Nest | Product]:
        if self.kind[step.target] == "join":
            for value, place in self._parts(step):
                nest = self.home.get(value)
                if nest is not None and self.kind[value] == "pointwise":
                    nest.stores.append(Store(value, place))
                else:
                    yield copy_nest(value, self._place(value), Store(value, place))
            return
        left, right = (self._matrix(value) for value in step.values)
        yield from (copy for _, copy in (left, right) if copy is not None)
        yield Product(left[0], right[0], self._place(step.target), self.types[step.target].dtype)

    def _matrix(self, value: int) -> tuple[Place, Nest | None]:
        """An operand of a product: as it lies, if its rows or its columns follow each other; else a copy."""
        place = self._place(value)
        if layout_of(place) is not None:
            return place, None
        copy = self._scratch(value)
        return copy, copy_nest(value, place, Store(value, copy))

    def _connect(self, stages: list[Nest | Product]) -> None:
        """Loads and stores of the nests; what a nest reads from memory, another must have stored."""
        stored: set[int] = {value for value in self.places if value in self.home}
        stored |= {value for value in self.home if self.kind[value] == "reduction"}
        for nest in [stage for stage in stages if isinstance(stage, Nest) and stage.steps]:
            inside = {step.target for step in nest.steps if self.kind[step.target] == "pointwise"}
            read = dict.fromkeys(v for step in nest.steps for v in step.values if v not in inside)
            nest.loads += [Load(value, self._place(value).broadcast(nest.shape)) for value in read]
            stored.update(self._origin(value) for value in read if self._origin(value) in self.home)
        for value in sorted(stored):
            nest, place = self.home[value], self._place(value)
            if self.kind[value] == "reduction":
                step = self.made[value]
                nest.stores.append(Store(step.values[0], spread(step, place, nest.shape), step.op.name))
            elif not any(store.value == value and store.place == place for store in nest.stores):
                nest.stores.append(Store(value, place))

    def _leftovers(self) -> Iterable[Nest]:
        """Outputs that are not at their place yet."""
        for value, place, add in self.outputs:
            nest = self.home.get(value)
            if not add and self.places.get(value) == place:
                continue
            if nest is not None and self.kind[value] == "pointwise":
                nest.stores.append(Store(value, place, "add" if add else "set"))
            else:
                yield copy_nest(value, self._place(value), Store(value, place, "add" if add else "set"))

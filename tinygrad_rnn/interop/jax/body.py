"""The body of a loop sorted: what is known at every step, what is the same at all of them, and what a step computes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from .graph import Known, Operand, Operation
from .names import argument_titles

if TYPE_CHECKING:
    from .build import Builder

__all__ = ["Body", "Loop", "known_carries"]

CHOOSING = frozenset({"dynamic_slice", "gather"})
"""Primitives that take of something that is the same at all steps what a step needs."""


class Loop(NamedTuple):
    """A loop of JAX's with its operands.

    Attributes
    ----------
    equation : JaxprEqn
    body : ClosedJaxpr
        From consts, carries and elements to carries and results.
    consts, start, xs : list of operands
    given : tuple of operands
        All of the equation's, in its order.
    steps : int
    reverse : bool
    """

    equation: Any
    body: Any
    consts: list[Operand]
    start: list[Operand]
    xs: list[Operand]
    given: tuple[Operand, ...]
    steps: int
    reverse: bool


class Body:
    """The operations of a body, each in its place.

    Values are ``same`` at all steps, where their value outside is known by now; ``rows``, of which each step takes its
    own of what is computed outside, at once for all steps; or they are carried, or computed in a step.

    Attributes
    ----------
    same : dict of int to operand
    rows : dict of int to operand (T, ...)
    carried : list of int
        Which carries a step really hands on, of all.
    inputs : list of int
        As which values the body reads all carries.
    operations : list of Operation
        Of a step.
    outputs : list of operands
        All carries, then all results.
    """

    def __init__(self, builder: Builder, loop: Loop) -> None:
        self.builder, self.loop = builder, loop
        self.inner = inner = type(builder)(builder)
        consts = [c if isinstance(c, Known) else inner.new(builder.kind(c)) for c in loop.consts]
        self.inputs = [inner.new(builder.kind(operand)) for operand in loop.start]
        elements = [inner.new(_element(builder.kind(operand))) for operand in loop.xs]
        for number, title in zip([*consts, *self.inputs, *elements], argument_titles(loop.body), strict=False):
            if isinstance(number, int) and title:
                inner.titles[number] = title
        for number, outside in zip(consts, loop.consts, strict=True):
            if isinstance(number, int) and (title := builder.source(outside)):
                inner.titles[number] = title
        self.outputs = inner.inline(loop.body, [*consts, *self.inputs, *elements])
        self.same: dict[int, Operand] = {
            c: outside for c, outside in zip(consts, loop.consts, strict=True) if not isinstance(c, Known)
        }
        self.rows: dict[int, Operand] = dict(zip(elements, loop.xs, strict=True))
        for k, number in enumerate(self.inputs):
            if self.outputs[k] == number:  # a carry that stays as it is
                self.same[number] = loop.start[k]
        self.operations = inner.graph([], self.outputs).operations
        self.known = self._known()

    def _known(self) -> list[int]:
        """The carries that are known at every step, since they begin known and depend on nothing else."""
        start = self.loop.start
        found = {k for k, operand in enumerate(start) if isinstance(operand, Known) and self.inputs[k] not in self.same}
        while True:
            sure = self._sure(found)
            kept = {k for k in found if isinstance(self.outputs[k], Known) or self.outputs[k] in sure}
            if kept == found:
                return sorted(found)
            found = kept

    def _sure(self, carries: set[int]) -> set[int]:
        """The values that are known at every step if some carries are."""
        sure = {number for number, outside in (self.rows | self.same).items() if isinstance(outside, Known)}
        sure |= {self.inputs[k] for k in carries}
        for operation in self.operations:
            if sure.issuperset(operation.reads):
                sure.update(operation.outputs)
        return sure

    # --------------------------------------------------------------------------------------- sorting

    @property
    def carried(self) -> list[int]:
        """Which carries a step hands on to the next."""
        return [k for k, number in enumerate(self.inputs) if k not in self.known and number not in self.same]

    def sort(self) -> list[Known]:
        """Sort all operations; gives the last values of the carries that are known."""
        for operation in self._taken(lambda op: self.same.keys() >= set(op.reads)):
            results = operation.results(self.builder.equation, self._outside)
            self.same |= zip(operation.outputs, results, strict=True)
        finals = self._follow()
        for operation in self._taken(self._goes_by_rows):
            self._at_once(operation)
        return finals

    def _taken(self, wanted: Callable[[Operation], bool]) -> Iterator[Operation]:
        """The operations that are to be done outside, which depends on what was done before; they leave the step."""
        rest = []
        for operation in self.operations:
            if wanted(operation):
                yield operation
            else:
                rest.append(operation)
        self.operations = rest

    def _outside(self, operand: Operand) -> Operand:
        if isinstance(operand, Known):
            return operand
        return self.same[operand] if operand in self.same else self.rows[operand]

    def _goes_by_rows(self, operation: Operation) -> bool:
        """Whether it is computed outside: what is no number of floating point at every step, and what that chooses."""
        reads = set(operation.reads)
        if not reads <= self.rows.keys() | self.same.keys():
            return False
        by_rows = reads & self.rows.keys()
        chooses = operation.kind in CHOOSING or not reads & self.same.keys()
        return chooses and all(self._is_place(number) for number in by_rows)

    def _is_place(self, number: int) -> bool:
        """Whether values by rows are known, whole numbers or truth values, or were chosen by such."""
        return isinstance(self.rows[number], Known) or number in self.chosen or not _floats(self.inner.kinds[number])

    def _at_once(self, operation: Operation) -> None:
        """Compute an operation outside, for all steps."""
        from .build import evaluate

        numbers = list(dict.fromkeys(operation.reads))
        outside = [self._outside(number) for number in numbers]

        def one(*values: Any) -> Any:
            found = dict(zip(numbers, values, strict=True))
            return operation.results(evaluate, lambda o: o.array if isinstance(o, Known) else found[o])

        axes = tuple(0 if number in self.rows else None for number in numbers)
        results = self._mapped(one, axes, outside)
        self.rows |= zip(operation.outputs, results, strict=True)
        self.chosen |= set(operation.outputs)

    def _mapped(self, function: Callable[..., Any], axes: Any, outside: Sequence[Operand]) -> list[Operand]:
        kinds = [_like(self.builder.kind(operand)) for operand in outside]
        mapped = jax.vmap(function, in_axes=axes, axis_size=self.loop.steps)
        return self.builder.inline(jax.make_jaxpr(mapped)(*kinds), outside)

    # -------------------------------------------------------------------------------------- following

    def _follow(self) -> list[Known]:
        """Let JAX compute what is known at every step; the last values of the carries that are."""
        from .build import evaluate

        self.chosen: set[int] = set()
        sure = self._sure(set(self.known))
        known = [op for op in self.operations if sure.issuperset(op.reads)]
        self.operations = [op for op in self.operations if op not in known]
        made = {number for op in known for number in op.outputs}.union(self.inputs[k] for k in self.known)
        read = {number for op in self.operations for number in op.reads}
        read |= {o for o in self.outputs if not isinstance(o, Known)}
        wanted = sorted(made & read)
        if not self.known and not wanted:
            return []
        elements = {n: outside for n, outside in self.rows.items() if isinstance(outside, Known)}
        same = {n: outside.array for n, outside in self.same.items() if isinstance(outside, Known)}

        def step(carry: Any, xs: Any) -> Any:
            values: dict[int, Any] = {**same, **dict(zip(elements, xs, strict=True))}
            values |= zip([self.inputs[k] for k in self.known], carry, strict=True)

            def value(operand: Operand) -> Any:
                return jax.numpy.asarray(operand.array) if isinstance(operand, Known) else values[operand]

            for op in known:
                values |= zip(op.outputs, op.results(evaluate, value), strict=True)
            return [value(self.outputs[k]) for k in self.known], [values[number] for number in wanted]

        begin = [jax.numpy.asarray(self.loop.start[k].array) for k in self.known]  # type: ignore[union-attr]
        last, rows = jax.lax.scan(
            step,
            begin,
            [jax.numpy.asarray(outside.array) for outside in elements.values()],
            length=self.loop.steps,
            reverse=self.loop.reverse,
        )
        self.rows |= zip(wanted, map(Known, rows), strict=True)
        return [Known(value) for value in last]


def known_carries(
    builder: Builder, body: Any, consts: Sequence[Operand], start: Sequence[Operand]
) -> tuple[list[int], list[int]]:
    """The carries that are known at every step of a loop without elements; and those that stay as they are."""
    found = Body(builder, Loop(None, body, list(consts), list(start), [], (), 1, False))
    return found.known, [k for k, number in enumerate(found.inputs) if number in found.same]


def _element(kind: Any) -> Any:
    return jax.ShapeDtypeStruct(kind.shape[1:], kind.dtype)


def _like(kind: Any) -> Any:
    return jax.ShapeDtypeStruct(kind.shape, kind.dtype)


def _floats(kind: Any) -> bool:
    return isinstance(kind.dtype, np.dtype) and np.dtype(kind.dtype).kind == "f"

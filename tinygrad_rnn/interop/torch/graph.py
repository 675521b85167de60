"""Traces of a module at two batch sizes as one computation, which runs on our values at any."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...autodiff.tensor import named
from ..refusal import UnsupportedError
from .aten import ATEN, put
from .trace import Operation, Ref, Trace, leaves, replaced

__all__ = ["Computation", "DependentError", "Size", "is_piece", "unified"]


@dataclass(frozen=True, slots=True)
class Size:
    """A number that grows with the batch, and of a sequence with the number of its steps.

    ``slope * batch + offset + steps * (time + both * batch)``.
    """

    slope: int
    offset: int
    time: int = 0
    both: int = 0

    def at(self, batch: int, steps: int) -> int:
        """The number for a batch size and a number of steps."""
        return self.slope * batch + self.offset + steps * (self.time + self.both * batch)


_LEAVES = frozenset({"input", "parameter", "constant"})


class DependentError(UnsupportedError):
    """What a module computes depends on the batch size, or on numbers."""


class _Differ(Exception):
    """Two traces are not the same but for the batch size."""


def unified(first: Trace, second: Trace, sizes: tuple[int, int], who: str, steps: bool = False) -> Trace:
    """The trace of a module at one batch size, with the numbers that depend on it, told by another.

    Parameters
    ----------
    first, second : Trace
        The first is changed.
    sizes : (int, int)
        The two batch sizes, or with `steps` the two numbers of steps.
    who : str
        For errors.
    steps : bool

    Raises
    ------
    UnsupportedError
        If the module computes something else at another batch size or on other numbers.
    """
    for one, other in zip(first.operations, second.operations, strict=False):
        what = one.kind.removesuffix(".default")
        if one.kind != other.kind:
            raise DependentError(
                f"{who}: the way through the module depends on the batch or on numbers: {what} (in {one.place}) in one"
                f" run, {other.kind.removesuffix('.default')} (in {other.place}) in another"
            )
        try:
            one.args = tuple(_matched(one.args, other.args, sizes, steps))
            one.kwargs = _matched(one.kwargs, other.kwargs, sizes, steps)
            one.shape = tuple(_matched(one.shape, other.shape, sizes, steps))
        except _Differ as error:
            raise DependentError(
                f"{who}: {what} (in {one.place}) is given {error}, which differs between two runs of the module and"
                " depends on numbers, on what it keeps from call to call, or on the batch in a way that cannot be told"
            ) from None
    if len(first.operations) != len(second.operations):
        raise DependentError(f"{who}: the number of operations depends on the batch or on numbers")
    first.output = _matched(first.output, second.output, sizes, steps)
    return first


def _matched(one: Any, other: Any, sizes: tuple[int, int], steps: bool) -> Any:
    if isinstance(one, (Ref, str)) or one is None or isinstance(one, (bool, np.dtype)):
        if one != other:
            raise _Differ("a value")
        return one
    if isinstance(one, np.ndarray):
        if not isinstance(other, np.ndarray) or not np.array_equal(one, other, equal_nan=one.dtype.kind == "f"):
            raise _Differ(f"a constant of shape {one.shape}")
        return one
    if isinstance(one, (list, tuple)):
        if len(one) != len(other):
            raise _Differ("another number of values")
        return [_matched(a, b, sizes, steps) for a, b in zip(one, other, strict=True)]
    if isinstance(one, Mapping):
        return {key: _matched(value, other[key], sizes, steps) for key, value in one.items()}
    if one == other or (one != one and other != other):
        return one
    if isinstance(one, (int, Size)) and isinstance(other, (int, Size)):
        return _grown(_as_size(one), _as_size(other), sizes, steps)
    raise _Differ(f"the number {one} or {other}")


def _as_size(number: int | Size) -> Size:
    return number if isinstance(number, Size) else Size(0, number)


def _grown(one: Size, other: Size, sizes: tuple[int, int], steps: bool) -> Size:
    """The number that is `one` at the first size and `other` at the second."""
    growth, rest = zip(
        *[divmod(b - a, sizes[1] - sizes[0]) for a, b in ((one.slope, other.slope), (one.offset, other.offset))],
        strict=True,
    )
    if any(rest) or (not steps and growth[0]):
        raise _Differ(f"the number {one.offset} or {other.offset}")
    if not steps:
        return Size(growth[1], one.offset - growth[1] * sizes[0])
    slope, offset = one.slope - growth[0] * sizes[0], one.offset - growth[1] * sizes[0]
    return Size(slope, offset, growth[1], growth[0])


# ------------------------------------------------------------------------------------------ names


_CUTS = frozenset({"getitem", "select.int", "slice.Tensor"})
_SUMS = frozenset({"add.Tensor", "addmm.default", "baddbmm.default", "cat.default", "stack.default", "sub.Tensor"})
_PRODUCTS = frozenset({"bmm.default", "einsum.default", "linear.default", "matmul.default", "mm.default"})


def is_piece(operations: Sequence[Operation], index: int) -> bool:
    """Whether a value is a part of an affine map, cut off to be made a gate."""
    cut = False
    while operations[index].view or operations[index].kind == "getitem":
        cut = cut or operations[index].kind in _CUTS
        index = operations[index].args[0].index
    return cut and operations[index].kind in _SUMS | _PRODUCTS | _LEAVES


def _names(trace: Trace, needed: set[int], taken: set[str]) -> dict[int, str]:
    """The variable that each value is called after.

    Two submodules' variables of one name carry the path of the submodule. A variable that is assigned several times in
    a call names what it is assigned last; one of a function that is called several times names nothing.
    """
    wanted: dict[tuple[str, str], dict[int, int]] = defaultdict(dict)
    for index, variable in sorted(trace.names.items()):
        if index in needed and trace.operations[index].kind not in _LEAVES and not is_piece(trace.operations, index):
            wanted[variable.name, variable.module][variable.call] = index
    several = Counter(name for name, _ in wanted)
    found = {}
    for (name, module), calls in wanted.items():
        unique = f"{module}.{name}" if several[name] > 1 and module else name
        if len(calls) == 1 and unique not in taken:
            found[next(iter(calls.values()))] = unique
    return found


# ---------------------------------------------------------------------------------------- running


class Computation:
    """A trace that runs on arrays, Tensors and the compiler's symbols.

    Parameters
    ----------
    trace : Trace
    outputs : list of Ref
        What is asked for.
    states : set of str
        Names that no other value may have.
    unnamed : set of int
        Values that get their name elsewhere.

    Attributes
    ----------
    operations : list of (int, Operation)
        What the outputs depend on, oldest first.
    names : dict of int to str
        What values are called.
    folded : dict of int to array
        What depends on no input, no parameter and no size.
    """

    def __init__(
        self, trace: Trace, outputs: Sequence[Ref], taken: Collection[str] = (), unnamed: Collection[int] = ()
    ) -> None:
        self.outputs = [ref.index for ref in outputs]
        needed = _needed(trace.operations, self.outputs)
        self.operations = [(k, operation) for k, operation in enumerate(trace.operations) if k in needed]
        self.names = _names(trace, needed - set(unnamed), set(taken))
        self.folded = self._fold()

    def _fold(self) -> dict[int, Any]:
        """What depends on no input, no parameter and no size, computed once."""
        folded: dict[int, Any] = {}
        for index, operation in self.operations:
            if operation.kind == "constant":
                value = operation.args[0]
                folded[index] = value.item() if value.ndim == 0 and value.dtype.kind == "f" else value
            elif operation.kind not in _LEAVES:
                inside = list(leaves([operation.args, operation.kwargs]))
                if all(
                    not isinstance(leaf, Size) and (not isinstance(leaf, Ref) or leaf.index in folded)
                    for leaf in inside
                ):
                    folded[index] = _apply(operation, folded, 0, 0)
        return folded

    def run(self, inputs: Sequence[Any], parameters: Mapping[str, Any], batch: int, steps: int = 1) -> list[Any]:
        """The outputs, given the inputs and the parameters by name."""
        values: dict[int, Any] = dict(self.folded)
        for index, operation in self.operations:
            if index not in values:
                values[index] = self.evaluate(operation, values, inputs, parameters, batch, steps)
                if index in self.names:
                    named(**{self.names[index]: values[index]})
        return [values[index] for index in self.outputs]

    def evaluate(
        self,
        operation: Operation,
        values: Mapping[int, Any],
        inputs: Sequence[Any],
        parameters: Mapping[str, Any],
        batch: int,
        steps: int,
    ) -> Any:
        """The value of one operation, given those before it."""
        if operation.kind == "input":
            return inputs[operation.args[0]]
        if operation.kind == "parameter":
            return parameters[operation.args[0]]
        return _apply(operation, values, batch, steps)


def _needed(operations: Sequence[Operation], outputs: Sequence[int]) -> set[int]:
    """The operations on which the outputs depend."""
    needed, stack = set(), list(outputs)
    while stack:
        index = stack.pop()
        if index not in needed:
            needed.add(index)
            operation = operations[index]
            stack += [leaf.index for leaf in leaves([operation.args, operation.kwargs]) if isinstance(leaf, Ref)]
    return needed


def _apply(operation: Operation, values: Mapping[int, Any], batch: int, steps: int) -> Any:
    def resolved(leaf: Any) -> Any:
        if isinstance(leaf, Ref):
            return values[leaf.index]
        return leaf.at(batch, steps) if isinstance(leaf, Size) else leaf

    args = [replaced(arg, resolved) for arg in operation.args]
    kwargs = {key: replaced(value, resolved) for key, value in operation.kwargs.items()}
    if operation.kind == "getitem":
        return args[0][args[1]]
    if operation.kind == "put":
        return put(args[0], args[1], _index(*args[2:]))
    return ATEN[operation.kind](*args, **kwargs)


def _index(kind: str, dim: int = 0, *where: Any) -> tuple[Any, ...]:
    """The basic index that a view is."""
    index = slice(*where) if kind == "slice.Tensor" else where[0]
    return (*(slice(None),) * dim, index)

"""The table of operators: how one is declared, and how a node's operands and attributes reach it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...autodiff.primitive import Value

__all__ = ["LARGEST", "OPERATORS", "Operator", "Place", "Runs", "bounded", "integers", "operator", "plain"]

LARGEST = 2**28
"""How many elements a value may have: a file that asks for more is refused before they are allocated."""

LONGEST, LONGER = 250_000, 100
"""How many nodes may run in a call, those in loops each time; and how many more for each number that is put in."""

OPERATORS: dict[str, dict[int, Operator]] = {}
"""From ONNX's names to operators, by the first version that each is for."""


class Runs(dict[str, Any]):
    """What a call has as its `runs`, and how much it may still do.

    Attributes
    ----------
    left : list of one number
        How many nodes may still run: a loop in a file may have no end.
    """

    def __init__(self, numbers: int = 0) -> None:
        super().__init__()
        self.most = LONGEST + LONGER * numbers
        self.left: list[float] = [self.most]

    def spend(self) -> None:
        """Count one node.

        Raises
        ------
        ValueError
            If there have been too many.
        """
        self.left[0] -= 1
        if self.left[0] < 0:
            raise ValueError(f"runs more than {self.most:,} nodes; does a loop in it never end?")

    def keep(self, name: str, run: Any) -> None:
        """Keep the run of a node; of one that runs several times, each under a number."""
        label, number = name, 1
        while label in self:
            number += 1
            label = f"{name}.{number}"
        self[label] = run

    def silent(self) -> Runs:
        """Of what runs inside of a step, where it is no run of the call."""
        runs = Runs()
        runs.most, runs.left = self.most, self.left
        return runs


class Place(NamedTuple):
    """Where an operator is called.

    Attributes
    ----------
    name : str
        Of the node; unique.
    version : int
        Of the operator.
    outputs : tuple of str
        Empty where one is not asked for.
    runs : Runs
        A recurrent operator keeps its own in it, by the name of the node.
    """

    name: str
    version: int
    outputs: tuple[str, ...]
    runs: Runs


class Operator:
    """A function of our values for an operator of ONNX.

    Positional parameters are the operands in ONNX's order, None where one is left out; keyword-only ones are attributes
    by their names. An attribute that has the name of an operand stands for it where that is not given, as `axes` did
    before it became an input. ``at`` is the :class:`Place`. A subgraph comes as a
    :class:`~tinygrad_rnn.interop.onnx.graph.Body`. The function gives one value, or a list of them.
    """

    def __init__(self, function: Callable[..., Any], refuses: Callable[..., str] | None) -> None:
        self.function = function
        self.refuses = refuses
        parameters = inspect.signature(function).parameters.values()
        self.operands = [q.name for q in parameters if q.kind is q.POSITIONAL_OR_KEYWORD]
        self.variadic = any(q.kind is q.VAR_POSITIONAL for q in parameters)
        self.keywords = {q.name for q in parameters if q.kind is q.KEYWORD_ONLY}
        self.required = [
            q.name for q in parameters if q.kind is q.POSITIONAL_OR_KEYWORD and q.default is inspect.Parameter.empty
        ]

    def call(self, operands: Sequence[Any], attributes: dict[str, Any], at: Place) -> list[Any]:
        """The results of one node."""
        given = list(operands)
        if not self.variadic:
            given += [None] * (len(self.operands) - len(given))
            given = [
                attributes.get(name) if value is None else value
                for name, value in zip(self.operands, given, strict=True)
            ]
        for name in self.required:
            if given[self.operands.index(name)] is None:
                raise ValueError(f"has no {name}")
        settings = {key: value for key, value in attributes.items() if key in self.keywords}
        if "at" in self.keywords:
            settings["at"] = at
        result = self.function(*given, **settings)
        return result if type(result) is Results else [result]


class Results(list[Any]):
    """Several results of one operator; a plain list is a sequence, which is a single value."""


def operator(
    *names: str, since: int = 1, refuses: Callable[..., str] | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare the operator of ONNX's names, from a version of it on.

    Parameters
    ----------
    *names : str
    since : int
        The version at which it began to mean this.
    refuses : callable, optional
        Of the attributes, as keywords, the number of ``outputs``, and the operands that are known while loading,
        ``given`` by their names: why they are not supported, or ``""``.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in names:
            OPERATORS.setdefault(name, {})[since] = Operator(function, refuses)
        return function

    return register


def bounded(shape: Iterable[Any]) -> tuple[int, ...]:
    """A shape that is asked for, of no more than `LARGEST` elements.

    Raises
    ------
    ValueError
    """
    sizes = tuple(int(size) for size in shape)
    if len(sizes) > 32 or any(size < 0 for size in sizes):
        raise ValueError(f"there is no shape {sizes[:33]}")
    if math.prod(sizes) > LARGEST:
        raise ValueError(f"shape {sizes} has more than {LARGEST:,} elements")
    return sizes


def plain(value: Value) -> Any:
    """The numbers of a value that decides about shapes or places, through which no gradient goes."""
    return np.asarray(getattr(value, "data", value) if not isinstance(value, np.ndarray) else value)


def integers(value: Value) -> list[int]:
    """Axes, sizes and the like as Python's numbers."""
    array = plain(value)
    if array.dtype.kind not in "iu" and array.size:
        raise ValueError(f"needs whole numbers, got {array.dtype}")
    return [int(n) for n in array.reshape(-1)]

"""What every cell is made of and what a step of it costs, counted in its graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

import numpy as np

from ..autodiff.graph import Graph
from ..autodiff.node import Node
from ..recurrent.cell import Cell
from ..recurrent.unroll import unroll

__all__ = ["Measure", "Table", "measure"]

_MOMENTS = frozenset({"square", "sqrt", "root"})
"""What a normalisation is made of, which ends no layer."""
_SUMS = frozenset({"add", "subtract", "negative", "getitem", "concatenate", "reshape"})


@dataclass(frozen=True)
class Measure:
    """One cell in numbers.

    Attributes
    ----------
    states : int
        Values that go from one step to the next.
    layers : int
        Learned layers: affine maps of inputs and states, each with the nonlinearity behind it, if any.
    sigmoids, tanhs : int
        Nonlinearities of a step.
    operations : int
        Primitive operations of a step.
    parameters : int
        Learned numbers.
    multiply_adds : int
        Of the matrix products of a step, for one sequence.
    """

    states: int
    layers: int
    sigmoids: int
    tanhs: int
    operations: int
    parameters: int
    multiply_adds: int


class Table(Mapping[str, Measure]):
    """Measures of cells by name; prints as a table."""

    def __init__(self, rows: Mapping[str, Measure], input_size: int, hidden_size: int) -> None:
        self._rows = dict(rows)
        self.input_size, self.hidden_size = input_size, hidden_size

    def __getitem__(self, name: str) -> Measure:
        return self._rows[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __str__(self) -> str:
        heads = [field.name.replace("_", " ") for field in fields(Measure)]
        width = max(map(len, self._rows), default=0)
        lines = ["  ".join([f"{'cell':{width}}", *heads])]
        for name, row in self._rows.items():
            numbers = [getattr(row, field.name) for field in fields(Measure)]
            lines.append(
                "  ".join([f"{name:{width}}", *(f"{n:>{len(head)},}" for n, head in zip(numbers, heads, strict=True))])
            )
        return "\n".join(lines)

    __repr__ = __str__


def measure(cell: Cell) -> Measure:
    """Measure any cell, a user's own too, by the graph of one step of one sequence."""
    run = unroll(cell, np.zeros((1, 1, cell.input_size)))
    graph = Graph([*run.final_state, *run.outputs])
    steps = [node for node in graph.nodes if not node.is_leaf]
    ops = [node.op for node in steps]
    return Measure(
        states=len(cell.state_names),
        layers=_layers(graph),
        sigmoids=ops.count("sigmoid"),
        tanhs=ops.count("tanh"),
        operations=len(ops),
        parameters=sum(parameter.size for parameter in cell.parameters()),
        multiply_adds=sum(_multiply_adds(graph, node) for node in steps if node.op in ("matmul", "einsum")),
    )


def _multiply_adds(graph: Graph, node: Node) -> int:
    """The products that a matrix product or an einsum sums up."""
    shapes = [graph.nodes[k].shape for k in node.inputs]
    if node.op == "matmul":
        return int(np.prod(node.shape, dtype=int)) * shapes[0][-1]
    labels = node.attributes["subscripts"].split("->")[0].split(",")
    sizes = {
        label: size for term, shape in zip(labels, shapes, strict=True) for label, size in zip(term, shape, strict=True)
    }
    return int(np.prod(list(sizes.values()), dtype=int))


def _layers(graph: Graph) -> int:
    """How many affine maps of learned weights there are; those that meet in one nonlinearity are one."""
    affine = _affine(graph)
    states = {id(output) for output in graph.outputs}
    behind: dict[int, set[int]] = {}  # of a value: the affine maps in it, with no nonlinearity and no state between
    groups: list[set[int]] = []
    for node in graph.nodes:
        if node.index in affine:
            maps = {node.index}
        else:
            maps = set().union(*(behind[k] for k in node.inputs))
            if node.op == "getitem" and maps:
                maps = {node.index}  # a slice of several layers' sum is one of them
        ends = node.primitive.activation and node.op not in _MOMENTS
        if ends or id(node.tensor) in states:
            together = [maps] if ends else [{one} for one in maps]
            for group in together:
                groups = _join(groups, group)
            maps = set()
        behind[node.index] = maps
    return len(groups)


def _join(groups: list[set[int]], new: set[int]) -> list[set[int]]:
    """The groups with a new one, which takes in those that it overlaps."""
    if not new:
        return groups
    apart = [group for group in groups if not group & new]
    return [*apart, new.union(*(group for group in groups if group & new))]


def _affine(graph: Graph) -> set[int]:
    """Products with learned matrices, and sums, slices and concatenations of them."""
    learned: set[int] = set()  # computed from parameters and constants alone
    found: set[int] = set()
    for node in graph.nodes:
        constant = [k in learned or graph.nodes[k].op == "constant" for k in node.inputs]
        if node.op == "parameter" or (node.inputs and all(constant)):
            learned.add(node.index)
        elif node.op in ("matmul", "einsum"):
            found.update([node.index] if any(k in learned for k in node.inputs) else [])
        elif node.op in _SUMS and all(k in found or k in learned for k in node.inputs) and node.inputs:
            found.add(node.index)
    return found

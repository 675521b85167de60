"""The body of a loop read upwards: sums of products and biases, with which part of which weight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ...autodiff import primitives as p
from ...autodiff.primitive import Value
from .graph import Graph, Node

__all__ = ["Affine", "Block", "Reader", "Term", "Unknown"]


class Block(NamedTuple):
    """Part number k of n equal ones, or from row `first` to before row `last`, of a weight."""

    k: int = 0
    n: int = 1
    first: int | None = None
    last: int | None = None

    def of(self, rows: Value) -> Value:
        """That part of the rows."""
        count = rows.shape[0]
        if self.first is not None and self.last is not None:
            first, last = (min(max(k + count if k < 0 else k, 0), count) for k in (self.first, self.last))
        elif count % self.n:
            raise ValueError("does not part evenly")
        else:
            first, last = self.k * count // self.n, (self.k + 1) * count // self.n
        return rows if (first, last) == (0, count) else p.getitem.on((rows,), {"index": (slice(first, last),)})


class Term(NamedTuple):
    """A matrix product: of which value, with which weight, whether that stands (outputs, inputs), and which rows."""

    of: str
    weight: str
    is_rows_first: bool
    block: Block


@dataclass
class Affine:
    """A sum of products and biases, with the value to whose product each bias was added, if to one.

    Attributes
    ----------
    terms : list of Term
    biases : list of (str, str, Block)
    state : str
        What stands in it for the state, if that is not the state itself.
    """

    terms: list[Term] = field(default_factory=list)
    biases: list[tuple[str, str, Block]] = field(default_factory=list)
    state: str = ""


class Unknown(Exception):
    """It is no such cell."""


class Reader:
    """The body, read upwards from its outputs."""

    def __init__(self, graph: Graph, count: int, constants: Mapping[str, Any], lifted: bool = False) -> None:
        self.graph, self.constants = graph, constants
        self.features = (-1,) if lifted else (-1, 1)
        self.made = {name: (node, slot) for node in graph.nodes for slot, name in enumerate(node.outputs) if name}
        self.states = graph.inputs[-count:] if count else ()
        self.inside = {*graph.inputs, *self.made}

    def node(self, name: str, *kinds: str) -> Node:
        """The node that makes a value, of one of these kinds."""
        node = self.made[self.source(name)][0] if self.source(name) in self.made else None
        if node is None or node.kind not in kinds:
            raise Unknown
        return node

    def source(self, name: str) -> str:
        """The value that this is, behind all Identity."""
        while name in self.made and self.made[name][0].kind == "Identity":
            name = self.made[name][0].inputs[0]
        return name

    def kind(self, name: str) -> str:
        """Of the node that makes a value."""
        name = self.source(name)
        return self.made[name][0].kind if name in self.made else ""

    def pair(self, name: str, kind: str, *wanted: str) -> tuple[str, str]:
        """Both operands, first the one that is made by a node of the wanted kinds, or is that value."""
        first, second = map(self.source, self.node(name, kind).inputs)
        for one, other in ((first, second), (second, first)):
            if self.kind(one) in wanted or one in wanted:
                return one, other
        raise Unknown

    def affine(self, name: str, block: Block | None = None) -> Affine:
        """A value as a sum of products with weights, and biases."""
        name, found = self.source(name), Affine()
        if name not in self.inside:
            found.biases.append(("", name, block or Block()))
            return found
        node, slot = self.made.get(name, (None, 0))
        if node is None:
            raise Unknown
        if node.kind == "Add":
            for part in (self.affine(operand, block) for operand in node.inputs):
                found.terms += part.terms
                found.biases += part.biases
        elif node.kind in ("Split", "Slice") and block is None:
            return self.affine(node.inputs[0], self.cut(node, slot))
        elif node.kind == "SequenceAt" and block is None:
            parts = self.node(node.inputs[0], "SplitToSequence")
            return self.affine(parts.inputs[0], self.piece(parts, self.numbers(node, 1, "")))
        elif node.kind in ("Gemm", "MatMul"):
            of, weight, *bias = node.inputs
            numbers = {node.attributes.get(key, 1.0) for key in ("alpha", "beta")}
            if weight in self.inside or numbers != {1.0} or node.attributes.get("transA"):
                raise Unknown
            is_rows_first = bool(node.attributes.get("transB"))
            found.terms.append(Term(self.source(of), weight, is_rows_first, block or Block()))
            found.biases += [(self.source(of), value, block or Block()) for value in bias if value]
        else:
            raise Unknown
        return found

    def cut(self, node: Node, slot: int) -> Block:
        """What a node takes of the features."""
        if node.kind == "Split":
            if node.attributes.get("axis") not in self.features:
                raise Unknown
            sizes = self.numbers(node, 1, "split")
            if sizes is None:
                return Block(slot, len(node.outputs))
            return Block(first=sum(sizes[:slot]), last=sum(sizes[: slot + 1]))
        first, last = self.numbers(node, 1, "starts"), self.numbers(node, 2, "ends")
        axes, by = self.numbers(node, 3, "axes"), self.numbers(node, 4, "steps")
        if (
            first is None
            or last is None
            or len(first) != 1
            or len(last) != 1
            or axes not in [[k] for k in self.features]
        ):
            raise Unknown
        if by not in (None, [1]):
            raise Unknown
        return Block(first=first[0], last=last[0])

    def piece(self, node: Node, place: list[int] | None) -> Block:
        """The same, of one piece of those into which a node cuts."""
        sizes = self.numbers(node, 1, "")
        if node.attributes.get("axis") not in self.features or sizes is None or place is None or place[0] < 0:
            raise Unknown
        (k,) = place
        if not self.constants[node.inputs[1]].shape:  # all of the same size
            return Block(first=k * sizes[0], last=(k + 1) * sizes[0])
        return Block(first=sum(sizes[:k]), last=sum(sizes[: k + 1]))

    def numbers(self, node: Node, place: int, attribute: str) -> list[int] | None:
        """Whole numbers that stand in the file; None where they are left out."""
        if node.attributes.get(attribute) is not None:
            return [int(k) for k in node.attributes[attribute]]
        if len(node.inputs) <= place or not node.inputs[place]:
            return None
        value = self.constants.get(node.inputs[place])
        if not isinstance(value, np.ndarray):
            raise Unknown
        return [int(k) for k in value.reshape(-1)]

    def joined(self, name: str) -> list[str]:
        """The values of which this is made by putting their features side by side."""
        if self.kind(name) != "Concat":
            return [self.source(name)]
        node = self.node(name, "Concat")
        if node.attributes["axis"] not in self.features:
            raise Unknown
        return [self.source(part) for part in node.inputs]

    def is_one(self, name: str) -> bool:
        """Whether a value is the number 1, which nobody learns."""
        value = self.constants.get(name)
        return isinstance(value, np.ndarray) and value.size > 0 and bool(np.all(value == 1))

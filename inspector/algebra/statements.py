"""The equations of one timestep, read off its graph: one for each named value, in order of computation.

Values are column vectors here, as in papers, while in the graph a batch of them are the rows of a matrix.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tinygrad_rnn import Node

from ..steps.source import Source
from .blocks import Blocks
from .contractions import summed_product
from .expression import Array, Expression, Symbol, evaluate, number
from .symbols import Symbols

__all__ = ["Statement", "Statements", "read"]


@dataclass(frozen=True)
class Statement:
    """`symbol` = `expression`, the value of graph node `node`; -1 for a value that is in no graph."""

    symbol: Symbol
    expression: Expression
    node: int


@dataclass
class Statements:
    """What one timestep of a single cell computes.

    Attributes
    ----------
    symbols : Symbols
    all : list of Statement
        In order of computation.
    values : dict of Symbol to ndarray
        What each symbol stands for.
    """

    symbols: Symbols
    all: list[Statement] = field(default_factory=list)
    values: dict[Symbol, Array] = field(default_factory=dict)


def read(source: Source, t: int) -> Statements:
    """The statements of timestep `t` of a single cell."""
    return _Reader(Symbols(source, t)).read()


class _Reader:
    """Walks the operations of one timestep, oldest first."""

    def __init__(self, symbols: Symbols) -> None:
        self.symbols, self.graph = symbols, symbols.graph
        self.blocks = Blocks(symbols)
        self.built = dict(symbols.numbers)

    def read(self) -> Statements:
        statements = Statements(self.symbols)
        for node in self.symbols.nodes:
            if node.index in self.symbols.computed:
                self.built[node.index] = self._expression(node)
                symbol = self.symbols.by_node.get(node.index)
                if symbol is not None:
                    statements.all.append(Statement(symbol, self.built[node.index], node.index))
        statements.all += [Statement(symbol, self._of(index), index) for symbol, index in self.symbols.aliases]
        names = [(symbol, index) for index, symbol in self.symbols.by_node.items()]
        statements.values = {symbol: self.graph.nodes[index].value for symbol, index in names + self.symbols.aliases}
        return statements

    def _of(self, index: int) -> Expression:
        """A value as an operand: its name if it has one."""
        symbol = self.symbols.by_node.get(index)
        if symbol is None:
            return self.built[index]
        node = self.graph.nodes[index]
        return Expression("symbol", (), {}, node.shape, self._is_batched(node), index, symbol)

    def _is_batched(self, node: Node) -> bool:
        return self.symbols.is_data.get(node.index, False) and node.shape[:1] == (self.symbols.batch,)

    def _expression(self, node: Node) -> Expression:
        operands = tuple(self._of(k) for k in node.inputs)
        block = self.blocks.sliced_at(node)
        if block is not None and node.inputs[0] in self.blocks.sliced:
            return self._block(node, block)
        made = Expression(
            node.op, operands, node.attributes, node.shape, self._is_batched(node), node.index, primitive=node.primitive
        )
        if block is not None:
            return replace(made, label=self.blocks.labels.get((node.inputs[0], block), ""))
        if node.op == "transpose" and operands[0].op == "transpose" and len(node.shape) == 2:
            return operands[0].operands[0]
        if node.op == "matmul":
            return self._product(made, operands)
        if node.op == "sum":
            return summed_product(made)
        if node.op == "divide" and operands[0].op == "sum" and _is_mean(*operands):
            return replace(made, op="mean", operands=operands[0].operands, attributes=operands[0].attributes)
        return made

    def _product(self, made: Expression, operands: Sequence[Expression]) -> Expression:
        """``x @ W.T`` is written W x."""
        left, right = operands
        column = len(left.shape) == 1 or (left.batched and len(left.shape) == 2 and not right.batched)
        return replace(made, op="apply", operands=(_transpose(right), left)) if column else made

    def _block(self, node: Node, block: tuple[int, int]) -> Expression:
        """A slice of an affine map as the affine map of slices."""
        root = node.inputs[0]
        local: dict[int, Expression] = {}
        for k in self.blocks.members(root):
            member = self.graph.nodes[k]
            shape = (*member.shape[:-1], block[1] - block[0]) if member.shape[-1] != 1 else member.shape
            attributes = member.attributes
            if member.op == "matmul":
                matrix = self._rows(member.inputs[1], block)
                operands: tuple[Expression, ...] = (matrix, self._of(member.inputs[0]))
            else:
                operands = tuple(local[j] if j in local else self._part(j, block) for j in member.inputs)
            op = "apply" if member.op == "matmul" else member.op
            value = node.index if k == root else -1
            batched, primitive = self._is_batched(member), member.primitive
            local[k] = Expression(op, operands, attributes, shape, batched, value, primitive=primitive)
        return local[root]

    def _part(self, index: int, block: tuple[int, int]) -> Expression:
        """The elements of a vector of weights that a block needs; one number for all stays as it is."""
        whole = self._of(index)
        if whole.op == "number" or not whole.shape or whole.shape[-1] == 1:
            return whole
        return self._cut(whole, (Ellipsis, slice(*block)), self.blocks.labels.get((index, block), ""))

    def _rows(self, index: int, block: tuple[int, int]) -> Expression:
        """The rows of the matrix by which a block's columns are multiplied."""
        weight = self.blocks.weight(index)
        label = self.blocks.labels.get((weight, block), "")
        if weight != index:
            return self._cut(self._of(weight), (slice(*block),), label)
        return _transpose(self._cut(self._of(index), (slice(None), slice(*block)), label))

    def _cut(self, whole: Expression, index: tuple[Any, ...], label: str) -> Expression:
        shape = np.broadcast_to(0, whole.shape)[index].shape
        return Expression("getitem", (whole,), {"index": index}, shape, False, -1, label=label)


def _transpose(matrix: Expression) -> Expression:
    if matrix.op == "transpose" and len(matrix.shape) == 2:
        return matrix.operands[0]
    if len(matrix.shape) < 2:
        return matrix if matrix.op == "number" else Expression("transpose", (matrix,), {}, matrix.shape, matrix.batched)
    return Expression("transpose", (matrix,), {}, matrix.shape[::-1])


def _is_mean(total: Expression, count: Expression) -> bool:
    """Whether a sum is divided by the number of its terms."""
    if count.op != "number":
        return False
    terms: Mapping[Symbol, Array] = {}
    summed = np.ones(total.operands[0].shape)
    ones = evaluate(Expression("sum", (number(summed),), total.attributes), terms)
    assert count.value is not None
    return bool(ones.size and ones.flat[0] == count.value)

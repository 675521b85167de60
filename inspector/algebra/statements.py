"""The equations of one timestep, read off its graph: one for each named value, in order of computation.

Values are column vectors here, as in papers, while in the graph a batch of them are the rows of a matrix.
"""

from __future__ import annotations

import itertools
import string
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tinygrad_rnn import Node, Tensor

from ..steps.source import Source
from .contractions import summed_product
from .expression import Array, Expression, Symbol, evaluate, number
from .names import spelt

__all__ = ["Statement", "Statements", "read"]

_ARITHMETIC = frozenset({"add", "subtract", "multiply", "divide", "negative"})
_LIGHT = frozenset({"transpose", "reshape", "broadcast_to", "astype", "identity", "stop_gradient", "getitem"})
_SPARE = "abdeuvwqsyzpmgrjncklfio" + string.ascii_uppercase
"""Letters for values without a name, those first that are least likely to be read as something else."""


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
    all : list of Statement
        In order of computation.
    before : dict of str to Symbol
        The states that enter.
    after : dict of str to Symbol
        The states that leave.
    values : dict of Symbol to ndarray
        What each symbol stands for.
    taken : set of str
        The letters in use.
    """

    all: list[Statement] = field(default_factory=list)
    before: dict[str, Symbol] = field(default_factory=dict)
    after: dict[str, Symbol] = field(default_factory=dict)
    values: dict[Symbol, Array] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)

    def fresh(self, time: int | None) -> Symbol:
        """A letter that nothing else is called."""
        numbered = (f"a{k}" for k in itertools.count(1))
        name = next(n for n in itertools.chain(_SPARE, numbered) if n not in self.taken)
        self.taken.add(name)
        return Symbol(name, time)


def read(source: Source, t: int) -> Statements:
    """The statements of timestep `t` of a single cell."""
    return _Reader(source, t).read()


class _Reader:
    """Walks the operations of one timestep, oldest first."""

    def __init__(self, source: Source, t: int) -> None:
        self.source, self.graph, self.run, self.t = source, source.graph, source.run, t
        self.nodes = [node for node in source.nodes[t] if not node.is_leaf]
        self.batch = self.run.outputs[t].shape[0]
        self.out = Statements()
        self.symbols: dict[int, Symbol] = {}
        self.spelt: set[tuple[Any, int | None, int]] = set()
        self.constants: dict[tuple[Any, ...], Symbol] = {}
        self.built: dict[int, Expression] = {}
        self.is_data: dict[int, bool] = {}
        self.aliases: list[tuple[Symbol, int]] = []
        self._name_ports()
        self._name_values()
        self.own = {node.index for node in self.nodes if node.index not in self.ports}
        self.uses = Counter(k for node in self.nodes for k in node.inputs if k in self.own and node.index in self.own)
        self.readers: dict[int, list[Node]] = {}
        for node in self.nodes:
            for k in node.inputs:
                self.readers.setdefault(k, []).append(node)

    def read(self) -> Statements:
        self._name_leaves()
        self.sliced = self._find_sliced()
        self.labels = self._find_labels()
        for node in self.nodes:
            if node.index not in self.own:
                continue
            self.built[node.index] = self._expression(node)
            symbol = self.symbols.get(node.index)
            if symbol is not None:
                self.out.all.append(Statement(symbol, self.built[node.index], node.index))
        self.out.all += [Statement(symbol, self._of(index), index) for symbol, index in self.aliases]
        self.out.values |= {symbol: self.graph.nodes[index].value for index, symbol in self.symbols.items()}
        self.out.values |= {symbol: self.graph.nodes[index].value for symbol, index in self.aliases}
        return self.out

    # ------------------------------------------------------------------------------------------ names

    def _claim(self, name: str, time: int | None) -> Symbol:
        """A symbol that is written like no other."""
        key = spelt(name, time is not None) or name
        primes = next(k for k in itertools.count() if (key, time, k) not in self.spelt)
        self.spelt.add((key, time, primes))
        self.out.taken.add(key[0] if isinstance(key, tuple) else key)
        return Symbol(name, time, primes)

    def _name_ports(self) -> None:
        before = self.source.states_before(self.t)
        self.out.before = {name: self._claim(name, 1 if self.run.reverse else -1) for name in before}
        for name, value in before.items():
            self._port(value, self.out.before[name])
        self._port(self.run.inputs[self.t], self._claim("x", 0))
        self.ports = set(self.symbols)

    def _port(self, value: Tensor, symbol: Symbol) -> None:
        if value in self.graph:
            index = self.graph.find(value).index
            self.symbols[index] = symbol
            self.is_data[index] = True

    def _name_values(self) -> None:
        """Every name of the run at this timestep; a value with several names is defined once and then named again."""
        named = [(name, value) for (name, s), value in self.run.names.items() if s == self.t]
        named = [(name, value) for name, value in named if name != "x" or value.id != self.run.inputs[self.t].id]
        states = self.run.states[self.t]._asdict()
        here = {node.index for node in self.nodes}
        self.out.after = {name: self._claim(name, 0) for name in states}
        for name, value in named:
            index = self.graph.find(value).index
            symbol = self.out.after[name] if name in states else self._claim(name, 0)
            if index in self.symbols or index not in here:
                self.aliases.append((symbol, index))
            else:
                self.symbols[index] = symbol
        for node in self.nodes:
            if node.index not in self.symbols and node.name is not None:
                self.symbols[node.index] = self._claim(node.name, 0)
        output = self.graph.find(self.run.outputs[self.t]).index
        if output not in self.symbols and output in here:
            self.symbols[output] = self._claim("out", 0)

    def _name_leaves(self) -> None:
        """Parameters, constants, and what comes from other timesteps or from outside."""
        read = {k for node in self.nodes if node.index in self.own for k in node.inputs} | {
            index for _, index in self.aliases
        }
        for index in sorted(read - self.own - set(self.symbols)):
            node = self.graph.nodes[index]
            if node.op == "constant":
                self.is_data[index] = False
                self._name_constant(node)
                continue
            time = None if node.timestep is None or node.op == "parameter" else node.timestep - self.t
            self.symbols[index] = self._claim(node.name or node.op, time)
            self.is_data[index] = node.op != "parameter" and len(node.shape) > 1 and node.shape[0] == self.batch

    def _name_constant(self, node: Node) -> None:
        """A literal if all elements are the same, otherwise a symbol; the same values have the same one."""
        mask = node.value.dtype.kind == "b"
        if node.value.size and not mask and (node.value == node.value.flat[0]).all():
            self.built[node.index] = number(node.value.flat[0])
            return
        key = (node.shape, node.value.dtype.str, node.value.tobytes())
        if key not in self.constants:
            self.constants[key] = self._claim("mask", 0) if mask else self._claim(f"k_{len(self.constants) + 1}", None)
        self.symbols[node.index] = self.constants[key]

    # --------------------------------------------------------------------- blocks, and what is shared

    def _slice(self, node: Node) -> tuple[int, int] | None:
        """Start and stop of a slice of the features of a batch of vectors; None for anything else."""
        if node.op != "getitem":
            return None
        operand = self.graph.nodes[node.inputs[0]]
        index = node.attributes["index"]
        if (
            not self.is_data.get(operand.index)
            or len(operand.shape) != 2
            or not isinstance(index, tuple)
            or len(index) != 2
        ):
            return None
        rows, columns = index
        if not (isinstance(columns, slice) and isinstance(rows, (slice, type(Ellipsis)))) or rows not in (
            slice(None),
            Ellipsis,
        ):
            return None
        start, stop, step = columns.indices(operand.shape[1])
        return (start, stop) if step == 1 else None

    def _find_sliced(self) -> set[int]:
        """The affine maps of which slices may be taken one by one; also names what is shared by other operations."""
        sliced: set[int] = set()
        for node in self.nodes:
            k = node.index
            if k not in self.own:
                continue
            self.is_data[k] = any(self.is_data.get(operand, False) for operand in node.inputs)
            if k in self.symbols:
                continue
            affine = self._is_affine(node, sliced)
            if affine and all(self._slice(reader) for reader in self.readers.get(k, [])):
                sliced.add(k)
            elif self.uses[k] > 1 and not self._is_light(node):
                self.symbols[k] = self.out.fresh(0 if self.is_data[k] else None)
            elif affine:
                sliced.add(k)
        return sliced

    def _is_affine(self, node: Node, sliced: set[int]) -> bool:
        """Whether each block of its rows is the same operation on blocks of weights."""
        if len(node.shape) != 2 or not self.is_data[node.index]:
            return False
        if node.op == "matmul":
            left, right = node.inputs
            return self.is_data[left] and not self.is_data[right] and len(self.graph.nodes[right].shape) == 2
        if node.op not in _ARITHMETIC:
            return False
        kinds = [k in sliced for k in node.inputs]
        fits = [
            s or not self.is_data[k] or self.graph.nodes[k].shape[-1] == 1
            for s, k in zip(kinds, node.inputs, strict=True)
        ]
        return any(kinds) and all(fits)

    def _is_light(self, node: Node) -> bool:
        """Whether it is written again rather than named: nothing but a view of what has a name."""
        while node.index in self.own and node.index not in self.symbols:
            if node.op not in _LIGHT:
                return False
            node = self.graph.nodes[node.inputs[0]]
        return True

    def _members(self, root: int) -> list[int]:
        """The affine maps below `root` that are cut into blocks with it, operands first."""
        found, stack = {root}, [root]
        while stack:
            for k in self.graph.nodes[stack.pop()].inputs:
                if k in self.sliced and k not in found:
                    found.add(k)
                    stack.append(k)
        return sorted(found)

    def _find_labels(self) -> dict[tuple[int, tuple[int, int]], str]:
        """What each block of a leaf serves, for leaves of which every block serves one gate that no other serves."""
        claims: dict[int, dict[tuple[int, int], set[str | None]]] = {}
        for node in self.nodes:
            block = self._slice(node) if node.index in self.own else None
            if block is None:
                continue
            root = node.inputs[0]
            for leaf in self._leaves(root) if root in self.sliced else [root]:
                claims.setdefault(leaf, {}).setdefault(block, set()).add(self.source.owners.get(node.index))
        labels: dict[tuple[int, tuple[int, int]], str] = {}
        for leaf, blocks in claims.items():
            owners = [next(iter(o)) for o in blocks.values() if len(o) == 1]
            known = [o for o in owners if o is not None]
            if len(known) == len(blocks) == len(set(known)) > 1 and leaf not in self.ports:
                labels |= {(leaf, block): owner for block, owner in zip(blocks, known, strict=True)}
        return labels

    def _leaves(self, root: int) -> Iterator[int]:
        """The weights below an affine map."""
        for member in self._members(root):
            for k in self.graph.nodes[member].inputs:
                yield from () if k in self.sliced or self.is_data[k] else (self._weight(k),)

    def _weight(self, index: int) -> int:
        """The matrix of which `index` is the transpose, or itself."""
        node = self.graph.nodes[index]
        return node.inputs[0] if node.op == "transpose" and index not in self.symbols else index

    # ------------------------------------------------------------------------------------ expressions

    def _of(self, index: int) -> Expression:
        """A value as an operand: its name if it has one."""
        symbol = self.symbols.get(index)
        if symbol is None:
            return self.built[index]
        node = self.graph.nodes[index]
        return Expression("symbol", (), {}, node.shape, self._batched(node), index, symbol)

    def _batched(self, node: Node) -> bool:
        return self.is_data.get(node.index, False) and node.shape[:1] == (self.batch,)

    def _expression(self, node: Node) -> Expression:
        operands = tuple(self._of(k) for k in node.inputs)
        block = self._slice(node)
        if block is not None and node.inputs[0] in self.sliced:
            return self._block(node, block)
        made = Expression(node.op, operands, node.attributes, node.shape, self._batched(node), node.index)
        if block is not None:
            return replace(made, label=self.labels.get((node.inputs[0], block), ""))
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
        return replace(made, op="apply", operands=(_transposed(right), left)) if column else made

    def _block(self, node: Node, block: tuple[int, int]) -> Expression:
        """A slice of an affine map as the affine map of slices."""
        root = node.inputs[0]
        local: dict[int, Expression] = {}
        for k in self._members(root):
            member = self.graph.nodes[k]
            shape = (*member.shape[:-1], block[1] - block[0]) if member.shape[-1] != 1 else member.shape
            attributes = member.attributes
            if member.op == "matmul":
                matrix = self._rows(member.inputs[1], block)
                operands: tuple[Expression, ...] = (matrix, self._of(member.inputs[0]))
            else:
                operands = tuple(local[j] if j in local else self._part(j, block) for j in member.inputs)
            op = "apply" if member.op == "matmul" else member.op
            own = node.index if k == root else -1
            local[k] = Expression(op, operands, attributes, shape, self._batched(member), own)
        return local[root]

    def _part(self, index: int, block: tuple[int, int]) -> Expression:
        """The elements of a vector of weights that a block needs; one number for all stays as it is."""
        whole = self._of(index)
        if whole.op == "number" or not whole.shape or whole.shape[-1] == 1:
            return whole
        return self._cut(whole, (Ellipsis, slice(*block)), self.labels.get((index, block), ""))

    def _rows(self, index: int, block: tuple[int, int]) -> Expression:
        """The rows of the matrix by which a block's columns are multiplied."""
        weight = self._weight(index)
        label = self.labels.get((weight, block), "")
        if weight != index:
            return self._cut(self._of(weight), (slice(*block),), label)
        return _transposed(self._cut(self._of(index), (slice(None), slice(*block)), label))

    def _cut(self, whole: Expression, index: tuple[Any, ...], label: str) -> Expression:
        shape = np.broadcast_to(0, whole.shape)[index].shape
        return Expression("getitem", (whole,), {"index": index}, shape, False, -1, label=label)


def _transposed(matrix: Expression) -> Expression:
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

"""The step of an LSTM, a GRU or a plain RNN, recognised in whatever operators it was exported as."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from ...autodiff import primitives as p
from ...autodiff.functions import concatenate
from ...autodiff.primitive import Value
from ...autodiff.scope import timestep
from ...autodiff.tensor import Tensor
from ...cells import GRUCell, GRUResetBeforeCell, LSTMCell, RNNCell
from ...recurrent.unroll import Run, unroll
from ..imported import cell_of
from .graph import Body, Graph, Node

__all__ = ["outputs_of", "standard"]

NONLINEARITIES = {"Tanh": "tanh", "Relu": "relu", "Sigmoid": "sigmoid"}


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


class _Reader:
    """The body, read upwards from its outputs."""

    def __init__(self, graph: Graph, count: int, constants: Mapping[str, Any]) -> None:
        self.graph, self.constants = graph, constants
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
            if node.attributes.get("axis") not in (1, -1):
                raise Unknown
            sizes = self.numbers(node, 1, "split")
            if sizes is None:
                return Block(slot, len(node.outputs))
            return Block(first=sum(sizes[:slot]), last=sum(sizes[: slot + 1]))
        first, last = self.numbers(node, 1, "starts"), self.numbers(node, 2, "ends")
        axes, by = self.numbers(node, 3, "axes"), self.numbers(node, 4, "steps")
        if first is None or last is None or len(first) != 1 or len(last) != 1 or axes not in ([1], [-1]):
            raise Unknown
        if by not in (None, [1]):
            raise Unknown
        return Block(first=first[0], last=last[0])

    def piece(self, node: Node, place: list[int] | None) -> Block:
        """The same, of one piece of those into which a node cuts."""
        sizes = self.numbers(node, 1, "")
        if node.attributes.get("axis") not in (1, -1) or sizes is None or place is None or place[0] < 0:
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
        if node.attributes["axis"] not in (1, -1):
            raise Unknown
        return [self.source(part) for part in node.inputs]

    def is_one(self, name: str) -> bool:
        """Whether a value is the number 1, which nobody learns."""
        value = self.constants.get(name)
        return isinstance(value, np.ndarray) and value.size > 0 and bool(np.all(value == 1))


# ----------------------------------------------------------------------------------------- the cells


class _Gates(NamedTuple):
    """A cell: its class and options, its states in order, and the sum for each gate."""

    kind: type
    options: dict[str, Any]
    states: list[str]
    gates: list[Affine]


def _lstm(read: _Reader, new: Mapping[str, str]) -> _Gates:
    h, c = read.states
    if read.kind(new[h]) != "Mul":
        h, c = c, h
    one, other = read.node(new[h], "Mul").inputs
    if read.kind(one) != "Tanh" or read.source(read.node(one, "Tanh").inputs[0]) != read.source(new[c]):
        one, other = other, one
    if read.source(read.node(one, "Tanh").inputs[0]) != read.source(new[c]):
        raise Unknown
    kept, added = read.node(new[c], "Add").inputs
    if c not in map(read.source, read.node(kept, "Mul").inputs):
        kept, added = added, kept
    _, forget = read.pair(kept, "Mul", c)
    candidate, enter = read.pair(added, "Mul", "Tanh")
    gates = [read.affine(read.node(name, "Sigmoid").inputs[0]) for name in (enter, forget)]
    gates.append(read.affine(read.node(candidate, "Tanh").inputs[0]))
    gates.append(read.affine(read.node(other, "Sigmoid").inputs[0]))
    return _Gates(LSTMCell, {}, [h, c], gates)


def _gru(read: _Reader, new: Mapping[str, str]) -> _Gates:
    (h,) = read.states
    candidate, update = _mixed(read, h, new[h])
    z = read.affine(read.node(update, "Sigmoid").inputs[0])
    n = read.node(candidate, "Tanh").inputs[0]
    terms = _summands(read, n)
    gated = [name for name in terms if read.kind(name) == "Mul"]
    if len(gated) == 1:
        reset, product = read.pair(gated[0], "Mul", "Sigmoid")
        rest = Affine()
        for name in terms:
            if name is not gated[0]:
                part = read.affine(name)
                rest.terms += part.terms
                rest.biases += part.biases
        inner = read.affine(product)
        if {term.of for term in inner.terms} != {h} or any(term.of == h for term in rest.terms):
            raise Unknown
        inner.biases = [(h, name, block) for _, name, block in inner.biases]
        rest.biases = [("x", name, block) for _, name, block in rest.biases]
        both = Affine([*rest.terms, *inner.terms], [*rest.biases, *inner.biases])
        return _Gates(GRUCell, {}, [h], [read.affine(read.node(reset, "Sigmoid").inputs[0]), z, both])
    whole = read.affine(n)
    products = {name for term in whole.terms for name in read.joined(term.of) if read.kind(name) == "Mul"}
    if len(products) != 1:
        raise Unknown
    (whole.state,) = products
    _, reset = read.pair(whole.state, "Mul", h)
    r = read.affine(read.node(reset, "Sigmoid").inputs[0])
    return _Gates(GRUResetBeforeCell, {}, [h], [r, z, whole])


def _mixed(read: _Reader, h: str, new: str) -> tuple[str, str]:
    """Candidate and update gate of (1 - z) n + z h, however it is written."""
    one, other = read.node(new, "Add").inputs
    for a, b in ((one, other), (other, one)):
        if read.kind(a) != "Mul":
            continue
        if read.kind(b) == "Tanh":  # (h - n) z + n
            left, z = read.pair(a, "Mul", "Sub")
            first, second = map(read.source, read.node(left, "Sub").inputs)
            if first == h and second == read.source(b):
                return read.source(b), z
        elif h in map(read.source, read.node(a, "Mul").inputs) and read.kind(b) == "Mul":  # z h + (1 - z) n
            _, z = read.pair(a, "Mul", h)
            candidate, rest = read.pair(b, "Mul", "Tanh")
            first, second = map(read.source, read.node(rest, "Sub").inputs)
            if second == z and read.is_one(first):
                return candidate, z
    raise Unknown


def _summands(read: _Reader, name: str) -> list[str]:
    if read.kind(name) != "Add":
        return [read.source(name)]
    return [part for operand in read.node(name, "Add").inputs for part in _summands(read, operand)]


def _rnn(read: _Reader, new: Mapping[str, str]) -> _Gates:
    (h,) = read.states
    node = read.node(new[h], *NONLINEARITIES)
    return _Gates(RNNCell, {"nonlinearity": NONLINEARITIES[node.kind]}, [h], [read.affine(node.inputs[0])])


def _gates_of(read: _Reader) -> _Gates:
    new = dict(zip(read.states, read.graph.outputs, strict=False))
    kinds = (_lstm,) if len(read.states) == 2 else (_rnn, _gru) if len(read.states) == 1 else ()
    for kind in kinds:
        try:
            return kind(read, new)
        except (Unknown, ValueError):
            continue
    raise Unknown


# -------------------------------------------------------------------------------------------- numbers


class _Numbers:
    """The weights of a cell, computed from what the body reads."""

    def __init__(self, read: _Reader, body: Body, x: str, h: str, width: int, hidden: int) -> None:
        self.read, self.captured = read, body.captured
        self.x, self.h, self.width, self.hidden = x, h, width, hidden

    def product(self, gate: Affine, of_state: bool) -> Value:
        """The weight (H, columns) of x or of the state in a gate."""
        state = gate.state or self.h
        wanted, widths = state if of_state else self.x, {self.x: self.width, state: self.hidden}
        found = []
        for term in gate.terms:
            parts = self.read.joined(term.of)
            if not widths.keys() >= set(parts) or len(set(parts)) < len(parts):
                raise Unknown
            if wanted in parts:
                before = sum(widths[part] for part in parts[: parts.index(wanted)])
                columns = slice(before, before + widths[wanted])
                matrix = self.matrix(term)
                whole = len(parts) == 1
                found.append(matrix if whole else p.getitem.on((matrix,), {"index": (slice(None), columns)}))
        if len(found) != 1:
            raise Unknown
        return found[0]

    def matrix(self, term: Term) -> Value:
        weight = self.captured[term.weight]
        if len(weight.shape) != 2:
            raise Unknown
        return term.block.of(weight if term.is_rows_first else p.transpose(weight, None))

    def bias(self, gate: Affine, of_state: bool) -> Value | None:
        """What is added in a gate to the product with h, or else to that with x or to both."""
        total = None
        for of, name, block in gate.biases:
            if (of == (gate.state or self.h)) == of_state:
                value = self.captured[name]
                if len(value.shape) != 1:
                    raise Unknown
                part = block.of(value)
                total = part if total is None else p.add(total, part)
        return total

    def biases(self, gates: Sequence[Affine], of_state: bool, dtype: Any) -> list[Value] | None:
        """Those of all gates, zeros where one has none; None if no gate has."""
        found = [self.bias(gate, of_state) for gate in gates]
        if all(value is None for value in found):
            return None
        return [np.zeros(self.hidden, dtype) if value is None else value for value in found]


def _cell(gates: _Gates, numbers: _Numbers, dtype: Any) -> Any:
    W, R = ([numbers.product(gate, of_state) for gate in gates.gates] for of_state in (False, True))
    b, c = (numbers.biases(gates.gates, of_state, dtype) for of_state in (False, True))
    has_bias = b is not None or c is not None
    zeros = [np.zeros(numbers.hidden, dtype) for _ in gates.gates]
    if gates.kind is GRUResetBeforeCell:
        sums = [p.add(one, other) for one, other in zip(b or zeros, c or zeros, strict=True)]
        named = zip("rzn", W, R, sums, strict=True)
        weights = {f"{key}_{gate}": value for gate, *three in named for key, value in zip("WRb", three, strict=True)}
        weights = weights if has_bias else {name: value for name, value in weights.items() if name[0] != "b"}
    else:
        weights = {"weight_ih": _joined(W), "weight_hh": _joined(R)}
        weights |= {"bias_ih": _joined(b or zeros), "bias_hh": _joined(c or zeros)} if has_bias else {}
    cell = gates.kind(numbers.width, numbers.hidden, bias=has_bias, dtype=dtype, seed=0, **gates.options)
    return cell_of(cell, {n: w if isinstance(w, Tensor) else Tensor(np.array(w), name=n) for n, w in weights.items()})


def _joined(parts: Sequence[Value]) -> Value:
    return concatenate(list(parts), axis=0) if len(parts) > 1 else parts[0]


def standard(
    body: Body, parts: Sequence[Any], carried: Mapping[str, Value], reverse: bool
) -> tuple[Run, list[Value], list[list[Value]]] | None:
    """Run a body as one of the usual cells, if that is what it is; parameters and results as of
    :func:`~tinygrad_rnn.interop.onnx.recurrence.over_time`.
    """
    states = list(carried.values())
    if len(parts) != 1 or any(len(value.shape) != 2 for value in states) or len(parts[0].values.shape) != 3:
        return None
    x, dtype = parts[0].values, parts[0].values.dtype
    read = _Reader(replace(body.graph, inputs=(parts[0].name, *carried)), len(carried), body.captured)
    try:
        gates = _gates_of(read)
        numbers = _Numbers(read, body, parts[0].name, gates.states[0], x.shape[2], states[0].shape[1])
        cell = _cell(gates, numbers, dtype)
        run = unroll(cell, x, tuple(carried[name] for name in gates.states), reverse=reverse)
    except (Unknown, ValueError, KeyError, TypeError, RecursionError):  # whatever a file may hold
        return None
    order = range(len(run))[:: -1 if reverse else 1]
    history = [
        dict(zip(gates.states, state, strict=True))
        for state in (run.initial_state, *map(run.states.__getitem__, order))
    ]
    outputs = outputs_of(body, list(carried), {parts[0].name: run.inputs}, history, order)
    return run, [history[-1][name] for name in carried], outputs


def outputs_of(
    body: Body,
    names: Sequence[str],
    given: Mapping[str, Sequence[Any]],
    history: Sequence[Mapping[str, Value]],
    order: Sequence[int],
) -> list[list[Value]]:
    """What a body puts out besides its states, by iteration: computed of these and of what is given.

    Parameters
    ----------
    body : Body
    names : sequence of str
        Of the states, in the order of its outputs.
    given : mapping of str to sequence or array
        Its other inputs, by timestep.
    history : sequence of mappings from str to value
        The states before the first iteration and behind each.
    order : sequence of int
        The timestep of each iteration.
    """
    graph = body.graph
    new = dict(zip(names, graph.outputs, strict=False))
    wanted = graph.outputs[len(names) :]
    needed, nodes = set(wanted) - set(new.values()), []
    for node in reversed(graph.nodes):
        if needed.intersection(node.outputs):
            nodes.append(node)
            needed |= node.reads - set(new.values())
    rest = replace(graph, nodes=tuple(nodes[::-1]), outputs=wanted)
    found = []
    for k, t in enumerate(order):
        values = {**body.captured, **{name: value[t] for name, value in given.items()}, **history[k]}
        values |= {new[name]: value for name, value in history[k + 1].items()}
        with timestep(t):
            found.append(rest.run(values, body.who, body.runs.silent(), lambda node, results: None))
    return found

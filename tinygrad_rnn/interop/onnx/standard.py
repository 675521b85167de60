"""The step of an LSTM, a GRU or a plain RNN, recognised in whatever operators it was exported as."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
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
from .affine import Affine, Reader, Term, Unknown
from .graph import Body, Graph

__all__ = ["is_standard", "outputs_of", "standard"]

NONLINEARITIES = {"Tanh": "tanh", "Relu": "relu", "Sigmoid": "sigmoid"}


# ----------------------------------------------------------------------------------------- the cells


class _Gates(NamedTuple):
    """A cell: its class and options, its states in order, and the sum for each gate."""

    kind: type
    options: dict[str, Any]
    states: list[str]
    gates: list[Affine]


def _lstm(read: Reader, new: Mapping[str, str]) -> _Gates:
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


def _gru(read: Reader, new: Mapping[str, str]) -> _Gates:
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


def _mixed(read: Reader, h: str, new: str) -> tuple[str, str]:
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


def _summands(read: Reader, name: str) -> list[str]:
    if read.kind(name) != "Add":
        return [read.source(name)]
    return [part for operand in read.node(name, "Add").inputs for part in _summands(read, operand)]


def _rnn(read: Reader, new: Mapping[str, str]) -> _Gates:
    (h,) = read.states
    node = read.node(new[h], *NONLINEARITIES)
    return _Gates(RNNCell, {"nonlinearity": NONLINEARITIES[node.kind]}, [h], [read.affine(node.inputs[0])])


def _gates_of(read: Reader) -> _Gates:
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

    def __init__(self, read: Reader, body: Body, x: str, h: str, width: int, hidden: int) -> None:
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


def is_standard(graph: Graph, count: int, constants: Mapping[str, Any]) -> bool:
    """Whether the body, of one input and so many states, looks like one of the usual cells, whatever its sizes."""
    try:
        _gates_of(Reader(graph, count, constants))
    except (Unknown, ValueError):
        return False
    return True


def standard(
    body: Body, parts: Sequence[Any], carried: Mapping[str, Value], reverse: bool
) -> tuple[Run, list[Value], list[list[Value]]] | None:
    """Run a body as one of the usual cells, if that is what it is; parameters and results as of
    :func:`~tinygrad_rnn.interop.onnx.recurrence.over_time`.

    States (1, batch, features), as PyTorch's newer exporter writes those of an RNN, are taken without the first axis.
    """
    shapes = [tuple(value.shape) for value in carried.values()]
    lifted = all(len(shape) == 3 and shape[0] == 1 for shape in shapes)
    if len(parts) != 1 or len(parts[0].values.shape) != 3 or not (lifted or all(len(shape) == 2 for shape in shapes)):
        return None
    x, dtype = parts[0].values, parts[0].values.dtype
    read = Reader(replace(body.graph, inputs=(parts[0].name, *carried)), len(carried), body.captured, lifted)
    try:
        gates = _gates_of(read)
        numbers = _Numbers(read, body, parts[0].name, gates.states[0], x.shape[2], shapes[0][-1])
        cell = _cell(gates, numbers, dtype)
        starts = [carried[name] for name in gates.states]
        starts = [p.reshape(value, value.shape[1:]) for value in starts] if lifted else starts
        run = unroll(cell, x, tuple(starts), reverse=reverse)
    except (Unknown, ValueError, KeyError):
        return None
    order = range(len(run))[:: -1 if reverse else 1]
    history = []
    for state in (run.initial_state, *map(run.states.__getitem__, order)):
        values = [p.reshape(value, (1, *value.shape)) for value in state] if lifted else state
        history.append(dict(zip(gates.states, values, strict=True)))
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

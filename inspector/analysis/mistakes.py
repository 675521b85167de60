"""The classic mistakes of backpropagation through time by hand, each as a change of the sweep over our own graph."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from tinygrad_rnn import Tensor

from .altered import Change, Changes, Mistake, Pull, at, reading, scaled
from .cut_short import cut_short
from .off_by_one import off_by_one
from .step_roles import Edge, Steps, Words

Array = npt.NDArray[Any]

__all__ = ["mistakes"]


def mistakes(steps: Steps) -> Iterator[Mistake]:
    """Everything that is tried, the usual suspects first."""
    words = Words(steps)
    yield from _derivatives(steps, words)
    yield from off_by_one(steps, words)
    yield from _transposed(steps, words)
    yield from cut_short(steps)
    yield from _paths(steps, words)
    yield from _factors(steps, words)
    yield from _sums(steps, words)


# ----------------------------------------------------------------------------------- nonlinearities


_FORMS: dict[str, Callable[[Any, Any, Any, Any], Any]] = {
    "1": lambda rule, g, y, x: g,
    "{f}": lambda rule, g, y, x: g * y,
    "{f}²": lambda rule, g, y, x: g * (y * y),
    "1 − {f}": lambda rule, g, y, x: g * (1.0 - y),
    "1 − {f}²": lambda rule, g, y, x: g * (1.0 - y * y),
    "{f}(1 − {f})": lambda rule, g, y, x: g * (y * (1.0 - y)),
    "(1 − {f})²": lambda rule, g, y, x: g * ((1.0 - y) * (1.0 - y)),
    "its derivative, twice": lambda rule, g, y, x: rule(rule(g, y, x), y, x),
}
"""What stands for the derivative of a function f of z."""


def _derivatives(steps: Steps, words: Words) -> Iterator[Mistake]:
    """A wrong derivative of one nonlinearity, or of all that are the same function."""
    groups: dict[str, list[Tensor]] = {}
    every: dict[str, list[Tensor]] = defaultdict(list)
    for layer in steps.layers:
        for role, nodes in layer.roles.items():
            node = nodes.get(len(layer.nodes) // 2)
            if node is not None and node.op is not None and node.op.activation and node.id not in steps.weights:
                text = words.of(node)
                where_ = text if text.startswith(f"{_sign(role.op)}(") else f"{role.op} at {text}"
                groups.setdefault(f"{layer.label}the derivative of {where_}", []).extend(nodes.values())
                every[role.op] += nodes.values()
    for node in steps.outside:
        if node.op is not None and node.op.activation:
            groups.setdefault(f"the derivative of {node.op.name} in the loss", []).append(node)
            every[node.op.name].append(node)
    names = [nodes[0].op.name for nodes in groups.values() if nodes[0].op is not None]
    for op, found in every.items():
        yield from _wrong_derivatives(op, f"the derivative of {op}{' everywhere' * (names.count(op) > 1)}", found)
    for op, (subject, found) in zip(names, groups.items(), strict=True):
        if names.count(op) > 1:
            yield from _wrong_derivatives(op, subject, found)


def _sign(op: str) -> str:
    return {"sigmoid": "σ"}.get(op, op)


def _wrong_derivatives(op: str, subject: str, nodes: Iterable[Tensor]) -> Iterator[Mistake]:
    nodes = [node for node in nodes if isinstance(node.inputs[0], Tensor)]
    known = next((node.op for node in nodes if node.op is not None), None)
    if known is None or known.rules[0] is None:
        return
    f, bounded = _sign(op), known.bounds is not None and np.isfinite(known.bounds).all()
    for form, wrong in _FORMS.items():
        if bounded or "{f}" not in form:
            yield Mistake(f"{subject} is taken as {form.format(f=f)}", at(nodes, _ruled(known.rules[0], wrong)))
    at_output = f"{subject} is taken at the activation, {f}′({f}(z)), not at z"
    yield Mistake(at_output, at(nodes, Change(_at_activation, replaces=True)))
    at_input = f"{subject} is that for the activation, but made of z (such as 1 − z² for tanh)"
    yield Mistake(at_input, at(nodes, Change(_of_input, replaces=True)))


def _at_activation(rows: Array, lane: int, pull: Pull) -> None:
    y, op = pull.node.data, pull.node.op
    assert op is not None
    rows[lane] = pull.again(lane, operands=[y], output=op.forward(y, **pull.node.attributes))


def _of_input(rows: Array, lane: int, pull: Pull) -> None:
    rows[lane] = pull.again(lane, output=pull.node.values[0])


def _ruled(right: Callable[..., Any], wrong: Callable[..., Any]) -> Change:
    """A rule in place of the right one, of which it is told."""

    def rule(g: Any, y: Any, x: Any, **attributes: Any) -> Any:
        return wrong(partial(right, **attributes), g, y, x)

    def make(rows: Array, lane: int, pull: Pull) -> None:
        rows[lane] = pull.again(lane, rule=rule)

    return Change(make, replaces=True)


# ------------------------------------------------------------------------------------- transposition


def _transposed(steps: Steps, words: Words) -> Iterator[Mistake]:
    """A matrix that should have been transposed on the way back, or should not."""
    for layer in steps.layers:
        for edge in steps.edges(layer):
            nodes = layer.roles[edge.role]
            node = nodes[len(layer.nodes) // 2]
            if edge.role.op != "matmul" or edge.kind == "weights":
                continue
            other = 1 - edge.operand
            if getattr(node.inputs[other], "id", None) not in steps.weights:
                continue
            if not _has_squares(np.asarray(node.values[other])):
                continue
            weight = words.of(node.inputs[other])
            changes = at(nodes.values(), reading(other, _turned), edge.operand)
            yield Mistake(
                f"{layer.label}{weight} is transposed on the way back to {words.edge(layer, edge)[1]}", changes
            )


def _has_squares(matrix: Array) -> bool:
    """Whether it is a square, or a row or column of squares."""
    return matrix.ndim == 2 and min(matrix.shape) > 1 and not max(matrix.shape) % min(matrix.shape)


def _turned(matrix: Array) -> Array:
    """A square matrix transposed, or every square of several by itself."""
    along, size = int(np.argmax(matrix.shape)), min(matrix.shape)
    return np.concatenate([block.T for block in np.split(matrix, max(matrix.shape) // size, axis=along)], axis=along)


# ------------------------------------------------------------------------------------------------ paths


def _paths(steps: Steps, words: Words) -> Iterator[Mistake]:
    """An edge of every step left out, with the wrong sign, or taken twice; or left out on the way to the past alone."""
    for layer in steps.layers:
        before = ", ".join(f"{field}ₜ₋₁" for field in layer.fields)
        for edge in steps.edges(layer):
            if edge.kind == "weights" or steps.is_link(layer, edge):
                continue
            start, end = words.edge(layer, edge)
            path = f"{layer.label}the path from {start} back to {end}"
            nodes = layer.roles[edge.role].values()
            for factor, what in ((0.0, "is left out"), (-1.0, "has the wrong sign"), (2.0, "is counted twice")):
                yield Mistake(f"{path} {what}", at(nodes, scaled(factor), edge.operand))
            if edge.kind == "inner" and len(layer.nodes) > 1:
                changes: Changes = at(nodes, Change(_mark, alone=False), edge.operand)
                for k in range(len(layer.nodes)):
                    for key in layer.crossing(k):
                        changes[key] = (*changes.get(key, ()), Change(_drop, alone=False))
                yield Mistake(f"{path} is left out of what goes back to {before}, though weights have it", changes, 2)


def _mark(rows: Array, lane: int, pull: Pull) -> None:
    rows[lane + 1] = rows[lane]


def _drop(rows: Array, lane: int, pull: Pull) -> None:
    rows[lane] -= rows[lane + 1]
    rows[lane + 1] = 0.0


# ---------------------------------------------------------------------------------------------- factors


def _factors(steps: Steps, words: Words) -> Iterator[Mistake]:
    """A factor of a product that is forgotten, or a gate that is taken for what it leaves open."""
    for layer in steps.layers:
        gates: dict[int, tuple[Tensor, list[Edge], Changes]] = {}
        k = len(layer.nodes) // 2
        for edge in steps.edges(layer):
            node = layer.roles[edge.role][k]
            if edge.role.op != "multiply" or edge.kind == "weights" or not isinstance(node.inputs[0], Tensor):
                continue
            other = 1 - edge.operand
            value = node.inputs[other]
            if not isinstance(value, Tensor) or value.id == node.inputs[edge.operand].id:
                continue
            changes = at(layer.roles[edge.role].values(), reading(other, np.ones_like), edge.operand)
            says = f"the factor {words.of(value)} is forgotten on the way back to {words.edge(layer, edge)[1]}"
            yield Mistake(f"{layer.label}{says}", changes)
            gate = _gate_of(value)
            if gate is not None:
                _, read, swapped = gates.setdefault(gate.id, (gate, [], {}))
                read.append(edge)
                swapped.update(at(layer.roles[edge.role].values(), reading(other, _rest), edge.operand))
        for gate, read, swapped in gates.values():
            name = words.of(gate)
            says = f"1 − {name} and {name} are exchanged in {words.gradients(layer, read)}"
            yield Mistake(f"{layer.label}{says}", swapped)


def _rest(gate: Array) -> Array:
    return np.asarray(1.0 - gate)


def _gate_of(value: Tensor) -> Tensor | None:
    """The gate that a factor is, or leaves open."""
    if value.op is not None and value.op.name == "subtract" and np.ndim(value.values[0]) == 0 and value.values[0] == 1:
        value = value.inputs[1]
    return value if isinstance(value, Tensor) and value.op is not None and value.op.bounds == (0.0, 1.0) else None


# --------------------------------------------------------------------------------- sums over the batch


def _sums(steps: Steps, words: Words) -> Iterator[Mistake]:
    """The gradient of a vector of weights summed over the wrong axes, or of weights by some sequences alone."""
    for layer in steps.layers:
        batch = layer.run.outputs[0].shape[0]
        found: dict[str, list[Edge]] = defaultdict(list)
        for edge in steps.edges(layer):
            node = layer.roles[edge.role][len(layer.nodes) // 2]
            if edge.kind == "weights" and node.ndim == 2 and node.shape[0] == batch > 1:
                found["weights"].append(edge)
                if node.op is not None and node.op.elementwise and node.inputs[edge.operand].ndim == 1:
                    found["biases"].append(edge)
        for says, where_, change in (
            ("summed over batch and units together", "biases", _SUM_OF_ALL),
            ("summed over the units in place of the batch", "biases", _WRONG_AXIS),
            ("that of the first sequence of the batch alone", "biases", _only(slice(0, 1))),
            ("that of the last sequence of the batch alone", "biases", _only(slice(-1, None))),
            ("that of the first sequence of the batch alone", "weights", _only(slice(0, 1))),
            ("that of the last sequence of the batch alone", "weights", _only(slice(-1, None))),
        ):
            groups = [found[where_], *([one] for one in found[where_] if len(found[where_]) > 1)]
            for group in groups if found[where_] else ():
                changes = {
                    (node.id, edge.operand): (change,) for edge in group for node in layer.roles[edge.role].values()
                }
                yield Mistake(f"{layer.label}{words.gradients(layer, group)} is {says}", changes)


def _sum_of_all(rows: Array, lane: int, pull: Pull) -> None:
    rows[lane] = rows[lane].sum()


def _wrong_axis(rows: Array, lane: int, pull: Pull) -> None:
    g = pull.cotangent.array[lane]
    if g.shape[0] == g.shape[1] == rows[lane].shape[0]:
        rows[lane] = g.sum(axis=1)


_SUM_OF_ALL, _WRONG_AXIS = Change(_sum_of_all, replaces=True), Change(_wrong_axis, replaces=True)


def _only(kept: slice) -> Change:
    def make(rows: Array, lane: int, pull: Pull) -> None:
        g = np.zeros_like(pull.cotangent.array)
        g[:, kept] = pull.cotangent.array[:, kept]
        rows[lane] = pull.again(lane, cotangent=g)

    return Change(make, replaces=True)

"""Loops over time that were exported unrolled, put back: one node whose body is the step, run as a cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ...autodiff import primitives as p
from ...autodiff.arrangement import moveaxis
from ...autodiff.functions import stack
from ...autodiff.primitive import Value
from ..names import state_name
from .graph import Body, Circle, Graph, Node, ordered
from .operators import Operator, Place, Results
from .origins import target_of
from .recurrence import Timed, nothing, over_time
from .rolled import Irregular, Loop, Role
from .standard import is_standard
from .steps import aligned
from .wiring import Wiring, chains

__all__ = ["KIND", "recognised"]

KIND = "Unrolled"
"""What stands for the operator of such a node."""
MOST_TRIES = 64
_END = 2**31 - 1
"""Places from here on are beyond every axis."""


class _Given(NamedTuple):
    """An input of the step: picked from one value along an axis at these places, or one value for each step."""

    axis: int
    places: tuple[int, ...]
    is_picked: bool


class _Plan(NamedTuple):
    """What the operands and results of the node are.

    Attributes
    ----------
    steps : int
    given : tuple of _Given
    outputs : tuple of (int, int)
        Of what is read elsewhere, which result of the step it is, and at which step.
    """

    steps: int
    given: tuple[_Given, ...]
    outputs: tuple[tuple[int, int], ...]


def recognised(graph: Graph, constants: Mapping[str, Any], learned: set[str], ranks: Mapping[str, int]) -> Graph:
    """A graph with each loop that stands unrolled in it, or in a branch of an If, as one node.

    Parameters
    ----------
    graph : Graph
    constants : mapping of str to array
    learned : set of str
        The values that are learned.
    ranks : mapping of str to int
        How many axes the values have that stand in the file.
    """
    inner = [
        replace(
            node,
            attributes={name: _branch(value, constants, learned, ranks) for name, value in node.attributes.items()},
        )
        if node.kind == "If"
        else node
        for node in graph.nodes
    ]
    graph = replace(graph, nodes=tuple(inner))
    tries = 0
    wiring = Wiring.of(graph, set(graph.fixed), learned, constants)
    pending = list(chains(wiring))[:MOST_TRIES]
    while pending and tries < MOST_TRIES:
        tries += 1
        try:
            graph = _rolled(graph, aligned(wiring, pending.pop(0)), ranks)
        except (Irregular, Circle):
            continue
        wiring = Wiring.of(graph, set(graph.fixed), learned, constants)
        pending = list(chains(wiring))[:MOST_TRIES]
    return graph


def _branch(value: Any, constants: Mapping[str, Any], learned: set[str], ranks: Mapping[str, int]) -> Any:
    return recognised(value, constants, learned, ranks) if isinstance(value, Graph) else value


def _rolled(graph: Graph, loop: Loop, ranks: Mapping[str, int]) -> Graph:
    """The graph with one node in place of the loop.

    Raises
    ------
    Irregular
        If no output needs it.
    Circle
        If something around the loop stands between its steps.
    """
    wiring = loop.wiring
    around = [node for k, node in enumerate(wiring.nodes) if k not in loop.members]
    read = set(wiring.outputs).union(*[node.reads for node in around])
    outs = [
        (row, slot)
        for row in range(len(loop.rows))
        for slot in range(len(wiring.nodes[loop.rows[row].at[0]].outputs))
        if any(loop.value(row, slot, t) in read - {""} for t in range(loop.steps))
    ]
    shown = [(k, t) for k in range(len(outs)) for t in range(loop.steps) if loop.value(*outs[k], t) in read]
    outputs = tuple([loop.value(*outs[k], t) for k, t in shown])
    given, operands = _operands(loop)
    body, operands = _with_products(loop, _body(graph, loop, outs), given, operands, ranks)
    attributes: dict[str, Any] = {"body": body, "plan": _Plan(loop.steps, given, tuple(shown))}
    name = "/".join(loop.prefix) or "loop"
    node = Node(name, KIND, 1, (*operands, *loop.starts), outputs, attributes, _UNROLLED, loop.prefix, True)
    alive = _alive([*around, node], wiring.outputs)
    if alive.isdisjoint(outputs):
        raise Irregular  # nobody asks for it
    gone = [other for k, other in enumerate(wiring.nodes) if k in loop.members or not alive.intersection(other.outputs)]
    inside = {name for other in gone for name in other.outputs}
    captures = frozenset().union(*[other.reads for other in gone]) - inside
    node.attributes["plain"] = Graph((), outputs, tuple(gone), captures, fixed=graph.fixed)
    kept = [other for other in around if alive.intersection(other.outputs)]
    nodes = ordered([*kept, node])
    return replace(graph, nodes=tuple(nodes), outputs=wiring.outputs)


def _alive(nodes: Sequence[Node], outputs: Sequence[str]) -> set[str]:
    """The values that the outputs need."""
    maker = {name: node for node in nodes for name in node.outputs if name}
    found, pending = set(outputs), list(outputs)
    while pending:
        node = maker.get(pending.pop())
        for name in node.reads - found if node else ():
            found.add(name)
            pending.append(name)
    return found


# -------------------------------------------------------------------------------------- operands


def _operands(loop: Loop) -> tuple[tuple[_Given, ...], list[str]]:
    """How each input of the step comes, and the values from which it does."""
    given, operands = [], []
    for values in loop.elements:
        names = [values[t] for t in range(loop.steps)]
        picked = [_picked(loop.wiring, name) for name in names]
        sources = {(one[0], one[1]) for one in picked if one}
        if None not in picked and len(sources) == 1:
            ((source, axis),) = sources
            given.append(_Given(axis, tuple([one[2] for one in picked if one]), True))
            operands.append(source)
        else:
            given.append(_Given(0, (), False))
            operands += names
    return tuple(given), operands


def _picked(wiring: Wiring, name: str) -> tuple[str, int, int] | None:
    """The value of which this is one place along an axis, if it is; the axis, and the place."""
    found = _taken(wiring, name)
    while found is not None and (source := _turned_source(wiring, *found[:2])):
        found = source, found[1], -1 - found[2]
    return found


def _taken(wiring: Wiring, name: str) -> tuple[str, int, int] | None:
    """The same, of a value as it stands in the file."""
    node = _maker(wiring, name)
    if node is None:
        return None
    if node.kind == "Gather":
        places = wiring.constants.get(node.inputs[1])
        if places is None or places.shape or node.inputs[0] in wiring.fixed:
            return None
        return node.inputs[0], node.attributes["axis"], int(places)
    cut = _maker(wiring, node.inputs[0]) if node.kind == "Squeeze" else None
    if cut is None:
        return None
    axes = _numbers(wiring, node, 1, "axes")
    if cut.kind == "Split" and axes == [cut.attributes["axis"]]:
        return cut.inputs[0], cut.attributes["axis"], wiring.maker[node.inputs[0]][1]
    if cut.kind != "Slice" or len(axes) != 1 or axes != _numbers(wiring, cut, 3, "axes"):
        return None
    first, last, by = (_numbers(wiring, cut, place, key) for place, key in ((1, "starts"), (2, "ends"), (4, "steps")))
    is_one = len(first) == len(last) == 1 and (last[0] - first[0] == 1 or (first[0] == -1 and last[0] >= _END))
    return (cut.inputs[0], axes[0], first[0]) if is_one and by in ([], [1]) else None


def _turned_source(wiring: Wiring, name: str, axis: int) -> str:
    """What this is from the end to the start along an axis; empty if it is not that of anything."""
    node = _maker(wiring, name)
    if node is None or node.kind != "Slice" or _numbers(wiring, node, 3, "axes") != [axis]:
        return ""
    first, last, by = (_numbers(wiring, node, place, key) for place, key in ((1, "starts"), (2, "ends"), (4, "steps")))
    return node.inputs[0] if (first, by) == ([-1], [-1]) and len(last) == 1 and last[0] <= -_END else ""


def _maker(wiring: Wiring, name: str) -> Node | None:
    return wiring.nodes[wiring.maker[name][0]] if name in wiring.maker else None


def _numbers(wiring: Wiring, node: Node, place: int, attribute: str) -> list[int]:
    """Whole numbers that stand in the file, as an attribute or as an operand; none where they do not."""
    found = node.attributes.get(attribute)
    if found is None:
        found = wiring.constants.get(node.inputs[place], ()) if len(node.inputs) > place else ()
    return [int(k) for k in np.reshape(found, -1)]


def _with_products(
    loop: Loop, body: Graph, given: Sequence[_Given], operands: list[str], ranks: Mapping[str, int]
) -> tuple[Graph, list[str]]:
    """With the product of the sequence and its weights, if that was computed for all steps ahead, and a step with it is
    that of a usual cell.
    """
    wiring, nodes = loop.wiring, list[Node]()
    if len(given) != 1 or not given[0].is_picked or given[0].axis != 0:
        return body, operands
    (name, element), whole = (operands[0], body.inputs[0]), operands[0]
    while name in wiring.maker and (node := wiring.nodes[wiring.maker[name][0]]).kind in ("Add", "MatMul"):
        moving = [value for value in node.inputs if value not in wiring.fixed]
        still = [_rank(wiring, value, ranks) for value in node.inputs if value in wiring.fixed]
        is_weight = node.kind == "Add" or node.inputs[0] in moving
        if len(moving) != 1 or still != [1 if node.kind == "Add" else 2] or not is_weight:
            break  # which may be another at each step
        inner = [f"{value}@step" if value in moving else value for value in node.inputs]
        out = element if name == whole else f"{name}@step"
        nodes.insert(0, replace(node, inputs=tuple(inner), outputs=(out,)))
        (name,) = moving
        if node.kind == "MatMul":
            break
    captures = frozenset().union(body.captures, *[node.reads for node in nodes]) - {f"{name}@step"}
    captures -= {value for node in nodes for value in node.outputs}
    wider = replace(body, inputs=(f"{name}@step", *body.inputs[1:]), nodes=(*nodes, *body.nodes), captures=captures)
    if not nodes or not is_standard(wider, len(loop.states), wiring.constants):
        return body, operands
    return wider, [name]


def _rank(wiring: Wiring, name: str, ranks: Mapping[str, int]) -> int | None:
    """How many axes a value has; None if that is not known."""
    while (node := _maker(wiring, name)) is not None and node.kind in ("Cast", "Identity", "Transpose"):
        name = node.inputs[0]
    return ranks.get(name)


def _body(graph: Graph, loop: Loop, outs: Sequence[tuple[int, int]]) -> Graph:
    """The step: its inputs are those of each step, then the states; its outputs the next states, then what is read."""
    wiring = loop.wiring
    elements = [f"{values[0]}@step" for values in loop.elements]
    states = [f"{loop.value(*state, 0)}@state" for state in loop.states]

    def name_of(role: Role) -> str:
        if role.kind == "row":
            return loop.value(role.which, role.slot, 0)
        return states[role.which] if role.kind == "state" else elements[role.which] if role.kind == "element" else ""

    nodes = []
    in_order = sorted(loop.rows, key=lambda row: row.at[0])
    called = _called([wiring.nodes[row.at[0]] for row in in_order])
    for row in in_order:
        node = wiring.nodes[row.at[0]]
        roles = [row.roles[place] for place in range(len(node.inputs))]
        inputs = tuple([role.which if role.kind == "fixed" else name_of(role) for role in roles])
        name = called[node.outputs[0]]
        is_chosen = name == target_of(node.line) or (node.is_named and not node.name.startswith("node_"))
        nodes.append(replace(node, inputs=inputs, name=name, is_named=is_chosen))
    results = [loop.value(row, slot, 0) for row, slot in (*loop.states, *outs)]
    captures = frozenset(role.which for row in loop.rows for role in row.roles.values() if role.kind == "fixed")
    labels = dict(zip(states, _labels(loop, called), strict=True))
    inputs = (*elements, *states)
    return Graph(inputs, tuple(results), tuple(nodes), captures, labels, (None,) * len(results), graph.fixed)


def _called(nodes: Sequence[Node]) -> dict[str, str]:
    """What the nodes of a step are called, by their first outputs: the last of those that a line of source asked for
    by the variable to which it assigns.
    """
    last = {node.line: node for node in nodes if target_of(node.line)}
    found: dict[str, str] = {}
    for node in nodes:
        target = target_of(node.line)
        is_target = target and last[node.line] is node and target not in found.values()
        found[node.outputs[0]] = target if is_target else node.name.removeprefix("node_")
    return found


def _labels(loop: Loop, called: Mapping[str, str]) -> list[str]:
    """Names of the states: those of the variables, if lines of source say them."""
    found: list[str] = []
    for k, (row, slot) in enumerate(loop.states):
        node = loop.wiring.nodes[loop.rows[row].at[0]]
        name = called[node.outputs[0]]
        is_said = not slot and name == target_of(node.line)
        found.append(state_name(name) if is_said else f"state{k}" if "h" in found else "h")
    return found


# -------------------------------------------------------------------------------------- when it runs


def _unrolled(*operands: Value, at: Place, body: Body, plain: Body, plan: _Plan) -> Any:
    """The loop as a run of a cell; where that cannot be, node by node, as it stood in the file."""
    names, pending = body.graph.inputs, list(operands)
    count = len(plan.given)
    columns = [[pending.pop(0) for _ in range(1 if one.is_picked else plan.steps)] for one in plan.given]
    carried = dict(zip(names[count:], pending, strict=True))
    reverse = count > 0 and all(
        _turned(one, column, plan.steps) for one, column in zip(plan.given, columns, strict=True)
    )
    parts = [
        Timed(name, values)
        for name, one, column in zip(names[:count], plan.given, columns, strict=True)
        if (values := _along(one, column, reverse)) is not None
    ]
    if len(parts) < count:
        return Results(plain())
    found = over_time(body, parts or [nothing(plan.steps, carried)], carried, reverse, at.name)
    if found is None:
        return Results(plain())
    run, _, outputs = found
    at.runs.keep(at.name, run)
    return Results([outputs[t][k] for k, t in plan.outputs])


def _turned(given: _Given, column: Sequence[Any], steps: int) -> bool:
    """Whether a sequence is read from its end."""
    n = column[0].shape[given.axis] if given.is_picked else -1
    return [k % n for k in given.places] == list(reversed(range(steps))) and n == steps if n > 0 else False


def _along(given: _Given, column: Sequence[Any], reverse: bool) -> Value | None:
    """What is given to all steps, with time in front; None if it differs in shape."""
    if not given.is_picked:
        kinds = {(value.shape, value.dtype) if hasattr(value, "shape") else None for value in column}
        return stack(list(column)) if len(kinds) == 1 and None not in kinds else None
    (source,) = column
    n = source.shape[given.axis] if -len(source.shape) <= given.axis < len(source.shape) else 0
    if any(not -n <= k < n for k in given.places):
        return None
    x = moveaxis(source, given.axis, 0) if given.axis else source
    places = [k % n for k in given.places]
    return x if reverse or places == list(range(n)) else p.take(x, np.array(places), axis=0)


_UNROLLED = Operator(_unrolled, None)

"""A recurrent node that takes one step in the body of a loop, run over all steps at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ...autodiff import primitives as p
from ...autodiff.primitive import Value
from ...recurrent.unroll import Run
from .graph import Body, Node
from .operators import Place
from .standard import outputs_of

__all__ = ["hoisted"]


def hoisted(
    body: Body, parts: Sequence[Any], carried: Mapping[str, Value], reverse: bool
) -> tuple[Run, list[Value], list[list[Value]]] | None:
    """Run a body whose states are those of an RNN, LSTM or GRU node, as PyTorch exports a scripted loop over a cell.

    Parameters and results are as of :func:`~tinygrad_rnn.interop.onnx.recurrence.over_time`.
    """
    graph, count = body.graph, len(carried)
    found = [node for node in graph.nodes if node.kind in ("RNN", "LSTM", "GRU")]
    if len(parts) != 1 or len(found) != 1 or found[0].attributes.get("layout") or reverse:
        return None
    (node,) = found
    made = {name: other for other in graph.nodes for name in other.outputs if name}
    states = [_from(made, name, "Unsqueeze") for name in node.inputs[5:7]]
    new = [graph.outputs[list(carried).index(name)] if name in carried else "" for name in states]
    handed = [_from(made, name, "Squeeze") for name in new]
    fits = node.attributes["direction"] == "forward" and not (*node.inputs, *[""] * 5)[4]
    if not fits or len(states) != count or handed != list(node.outputs[1 : 1 + count]):
        return None
    x = _whole(node, parts[0], made)
    values = _weights(body, node, made)
    if x is None or values is None or any(len(carried[name].shape) != 2 for name in states):
        return None
    starts = [p.reshape(carried[name], (1, *carried[name].shape)) for name in states]
    operands = [x, *values[:3], None, *starts, *([None] * (7 - 5 - count)), *values[3:]]
    runs = body.runs.silent()
    node.operator.call(operands, node.attributes, Place(node.name, node.version, node.outputs, runs))
    (run,) = runs.values()
    order = range(len(run))
    history = [
        dict(zip(states, state, strict=True)) for state in (run.initial_state, *map(run.states.__getitem__, order))
    ]
    outputs = outputs_of(body, list(carried), {parts[0].name: parts[0].values}, history, order)
    return run, [history[-1][name] for name in carried], outputs


def _from(made: Mapping[str, Node], name: str, kind: str) -> str:
    """What a node of that kind makes of a value by an axis in front; empty if there is none."""
    node = made.get(name)
    return node.inputs[0] if node is not None and node.kind == kind else ""


def _whole(node: Node, part: Any, made: Mapping[str, Node]) -> Value | None:
    """The sequence (T, batch, features) that the node reads one step of at a time."""
    shape = part.values.shape
    if _from(made, node.inputs[0], "Unsqueeze") == part.name and len(shape) == 3:
        return part.values
    if node.inputs[0] == part.name and len(shape) == 4 and shape[1] == 1:
        return p.reshape(part.values, (shape[0], *shape[2:]))
    return None


def _weights(body: Body, node: Node, made: Mapping[str, Node]) -> list[Value | None] | None:
    """W, R, B and P, which may be computed in the body of what stands around it; None if they change."""
    inputs = (*node.inputs, *[""] * 8)
    names = [inputs[place] for place in (1, 2, 3, 7)]
    wanted, nodes = {name for name in names if name}, []
    for other in reversed(body.graph.nodes):
        if wanted.intersection(other.outputs):
            nodes.append(other)
            wanted |= other.reads
    if not wanted <= body.captured.keys() | {name for other in nodes for name in other.outputs}:
        return None
    graph = replace(body.graph, nodes=tuple(nodes[::-1]), outputs=tuple(name for name in names if name))
    found = iter(graph.run(dict(body.captured), body.who, body.runs.silent()))
    return [next(found) if name else None for name in names]

"""The reverse sweep where nobody looks inside: cotangents of first order, and only those that are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from .ancestry import ancestors
from .collector import without_collections
from .cotangent import Joints, Product, Scatter, accumulate, dense
from .scope import context
from .sweep import Recurrent, fit, live_operands, sweep

__all__ = ["pull_back"]

_ndarray = np.ndarray

Waiting: TypeAlias = dict[int, tuple[Any, list[Any]]]
"""By id the nodes that are still to come, each with what their consumers have sent them so far."""


def pull_back(output: Any, cotangent: Any, wanted: Sequence[Any] | None = None) -> list[tuple[Any, Any]]:
    """The cotangents that :func:`~tinygrad_rnn.autodiff.sweep.sweep` yields at `wanted`, bit for bit.

    A loop of its own: all that a sweep tells of a node (its edges, edits, whose scope) costs more than the rules of a
    small cell do. What only a sweep can do, anomalies and values inside others that are no runs, is left to it.

    Parameters
    ----------
    output, cotangent : Tensor, array
        Where to start, and with what.
    wanted : sequence of Tensors, optional
        The nodes whose cotangents are asked for; every leaf that requires a gradient when omitted.

    Returns
    -------
    list of (node, cotangent)
        Newest node first; those alone to which a path leads. A cotangent may be :class:`~.cotangent.Lazy`.
    """
    parts = _by_run(wanted or ())
    if context.get().anomaly or parts is None:
        return _swept(output, cotangent, wanted)
    ends, keys, inside = parts
    with without_collections():
        nodes = _on_the_way(output, None if wanted is None else ends, keys)
        if output.id not in nodes:
            return []
        return _pull(nodes, output, cotangent, keys, inside, every_leaf=wanted is None)


def _pull(
    nodes: Waiting, output: Any, cotangent: Any, keys: set[int], inside: Mapping[int, Sequence[Any]], every_leaf: bool
) -> list[tuple[Any, Any]]:
    nodes[output.id][1].append(cotangent)
    found, kind, look, take = [], type(output), nodes.get, nodes.pop
    joints: Joints = []
    for key in sorted(nodes, reverse=True):
        node, parts = take(key)
        if not parts:
            continue
        op = node.op
        if isinstance(op, Recurrent):
            values = inside.get(key, ())
            g, cotangents = _through_run(node, parts, kind, nodes, values)
            if key in keys:
                found.append((node, g))
            for value in values:
                part = value.op.read(value, cotangents, None)
                if part is not None:
                    found.append((value, part))
            continue
        g = parts[0] if len(parts) == 1 else accumulate(parts, joints)
        if op is None:
            if every_leaf or key in keys:
                found.append((node, g))
            continue
        if type(g) is not _ndarray and (type(g) is not Product or op.name != "transpose"):
            g = dense(g)
        if key in keys:
            found.append((node, g))
        # One operand and two are written out: this is what an operation costs on the way back.
        inputs, values, attributes, rules = node.inputs, node.values, node.attributes, op.rules
        if len(inputs) == 1 and not op.variadic:
            (a,), (u,), (rule,) = inputs, values, rules
            entry = look(a.id)
            if entry is not None and rule is not None:
                part = rule(g, node._data, u, **attributes) if attributes else rule(g, node._data, u)
                if type(part) is not Scatter and (part.shape != u.shape or part.dtype is not u.dtype):
                    part = fit(part, u, op, 0)
                entry[1].append(part)
        elif len(inputs) == 2 and not attributes and not op.variadic:
            (a, b), (u, v), (left, right) = inputs, values, rules
            if left is not None and type(a) is kind:
                entry = look(a.id)
                if entry is not None:
                    part = left(g, node._data, u, v)
                    if part.shape != u.shape or part.dtype is not u.dtype:
                        part = fit(part, u, op, 0)
                    entry[1].append(part)
            if right is not None and type(b) is kind:
                entry = look(b.id)
                if entry is not None:
                    part = right(g, node._data, u, v)
                    if part.shape != v.shape or part.dtype is not v.dtype:
                        part = fit(part, v, op, 1)
                    entry[1].append(part)
        else:
            _through_many(node, g, kind, nodes)
    return found


def _through_many(node: Any, g: Any, kind: Any, nodes: Waiting) -> None:
    """Any number of operands, with attributes or without."""
    op, values, attributes = node.op, node.values, node.attributes
    shares = list(op.rules[0](g, node._data, *values, **attributes)) if op.variadic else None
    for k, operand in enumerate(node.inputs):
        entry = nodes.get(operand.id) if type(operand) is kind else None
        rule = op.rule(k)
        if entry is not None and rule is not None:
            part = rule(g, node._data, *values, **attributes) if shares is None else shares[k]
            if part.shape != values[k].shape or part.dtype is not values[k].dtype:
                part = fit(part, values[k], op, k)
            entry[1].append(part)


def _through_run(node: Any, parts: list[Any], kind: Any, nodes: Waiting, inner: Sequence[Any]) -> tuple[Any, Any]:
    """A whole run, which knows how its cotangents move; its own, and those inside."""
    live = [k for k, operand in enumerate(node.inputs) if type(operand) is kind and operand.id in nodes]
    total, cotangents, edges = node.op.pull(node, parts, live, inner, False)
    for k, part in edges:
        nodes[node.inputs[k].id][1].append(part)
    return total, cotangents


def _by_run(wanted: Sequence[Any]) -> tuple[list[Any], set[int], dict[int, list[Any]]] | None:
    """Where ways end, with runs in place of the values inside them; the ids of the wanted nodes that are no such
    values; and those that are, by the ids of their runs. None if any lies inside something else.
    """
    ends, keys = [], set()
    inside: dict[int, list[Any]] = {}
    for node in wanted:
        if node.op is None or not node.op.inner:
            keys.add(node.id)
            ends.append(node)
        else:
            whole = node.inputs[node.op.within]
            if not isinstance(getattr(whole, "op", None), Recurrent):
                return None
            inside.setdefault(whole.id, []).append(node)
            ends.append(whole)
    return ends, keys, inside


def _on_the_way(output: Any, wanted: Sequence[Any] | None, keys: set[int]) -> Waiting:
    """The nodes through which a cotangent of `output` goes to reach those that are wanted."""
    found = None
    if output.requires_grad and (wanted is None or all([node.requires_grad for node in wanted])):  # noqa: C419
        found = _that_require(output, None if wanted is None else keys)
    if found is None:
        order = ancestors([output])
        if wanted is None:
            wanted = [node for node in order if node.op is None and node.requires_grad]
        live = live_operands(order, wanted)
        found = {node.id: (node, []) for node in order if node.id in live}
    return found


def _that_require(output: Any, keys: set[int] | None) -> Waiting | None:
    """The nodes behind `output` that require a gradient, if they are those that lead to the wanted ones.

    They are not where a leaf requires one that is not wanted, or has done so only since it was used.
    """
    kind = type(output)
    found: Waiting = {output.id: (output, [])}
    stack, beside = [output], {}
    while stack:
        node = stack.pop()
        if node.op is None and keys is not None and node.id not in keys:
            return None
        for operand in node.inputs:
            if type(operand) is kind:
                key = operand.id
                if not operand.requires_grad:
                    if operand.op is not None:
                        beside[key] = operand
                elif key not in found:
                    found[key] = operand, []
                    stack.append(operand)
    stack = list(beside.values())
    while stack:
        node = stack.pop()
        for operand in node.inputs if node.op.differentiable else ():
            if type(operand) is kind:
                if operand.requires_grad:
                    return None
                if operand.op is not None and operand.id not in beside:
                    beside[operand.id] = operand
                    stack.append(operand)
    return found


def _swept(output: Any, cotangent: Any, wanted: Sequence[Any] | None) -> list[tuple[Any, Any]]:
    if wanted is None:
        wanted = [node for node in ancestors([output]) if node.op is None and node.requires_grad]
    keys = {node.id for node in wanted}
    return [(node, total) for node, total, _ in sweep([output], [cotangent], wanted) if node.id in keys]

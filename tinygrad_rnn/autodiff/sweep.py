"""The one reverse sweep: a stream of the nodes of a graph, newest first, each with its cotangent."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np

from .ancestry import ancestors, parts
from .anomaly import anomaly_error, is_finite
from .arrays import real_array
from .batching import Batched
from .cotangent import Product, Scatter, accumulate, dense
from .operators import Operators
from .primitive import Primitive, gather
from .primitives import sum_to
from .scope import Scope, context, using

_float64 = np.dtype(np.float64)

__all__ = ["Recurrent", "Visit", "seed", "sweep"]


Visit: TypeAlias = tuple[Any, Any, list[tuple[int, Any]]]
"""What the sweep yields at a node once all of its consumers have been seen: the node; its cotangent,
summed over all of its uses; and its edges, pairs of an operand's index and what this very edge
contributes to that operand, before it is added to what other edges bring."""


def seed(output: Any, gradient: Any, name: str = "gradient") -> Any:
    """The cotangent to start from: `gradient` checked against `output`, or 1 for a single element."""
    if gradient is None:
        value = output._data
        if value.size != 1:
            raise ValueError(
                f"{name}: an output of shape {output.shape} needs one of that shape; only a single "
                "element has an obvious one"
            )
        return np.ones(value.shape, value.dtype) if value.ndim else np.array(1, value.dtype)
    array: Any = gather(gradient)
    if not isinstance(array, Operators):
        try:
            array = real_array(name, array, output.dtype)
        except (TypeError, ValueError) as error:
            raise TypeError(f"{name}: not an array of numbers ({error})") from None
    if array.shape != output.shape:
        raise ValueError(f"{name}: shape {array.shape} does not match the output's shape {output.shape}")
    return array


def sweep(
    outputs: Sequence[Any],
    cotangents: Sequence[Any],
    wanted: Sequence[Any],
    create_graph: bool = False,
    edit: Callable[[Any, int, Any, Any], Any] | None = None,
    ends: Container[int] = (),
) -> Iterator[Visit]:
    """Walk back from `outputs` to `wanted`, newest node first, and yield a :data:`Visit` at each.

    Only edges that lead to a wanted node are followed. Cotangents live in a local table, never on the
    nodes, and are dropped as soon as they have been passed on.

    Parameters
    ----------
    outputs, cotangents : sequences
        Where to start, and with what.
    wanted : sequence of Tensors
        The nodes whose cotangents somebody needs; interior nodes and inputs serve as well as leaves.
    create_graph : bool
        Run the rules on Tensors, so that what they do is recorded and can be swept in turn. The
        recorded operations get the scope of the operation they differentiate, marked as backward, and sums that
        of the value whose cotangent they add up.
    edit : callable, optional
        ``edit(node, operand, contribution, cotangent)`` gives what flows through an edge in place of `contribution`,
        which the rule has made of the node's `cotangent`. Linear edits sort the gradient by the ways that it takes.
    ends : container of int
        Ids of nodes to treat as leaves: nothing is passed on behind them.
    """
    order = ancestors(outputs, ends)
    inner = _inner_values(wanted, ends)
    inside = {value.id for values in inner.values() for value in values}
    wholes = [_whole(values[0]) for values in inner.values()]
    live = live_operands([node for node in order if node.id not in ends], [*wanted, *wholes])
    pending: dict[int, Any] = {}
    for output, cotangent in zip(outputs, cotangents, strict=True):
        if output.id in live:
            pending.setdefault(output.id, []).append(cotangent)
    anomaly = context.get().anomaly
    scopes: dict[Scope | None, Scope] = {}
    held: dict[int, tuple[Any, list[tuple[int, Any]]]] = {}
    edges: list[tuple[int, Any]]
    for node in reversed(order):
        total = pending.pop(node.id, None)
        if total is None:
            continue
        op = node.op
        if type(total) is list and not isinstance(op, Recurrent):
            total = _add_up(total, _backward_scope(node.scope, scopes) if create_graph else None)
        if op is None:
            yield node, total, []
            yield from _read_inner(inner, node, dense(total), held)
            continue
        if isinstance(op, Recurrent):
            total, found, edges = op.pull(node, _as_list(total), live[node.id], inner.get(node.id, ()), create_graph)
            lay_down(node, edges, pending)
            yield node, total, edges
            yield from _read_inner(inner, node, found, held)
            continue
        if type(total) is Scatter or (type(total) is Product and op.name != "transpose"):
            total = total.dense()
        if create_graph:
            scope = _backward_scope(node.scope, scopes)
            with using(recording=True, scope=scope, anomaly=False, names=None):  # judged below
                edges = _pass_on(node, total, live[node.id], node, node.inputs, pending, edit)
        else:
            edges = _pass_on(node, total, live[node.id], node._data, node.values, pending, edit)
        if anomaly:
            for _, contribution in edges:
                if not is_finite(dense(contribution)):
                    raise anomaly_error(node, dense(contribution), "backward", parts(outputs)[node.id])
        if node.id in inside:
            held[node.id] = total, edges  # its own uses; the whole follows with what it lies in
            continue
        yield node, total, edges
        yield from _read_inner(inner, node, total, held)


class Recurrent(Primitive):
    """A whole run as one operation, which knows how cotangents move inside it."""

    def pull(
        self, node: Any, contributions: list[Any], live: Sequence[int], inner: Sequence[Any], create_graph: bool
    ) -> tuple[Any, Any, list[tuple[int, Any]]]:
        """The cotangent of the node, those of its inner values, and its edges."""
        raise NotImplementedError


def _whole(value: Any) -> Any:
    """What an inner value lies in."""
    return value.inputs[value.op.within]


def _inner_values(wanted: Sequence[Any], ends: Container[int]) -> dict[int, list[Any]]:
    """The wanted values that lie inside another, by the id of that other, which may lie inside a third."""
    found: dict[int, list[Any]] = {}
    known: set[int] = set()
    for node in wanted:
        while node.op is not None and node.op.inner and node.id not in known and node.id not in ends:
            known.add(node.id)
            whole = _whole(node)
            if not isinstance(whole, Operators):
                break
            found.setdefault(whole.id, []).append(node)  # type: ignore[attr-defined]
            node = whole
    return found


def _read_inner(
    inner: dict[int, list[Any]], node: Any, whole: Any, held: dict[int, tuple[Any, list[tuple[int, Any]]]]
) -> Iterator[Visit]:
    waiting = [(value, whole) for value in inner.get(node.id, ())]
    for value, around in waiting:
        own, edges = held.get(value.id, (None, []))
        part = value.op.read(value, around, own)
        if part is not None:
            yield value, part, edges
            waiting += [(other, part) for other in inner.get(value.id, ())]


def _add_up(contributions: list[Any], scope: Scope | None) -> Any:
    """The whole cotangent of a node, recorded in `scope` if there is one."""
    if len(contributions) == 1:
        return contributions[0]
    if scope is None:
        return accumulate(contributions)
    with using(recording=True, scope=scope, anomaly=False, names=None):
        return accumulate(contributions)


def _as_list(total: Any) -> list[Any]:
    return total if type(total) is list else [total]


def lay_down(node: Any, edges: list[tuple[int, Any]], pending: dict[int, Any]) -> None:
    for index, part in edges:
        waiting = pending.get(node.inputs[index].id)
        pending[node.inputs[index].id] = part if waiting is None else [*_as_list(waiting), part]


def live_operands(order: list[Any], wanted: Sequence[Any]) -> dict[int, Sequence[int]]:
    """For each node, by id, the operands from which a differentiable path leads back to a wanted node.

    Nodes without such a path are left out, and whatever is no floating number.
    """
    live: dict[int, Sequence[int]] = {node.id: () for node in wanted if node._data.dtype.kind in "fc"}
    for node in order:
        op = node.op
        if op is None or not op.differentiable:
            continue
        inputs = node.inputs
        found: Sequence[int]
        if len(inputs) == 1:
            found = (0,) if inputs[0].id in live else ()
        else:
            found = [k for k, operand in enumerate(inputs) if getattr(operand, "id", None) in live]
            if op.constant_operands:
                found = [k for k in found if op.rule(k) is not None]
        if found and (
            node._data.dtype is _float64 or node._data.dtype.kind in "fc"
        ):  # what is cast to integers ends here
            live[node.id] = found
    return live


def _pass_on(
    node: Any, g: Any, live: Sequence[int], y: Any, operands: Sequence[Any], pending: dict[int, Any], edit: Any = None
) -> list[tuple[int, Any]]:
    """The contribution of `node` to each of its live operands, in the operand's shape and dtype.

    Each is also laid down for its operand in `pending`: one cotangent as it is, several as a list.
    """
    op, attributes, inputs = node.op, node.attributes, node.inputs
    variadic = op.variadic
    rules = list(op.rules[0](g, y, *operands, **attributes)) if variadic else op.rules
    edges = []
    for index in live:
        value, share = operands[index], rules[index]
        part = share if variadic else share(g, y, *operands, **attributes)
        if part.shape != value.shape or part.dtype is not value.dtype:
            part = fit(part, value, op, index)
        if edit is not None:
            part = edit(node, index, part, g)
        edges.append((index, part))
        key = inputs[index].id
        waiting = pending.get(key)
        if waiting is None:
            pending[key] = part
        elif type(part) is type(waiting) is Batched:  # as large as many: added at once, so that no list of them is held
            pending[key] = waiting + part
        elif type(waiting) is list:
            waiting.append(part)
        else:
            pending[key] = [waiting, part]
    return edges


def fit(part: Any, value: Any, op: Any, index: int) -> Any:
    """A contribution with broadcasting undone, in the operand's dtype."""
    if part.shape != value.shape:
        if not op.elementwise:
            raise AssertionError(
                f"the rule of {op.name} for operand {index} returned shape {part.shape}, "
                f"the operand has shape {value.shape}"
            )
        part = sum_to(part, value.shape)
    return part if part.dtype == value.dtype else dense(part).astype(value.dtype)


def _backward_scope(scope: Scope | None, known: dict[Scope | None, Scope]) -> Scope:
    if scope not in known:
        known[scope] = Scope(scope, "backward", "")
    return known[scope]

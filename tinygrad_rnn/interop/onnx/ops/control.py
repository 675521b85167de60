"""Control flow: If, Scan and Loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ....autodiff import primitives as p
from ....autodiff.arrangement import moveaxis
from ....autodiff.functions import normal_axis, stack
from ....autodiff.primitive import Value
from ....autodiff.scope import using
from ..clock import clockwork, ticks
from ..graph import Body
from ..operators import Place, Results, bounded, integers, operator, plain
from ..recurrence import Timed, nothing, over_time


def _truth(condition: Value) -> bool:
    chosen = plain(condition).reshape(-1)
    if chosen.size != 1:
        raise ValueError(f"the condition has {chosen.size} elements")
    return bool(chosen[0])


@operator("If")
def _if(condition: Value, *, then_branch: Body, else_branch: Body) -> Any:
    return Results(then_branch() if _truth(condition) else else_branch())


# -------------------------------------------------------------------------------------------- Scan


def _scan(body: Body, states: Sequence[Value], parts: Sequence[Value], reverse: Sequence[int], at: Place) -> Any:
    """The states behind the last iteration, and what each iteration puts out; `parts` have time in front."""
    names = body.graph.inputs
    if len(names) != len(states) + len(parts) or len(body.graph.outputs) < len(states):
        raise ValueError(f"the body takes {len(names)} inputs, the node has {len(states)} states and {len(parts)} more")
    lengths = {part.shape[0] for part in parts}
    if len(lengths) != 1:
        raise ValueError(f"inputs must be equally long, got {sorted(lengths)}")
    backwards = all(reverse)
    if not backwards:
        parts = [p.flip(part, 0) if turned else part for part, turned in zip(parts, reverse, strict=True)]
    if states and lengths != {0}:
        named = [Timed(name, part) for name, part in zip(names[len(states) :], parts, strict=True)]
        kept = {names[k]: states[k] for k in body.graph.unchanged(0, 0, len(states))}
        carried = {name: state for name, state in zip(names, states, strict=False) if name not in kept}
        rest = _without(body, kept, len(states))
        if carried and (found := over_time(rest, named, carried, backwards, at.name)):
            run, finals, outputs = found
            at.runs.keep(at.name, run)
            last = {**kept, **dict(zip(carried, finals, strict=True))}
            return [last[name] for name in names[: len(states)]], _columns(body, len(states), outputs)
    order = range(next(iter(lengths)))
    outputs, values = [], list(states)
    for t in reversed(order) if backwards else order:
        results = body(*values, *(part[t] for part in parts))
        values = results[: len(states)]
        outputs.append(results[len(states) :])
    return values, _columns(body, len(states), outputs)


def _without(body: Body, kept: dict[str, Value], count: int) -> Body:
    """A body that reads from around it the states which it never changes."""
    graph = body.graph
    changing = [k for k in range(count) if graph.inputs[k] not in kept]
    inputs = (*(graph.inputs[k] for k in changing), *graph.inputs[count:])
    outputs = (*(graph.outputs[k] for k in changing), *graph.outputs[count:])
    return replace(body, graph=replace(graph, inputs=inputs, outputs=outputs), captured={**body.captured, **kept})


def _columns(body: Body, first: int, outputs: Sequence[Sequence[Any]]) -> list[Value]:
    """What iterations put out, stacked; `first` is the place of the first such output of the body."""
    if not outputs:
        return [np.zeros(0, np.float32) if value is None else value for value in body.graph.empty[first:]]
    for value in outputs[0]:
        bounded((len(outputs), *value.shape))
    return [stack(list(column)) for column in zip(*outputs, strict=True)]


def _directions(given: Any, count: int, what: str) -> list[int]:
    values = list(given or [0] * count)
    if len(values) != count or not {0, 1}.issuperset(values):
        raise ValueError(f"{what} must be {count} numbers that are 0 or 1, got {values}")
    return values


def _axes(given: Any, count: int, what: str) -> list[int]:
    values = list(given or [0] * count)
    if len(values) != count:
        raise ValueError(f"{what} must be {count} axes, got {values}")
    return values


@operator("Scan", since=9)
def _scan_9(
    *operands: Value,
    at: Place,
    body: Body,
    num_scan_inputs: int,
    scan_input_axes: Any = None,
    scan_input_directions: Any = None,
    scan_output_axes: Any = None,
    scan_output_directions: Any = None,
) -> Any:
    count = len(operands) - num_scan_inputs
    if not 0 <= count < len(operands):
        raise ValueError(f"num_scan_inputs is {num_scan_inputs}, of {len(operands)} inputs")
    states, inputs = operands[:count], operands[count:]
    axes = _axes(scan_input_axes, num_scan_inputs, "scan_input_axes")
    axes = [normal_axis("Scan", axis, len(x.shape)) for axis, x in zip(axes, inputs, strict=True)]
    parts = [moveaxis(x, axis, 0) if axis else x for x, axis in zip(inputs, axes, strict=True)]
    reverse = _directions(scan_input_directions, num_scan_inputs, "scan_input_directions")
    finals, outputs = _scan(body, states, parts, reverse, at)
    return Results([*finals, *_placed(outputs, scan_output_axes, scan_output_directions)])


def _placed(outputs: Sequence[Value], axes: Any, directions: Any) -> list[Value]:
    """Outputs with time where it is wanted."""
    turned = _directions(directions, len(outputs), "scan_output_directions")
    places = _axes(axes, len(outputs), "scan_output_axes")
    found = []
    for y, axis, backwards in zip(outputs, places, turned, strict=True):
        axis = normal_axis("Scan", axis, len(y.shape))
        y = p.flip(y, 0) if backwards else y
        found.append(moveaxis(y, 0, axis) if axis else y)
    return found


@operator("Scan", since=8)
def _scan_8(
    sequence_lens: Value = None, *operands: Value, at: Place, body: Body, num_scan_inputs: int, directions: Any = None
) -> Any:
    """Every sequence of the batch alone: the body knows no batch."""
    count = len(operands) - num_scan_inputs
    if not 0 <= count < len(operands) or len({x.shape[:1] for x in operands}) != 1 or len(operands[-1].shape) < 2:
        raise ValueError(f"{num_scan_inputs} inputs to scan, of {len(operands)}, must have a batch in front")
    batch, steps = operands[-1].shape[:2]
    lengths = [steps] * batch if sequence_lens is None else integers(sequence_lens)
    if len(lengths) != batch or not all(0 <= n <= steps for n in lengths):
        raise ValueError(f"sequence_lens must be {batch} numbers in 0..{steps}, got {lengths}")
    reverse = _directions(directions, num_scan_inputs, "directions")
    rows = []
    for b, length in enumerate(lengths):
        parts = [x[b][:length] for x in operands[count:]]
        finals, outputs = _scan(body, [x[b] for x in operands[:count]], parts, reverse, at)
        padded = [p.pad(y, [(0, steps - length), *[(0, 0)] * (len(y.shape) - 1)]) for y in outputs]
        rows.append([*finals, *padded])
    return Results([stack(list(column)) for column in zip(*rows, strict=True)])


# -------------------------------------------------------------------------------------------- Loop


@operator("Loop")
def _loop(trip_count: Value = None, condition: Value = None, *carried: Any, at: Place, body: Body) -> Any:
    names, count = body.graph.inputs, len(carried)
    if len(names) != 2 + count or len(body.graph.outputs) < 1 + count:
        raise ValueError(f"the body takes {len(names)} inputs, the node has {count} carried values")
    limit = None if trip_count is None else int(plain(trip_count).reshape(-1)[0])
    go = condition is None or _truth(condition)
    if grown := _grown(body, count):
        return _growing(grown, body, carried, limit, go, at)
    values, outputs = _iterated(body, carried, limit, go, at)
    return Results([*values, *_columns(body, 1 + count, outputs)])


def _grown(body: Body, count: int) -> dict[int, str]:
    """The carried sequences to which each iteration puts one value at their end, and do nothing else; and the value."""
    graph = body.graph
    found = {}
    for k in range(count):
        name, result = graph.inputs[2 + k], graph.outputs[1 + k]
        readers = [node for node in graph.nodes if name in node.reads]
        if len(readers) == 1 and readers[0].kind == "SequenceInsert" and name not in graph.outputs:
            sequence, value, *place = readers[0].inputs
            is_put_out = graph.outputs.count(result) == 1 and not any(result in node.reads for node in graph.nodes)
            if sequence == name != value and not any(place) and readers[0].outputs == (result,) and is_put_out:
                found[k] = value
    return found


def _growing(grown: dict[int, str], body: Body, carried: Sequence[Any], limit: int | None, go: bool, at: Place) -> Any:
    """A loop that collects values in sequences, as one that puts them out."""
    graph, count = body.graph, len(carried)
    rest = [k for k in range(count) if k not in grown]
    inputs = (*graph.inputs[:2], *(graph.inputs[2 + k] for k in rest))
    outputs = (graph.outputs[0], *(graph.outputs[1 + k] for k in rest), *graph.outputs[1 + count :], *grown.values())
    dropped = {graph.outputs[1 + k] for k in grown}
    nodes = tuple([node for node in graph.nodes if not dropped.intersection(node.outputs)])
    inner = replace(body, graph=replace(graph, inputs=inputs, outputs=outputs, nodes=nodes))
    found, shown = _iterated(inner, [carried[k] for k in rest], limit, go, at)
    values = dict(zip(rest, found, strict=True))
    first = len(graph.outputs) - 1 - count
    for place, k in enumerate(grown):
        values[k] = [*carried[k], *(row[first + place] for row in shown)]
    columns = _columns(body, 1 + count, [row[:first] for row in shown])
    return Results([*(values[k] for k in range(count)), *columns])


def _iterated(
    body: Body, carried: Sequence[Any], limit: int | None, go: bool, at: Place
) -> tuple[list[Any], list[list[Any]]]:
    """The carried values behind the last iteration, and what each iteration puts out."""
    names, count = body.graph.inputs, len(carried)
    parts = clockwork(body, carried)
    if parts is None and (steps := _iterations(body, carried, limit, go)) is not None:
        limit, parts = steps, clockwork(_without_end(body), carried)
    if parts and parts.states:
        values = list(carried)
        steps, crossing, last = ticks(parts, limit, go, [values[k] for k in parts.counters])
        states = {names[2 + k]: values[k] for k in parts.states}
        inputs = _parts(crossing, steps, states)
        if steps and inputs and (found := over_time(parts.rest, inputs, states, False, at.name)):
            run, finals, outputs = found
            at.runs.keep(at.name, run)
            for k, value in (*zip(parts.counters, last, strict=True), *zip(parts.states, finals, strict=True)):
                values[k] = value
            return values, outputs
    values, outputs, t = list(carried), [], 0
    while go and (limit is None or t < limit):
        at.runs.spend()
        results = body(np.array(t, np.int64), np.array(go), *values)
        go, t = _truth(results[0]), t + 1
        values = results[1 : 1 + count]
        outputs.append(results[1 + count :])
    return values, outputs


def _iterations(body: Body, carried: Sequence[Any], limit: int | None, go: bool) -> int | None:
    """How many there will be of a loop that a state ends, which is run for that; None if it carries what grows."""
    if not all(hasattr(value, "shape") for value in carried):
        return None
    left, values, t = body.runs.left[0], [plain(value) for value in carried], 0
    silent = replace(body, runs=body.runs.silent())
    with using(names=None, recording=False, anomaly=False):
        while go and (limit is None or t < limit):
            body.runs.spend()
            results = silent(np.array(t, np.int64), np.array(go), *values)
            before, go, t = values, _truth(results[0]), t + 1
            values = [plain(value) for value in results[1 : 1 + len(carried)]]
            if any((a.shape, a.dtype) != (b.shape, b.dtype) for a, b in zip(before, values, strict=True)):
                return None
    body.runs.left[0] = left
    return t


def _without_end(body: Body) -> Body:
    """A body that goes on as long as it is asked."""
    graph = body.graph
    return replace(body, graph=replace(graph, outputs=(graph.inputs[1], *graph.outputs[1:])))


def _parts(crossing: Any, steps: int, states: Any) -> list[Timed]:
    """What each iteration reads; of a loop that reads nothing, zeros. Empty if it is not alike in all."""
    if crossing:
        kinds = [
            {(value.shape, value.dtype) for value in column if hasattr(value, "shape")} for column in crossing.values()
        ]
        alike = all(len(kind) == 1 for kind in kinds)
        return [Timed(name, stack(list(column))) for name, column in crossing.items()] if alike else []
    return [nothing(steps, states)]

"""The step of a cell as nodes, over time as a Scan or one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...compiler.program import Literal
from ..recipe import Entry, OfBatch, Recipe
from .at import At
from .model import Graph, Model, Operand, Value
from .ops import ONNX
from .parts import cuts_of, needed_of, parts_of, roots_of

__all__ = ["Step", "scan", "unrolled"]


class Step:
    """One step of a cell, to be written as nodes once or several times.

    What depends on neither the input nor a state is written once, around the loop.

    Parameters
    ----------
    who : str
        The cell, for errors.
    recipe : Recipe
        For every batch.
    parameters : mapping of str to Value
    dtypes : pair of dtype
        That of the cell, and that in which the model computes.
    """

    def __init__(self, who: str, recipe: Recipe, parameters: Mapping[str, Value], dtypes: tuple[Any, Any]) -> None:
        self.who, self.recipe, self.parameters, self.dtypes = who, recipe, parameters, dtypes
        self.states = [str(entry.what) for entry in recipe.entries if entry.kind == "state"]
        self.moving: set[int] = set()
        for k, entry in enumerate(recipe.entries):
            if entry.kind in ("x", "state") or any(o in self.moving for o in entry.operands if isinstance(o, int)):
                self.moving.add(k)
        self.parts, self.roots = parts_of(recipe), roots_of(recipe)
        self.needed = needed_of(recipe)
        self.cuts = cuts_of(recipe, self.needed)
        self._fixed: dict[int, Operand] = {}

    def write(self, graph: Graph, x: Value, states: Sequence[Value]) -> list[Value]:
        """Write one step; gives the next states."""
        given = dict(zip(self.states, states, strict=True))
        values: list[Any] = []
        done = dict(self._fixed)
        for k, entry in enumerate(self.recipe.entries):
            if k not in done and k in self.cuts:
                done |= self._split(graph, self.cuts[k], values)
            if k in done or k not in self.needed:
                values.append(done.get(k))
                continue
            graph.part = self.parts[k] if k in self.moving else self.roots[k]
            value: Any = x if entry.kind == "x" else given[entry.what] if entry.kind == "state" else None
            value = self._value(graph, k, entry, values) if value is None else value
            values.append(value)
            if k not in self.moving:
                self._fixed[k] = value
        graph.part = ""
        found: list[Value] = []
        for name, k in zip(self.states, self.recipe.outputs, strict=True):
            at = self._at(graph, self.recipe.entries[k])
            value = at.cast(values[k], given[name].dtype)
            known = any(value is other for other in (*states, *found, x))
            if known or not isinstance(value, Value) or value.graph is not graph:
                value = graph.named(value, f"{name}_next", name)
            found.append(value)
        return found

    def _value(self, graph: Graph, k: int, entry: Entry, values: Sequence[Any]) -> Any:
        if entry.kind == "parameter":
            return self.parameters[entry.what]
        at = self._at(graph, entry)
        if entry.kind == "constant":
            numbers = at.constant(entry.what)
            return at.cast(numbers, at.dtype)
        operands = [self._operand(at, entry, o, values) for o in entry.operands]
        result: Operand = ONNX[entry.what.name](at, *operands, **entry.attributes)
        name = self.recipe.names.get(k)
        if name is None:
            return result
        value = f"{name}_next" if name in self.states else name
        keeps = any(result is other for other in values) or entry.what.name == "stop_gradient"
        if isinstance(result, Value) and not keeps and list(result.graph.nodes[-1].output) == [result.name]:
            return graph.rename(result, value, name)
        return graph.named(result, value, name)

    def _split(self, graph: Graph, cuts: Sequence[int], values: Sequence[Any]) -> dict[int, Value]:
        """All parts of a value by one node."""
        entries = [self.recipe.entries[k] for k in cuts]
        source: Any = values[entries[0].operands[0]]
        index = entries[0].attributes["index"]
        axis = len(index) - 1 if isinstance(index, tuple) else 0
        sizes: list[Any] = [entry.shape[axis] for entry in entries]
        even = sizes == sizes[:1] * len(sizes)
        names = [f"{self.parts[k]}/Split".lstrip("/") for k in cuts]
        found = graph.results(
            "Split",
            [source] if even else [source, np.array(sizes, np.int64)],
            [source.dtype] * len(cuts),
            [graph.prefix + name for name in names],
            label=f"{graph.prefix}Split",
            axis=axis,
            **({"num_outputs": len(cuts)} if even else {}),
        )
        return dict(zip(cuts, found, strict=True))

    def _at(self, graph: Graph, entry: Entry) -> At:
        entries = [self.recipe.entries[o] if isinstance(o, int) else None for o in entry.operands]
        shapes: list[Any] = [() if one is None else one.shape for one in entries]
        who = f"{self.who}: {entry.what.name}" if entry.kind == "op" else self.who
        return At(graph, who, entry.shape, self._dtype(entry.dtype), shapes)

    def _dtype(self, dtype: Any) -> Any:
        own, target = self.dtypes
        return np.dtype(target) if dtype == own else np.dtype(dtype)

    def _operand(self, at: At, entry: Entry, operand: Any, values: Sequence[Any]) -> Operand:
        if not isinstance(operand, Literal):
            return values[operand]  # type: ignore[no-any-return]
        others = [self._dtype(self.recipe.entries[o].dtype) for o in entry.operands if isinstance(o, int)]
        if not isinstance(operand.value, OfBatch):
            return np.array(operand.value, np.result_type(*others, operand.value))
        return _of_batch(at, operand.value)


def _of_batch(at: At, number: OfBatch) -> Operand:
    """A number that depends on the batch as one that an operation reads."""
    batch = at.cast(at.node("Squeeze", at.graph.model.size(OfBatch(1, 0)), dtype=np.int64), at.dtype)
    if number.inverse:
        return at.node("Div", np.array(number.factor, at.dtype), batch)  # type: ignore[no-any-return]
    grown = at.node("Mul", batch, np.array(number.factor, at.dtype))
    return at.node("Add", grown, np.array(number.offset, at.dtype))  # type: ignore[no-any-return]


def scan(
    outer: Graph,
    step: Step,
    x: Value,
    starts: Sequence[Value],
    ports: Sequence[Any],
    names: Sequence[str],
    about: str,
    reverse: bool,
) -> list[Value]:
    """The step over time by a Scan: the outputs, and the states after the last step.

    Parameters
    ----------
    starts : sequence of Value
        The states before the first step.
    ports : sequence of shapes
        Of an input and of the states.
    names : sequence of str
        Of the node, of the outputs and of the last states.
    about : str
        What it is.
    """
    model, label = outer.model, names[0]
    body = Graph(model, outer)
    states = [body.value(body.fresh(name), start.dtype) for name, start in zip(step.states, starts, strict=True)]
    now = body.value(body.fresh("x_t"), x.dtype)
    body.prefix = outer.prefix
    body.inputs = _described(model, [*states, now], [*ports[1:], ports[0]])
    new = step.write(body, now, states)
    outputs = _described(model, [*new, body.named(new[0], "output")], [*ports[1:], ports[1]])
    back = {"scan_input_directions": [1], "scan_output_directions": [1]} if reverse else {}
    *finals, found = outer.results(
        "Scan",
        [*starts, x],
        [*[start.dtype for start in starts], new[0].dtype],
        [*names[2:], names[1]],
        label=label,
        doc_string=about,
        body=body.proto(f"a step of {about}", outputs),
        num_scan_inputs=1,
        **back,
    )
    return [found, *finals]


def _described(model: Model, values: Sequence[Value], shapes: Sequence[Any]) -> list[Any]:
    return [model.port(value.name, value.dtype, shape) for value, shape in zip(values, shapes, strict=True)]


def unrolled(
    outer: Graph,
    step: Step,
    x: Value,
    starts: Sequence[Value],
    count: int,
    width: Sequence[int],
    names: Sequence[str],
    reverse: bool,
) -> list[Value]:
    """The step `count` times: the outputs (count, batch, *width), and the states after the last step.

    Parameters are otherwise as in :func:`scan`.
    """
    prefix, states = outer.prefix, list(starts)
    outputs: list[Any] = [None] * count
    for t in reversed(range(count)) if reverse else range(count):
        outer.prefix = f"{prefix}t={t}/"
        now = outer.node("Gather", x, np.array(t, np.int64), axis=0, name=f"{outer.prefix}x")
        states = step.write(outer, now, states)
        outputs[t] = states[0]
    outer.prefix = prefix
    rows = outer.node("Concat", *outputs, axis=0) if count > 1 else outputs[0]
    found = outer.node("Reshape", rows, np.array([count, -1, *width], np.int64), name=names[1])
    return [found, *[outer.node("Identity", state, name=name) for state, name in zip(states, names[2:], strict=True)]]

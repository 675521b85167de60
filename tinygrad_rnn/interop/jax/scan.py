"""A loop of JAX's as a run of a cell."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from ...autodiff import functions
from ...autodiff import primitives as p
from ...autodiff.scope import context
from ...autodiff.tensor import Tensor
from ...recurrent.unroll import unroll
from ..columns import Part, example, rows_apart, together
from ..names import named_after
from .body import Body, Loop
from .cell import ScanCell
from .graph import Frame, Graph, Known, Operand, Operation, plain
from .names import class_name, gate_names, result_names, state_names, title, unique

if TYPE_CHECKING:
    from .build import Builder

__all__ = ["build_loop", "build_scan"]


def build_scan(builder: Builder, equation: Any, operands: Sequence[Operand]) -> list[Operand]:
    """``lax.scan``, and what becomes one, such as ``fori_loop``."""
    params = equation.params
    consts, carries = params["num_consts"], params["num_carry"]
    cut = consts + carries
    given = list(operands[:consts]), list(operands[consts:cut]), list(operands[cut:])
    return build_loop(
        builder, Loop(equation, params["jaxpr"], *given, tuple(operands), params["length"], params["reverse"])
    )


def build_loop(builder: Builder, loop: Loop) -> list[Operand]:
    """The last carries and the results of all steps."""
    if not loop.steps:
        kinds = [variable.aval for variable in loop.equation.outvars[len(loop.start) :]]
        return [*loop.start, *(Known(np.zeros(kind.shape, kind.dtype)) for kind in kinds)]
    body = Body(builder, loop)
    finals = dict(zip(body.known, body.sort(), strict=True))
    carried, count = body.carried, len(loop.start)
    if not carried:
        return _mapped(builder, body, finals)
    if not any(_is_floating(builder.kind(loop.start[k])) for k in carried):
        from .build import _by_jax, is_floating

        if not any(is_floating(variable.aval) for variable in loop.equation.outvars):
            return builder.emit(loop.equation, loop.given, _by_jax(loop.equation))
    extra = _extra(body, carried)
    plan = Plan(builder, body, carried, extra)
    weights = [body.same[number] for number in plan.weights]
    rows = [body.rows[number] for number in plan.entries]
    starts = [loop.start[k] for k in carried]
    positions = (*carried, *(count + j for j in extra))
    results = [builder.new(loop.equation.outvars[k].aval) for k in positions]
    within = loop.given if builder.is_inner else ()
    made = (*weights, *rows, *starts), tuple(results), loop.equation, within, positions
    builder.operations.append(Operation("loop", plan.call, *made))
    builder.loops[results[0]] = plan
    last = dict(zip(carried, results, strict=False))
    found: list[Operand] = []
    for k in range(count):
        found.append(last[k] if k in last else finals[k] if k in finals else loop.start[k])
    every = dict(zip(extra, results[len(carried) :], strict=True))
    found += [every[j] if j in every else _result(body, j, builder) for j in range(len(body.outputs) - count)]
    return found


def _is_floating(kind: Any) -> bool:
    return isinstance(kind.dtype, np.dtype) and kind.dtype.kind == "f"


def _extra(body: Body, carried: Sequence[int]) -> list[int]:
    """The results that depend on the carries."""
    outside = body.same.keys() | body.rows.keys()
    results = body.outputs[len(body.inputs) :]
    return [j for j, one in enumerate(results) if not isinstance(one, Known) and one not in outside]


def _result(body: Body, j: int, builder: Builder) -> Operand:
    """A result that does not depend on the carries."""
    one = body.outputs[len(body.inputs) + j]
    if not isinstance(one, Known) and one in body.rows:
        return body.rows[one]
    outside = one if isinstance(one, Known) else body.same[one]
    return _spread(builder, outside, body.loop.steps)


def _spread(builder: Builder, outside: Operand, steps: int) -> Operand:
    kind = builder.kind(outside)
    traced = jax.make_jaxpr(lambda v: jnp.broadcast_to(v, (steps, *v.shape)))(
        jax.ShapeDtypeStruct(kind.shape, kind.dtype)
    )
    return builder.inline(traced, [outside])[0]


def _mapped(builder: Builder, body: Body, finals: dict[int, Known]) -> list[Operand]:
    """A loop that carries nothing on: all steps at once."""
    count = len(body.inputs)
    made = [j for j in range(len(body.outputs) - count) if j in set(_extra(body, []))]
    outputs = [body.outputs[count + j] for j in made]
    reads = _reads(body, outputs)
    outside = [body.same[number] if number in body.same else body.rows[number] for number in reads]

    def one(*values: Any) -> Any:
        return _evaluated(body, dict(zip(reads, values, strict=True)), outputs)

    axes = tuple(0 if number in body.rows else None for number in reads)
    results = dict(zip(made, body._mapped(one, axes, outside) if made else [], strict=True))
    carries = [finals[k] if k in finals else body.loop.start[k] for k in range(count)]
    return [
        *carries,
        *(results[j] if j in results else _result(body, j, builder) for j in range(len(body.outputs) - count)),
    ]


def _reads(body: Body, outputs: Sequence[Operand]) -> list[int]:
    """What a step reads from outside: of the same at all steps, and by rows."""
    read = [number for operation in body.operations for number in operation.reads]
    read += [number for number in outputs if not isinstance(number, Known)]
    return [number for number in dict.fromkeys(read) if number in body.same or number in body.rows]


def _evaluated(body: Body, values: dict[int, Any], outputs: Sequence[Operand]) -> list[Any]:
    """A step as JAX computes it."""
    from .build import evaluate

    def value(operand: Operand) -> Any:
        return jnp.asarray(operand.array) if isinstance(operand, Known) else values[operand]

    for operation in body.operations:
        values |= zip(operation.outputs, operation.results(evaluate, value), strict=True)
    return [value(operand) for operand in outputs]


class Plan:
    """How a loop becomes a run.

    Attributes
    ----------
    name, kind : str
        Under which the run stands, and what the cell's class is called.
    weights, entries : list of int
        Values of the body that are the same at all steps, and those of which every step has its own.
    states : list of Part
        The output first.
    batch : int or None
        How many sequences there are side by side; None if the loop knows no batch, so that there is one.
    """

    def __init__(self, builder: Builder, body: Body, carried: Sequence[int], extra: Sequence[int]) -> None:
        loop, inner = body.loop, body.inner
        self.body, self.carried = body, list(carried)
        self.steps, self.reverse = loop.steps, loop.reverse
        self.name = builder.unique(title(loop.body))
        self.kind = class_name(body.operations)
        count = len(body.inputs)
        self.outputs = [body.outputs[k] for k in (*carried, *(count + j for j in extra))]
        reads = _reads(body, self.outputs)
        self.weights = [number for number in reads if number in body.same]
        self.entries = [number for number in reads if number in body.rows]
        self.starts = [body.inputs[k] for k in carried]
        inputs = [*self.weights, *self.entries, *self.starts]
        self.graph = Graph(tuple(inputs), tuple(self.outputs), body.operations)
        self.kinds = [inner.kinds[number] for number in self.starts]
        self.kinds += [loop.body.jaxpr.outvars[count + j].aval for j in extra]
        self.batch = self._batch()
        self.is_nested = self.batch is None and any(op.kind == "loop" for op in body.operations)
        self._graphs: dict[int, Graph] = {}
        self._name(builder, carried, extra)
        self.graph.names = self._gates(self.graph)

    # ------------------------------------------------------------------------------------------ names

    def _name(self, builder: Builder, carried: Sequence[int], extra: Sequence[int]) -> None:
        body, count = self.body, len(self.body.inputs)
        names = state_names(body.loop.body, carried, len(body.loop.consts), self.graph, self.starts)
        # a result that is a state as it is handed on needs no state of its own
        places: dict[Any, int] = {}
        for k, output in enumerate(self.outputs[: len(carried)]):
            if not isinstance(output, Known) and _is_floating(self.kinds[k]):
                places.setdefault(output, k)
        self.of_result = [places.get(out, -1) for out in self.outputs[len(carried) :]]
        own = [j for j, place in enumerate(self.of_result) if place < 0]
        paths = result_names(body.loop.body, [count + extra[j] for j in own])
        order = self._order(own)
        spare = iter(["h", "c"] if len(carried) <= 2 else ["h", *(f"s{k}" for k in range(1, len(carried)))])
        wanted = {**dict(enumerate(names)), **{len(carried) + j: name for j, name in zip(own, paths, strict=True)}}
        named = [wanted[place] or next(one for one in spare if one not in names) for place in order]
        kinds = [self.kinds[place] for place in order]
        self.order = order
        self.states = [
            self._part(name, kind, place) for name, kind, place in zip(unique(named), kinds, order, strict=True)
        ]
        rows = [self.body.inner.kinds[number] for number in self.entries]
        self.parts = [self._part("x", kind, -1) for kind in rows]
        floats = [kind.dtype for kind in (*self.kinds, *rows) if _is_floating(kind)]
        self.dtype = np.result_type(*floats) if floats else np.dtype(np.float64)
        self.labels = unique([builder.source(body.same[number]) or "w" for number in self.weights], ())

    def _gates(self, graph: Graph) -> dict[int, str]:
        """What the code calls the values of a step that are no states."""
        names = gate_names(self.body.loop.body, graph, {"x", *(part.name for part in self.states)})
        return {number: name for number, name in names.items() if number not in graph.outputs}

    def _order(self, own: Sequence[int]) -> list[int]:
        """Which values the states are: first the output, the first result of floating point if there is one."""
        carried = len(self.carried)
        every = [*range(carried), *(carried + j for j in own)]
        results = [place if place >= 0 else carried + j for j, place in enumerate(self.of_result)]
        first = next((k for k in (*results, *every) if _is_floating(self.kinds[k])), every[0])
        return [first, *(k for k in every if k != first)]

    def _part(self, name: str, kind: Any, place: int) -> Part:
        shape = tuple(kind.shape)
        if self.batch is None:
            return Part(name, shape, np.dtype(kind.dtype))
        shared = shape[:1] != (self.batch,)
        return Part(name, shape if shared else shape[1:], np.dtype(kind.dtype), shared)

    # ------------------------------------------------------------------------------------------ batch

    def _batch(self) -> int | None:
        """The size of the first axis, if sequences side by side have nothing to do with each other."""
        carries = self.kinds[: len(self.starts)]
        sizes = {kind.shape[0] for kind in carries if len(kind.shape) > 1 and _is_floating(kind)}
        if len(sizes) != 1 or any(len(kind.shape) == 1 and kind.shape[0] not in sizes for kind in carries):
            return None
        (batch,) = sizes
        return batch if self._apart(batch) else None

    def _apart(self, batch: int) -> bool:
        """Whether rows of what a step gives depend on the same rows of what it is given alone, tried on numbers."""
        inputs = {number: self.body.inner.kinds[number] for number in self.graph.inputs}
        random = np.random.default_rng(0)
        has_rows = [tuple(kind.shape[:1]) == (batch,) for kind in self.kinds]

        def step(values: Sequence[Any]) -> list[Any]:
            results = zip(self.kinds, self.graph.run(list(values), Frame()), has_rows, strict=True)
            return [np.broadcast_to(plain(value), kind.shape) for kind, value, has in results if has]

        def role(number: int, kind: Any) -> str:
            if number in self.weights:
                return "fixed"
            shared = "fixed" if number in self.entries else "shared"
            return "rows" if tuple(kind.shape[:1]) == (batch,) else shared

        with np.errstate(all="ignore"):
            values = [example(kind, random) for kind in inputs.values()]
            return rows_apart(step, values, [role(*one) for one in inputs.items()])

    # ---------------------------------------------------------------------------------------- running

    def at(self, batch: int) -> Graph:
        """The body for so many sequences."""
        if self.batch == batch:
            return self.graph
        if self.batch is not None:
            other = self.body.builder.at_batch(self.name, batch)
            if other is None or len(other.weights) != len(self.weights):
                raise ValueError(f"{self.name}: traced for a batch of {self.batch}, and takes no other, got {batch}")
            return other.graph  # type: ignore[no-any-return]
        if batch not in self._graphs:
            self._graphs[batch] = self._many(batch)
            self._graphs[batch].names = self._gates(self._graphs[batch])
        return self._graphs[batch]

    def _many(self, batch: int) -> Graph:
        """The body for sequences side by side, which JAX makes of that for a single one."""
        inputs = [*self.weights, *self.entries, *self.starts]

        def one(*values: Any) -> Any:
            return _evaluated(self.body, dict(zip(inputs, values, strict=True)), self.outputs)

        axes = tuple(None if number in set(self.weights) else 0 for number in inputs)
        kinds = [self.body.inner.kinds[number] for number in inputs]
        given = [
            jax.ShapeDtypeStruct(kind.shape if axis is None else (batch, *kind.shape), kind.dtype)
            for kind, axis in zip(kinds, axes, strict=True)
        ]
        traced = jax.make_jaxpr(jax.vmap(one, in_axes=axes, axis_size=batch))(*given)
        inner = type(self.body.inner)(self.body.builder)
        numbers = [inner.new(kind) for kind in given]
        return inner.graph(numbers, inner.inline(traced, numbers))

    def call(self, values: Sequence[Any], frame: Frame) -> list[Any]:
        """The last carries, then the results of all steps, as JAX has them."""
        cuts = len(self.weights), len(self.weights) + len(self.entries)
        weights, rows, starts = values[: cuts[0]], values[cuts[0] : cuts[1]], values[cuts[1] :]
        batch = self.batch or 1
        inside = Frame(None if frame.runs is None else {})
        cell, x, state = self.cell(weights, inside), self._inputs(rows, batch), self._start(starts, batch)
        if frame.runs is None:
            states: Sequence[Any] = self._plain(cell, x, state)
        else:
            run = unroll(cell, x, state, reverse=self.reverse)
            frame.runs |= {self.name: run, **(inside.runs or {})}
            inside.runs = None  # whoever runs the cell from now on, has no part in this call
            states = run.states
        last = states[0 if self.reverse else -1]
        carries = [self._out(self.order.index(k), last) for k in range(len(self.carried))]
        places = [
            self.order.index(place if place >= 0 else len(self.carried) + j) for j, place in enumerate(self.of_result)
        ]
        return [*carries, *(self._every(place, states) for place in places)]

    def cell(self, weights: Sequence[Any], frame: Frame) -> ScanCell:
        """The cell with these weights; loops in its steps put their runs into the frame."""
        known = {}
        for name, w in zip(self.labels, weights, strict=True):
            if isinstance(w, (Tensor, np.ndarray, float)):
                known[name] = tensor = w if isinstance(w, Tensor) else Tensor(np.asarray(w))
                tensor.name = tensor.name or name
        rest = {name: w for name, w in zip(self.labels, weights, strict=True) if name not in known}
        return _kind(self.kind)(self._step(rest, frame), known, self.states, self.parts, self.dtype)

    def _step(self, rest: dict[str, Any], frame: Frame) -> Any:
        """From the parts of a step to the next states, as a function, which counts by who it is."""
        places = {place: k for k, place in enumerate(self.order) if place < len(self.carried)}

        def step(batch: int, parameters: Any, entries: Sequence[Any], old: Sequence[Any]) -> list[Any]:
            weights = [parameters[name] if name in parameters else rest[name] for name in self.labels]
            carries = [old[places[k]] for k in range(len(self.carried))]
            inside = Frame(None if frame.runs is None else {})
            if self.is_nested and batch == 1:  # as it is, so that loops in it keep their own batch
                given = [p.reshape(value, value.shape[1:]) for value in (*entries, *carries)]
                found = self.graph.run([*weights, *given], inside)
                found = [v if isinstance(v, float) else p.reshape(v, (1, *v.shape)) for v in found]
            else:
                found = self.at(batch).run([*weights, *entries, *carries], inside)
            if frame.runs is not None and inside.runs:
                around = context.get().scope
                t = around.timestep if around is not None else 0
                frame.runs |= {f"{self.name}/{t}/{name}": run for name, run in inside.runs.items()}
            return [found[place] for place in self.order]

        return step

    def _inputs(self, rows: Sequence[Any], batch: int) -> Any:
        return together(
            self.parts, [v if hasattr(v, "dtype") else np.asarray(v) for v in rows], self.steps, batch, self.dtype
        )

    def _start(self, starts: Sequence[Any], batch: int) -> list[Any]:
        found = []
        for part, place in zip(self.states, self.order, strict=True):
            if place < len(self.carried):
                value = starts[place] if hasattr(starts[place], "dtype") else np.asarray(starts[place], part.dtype)
                found.append(part.pack(value, batch, self.dtype))
            else:
                found.append(np.zeros((batch, *(part.shape or (1,))), self.dtype))
        return found

    def _plain(self, cell: ScanCell, x: Any, state: list[Any]) -> list[Any]:
        """All states, without a run of their own."""
        states: list[Any] = [None] * self.steps
        old: Any = cell.State(*state)
        for k in range(self.steps):
            t = self.steps - 1 - k if self.reverse else k
            states[t] = old = cell(p.getitem.on((x,), {"index": t}), old)
        return states

    def _out(self, place: int, state: Any) -> Any:
        return self._shaped(self.states[place].unpack(state[place]), self.states[place])

    def _shaped(self, value: Any, part: Part) -> Any:
        return p.reshape(value, part.shape) if self.batch is None else value

    def _every(self, place: int, states: Sequence[Any]) -> Any:
        part = self.states[place]
        whole = functions.stack([state[place] for state in states])
        if part.shared:
            whole = p.getitem.on((whole,), {"index": (slice(None), 0)})
        batch = () if self.batch is None or part.shared else (self.batch,)
        whole = p.reshape(whole, (self.steps, *batch, *part.shape))
        if whole.dtype == part.dtype:
            return whole
        return p.not_equal(whole, 0) if part.dtype == bool else p.astype(whole, part.dtype)


@cache
def _kind(name: str) -> type[ScanCell]:
    return named_after(name, ScanCell)

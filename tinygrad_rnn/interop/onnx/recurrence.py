"""The body of a Scan or Loop as a cell over time."""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...autodiff import primitives as p
from ...autodiff.functions import split
from ...autodiff.primitive import Value
from ...autodiff.scope import using
from ...autodiff.tensor import Tensor, named
from ...recurrent.cell import Cell
from ...recurrent.unroll import Run, unroll
from ..columns import Part, example, rows_apart, together
from ..names import named_after
from .graph import Body, Node
from .hoisted import hoisted
from .operators import plain
from .standard import standard

__all__ = ["BodyCell", "Timed", "nothing", "over_time"]

ACTIVATIONS = frozenset(
    {"Celu", "Elu", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "LogSoftmax", "Mish", "PRelu", "Relu", "Selu"}
    | {"Sigmoid", "Softmax", "Softplus", "Softsign", "Swish", "Tanh", "ThresholdedRelu"}
)
"""Their values are gates; so are those of nodes that have a name of somebody's choice."""


class Timed(NamedTuple):
    """What one input of the body is at all timesteps: an array or Tensor with time in front."""

    name: str
    values: Value


Step = Callable[[Value, Sequence[Value], Mapping[str, Any]], tuple[list[Value], list[Value]]]


class BodyCell(Cell):
    """A cell that does what the body of a Scan or Loop does in one iteration; made by
    :func:`tinygrad_rnn.load_onnx`.

    Its states have the names of the body's inputs, its parameters those of the values around the node that were
    computed from the file's initialisers alone. Several inputs of the body, and ones of several axes, stand side by
    side in x.

    Attributes
    ----------
    state_shapes : tuple of tuple of int
        Without the batch.
    """

    def __init__(
        self,
        step: Step,
        parameters: Mapping[str, Tensor],
        state_names: Sequence[str],
        state_shapes: Sequence[tuple[int, ...]],
        width: int,
        dtype: Any,
    ) -> None:
        super().__init__(width, state_shapes[0][-1] if state_shapes[0] else 1, dtype=dtype)
        self.name_states(*state_names)
        self.state_shapes = tuple(state_shapes)
        self.initialisation = "loaded weights"
        self._parameters = dict(parameters)
        self._step = step
        self._outputs: list[list[Value]] | None = None

    def initial_state(self, batch: int) -> Any:
        """The state before the first step: zeros."""
        return self.State(*[np.zeros((batch, *shape), self.dtype) for shape in self.state_shapes])

    def step(self, x: Value, state: Any) -> Any:
        new, outputs = self._step(x, state, self._parameters)
        if self._outputs is not None:
            self._outputs.append(outputs)
        return tuple(new)

    def run(self, x: Value, state: Sequence[Value], reverse: bool) -> tuple[Run, list[list[Value]]]:
        """The run over x (T, batch, input_size), and what the body puts out in each iteration, in their order."""
        self._outputs = []
        try:
            return unroll(self, x, tuple(state), reverse=reverse), self._outputs
        finally:
            self._outputs = None


def over_time(
    body: Body, parts: Sequence[Timed], carried: Mapping[str, Value], reverse: bool, name: str
) -> tuple[Run, list[Value], list[list[Value]]] | None:
    """Run a body as a cell, if it is one: states that keep their shapes, of which at least one is of floating point.

    Whole numbers and truth values that are handed on, such as the word that was chosen, are states that hold them as
    floating point.

    Parameters
    ----------
    body : Body
        Its outputs are the next states, in the order of `carried`, and what it puts out.
    parts : sequence of Timed
        By the names of the body's inputs; at least one, of at least one timestep.
    carried : mapping of str to value
        The states before the first iteration, by the names of the body's inputs.
    reverse : bool
        Whether time runs backwards.
    name : str
        Of the node.

    Returns
    -------
    Run
    list of values
        The states after the last iteration.
    list of lists of values
        By iteration what the body puts out besides.
    """
    given = list(carried.values())
    kinds = {getattr(value, "dtype", np.dtype(object)).kind for value in given}
    if not {"f"} <= kinds <= set("fiub") or not all(map(_size, given)):
        return None
    floats = [value.dtype for value in (*(part.values for part in parts), *given) if value.dtype.kind == "f"]
    dtype = np.result_type(*floats)  # they differ in a model with other precision
    carried = {
        key: p.astype(value, dtype) if value.dtype.kind == "f" and value.dtype != dtype else value
        for key, value in carried.items()
    }
    if kinds == {"f"} and (found := standard(body, parts, carried, reverse) or hoisted(body, parts, carried, reverse)):
        return found
    order = _order(body, list(carried.values()))
    for batch in _batches(parts, list(carried.values())):
        columns = [column for part in parts if (column := _part(part, batch, dtype))]
        if len(columns) < len(parts) or not _is_step(body, parts, columns, carried, batch):
            continue
        labels = _state_names([body.graph.labels[key] for key in carried])
        states = [
            Part(label, tuple(value.shape[1:] if batch else value.shape), value.dtype)
            for label, value in zip(labels, carried.values(), strict=True)
        ]
        step = _step_of(body, columns, list(carried), states, order, batch is not None)
        fixed = {key: body.captured[key] for key in _read(body) if _is_weight(body.captured[key])}
        x = together(columns, [part.values for part in parts], parts[0].values.shape[0], batch or 1, dtype)
        shapes = [states[k].shape or (1,) for k in order]
        cell = named_after(_label(name), BodyCell)(step, fixed, [labels[k] for k in order], shapes, x.shape[2], dtype)
        begun = list(carried.values())
        try:
            run, outputs = cell.run(x, [_packed(states[k], begun[k], batch or 1, dtype) for k in order], reverse)
        except _Inexact:
            return None
        last = dict(zip(order, run.final_state, strict=True))
        finals = [_unpacked(state, last[k], batch is not None) for k, state in enumerate(states)]
        return run, finals, outputs
    return None


class _Inexact(Exception):
    """Whole numbers do not fit into the precision of the states."""


def _packed(part: Part, value: Value, batch: int, dtype: Any) -> Value:
    if part.dtype.kind in "iu" and np.any(np.abs(plain(value).astype(float)) > 2 ** (np.finfo(dtype).nmant + 1)):
        raise _Inexact
    return part.pack(value, batch, dtype)


def _unpacked(part: Part, state: Value, is_batched: bool) -> Value:
    value = part.unpack(state)
    return value if is_batched else p.reshape(value, part.shape)


def nothing(steps: int, carried: Mapping[str, Any]) -> Timed:
    """For a body that reads only what is handed on."""
    first = next(iter(carried.values()))
    return Timed("", np.zeros((steps, *first.shape[:-1], 1), getattr(first, "dtype", np.dtype(float))))


def _size(value: Any) -> int:
    return math.prod(value.shape)


def _read(body: Body) -> list[str]:
    """What it reads of the values around it that depend on initialisers alone, in the order in which it does."""
    names = [name for node in body.graph.nodes for name in (*node.inputs, *sorted(node.reads))]
    return [name for name in dict.fromkeys(names) if name in body.captured and name in body.graph.fixed]


def _is_weight(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dtype.kind == "f"


def _batches(parts: Sequence[Timed], states: Sequence[Any]) -> list[int | None]:
    """What may be the batch: the first axis, if all have the same; and None, for there is none."""
    floats = [part.values.shape[1:] for part in parts if part.values.dtype.kind == "f"]
    whole = {state.shape for state in states if state.dtype.kind != "f" and len(state.shape) == 1}
    shapes = [*floats, *(state.shape for state in states if state.shape not in whole)]
    firsts = {shape[0] for shape in shapes if len(shape) > 1}
    fits = len(firsts) == 1 and all(len(shape) > 1 for shape in shapes) and firsts >= {shape[0] for shape in whole}
    return [*(firsts if fits else ()), None]


def _part(given: Timed, batch: int | None, dtype: Any) -> Part | None:
    """How it stands in x; None if it cannot."""
    values = given.values
    _, *shape = values.shape
    own = values.dtype
    if own != dtype:
        exact = np.asarray(values.data if isinstance(values, Tensor) else values)
        if not np.array_equal(exact.astype(dtype).astype(own), exact):
            return None
    if batch is not None and shape and shape[0] == batch:
        return Part(given.name, tuple(shape[1:]), own)
    return Part(given.name, tuple(shape), own, shared=True)


def _step_of(
    body: Body,
    columns: Sequence[Part],
    carried: Sequence[str],
    states: Sequence[Part],
    order: Sequence[int],
    is_batched: bool,
) -> Step:
    """One iteration of the body as a step of a cell: a function, so that the compiler goes by who it is."""
    gates = _gates(body, {*(column.name for column in columns), *carried})

    def run(x: Value, state: Sequence[Value], parameters: Mapping[str, Any]) -> tuple[list[Value], list[Value]]:
        values = {**body.captured, **parameters}
        cuts = [int(cut) for cut in np.cumsum([column.size for column in columns])[:-1]]
        for column, part in zip(columns, split(x, cuts, axis=1) if cuts else [x], strict=True):
            values[column.name] = column.unpack(part)
        for k, value in zip(order, state, strict=True):
            values[carried[k]] = _unpacked(states[k], value, is_batched)
        given = list(values.values())

        def watch(node: Node, results: list[Any]) -> None:
            for name in node.outputs:
                if name in gates and results[0].dtype.kind == "f" and all(results[0] is not value for value in given):
                    value = results[0]
                    if type(value) is Tensor:
                        value.name = gates[name]
                    if not is_batched:
                        value = p.reshape(value, (1, *value.shape))
                    value = named(**{gates[name]: value})
                    results[0] = value if is_batched else p.reshape(value, results[0].shape)

        found = body.graph.run(values, body.who, body.runs.silent(), watch)
        return [_packed(states[k], found[k], x.shape[0], x.dtype) for k in order], found[len(carried) :]

    return run


def _gates(body: Body, moving: set[str]) -> dict[str, str]:
    """From the values that are gates to what they are called: those of nonlinearities, by the names of their nodes."""
    found: dict[str, str] = {}
    moving = set(moving)
    for node in body.graph.nodes:
        if not node.reads & moving:
            continue
        moving.update(node.outputs)
        chosen = node.is_named and node.kind.lower() not in node.name.lower()
        if (node.kind in ACTIVATIONS or chosen) and node.kind != "Identity" and not node.graphs and node.outputs[0]:
            label = node.name.rpartition("/")[2] or node.name
            found[node.outputs[0]] = label if label not in found.values() else node.name
    taken = {*(body.graph.labels.get(name, name) for name in body.graph.inputs), "x"}
    return {value: label for value, label in found.items() if label not in taken}


def _order(body: Body, states: Sequence[Value]) -> list[int]:
    """The states, the one that is put out, too, first, of those of floating point: it is the output of the cell."""
    outputs = [_source(body, name) for name in body.graph.outputs]
    floats = [k for k, value in enumerate(states) if value.dtype.kind == "f"]
    first = next((k for k in floats if outputs[k] in outputs[len(states) :]), floats[0])
    return [first, *(k for k in range(len(states)) if k != first)]


def _source(body: Body, name: str) -> str:
    """The value that this is, behind all Identity."""
    makers = {node.outputs[0]: node.inputs[0] for node in body.graph.nodes if node.kind == "Identity"}
    while name in makers:
        name = makers[name]
    return name


def _label(name: str) -> str:
    label = re.sub(r"\W+", "_", name.rpartition("/")[2]).strip("_")
    return label if label.isidentifier() and not keyword.iskeyword(label) else "Body"


def _state_names(names: Sequence[str]) -> list[str]:
    """Names of states, which are those of the fields of a tuple."""
    found: list[str] = []
    for k, name in enumerate(names):
        label = re.sub(r"\W", "_", name).strip("_")
        fits = label.isidentifier() and not keyword.iskeyword(label) and label not in (*found, "x")
        found.append(label if fits else f"state{k}")
    return found


# ---------------------------------------------------------------------------------- what it depends on


def _is_step(
    body: Body, parts: Sequence[Timed], columns: Sequence[Part], carried: Mapping[str, Value], batch: int | None
) -> bool:
    """Whether the states keep their shapes, and no sequence of a batch reads another one: else it is no batch."""
    random, states = np.random.default_rng(0), list(carried.values())
    names = [*(column.name for column in columns), *carried]
    firsts = [plain(part.values)[0] for part in parts]
    values = [example(v, random) if v.dtype.kind == "f" else plain(v) for v in (*firsts, *states)]
    roles = ["fixed" if c.shared or c.dtype.kind != "f" else "rows" for c in columns] + ["rows"] * len(states)

    def step(tried: Sequence[Any]) -> list[Any]:
        known = {**body.captured, **dict(zip(names, tried, strict=True))}
        found = body.graph.run(known, body.who, body.runs.silent())[: len(states)]
        return [plain(value) for value in found]

    try:
        with using(names=None, recording=False, anomaly=False), np.errstate(all="ignore"):
            after = step(values)
            fit = [(new.shape, new.dtype) == (old.shape, old.dtype) for new, old in zip(after, states, strict=True)]
            return all(fit) and (batch in (None, 1) or rows_apart(step, values, roles))
    except (ValueError, TypeError, ArithmeticError, IndexError):
        return False

"""A cell over time: windows of truncated BPTT, padded batches, layers and directions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ..arguments import is_integer
from ..autodiff.ancestry import parts
from ..autodiff.anomaly import AnomalyError, anomaly_error
from ..autodiff.arrays import real_array
from ..autodiff.collector import without_collections
from ..autodiff.functions import concatenate
from ..autodiff.primitive import gather
from ..autodiff.primitives import identity, stop_gradient, where
from ..autodiff.scope import Scope, context, scope, timestep, using
from ..autodiff.tensor import Tensor, named
from ..plurals import counted
from .cell import Cell
from .inner import HELD, rows_of
from .lazy import LazyMapping, LazySequence, stacked
from .stacks import Bidirectional, Directions, Layer, Stacked

__all__ = ["Run", "unroll"]


@dataclass
class Run:
    """A sequence that went through a cell.

    Attributes
    ----------
    cell : Cell, Stacked or Bidirectional
    inputs : list of T Tensors (batch, input_size)
    outputs : list of T Tensors (batch, hidden_size)
        Zero at padded positions.
    states : list of T states
        The state after reading input t; for a stack a tuple of its layers' states, for two directions a
        pair ``(forward, backward)``. Held still at padded positions.
    initial_state : state
        The state before the first step.
    names : dict
        From (name, t) to the Tensor of that name at timestep t: states, gates, and the input ``x``. In a
        stack names read ``layer0/h``, in two directions ``forward/h``.
    children : dict of str to Run
        The runs of the layers or directions; empty for a single cell.
    reverse : bool
        Whether time ran backwards.
    scopes : list of T Scopes
        The scope of each step of a single cell, by which its operations are known from those of other runs.
    tape : Tensor or None
        Of a compiled cell: the one node that the run is. The other Tensors are then made when looked at.
    between : tuple of arrays
        What the outputs of each layer of a stack but the last were multiplied by; empty if nothing.
    """

    cell: Cell | Stacked | Bidirectional
    inputs: Sequence[Tensor]
    outputs: Sequence[Tensor]
    states: Sequence[Any]
    initial_state: Any
    names: Mapping[tuple[str, int], Tensor]
    children: dict[str, Run] = field(default_factory=dict)
    reverse: bool = False
    scopes: Sequence[Scope] = field(default_factory=list)
    tape: Tensor | None = None
    between: tuple[Any, ...] = ()

    def __len__(self) -> int:
        return len(self.outputs)

    @property
    def final_state(self) -> Any:
        """The state after the last step, to continue from with ``unroll(..., state=...)``."""
        if isinstance(self.cell, Bidirectional):
            return Directions(*[run.final_state for run in self.children.values()])
        if isinstance(self.cell, Stacked):
            return tuple(run.final_state for run in self.children.values())
        return self.states[0 if self.reverse else -1]

    @property
    def cells(self) -> list[Run]:
        """The runs of the single cells inside, from the bottom up; of a single cell the run itself."""
        return [run for child in self.children.values() for run in child.cells] if self.children else [self]

    @cached_property
    def stacked(self) -> Tensor:
        """The outputs as one Tensor (T, batch, hidden_size)."""
        return stacked(self.outputs)

    def __repr__(self) -> str:
        batch = self.outputs[0].shape[0]
        return f"Run({self.cell!r}, T={len(self)}, batch={batch})"


def unroll(
    cell: Cell | Stacked | Bidirectional,
    inputs: Any,
    state: Any = None,
    *,
    truncate: int | None = None,
    lengths: Any = None,
    mask: Any = None,
    reverse: bool = False,
    between: Sequence[Any] | None = None,
    restarts: Mapping[int, Sequence[Any]] | None = None,
) -> Run:
    """Run a cell over a sequence and record every step.

    Step by step, the garbage collector waits until the run is over.

    Parameters
    ----------
    cell : Cell, Stacked or Bidirectional
    inputs : array or Tensor (T, batch, input_size), or a list of T of (batch, input_size)
        Arrays are copied and take the cell's dtype.
    state : state, optional
        Where to start; zeros when omitted. A ``run.final_state`` continues that run; detach it to
        forget where it came from.
    truncate : int, optional
        Truncated BPTT: the gradient is cut every `truncate` steps (Williams & Peng 1990), which leaves a
        ``stop_gradient`` node in the graph.
    lengths : (batch,) integers, optional
        True lengths of padded sequences. Past its length a sequence keeps its state and puts out zeros. The gradient by
        a state is that which the sequence has alone, and past its length that of whatever reads the state that is kept.
    mask : (T, batch) truth values, optional
        In place of `lengths`: where it is False, at the beginning and in the middle too, a sequence keeps its state and
        puts out zeros.
    reverse : bool
        Read from the last step to the first; outputs stay at the position of their input.
    between : sequence of arrays (T, batch, hidden_size), optional
        Of a stack: what the outputs of each layer but the last are multiplied by before the next layer reads them, such
        as the masks that dropout drew.
    restarts : mapping of int to sequence, optional
        Of a single cell: by timestep the states to go on from there, for each of them ``None`` or a value instead of
        what the step before left. No gradient passes a value that is given, unless it is a Tensor made from that state.

    Returns
    -------
    Run

    Raises
    ------
    ValueError
        If shapes, lengths, mask, `truncate`, `between` or `restarts` do not fit.
    TypeError
        If `cell` is no cell.
    """
    if not isinstance(cell, (Cell, Stacked, Bidirectional)):
        raise TypeError(f"unroll: cell must be a Cell, Stacked or Bidirectional, got {type(cell).__name__}")
    steps, batch = _steps(cell, inputs)
    if truncate is not None and not is_integer(truncate):
        raise ValueError(f"unroll: truncate must be a positive number of steps, got {truncate!r}")
    masks = None if lengths is None and mask is None else _masks(lengths, mask, len(steps), batch)
    start = cell.initial_state(batch) if state is None and not isinstance(cell, Cell) else state
    if between is not None:
        between = _between(cell, between, len(steps), batch)
    if restarts is not None:
        _check_restarts(cell, restarts, len(steps))
    if isinstance(cell, Stacked):
        run = _unroll_stack(cell, steps, batch, start, truncate, masks, reverse, between)
    elif isinstance(cell, Bidirectional):
        run = _unroll_directions(cell, steps, batch, start, truncate, masks)
    else:
        run = _unroll_cell(cell, steps, batch, start, truncate, masks, reverse, restarts)
    if isinstance(run.names, LazyMapping):
        made = run.names
        run.names = LazyMapping(lambda: {"x": steps, **made.sequences})
    else:
        run.names = {**{("x", t): x for t, x in enumerate(steps)}, **run.names}
    return run


def _steps(cell: Any, inputs: Any) -> tuple[Sequence[Tensor], int]:
    """The inputs as one Tensor a timestep, each in the scope of its timestep; and the batch size."""
    if isinstance(inputs, (list, tuple)) and any(isinstance(x, Tensor) for x in inputs):
        shapes = {np.shape(x) for x in inputs}
        shape: tuple[int, ...] = (len(inputs), *next(iter(shapes))) if len(shapes) == 1 else ()
    else:
        inputs = gather(inputs)
        inputs = inputs if isinstance(inputs, Tensor) else real_array("unroll: inputs", inputs, cell.dtype)
        shape = inputs.shape
    if len(shape) != 3 or shape[0] < 1 or shape[2] != cell.input_size:
        hint = "; add a batch axis with inputs[:, None, :]" if len(shape) == 2 else ""
        raise ValueError(
            f"unroll: inputs must be (T, batch, {cell.input_size}) with T at least 1, got"
            f" {shape or 'unequal steps'}{hint}"
        )
    if cell.is_compiled and not isinstance(inputs, (list, tuple)):
        whole = identity(inputs) if isinstance(inputs, Tensor) else Tensor(inputs, name="x")
        return rows_of(whole, "x"), shape[1]
    if isinstance(inputs, np.ndarray):
        around = context.get().scope
        steps = [Tensor(x, name="x") for x in np.ascontiguousarray(inputs)]
        for t, x in enumerate(steps):
            x.scope = Scope(around, "timestep", f"t={t}", t)
        return steps, shape[1]
    steps = []
    for t in range(shape[0]):
        with timestep(t):
            x = inputs[t]
            x = x if isinstance(x, Tensor) else Tensor(real_array("unroll: inputs", x, cell.dtype))
            x.name = x.name or "x"
            steps.append(x)
    return steps, shape[1]


def _masks(lengths: Any, mask: Any, steps: int, batch: int) -> list[Any] | None:
    """For each timestep which sequences are running, (batch, 1); None where all are."""
    if mask is not None:
        running = np.asarray(mask)
        if lengths is not None:
            raise ValueError("unroll: give lengths or a mask, not both")
        if running.shape != (steps, batch) or running.dtype != bool:
            raise ValueError(
                f"unroll: mask must be ({steps}, {batch}) truth values, got {running.shape} {running.dtype}"
            )
        return [None if row.all() else row[:, None] for row in running]
    counts = np.asarray(lengths)
    if counts.shape != (batch,) or counts.dtype.kind not in "iu":
        raise ValueError(f"unroll: lengths must be {counted(batch, 'integer')}, got {lengths!r}")
    if batch and not 1 <= counts.min() <= counts.max() <= steps:
        raise ValueError(f"unroll: lengths must lie in 1..{steps}, got {counts.min()}..{counts.max()}")
    return [None if (counts > t).all() else (counts > t)[:, None] for t in range(steps)]


def _between(cell: Any, given: Any, steps: int, batch: int) -> tuple[Any, ...]:
    layers = cell.layers[:-1] if isinstance(cell, Stacked) else ()
    arrays = tuple(real_array("unroll: between", array, cell.dtype) for array in given)
    shapes = tuple((steps, batch, layer.hidden_size) for layer in layers)
    if tuple(array.shape for array in arrays) != shapes:
        raise ValueError(
            f"unroll: between must be arrays of shapes {list(shapes)}, one for each layer but the last, got"
            f" {[array.shape for array in arrays]}"
        )
    return arrays


def _check_restarts(cell: Any, restarts: Mapping[int, Any], steps: int) -> None:
    if not isinstance(cell, Cell):
        raise ValueError(f"unroll: restarts are for a single cell, got a {type(cell).__name__}")
    wrong = [t for t in restarts if not 0 <= t < steps]
    if wrong:
        raise ValueError(f"unroll: restarts has timestep {wrong[0]}, which is not in 0..{steps - 1}")


def _unroll_stack(
    cell: Stacked,
    steps: Sequence[Tensor],
    batch: int,
    state: Any,
    truncate: int | None,
    masks: Any,
    reverse: bool,
    between: Sequence[Any] | None,
) -> Run:
    if len(state) != len(cell.layers):
        raise ValueError(
            f"unroll: {counted(len(cell.layers), 'layer needs', plural='layers need')} as many states, got {len(state)}"
        )
    children: dict[str, Run] = {}
    outputs = steps
    for k, (layer, start) in enumerate(zip(cell.layers, state, strict=True)):
        children[f"layer{k}"] = _child(f"layer{k}", layer, outputs, batch, start, truncate, masks, reverse)
        outputs = children[f"layer{k}"].outputs
        if between and k < len(between):
            outputs = _times(outputs, between[k])
    runs = list(children.values())
    states = LazySequence(len(steps), lambda t: tuple(run.states[t] for run in runs))
    return Run(cell, steps, outputs, states, state, _merge(children), children, reverse, between=tuple(between or ()))


def _times(outputs: Sequence[Tensor], factor: Any) -> Sequence[Tensor]:
    """Every output times a row of an array (T, batch, hidden_size)."""
    if isinstance(outputs, LazySequence):
        return rows_of(stacked(outputs) * factor)
    products = []
    for t, output in enumerate(outputs):
        with timestep(t):
            products.append(output * factor[t])
    return products


def _unroll_directions(
    cell: Bidirectional, steps: Sequence[Tensor], batch: int, state: Any, truncate: int | None, masks: Any
) -> Run:
    if len(state) != 2:
        raise ValueError(f"unroll: two directions need two states, got {len(state)}")
    cells: tuple[Layer, Layer] = (cell.forward, cell.backward)
    children = {
        name: _child(name, part, steps, batch, start, truncate, masks, name == "backward")
        for name, part, start in zip(("forward", "backward"), cells, state, strict=True)
    }
    runs = list(children.values())
    states = LazySequence(len(steps), lambda t: Directions(*[run.states[t] for run in runs]))
    outputs: Sequence[Tensor]
    if all(run.tape is not None for run in runs):
        outputs = rows_of(concatenate([run.stacked for run in runs], axis=2))
    else:
        outputs = []
        for t in range(len(steps)):
            with timestep(t):
                outputs.append(concatenate([run.outputs[t] for run in runs], axis=1))
    return Run(cell, steps, outputs, states, Directions(*state), _merge(children), children)


def _child(name: str, layer: Any, steps: Sequence[Tensor], batch: int, *rest: Any) -> Run:
    with scope(name):
        if isinstance(layer, Bidirectional):
            return _unroll_directions(layer, steps, batch, *rest[:3])
        return _unroll_cell(layer, steps, batch, *rest)


def _merge(children: dict[str, Run]) -> Mapping[tuple[str, int], Tensor]:
    tables = {name: run.names for name, run in children.items()}
    if all(isinstance(table, LazyMapping) for table in tables.values()):
        lazy: dict[str, Any] = tables
        return LazyMapping(
            lambda: {f"{child}/{n}": values for child, table in lazy.items() for n, values in table.sequences.items()}
        )
    return {(f"{child}/{name}", t): value for child, run in children.items() for (name, t), value in run.names.items()}


def _unroll_cell(
    cell: Cell,
    steps: Sequence[Tensor],
    batch: int,
    state: Any,
    truncate: int | None,
    masks: Any,
    reverse: bool,
    restarts: Mapping[int, Sequence[Any]] | None = None,
) -> Run:
    state = first = _start(cell, state, batch)
    compiled = None if restarts else cell.run_compiled(steps, state, truncate, masks, reverse)
    if compiled is not None:
        return compiled  # type: ignore[no-any-return]
    count, kind = len(steps), cell.State
    outputs: list[Any] = [None] * count
    states: list[Any] = [None] * count
    names: dict[tuple[str, int], Tensor] = {}
    scopes: list[Any] = [None] * count
    with using(names=names), without_collections():
        for k in range(count):
            t = count - 1 - k if reverse else k
            with timestep(t) as scopes[t]:
                if truncate is not None and k and k % truncate == 0:
                    state = kind(*map(stop_gradient, state))
                if restarts and t in restarts:
                    state = _restart(cell, restarts[t], state, batch)
                mask = None if masks is None else masks[t]
                # zeros for padding: a NaN in it would reach the weights' gradients as 0 * NaN
                x = steps[t] if mask is None else where(mask, steps[t], 0.0)
                new = _tensors(cell, kind, _step(cell, x, state))
                if mask is not None:
                    new = kind._make([HELD(_fit(mask, n), n, o) for n, o in zip(new, state, strict=True)])
                named(**new._asdict())
                outputs[t] = new[0] if mask is None else where(_fit(mask, new[0]), new[0], 0.0)
                states[t] = state = new
    return Run(cell, steps, outputs, states, first, names, {}, reverse, scopes=scopes)


def _tensors(cell: Cell, kind: Any, state: Any) -> Any:
    """States as Tensors: what is given as an array depends on nothing."""
    if type(state) is kind and all([type(value) is Tensor for value in state]):  # noqa: C419 - a list, for speed
        return state
    return kind(*[_tensor(cell, name, value) for name, value in zip(cell.state_names, state, strict=True)])


def _tensor(cell: Cell, name: str, value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value
    return Tensor(real_array(f"unroll: state {name}", value, cell.dtype))


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _fit(mask: Any, value: Any) -> Any:
    return mask.reshape(mask.shape[0], *(1,) * (value.ndim - 1))


def _restart(cell: Cell, given: Sequence[Any], state: Any, batch: int) -> Any:
    """The states to go on from: what is given, and where nothing is, what the step before left."""
    if len(given) != len(state):
        raise ValueError(f"unroll: a restart needs {counted(len(state), 'value')} or None, got {len(given)}")
    return _start(cell, [old if new is None else new for new, old in zip(given, state, strict=True)], batch)


def _start(cell: Cell, state: Any, batch: int) -> Any:
    """The initial state as Tensors, checked against the cell's own; that, if none is given."""
    expected = cell.initial_state(batch)
    given: Sequence[Any] = expected if state is None else state if isinstance(state, (tuple, list)) else (state,)
    if len(given) != len(expected):
        raise ValueError(
            f"unroll: {type(cell).__name__} has states {cell.state_names}, got {counted(len(given), 'value')}"
        )
    tensors = []
    for name, value, like in zip(cell.state_names, given, expected, strict=True):
        value = _tensor(cell, name, value if state is None else gather(value))
        if state is not None and value.shape != like.shape:
            raise ValueError(f"unroll: state {name} must have shape {like.shape}, got {value.shape}")
        value.name = value.name or f"{name}_init"
        tensors.append(value)
    return cell.State(*tensors)


def _step(cell: Cell, x: Tensor, state: Any) -> Any:
    if not context.get().anomaly:
        return cell(x, state)
    before = Tensor(np.zeros(())).id
    try:
        return cell(x, state)
    except AnomalyError as error:
        gate = _gate_of(error.node.id - before, cell, x, state)
        raise anomaly_error(error.node, error.node._data, "forward", gate) from None


def _gate_of(position: int, cell: Cell, x: Tensor, state: Any) -> str | None:
    """The part of the cell that its operation at `position` serves.

    A gate gets its name only after it has been computed, so the step is run to its end once more.
    """
    names: dict[tuple[str, int], Tensor] = {}
    with using(anomaly=False, recording=True, names=names), np.errstate(all="ignore"):
        before = Tensor(np.zeros(())).id
        new = named(**cell(x, state)._asdict())
    return parts([*_as_tuple(new), *names.values()]).get(before + position)

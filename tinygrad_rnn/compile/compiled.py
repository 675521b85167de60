"""compile: a cell whose runs are one node each, at the speed of fused loops."""

from __future__ import annotations

import importlib.util
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ..cell import Cell
from ..functions import stack
from ..inner import TRAJECTORY, VALUE
from ..lazy import LazyMapping, LazySequence
from ..primitive import Value
from ..primitives import getitem
from ..scope import Scope, context, using
from ..stacks import Bidirectional, Stacked
from ..tensor import Tensor
from ..unroll import Run
from .kernels import CompileWarning
from .loops import BACKENDS
from .operation import UnrolledRun
from .program import Array, Key, Type
from .recurrence import Recurrence
from .symbol import UntraceableError
from .tape import Track
from .tracing import trace_step

__all__ = ["CompiledCell", "compile", "uncompiled"]


def compile(cell: Any, *, backend: str | None = None) -> Any:
    """A cell that :func:`~tinygrad_rnn.unroll` runs as fused loops over time, with the same results.

    The step is run once on symbols for every type of input it meets; its adjoint is derived by the same VJP
    rules as the eager sweep; both are simplified, fused and compiled. The run is one node of the graph, whose
    VJP is the adjoint loop; every state and named value of every timestep is still there, with its gradient.

    Parameters
    ----------
    cell : Cell, Stacked or Bidirectional
        Its parameters are shared, not copied. In a stack or two directions each cell is compiled.
    backend : {"numba", "numpy"}, optional
        Numba if it is installed (``pip install tinygrad-rnn[compile]``), otherwise NumPy.

    Returns
    -------
    CompiledCell, Stacked or Bidirectional

    Raises
    ------
    TypeError
        If `cell` is no cell.
    ValueError
        If there is no such backend.
    ImportError
        If Numba is asked for and not installed.

    Notes
    -----
    Python runs once: a step that draws random numbers draws them once, and one that chooses its way by numbers it
    computes cannot be compiled. It runs eagerly then, and a :class:`CompileWarning` says why.

    Examples
    --------
    >>> import numpy as np
    >>> import tinygrad_rnn as tg
    >>> cell = tg.cells.LSTMCell(2, 3, seed=0)
    >>> x = np.ones((5, 1, 2))
    >>> fast = tg.unroll(tg.compile(cell, backend="numpy"), x)
    >>> np.allclose(fast.stacked.data, tg.unroll(cell, x).stacked.data)
    True
    """
    chosen = _backend(backend)
    if isinstance(cell, Stacked):
        return Stacked(*[compile(layer, backend=chosen) for layer in cell.layers])
    if isinstance(cell, Bidirectional):
        return Bidirectional(compile(cell.forward, backend=chosen), compile(cell.backward, backend=chosen))
    if not isinstance(cell, Cell):
        raise TypeError(f"compile: needs a Cell, Stacked or Bidirectional, got {type(cell).__name__}")
    return CompiledCell(cell.cell if isinstance(cell, CompiledCell) else cell, chosen)


def uncompiled(cell: Any) -> Any:
    """The cell that a compiled one was made from; in a stack or two directions, of each."""
    if isinstance(cell, Stacked):
        return Stacked(*[uncompiled(layer) for layer in cell.layers])
    if isinstance(cell, Bidirectional):
        return Bidirectional(uncompiled(cell.forward), uncompiled(cell.backward))
    return cell.cell if isinstance(cell, CompiledCell) else cell


def _backend(name: str | None) -> str:
    installed = all(importlib.util.find_spec(module) for module in ("numba", "scipy"))
    if name is None:
        return "numba" if installed else "numpy"
    if name not in BACKENDS:
        raise ValueError(f"compile: backend must be one of {', '.join(BACKENDS)}, got {name!r}")
    if name == "numba" and not installed:
        raise ImportError("compile: the backend numba needs Numba and SciPy: pip install tinygrad-rnn[compile]")
    return name


class CompiledCell(Cell):
    """Made by :func:`compile`: a cell with the parameters of another, which runs whole sequences at once.

    Attributes
    ----------
    cell : Cell
        The cell it was made from.
    backend : {"numba", "numpy"}
    """

    is_compiled = True

    def __init__(self, cell: Cell, backend: str) -> None:
        self.cell = cell
        self.backend = backend
        self.input_size, self.hidden_size, self.dtype = cell.input_size, cell.hidden_size, cell.dtype
        self.state_names, self.State = cell.state_names, cell.State  # type: ignore[misc]
        self._known: dict[tuple[Any, ...], Recurrence | None] = {}
        self._lock = threading.RLock()
        self._operation = UnrolledRun(f"unrolled {type(cell).__name__}", self._find)

    @property
    def initialisation(self) -> str:  # type: ignore[override]
        """How the parameters were filled."""
        return self.cell.initialisation

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        return self.cell.named_parameters()

    def initial_state(self, batch: int) -> Any:
        return self.cell.initial_state(batch)

    def step(self, x: Value, state: Any) -> Any:
        """One step, eagerly."""
        return self.cell.step(x, state)

    def _loaded(self) -> None:
        self.cell._loaded()

    def __repr__(self) -> str:
        return repr(self.cell)

    # --------------------------------------------------------------------------------------- tracing

    def recurrence(self, x: Any, state: Sequence[Any], masked: bool = False) -> Recurrence | None:
        """What has been worked out for inputs (T, batch, input_size) and states of these shapes and dtypes.

        ``None`` if the step cannot be traced.
        """
        types = [Type(np.shape(x)[1:], x.dtype), *(Type(s.shape, s.dtype) for s in state)]
        key = (masked, *types)
        with self._lock:
            if key in self._known:
                return self._known[key]
            found = self._trace(types, masked)
            own = {parameter.id for parameter in self.parameters()}
            if found is None or all(tensor.id in own for tensor in found.traced.captured):
                self._known[key] = found
            return found

    def _trace(self, types: Sequence[Type], masked: bool) -> Recurrence | None:
        try:
            traced = trace_step(self.cell, types[0], types[1:], masked)
            return Recurrence(traced, self.backend, repr(self))
        except UntraceableError as error:
            why = str(error)
        except Exception as error:  # whatever a step does to a symbol; run eagerly, it says so itself if it is wrong
            why = f"its step fails on symbols with {type(error).__name__}: {error}"
        warnings.warn(f"compile: {self!r} runs eagerly, since {why}", CompileWarning, stacklevel=6)
        return None

    def _find(self, operands: Sequence[Array], masked: bool) -> Recurrence:
        found = self.recurrence(operands[0], operands[1 : 1 + len(self.state_names)], masked)
        assert found is not None
        return found

    # --------------------------------------------------------------------------------------- running

    def run_compiled(self, steps: Any, state: Any, truncate: int | None, masks: Any, reverse: bool) -> Run | None:
        ambient = context.get()
        if ambient.anomaly:
            return None  # to name the operation that went wrong, every operation has to be there
        lazy = isinstance(steps, LazySequence) and steps.whole is not None
        x = steps.whole() if lazy else stack(list(steps))
        mask = _mask_array(masks, x.shape[1])
        recurrence = self.recurrence(x, state, mask is not None)
        if recurrence is None:
            return None
        attributes: dict[str, Any] = {"truncate": int(truncate)} if truncate else {}
        attributes |= {"reverse": True} if reverse else {}
        attributes |= {"mask": mask} if mask is not None else {}
        tape = self._operation.on((x, *state, *recurrence.traced.captured), attributes)
        return _Views(self, recurrence, tape, len(steps), reverse, ambient.scope).run(steps, state)


def _mask_array(masks: Any, batch: int) -> Array | None:
    if masks is None or all(mask is None for mask in masks):
        return None
    return np.stack([np.ones((batch, 1), bool) if mask is None else mask for mask in masks])


class _Views:
    """The Tensors of a compiled run, each made when somebody looks at it."""

    def __init__(
        self, cell: CompiledCell, recurrence: Recurrence, tape: Tensor, steps: int, reverse: bool, around: Scope | None
    ) -> None:
        self.cell = cell
        self.tape = tape
        self.steps = steps
        self.reverse = reverse
        self.tracks = recurrence.tracks(steps)
        self.order = recurrence.traced.order
        self.scopes = LazySequence(steps, lambda t: Scope(around, "timestep", f"t={t}", t))
        self.around = around

    def run(self, inputs: Sequence[Tensor], state: Any) -> Run:
        fields = self.cell.state_names
        keys = {name: ("state" if name in fields else "value", name) for name in self.order}
        names = {name: self.series(key) for name, key in keys.items()}
        states = LazySequence(self.steps, lambda t: self.cell.State(*[names[name][t] for name in fields]))
        outputs = self.series(("output", "")) if ("output", "") in self.tracks else names[fields[0]]
        return Run(
            self.cell, inputs, outputs, states, state, LazyMapping(names), {}, self.reverse, self.scopes, self.tape
        )

    def series(self, key: Key) -> LazySequence:
        track = self.tracks[key]
        first = int(key[0] == "state")
        return LazySequence(self.steps, lambda t: self._value(key, track, first, t), self._whole(key, track, first))

    def _value(self, key: Key, track: Track, first: int, t: int) -> Tensor:
        row = self.steps - 1 - t if self.reverse else t
        start = track.start + (row + first) * track.size
        attributes = {"key": key, "row": row, "start": start, "shape": track.shape}
        with using(scope=self.scopes[t], recording=True, anomaly=False, names=None):
            value: Tensor = VALUE.on((self.tape,), attributes)
        value.name = key[1] or None
        return value

    def _whole(self, key: Key, track: Track, first: int) -> Callable[[], Tensor]:
        def whole() -> Tensor:
            start = track.start + first * track.size
            with using(scope=self.around, anomaly=False, names=None):
                series = TRAJECTORY.on((self.tape,), {"key": key, "start": start, "shape": (self.steps, *track.shape)})
                out: Tensor = getitem(series, slice(None, None, -1)) if self.reverse else series
            return out

        return whole

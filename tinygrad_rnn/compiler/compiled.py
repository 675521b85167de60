"""compile: a cell whose runs are one node each, at the speed of fused loops."""

from __future__ import annotations

import importlib.util
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ..arguments import is_integer, one_of
from ..autodiff.arrays import plain
from ..autodiff.primitive import Value
from ..autodiff.scope import context
from ..autodiff.tensor import Tensor
from ..recurrent.cell import Cell
from ..recurrent.lazy import stacked
from ..recurrent.stacks import Bidirectional, Stacked
from ..recurrent.unroll import Run
from .checkpoint import interval
from .ensemble import UnrolledEnsemble
from .errors import CompileWarning, UntraceableError
from .loops import BACKENDS
from .operation import UnrolledRun
from .program import Array, Program
from .recurrence import Recurrence
from .specialised import Specialised
from .views import Views

__all__ = ["CompiledCell", "CompiledEnsemble", "compile", "uncompiled"]


def compile(cell: Any, *, checkpoint: str | int | None = None, backend: str | None = None) -> Any:
    """A cell that :func:`~tinygrad_rnn.unroll` runs as fused loops over time, with the same results.

    The step is run once on symbols for every type of input it meets; its adjoint is derived by the same VJP
    rules as the eager sweep; both are simplified, fused and compiled. The run is one node of the graph, whose
    VJP is the adjoint loop; every state and named value of every timestep is still there, with its gradient.

    Parameters
    ----------
    cell : Cell, Stacked, Bidirectional, or list of Cells
        Its parameters are shared, not copied. In a stack or two directions each cell is compiled. A list of
        alike cells, such as many initialisations of one, becomes a :class:`CompiledEnsemble`.
    checkpoint : {"sqrt"} or int, optional
        Keep the states every so many steps only, ``"sqrt"`` for the square root of their number, and compute the
        rest again on the way back: far less memory, for one more forward pass (Chen et al. 2016).
    backend : {"numba", "numpy"}, optional
        Numba if it is installed (``pip install tinygrad-rnn[compile]``), otherwise NumPy.

    Returns
    -------
    CompiledCell, Stacked, Bidirectional or CompiledEnsemble

    Raises
    ------
    TypeError
        If `cell` is no cell.
    ValueError
        If there is no such backend, or `checkpoint` is neither ``"sqrt"`` nor a positive number of steps.
    ImportError
        If Numba is asked for and not installed.

    Notes
    -----
    Python runs once: a step that draws random numbers draws them once, and one that chooses its way by numbers it
    computes cannot be compiled. It runs eagerly then, and a :class:`CompileWarning` says why. Attributes of the cell
    that have changed are noticed at the next run; variables from around the step are read once.

    A list of Tensors, one a timestep, enters the run as their stack: if a path leads from the loss to any of them,
    ``backward`` fills the ``grad`` of all, with zeros where eagerly it stays None because no path leads there.

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
    options: dict[str, Any] = {"checkpoint": checkpoint, "backend": _backend(backend)}
    if checkpoint not in (None, "sqrt") and not is_integer(checkpoint):
        raise ValueError(f"compile: checkpoint must be 'sqrt' or a positive number of steps, got {checkpoint!r}")
    if isinstance(cell, Stacked):
        return Stacked(*[compile(layer, **options) for layer in cell.layers])
    if isinstance(cell, Bidirectional):
        return Bidirectional(compile(cell.forward, **options), compile(cell.backward, **options))
    if isinstance(cell, (list, tuple)):
        if checkpoint is not None:
            raise ValueError("compile: an ensemble cannot be checkpointed; compile its cells one by one")
        return CompiledEnsemble([uncompiled(member) for member in cell], options["backend"])
    if not isinstance(cell, Cell):
        raise TypeError(f"compile: needs a Cell, Stacked, Bidirectional or a list of Cells, got {type(cell).__name__}")
    return CompiledCell(uncompiled(cell), **options)


def uncompiled(cell: Any) -> Any:
    """The cell that a compiled one was made from; in a stack or two directions, of each."""
    if isinstance(cell, Stacked):
        return Stacked(*[uncompiled(layer) for layer in cell.layers])
    if isinstance(cell, Bidirectional):
        return Bidirectional(uncompiled(cell.forward), uncompiled(cell.backward))
    return cell.cell if isinstance(cell, CompiledCell) else cell


def _backend(name: str | None) -> str:
    installed = all(importlib.util.find_spec(module) for module in ("numba", "scipy", "threadpoolctl", "platformdirs"))
    if name is None:
        return "numba" if installed else "numpy"
    one_of("compile", "backend", name, BACKENDS)
    if name == "numba" and not installed:
        raise ImportError("compile: the backend numba is not installed: pip install tinygrad-rnn[compile]")
    return name


class CompiledCell(Cell):
    """Made by :func:`compile`: a cell with the parameters of another, which runs whole sequences at once.

    Attributes
    ----------
    cell : Cell
        The cell it was made from.
    checkpoint : {"sqrt"}, int or None
    backend : {"numba", "numpy"}
    """

    is_compiled = True
    _lead = 0
    _twins: Sequence[Cell] = ()

    def __init__(self, cell: Cell, checkpoint: str | int | None, backend: str) -> None:
        self.cell = cell
        self.checkpoint = checkpoint
        self.backend = backend
        self.input_size, self.hidden_size, self.dtype = cell.input_size, cell.hidden_size, cell.dtype
        self.state_names = cell.state_names
        self._lock = threading.RLock()
        self._latest: Specialised | None = None

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

    def _after_load(self) -> None:
        self.cell._after_load()

    def __repr__(self) -> str:
        return repr(self.cell)

    def __reduce__(self) -> Any:
        """A copy works everything out afresh."""
        return type(self), (self.cell, self.checkpoint, self.backend)

    # --------------------------------------------------------------------------------------- tracing

    def recurrence(self, x: Any, state: Sequence[Any], masked: bool = False) -> Recurrence | None:
        """What has been worked out for inputs (T, batch, input_size) and states of these shapes and dtypes.

        ``None`` if the step cannot be traced.
        """
        return self._usable(self._specialised().recurrence(x, state, masked, self._lead))

    def _usable(self, found: Recurrence | UntraceableError) -> Recurrence | None:
        """What has been found, or a warning that says why there is nothing."""
        if not isinstance(found, UntraceableError):
            return found
        warnings.warn(f"compile: {self!r} runs eagerly, since {found}", CompileWarning, stacklevel=6)
        return None

    def _specialised(self) -> Specialised:
        """The cell as it is now: what has been worked out, unless an attribute has changed since."""
        latest = self._latest
        if latest is not None and latest.holds:
            return latest
        with self._lock:
            if self._latest is None or not self._latest.holds:
                self._latest = Specialised(self.cell, self.backend, repr(self), self._operation, self._twins)
            return self._latest

    def programs(self, batch: int = 1) -> dict[str, Program]:
        """What the cell becomes for a batch, to be printed, or drawn with :func:`inspector.render_program`.

        Returns
        -------
        dict of str to Program
            ``"traced"``, the step as it was written; ``"step"``, the same after the passes; and the parts that
            run one after the other: ``"forward once"``, ``"forward ahead"``, ``"forward loop"``,
            ``"forward after"``, and for the adjoint likewise ``"adjoint once"`` to ``"adjoint total"``.

        Raises
        ------
        ValueError
            If the step cannot be traced.
        """
        x = np.zeros((1, batch, self.input_size), self.dtype)
        recurrence = self.recurrence(x, [np.asarray(plain(state)) for state in self.initial_state(batch)])
        if recurrence is None:
            raise ValueError(f"compile: {self!r} cannot be traced; it runs eagerly")
        adjoint = recurrence.adjoint_loop((), "").schedule
        return {
            "traced": recurrence.traced.program,
            "step": recurrence.step,
            **{f"forward {name}": part for name, part in recurrence.forward_loop.schedule.parts().items() if part.body},
            **{f"adjoint {name}": part for name, part in adjoint.parts().items() if part.body},
        }

    # --------------------------------------------------------------------------------------- running

    def run_compiled(self, steps: Any, state: Any, truncate: int | None, masks: Any, reverse: bool) -> Run | None:
        ambient = context.get()
        if ambient.anomaly:
            return None  # to name the operation that went wrong, every operation has to be there
        x = stacked(steps)
        mask = None if masks is None else _mask_array(masks, x.shape[1])
        now = self._specialised()
        arrays = [value._data for value in state]
        recurrence = self._usable(now.recurrence(x._data, arrays, mask is not None, self._lead))
        if recurrence is None:
            return None
        attributes: dict[str, Any] = {"truncate": int(truncate)} if truncate else {}
        attributes |= {"reverse": True} if reverse else {}
        attributes |= {"mask": mask} if mask is not None else {}
        if self.checkpoint is not None:
            attributes["checkpoint"] = interval(self.checkpoint, len(steps))
        operands = (x, *state, *self._operands(recurrence))
        tape = Tensor._apply(now.operation, operands, attributes)
        return Views(self, recurrence, tape, now.recomputed, operands, attributes, ambient.scope).run(steps, state)

    def _operands(self, recurrence: Recurrence) -> Sequence[Tensor]:
        """The Tensors that the step reads besides inputs and states."""
        return recurrence.traced.captured

    def _operation(self, find: Callable[..., Recurrence]) -> UnrolledRun:
        return UnrolledRun(f"unrolled {type(self.cell).__name__}", find)


class CompiledEnsemble(CompiledCell):
    """Many alike cells run over the same inputs in one call; made by :func:`compile` from a list of them.

    Inputs are shared, (T, batch, input_size); states and outputs have the members in front, (members, batch,
    hidden_size), and so have the parameters, which are copies.

    Attributes
    ----------
    members : tuple of Cell

    Raises
    ------
    TypeError
        If there is no cell, or something else.
    ValueError
        If the cells differ in class, sizes, dtype or parameters.
    """

    _lead = 1

    def __init__(self, members: Sequence[Cell], backend: str) -> None:
        if not members or not all(isinstance(member, Cell) for member in members):
            raise TypeError("compile: an ensemble needs a list of Cells, at least one")
        kinds = {
            (type(m), m.input_size, m.hidden_size, m.dtype, tuple(n for n, _ in m.named_parameters())) for m in members
        }
        if len(kinds) > 1:
            raise ValueError("compile: the cells of an ensemble must be alike in class, sizes, dtype and parameters")
        super().__init__(members[0], None, backend)
        self.members = tuple(members)
        self._twins = self.members[1:]
        tables = [dict(member.named_parameters()) for member in members]
        self._stacked = {
            name: Tensor(np.stack([table[name].data for table in tables]), True, name) for name in tables[0]
        }

    def __len__(self) -> int:
        return len(self.members)

    def __reduce__(self) -> Any:
        return type(self), (self.members, self.backend), {"_stacked": self._stacked}

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        yield from self._stacked.items()

    def initial_state(self, batch: int) -> Any:
        """The initial states of all members, (members, batch, hidden_size)."""
        single = [member.initial_state(batch) for member in self.members]
        return self.State(
            *[np.stack([np.asarray(plain(state)) for state in states]) for states in zip(*single, strict=True)]
        )

    def step(self, x: Value, state: Any) -> Any:
        raise NotImplementedError("an ensemble runs compiled only; take one of its members to run it step by step")

    def __repr__(self) -> str:
        return f"{len(self)} x {self.cell!r}"

    def _operands(self, recurrence: Recurrence) -> Sequence[Tensor]:
        names = {parameter.id: name for name, parameter in self.cell.named_parameters()}
        return [self._stacked[names[tensor.id]] for tensor in recurrence.traced.captured]

    def _operation(self, find: Callable[..., Recurrence]) -> UnrolledRun:
        return UnrolledEnsemble(f"unrolled ensemble of {type(self.cell).__name__}", find)

    def _usable(self, found: Recurrence | UntraceableError) -> Recurrence:
        """As for one cell; an ensemble cannot fall back to running step by step.

        Raises
        ------
        ValueError
            If the step cannot be traced, or reads more than inputs, states and parameters.
        """
        if isinstance(found, UntraceableError):
            raise ValueError(f"compile: {self!r} runs eagerly, since {found}, which an ensemble cannot")
        own = {parameter.id for parameter in self.cell.parameters()}
        if any(tensor.id not in own for tensor in found.traced.captured):
            raise ValueError(
                f"compile: {self.cell!r} reads Tensors that are no parameters, which an ensemble cannot stack"
            )
        return found


def _mask_array(masks: Sequence[Any], batch: int) -> Array | None:
    if all(mask is None for mask in masks):
        return None
    return np.stack([np.ones((batch, 1), bool) if mask is None else mask for mask in masks])

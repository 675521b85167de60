"""save_onnx: cells, stacks, runs and models out of such files as ONNX files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ... import __version__, files
from ...arguments import integer
from ...autodiff.scope import no_grad
from ...autodiff.tensor import Tensor
from ...recurrent.cell import Cell
from ...recurrent.inner import HELD
from ...recurrent.stacks import Bidirectional, Stacked
from ...recurrent.states import leaves_of
from ...recurrent.unroll import Run, unroll
from ..imported import Imported
from ..onnx.file import PRODUCER
from ..packages import import_package
from ..recipe import OfBatch, Recipe, merge
from ..refusal import UnsupportedError
from ..step_recipe import Library, Opened, open_cell, recipe_of_step
from ..weights import printable
from .imported import proto_of
from .model import IR, OPSET, Array, Model, Value
from .ops import ONNX
from .standard import Standard, recurrent, standard_of
from .steps import Step, scan, unrolled

__all__ = ["save_onnx"]

WHO = "save_onnx"
_BATCHES = (5, 7)
"""Two that no size of a cell is likely to be, by which what depends on the batch is told from what does not."""
SIDES = ("forward", "backward")
_LARGEST = 2**31 - 2**20
"""Bytes of a file: protobuf holds 2 GiB."""


def save_onnx(
    model: Any, path: str | Path, *, dtype: Any = None, steps: int | None = None, batch: int | None = None
) -> Path:
    """A cell, a stack, two directions or a run as an ONNX file, for sequences and batches of any length.

    A cell that is one of ONNX's own operators (RNN, LSTM with or without peepholes or coupled gates, GRU of both kinds)
    is written as that in float32; onnxruntime has them in no other precision. Every other cell, and all in float64,
    is a Scan: its body is the step, in which gates and states keep their names.

    Parameters
    ----------
    model : Cell, Stacked, Bidirectional, Run or Imported
        A built-in cell or one of your own, compiled or not; of a run its cell, where it began and its direction; of a
        model out of an ONNX file its own graph, with the parameters as they are now.
    path : path
        ``.onnx`` by custom.
    dtype : dtype, optional
        float32 or float64: what the model computes in; the cell's when omitted.
    steps : int, optional
        Write this many timesteps as plain nodes, one after the other, in place of loops and recurrent operators.
    batch : int, optional
        The one size of a batch that the file takes, for cells that know no other and runtimes that want one; any size
        when omitted.

    Returns
    -------
    Path

    Raises
    ------
    TypeError
        If `model` is none of these.
    ValueError
        If `dtype`, `steps` or `batch` is none, or given for a model out of a file.
    UnsupportedError
        If a step cannot be traced, because it looks at numbers; if a primitive of its own has no counterpart in ONNX
        (the message has the line); if it depends on the batch size in a way that cannot be written down, or draws
        random numbers; if a run has masks; if the model came from another format; if it does not pass ONNX's checks.
        Nothing is written then.
    ImportError
        If the onnx package is not installed.

    Notes
    -----
    Inputs are ``x`` (T, batch, input_size) and, for each state, ``h_init`` and the like, which may be left out: the
    state begins as the cell's does, or the run's. Outputs are ``outputs`` (T, batch, hidden_size) and ``h_final`` and
    the like. In a stack or two directions states are called as in a run, ``layer0/forward/h_init``. Parameters keep
    their names but in the standard operators, which have theirs in one matrix.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import tinygrad_rnn as tg
    >>> path = Path(tempfile.mkdtemp()) / "lstm.onnx"
    >>> tg.save_onnx(tg.cells.LSTMCell(3, 4), path, dtype="float32").name  # doctest: +SKIP
    'lstm.onnx'
    """
    if not isinstance(model, (Cell, Stacked, Bidirectional, Run, Imported)):
        raise TypeError(f"{WHO}: needs a Cell, Stacked, Bidirectional, Run or Imported, got {type(model).__name__}")
    if dtype is not None and np.dtype(dtype) not in (np.float32, np.float64):
        raise ValueError(f"{WHO}: dtype must be float32 or float64, got {dtype}")
    for name, number in (("steps", steps), ("batch", batch)):
        if number is not None:
            integer(WHO, name, number, 1)
    files.check(path)
    if isinstance(model, Run):
        _check_run(model)
    if not isinstance(model, Imported):
        return _written(_Network(model, dtype, steps, batch).proto(), path, is_ours=True)
    if (dtype, steps, batch) != (None, None, None):
        raise ValueError(f"{WHO}: dtype, steps and batch are for cells; {printable(model.name)} goes back as it is")
    return _written(proto_of(model, WHO), path)


def _written(proto: Any, path: str | Path, is_ours: bool = False) -> Path:
    """Write a model that passes all checks; one of our making with the shapes of all its values."""
    onnx = import_package("onnx", WHO)
    _check_size(proto.ByteSize())
    try:
        if is_ours:
            proto = onnx.shape_inference.infer_shapes(proto, check_type=True, strict_mode=True, data_prop=True)
        data = proto.SerializeToString(deterministic=True)
        onnx.checker.check_model(data, full_check=True)
    except (ValueError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = " ".join(str(error).split())
        raise UnsupportedError(f"{WHO}: {proto.graph.name} does not pass onnx.checker: {printable(reason)}") from None
    return files.write(path, data)


def _check_size(size: int) -> None:
    if size > _LARGEST:
        raise UnsupportedError(f"{WHO}: {size:,} bytes of weights are more than the 2 GiB that an ONNX file can have")


def _check_run(run: Run) -> None:
    """Refuse what a run did besides going through its cell."""
    if run.between:
        raise UnsupportedError(
            f"{WHO}: the run multiplied the outputs of its layers by masks of its own; give its cell"
        )
    for one in run.cells:
        masked = (
            any(value.op is HELD for state in one.states for value in state)
            if one.tape is None
            else one.tape.attributes.get("mask") is not None
        )
        if masked:
            raise UnsupportedError(
                f"{WHO}: some steps of the run count for no sequence (lengths, mask), and the file would have none of"
                " that; give its cell"
            )
    inputs = np.stack([x.data for x in run.inputs])
    with no_grad(), np.errstate(all="ignore"):
        again = unroll(run.cell, inputs, run.initial_state, reverse=run.reverse).stacked.data
    close = 1e-4 if again.dtype == np.float32 else 1e-9
    if not np.allclose(run.stacked.data, again, close, close, equal_nan=True):
        raise UnsupportedError(
            f"{WHO}: the run is not what its cell gives now: it began anew on the way (restarts), or the weights have"
            " changed since; give its cell"
        )


class _Start(NamedTuple):
    """A state before the first step: numbers, with one row for all sequences, and the axes that grow with the batch."""

    rows: Array
    axes: tuple[int, ...]

    @property
    def shape(self) -> tuple[Any, ...]:
        return tuple(OfBatch(1, 0) if k in self.axes else n for k, n in enumerate(self.rows.shape))

    @property
    def port(self) -> list[Any]:
        return ["batch" if k in self.axes else n for k, n in enumerate(self.rows.shape)]


class _Network:
    """A network in the making."""

    def __init__(self, source: Any, dtype: Any, steps: int | None, batch: int | None) -> None:
        run = source if isinstance(source, Run) else None
        opened = open_cell(source.cell if run else source, WHO)
        self.cell, self.singles, self.tree = opened.cell, opened.singles, opened.tree
        self.names = opened.names
        self.dtype = np.dtype(self.cell.dtype if dtype is None else dtype)
        if self.dtype not in (np.float32, np.float64):
            raise UnsupportedError(f"{WHO}: {self.cell!r} is in {self.dtype}; give dtype=np.float32 or np.float64")
        self.parameters = dict(self.cell.named_parameters())
        size = sum(parameter.size for parameter in self.parameters.values()) * self.dtype.itemsize
        _check_size(size)
        self.steps, self.reverse = steps, bool(run and run.reverse)
        self.batches, self.batch = (batch, batch) if batch else _BATCHES, batch or "batch"
        self.starts = _starts(opened, leaves_of((run.initial_state,)) if run else None, self.batches)
        self.model = Model(WHO)
        self.outer = self.model.outer
        self.values: dict[str, Value] = {}
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []

    def proto(self) -> Any:
        """The model."""
        helper = self.model.onnx.helper
        T: Any = self.steps or "T"
        self.model.ports |= {"x", "outputs"}
        for single, prefix in _places(self.tree, ""):
            states = self.singles[single].state_names
            self.model.ports |= {f"{prefix}{name}_{end}" for name in states for end in ("init", "final")}
        x = self.outer.value(self.outer.fresh("x", is_port=True), self.dtype)
        self.inputs.append(self.model.port("x", self.dtype, [T, self.batch, self.cell.input_size]))
        self._write(self.tree, x, "", "outputs", self.reverse)
        self.outputs.insert(0, self.model.port("outputs", self.dtype, [T, *self._width()]))
        self.outer.inputs = self.inputs
        return helper.make_model(
            self.outer.proto(repr(self.cell), self.outputs),
            producer_name=PRODUCER,
            producer_version=__version__,
            ir_version=IR,
            opset_imports=[helper.make_opsetid("", OPSET)],
            doc_string=f"{self.cell!r} over time, written by tinygrad_rnn.save_onnx",
        )

    def _width(self) -> list[Any]:
        """The shape of an output: that of the first state, which has more axes in a loop over stacked values."""
        return self.starts[self.tree][0].port if isinstance(self.tree, int) else [self.batch, self.cell.hidden_size]

    def _write(self, tree: Any, x: Value, path: str, out: str, reverse: bool) -> Value:
        """A part of the network; its outputs, which are called `out`."""
        if isinstance(tree, int):
            return self._cell(tree, x, path, out, reverse)
        kind, branches = tree
        inner = f"{path}/" if path else ""
        if kind == "stack":
            for k, branch in enumerate(branches):
                place = f"{inner}layer{k}"
                last = k == len(branches) - 1
                x = self._write(branch, x, place, out if last else f"{place}/outputs", reverse)
            return x
        standards = [self._standard(branch) for branch in branches]
        if standards[0] and standards[1] and standards[0].goes_with(standards[1]):
            label = path or type(self.cell).__name__
            places = [(branch, f"{inner}{side}/") for branch, side in zip(branches, SIDES, strict=True)]
            about = ", ".join(repr(self.singles[branch]) for branch in branches)
            return self._recurrent([s for s in standards if s], places, x, [label, out], about, "bidirectional")
        found = []
        for branch, side in zip(branches, SIDES, strict=True):
            place = f"{inner}{side}"
            found.append(self._write(branch, x, place, f"{place}/outputs", side == "backward"))
        return self.outer.node("Concat", *found, axis=2, name=out)

    def _standard(self, single: int) -> Standard | None:
        """The operator of a single cell, where a model may have it: onnxruntime computes it in float32 alone."""
        fits = self.dtype == np.float32 and self.steps is None
        return standard_of(self.singles[single]) if fits else None

    def _cell(self, single: int, x: Value, path: str, out: str, reverse: bool) -> Value:
        cell, prefix = self.singles[single], f"{path}/" if path else ""
        names, about = [path or type(cell).__name__, out], repr(cell)
        standard = self._standard(single)
        if standard:
            direction = "reverse" if reverse else "forward"
            return self._recurrent([standard], [(single, prefix)], x, names, about, direction)
        library = Library(WHO, "ONNX", ONNX)
        recipe = self._recipe(library, cell)
        self.outer.prefix = prefix
        parameters = {e.what: self._parameter(e.what) for e in recipe.entries if e.kind == "parameter"}
        step = Step(library.of(cell), recipe, parameters, (cell.dtype, self.dtype))
        starts = [
            self._start(f"{prefix}{name}", s) for name, s in zip(cell.state_names, self.starts[single], strict=True)
        ]
        names += self._finals(single, prefix)
        if self.steps:
            width = self.starts[single][0].rows.shape[1:]
            found = unrolled(self.outer, step, x, starts, self.steps, width, names, reverse)
        else:
            ports = [[self.batch, cell.input_size], *[start.port for start in self.starts[single]]]
            found = scan(self.outer, step, x, starts, ports, names, about, reverse)
        self.outer.prefix = ""
        return found[0]

    def _recipe(self, library: Library, cell: Cell) -> Recipe:
        try:
            recipes = [recipe_of_step(library, cell, self.names, batch) for batch in self.batches]
        except UnsupportedError:
            raise
        except ValueError as error:
            raise UnsupportedError(f"{error}; save_onnx writes it for one size of a batch: batch=") from None
        return merge(library.of(cell), recipes, self.batches)

    def _recurrent(
        self,
        sides: Sequence[Standard],
        places: Sequence[tuple[int, str]],
        x: Value,
        names: list[str],
        about: str,
        direction: str,
    ) -> Value:
        """The one node of one or two cells."""
        starts = [
            [
                self._start(f"{prefix}{name}", start, is_stacked=True)
                for name, start in zip(self.singles[single].state_names, self.starts[single], strict=True)
            ]
            for single, prefix in places
        ]
        names = names + [name for single, prefix in places for name in self._finals(single, prefix)]
        self.outer.prefix = f"{names[0]}/"
        found = recurrent(self.outer, sides, x, starts, names, about, direction)
        self.outer.prefix = ""
        return found[0]

    def _parameter(self, name: str) -> Value:
        if name not in self.values:
            array = self.parameters[name].data
            array = array.astype(self.dtype) if array.dtype == self.cell.dtype else array
            self.values[name] = self.outer.model.initialiser(name, array)
        return self.values[name]

    def _start(self, name: str, start: _Start, is_stacked: bool = False) -> Value:
        """A state before the first step: an input that may be left out."""
        rows = start.rows.astype(self.dtype) if start.rows.dtype == self.cell.dtype else start.rows
        value = self.model.initialiser(f"{name}_init", rows, is_port=True)
        self.inputs.append(self.model.port(value.name, rows.dtype, start.port))
        shape = (1, *start.shape) if is_stacked else start.shape
        return self.outer.node("Expand", value, self.model.sizes(shape), name=f"{name}_start") if start.axes else value

    def _finals(self, single: int, prefix: str) -> list[str]:
        """The names of the states after the last step, which are outputs."""
        names = []
        for name, start in zip(self.singles[single].state_names, self.starts[single], strict=True):
            dtype = self.dtype if start.rows.dtype == self.cell.dtype else start.rows.dtype
            names.append(f"{prefix}{name}_final")
            self.outputs.append(self.model.port(names[-1], dtype, start.port))
        return names


def _places(tree: Any, path: str) -> Iterator[tuple[int, str]]:
    """The single cells of a network, and what stands before the names of their states."""
    inner = f"{path}/" if path else ""
    if isinstance(tree, int):
        yield tree, inner
        return
    kind, branches = tree
    names = [f"layer{k}" for k in range(len(branches))] if kind == "stack" else SIDES
    for branch, name in zip(branches, names, strict=True):
        yield from _places(branch, f"{inner}{name}")


def _starts(opened: Opened, given: Sequence[Any] | None, batches: tuple[int, int]) -> list[list[_Start]]:
    """Of every single cell its states before the first step; as `given`, if they are."""
    found = []
    left = iter(given or ())
    for cell in opened.singles:
        one, two = (cell.initial_state(batch) for batch in batches)
        states = []
        for name, a, b in zip(cell.state_names, one, two, strict=True):
            who = f"{WHO}: {type(cell).__name__}: state {name}"
            axes = tuple(k for k, (m, n) in enumerate(zip(a.shape, b.shape, strict=True)) if m != n)
            array = np.asarray(_plain(a if given is None else next(left)))
            first = array[tuple(slice(0, 1) if k in axes else slice(None) for k in range(array.ndim))]
            if np.array_equal(np.broadcast_to(first, array.shape), array, equal_nan=True):
                array = first
            elif given is None:
                raise UnsupportedError(f"{who} begins otherwise in each sequence of a batch")
            if not axes and array.shape != a.shape:
                raise ValueError(f"{who} has shape {array.shape} in the run, and {a.shape} for batch={batches[0]}")
            states.append(_Start(np.array(array), axes))
        found.append(states)
    return found


def _plain(value: Any) -> Any:
    return value.data if isinstance(value, Tensor) else value

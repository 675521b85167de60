"""The step of a cell, and the state before its first one, as lists of operations that another library can carry out."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..autodiff.ancestry import ancestors
from ..autodiff.primitive import Primitive
from ..autodiff.scope import timestep, using
from ..autodiff.tensor import Tensor
from ..compiler.compiled import CompiledEnsemble, uncompiled
from ..compiler.errors import UntraceableError
from ..compiler.program import Key, Literal, Type
from ..compiler.symbol import Builder, Symbol
from ..recurrent.cell import Cell
from ..recurrent.stacks import Bidirectional, Stacked
from ..recurrent.states import leaves_of
from ..recurrent.unroll import unroll
from .recipe import Entry, Recipe
from .refusal import UnsupportedError

__all__ = ["Library", "Opened", "compare", "open_cell", "recipe_of_start", "recipe_of_step"]

_CLOSE = {"float16": 1e-2, "bfloat16": 5e-2, "float32": 1e-4}
"""How near numbers of a precision are that differ by rounding alone."""
_PACKAGE = str(Path(__file__).resolve().parents[1])


class Library(NamedTuple):
    """Where a cell goes: who asks, what it is called, and the primitives that have a counterpart there."""

    who: str
    name: str
    known: Collection[str]

    def of(self, cell: Cell) -> str:
        """Who asks for which cell, for errors."""
        return f"{self.who}: {type(cell).__name__}"


class Opened(NamedTuple):
    """A cell to take out.

    Attributes
    ----------
    cell : Cell, Stacked or Bidirectional
        Not compiled.
    names : dict of Tensor id to str
        Of its parameters.
    singles : list of Cell
    tree : tuple or int
        How the single cells stand together: a number is one of them.
    """

    cell: Any
    names: dict[int, str]
    singles: list[Cell]
    tree: Any


def open_cell(cell: Any, who: str) -> Opened:
    """The single cells of what is taken out; `who` asks.

    Raises
    ------
    UnsupportedError
        If it is an ensemble.
    """
    if isinstance(cell, CompiledEnsemble):
        raise UnsupportedError(f"{who}: an ensemble is many cells; give one of its members")
    plain = uncompiled(cell)
    singles: list[Cell] = []
    tree = _tree(plain, singles)
    return Opened(plain, {parameter.id: name for name, parameter in plain.named_parameters()}, singles, tree)


def _tree(cell: Any, singles: list[Cell]) -> Any:
    if isinstance(cell, Stacked):
        return "stack", tuple(_tree(layer, singles) for layer in cell.layers)
    if isinstance(cell, Bidirectional):
        return "both", (_tree(cell.forward, singles), _tree(cell.backward, singles))
    singles.append(cell)
    return len(singles) - 1


def compare(library: Library, cell: Any, call: Callable[[Any], tuple[Any, Any]], doubts: str) -> None:
    """Compare outputs and final states with the cell's own, for batches that were not traced.

    Parameters
    ----------
    library : Library
    cell : Cell, Stacked or Bidirectional
    call : function
        Of x (T, batch, input_size), to outputs and final state.
    doubts : str
        What the cell's step may do if they differ.

    Raises
    ------
    UnsupportedError
        If they differ by more than rounding.
    """
    rng = np.random.default_rng(0)
    for batch in (1, 3):
        x = rng.normal(size=(4, batch, cell.input_size)).astype(cell.dtype)
        with np.errstate(all="ignore"):
            run = unroll(cell, x)
            outputs, state = call(x)
        close = _CLOSE.get(str(outputs.dtype).rpartition(".")[2], 1e-9)
        ours = [run.stacked, *leaves_of((run.final_state,))]
        theirs = [np.asarray(value) for value in (outputs, *leaves_of((state,)))]
        for own, found in zip(ours, theirs, strict=True):
            found = found.astype(np.float64)
            if own.shape != found.shape or not np.allclose(own.data, found, close, close, equal_nan=True):
                off = float(np.max(np.abs(own.data - found))) if own.shape == found.shape else float("inf")
                raise UnsupportedError(
                    f"{library.who}: {cell!r} gives other numbers in {library.name}, by up to {off:.2g} for a batch of"
                    f" {batch}; does its step {doubts}?"
                )


# -------------------------------------------------------------------------------------------- tracing


class _Checked(Builder):
    """A program in the making, in primitives that the library has."""

    def __init__(self, cell: Cell, library: Library) -> None:
        super().__init__()
        self.cell, self.library = cell, library

    def apply(self, op: Primitive, operands: Sequence[Any], attributes: dict[str, Any]) -> Symbol:
        _check(op, self.cell, self.library)
        return super().apply(op, operands, attributes)


def _check(op: Primitive, cell: Cell, library: Library) -> None:
    if not op.is_library or op.name not in library.known:
        raise UnsupportedError(
            f"{library.of(cell)}: the primitive {op.name} has no counterpart in {library.name}{_line()}"
        )


def _line() -> str:
    """The line of the cell's own code that is being run."""
    frame: Any = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return f" ({frame.f_code.co_filename}:{frame.f_lineno}, in {frame.f_code.co_name})" if frame else ""


def _last_line(error: BaseException) -> str:
    """The line of the cell's own code that an error went through last."""
    frames = [(frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    own = [f" ({c.co_filename}:{line}, in {c.co_name})" for c, line in frames if not c.co_filename.startswith(_PACKAGE)]
    return own[-1] if own else ""


def recipe_of_step(library: Library, cell: Cell, names: Mapping[int, str], batch: int) -> Recipe:
    """One step for a batch of some size."""
    builder = _Checked(cell, library)
    x = builder.input(("x", ""), Type((batch, cell.input_size), cell.dtype))
    leaves = zip(cell.state_names, cell.initial_state(batch), strict=True)
    old = cell.State(*[builder.input(("state", name), Type(leaf.shape, leaf.dtype)) for name, leaf in leaves])
    given_names: dict[tuple[str, int], Any] = {}
    try:
        with using(names=given_names, anomaly=False, recording=True), timestep(0):
            new = cell(x, old)
        outputs: dict[Key, Any] = {("state", name): v for name, v in zip(cell.state_names, new, strict=True)}
        program = builder.program(outputs)
    except UntraceableError as error:
        raise UnsupportedError(f"{library.of(cell)}: {error}{_last_line(error)}") from None
    recipe = Recipe()
    at: dict[int, int] = {}
    for key, value in program.inputs.items():
        if key[0] != "operand":
            at[value] = recipe.add(Entry(key[0], key[1], (), *program.types[value]))
    for value, tensor in builder.captured.items():
        at[value] = _tensor(library, recipe, cell, names, tensor)
    for value, array in program.constants.items():
        at[value] = recipe.add(Entry("constant", array, (), array.shape, array.dtype))
    made = {step.target for step in program.body}
    for step in program.body:
        operands = tuple(o if isinstance(o, Literal) else at[o] for o in step.operands)
        kind = program.types[step.target]
        at[step.target] = recipe.add(Entry("op", step.op, operands, *kind, dict(step.attributes)))
    recipe.outputs = [at[value] for value in program.outputs.values()]
    gates = [(name, value) for (name, _), value in given_names.items() if name not in cell.state_names]
    called = [(value.index, name) for name, value in gates if isinstance(value, Symbol)]
    called += [(value, str(name)) for (_, name), value in reversed(list(program.outputs.items()))]
    recipe.names = {at[value]: name for value, name in called if value in made}
    return recipe


def recipe_of_start(library: Library, cell: Cell, names: Mapping[int, str], batch: int) -> Recipe:
    """The state before the first step for a batch of some size."""
    recipe = Recipe()
    for leaf in cell.initial_state(batch):
        if isinstance(leaf, Tensor):
            recipe.outputs.append(_tensor(library, recipe, cell, names, leaf))
        else:
            recipe.outputs.append(recipe.add(Entry("constant", np.asarray(leaf), (), leaf.shape, leaf.dtype)))
    return recipe


def _tensor(library: Library, recipe: Recipe, cell: Cell, names: Mapping[int, str], tensor: Tensor) -> int:
    """A Tensor from outside a step: a parameter, a constant, or what was computed from such."""
    for node in ancestors([tensor], names):
        if node.id in recipe.tensors:
            continue
        kind = node.shape, node.dtype
        if node.id in names:
            entry = Entry("parameter", names[node.id], (), *kind)
        elif node.op is None:
            entry = Entry("constant", np.array(node._data), (), *kind)
        else:
            _check(node.op, cell, library)
            operands = tuple(recipe.tensors[o.id] if isinstance(o, Tensor) else Literal(o) for o in node.inputs)
            entry = Entry("op", node.op, operands, *kind, dict(node.attributes))
        recipe.tensors[node.id] = recipe.add(entry)
    return recipe.tensors[tensor.id]

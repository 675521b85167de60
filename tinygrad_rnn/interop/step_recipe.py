"""The step of a cell, and the state before its first one, as lists of operations that another library can carry out."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..autodiff.ancestry import ancestors
from ..autodiff.primitive import Primitive
from ..autodiff.scope import timestep, using
from ..autodiff.tensor import Tensor
from ..compiler.errors import UntraceableError
from ..compiler.program import Key, Literal, Type
from ..compiler.symbol import Builder, Symbol
from ..recurrent.cell import Cell
from ..recurrent.stacks import Bidirectional, Stacked
from .recipe import Entry, Recipe
from .refusal import UnsupportedError

__all__ = ["Library", "recipe_of_start", "recipe_of_step", "tree_of"]

_PACKAGE = str(Path(__file__).resolve().parents[1])


class Library(NamedTuple):
    """Where a cell goes: who asks, what it is called, and the primitives that have a counterpart there."""

    who: str
    name: str
    known: Collection[str]

    def of(self, cell: Cell) -> str:
        """Who asks for which cell, for errors."""
        return f"{self.who}: {type(cell).__name__}"


def tree_of(cell: Any, singles: list[Cell]) -> Any:
    """How the single cells, which are put into `singles`, stand together: a number is one of them."""
    if isinstance(cell, Stacked):
        return "stack", tuple(tree_of(layer, singles) for layer in cell.layers)
    if isinstance(cell, Bidirectional):
        return "both", (tree_of(cell.forward, singles), tree_of(cell.backward, singles))
    singles.append(cell)
    return len(singles) - 1


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
    is_ours = op.forward.__module__.startswith("tinygrad_rnn.autodiff.")
    if not is_ours or op.name not in library.known:
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
    try:
        with using(names={}, anomaly=False, recording=True), timestep(0):
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
    for step in program.body:
        operands = tuple(o if isinstance(o, Literal) else at[o] for o in step.operands)
        kind = program.types[step.target]
        at[step.target] = recipe.add(Entry("op", step.op, operands, *kind, dict(step.attributes)))
    recipe.outputs = [at[value] for value in program.outputs.values()]
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
    for node in ancestors([tensor]):
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

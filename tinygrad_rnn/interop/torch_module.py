"""The way out: any cell of ours as a torch.nn.Module, its step traced and written down in PyTorch's operations."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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
from .recipe import Entry, Recipe, merge
from .refusal import UnsupportedError
from .torch_import import import_torch

__all__ = ["to_torch"]

_PACKAGE = str(Path(__file__).resolve().parents[1])
_BATCHES = (5, 7)
"""Two that no size of a cell is likely to be, by which what depends on the batch is told from what does not."""


def to_torch(cell: Cell | Stacked | Bidirectional) -> Any:
    """A cell as a ``torch.nn.Module``: the same parameters by the same names, the same numbers and gradients.

    The step is traced and written down in PyTorch's operations (``torch.fx``), so that nothing of this engine runs in
    it: autograd of any order, any device and dtype, ``torch.compile``, ``torch.jit.trace``, ``copy.deepcopy`` and
    pickle work as with any other module. Outputs and states are compared with the cell's before it is given back.

    Parameters
    ----------
    cell : Cell, Bidirectional or Stacked
        A built-in one or one of your own, compiled or not.

    Returns
    -------
    torch.nn.Module
        ``module(x, state=None) -> (outputs, state)``: x (T, batch, input_size), outputs (T, batch, hidden_size), and
        the state as plain tuples in the order of ``state_names``: of a stack a tuple of its layers', of two directions
        a pair. Its ``state_dict`` is the cell's, and loads into it: ``cell.load_state_dict(module.state_dict())``.

    Raises
    ------
    TypeError
        If `cell` is no cell.
    UnsupportedError
        If a step cannot be traced, because it looks at numbers; if a primitive of its own has no counterpart in
        PyTorch (the message has the line); if it depends on the batch size in a way that cannot be written down, or
        draws random numbers.
    ImportError
        If PyTorch is not installed.

    Examples
    --------
    >>> import tinygrad_rnn as tg
    >>> module = tg.to_torch(tg.cells.PeepholeLSTMCell(3, 4))  # doctest: +SKIP
    >>> outputs, (h, c) = module(torch.zeros(10, 2, 3, dtype=torch.float64))  # doctest: +SKIP
    """
    if not isinstance(cell, (Cell, Stacked, Bidirectional)):
        raise TypeError(f"to_torch: cell must be a Cell, Stacked or Bidirectional, got {type(cell).__name__}")
    import_torch("to_torch")
    from .torch_network import Network, emit

    if isinstance(cell, CompiledEnsemble):
        raise UnsupportedError("to_torch: an ensemble is many cells; give one of its members")
    plain = uncompiled(cell)
    names = {parameter.id: name for name, parameter in plain.named_parameters()}
    singles: list[Cell] = []
    tree = _tree(plain, singles)
    parts = []
    for single in singles:
        start = merge(_who(single), [_initial(single, names, batch) for batch in _BATCHES], _BATCHES)
        step = merge(_who(single), [_step(single, names, batch) for batch in _BATCHES], _BATCHES)
        kind = type(single).__name__
        parts.append((emit(step, f"{kind}Step", single.dtype), emit(start, f"{kind}Start", single.dtype)))
    parameters = {name: (p.data, p.requires_grad) for name, p in plain.named_parameters()}
    module = Network(repr(plain), plain.input_size, parameters, tree, parts)
    _verify(plain, module)
    return module


def _who(cell: Cell) -> str:
    return f"to_torch: {type(cell).__name__}"


def _tree(cell: Any, singles: list[Cell]) -> Any:
    """How the single cells, which are put into `singles`, stand together: a number is one of them."""
    if isinstance(cell, Stacked):
        return "stack", tuple(_tree(layer, singles) for layer in cell.layers)
    if isinstance(cell, Bidirectional):
        return "both", (_tree(cell.forward, singles), _tree(cell.backward, singles))
    singles.append(cell)
    return len(singles) - 1


# -------------------------------------------------------------------------------------------- tracing


class _Checked(Builder):
    """A program in the making, in primitives that PyTorch has."""

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.cell = cell

    def apply(self, op: Primitive, operands: Sequence[Any], attributes: dict[str, Any]) -> Symbol:
        _check(op, self.cell)
        return super().apply(op, operands, attributes)


def _check(op: Primitive, cell: Cell) -> None:
    from .torch_ops import TORCH

    is_ours = op.forward.__module__.startswith("tinygrad_rnn.autodiff.")
    if not is_ours or op.name not in TORCH:
        raise UnsupportedError(f"{_who(cell)}: the primitive {op.name} has no counterpart in PyTorch{_line()}")


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


def _step(cell: Cell, names: Mapping[int, str], batch: int) -> Recipe:
    """One step for a batch of some size."""
    builder = _Checked(cell)
    x = builder.input(("x", ""), Type((batch, cell.input_size), cell.dtype))
    leaves = zip(cell.state_names, cell.initial_state(batch), strict=True)
    old = cell.State(*[builder.input(("state", name), Type(leaf.shape, leaf.dtype)) for name, leaf in leaves])
    try:
        with using(names={}, anomaly=False, recording=True), timestep(0):
            new = cell(x, old)
        outputs: dict[Key, Any] = {("state", name): v for name, v in zip(cell.state_names, new, strict=True)}
        program = builder.program(outputs)
    except UntraceableError as error:
        raise UnsupportedError(f"{_who(cell)}: {error}{_last_line(error)}") from None
    recipe = Recipe()
    at: dict[int, int] = {}
    for key, value in program.inputs.items():
        if key[0] != "operand":
            at[value] = recipe.add(Entry(key[0], key[1], (), *program.types[value]))
    for value, tensor in builder.captured.items():
        at[value] = _tensor(recipe, cell, names, tensor)
    for value, array in program.constants.items():
        at[value] = recipe.add(Entry("constant", array, (), array.shape, array.dtype))
    for step in program.body:
        operands = tuple(o if isinstance(o, Literal) else at[o] for o in step.operands)
        kind = program.types[step.target]
        at[step.target] = recipe.add(Entry("op", step.op, operands, *kind, dict(step.attributes)))
    recipe.outputs = [at[value] for value in program.outputs.values()]
    return recipe


def _initial(cell: Cell, names: Mapping[int, str], batch: int) -> Recipe:
    """The state before the first step for a batch of some size."""
    recipe = Recipe()
    for leaf in cell.initial_state(batch):
        if isinstance(leaf, Tensor):
            recipe.outputs.append(_tensor(recipe, cell, names, leaf))
        else:
            recipe.outputs.append(recipe.add(Entry("constant", np.asarray(leaf), (), leaf.shape, leaf.dtype)))
    return recipe


def _tensor(recipe: Recipe, cell: Cell, names: Mapping[int, str], tensor: Tensor) -> int:
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
            _check(node.op, cell)
            operands = tuple(recipe.tensors[o.id] if isinstance(o, Tensor) else Literal(o) for o in node.inputs)
            entry = Entry("op", node.op, operands, *kind, dict(node.attributes))
        recipe.tensors[node.id] = recipe.add(entry)
    return recipe.tensors[tensor.id]


# ---------------------------------------------------------------------------------------- verification


def _verify(cell: Any, module: Any) -> None:
    """Compare outputs and final states with the cell's own, for batches that were not traced."""
    import torch

    rng = np.random.default_rng(0)
    close = {"float16": 1e-2, "float32": 1e-4}.get(np.dtype(cell.dtype).name, 1e-9)
    for batch in (1, 3):
        x = rng.normal(size=(4, batch, cell.input_size)).astype(cell.dtype)
        with torch.no_grad(), np.errstate(all="ignore"):
            run = unroll(cell, x)
            outputs, state = module(torch.from_numpy(x))
        ours = [run.stacked, *leaves_of((run.final_state,))]
        theirs = [outputs, *leaves_of((state,))]
        for own, their in zip(ours, theirs, strict=True):
            found = their.numpy()
            if own.shape != found.shape or not np.allclose(own.data, found, close, close, equal_nan=True):
                off = float(np.max(np.abs(own.data - found))) if own.shape == found.shape else float("inf")
                raise UnsupportedError(
                    f"to_torch: {cell!r} gives other numbers in PyTorch, by up to {off:.2g} for a batch of {batch};"
                    " does its step draw random numbers, count its calls or depend on the batch?"
                )

"""The way out: any cell of ours as a torch.nn.Module, its step traced and written down in PyTorch's operations."""

from __future__ import annotations

from typing import Any

from ...recurrent.cell import Cell
from ...recurrent.stacks import Bidirectional, Stacked
from ..packages import import_package
from ..recipe import merge
from ..step_recipe import Library, compare, open_cell, recipe_of_start, recipe_of_step

__all__ = ["to_torch"]

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
    torch = import_package("torch", "to_torch")
    from .network import Network, emit
    from .ops import TORCH

    library, opened = Library("to_torch", "PyTorch", TORCH), open_cell(cell, "to_torch")
    plain, names = opened.cell, opened.names
    parts = []
    for single in opened.singles:
        who = library.of(single)
        start = merge(who, [recipe_of_start(library, single, names, batch) for batch in _BATCHES], _BATCHES)
        step = merge(who, [recipe_of_step(library, single, names, batch) for batch in _BATCHES], _BATCHES)
        kind = type(single).__name__
        parts.append((emit(step, f"{kind}Step", single.dtype), emit(start, f"{kind}Start", single.dtype)))
    parameters = {name: (p.data, p.requires_grad) for name, p in plain.named_parameters()}
    module = Network(repr(plain), plain.input_size, parameters, opened.tree, parts)
    with torch.no_grad():
        compare(
            library,
            plain,
            lambda x: module(torch.from_numpy(x)),
            "draw random numbers, count its calls or depend on the batch",
        )
    return module

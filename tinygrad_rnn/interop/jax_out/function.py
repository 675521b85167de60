"""The way out to JAX: any cell of ours as a pure function, its step traced and carried out by ``lax.scan``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ...recurrent.cell import Cell
from ...recurrent.stacks import Bidirectional, Stacked
from ..packages import import_package
from ..step_recipe import Library, compare, open_cell, recipe_of_start, recipe_of_step

__all__ = ["to_jax"]


def to_jax(cell: Cell | Stacked | Bidirectional) -> tuple[Callable[..., Any], dict[str, Any]]:
    """A cell as a pure function of JAX and its parameters: the same numbers and gradients.

    The step is traced and carried out in JAX's operations inside ``lax.scan``, so that nothing of this engine runs in
    it: ``jit``, ``grad`` of any order, ``vmap`` and sharding over devices work as with any other function. Outputs and
    states are compared with the cell's before it is given back.

    Parameters
    ----------
    cell : Cell, Bidirectional or Stacked
        A built-in one or one of your own, compiled or not.

    Returns
    -------
    apply : function
        ``apply(params, x, state=None) -> (outputs, state)``: x (T, batch, input_size), outputs
        (T, batch, hidden_size), and the state as plain tuples in the order of ``state_names``: of a stack a tuple of
        its layers', of two directions a pair.
    params : dict of str to jax.Array
        By the names of the cell's ``state_dict``, which loads them back: ``cell.load_state_dict(params)``. In float32
        unless ``jax_enable_x64`` is set and the cell is in float64; the function runs in the precision that they have.

    Raises
    ------
    TypeError
        If `cell` is no cell.
    UnsupportedError
        If a step cannot be traced, because it looks at numbers; if a primitive of its own has no counterpart in JAX
        (the message has the line); or if it draws random numbers.
    ImportError
        If JAX is not installed.

    Examples
    --------
    >>> import tinygrad_rnn as tg
    >>> apply, params = tg.to_jax(tg.cells.GRUCell(3, 4))  # doctest: +SKIP
    >>> outputs, (h,) = jax.jit(apply)(params, jnp.zeros((10, 2, 3)))  # doctest: +SKIP
    """
    if not isinstance(cell, (Cell, Stacked, Bidirectional)):
        raise TypeError(f"to_jax: cell must be a Cell, Stacked or Bidirectional, got {type(cell).__name__}")
    jax = import_package("jax", "to_jax")
    from .network import Network
    from .ops import JAX

    library, opened = Library("to_jax", "JAX", JAX), open_cell(cell, "to_jax")
    plain, names = opened.cell, opened.names
    makings = [
        (partial(recipe_of_start, library, one, names), partial(recipe_of_step, library, one, names))
        for one in opened.singles
    ]
    frozen = frozenset(name for name, parameter in plain.named_parameters() if not parameter.requires_grad)
    apply = Network(repr(plain), plain.input_size, plain.dtype, opened.tree, makings, frozen)
    params = {name: jax.numpy.asarray(parameter.data) for name, parameter in plain.named_parameters()}
    compare(library, plain, partial(apply, params), "draw random numbers or count its calls")
    return apply, params

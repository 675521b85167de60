"""tg.from_jax: a function and examples become what is given back, compared with JAX; needs no JAX until called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..imported import Imported
from ..packages import import_package

__all__ = ["from_jax"]


def from_jax(function: Any, *args: Any, parameters: Sequence[str] | None = None) -> Imported:
    """A function of JAX as a function of ours, with every ``lax.scan`` as a run of a cell.

    The function is traced, and every primitive of JAX's carried out by ours. A loop becomes a cell over time: what it
    hands on are the states, called as its code calls them; ``jax.ad_checkpoint.checkpoint_name`` names gates. Values
    and gradients are compared with JAX's on the example.

    Parameters
    ----------
    function : callable
        Or a module of Flax NNX or Equinox, whose arrays are parameters.
    *args
        An example of its arguments. Those that are arrays, or tuples of them, are inputs; those that hold arrays by
        name or nested, such as a dict of weights, are parameters, as are arrays that the function closes over. Keys of
        random numbers, whole numbers of Python and what is no array are constants.
    parameters : sequence of str, optional
        The names of the arguments that are parameters, where that is not as wanted.

    Returns
    -------
    Imported
        Parameters are called by their paths, outputs too (``output`` if there is one alone). Other shapes of inputs
        work where the function takes them.

    Raises
    ------
    UnsupportedError
        If a primitive has no counterpart here, with the line that needs it, before anything runs; at effects; at
        bfloat16, half precision and complex numbers.
    RuntimeError
        If values or gradients come out otherwise than in JAX.
    TypeError
        If it is no function.
    ImportError
        If JAX is not installed.

    Examples
    --------
    >>> import tinygrad_rnn as tg
    >>> model = tg.from_jax(lstm, params, x)                # doctest: +SKIP
    >>> call = model(x)                                     # doctest: +SKIP
    >>> inspector.draw(call.runs["step"])                   # doctest: +SKIP
    """
    import_package("jax", "from_jax")
    from .arguments import signature_of
    from .check import check
    from .program import JaxFunction, JaxProgram

    signature = signature_of(function, args, parameters)
    program = JaxProgram(signature)
    model = JaxFunction(program, signature.name)
    check(model, program)
    return model

"""A cell made once more from its seed, filled as it was or by another initialisation."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .cell import Cell
from .init import Preset
from .stacks import Bidirectional, Stacked

__all__ = ["anew"]

_GIVEN = {"input_size", "hidden_size", "dtype", "seed", "init"}
"""What every cell keeps of how it was made."""
_PLAIN = (bool, int, float, str, type(None))


def anew(cell: Any, init: str | Callable[[int], Preset] | None = None) -> Any:
    """A cell of the same class, options and seed; of a stack or two directions each.

    A cell does not keep how it was made. Options are those that it has as attributes under their own names, and a bias
    if it has parameters for one.

    Parameters
    ----------
    cell : Cell, Stacked or Bidirectional
    init : str or callable, optional
        A preset that fills the parameters; its own when omitted.

    Raises
    ------
    ValueError
        If its weights were loaded, its class takes no such options, or what is made is not surely as it was: options
        are not known, and its own preset does not give its parameters as they are.

    Examples
    --------
    >>> import tinygrad_rnn as tg
    >>> from tinygrad_rnn.recurrent.anew import anew
    >>> cell = tg.cells.RNNCell(1, 2, nonlinearity="relu", seed=3)
    >>> anew(cell, "identity").weight_hh.data
    array([[1., 0.],
           [0., 1.]])
    """
    if isinstance(cell, Stacked):
        return Stacked(*[anew(layer, init) for layer in cell.layers])
    if isinstance(cell, Bidirectional):
        return Bidirectional(anew(cell.forward, init), anew(cell.backward, init))
    who = type(cell).__name__
    if cell.initialisation == "loaded weights" or not hasattr(cell, "_rng"):
        raise ValueError(f"{who}: its weights were loaded, or nobody knows its seed")
    known = inspect.signature(type(cell)).parameters
    unknown = [name for name, one in known.items() if not _is_kept(cell, name, one)]
    for options in _options(cell, known):
        try:
            own, made = (
                type(cell)(**options, init=fill) for fill in (cell._init, cell._init if init is None else init)
            )
        except Exception as reason:  # whatever a constructor of somebody else's does
            raise ValueError(f"{who} cannot be made once more: {type(reason).__name__}: {reason}") from reason
        if _shapes(own) == _shapes(cell) == _shapes(made):
            if unknown and not _alike(own, cell):
                raise ValueError(f"{who}: nobody knows what it was made with as {', '.join(unknown)}")
            return made
    raise ValueError(f"{who}: made once more, it has other parameters")


def _is_kept(cell: Cell, name: str, one: inspect.Parameter) -> bool:
    """Whether what a constructor was given as `name` is known."""
    is_open = one.kind is one.VAR_KEYWORD
    return is_open or name in _GIVEN or name == "bias" or isinstance(getattr(cell, name, cell), _PLAIN)


def _options(cell: Cell, known: Any) -> Iterator[dict[str, Any]]:
    """What its constructor may have been given, with and without a bias."""
    sequence: Any = cell._rng.bit_generator.seed_seq
    is_number = isinstance(getattr(sequence, "entropy", None), int) and not sequence.spawn_key
    seed = sequence.entropy if is_number else sequence
    is_open = any(one.kind is one.VAR_KEYWORD for one in known.values())
    options = {"input_size": cell.input_size, "hidden_size": cell.hidden_size, "dtype": cell.dtype, "seed": seed}
    options = {name: value for name, value in options.items() if is_open or name in known}
    for name in known:
        if name not in _GIVEN and isinstance(value := getattr(cell, name, cell), _PLAIN):
            options[name] = value
    yield options
    if "bias" in known and "bias" not in options:
        yield {**options, "bias": False}


def _shapes(cell: Cell) -> dict[str, tuple[int, ...]]:
    return {name: parameter.shape for name, parameter in cell.named_parameters()}


def _alike(one: Cell, other: Cell) -> bool:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return all(np.array_equal(a.data, b.data, equal_nan=True) for a, b in pairs)

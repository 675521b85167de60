"""What the parameters of a cell would be with other initialisations, from its own seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tinygrad_rnn import init
from tinygrad_rnn.recurrent.anew import anew

Array = npt.NDArray[Any]
Values = Mapping[str, Array]
Filling = str | Callable[[int], init.Preset]

__all__ = ["AS_IT_IS", "initialisations"]

AS_IT_IS = "as it is"
"""Of parameters that are not as their initialisation left them."""


def initialisations(cell: Any, steps: int) -> tuple[dict[str, Values], str]:
    """What the parameters of a cell would be with each initialisation that makes a difference to it.

    Parameters
    ----------
    cell : Cell, Stacked or Bidirectional
    steps : int
        For how many steps chrono initialisation lets gates remember.

    Returns
    -------
    dict of str to mapping
        By the name of an initialisation the values of all parameters by name; empty if the cell cannot be made anew, as
        one whose weights were loaded.
    str
        Which of them the parameters have now.
    """
    found: dict[str, Values] = {}
    values = {name: parameter.data for name, parameter in cell.named_parameters()}
    try:
        roles: list[str] = []
        own = _values(anew(cell))
        if not _same(own, values):
            found[AS_IT_IS] = values
        found[cell.initialisation] = own
        anew(cell, lambda width: _noting(roles, width))
        for filling in _fillings(steps, "forget" in roles):
            made = anew(cell, filling)
            if not any(_same(_values(made), other) for other in found.values()):
                found[made.initialisation] = _values(made)
    except ValueError:
        return {}, AS_IT_IS
    return (found if len(found) > 1 else {}), next(iter(found))


def _fillings(steps: int, forgets: bool) -> Iterator[Filling]:
    yield "pytorch"
    yield lambda width: init.Preset(
        "Xavier", init.glorot_uniform, init.glorot_uniform, lambda *_: init.zeros, init.zeros
    )
    yield from ("orthogonal", "keras", "identity")
    if forgets and steps > 2:
        yield init.preset("chrono", t_max=steps)


def _noting(roles: list[str], width: int) -> init.Preset:
    """An initialisation that notes which parts gates play."""
    usual = init.PRESETS["pytorch"](width)

    def bias(*own: str) -> init.Init:
        roles.extend(own)
        return usual.bias(*own)

    return replace(usual, bias=bias)


def _values(cell: Any) -> Values:
    return {name: parameter.data for name, parameter in cell.named_parameters()}


def _same(one: Values, other: Values) -> bool:
    return all(np.array_equal(one[name], other[name], equal_nan=True) for name in one)

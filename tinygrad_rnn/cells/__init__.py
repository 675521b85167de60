"""The built-in cells, and the registry that finds them by name."""

from __future__ import annotations

from ..cell import Cell
from .gru import GRUCell
from .lstm import LSTMCell
from .rnn import RNNCell

__all__ = ["GRUCell", "LSTMCell", "RNNCell", "get", "names"]

_REGISTRY: dict[str, type[Cell]] = {"rnn": RNNCell, "lstm": LSTMCell, "gru": GRUCell}


def names() -> list[str]:
    """The names of all built-in cells."""
    return list(_REGISTRY)


def get(name: str) -> type[Cell]:
    """The cell class of that name.

    Raises
    ------
    KeyError
        If there is none; the message lists the names there are.
    """
    if name not in _REGISTRY:
        raise KeyError(f"no cell called {name!r}; choose from {', '.join(_REGISTRY)}")
    return _REGISTRY[name]

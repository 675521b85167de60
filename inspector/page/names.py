"""What the page calls the values of a run."""

from __future__ import annotations

from collections.abc import Callable

from tinygrad_rnn.recurrent.unroll import Run

from ..text import visible
from ..tracing.values import parts_of

__all__ = ["namer", "within"]

_SLASH = "\N{DIVISION SLASH}"


def namer(run: Run) -> Callable[[str], str]:
    """The name of a value on the page, in which a slash stands behind a layer and nowhere else."""
    layers = sorted({prefix for prefix, _ in parts_of(run)}, key=len, reverse=True)

    def name_of(name: str) -> str:
        layer = next(prefix for prefix in (*layers, "") if name.startswith(prefix))
        return visible(layer) + within(name.removeprefix(layer))

    return name_of


def within(name: str) -> str:
    """The name of a value within its layer."""
    return visible(name.replace("/", _SLASH))

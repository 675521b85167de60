"""A picture written down: a format is a file here, whose function ``write_<suffix>`` the table below names.

A writer is imported when it is used, since NetworkX takes longer than a drawing does.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from tinygrad_rnn import files

if TYPE_CHECKING:
    from ..picture.picture import Picture

__all__ = ["WRITERS", "Fit", "writer_of"]

Fit: TypeAlias = "tuple[float, float] | None"
"""The width and the height, in points, into which a picture is scaled; as it is, if ``None``."""
WRITERS = {
    "svg": "svg",
    "png": "graphviz",
    "pdf": "graphviz",
    "tex": "tikz",
    "dot": "dot",
    "mmd": "networkx",
    "json": "networkx",
    "graphml": "networkx",
}
"""From a file's suffix to the module that writes it."""


def writer_of(path: str | Path) -> Callable[[Picture, Fit], str | bytes]:
    """What writes a picture in the format that the suffix of `path` asks for.

    Raises
    ------
    ValueError
        If there is no such format.
    """
    suffix = files.suffix_of(path, WRITERS)
    writer: Callable[[Picture, Fit], str | bytes] = getattr(
        import_module(f".{WRITERS[suffix]}", __name__), f"write_{suffix}"
    )
    return writer

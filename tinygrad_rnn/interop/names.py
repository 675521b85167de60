"""What cells and states are called that were taken over from somebody else's code."""

from __future__ import annotations

import re
from typing import TypeVar

from ..recurrent.cell import Cell

__all__ = ["named_after", "state_name"]

Kind = TypeVar("Kind", bound=Cell)

_OLD = re.compile(r"(?<=\w)_(prev|previous|old|last|tm1|in|0)$")


def state_name(variable: str) -> str:
    """A state after the variable that holds it, without the mark that it is old."""
    return {"hx": "h", "cx": "c"}.get(variable, _OLD.sub("", variable))


def named_after(name: str, kind: type[Kind]) -> type[Kind]:
    """A class of cells that is called like the module."""
    return type(name, (kind,), {"__doc__": kind.__doc__, "__module__": kind.__module__})

"""Where in a user's file an error or a warning arose, for messages that name it."""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

__all__ = ["MODULE", "is_users", "said", "said_of", "warned"]

MODULE = "_cells_of_"
"""How the names of modules begin that were made of users' files."""


def is_users(error: BaseException) -> bool:
    """Whether an error went through a user's file."""
    return any(_is_of_a_user(frame) for frame, _ in traceback.walk_tb(error.__traceback__))


def said(error: BaseException) -> str:
    """The error on one line, with the place in the user's file where it arose, if it did."""
    own = [place for place in traceback.walk_tb(error.__traceback__) if _is_of_a_user(place[0])]
    where = "".join(_place(frame.f_code, line) for frame, line in own[-1:])
    return " ".join(f"{type(error).__name__}: {error}".split()) + where


def said_of(error: BaseException, function: Any) -> str:
    """The error on one line, with the place where it arose in a user's file; or else that of a user's function
    that is to blame.
    """
    function = inspect.unwrap(getattr(function, "__func__", function))
    own = str(getattr(function, "__globals__", {}).get("__name__", "")).startswith(MODULE)
    return said(error) + (
        _place(function.__code__, function.__code__.co_firstlineno) if own and not is_users(error) else ""
    )


def warned() -> Callable[..., str]:
    """A `warnings.formatwarning` under which a warning looks like the command's other messages, and comes once."""
    shown: set[str] = set()

    def line_of(message: Any, category: type[Warning], filename: str, number: int, line: str | None = None) -> str:
        own = {
            getattr(module, "__file__", None) for name, module in list(sys.modules.items()) if name.startswith(MODULE)
        }
        text = (
            "inspector: warning:"
            f" {' '.join(str(message).split())}{f' ({_shown(filename)}:{number})' if filename in own else ''}\n"
        )
        if text in shown:
            return ""
        shown.add(text)
        return text

    return line_of


def _is_of_a_user(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).startswith(MODULE)


def _place(code: Any, line: int | None) -> str:
    inside = "" if code.co_name == "<module>" else f", in {code.co_name}"
    return f" ({_shown(code.co_filename)}:{line}{inside})"


def _shown(filename: str) -> Path:
    path = Path(filename)
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path

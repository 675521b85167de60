"""A system that fails: the k-th call that changes a file raises, as SQLite tests its own."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

CALLS = ("open", "write", "fsync", "fchmod", "link", "replace", "unlink")


class Failing:
    """The calls of :data:`CALLS` made so far, of which number `k` fails, and with `for_ever` all after it but the
    removals.
    """

    def __init__(self, k: int, number: int, for_ever: bool) -> None:
        self.k, self.number, self.for_ever = k, number, for_ever
        self.made: list[str] = []

    @property
    def struck(self) -> bool:
        return len(self.made) >= self.k

    def wrap(self, name: str) -> Any:
        call = getattr(os, name)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self.made.append(name)
            if len(self.made) == self.k or (self.for_ever and self.struck and name != "unlink"):
                raise OSError(self.number, os.strerror(self.number))
            if name == "write":  # the system may take a part only
                return call(args[0], bytes(args[1])[: max(1, len(args[1]) // 2)])
            return call(*args, **kwargs)

        return wrapped


@contextlib.contextmanager
def failing(k: int, number: int = errno.ENOSPC, for_ever: bool = False) -> Iterator[Failing]:
    """Within, call number `k` (from 1) fails with error `number`, and with `for_ever` every one after it."""
    calls = Failing(k, number, for_ever)
    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            patch.setattr(os, name, wrapped := calls.wrap(name))
            if name in ("link", "replace", "unlink") and hasattr(pathlib, "_NormalAccessor"):  # where 3.10 keeps them
                patch.setattr(pathlib._NormalAccessor, name, staticmethod(wrapped))
        yield calls

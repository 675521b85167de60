"""Processes beside this one, for runs in parallel."""

from __future__ import annotations

import multiprocessing
import os
import signal
import warnings
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager

from .blame import warned

__all__ = ["processes"]

_SAFE = "PYTHONSAFEPATH"


@contextmanager
def processes(count: int | None = None) -> Iterator[Executor]:
    """New processes, one a processor when `count` is omitted; Ctrl-C ends them without a word.

    They import nothing from the current directory. Python starts them as ``python -c``, which would; from Python 3.11
    on it can be told not to. Their warnings are shown as those of the command.
    """
    spawn, before = multiprocessing.get_context("spawn"), os.environ.get(_SAFE)
    os.environ[_SAFE] = "1"
    try:
        with ProcessPoolExecutor(count, mp_context=spawn, initializer=_start) as pool:
            yield pool
    finally:
        if before is None:
            del os.environ[_SAFE]
        else:
            os.environ[_SAFE] = before


def _start() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    warnings.formatwarning = warned()

"""Processes beside this one, for runs in parallel."""

from __future__ import annotations

import multiprocessing
import signal
from concurrent.futures import ProcessPoolExecutor

__all__ = ["processes"]


def processes(count: int | None = None) -> ProcessPoolExecutor:
    """New processes, one a processor when `count` is omitted; Ctrl-C ends them without a word."""
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(count, mp_context=spawn, initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_DFL))

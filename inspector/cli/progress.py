"""What is being done, on stderr, as soon as it has lasted."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import TextIO

__all__ = ["Progress"]

_PATIENCE = 2.0


class Progress:
    """Says what is being done once two seconds have passed: a terminal has one line that is kept up to date and
    vanishes at the end; elsewhere there is a line now and then, ever more rarely.

    Examples
    --------
    >>> import sys
    >>> with Progress(sys.stderr) as progress:
    ...     progress("counting")
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._terminal = stream is not None and stream.isatty()
        self._what = ""
        self._shown = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __call__(self, what: str) -> None:
        """From now on `what` is being done; an empty text says nothing."""
        self._what = what

    def __enter__(self) -> Progress:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        if self._shown and self._terminal:
            self._write("\r\x1b[K")

    def _watch(self) -> None:
        start, wait = time.monotonic(), _PATIENCE
        while not self._over.wait(wait):
            passed = time.monotonic() - start
            if self._what:
                words = f"inspector: {self._what}, {passed:.0f} s"
                self._write(f"\r{words}\x1b[K" if self._terminal else f"{words} ...\n")
            wait = 1.0 if self._terminal else passed

    def _write(self, text: str) -> None:
        if self._stream is not None:  # as it is where standard error is closed
            self._shown = True
            self._stream.write(text)
            self._stream.flush()

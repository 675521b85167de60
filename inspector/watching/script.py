"""A training script of somebody's, run as it is, with the recurrent parts of its models watched."""

from __future__ import annotations

import runpy
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tinygrad_rnn.interop.packages import import_package

from .hooks import Hook
from .parts import recurrent_parts
from .watching import Watching

__all__ = ["Models", "run_script"]


class Models:
    """The models of a script: each is watched from its first call on.

    Attributes
    ----------
    watched : list of Watching
        In the order of the first calls.
    refused : list of str
        Why a model could not be watched.
    started : bool
        Whether the script has begun to run.
    """

    def __init__(self, every: int | None) -> None:
        self._torch = import_package("torch", "watch")
        self._every = every
        self._known: set[Any] = set()
        self._depth = 0
        self.watched: list[Watching] = []
        self.refused: list[str] = []
        self.started = False

    @contextmanager
    def discovering(self) -> Iterator[None]:
        """Look at every module that is called."""
        hooks = self._torch.nn.modules.module
        handles = [
            hooks.register_module_forward_pre_hook(Hook(self._enter)),
            hooks.register_module_forward_hook(Hook(self._leave), always_call=True),
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, module: Any, _: Any) -> None:
        self._depth += 1
        if self._depth == 1 and module not in self._known:
            self._meet(module)

    def _leave(self, *_: Any) -> None:
        self._depth -= 1

    def _meet(self, module: Any) -> None:
        parts = set(module.modules())
        is_new = not parts & self._known
        self._known |= parts
        try:
            if is_new and recurrent_parts(module):
                self.watched.append(Watching(module, self._every, None, None))
        except TypeError as error:
            self.refused.append(str(error))
        except ValueError:
            pass  # no recurrent part


def run_script(path: Path, arguments: Sequence[str], models: Models) -> None:
    """Run a script as ``python path arguments`` would, while its models are discovered.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    BaseException
        Whatever the script raises, :class:`SystemExit` and :class:`KeyboardInterrupt` among it.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no script {path}")
    before, threads = (sys.argv, sys.path[:]), set(threading.enumerate())
    sys.argv = [str(path), *arguments]
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        with models.discovering():
            models.started = True
            try:
                runpy.run_path(str(path), run_name="__main__")
            finally:
                for thread in set(threading.enumerate()) - threads:
                    if not thread.daemon:  # Python waits for these too before it ends
                        thread.join()
    finally:
        sys.argv, sys.path[:] = before

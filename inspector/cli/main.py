"""The `inspector` command: draw, measure, explain and check a recurrent cell from the shell."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import inspector

from ..loading.blame import is_users, said, warned
from ..text import visible
from .family import BAD_INPUT, BROKEN_PIPE, INTERRUPTED, OK, Run
from .parser import parser_of
from .progress import Progress
from .terminal import spell_out

__all__ = ["main"]

_EXPECTED = (ArithmeticError, ImportError, LookupError, MemoryError, OSError, RuntimeError, TypeError, ValueError)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0 fine, 1 a check failed, 2 bad input, 130 interrupted, 141 nobody
    reads on.
    """
    spell_out()
    usual, warnings.formatwarning = warnings.formatwarning, warned()  # who records warnings, still does
    try:
        try:
            return _main(sys.argv[1:] if argv is None else list(argv))
        finally:
            warnings.formatwarning = usual
            if sys.stdout is not None:
                sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it flushes at exit
        return BROKEN_PIPE
    except OSError as error:
        return _failed(f"cannot write what was found: {error.strerror or error}")
    except KeyboardInterrupt:
        print("inspector: interrupted", file=sys.stderr)
        return INTERRUPTED


def _main(argv: list[str]) -> int:
    parser = parser_of(argv)
    try:
        arguments = parser.parse_args(argv)
    except SystemExit as said_all:  # --help, --version, or an error
        return int(said_all.code or OK)
    command: Run | None = getattr(arguments, "run", None)
    if command is None:
        parser.print_help()
        return OK
    try:
        with Progress(sys.stderr) as arguments.progress:
            _check_outputs(arguments)
            code, says = command(arguments)
    except (Exception, SystemExit) as error:
        if isinstance(error, BrokenPipeError) or not (isinstance(error, _EXPECTED) or is_users(error)):
            raise
        return _failed(said(error) if is_users(error) else _message(error))
    print(says)
    return code


def _check_outputs(a: argparse.Namespace) -> None:
    """Before anything is computed, find out that a file could not be written."""
    given = (getattr(a, name, None) for name in ("out", "json", "csv", "resume", "draw", "report"))
    paths = [path for path in given if isinstance(path, Path)]
    if (folder := getattr(a, "folder", None)) is not None and folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is no folder")
    for path in paths:
        if not path.parent.is_dir():
            raise FileNotFoundError(f"cannot write {path}: there is no folder {path.parent}")
        if path.is_dir():
            raise IsADirectoryError(f"cannot write {path}: it is a folder")
        if (path.is_file() or not path.exists()) and not os.access(path.parent, os.W_OK):
            raise PermissionError(f"cannot write {path}: you may not write into {path.parent.absolute()}")
        if paths.count(path) > 1:
            raise ValueError(f"{path} is to be written twice; give each file its own name")


def _failed(message: str) -> int:
    print(f"inspector: error: {visible(' '.join(message.split()))}", file=sys.stderr)
    return BAD_INPUT


def _message(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"cannot read or write {error.filename}: {error.strerror}"
    if isinstance(error, MemoryError):
        return f"a run of this size does not fit into memory{f' ({error})' if str(error) else ''}; choose a smaller one"
    message = (
        str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    )  # the str of a KeyError is a repr
    function, _, rest = message.partition(": ")
    return (rest if function in dir(inspector) else message) or type(error).__name__

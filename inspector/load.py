"""Cells by name: from the registry, or from a Python file of the user's."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from pathlib import Path
from typing import Any

from tinygrad_rnn import Cell, cells

__all__ = ["LoadError", "cell_class", "make_cell", "said"]


class LoadError(ValueError):
    """A cell could not be found or made; the message fits on one line."""


def cell_class(name: str) -> type[Cell]:
    """The cell class meant by ``lstm`` or ``path/to/file.py:MyCell``.

    Raises
    ------
    LoadError
        Naming the file, the class or the names there are.
    """
    if ":" not in name and not name.endswith(".py"):
        try:
            return cells.get(name)
        except KeyError as error:
            raise LoadError(f"{error.args[0]}, or give path/to/file.py:MyCell") from None
    file, _, attribute = name.rpartition(":") if ".py:" in name else (name, "", "")
    module = _module(Path(file))
    own = {key: value for key, value in vars(module).items() if _is_own_cell(value, module)}
    if not attribute and len(own) == 1:
        only: type[Cell] = next(iter(own.values()))
        return only
    found = getattr(module, attribute, None) if attribute else None
    if found is None:
        there = ", ".join(own) or "no cells"
        raise LoadError(f"{file} has {there}; choose one with --cell {file}:NAME" if not attribute else
                        f"{file} has no {attribute}; it has {there}")  # fmt: skip
    if not (isinstance(found, type) and issubclass(found, Cell)):
        raise LoadError(f"{file}:{attribute} is no subclass of tinygrad_rnn.Cell")
    return found


def make_cell(name: str, input_size: int, hidden_size: int, *, seed: int | None = 0, init: str | None = None) -> Cell:
    """A cell of the class meant by `name`; options that its constructor does not know are left out.

    Raises
    ------
    LoadError
        If the class cannot be found, does not take `init`, or its constructor fails.
    """
    made = cell_class(name)
    known = inspect.signature(made).parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in known.values())
    options: dict[str, Any] = {"seed": seed}
    if init is not None:
        if "init" not in known and not open_ended:
            raise LoadError(f"{name} takes no init; let its constructor pass **options on to Cell")
        options["init"] = init
    try:
        return made(input_size, hidden_size, **{k: v for k, v in options.items() if open_ended or k in known})
    except Exception as error:
        raise LoadError(f"{name}({input_size}, {hidden_size}) failed: {said(error)}") from error


def _module(file: Path) -> Any:
    if not file.is_file():
        raise LoadError(f"there is no file {file}")
    spec = importlib.util.spec_from_file_location(f"_cells_of_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise LoadError(f"{file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise LoadError(f"{file} failed: {said(error)}") from error
    return module


def _is_own_cell(value: Any, module: Any) -> bool:
    return isinstance(value, type) and issubclass(value, Cell) and value.__module__ == module.__name__


def said(error: BaseException) -> str:
    """The error on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())

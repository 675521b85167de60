"""Cells by name, from the registry or from a Python file of the user's; and the weights for them."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import sys
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_rnn import Cell, cells, load_torch
from tinygrad_rnn.interop.file_format import check_regular
from tinygrad_rnn.interop.tensor_files import load_tensors
from tinygrad_rnn.interop.weights import as_array, printable, tensors_of

from .blame import MODULE, said
from .suggest import did_you_mean

__all__ = ["LoadError", "cell_class", "load_weights", "make_cell", "network_in", "source_digest", "tensors_in"]

_loaded: dict[Path, tuple[Any, dict[Path, str]]] = {}
_lock = threading.RLock()


class LoadError(ValueError):
    """A cell could not be found or made, or its weights not loaded; the message fits on one line."""


def cell_class(name: str) -> type[Cell]:
    """The cell class meant by ``lstm`` or ``path/to/file.py:MyCell``.

    The file is executed, once until it changes, and may import modules that stand beside it, as far as no installed one
    has their name.

    Raises
    ------
    LoadError
        Naming the file, the class or the names there are.
    """
    file, attribute = _parts(name)
    if not file:
        try:
            return cells.get(name)
        except KeyError as error:
            raise LoadError(f"{error.args[0]}, or give path/to/file.py:MyCell") from None
    module = _module(Path(file))
    own = {key: value for key, value in vars(module).items() if _is_own_cell(value, module)}
    if not attribute and len(own) == 1:
        only: type[Cell] = next(iter(own.values()))
        return only
    found = getattr(module, attribute, None) if attribute else None
    if found is None:
        there = ", ".join(own) or "no cells"
        raise LoadError(
            f"{file} has no {attribute}{did_you_mean(attribute, own)}; it has {there}"
            if attribute
            else f"{file} has {there}; choose one with {file}:NAME"
        )
    if not (isinstance(found, type) and issubclass(found, Cell)):
        raise LoadError(f"{file}:{attribute} is no subclass of tinygrad_rnn.Cell")
    return found


def _parts(name: str) -> tuple[str, str]:
    """The file and the class in it; no file for a cell of the registry."""
    whole = name.endswith(".py") or Path(name).is_file()
    file, _, attribute = (name, "", "") if whole else name.rpartition(":")
    return file, attribute


def source_digest(name: str) -> str:
    """A digest of what a cell of the user's is made of, its file and what that imports from beside it; empty for one of
    the registry.

    Raises
    ------
    LoadError
        If there is no such file, or it fails.
    """
    file, _ = _parts(name)
    if not file:
        return ""
    with _lock:
        _module(Path(file))
        _, digests = _loaded[Path(file).resolve()]
    return hashlib.sha256("\n".join(sorted(digests.values())).encode()).hexdigest()


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
    except MemoryError:
        raise
    except (Exception, SystemExit) as error:
        raise LoadError(f"{name}({input_size}, {hidden_size}) failed: {said(error)}") from error


def load_weights(cell: Cell, path: Path, prefix: str = "") -> None:
    """Give a cell the parameters that a file holds, whether under their own names or all behind one prefix.

    Parameters
    ----------
    cell : Cell
    path : Path
        ``.pt``, ``.pth``, ``.ckpt``, ``.safetensors`` or ``.npz``. Nothing in it is executed.
    prefix : str
        Which of several, as in :func:`tinygrad_rnn.load_torch`.

    Raises
    ------
    LoadError
        Naming the file and the key, and what was found and needed there.
    """
    try:
        found = _group(tensors_of(load_tensors(path)), [name for name, _ in cell.named_parameters()], path, prefix)
        cell.load_state_dict({name: as_array(value) for name, value in found.items()})
    except FileNotFoundError as error:
        raise LoadError(str(error)) from None
    except (KeyError, ValueError, TypeError, RuntimeError, NotImplementedError) as error:
        message = str(error.args[0])
        if isinstance(error, LoadError) or message.startswith(str(path)):
            raise LoadError(message) from None
        _, _, wrong = message.partition(": ")
        hint = "; --input-size and --hidden-size make the cell larger or smaller" if "shape" in wrong else ""
        raise LoadError(f"{path} does not fit {cell!r}: {wrong or message}{hint}") from None


def network_in(path: Path, prefix: str = "") -> Any:
    """The recurrent network of PyTorch's whose weights a file holds, in float64.

    Raises
    ------
    LoadError
        If there is none, or several and no `prefix` says which, or the file cannot be read.
    """
    with _told(path):
        return load_torch(path, prefix=prefix, dtype=np.float64)


def tensors_in(path: Path) -> dict[str, Any]:
    """The tensors that a file of weights holds, by their names.

    Raises
    ------
    LoadError
        If there are none, or the file cannot be read.
    """
    with _told(path):
        tensors = tensors_of(load_tensors(path))
        if not tensors:
            raise ValueError("there are no tensors in it")
        return tensors


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What is wrong with a file of weights, on one line that has its name."""
    try:
        yield
    except (FileNotFoundError, KeyError, ValueError) as error:
        message = str(error.args[0]).removeprefix("load_torch: ").replace("with prefix=", "with --prefix")
        raise LoadError(message if str(path) in message else f"{path}: {message}") from None


def _group(tensors: dict[str, Any], needed: list[str], path: Path, prefix: str) -> dict[str, Any]:
    """Of tensors named like ``encoder.rnn.weight_ih_l0`` those behind the one prefix that has all that is needed,
    or else all.
    """
    stems = [stem for name in needed[:1] for stem in (name, f"{name}_l0")]
    starts = [key.removesuffix(stem) for key in tensors for stem in stems if f".{key}".endswith(f".{stem}")]
    groups = {
        start.rstrip("."): {key.removeprefix(start): value for key, value in tensors.items() if key.startswith(start)}
        for start in starts
    }
    wanted = f".{prefix.strip('.')}." if prefix.strip(".") else "."
    found = {
        start: group
        for start, group in groups.items()
        if {name.removesuffix("_l0") for name in group} == set(needed) and wanted in f".{start}."
    }
    if len(found) > 1:
        raise LoadError(
            f"{path} has {', '.join(needed)} several times, behind {', '.join(map(printable, found))}; choose one with"
            " --prefix"
        )
    if prefix and not found:
        raise LoadError(
            f"{path} has no {', '.join(needed)} behind {prefix!r}{did_you_mean(prefix, map(printable, groups))}"
        )
    return next(iter(found.values()), tensors)


def _module(file: Path) -> Any:
    try:
        check_regular(file)
    except (FileNotFoundError, ValueError) as error:
        raise LoadError(str(error)) from None
    key = file.resolve()
    with _lock:
        module, digests = _loaded.get(key, (None, {}))
        if module is None or any(_digest(path) != digest for path, digest in digests.items()):
            digests = {key: _digest(key)}
            module = _executed(file, digests)
            _loaded[key] = module, digests
    return module


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def _executed(file: Path, digests: dict[Path, str]) -> Any:
    name = f"{MODULE}{file.stem}_{zlib.crc32(bytes(file.resolve())):08x}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise LoadError(f"{file} is no Python file: its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        with _beside(file, digests, name):
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise LoadError(f"{file} failed: {said(error)}") from error
    return module


@contextmanager
def _beside(file: Path, digests: dict[Path, str], own: str) -> Iterator[None]:
    """Let a file import its neighbours: after all else, so that none stands in for an installed module, and for itself
    alone.

    Their digests are added to `digests`.
    """
    folder, before = file.absolute().parent, set(sys.modules)
    sys.path.append(str(folder))
    try:
        yield
    finally:
        sys.path.reverse()
        sys.path.remove(str(folder))
        sys.path.reverse()
        for name in sys.modules.keys() - before - {own}:
            path = Path(getattr(sys.modules[name], "__file__", None) or "/")
            if path.is_relative_to(folder):
                digests[path] = _digest(path)
                del sys.modules[name]  # a file of the same name in another folder has a neighbour of its own


def _is_own_cell(value: Any, module: Any) -> bool:
    return isinstance(value, type) and issubclass(value, Cell) and value.__module__ == module.__name__

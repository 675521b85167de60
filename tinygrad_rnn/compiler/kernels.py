"""Compiled loops: source text in, machine code out, kept on disk between processes.

The text of a loop holds nothing but our own words and numbered names, never a name that a user gave. It is
written to the cache directory for whoever wants to read it; what is compiled is always the text in memory.
"""

from __future__ import annotations

import hashlib
import importlib.abc
import importlib.util
import logging
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import CodeType
from typing import Any

import numpy as np

from .errors import CompileWarning
from .folder import cache_directory, keep_text

__all__ = ["load", "product_addresses"]


_loaded: dict[tuple[str, tuple[str, ...]], Callable[..., None]] = {}
_lock = threading.RLock()
_logger = logging.getLogger("tinygrad_rnn")
_PATIENCE = 2.0
"""Seconds without a word."""


def load(text: str, kinds: Sequence[np.dtype[Any]], who: str = "a loop") -> Callable[..., None]:
    """The compiled loop of a source text.

    Parameters
    ----------
    text : str
        What :func:`~tinygrad_rnn.compiler.source.write` wrote.
    kinds : sequence of dtype
        Of the buffers.
    who : str
        Whose loop it is, for those who wait.

    Raises
    ------
    ImportError
        If Numba, or SciPy, whose BLAS it calls, is not installed.
    """
    key = (text, tuple(kind.str for kind in kinds))
    with _lock:
        if key not in _loaded:
            with _word_to_those_who_wait(who):
                _loaded[key] = _compile(text, kinds)
        return _loaded[key]


@contextmanager
def _word_to_those_who_wait(who: str) -> Iterator[None]:
    """Say what goes on, while it goes on; without handlers, :mod:`logging` writes warnings to stderr."""
    message = "tinygrad_rnn is compiling %s, which takes some seconds; the next process finds it in %s"
    timer = threading.Timer(_PATIENCE, _logger.warning, (message, who, cache_directory()))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _compile(text: str, kinds: Sequence[np.dtype[Any]]) -> Callable[..., None]:
    import numba

    from . import blas, denormals, fastmath, lowering, sums

    modules = (blas, denormals, fastmath, lowering, sums)
    ours = [Path(str(module.__file__)).read_text(encoding="utf-8") for module in modules]
    stamp = "\n".join([text, numba.__version__, str(blas.product_width()), *ours])
    name = f"tinygrad_rnn_loop_{hashlib.sha256(stamp.encode()).hexdigest()[:24]}"
    arrays = [numba.types.Array(numba.from_dtype(kind), 1, "C") for kind in kinds]
    addresses, sizes = (numba.types.Array(whole, 1, "C") for whole in (numba.types.int64, numba.types.uint64))
    signature = (*(numba.types.uint64,) * 4, addresses, sizes, *arrays)
    path = keep_text(name, text)
    known = {"np": np, **{kind: getattr(np, kind) for kind in _KINDS}}
    known |= blas.FUNCTIONS | denormals.FUNCTIONS | fastmath.FUNCTIONS | sums.FUNCTIONS
    function = _function(name, text, path, lowering.body_of(text, known))
    options = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
    if path is not None:
        try:
            from .cache import MachineCode

            return _machine_code(numba.njit(function, **options), signature, MachineCode(path.parent, name))
        except CompileWarning:
            raise  # where warnings are errors
        except Exception as error:  # what another version of Numba raises is anybody's guess
            warnings.warn(
                f"compile: the cache in {path.parent} cannot be used ({type(error).__name__}: {error}); "
                "compiling without it. Delete that directory to start afresh.",
                CompileWarning,
                stacklevel=2,
            )
    return _machine_code(numba.njit(function, **options), signature)


def _machine_code(loop: Any, signature: tuple[Any, ...], cache: Any = None) -> Callable[..., None]:
    """Compile a loop, telling the compiler that no buffer overlaps another: only then can it use vectors."""
    if cache is not None:
        loop._cache = cache
    loop._compiler._customize_flags = _change_flags
    loop.compile(signature)
    loop.disable_compile()
    return loop  # type: ignore[no-any-return]


def _change_flags(flags: Any) -> Any:
    flags.noalias = True
    flags.no_cfunc_wrapper = True  # nobody calls loops from C
    return flags


def product_addresses() -> Any:
    """Where compiled loops find the product routines of BLAS."""
    from . import blas

    return blas.product_addresses()


class _Text(importlib.abc.InspectLoader):
    """Makes a module of a text, whatever the file of that name holds."""

    def __init__(self, text: str, path: Path | None) -> None:
        self._text = text
        self._path = path

    def get_source(self, fullname: str) -> str:
        return self._text

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self._text, str(self._path or f"<{fullname}>"))


def _function(name: str, text: str, path: Path | None, body: Any) -> Callable[..., None]:
    """A function for Numba that has the arguments of the text's, and does nothing but call its body."""
    head = text.partition("\n")[0]
    loader = _Text(f"{head}\n    body{head.removeprefix('def loop').removesuffix(':')}\n", path)
    spec = importlib.util.spec_from_loader(name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    module.__dict__["body"] = body
    sys.modules[name] = module  # where Numba looks for it when it loads what it kept
    loader.exec_module(module)
    loop: Callable[..., None] = module.__dict__["loop"]
    return loop


_KINDS = ("float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")

"""The folder in which compiled loops are kept: where it is, and whether its files may be believed."""

from __future__ import annotations

import os
import stat
import warnings
from pathlib import Path

from ..files import write
from .errors import CompileWarning

__all__ = ["cache_directory", "distrust", "keep_text"]


def cache_directory() -> Path:
    """Where compiled loops are kept: ``$TINYGRAD_RNN_CACHE``, or the user's cache directory."""
    chosen = os.environ.get("TINYGRAD_RNN_CACHE")
    if chosen:
        return Path(chosen)
    import platformdirs

    return Path(platformdirs.user_cache_dir("tinygrad_rnn", appauthor=False))


def distrust(about: os.stat_result) -> str:
    """Why a file or folder could hold what another user put there; empty if it could not."""
    if not hasattr(os, "geteuid"):
        return ""
    if about.st_uid != os.geteuid():
        return f"belongs to another user ({about.st_uid})"
    return f"may be written to by others (mode {stat.S_IMODE(about.st_mode):o})" if about.st_mode & 0o022 else ""


def keep_text(name: str, text: str) -> Path | None:
    """The file of that name in the cache directory, holding `text`; ``None`` if it cannot be written, or not be
    trusted.
    """
    folder = cache_directory()
    path = folder / f"{name}.py"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        problem = distrust(folder.stat())
        if not problem and not os.access(folder, os.W_OK):
            problem = "is read-only"
        if not problem:
            if not path.is_file() or path.read_text(encoding="utf-8", errors="replace") != text:
                write(path, text)
            return path
    except OSError as error:
        problem = f"cannot be written ({error})"
    warnings.warn(
        f"compile: the cache directory {folder} {problem}; compiled loops are not kept for the next process. "
        "TINYGRAD_RNN_CACHE names another directory.",
        CompileWarning,
        stacklevel=2,
    )
    return None

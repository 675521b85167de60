"""Machine code that outlasts its process, in files that are checked before anything in them is used.

Numba unpickles such files and jumps into them: another user's file would be another user's program, and a damaged one
ends the process. So a file counts only if it and its folder belong to this user, nobody else may write to them, and its
content has the SHA-256 that its name tells.
"""

from __future__ import annotations

import hashlib
import stat
import sys
import warnings
from pathlib import Path
from typing import Any

from numba.core.caching import IndexDataCacheFile
from numba.core.compiler import CompileResult

from ..files import write
from .errors import CompileWarning
from .folder import distrust

__all__ = ["MachineCode"]


class MachineCode(IndexDataCacheFile):  # type: ignore[misc]
    """The cache of one dispatcher: Numba asks it for the code of a signature before it compiles, and gives it the code
    after.

    Parameters
    ----------
    folder : Path
    name : str
        Of the loop; different for every text and version of what compiled it.
    """

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__(str(folder), name, None)
        self.folder, self.name = folder, name

    def load_overload(self, signature: Any, context: Any) -> Any:
        """The compiled function, or ``None``."""
        context.refresh()
        for path in sorted(self.folder.glob(f"{self._start(signature, context.codegen())}.*.nbc")):
            problem = _problem(path)
            if not problem:
                return CompileResult._rebuild(context, *self._load_data(path.name))
            path.unlink(missing_ok=True)
            warnings.warn(
                f"compile: {path} cannot be used, since it {problem}; compiling anew", CompileWarning, stacklevel=2
            )
        return None

    def save_overload(self, signature: Any, result: Any) -> None:
        """Keep a compiled function."""
        if not result.library.has_dynamic_globals:  # addresses of this very process
            content = self._dump(result._reduce())
            name = f"{self._start(signature, result.library.codegen)}.{hashlib.sha256(content).hexdigest()}.nbc"
            write(self.folder / name, content, mode=0o600)

    def _start(self, signature: Any, codegen: Any) -> str:
        """How the name of a file begins: by the loop, the signature, the processor and the version of Python."""
        key = repr((signature, codegen.magic_tuple(), sys.implementation.cache_tag))
        return f"{self.name}.{hashlib.sha256(key.encode()).hexdigest()[:16]}"


def _problem(path: Path) -> str:
    """Why a file must not be used; empty if it may be."""
    about = path.lstat()
    if not stat.S_ISREG(about.st_mode):
        return "is no plain file"
    return distrust(about) or (
        "" if hashlib.sha256(path.read_bytes()).hexdigest() == path.name.split(".")[-2] else "is damaged"
    )

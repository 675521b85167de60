"""One traced step as fused loops over time, for any cell."""

from __future__ import annotations

from .compiled import CompiledCell, CompiledEnsemble, compile, uncompiled
from .errors import CompileWarning
from .folder import cache_directory

__all__ = ["CompileWarning", "CompiledCell", "CompiledEnsemble", "cache_directory", "compile", "uncompiled"]

"""One traced step as fused loops over time, for any cell."""

from __future__ import annotations

from .compiled import CompiledCell, CompiledEnsemble, compile, uncompiled
from .kernels import CompileWarning, cache_directory

__all__ = ["CompileWarning", "CompiledCell", "CompiledEnsemble", "cache_directory", "compile", "uncompiled"]

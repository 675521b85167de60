"""What keeps a step from being compiled."""

from __future__ import annotations

__all__ = ["CompileWarning", "UnsupportedError", "UntraceableError"]


class CompileWarning(UserWarning):
    """Something could not be compiled, or not be kept, and is done the slower way."""


class UntraceableError(TypeError):
    """A step asks for a number that is known only when it runs."""


class UnsupportedError(TypeError):
    """An operation that the loops cannot do; the message names it."""

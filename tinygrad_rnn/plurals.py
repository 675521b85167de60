"""A number with its noun, as it is said: ``1 step``, ``2 steps``."""

from __future__ import annotations

from typing import Any

__all__ = ["counted"]


def counted(number: Any, noun: str, spec: str = "", plural: str | None = None) -> str:
    """The number, formatted, and the noun: in the singular if a 1 is what is read.

    Examples
    --------
    >>> counted(1, "step"), counted(1200, "step", ","), counted(1.004, "step", ".3g")
    ('1 step', '1,200 steps', '1 step')
    >>> counted(2, "bias", plural="biases")
    '2 biases'
    """
    text = format(number, spec)
    return f"{text} {noun if text == '1' else plural or noun + 's'}"

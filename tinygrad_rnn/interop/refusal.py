"""What is said of somebody else's model that cannot be taken over."""

from __future__ import annotations

__all__ = ["UnsupportedError", "printable"]


class UnsupportedError(ValueError):
    """An operation, option or layer that cannot be taken over; raised before anything runs, with its name and place."""


def printable(text: str) -> str:
    """A name or a message out of a file as it may be shown: what would steer a terminal spelled out, no more than a few
    lines of it.
    """
    said = text if text.isprintable() else repr(text[:_LONGEST])[1:-1]
    return said if len(said) <= _LONGEST else f"{said[:_LONGEST]}..."


_LONGEST = 400

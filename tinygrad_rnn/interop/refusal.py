"""UnsupportedError: what of somebody else's model has no counterpart here."""

from __future__ import annotations

__all__ = ["UnsupportedError"]


class UnsupportedError(ValueError):
    """An operation, option or layer that cannot be taken over; raised before anything runs, with its name and place."""

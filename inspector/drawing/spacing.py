"""Distances that a layout keeps."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Spacing"]


@dataclass(frozen=True)
class Spacing:
    """Distances in points."""

    row: float = 44.0
    gap: float = 16.0
    left: float = 30.0
    right: float = 46.0
    bus: float = 20.0
    track: float = 8.0

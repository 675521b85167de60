"""What tells the rest of a drawing where the timesteps are."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Tiling"]


@dataclass
class Tiling:
    """What the tiling leaves for the rest of the drawing to connect to.

    Attributes
    ----------
    outputs : dict
        Node index of an output to the id, centre and radius of the circle that shows it.
    shown : dict
        Node index to the id and centre of the shape that shows it.
    columns : dict
        Timestep to the x of the middle of its column, those that are folded away included.
    folded : set
        Node indices of operations outside the steps that another's shape stands for.
    left, right, bottom, top : float
        The extent of the frames with their circles.
    """

    outputs: dict[int, tuple[str, float, float, float]] = field(default_factory=dict)
    shown: dict[int, tuple[str, float, float]] = field(default_factory=dict)
    columns: dict[int, float] = field(default_factory=dict)
    folded: set[int] = field(default_factory=set)
    left: float = 0.0
    right: float = 0.0
    bottom: float = 0.0
    top: float = 0.0

"""Which column and row of the drawing each timestep stands in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tinygrad_rnn import Node

from . import theme
from .items import Step
from .picture import Path, moved
from .place import Placement, Spacing, highways, place, rail_row
from .route import Wire, route

__all__ = ["ABOVE", "BELOW", "GAP", "MORE", "Laid", "Row", "frame_label", "lay_out", "safe"]

GAP, ABOVE, BELOW, MORE = 46.0, 40.0, 44.0, 150.0
"""Points between frames, from a frame up to its output and down to its input, and for what is folded away."""


@dataclass(frozen=True)
class Row:
    """One layer of the drawing.

    Attributes
    ----------
    steps : tuple of Step or int
        From left to right; an integer stands for that many steps that are not shown.
    reverse : bool
        Whether time runs from right to left.
    first : tuple of (state, Node)
        The initial state's nodes, where it is drawn.
    inputs : tuple of Node or None
        What each column reads; ``None`` where nothing is shown.
    feeds_next : bool
        Whether the next row reads this one's outputs.
    """

    steps: tuple[Step | int, ...]
    reverse: bool
    first: tuple[tuple[str, Node], ...]
    inputs: tuple[Node | None, ...]
    feeds_next: bool = False


@dataclass
class Laid:
    """A timestep with its place in the picture; `mirror` is its width where time runs from right to left."""

    step: Step
    placement: Placement
    wires: dict[Wire, Path]
    left: float
    bottom: float
    mirror: float | None

    def at(self, key: str) -> tuple[float, float]:
        """Centre of an item in the picture."""
        (point,) = moved([self.placement.at[key]], self.left, self.bottom, self.mirror)
        return point

    def wire(self, wire: Wire) -> Path:
        """A wire in the picture."""
        return moved(self.wires[wire], self.left, self.bottom, self.mirror)

    def port(self, x: float, y: float) -> tuple[float, float]:
        """A point on the frame in the picture."""
        (point,) = moved([(x, y)], self.left, self.bottom, self.mirror)
        return point

    @property
    def prefix(self) -> str:
        """What the ids of this step start with."""
        layer = f"{self.step.layer}." if self.step.layer else ""
        return safe(f"{layer}t{self.step.timestep}.")


def safe(text: str) -> str:
    """An id made of letters, digits, dots, hyphens and underscores alone."""
    return re.sub(r"[^A-Za-z0-9._-]", lambda hit: f"_{ord(hit[0]):x}_", text)


def _plan(steps: Sequence[Step], spacing: Spacing) -> dict[tuple[object, ...], tuple[Placement, dict[Wire, Path]]]:
    """Each kind of step placed and routed, with as much room between the rows as its lines need."""
    title = max(theme.label_width(frame_label(step)) for step in steps)
    kinds = {step.shape: step for step in steps}
    states = frozenset.intersection(*(frozenset(highways(step)) for step in kinds.values()))
    level = max(rail_row(step, states) for step in kinds.values())
    for extra in (0.0, 12.0, 24.0, 48.0):
        roomy = replace(spacing, row=spacing.row + extra, gap=spacing.gap + extra / 2)
        placements = {shape: place(step, roomy, states, level, title) for shape, step in kinds.items()}
        routes = {shape: route(step, placements[shape], roomy) for shape, step in kinds.items()}
        if not any(found.crowded for found in routes.values()):
            break
    return {shape: (placements[shape], routes[shape].paths) for shape in kinds}


def frame_label(step: Step) -> str:
    """What a step's frame says."""
    name = f"step t = {step.timestep}"
    return f"{step.layer} · {name}" if step.layer else name


def lay_out(rows: Sequence[Row], spacing: Spacing) -> list[list[Laid | float]]:
    """Every shown step in its column; alike steps are placed and routed once.

    For steps that are folded away there is the left edge of the box that stands for them.
    """
    plans = [_plan([step for step in row.steps if isinstance(step, Step)], spacing) for row in rows]
    width = max(placement.width for plan in plans for placement, _ in plan.values())
    laid_rows: list[list[Laid | float]] = []
    bottom = 0.0
    for row, plan in zip(rows, plans, strict=True):
        left = 0.0
        laid: list[Laid | float] = []
        for part in row.steps:
            if isinstance(part, int):
                laid.append(left)
                left += MORE + GAP
                continue
            placement, wires = plan[part.shape]
            mirror = placement.width if row.reverse else None
            laid.append(Laid(part, placement, wires, left, bottom, mirror))
            left += width + GAP
        laid_rows.append(laid)
        bottom += max(placement.height for placement, _ in plan.values()) + ABOVE + BELOW + 34
        bottom += 0.0 if row.feeds_next else 48.0
    return laid_rows

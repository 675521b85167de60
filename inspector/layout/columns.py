"""Which column and row of the drawing each timestep stands in."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple, TypeAlias

from tinygrad_rnn import Node
from tinygrad_rnn.recurrent.unroll import Run

from ..steps.items import Key, Link, Step, highways, layer_prefix
from ..text import label_width
from .names import Spot, names_beside
from .order import Spacing
from .place import Placement, place, rail_row
from .polylines import Path, moved
from .route import Wire, route
from .turn import transposed, turned

__all__ = ["ABOVE", "BELOW", "GAP", "Fold", "Laid", "Row", "fold_width", "frame_label", "lay_out", "seams"]

GAP, ABOVE, BELOW = 46.0, 40.0, 44.0
"""Points between frames, and from a frame up to its output and down to its input."""
_FOLD, _LONGEST = 190.0, 1500.0
_KEPT = 256
_Plan: TypeAlias = tuple[Placement, dict[Wire, Path], dict[Key, Spot]]
"""Where the items of a step stand, its lines, and where the names of items stand."""
_routed: dict[tuple[object, ...], tuple[int, dict[Wire, Path]]] = {}
"""The last lines that were found, by all that they depend on: the same cell is drawn again and again."""


class Fold(NamedTuple):
    """Timesteps that are folded away: whose they are, of which layer, and which."""

    run: Run
    layer: str
    steps: range


@dataclass(frozen=True)
class Row:
    """One layer of the drawing.

    Attributes
    ----------
    steps : tuple of Step or Fold
        From left to right.
    reverse : bool
        Whether time runs from right to left.
    first : tuple of (state, Node)
        The initial state's nodes, where it is drawn.
    inputs : tuple of Node or None
        What each column reads; ``None`` where nothing is shown.
    feeds_next : bool
        Whether the next row reads this one's outputs.
    last : tuple of (state, label, Link)
        Of a reverse sweep: the gradients by the initial state, where they are drawn.
    """

    steps: tuple[Step | Fold, ...]
    reverse: bool
    first: tuple[tuple[str, Node], ...]
    inputs: tuple[Node | None, ...]
    feeds_next: bool = False
    last: tuple[tuple[str, str, Link], ...] = ()

    @property
    def backward(self) -> bool:
        """Whether it shows the reverse sweep."""
        return any(isinstance(step, Step) and step.backward for step in self.steps)


@dataclass
class Laid:
    """A timestep with its place in the picture.

    `mirror` is its width where time runs from right to left, `flip` its height where it stands upside down; `names`
    says where the names of its items stand.
    """

    step: Step
    placement: Placement
    wires: dict[Wire, Path]
    left: float
    bottom: float
    mirror: float | None
    flip: float | None = None
    names: dict[Key, Spot] = field(default_factory=dict)

    def at(self, key: Key) -> tuple[float, float]:
        """Centre of an item in the picture."""
        return self.port(*self.placement.at[key])

    def wire(self, wire: Wire) -> Path:
        """A wire in the picture."""
        return moved(self.way(wire), self.left)

    def way(self, wire: Wire) -> Path:
        """A wire in the picture, from the left side of the step."""
        return moved(self.wires[wire], 0.0, self.bottom, self.mirror, self.flip)

    def port(self, x: float, y: float) -> tuple[float, float]:
        """A point on the frame in the picture."""
        across = x if self.mirror is None else self.mirror - x
        return across + self.left, (y if self.flip is None else self.flip - y) + self.bottom

    @cached_property
    def rails(self) -> list[float]:
        """The heights of the highways in the picture."""
        return [self.port(0.0, self.placement.rails[state])[1] for state in sorted(self.placement.highways)]

    @cached_property
    def prefix(self) -> str:
        """What the ids of this step start with."""
        return f"{layer_prefix(self.step.layer)}t{self.step.timestep}.{'back.' if self.step.backward else ''}"

    @cached_property
    def ids(self) -> dict[Key, str]:
        """The ids of the items in the picture."""
        return {key: self.prefix + own for key, own in self.step.ids.items()}


def fold_width(folded: range) -> float:
    """Points for steps that are folded away: one for each, within reason."""
    return min(_LONGEST, max(_FOLD, len(folded) + 20.0))


def frame_label(step: Step) -> str:
    """What a step's frame says."""
    name = f"{'backward' if step.backward else 'step'} t = {step.timestep}"
    return f"{step.layer} · {name}" if step.layer else name


def lay_out(rows: Sequence[Row], spacing: Spacing) -> list[list[Laid | float]]:
    """Every shown step in its column; alike steps are placed and routed once.

    For steps that are folded away there is the left edge of the box that stands for them.
    """
    plans = [_plan([step for step in row.steps if isinstance(step, Step)], spacing) for row in rows]
    width = max(placement.width for plan in plans for placement, _, _ in plan.values())
    laid_rows: list[list[Laid | float]] = []
    bottom = 0.0
    for row, plan in zip(rows, plans, strict=True):
        left = 0.0
        laid: list[Laid | float] = []
        for part in row.steps:
            if isinstance(part, Fold):
                laid.append(left)
                left += fold_width(part.steps) + GAP
                continue
            placement, wires, names = plan[part.shape]
            mirror = placement.width if row.reverse else None
            flip = placement.height if part.backward else None
            laid.append(Laid(part, placement, wires, left + (width - placement.width) / 2, bottom, mirror, flip, names))
            left += width + GAP
        laid_rows.append(laid)
        bottom += max(placement.height for placement, _, _ in plan.values()) + ABOVE + BELOW + 34
        bottom += 0.0 if row.feeds_next else 48.0
    return laid_rows


def seams(rows: Sequence[Row], laid_rows: Sequence[Sequence[Laid | float]]) -> list[float]:
    """Where the drawing can be cut between two columns: in the middle of the gap, a little right of where what passes
    a fold ends.
    """
    ends = []
    for k, part in enumerate(rows[0].steps):
        column = [row[k] for row in laid_rows]
        if isinstance(part, Fold):
            left = next(place for place in column if not isinstance(place, Laid))
            ends.append((left, left + fold_width(part.steps)))
        else:
            steps = [place for place in column if isinstance(place, Laid)]
            ends.append((min(s.left for s in steps), max(s.left + s.placement.width for s in steps)))
    return [(right + left) / 2 + 2 for (_, right), (left, _) in itertools.pairwise(ends)]


def _plan(steps: Sequence[Step], spacing: Spacing) -> dict[tuple[object, ...], _Plan]:
    """Each kind of step placed, routed and with names, with as much room between the rows as its lines need."""
    title = max(label_width(frame_label(step)) for step in steps)
    kinds = {step.shape: step for step in steps}
    outlines = {shape: transposed(step) if step.backward else step for shape, step in kinds.items()}
    states = frozenset.intersection(*(frozenset(highways(outline)) for outline in outlines.values()))
    level = max(rail_row(outline, states) for outline in outlines.values())
    best: tuple[int, dict[tuple[object, ...], tuple[Placement, dict[Wire, Path]]]] | None = None
    for extra in (0.0, 12.0, 24.0, 48.0):
        roomy = replace(spacing, row=spacing.row + extra, gap=spacing.gap + extra / 2)
        placements = {shape: place(outline, roomy, states, level, title) for shape, outline in outlines.items()}
        placements |= {shape: turned(step, placements[shape]) for shape, step in kinds.items() if step.backward}
        found = {shape: _lines(step, placements[shape], roomy) for shape, step in kinds.items()}
        crowded = sum(along for along, _ in found.values())
        if best is not None and crowded >= best[0]:
            break  # more room is no cure
        best = crowded, {shape: (placements[shape], paths) for shape, (_, paths) in found.items()}
        if not crowded:
            break
    assert best is not None
    last = max(step.timestep for step in steps)
    return {
        shape: (placement, paths, names_beside(kinds[shape], placement, paths, last))
        for shape, (placement, paths) in best[1].items()
    }


def _lines(step: Step, placement: Placement, spacing: Spacing) -> tuple[int, dict[Wire, Path]]:
    """How many lines of a placed step have to run along others, and the paths of all."""
    places = (tuple(part.items()) if isinstance(part, dict) else part for part in vars(placement).values())
    key = (step.shape, *places, spacing)
    if key not in _routed:
        routes = route(step, placement, spacing)
        for oldest in list(_routed)[: len(_routed) - _KEPT + 1]:
            _routed.pop(oldest, None)
        _routed[key] = routes.crowded, routes.paths
    return _routed[key]

"""Where the items of one timestep stand: states as rails on top, gates in columns below them.

Operations rise from the inputs at the bottom, one row for each operand that has to come first. A state
with a highway (see :func:`~inspector.steps.items.highways`) becomes a straight rail above them. What is computed
from a rail's end, like the output of an LSTM, hangs down to the right of it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from ..steps.items import Item, Key, Step, entering, highways
from .coordinates import CLOSE, across
from .order import Spacing, order_of
from .rows import rows_of

__all__ = ["Placement", "place", "rail_row"]

_BESIDE = 13.0
"""Points between a shape and the chip beside it."""


@dataclass(frozen=True)
class Placement:
    """Positions within a step's frame, whose lower left corner is the origin.

    Attributes
    ----------
    at : dict
        Item key to the centre (x, y).
    rails : dict
        State name to the height at which it enters and leaves.
    highways : frozenset of str
        The states that pass straight through on a rail.
    x_port, output_port : float
        Where the input enters from below and the output leaves upwards.
    width, height : float
        Of the frame.
    title : float
        Width of the label in the frame's upper left corner, which lines leave free.
    """

    at: dict[Key, tuple[float, float]]
    rails: dict[str, float]
    highways: frozenset[str]
    x_port: float
    output_port: float
    width: float
    height: float
    title: float = 0.0


def rail_row(step: Step, states: frozenset[str]) -> int:
    """The lowest row in which the rails of `states` can stand."""
    rails = {state: path for state, path in highways(step).items() if state in states}
    return rows_of(_with_wings(step.inside, rails)[0], rails).level


def place(step: Step, spacing: Spacing, states: frozenset[str], level: int, title: float = 0.0) -> Placement:
    """Positions for every item of `step`.

    Parameters
    ----------
    states : frozenset of str
        The states that get a rail.
    level : int
        The row of the lowest rail, see :func:`rail_row`.
    title : float
        Width of the frame's label.
    """
    rails = {state: path for state, path in highways(step).items() if state in states}
    inside, chips = _with_wings(step.inside, rails)
    rows = rows_of(inside, rails, level)
    buses = [state for state, _ in step.states if state not in rails]
    aside = spacing.track * max(0, len(buses) - 1)
    spacing = replace(spacing, left=spacing.left + aside, right=spacing.right + aside)
    x = across(inside, order_of(inside, rows, rails), rails, spacing)
    width = max((x[i.key] + i.reach[1] for i in inside), default=40.0) + spacing.right
    if width < title + 46:
        x = {key: round(at + (title + 46 - width) / 2, 1) for key, at in x.items()}
        width = title + 46
    base = spacing.bus * len(buses) + 46
    at = {key: (x[key], base + spacing.row * (row - 1) + 14) for key, row in rows.row.items()}
    at |= {chip: (round(at[reader][0] + way, 1), at[reader][1]) for chip, reader, way in chips}
    heights = {state: base + spacing.row * (level + k - 1) + 14 for k, state in enumerate(reversed(rails))}
    heights |= {state: spacing.bus * (k + 1) for k, state in enumerate(buses)}
    top = max([*rows.row.values(), level if rails else 1])
    return Placement(
        at=at,
        rails=heights,
        highways=frozenset(rails),
        x_port=_x_port(inside, x, {entering(state) for state in buses}, width),
        output_port=width - 18.0,
        width=width,
        height=base + spacing.row * (top - 1) + 14 + 42,
        title=title,
    )


def _x_port(items: Sequence[Item], x: dict[Key, float], buses: set[Key], width: float) -> float:
    """Below the middle of what reads the input, exactly below an item that stands there.

    But not below what reads a state alone that comes from below as well.
    """
    sources = {item.key: {link.source for link in item.links} for item in items}
    readers = [x[key] for key, read in sources.items() if entering("x") in read]
    middle = fmean(readers) if readers else width / 2
    below = [at for at in readers if abs(at - middle) < 8] + [at for at in x.values() if abs(at - middle) <= CLOSE]
    port = below[0] if below else round(middle, 1)
    risers = [x[key] for key, read in sources.items() if read & buses and entering("x") not in read]
    shifts = itertools.chain.from_iterable((12.0 * k, -12.0 * k) for k in range(len(risers) + 2))
    return next((port + shift for shift in shifts if all(abs(port + shift - riser) > 8 for riser in risers)), port)


def _with_wings(items: Sequence[Item], rails: dict[str, list[Key]]) -> tuple[list[Item], list[tuple[Key, Key, float]]]:
    """The items that are no chips, with room for theirs; and each chip, what it stands beside, and how far.

    The first stands to the right, the second to the left. A rail leaves no room: chips feed it from below.
    """
    on_rail = {key for path in rails.values() for key in path}
    chips = {item.key: item for item in items if item.beside}
    placed: list[tuple[Key, Key, float]] = []
    wide: dict[Key, Item] = {}
    for item in items:
        own = [link.source for link in item.links if link.source in chips] if item.key not in on_rail else []
        wings = [*item.wings]
        for side, chip in zip((1, 0), own, strict=False):
            width = chips[chip].size[0]
            wings[side] += _BESIDE + width
            placed.append((chip, item.key, (item.size[0] / 2 + _BESIDE + width / 2) * (1 if side else -1)))
        wide[item.key] = replace(item, wings=(wings[0], wings[1]))
    beside = {chip for chip, _, _ in placed}
    return [item for key, item in wide.items() if key not in beside], placed

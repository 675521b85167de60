"""How a step of the reverse sweep takes the places of a forward step: everything where it was, every line the other
way round.

:func:`transposed` gives the forward step whose lines run against those of a backward step; it is placed like any
other. :func:`turned` turns the result by half a turn, so that the sweep runs from left to right and upwards like
every step that lines are routed in; the drawing turns it back.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

from ..steps.items import Item, Key, Link, Step, diagonal_path, entering
from .place import Placement

__all__ = ["transposed", "turned"]


def transposed(step: Step) -> Step:
    """A step of the same items in which every line runs the other way, except those from chips to their readers."""
    lines: dict[Key, list[Link]] = {item.key: [] for item in step.items}
    ends: dict[str, Key] = {}
    for item in step.items:
        for link in item.links:
            if link.source.is_port:
                ends.setdefault(link.source.name, item.key)
            elif step.by_key[link.source].beside:
                lines[item.key].append(link)
            else:
                lines[link.source].append(Link(entering("x") if item.key == step.output else item.key))
    leaving = dict(step.states)
    for state, key in leaving.items():
        if key in lines:
            lines[key].append(Link(entering(state)))
        elif key.is_port:
            ends.setdefault(key.name, entering(state))
    states = []
    for state, total in step.totals or ():
        if state not in leaving and total is not None:
            lines[total].append(Link(entering(state)))
        states.append((state, ends.get(state, total or entering(state))))
    _stacked(step, lines)
    shown = _sources_first(step.inside, lines)
    items = tuple(_reading(item, lines[item.key]) for item in shown)
    plain = Step(step.layer, step.timestep, items, tuple(states), None)
    for state, key in leaving.items():
        _past_the_rail(step, state, key, diagonal_path(plain, state), lines)
    return plain.with_items([_reading(item, lines[item.key]) for item in shown])


def _reading(item: Item, lines: list[Link]) -> Item:
    return replace(item, links=tuple(dict.fromkeys(lines)))


def _stacked(step: Step, lines: dict[Key, list[Link]]) -> None:
    """Chips that end what flows from one shape stand below each other, as if each read the next."""
    ends = {item.key for item in step.items if not lines[item.key] and item.role == "parameter"}
    for item in step.items:
        chips = [link for link in lines[item.key] if link.source in ends]
        for upper, lower in itertools.pairwise(chips):
            lines[upper.source].append(lower)
            lines[item.key].remove(lower)


def _past_the_rail(step: Step, state: str, key: Key, rail: list[Key], lines: dict[Key, list[Link]]) -> None:
    """What is added to a state where it leaves rises from below, like what reads it forward, and does not hang."""
    if key in rail:
        for source in (link.source for link in step.by_key[key].links if link.source in lines):
            if source not in rail and not step.by_key[source].beside:
                lines[source] = [Link(entering(state)) if link.source == key else link for link in lines[source]]


def _sources_first(items: Sequence[Item], lines: dict[Key, list[Link]]) -> list[Item]:
    """The items from the last to the first, and chips in front of what reads them."""
    chips = {item.key: item for item in items if item.beside}
    ordered = []
    for item in reversed(items):
        if not item.beside:
            ordered += [chips[link.source] for link in lines[item.key] if link.source in chips]
            ordered.append(item)
    return ordered


def turned(step: Step, placement: Placement) -> Placement:
    """The placement after half a turn; what entered by ``x`` leaves there, and the other way round.

    What enters a rail from above stands over the shape that it enters.
    """
    width, height = placement.width, placement.height
    over = [placement.at[item.key] for item in step.items if any(link.source == entering("x") for link in item.links)]
    top = max((placement.rails[state] for state in sorted(placement.highways)), default=0.0)
    port = over[0][0] if over and over[0][1] == top else placement.output_port
    return replace(
        placement,
        at={key: (round(width - x, 1), round(height - y, 1)) for key, (x, y) in placement.at.items()},
        rails={state: round(height - y, 1) for state, y in placement.rails.items()},
        x_port=round(width - port, 1),
        output_port=width - placement.x_port,
    )

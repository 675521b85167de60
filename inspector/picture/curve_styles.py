"""Which colour, dash, marker and hatching a curve gets: from its name, and from its place among the others of a
picture.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

import tinygrad_rnn as tg

from ..tracing.names import own_name
from .theme import BLUE, CURVES, GATES, GREEN, ORANGE, PINK

__all__ = ["Style", "styles"]

_VIOLET, _GOLD, _BLUE, _RUST, _GREEN, _PINK, _SKY, _INK = range(len(CURVES))
_STATES = {"h": _VIOLET, "c": _GOLD}
_HUES = {ORANGE: _RUST, BLUE: _BLUE, GREEN: _GREEN, PINK: _PINK}
_GATES = {gate: _HUES[paint] for gate, paint in GATES.items()} | {"x": _SKY}
"""Of the hues that gates have in the drawings."""
_CELLS = (_RUST, _GREEN, _PINK, _VIOLET, _GOLD, _BLUE, _SKY, _INK)
"""In turn, in the order of the registry: the RNN, the LSTM and the GRU, and those of one family, differ."""

_OTHERS = (_BLUE, _RUST, _GREEN, _PINK, _SKY, _INK, _VIOLET, _GOLD)
"""In the order in which names without a colour of their own take them."""

_DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.2, 1.3)), (0, (7, 2, 1.2, 2)))
_MARKERS = ("o", "s", "^", "D")
_HATCHES = ("", "////", "....", "xxxx")
_MARKED, _MARKS = 30, 12
"""Up to how many points each has a marker, and how many have one on a longer curve that needs it."""


class Style(NamedTuple):
    """How a curve looks.

    Attributes
    ----------
    place : int
        Of its colour in the palette.
    variant : int
        Which of the curves of that colour it is; sixteen differ in dash and marker, four in hatching.
    """

    place: int
    variant: int = 0

    @property
    def colour(self) -> str:
        return CURVES[self.place][0]

    @property
    def hatch(self) -> str:
        """Of an area."""
        return _HATCHES[self.variant % len(_HATCHES)]

    def among(self, k: int, count: int) -> Style:
        """The same colour for the k-th of `count` curves that belong together, such as the states of one cell."""
        return self._replace(variant=self.variant * count + k)

    def line(self, points: int) -> dict[str, Any]:
        """Keywords for Matplotlib's ``plot``, for a curve of so many points."""
        turn, dash = divmod(self.variant, len(_DASHES))
        marker = _MARKERS[(turn + dash) % len(_MARKERS)] if points <= _MARKED or turn else None
        return {
            "color": self.colour,
            "linestyle": _DASHES[dash],
            "marker": marker,
            "markersize": 3.5,
            "markevery": max(1, points // _MARKS) if points > _MARKED else 1,
        }


def styles(names: Iterable[str]) -> dict[str, Style]:
    """A style for each of the curves of a picture; names that come first keep theirs whatever gates come after them.

    So give all states of a run, then the rest. States ``h`` and ``c`` and the registered cells have their own colours
    everywhere, and gates those of the drawings unless a state or cell has taken it. Any other name takes the colour
    that the fewest have, in order. What differs in its layer only, ``layer0/h`` and ``layer1/h``, or is what stands in
    front of a gate, ``z_f``, has one colour and differs in dash.

    Examples
    --------
    >>> from inspector.picture.curve_styles import styles
    >>> found = styles(["a", "c", "layer0/h", "layer1/h"])
    >>> found["layer0/h"].colour == found["layer1/h"].colour != found["a"].colour
    True
    >>> len(set(found.values()))
    4
    """
    names = list(dict.fromkeys(names))
    places = {kind: own for kind in map(_kind, names) if (own := _own_place(kind)) is not None}
    kept, given = Counter(places.values()), Counter[int]()
    found = {}
    for name in names:
        kind = _kind(name)
        if kind not in places and kind in _GATES and _GATES[kind] not in places.values():
            places[kind] = _GATES[kind]
            kept[places[kind]] += 1
        if kind not in places or given[places[kind]] >= len(_DASHES):
            places[kind] = min(_OTHERS, key=lambda place: max(kept[place], given[place]))
            kept[places[kind]] += 1
        found[name] = Style(places[kind], given[places[kind]])
        given[places[kind]] += 1
    return found


class _Registered(NamedTuple):
    """What names of the same registered cell have in common."""

    cell: str


def _kind(name: str) -> _Registered | str:
    """What a name has in common with those of other layers: the registered cell, the state or the gate."""
    word = re.match(r"\w*", name)
    assert word is not None
    cell = _cells().get(word[0].lower().removesuffix("cell"))
    return _Registered(cell) if cell is not None else own_name(name).removeprefix("z_")


def _own_place(kind: _Registered | str) -> int | None:
    """Of a state or a registered cell."""
    if isinstance(kind, _Registered):
        return _CELLS[tg.cells.names().index(kind.cell) % len(_CELLS)]
    return _STATES.get(kind)


@lru_cache(maxsize=1)
def _cells() -> dict[str, str]:
    """The registered cells by name and by class, in small letters and without ``Cell``."""
    by_class = {tg.cells.get(name).__name__.lower().removesuffix("cell"): name for name in tg.cells.names()}
    return {**by_class, **{name: name for name in tg.cells.names()}}

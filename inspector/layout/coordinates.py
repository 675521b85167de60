"""Where columns stand across: one quadratic programme for all of them together.

Lines should be upright, an operation should stand above the middle of its two operands, and the frame should be
narrow; shapes keep their gaps. Squared offsets give every column one best place; weighing them anew by how large
they are then turns squares into lengths (iteratively reweighted least squares), so that a line becomes either
straight or clearly bent.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..steps.items import Item, Key
from .order import Order, Spacing
from .rows import sources_of

__all__ = ["CLOSE", "Gap", "Wish", "across", "least_squares"]

CLOSE = 3.5
"""Points; the router keeps its lines at least so far apart."""
_LINE, _ONLY, _CENTRED, _OF_TWO, _HANGING, _RAIL, _WIDTH = 1.0, 2.0, 2.0, 0.3, 0.05, 0.25, 0.02
"""What a squared offset costs: of a line, and of one from an only operand; from the middle of two operands, and
then from each of them; of what hangs from a shape that is fed from below; of neighbours on a rail; and the squared
width.
"""
_LOOSE = 0.05
"""Points that a gap may be short of."""
_PINNED = 1e-4
"""What keeps a column in place that nothing else does."""
_ROUNDS, _SOFT = 3, 20.0
"""How often lines are weighed anew, and from how many points on an offset then counts less."""


class Wish(NamedTuple):
    """A sum of columns, each times a factor, that should be `wanted`; `weight` says how much."""

    factors: dict[int, float]
    wanted: float
    weight: float
    straight: bool = False
    """Whether it is a line, which had better be quite straight or clearly bent."""


class Gap(NamedTuple):
    """That a column stands at least so far to the right of another."""

    left: int
    right: int
    least: float


def across(items: Sequence[Item], order: Order, rails: dict[str, list[Key]], spacing: Spacing) -> dict[Key, float]:
    """The x of every item, the leftmost of them `spacing.left` from the frame."""
    column = order.column
    gaps = [
        Gap(column[a.key], column[b.key], a.reach[1] + b.reach[0] + spacing.gap)
        for a, b in order.neighbours() if column[a.key] != column[b.key]
    ]  # fmt: skip
    left, right = (1 + max(column.values(), default=-1) + side for side in (0, 1))
    for lane in order.lanes:
        gaps += [Gap(left, column[lane[0].key], lane[0].reach[0]), Gap(column[lane[-1].key], right, lane[-1].reach[1])]
    wishes = [wish for wish in _wishes(items, order, rails, spacing.gap) if any(wish.factors.values())]
    wishes += [Wish({right: 1.0, left: -1.0}, 0.0, _WIDTH), Wish({left: 1.0}, 0.0, 1.0)]
    x = least_squares(wishes, gaps, right + 1)
    for _ in range(_ROUNDS):
        x = least_squares([_again(wish, x) for wish in wishes], gaps, right + 1)
    low = min((x[column[item.key]] - item.reach[0] for item in items), default=0.0)
    return _aligned({item.key: round(float(x[column[item.key]] - low) + spacing.left, 1) for item in items})


def _wishes(items: Sequence[Item], order: Order, rails: dict[str, list[Key]], gap: float) -> list[Wish]:
    by_key = {item.key: item for item in items}
    readers = Counter(link.source for item in items for link in item.links)
    on_rail = {key for path in rails.values() for key in path}
    fed = {item.key for item in items if any(s in by_key and s not in on_rail for s in sources_of(item))}
    column, row = order.column, order.row

    def beside(a: Key, b: Key) -> float:
        return (by_key[a].size[0] + by_key[b].size[0]) / 2 + gap

    def near(a: Key, b: Key, wanted: float, weight: float, straight: bool = False) -> Wish:
        factors = Counter({column[b]: 1.0})
        factors.subtract({column[a]: 1.0})
        return Wish(dict(factors), wanted, weight, straight)

    wishes = []
    for item in items:
        sources = [source for source in sources_of(item) if source in by_key]
        two = (
            len(sources) == 2
            and all(row[s] != row[item.key] and column[s] != column[item.key] for s in sources)
            and not on_rail & {*sources, item.key}
        )
        for source in sources:
            if row[source] == row[item.key]:
                weight, ahead = (
                    (_RAIL, True) if {source, item.key} <= on_rail else (_LINE, order.is_left(source, item.key))
                )
                wishes.append(
                    near(source, item.key, beside(source, item.key) * (1 if ahead else -1), weight, weight == _RAIL)
                )
            elif source in on_rail & fed and item.key in order.hanging:
                wishes.append(near(source, item.key, 0.0, _HANGING))
            else:
                weight = _ONLY if len(sources) == 1 else _OF_TWO if two else _LINE
                wishes.append(near(source, item.key, 0.0, weight / math.sqrt(readers[source]), not two))
        if two:
            factors = Counter({column[item.key]: 1.0})
            factors.subtract(Counter({column[sources[0]]: 0.5}))
            factors.subtract(Counter({column[sources[1]]: 0.5}))
            wishes.append(Wish(dict(factors), 0.0, _CENTRED))
    for path in rails.values():
        wishes += [
            near(a, b, beside(a, b), _RAIL, True) for a, b in itertools.pairwise(path) if a not in sources_of(by_key[b])
        ]
    return wishes


def _again(wish: Wish, x: np.ndarray) -> Wish:
    """The wish with the weight that makes its squared offset count like the offset itself; bounded, so that none
    outweighs all.
    """
    if not wish.straight:
        return wish
    offset = abs(sum(x[k] * factor for k, factor in wish.factors.items()) - wish.wanted)
    return wish._replace(weight=wish.weight * _SOFT / (offset + _SOFT / 4))


def _aligned(x: dict[Key, float]) -> dict[Key, float]:
    """Exactly above each other where it is nearly so: lines so close could not be told apart."""
    nearest: dict[float, float] = {}
    last = -math.inf
    for value in sorted(x.values()):
        last = value if value - last > CLOSE else last
        nearest[value] = last
    return {key: nearest[value] for key, value in x.items()}


def least_squares(wishes: Sequence[Wish], gaps: Sequence[Gap], count: int) -> np.ndarray:
    """The x of `count` columns with the least weighted sum of squares that keep their gaps.

    The forces with which the gaps push are found first, as the non-negative solution of the dual programme.

    Raises
    ------
    ValueError
        If the gaps contradict each other.
    """
    gaps = list({(gap.left, gap.right): gap for gap in sorted(gaps)}.values())
    matrix, wanted = np.zeros((len(wishes), count)), np.zeros(len(wishes))
    for k, wish in enumerate(wishes):
        matrix[k, list(wish.factors)] = list(wish.factors.values())
        matrix[k] *= math.sqrt(wish.weight)
        wanted[k] = wish.wanted * math.sqrt(wish.weight)
    apart, least = np.zeros((len(gaps), count)), np.array([gap.least for gap in gaps])
    for k, gap in enumerate(gaps):
        apart[k, gap.left], apart[k, gap.right] = -1.0, 1.0
    hessian = matrix.T @ matrix + _PINNED * np.eye(count)
    free = np.linalg.solve(hessian, matrix.T @ wanted)
    yielding = np.linalg.solve(hessian, apart.T)
    x: np.ndarray = free + yielding @ _nonnegative(apart @ yielding, least - apart @ free)
    return _pushed_apart(x, gaps) if len(gaps) and (apart @ x - least).min() < -_LOOSE else x


def _pushed_apart(x: np.ndarray, gaps: Sequence[Gap]) -> np.ndarray:
    """The columns moved to the right until all gaps are kept: of a long chain the forces are not exact."""
    x = x.copy()
    for _ in range(len(x) + 1):
        short = [gap for gap in gaps if x[gap.right] - x[gap.left] < gap.least - _LOOSE]
        if not short:
            return x
        for gap in short:
            x[gap.right] = max(x[gap.right], x[gap.left] + gap.least)
    raise ValueError("layout: columns contradict each other")


def _nonnegative(stiffness: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """The forces u >= 0 with the least u.K.u / 2 - d.u: the active set method of Lawson and Hanson 1974, chapter 23."""
    count = len(missing)
    forces, active = np.zeros(count), np.zeros(count, bool)
    stiffness = stiffness + 1e-9 * np.eye(count) * max(1.0, np.trace(stiffness) / max(1, count))
    for _ in range(6 * count + 10):
        slack = np.where(active, -np.inf, missing - stiffness @ forces)
        if count == 0 or slack.max() <= 1e-6:
            break
        active[int(slack.argmax())] = True
        while active.any():
            pushed = np.zeros(count)
            pushed[active] = np.linalg.solve(stiffness[np.ix_(active, active)], missing[active])
            if pushed[active].min() > 0:
                forces = pushed
                break
            bad = active & (pushed <= 0)
            forces = forces + (forces[bad] / np.maximum(forces[bad] - pushed[bad], 1e-300)).min() * (pushed - forces)
            active &= forces > 1e-12
            forces[~active] = 0.0
    return forces

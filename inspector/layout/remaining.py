"""What exactly is left to pay from every point of a maze to the end of a way, for all points at once.

Dynamic programming over the number of bends: a way with one more of them first goes straight, which is a running
minimum along a line of the grid, and then turns into what is known already. It takes as long as some hundred states of
a search, wherever the end is and whatever is in between.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

__all__ = ["NEVER", "remaining"]

Prices = npt.NDArray[np.int64]
NEVER = 1 << 40
"""More than any way costs, and little enough to be added up along a line."""
_NOWHERE = 1 << 56


def remaining(
    steps: Prices,
    straight: Prices,
    turnable: npt.NDArray[np.bool_],
    ends: Mapping[tuple[int, int], int],
    whole: Callable[[Prices], int],
    bend: int,
    least: int,
) -> tuple[int, list[Prices]]:
    """The price of the cheapest way, at least :data:`NEVER` if there is none; and by direction what is left at each
    point to a way that has come to it in this direction, as far as that matters for the cheapest.

    Parameters
    ----------
    steps : (4, columns, rows) array
        What the length of a step from each point costs upwards, to the right, downwards and to the left; `NEVER` where
        there is none.
    straight : (4, columns, rows) array
        What it costs to pass each point straight.
    turnable : (columns, rows) array
        Whether a way may turn there.
    ends : mapping
        From the number of a point and a direction to what it costs to arrive there, where a way ends.
    whole : function
        From what is left behind a first step out of each point, by direction, to the least price of a whole way.
    bend : int
        The price of a bend.
    least : int
        At least what a way costs without its bends.
    """
    turned, pass_on = np.full_like(steps, _NOWHERE), steps + straight
    for (point, turn), price in ends.items():
        pass_on[turn].flat[point], turned[turn].flat[point] = NEVER, price
    upright, level = _Axis(turned, pass_on, steps, 0), _Axis(turned, pass_on, steps, 1)
    bends = 0
    while True:
        up_out, level_out = upright.out(), level.out()
        out = np.stack([up_out[0], level_out[0].T, up_out[1], level_out[1].T])
        price, bends = whole(out), bends + 1
        from_level = np.where(turnable, level_out.min(axis=0).T + bend, _NOWHERE)
        from_upright = np.where(turnable, up_out.min(axis=0) + bend, _NOWHERE)
        changed = [upright.turn(from_level), level.turn(from_upright.T)]
        if price < bends * bend + least or not any(changed):
            return price, [upright.left(0), level.left(0).T, upright.left(1), level.left(1).T]


class _Axis:
    """Two opposite directions, both along the last axis of arrays, the second of them backwards."""

    def __init__(self, turned: Prices, pass_on: Prices, steps: Prices, first: int) -> None:
        def both(values: Prices) -> Prices:
            pair = values[first::2]
            pair = pair.transpose(0, 2, 1) if first else pair
            return np.stack([pair[0], pair[1][:, ::-1]])[..., ::-1]

        self.arrived, self.steps, cost = both(turned), both(steps)[..., 1:], both(pass_on)
        self.is_end, self.turned = self.arrived < _NOWHERE, self.arrived
        self.sums = -np.cumsum(cost, axis=-1)

    def out(self) -> Prices:
        """What is left behind a first step; a way goes straight on as far as pays, and then turns, or has arrived."""
        self.best: Prices = np.minimum.accumulate(self.turned + self.sums, axis=-1) - self.sums
        found: Prices = np.full_like(self.best, _NOWHERE)
        found[..., 1:] = self.steps + self.best[..., :-1]
        found[0] = found[0][:, ::-1].copy()
        return found

    def left(self, which: int) -> Prices:
        """What is left at each point to a way in one of the two directions."""
        found: Prices = self.best[which]
        return found if which else found[:, ::-1]

    def turn(self, left: Prices) -> bool:
        """Take over what is left for those who turn at each point; whether that is news."""
        following = np.where(self.is_end, self.arrived, np.stack([left[:, ::-1], left]))
        changed = not np.array_equal(following, self.turned)
        self.turned = following
        return changed

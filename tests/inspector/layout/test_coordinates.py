"""The quadratic programme: its gaps hold, and nothing that keeps them is better."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.layout.coordinates import Gap, Wish, least_squares


@st.composite
def programmes(draw: Callable[[st.SearchStrategy[Any]], Any]) -> tuple[list[Wish], list[Gap], int]:
    """Columns that should stand above each other, or so far apart, and of which some stand left of others."""
    count = draw(st.integers(1, 7))
    columns = st.lists(st.integers(0, count - 1), min_size=1, max_size=3, unique=True)
    wishes = [Wish({k: 1.0}, 0.0, 0.1) for k in range(count)]
    for _ in range(draw(st.integers(0, 9))):
        first, *rest = draw(columns)
        factors = {first: 1.0, **dict.fromkeys(rest, -1.0 / max(1, len(rest)))}
        wishes.append(Wish(factors, draw(st.integers(-40, 40)), draw(st.sampled_from([0.02, 0.3, 1.0, 2.0]))))
    pairs = [(a, b) for a in range(count) for b in range(a + 1, count)]
    apart = draw(st.lists(st.sampled_from(pairs), max_size=12)) if pairs else []
    return wishes, [Gap(a, b, draw(st.integers(0, 60))) for a, b in apart], count


def cost(wishes: list[Wish], x: np.ndarray) -> float:
    return sum(w.weight * (sum(x[k] * factor for k, factor in w.factors.items()) - w.wanted) ** 2 for w in wishes)


@given(programmes(), st.integers(0, 2**32 - 1))
def test_no_step_that_keeps_the_gaps_is_better(programme: tuple[list[Wish], list[Gap], int], seed: int) -> None:
    """The programme is convex, so that the best place is one from which no small step is better."""
    wishes, gaps, count = programme
    x = least_squares(wishes, gaps, count)
    assert all(x[gap.right] - x[gap.left] > gap.least - 0.01 for gap in gaps)
    rng = np.random.default_rng(seed)
    at = cost(wishes, x)
    for _ in range(200):
        moved = x + rng.normal(size=count) * rng.choice([0.5, 5.0]) * (rng.random(count) < 0.6)
        if all(moved[gap.right] - moved[gap.left] >= gap.least for gap in gaps):
            assert cost(wishes, moved) > at - 0.1


def test_a_free_shape_stands_where_it_is_wanted_and_a_pushed_one_at_its_gap() -> None:
    wishes = [Wish({0: 1.0}, 0.0, 1.0), Wish({1: 1.0, 0: -1.0}, 10.0, 1.0), Wish({2: 1.0, 0: -1.0}, 12.0, 1.0)]
    assert least_squares(wishes, [], 3) == pytest.approx([0, 10, 12], abs=0.02)
    assert least_squares(wishes, [Gap(1, 2, 20.0)], 3) == pytest.approx([0, 1, 21], abs=0.02)


def test_gaps_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="contradict"):
        least_squares([Wish({0: 1.0}, 0.0, 1.0)], [Gap(0, 1, 5.0), Gap(1, 0, 5.0)], 2)


def test_the_gaps_of_a_long_chain_hold() -> None:
    count = 120
    wishes = [Wish({k: 1.0}, 0.0, 0.1) for k in range(count)]
    gaps = [Gap(a, b, 40.0 * (b - a)) for a in range(count) for b in range(a + 1, min(count, a + 4))]
    x = least_squares(wishes, gaps, count)
    assert min(x[gap.right] - x[gap.left] - gap.least for gap in gaps) >= -0.05 - 1e-9

"""What may be done to numbers that were right: every slip is told from the numbers alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from inspector.analysis.slips import Item, listed, ratio, ratio_words, slips

RNG = np.random.default_rng(0)
RUN = tg.unroll(tg.cells.LSTMCell(2, 3, seed=0), RNG.normal(size=(7, 5, 2)))
OURS = RNG.normal(size=(12, 3))
SHARES = np.array([OURS * k for k in (0.1, 0.2, 0.7)]) + RNG.normal(size=(12, 3)) * np.array([1, -1, 0])[:, None, None]


def item(theirs: Any, ours: Any = OURS[None], is_parameter: bool = True, **options: Any) -> Item:
    return Item("w", np.asarray(theirs), ours, is_parameter, 1e-9, 1e-300, **options)


@pytest.mark.parametrize(
    ("theirs", "says"),
    [
        (-OURS, "has the wrong sign"),
        (OURS / 5, "is the mean over the batch in place of the sum (1/5)"),
        (OURS * -35, "is the sum over batch and steps in place of the mean (35 times), with the wrong sign"),
        (OURS * 2, "is twice ours, by a 2 too many"),
        (OURS * 1.7, "is 1.7 times ours throughout"),
        (0 * OURS, "is 0 throughout, never added up"),
        (np.concatenate([part.T for part in np.split(OURS, 4)]), "is transposed, each square block by itself"),
        (OURS[[0, 1, 2, 6, 7, 8, 3, 4, 5, 9, 10, 11]], "has its 4 blocks of rows in the order 0, 2, 1, 3"),
        (OURS * np.repeat([1, 0, 1, 1], 3)[:, None], "in rows 3…5 is 0"),
        (OURS * np.repeat([-1, 1, 1, -1], 3)[:, None], "in rows 0…2, 9…11 has the wrong sign"),
        (SHARES[1], "is the share of the step t = 1 alone: assigned (=) where it should be added up (+=)"),
        (SHARES[1] + SHARES[2], "lacks the share of the step t = 0"),
    ],
)
def test_a_parameter(theirs: Any, says: str) -> None:
    ours = SHARES.sum(axis=0) if "the step t" in says else OURS
    assert list(slips(item(theirs[None]), ours[None], RUN, SHARES)) == [says]


def test_a_run_of_one_step() -> None:
    run = tg.unroll(tg.cells.LSTMCell(2, 3, seed=0), RNG.normal(size=(1, 5, 2)))
    for theirs, says in (
        (-OURS, "has the wrong sign"),
        (OURS * np.repeat([1, 0, 1, 1], 3)[:, None], "in rows 3…5 is 0"),
    ):
        assert list(slips(item(theirs[None]), OURS[None], run)) == [says]


def test_nothing_is_made_up() -> None:
    assert list(slips(item(RNG.normal(size=(1, 12, 3))), OURS[None], RUN, SHARES)) == []
    assert list(slips(item(np.ones((1, 12, 3))), np.zeros((1, 12, 3)), RUN)) == []


def test_values_along_time() -> None:
    h = RNG.normal(size=(6, 2, 3))
    assert list(slips(item(h[::-1], h, False), h, RUN)) == ["is in the reverse order of time"]
    before, behind = np.roll(h, 1, axis=0), np.roll(h, -1, axis=0)
    assert list(slips(item(before, h, False), h, RUN)) == ["is that of the step before, off by one in time"]
    assert list(slips(item(behind, h, False), h, RUN)) == ["is that of the step behind, off by one in time"]


def test_errors_are_relative_to_their_row_and_what_underflows_counts_as_nothing() -> None:
    ours = np.array([[1.0, 1e-20], [1e-20, 2e-20], [0.0, 0.0], [1e-310, 0.0]])
    theirs = np.array([[1.0, 0.0], [1e-20, 1e-20], [0.0, 0.0], [0.0, 0.0]])
    np.testing.assert_allclose(item(theirs, ours, False).errors(ours), [1e-20, 0.5, 0.0, 0.0])
    counts = np.array([[True, True], [True, False], [True, True], [True, True]])
    masked = item(np.where(counts, theirs, 0.0), ours, False, counts=counts)
    np.testing.assert_allclose(masked.errors(ours), [1e-20, 0.0, 0.0, 0.0])
    assert not item([[np.nan, 0.0]], ours[:1], False).fits(ours[:1])


def test_a_factor_has_to_hold_everywhere() -> None:
    assert ratio(item(2 * OURS[None]), OURS[None]) == pytest.approx(2.0)
    assert ratio(item(np.where(OURS > 0, 2.0, 3.0)[None] * OURS), OURS[None]) is None
    assert ratio_words(0.7, RUN) == "is 0.7 times ours throughout" and ratio_words(0.7, RUN, 1) is None
    assert ratio_words(0.5, RUN) == "is half of ours, without the 2 of a squared error"
    assert (listed(["a"]), listed(["a", "b", "c"])) == ("a", "a, b and c")

"""Steps that mean something: however they are given, and what is none is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import inspector
import tinygrad_rnn as tg
from inspector.page.marks import marks_of
from inspector.reports import document_of


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (None, {}),
        (3, {"marked": [3]}),
        ([5, 2, 5], {"marked": [2, 5]}),
        (np.flatnonzero([0, 1, 0, 1]), {"marked": [1, 3]}),
        ([], {"marked": []}),
        (range(2), {"marked": [0, 1]}),
        ({"first": [4, 1], "last": 5}, {"first": [1, 4], "last": [5]}),
    ],
)
def test_marks_are_steps_in_order_by_words(given: Any, wanted: dict[str, list[int]]) -> None:
    assert marks_of(given, 6, "report") == wanted


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ([6], ValueError, r"report: marks, 'marked': there is no step 6, only 0 to 5"),
        ({"end": [2, -1]}, ValueError, "'end': there is no step -1"),
        ([1.0], TypeError, r"give the numbers of steps, such as \[2, 33\], got \[1.0\]"),
        (np.array([True, False]), TypeError, "numbers of steps"),
        ("ab", TypeError, "numbers of steps"),
        ([[1], [2, 3]], TypeError, "numbers of steps"),
        ({"a": None}, TypeError, "'a': give"),
    ],
)
def test_what_is_no_step_of_the_run_is_refused(given: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        marks_of(given, 6, "report")


def test_every_run_has_the_marks_that_it_reaches() -> None:
    cell = tg.cells.RNNCell(2, 3, seed=0)
    runs = {str(steps): tg.unroll(cell, np.ones((steps, 1, 2))) for steps in (3, 6)}
    pairs = {label: (run, run.outputs[-1].sum()) for label, run in runs.items()}
    found = document_of(pairs, None, "report", sliders=False, marks={"a\nb": [1, 4], "late": 5})
    assert found["runs"][0]["marks"] == [{"words": "a\N{REPLACEMENT CHARACTER}b", "steps": [1]}]
    assert [mark["steps"] for mark in found["runs"][1]["marks"]] == [[1, 4], [5]]
    assert "marks" not in document_of(pairs, None, "report", sliders=False)["runs"][0]


def test_a_page_with_a_mark_beyond_its_run_is_not_written(tmp_path: Any) -> None:
    run = tg.unroll(tg.cells.RNNCell(2, 3, seed=0), np.ones((3, 1, 2)))
    with pytest.raises(ValueError, match="no step 3"):
        inspector.report(run, run.outputs[-1].sum(), tmp_path / "a.html", marks=[3])
    assert list(tmp_path.iterdir()) == []

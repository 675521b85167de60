"""Steps that are folded away: how many, whose, and the gradient that passes them."""

from __future__ import annotations

import itertools
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import inspector
import tinygrad_rnn as tg
from inspector.picture import theme
from inspector.picture.compose import picture
from inspector.picture.picture import Line, Picture
from tests.inspector.picture.test_drawing import assert_sound
from tinygrad_rnn.recurrent.unroll import Run


def run_of(name: str, steps: int, reverse: bool = False) -> Run:
    x = np.random.default_rng(0).normal(size=(steps, 2, 3))
    return tg.unroll(tg.cells.get(name)(3, 4, seed=0), x, reverse=reverse)


def ribbons(drawing: Picture, state: str) -> list[Line]:
    found = [line for line in drawing.lines if line.use == "ribbon" and f".{state}." in line.source]
    return sorted(found, key=lambda line: line.pieces[0][0][0])


@pytest.mark.parametrize(
    ("steps", "fold", "frames"), [(20, None, 20), (21, None, 5), (7, True, 5), (6, True, 6), (40, False, 40)]
)
def test_what_is_folded(steps: int, fold: bool | None, frames: int) -> None:
    drawing = picture(run_of("rnn", steps), fold=fold, level="cell")
    assert len(drawing.frames) == frames
    boxes = [s for s in drawing.shapes if s.look.part == "more"]
    assert [s.label for s in boxes] == ([f"× {steps - frames}, same parameters"] if frames < steps else [])


def test_chosen_steps_are_folded_on_request_alone() -> None:
    run = run_of("gru", 40)
    assert len(picture(run, steps=slice(10, 35)).frames) == 25
    folded = picture(run, steps=slice(10, 35), fold=True)
    assert [f.timestep for f in folded.frames] == [10, 11, 12, 33, 34]
    assert_sound(folded)


@settings(max_examples=8)
@given(
    name=st.sampled_from(["rnn", "lstm", "gru"]), steps=st.integers(8, 60), reverse=st.booleans(), at=st.floats(0, 1)
)
def test_a_ribbon_has_one_place_for_every_step_in_the_colour_of_its_gradient(
    name: str, steps: int, reverse: bool, at: float
) -> None:
    run = run_of(name, steps, reverse)
    trace = inspector.trace(run, run.outputs[round(at * (steps - 1))].sum())
    drawing = picture(run, trace=trace, fold=True, level="cell")
    (box,) = [s for s in drawing.shapes if s.look.part == "more"]
    for state in trace.states:
        pieces = ribbons(drawing, state)
        ends = [line.pieces[0] for line in pieces]
        assert all(a[1][0] == pytest.approx(b[0][0]) for a, b in itertools.pairwise(ends))
        left, right = ends[0][0][0], ends[-1][1][0]
        assert (left + right) / 2 == pytest.approx(box.x)
        unit = (right - left) / (steps - 5)
        norms = trace.norm(state)
        for t in range(3, steps - 2):
            x = left + unit * (t - 3 + 0.5)
            (line,) = [one for one in pieces if one.pieces[0][0][0] < x < one.pieces[0][1][0]]
            if norms[t] == 0:
                assert line.grade in ("none", "unreached")
            else:
                assert line.grade in range(len(theme.GRADIENT))
        shades = [line.grade for line in pieces if isinstance(line.grade, int)]
        assert len(shades) == 0 or max(shades) <= 7


def test_a_ribbon_darkens_where_the_gradient_grows() -> None:
    run = run_of("rnn", 60)
    trace = inspector.trace(run, run.outputs[-1].sum())
    drawing = picture(run, trace=trace)
    norms = trace.norm("h")
    first, last = ribbons(drawing, "h")[0], ribbons(drawing, "h")[-1]
    assert norms[3] < 1e-6 * norms[57]
    assert isinstance(first.grade, int) and isinstance(last.grade, int) and first.grade < last.grade
    assert inspector.text.number(norms[3]) in first.tooltip and "t = 57" in last.tooltip


def test_without_a_trace_there_is_no_ribbon() -> None:
    drawing = picture(run_of("lstm", 30), level="cell")
    assert ribbons(drawing, "c") == []
    assert {line.dashed for line in drawing.lines if line.grade == "fold"} == {True}


@pytest.mark.slow
def test_a_long_fold_is_as_wide_as_its_steps_up_to_a_point() -> None:
    def width(steps: int) -> float:
        run = run_of("rnn", steps)
        drawing = picture(run, trace=inspector.trace(run, run.outputs[-1].sum()), level="cell")
        pieces = ribbons(drawing, "h")
        return pieces[-1].pieces[0][1][0] - pieces[0].pieces[0][0][0]

    assert width(505) == pytest.approx(500)
    assert width(1605) == pytest.approx(1480)


@pytest.mark.slow
@pytest.mark.parametrize("every", [False, True])
def test_a_folded_drawing_does_not_grow_with_the_run(every: bool) -> None:
    def size(steps: int) -> int:
        run = tg.unroll(tg.cells.get("rnn")(2, 3, seed=0), np.random.default_rng(0).normal(size=(steps, 1, 2)))
        trace = inspector.trace(run, run.stacked.sum() if every else run.outputs[-1].sum())
        return len(inspector.draw(run, "cell", trace=trace, decay=True, values=True).svg)

    assert size(4000) <= 1.02 * size(2000)


class Forgetful(tg.Cell):
    """A state that is its input."""

    def step(self, x: Any, state: Any) -> Any:
        return (0.0 * state.h + x,)


def forgetful(steps: int, losses: range) -> tuple[Run, inspector.GradientTrace]:
    run = tg.unroll(Forgetful(2, 2), np.ones((steps, 1, 2)))
    return run, inspector.trace(run, sum((run.outputs[t].sum() for t in losses[1:]), run.outputs[losses[0]].sum()))


def test_steps_that_share_a_piece_of_a_ribbon_are_counted_in_what_it_says() -> None:
    run, trace = forgetful(1005, range(4, 400, 2))
    pieces = ribbons(picture(run, trace=trace, level="cell"), "h")
    assert len(pieces) <= 200
    mixed, _, rest = pieces[0], *pieces[-2:]
    assert mixed.dashed and isinstance(mixed.grade, int), "the strongest's colour, and that others are none"
    assert "t = 3 to" in mixed.tooltip and "gradient exactly 0" in mixed.tooltip and "every 5 steps" in mixed.tooltip
    assert not rest.dashed and rest.grade == "unreached" and rest.tooltip.count("at all ") == 1


def test_badges_of_a_long_run_say_how_many_steps_they_stand_for() -> None:
    run, trace = forgetful(1200, range(300, 600, 2))
    norms = trace.norm("h")
    drawing = picture(run, trace=trace, level="cell", decay=True)
    badges = [shape for shape in drawing.shapes if shape.id.startswith("chart.h.t") and shape.label == "0"]
    counted = set()
    for says in {badge.tooltip for badge in badges}:
        if found := re.search(r"t = (\d+) to (\d+): exactly 0 at (?:all|(\d+) of) (\d+) steps", says):
            steps = range(int(found[1]), int(found[2]) + 1)
            zeros = {t for t in steps if norms[t] == 0}
            assert len(steps) == int(found[4]) and len(zeros) == int(found[3] or found[4])
        else:
            zeros = {int(re.search(r"t = (\d+): 0", says)[1])}  # type: ignore[index]
        assert not counted & zeros
        counted |= zeros
    assert counted == set(np.flatnonzero(norms == 0)), "every zero is said once"
    assert len(badges) < 60 < len(counted)


def test_a_thinned_curve_keeps_its_extremes_and_graphviz_reads_it(tmp_path: Path) -> None:
    run = run_of("rnn", 1500)
    trace = inspector.trace(run, (run.stacked * np.random.default_rng(1).normal(size=(1500, 2, 4))).sum())
    drawing = picture(run, trace=trace, level="cell", decay=True)
    lines = [line for line in drawing.lines if line.id.startswith("chart.h.") and line.use == "chart"]
    assert len(lines) > 1 and all(len(line.pieces) <= 200 for line in lines)
    assert all(a.pieces[-1][-1] == b.pieces[0][0] for a, b in itertools.pairwise(lines)), "one unbroken curve"
    places = [point for line in lines for piece in line.pieces for point in piece]
    marks = {s.id: s for s in drawing.shapes}
    norms = trace.norm("h")
    scale = (marks["chart.h.t0"].y - marks["chart.h.t1"].y) / math.log10(norms[0] / norms[1])
    for most, norm in ((max, norms.max()), (min, norms.min())):
        expected = marks["chart.h.t0"].y + scale * math.log10(norm / norms[0])
        assert most(y for _, y in places) == pytest.approx(expected)
    assert inspector.draw(run, "cell", trace=trace, decay=True).save(tmp_path / "long.png").stat().st_size


def test_a_single_gradient_among_zeros_has_a_dash() -> None:
    run, trace = forgetful(40, range(20, 21))
    (line,) = [x for x in picture(run, trace=trace, level="cell", decay=True).lines if x.id.startswith("chart.h.")]
    assert len(line.pieces) == 1 and line.pieces[0][0][1] == line.pieces[0][1][1]

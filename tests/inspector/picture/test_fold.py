"""Steps that are folded away: how many, whose, and the gradient that passes them."""

from __future__ import annotations

import itertools

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

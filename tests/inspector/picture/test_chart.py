"""The drawing and the plot on one time axis."""

from __future__ import annotations

import html
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import inspector
import tinygrad_rnn as tg
from inspector.picture.compose import picture
from tests.inspector.picture.test_drawing import run_of


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("steps", [4, 50])
def test_a_mark_stands_under_its_step_or_where_a_line_leads_at_the_height_of_its_norm(name: str, steps: int) -> None:
    run = run_of(name, steps)
    trace = inspector.trace(run, run.outputs[-1].sum())
    drawing = picture(run, level="cell", trace=trace, decay=True)
    shapes = {s.id: s for s in drawing.shapes}
    grid = {
        int(s.id.removeprefix("chart.grid")): s.pieces[0][0][1] for s in drawing.lines if s.id.startswith("chart.grid")
    }
    powers = sorted(grid)
    scale = (grid[powers[-1]] - grid[powers[0]]) / (powers[-1] - powers[0])
    leads = {line.id: line.pieces[0] for line in drawing.lines if line.id.startswith("chart.leader")}
    assert bool(leads) == (steps > 20), "nothing is folded away in a short run"
    (axis,) = [line.pieces[0] for line in drawing.lines if line.id == "chart.axis"]
    first, last = axis[0][0], axis[1][0]
    for frame in drawing.frames:
        t = frame.timestep
        for state in trace.states:
            mark = shapes[f"chart.{state}.t{t}"]
            middle = (frame.left + frame.right) / 2
            if steps > 20:
                start, end = leads[f"chart.leader{t}"]
                assert start[0] == pytest.approx(middle)
                assert (mark.x, mark.x) == pytest.approx((end[0], first + (t + 0.5) * (last - first) / steps)), (
                    "an even axis"
                )
            else:
                assert mark.x == pytest.approx(middle)
            expected = grid[powers[0]] + scale * (math.log10(trace.norm(state)[t]) - powers[0])
            assert mark.y == pytest.approx(expected)
    (curve,) = [line for line in drawing.lines if line.id == f"chart.{trace.states[0]}.0"]
    assert len(curve.pieces) == steps - 1


def test_the_two_layers_of_a_stack_share_the_axis() -> None:
    cells = tg.cells.LSTMCell(3, 4, seed=0), tg.cells.RNNCell(4, 4, seed=1)
    run = tg.unroll(tg.Stacked(*cells), np.random.default_rng(0).normal(size=(30, 1, 3)))
    drawing = picture(run, level="cell", trace=inspector.trace(run, run.outputs[-1].sum()), decay=True)
    for t in (0, 1, 2, 28, 29):
        middles = {round((f.left + f.right) / 2, 6) for f in drawing.frames if f.timestep == t}
        (leader,) = [line.pieces[0] for line in drawing.lines if line.id == f"chart.leader{t}"]
        assert middles == {round(leader[0][0], 6)}
        marks = {
            round(s.x, 6) for s in drawing.shapes if s.id in (f"chart.layer0_2f_h.t{t}", f"chart.layer1_2f_h.t{t}")
        }
        assert marks == {round(leader[1][0], 6)}


class Halving(tg.Cell):
    """A state of which half stays."""

    def step(self, x: Any, state: Any) -> Any:
        return (0.5 * state.h + x,)


@pytest.mark.parametrize("steps", [None, slice(10, 12)])
def test_an_even_decay_is_a_straight_line_however_many_steps_are_folded(steps: slice | None) -> None:
    run = tg.unroll(Halving(3, 3), np.ones((40, 1, 3)))
    drawing = picture(run, level="cell", trace=inspector.trace(run, run.outputs[-1].sum()), steps=steps, decay=True)
    (curve,) = [line for line in drawing.lines if line.id == "chart.h.0"]
    slopes = [(by - ay) / (bx - ax) for (ax, ay), (bx, by) in curve.pieces]
    assert len(slopes) == 39 and slopes == pytest.approx([slopes[0]] * 39)
    ticks = sorted(int(s.id.removeprefix("chart.t")) for s in drawing.shapes if s.id.removeprefix("chart.t").isdigit())
    assert any(3 <= t < 38 for t in ticks) and len(set(np.diff(ticks))) == 1, "ticks inside the fold, at even distances"


@pytest.mark.parametrize(("name", "has"), [("rnn", False), ("lstm", True)])
def test_only_highways_that_are_there_are_in_the_legend(name: str, has: bool) -> None:
    run = run_of(name, 30)
    drawing = picture(run, level="cell", trace=inspector.trace(run, run.outputs[-1].sum()), decay=True)
    assert any("highway" in shape.label for shape in drawing.shapes) == has


def test_zeros_are_marked_and_break_the_line() -> None:
    run = run_of("rnn", 5)
    drawing = picture(run, trace=inspector.trace(run, run.outputs[2].sum()), decay=True)
    marks = {s.id: s.label for s in drawing.shapes if s.id.startswith("chart.h.t")}
    assert marks == {"chart.h.t0": "", "chart.h.t1": "", "chart.h.t2": "", "chart.h.t3": "0", "chart.h.t4": "0"}
    (curve,) = [line for line in drawing.lines if line.id.startswith("chart.h.")]
    assert len(curve.pieces) == 2


def test_it_says_how_fast_the_gradient_decays(tmp_path: Path) -> None:
    run = run_of("lstm", 30)
    loss = run.outputs[-1].sum()
    said = html.unescape(str(inspector.figure(run, loss))).replace("\xa0", " ")
    for state, norms in ((state, inspector.trace(run, loss).norm(state)) for state in ("h", "c")):
        assert f"{state}: {inspector.decay_rate(norms)}" in said
    path = inspector.figure(run, loss, tmp_path / "figure.pdf")
    assert isinstance(path, Path) and path.read_bytes().startswith(b"%PDF")
    with pytest.raises(ValueError, match=r"\.svg, \.png, \.pdf, .* or \.graphml"):
        inspector.figure(run, loss, tmp_path / "figure.jpg")
    with pytest.raises(ValueError, match="does not depend"):
        inspector.figure(run, tg.tensor(1.0))


def test_curves_of_many_layers_are_told_apart_and_their_zeros_do_not_hide_each_other() -> None:
    run = tg.unroll(tg.Stacked(*(tg.cells.GRUCell(3, 3, seed=k) for k in range(6))), np.ones((4, 1, 3)), truncate=2)
    trace = inspector.trace(run, run.outputs[-1].sum())
    drawing = picture(run, level="cell", trace=trace, decay=True)
    marks = {s.id: s for s in drawing.shapes if s.id.startswith("chart.layer")}
    lines = {line.id: line for line in drawing.lines if line.id.startswith("chart.layer")}
    looks = set()
    for k in range(6):
        mark, line = marks[f"chart.layer{k}_2f_h.t3"], lines[f"chart.layer{k}_2f_h.1"]
        looks.add((line.colour, line.dashed, mark.paint))
    assert len(looks) == 6
    zeros = [s for s in marks.values() if s.label == "0"]
    assert len(zeros) == 12 and len({(s.x, s.y) for s in zeros}) == 12
    assert all(abs(a.y - b.y) >= a.height for a in zeros for b in zeros if a is not b and a.x == b.x)

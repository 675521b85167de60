"""What must hold of every drawing, of any cell at any level: nothing missing, nothing twice, nothing astray."""

from __future__ import annotations

import cProfile
import itertools
import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import inspector
import tinygrad_rnn as tg
from inspector.formats.svg import to_svg
from inspector.layout import columns
from inspector.picture.compose import picture
from inspector.picture.picture import Picture
from inspector.picture.scene import LEVELS
from tests.marks import slow_unless
from tests.random_cells import runs
from tests.strategies import FEW
from tinygrad_rnn.recurrent.unroll import Run

CELLS = tg.cells.names()


def run_of(name: str, steps: int = 3, **options: object) -> Run:
    cell = tg.cells.get(name)(3, 4, seed=0)
    return tg.unroll(cell, np.random.default_rng(0).normal(size=(steps, 2, 3)), **options)


def scoped_run() -> Run:
    with tg.scope("encoder"), tg.scope("inner"):
        return run_of("gru")


def all_runs() -> dict[str, Run]:
    x = np.random.default_rng(0).normal(size=(3, 2, 3))
    lstm, gru = tg.cells.LSTMCell(3, 4, seed=0), tg.cells.GRUCell(4, 4, seed=1)
    return {
        **{name: run_of(name) for name in CELLS},
        "masked": run_of("lstm", lengths=[3, 2]),
        "truncated": run_of("gru", truncate=2),
        "reversed": run_of("lstm", reverse=True),
        "stacked": tg.unroll(tg.Stacked(lstm, gru), x),
        "directions": tg.unroll(tg.Bidirectional(lstm, tg.cells.RNNCell(3, 4, seed=2)), x),
        "scoped": scoped_run(),
        "one tensor": tg.unroll(lstm, tg.tensor(x)),
    }


RUNS = all_runs()
QUICK = [(kind, level) for k, kind in enumerate(RUNS) for level in LEVELS if kind != "fgr" and level == LEVELS[k % 3]]
"""Each cell and kind of run at one of the levels, in turn; fgr takes seconds."""


def graph_of(run: Run) -> tg.Graph:
    """The graph that a drawing without a trace shows."""
    return tg.Graph([*run.names.values(), *run.outputs])


def assert_complete(run: Run, level: str) -> Picture:
    drawing = picture(run, level=level, steps=slice(None))
    drawn = Counter(node for shape in drawing.shapes for node in shape.nodes)
    expected = {node.index for node in graph_of(run).nodes if node.op != "constant"}
    assert {node for node, times in drawn.items() if times > 1} == set(), "drawn more than once"
    if level == "operation":
        assert expected - set(drawn) == set(), "not drawn"
    assert set(drawn) <= expected
    return drawing


def assert_sound(drawing: Picture) -> None:
    """Ids are unique, lines join shapes that exist, frames hold their members, every coordinate is finite."""
    ids = Counter([s.id for s in drawing.shapes] + [line.id for line in drawing.lines] + [f.id for f in drawing.frames])
    assert [own for own, times in ids.items() if times > 1] == []
    shapes = {shape.id: shape for shape in drawing.shapes}
    for line in drawing.lines:
        assert line.source in shapes and line.target in shapes, line.id
        for piece in line.pieces:
            assert len(piece) >= 2 and all(math.isfinite(v) for point in piece for v in point), line.id
    for frame in drawing.frames:
        for member in (shapes[key] for key in frame.members):
            assert frame.left <= member.x - member.width / 2 and member.x + member.width / 2 <= frame.right
            assert frame.bottom <= member.y - member.height / 2 and member.y + member.height / 2 <= frame.top


def overlapping(drawing: Picture) -> list[tuple[str, str]]:
    """Pairs of shapes that lie on each other."""
    solid = [s for s in drawing.shapes if s.kind not in ("point", "text") and s.look.part != "badge"]
    return [
        (a.id, b.id)
        for k, a in enumerate(solid)
        for b in solid[:k]
        if abs(a.x - b.x) < (a.width + b.width) / 2 - 0.5 and abs(a.y - b.y) < (a.height + b.height) / 2 - 0.5
    ]


@pytest.mark.parametrize(("kind", "level"), slow_unless(QUICK, itertools.product(RUNS, LEVELS)))
def test_every_node_is_drawn_once(kind: str, level: str) -> None:
    drawing = assert_complete(RUNS[kind], level)
    assert_sound(drawing)


@pytest.mark.parametrize("level", LEVELS)
@FEW
@given(run=runs())
def test_every_node_of_a_cell_nobody_has_drawn_yet_is_drawn_once(level: str, run: Run) -> None:
    drawing = assert_complete(run, level)
    assert_sound(drawing)


@pytest.mark.slow
@settings(max_examples=10)
@given(run=runs())
def test_a_drawing_is_deterministic(run: Run) -> None:
    before = picture(run)
    columns._routed.clear()
    assert picture(run) == before


@pytest.mark.parametrize(("kind", "like"), [("truncated", "gru"), ("masked", "lstm"), ("stacked", "lstm")])
def test_what_was_drawn_before_makes_no_difference(kind: str, like: str) -> None:
    """Lines are kept for the next drawing, which may be of something that is not quite the same."""
    drawings = []
    for earlier in ([], [run_of(like), run_of(like, steps=1, truncate=1), RUNS[kind]]):
        columns._routed.clear()
        for run in earlier:
            picture(run, steps=slice(0, 1), level="gate")
        drawings.append(picture(RUNS[kind], level="gate"))
    assert drawings[0] == drawings[1]


def crossings_of_boxes(drawing: Picture) -> list[tuple[str, str]]:
    """Lines that run through a shape that is neither their source nor their target."""
    solid = [s for s in drawing.shapes if s.kind not in ("point", "text") and s.look.part != "badge"]
    found = []
    for line in drawing.lines:
        for piece in line.pieces:
            for (ax, ay), (bx, by) in itertools.pairwise(piece):
                for s in solid:
                    if s.id in (line.source, line.target):
                        continue
                    inside_x = min(ax, bx) < s.x + s.width / 2 - 1 and max(ax, bx) > s.x - s.width / 2 + 1
                    inside_y = min(ay, by) < s.y + s.height / 2 - 1 and max(ay, by) > s.y - s.height / 2 + 1
                    if inside_x and inside_y:
                        found.append((line.id, s.id))
    return found


@pytest.mark.parametrize(("kind", "highways"), [("rnn", 0), ("lstm", 1), ("gru", 1)])
def test_a_state_with_a_highway_is_one_straight_line(kind: str, highways: int) -> None:
    rails = [line for line in picture(RUNS[kind]).lines if line.grade == "rail"]
    heights = {round(y, 1) for line in rails for piece in line.pieces for _, y in piece}
    assert len(heights) == highways


class IndRNN(tg.Cell):
    """Li et al. 2018: every unit reads itself alone."""

    def __init__(self) -> None:
        super().__init__(3, 4, seed=0)
        self.w, self.u = self.parameter("w", (3, 4)), self.parameter("u", (4,))

    def step(self, x: Any, state: Any) -> Any:
        return (tg.tanh(x @ self.w + self.u * state.h),)


class Squashed(IndRNN):
    """A gate that lets the state pass, and a function that may saturate behind it."""

    def step(self, x: Any, state: Any) -> Any:
        f = tg.named(f=tg.sigmoid(x @ self.w))
        return (tg.tanh(f * state.h + (1.0 - f)),)


@pytest.mark.parametrize("cell", [IndRNN(), Squashed()], ids=repr)
def test_a_diagonal_jacobian_that_a_nonlinear_function_stands_in_is_no_highway(cell: tg.Cell) -> None:
    run = tg.unroll(cell, np.random.default_rng(0).normal(size=(3, 1, 3)))
    jacobian = tg.jacobian(run.states[2].h, run.states[1].h)[0, :, 0]
    np.testing.assert_array_equal(jacobian, np.diag(np.diag(jacobian)))
    assert picture(run).bands == [] and inspector.equations(run).highways == ()
    assert "without a highway" in picture(run).words


def test_the_loss_of_a_reversed_run_stands_clear_of_the_initial_state() -> None:
    run = RUNS["reversed"]
    loss = sum(tg.sum(output * float(t + 1)) for t, output in enumerate(run.outputs))
    drawing = picture(run, trace=inspector.trace(run, loss))
    first = min(shape.x - shape.width / 2 for shape in drawing.shapes if shape.id.startswith("out."))
    assert first > max(shape.x + shape.width / 2 for shape in drawing.shapes if shape.id.endswith(".initial"))


def test_truncation_is_drawn_as_cut() -> None:
    cut = [line for line in picture(RUNS["truncated"]).lines if line.grade == "cut"]
    assert cut and all(line.dashed for line in cut)
    assert {line.target.split(".")[0] for line in cut} == {"t2"}


def test_long_runs_are_folded_and_say_by_how_much() -> None:
    drawing = picture(run_of("lstm", 30))
    assert [s.label for s in drawing.shapes if s.look.part == "more"] == ["× 25, same parameters"]
    assert [f.label for f in drawing.frames] == [f"step t = {t}" for t in (0, 1, 2, 28, 29)]
    assert len(picture(run_of("lstm", 30), steps=slice(4, 9)).frames) == 5


@pytest.mark.parametrize("steps", [slice(4, 9), [0, 3, 6], [0, 29]])
def test_several_folds_are_told_apart(steps: object) -> None:
    drawing = picture(run_of("gru", 30), steps=steps)
    assert_sound(drawing)
    folded = [int(s.label.removeprefix("× ").split(",")[0]) for s in drawing.shapes if s.look.part == "more"]
    assert sum(folded) + len(drawing.frames) == 30


@pytest.mark.parametrize("steps", [slice(5, 5), [7], [-4]])
def test_steps_that_are_not_there_are_refused(steps: object) -> None:
    with pytest.raises(ValueError, match=r"timesteps 0\.\.2"):
        picture(RUNS["rnn"], steps=steps)


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="operation, gate, cell"):
        picture(RUNS["rnn"], level="atom")
    with pytest.raises(TypeError, match="what unroll returned"):
        picture("run")  # type: ignore[arg-type]


class Skip(tg.Cell):
    """Reads its own output of two steps ago without declaring it as a state."""

    def __init__(self) -> None:
        super().__init__(3, 4, seed=0)
        self.w = self.parameter("w", (4, 3))
        self.past: list[object] = []

    def step(self, x: object, state: tuple[object, ...]) -> tuple[object]:
        total = x @ self.w.T + state[0]
        h = tg.tanh(total + self.past[-2] if len(self.past) > 1 else total)
        self.past.append(h)
        return (h,)


@pytest.mark.parametrize("level", LEVELS)
def test_a_value_of_an_earlier_step_that_is_no_state_has_a_stand_in(level: str) -> None:
    run = tg.unroll(Skip(), np.random.default_rng(0).normal(size=(4, 2, 3)))
    drawing = assert_complete(run, level)
    assert_sound(drawing)
    stand_ins = {s.id: s.label for s in drawing.shapes if ".from." in s.id}
    assert set(stand_ins.values()) == {"h₀", "h₁"}
    for own in stand_ins:
        assert [line.target for line in drawing.lines if line.source == own]


def test_a_run_that_goes_on_from_another_shows_its_own_steps_only() -> None:
    cell, rng = tg.cells.LSTMCell(3, 4, seed=0), np.random.default_rng(0)
    first = tg.unroll(cell, rng.normal(size=(3, 2, 3)))
    second = tg.unroll(cell, rng.normal(size=(2, 2, 3)), first.final_state)
    alone = picture(tg.unroll(cell, np.zeros((2, 2, 3))))
    both = picture(second)
    assert_sound(both)
    own = Counter(s.id for s in alone.shapes if "init" not in s.id)
    assert own - Counter(s.id for s in both.shapes) == Counter()
    assert len(both.shapes) == len(alone.shapes)


def test_what_follows_a_run_stands_in_one_place_however_long_it_is() -> None:
    """An encoder whose last state starts a decoder: the decoder's steps are not those of the encoder."""
    encoder, decoder = tg.cells.GRUCell(3, 4, seed=0), tg.cells.GRUCell(3, 4, seed=1)
    rng = np.random.default_rng(0)
    encoded = tg.unroll(encoder, rng.normal(size=(3, 2, 3)))
    decoded = tg.unroll(decoder, rng.normal(size=(3, 2, 3)), encoded.final_state)
    trace = inspector.trace(encoded, decoded.stacked.sum())
    for level in LEVELS:
        drawing = picture(encoded, level=level, trace=trace)
        assert_sound(drawing)
        (box,) = [s for s in drawing.shapes if s.id == "loss"]
        assert "matmul" in box.tooltip and len(box.nodes) > 40
        assert Counter(s.label for s in drawing.shapes if s.look.part == "parameter")["weight_ih 12×3"] == 1


def test_a_sequence_that_asks_for_gradients_is_called_as_its_steps_are() -> None:
    x = tg.tensor(np.ones((3, 2, 2)), requires_grad=True)
    scale = tg.tensor(np.ones(4), requires_grad=True)
    run = tg.unroll(tg.cells.RNNCell(2, 4, seed=0), x)
    svg = inspector.draw(run, "gate", trace=inspector.trace(run, (run.outputs[-1] * scale).sum())).svg
    assert ">x 3×2×2<" in svg and ">parameter 3×2×2<" not in svg


def test_what_a_step_more_costs_does_not_grow() -> None:
    """In calls of functions, from the run to the text of the SVG; before alike steps shared what they have in common
    it was 10,400.
    """

    def calls(steps: int) -> int:
        run = tg.unroll(tg.cells.LSTMCell(2, 3, seed=0), np.ones((steps, 1, 2)))
        trace, profile = inspector.trace(run, run.outputs[-1].sum()), cProfile.Profile()
        picture(run, trace=trace, steps=slice(None))  # finds the ways of lines
        with profile:
            to_svg(picture(run, trace=trace, steps=slice(None)))
        return sum(entry.callcount for entry in profile.getstats())  # type: ignore[attr-defined]

    ten, twenty, thirty = calls(10), calls(20), calls(30)
    assert (twenty - ten) / 10 < 8800
    assert thirty - twenty == pytest.approx(twenty - ten, rel=0.05)

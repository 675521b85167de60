"""The backward drawing: every operation of the reverse sweep once, with the right values, in the places of the
forward steps.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

import inspector
import tinygrad_rnn as tg
from inspector.cli.main import main
from inspector.picture.compose import picture
from inspector.picture.picture import Line, Picture, Shape
from inspector.steps.adjoint import adjoint_step
from inspector.steps.items import Step
from inspector.steps.reverse import reverse_sweep
from inspector.steps.source import sources_of
from tests.inspector.picture.test_drawing import (
    CELLS,
    RUNS,
    Skip,
    assert_sound,
    crossings_of_boxes,
    overlapping,
    run_of,
)
from tests.marks import slow_unless
from tests.random_cells import runs
from tinygrad_rnn.recurrent.unroll import Run

SMALL = ["rnn", "lstm", "gru", "narx", "masked", "truncated", "reversed", "stacked", "directions", "one tensor"]


def loss_of(run: Run) -> tg.Tensor:
    """Something that reads every output, each with other weights."""
    weights = np.random.default_rng(1).normal(size=(len(run), *run.outputs[0].shape))
    return tg.sum(tg.stack([output * weight for output, weight in zip(run.outputs, weights, strict=True)]))


def drawn(
    run: Run, loss: tg.Tensor | None = None, steps: slice | None = None
) -> tuple[Picture, inspector.GradientTrace]:
    trace = inspector.trace(run, loss_of(run) if loss is None else loss)
    return picture(run, trace=trace, backward=True, steps=steps), trace


def backward_steps(
    run: Run, loss: tg.Tensor
) -> tuple[list[Step], list[dict[str, float]], dict[tuple[int, int], float]]:
    """The backward steps of a single cell's run, the norm of what leaves each by which state, and that of every
    line.
    """
    reverse = reverse_sweep(run, loss)
    graph = tg.Graph([*run.names.values(), *run.outputs, *reverse.totals.values()])
    ((source,),) = sources_of([run], graph)
    norms: dict[tuple[int, int], float] = {}
    steps, leaving = [], []
    for t in range(len(run)):
        step, links = adjoint_step(source, reverse, t, frozenset(run.scopes), norms)
        steps.append(step)
        leaving.append({state: norms[link.edge] for state, link in links.items() if link.edge is not None})
    return steps, leaving, norms


def assert_complete(run: Run, drawing: Picture, loss: tg.Tensor, shown: list[int]) -> None:
    """Every operation of the rules of the steps is in one shape, and, if all steps are shown, every sum over readers.

    Contributions of a step that is not shown are added up where they are made.
    """
    scopes = {part.scopes[t] for part in run.cells for t in shown}
    found = Counter(node for shape in drawing.shapes if ".back." in shape.id for node in shape.nodes)
    assert {node for node, times in found.items() if times > 1} == set(), "drawn more than once"
    reverse = reverse_sweep(run, loss)
    graph = tg.Graph([*run.names.values(), *run.outputs, loss, *reverse.totals.values()])
    sums = {use.sum.id for uses in reverse.uses.values() for use in uses if use.sum is not None}
    everything = len(shown) == len(run)
    expected = {
        node.index
        for node in graph.nodes
        if node.tensor is not None
        and not node.is_leaf
        and node.scope is not None
        and node.scope.is_backward
        and node.scope.step in scopes
        and (everything or node.tensor.id not in sums)
    }
    assert [graph.nodes[k] for k in sorted(expected - set(found))] == [], "not drawn"
    assert {graph.nodes[k].op for k in set(found) - expected} <= {"add"}, "a sum of shares of a parameter at most"


def assert_upright(drawing: Picture) -> None:
    for line in drawing.lines:
        for piece in line.pieces:
            for (x0, y0), (x1, y1) in pairwise(piece):
                assert min(abs(x0 - x1), abs(y0 - y1)) < 0.6, line.id


@pytest.mark.parametrize("kind", slow_unless(["lstm", "truncated", "stacked"], SMALL))
def test_every_operation_of_the_sweep_is_drawn_once(kind: str) -> None:
    run = RUNS[kind]
    drawing, trace = drawn(run)
    assert_complete(run, drawing, trace.loss, list(range(len(run))))
    assert_sound(drawing)
    assert_upright(drawing)
    assert overlapping(drawing) == []


@pytest.mark.parametrize("name", slow_unless(["peephole", "mgu", "lru"], sorted(set(CELLS) - set(SMALL))))
def test_every_operation_of_a_step_of_the_sweep_is_drawn_once(name: str) -> None:
    drawing, trace = drawn(RUNS[name], steps=slice(1, 2))
    assert_complete(RUNS[name], drawing, trace.loss, [1])
    assert_sound(drawing)
    assert_upright(drawing)
    assert overlapping(drawing) == []


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
def test_no_line_of_a_known_cell_runs_through_a_shape(kind: str) -> None:
    assert crossings_of_boxes(drawn(RUNS[kind])[0]) == []


@settings(max_examples=12)
@given(run=runs(max_steps=3))
def test_the_sweep_of_a_cell_nobody_has_drawn_yet(run: Run) -> None:
    loss = loss_of(run)
    drawing, _ = drawn(run, loss)
    assert_complete(run, drawing, loss, list(range(len(run))))
    assert_sound(drawing)
    assert overlapping(drawing) == []
    assert drawing == drawn(run, loss)[0]


# ------------------------------------------------------------------------------------------- values


@pytest.mark.parametrize("name", CELLS)
def test_what_is_drawn_as_the_gradient_of_a_value_is_the_gradient(name: str) -> None:
    run = run_of(name)
    trace = inspector.trace(run, loss_of(run))
    steps, leaving, norms = backward_steps(run, trace.loss)
    states = set()
    for step in steps:
        for item in step.items:
            value = item.key.name
            if item.value is not None and item.key.kind == "gradient" and value in trace.names:
                gradient = trace.gradient(value, step.timestep)
                edge = item.links[0].edge
                assert edge is not None
                assert norms[edge] == pytest.approx(np.linalg.norm(gradient), rel=1e-12)
                if value != "x":
                    np.testing.assert_allclose(item.value.value, gradient, rtol=1e-12, atol=1e-12)
                    states.add((value, step.timestep))
    assert {(run.cell.state_names[0], t) for t in range(len(run))} <= states
    for state, value in run.initial_state._asdict().items():
        wanted = np.linalg.norm(tg.grad(trace.loss, value)[0].data)
        assert leaving[0].get(state, 0.0) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("name", ["lstm", "gru", "peephole", "layernorm"])
def test_what_leaves_for_a_parameter_is_the_steps_share_of_its_gradient(name: str) -> None:
    run = run_of(name)
    trace = inspector.trace(run, loss_of(run))
    steps, _, norms = backward_steps(run, trace.loss)
    seen = set()
    for step in steps:
        for item in step.items:
            if item.role == "parameter":
                parameter = item.key.name
                tensor = item.nodes[0].tensor
                assert tensor is not None
                assert norms[tensor.id, -1] == pytest.approx(trace.parameter_norm(parameter)[step.timestep], rel=1e-12)
                seen.add(parameter)
    assert seen == set(trace.parameters)


def test_lines_between_steps_are_coloured_by_what_they_carry() -> None:
    """What goes from step 2 to step 1 of an LSTM by c is δc₂ · f₂."""
    drawing, trace = drawn(RUNS["lstm"])
    into = shape(drawing, "t1.back.d.c")
    (plus,) = [line.source for line in lines_into(drawing, into.id)]
    carried = {line.source: line.norm for line in lines_into(drawing, plus)}
    f = RUNS["lstm"].names["f", 2].data
    (norm,) = [norm for source, norm in carried.items() if source.startswith("t2.back.")]
    assert norm == pytest.approx(np.linalg.norm(trace.gradient("c", 2) * f), rel=1e-12)


def shape(drawing: Picture, own: str) -> Shape:
    (found,) = [shape for shape in drawing.shapes if shape.id == own]
    return found


def lines_into(drawing: Picture, own: str) -> list[Line]:
    return [line for line in drawing.lines if line.target == own]


# ---------------------------------------------------------------------------------------- the look


@pytest.mark.slow
def test_a_backward_step_stands_in_the_column_of_its_step() -> None:
    for kind in ("lstm", "reversed", "stacked"):
        frames = {frame.id: frame for frame in drawn(RUNS[kind])[0].frames}
        pairs = [(frame, frames[own.replace("back.", "")]) for own, frame in frames.items() if "back." in own]
        assert len(pairs) * 2 == len(frames)
        for back, forward in pairs:
            assert back.left + back.right == pytest.approx(forward.left + forward.right)
            assert back.top < forward.bottom
            assert back.label.endswith(f"backward t = {forward.timestep}")


def test_time_runs_backwards_and_the_rail_of_the_cell_state_stays_straight() -> None:
    drawing, _ = drawn(RUNS["lstm"])
    between = [
        line
        for line in drawing.lines
        if {line.source[:8], line.target[:8]} in ({"t2.back.", "t1.back."}, {"t1.back.", "t0.back."})
    ]
    assert len(between) == 4
    for line in between:
        assert line.source > line.target
        assert line.pieces[-1][-1][0] < line.pieces[0][0][0]
    heights = {shape(drawing, f"t{t}.back.d.c").y for t in range(3)}
    assert len(heights) == 1
    gates = [s.id for s in drawing.shapes if s.label == "f" and ".back." in s.id]
    assert [shape(drawing, line.target).y for line in drawing.lines if line.source in gates] == [*heights] * 3


def test_the_loss_enters_where_it_reads_an_output() -> None:
    run = run_of("lstm")
    last, _ = drawn(run, tg.sum(run.outputs[-1]))
    assert [s.label for s in last.shapes if s.label.startswith("∂L")] == ["∂L/∂h₂"]
    inner, _ = drawn(
        run, tg.sum(run.outputs[-1]) + tg.sum(run.names["f", 1] * run.names["f", 1]) + tg.sum(run.states[0].c)
    )
    assert sorted(s.label for s in inner.shapes if s.label.startswith("∂L")) == ["∂L/∂c₀", "∂L/∂f", "∂L/∂h₂"]
    assert_sound(inner)


def test_a_layer_is_fed_by_the_layer_above() -> None:
    drawing, _ = drawn(RUNS["stacked"])
    for t in range(3):
        upper = f"layer1.t{t}.back.d.x"
        assert [line.target.startswith(f"layer0.t{t}.back.") for line in drawing.lines if line.source == upper] == [
            True
        ]
    assert {s.id[:6] for s in drawing.shapes if s.label.startswith("∂L")} == {"layer1"}


def test_every_layer_has_the_gradient_by_its_input() -> None:
    drawing, _ = drawn(RUNS["stacked"])
    assert Counter(s.label for s in drawing.shapes if s.label.startswith("δx")) == {"δx₀": 2, "δx₁": 2, "δx₂": 2}


def test_the_loss_is_still_known_as_the_loss() -> None:
    assert [s.label for s in drawn(RUNS["lstm"])[0].shapes if s.look.part == "loss" and s.id.startswith("out.")] == [
        "L = Σ"
    ]


def test_four_gates_flow_together_into_one_arrow() -> None:
    drawing, _ = drawn(RUNS["lstm"])
    slices = [s.id for s in drawing.shapes if s.label.endswith("←") and s.id.startswith("t1.")]
    ends = {(line.target, line.pieces[-1][-1]) for line in drawing.lines if line.source in slices}
    assert len(slices) == 4 and len(ends) == 1


def test_what_reads_a_state_beside_its_rail_stands_below_the_gates_in_both_directions() -> None:
    drawing, _ = drawn(RUNS["gru"])
    for prefix, gate in (("t1.", "z"), ("t1.back.", "δz")):
        heights = {
            s.label.removesuffix("ᵀ ·").removesuffix(" ·"): s.y
            for s in drawing.shapes
            if s.id.startswith(prefix) and (".back." in s.id) == ("back" in prefix)
        }
        assert heights["weight_hh"] < heights[gate]


@pytest.mark.slow
def test_no_cotangent_passes_a_cut() -> None:
    drawing, _ = drawn(RUNS["truncated"])
    crossing = {
        (line.source[:2], line.target[:2])
        for line in drawing.lines
        if ".back." in line.source and ".back." in line.target
    }
    assert ("t1", "t0") in crossing and ("t2", "t1") not in crossing


def test_a_value_read_by_a_later_step_that_is_no_state_gets_its_share_from_there() -> None:
    run = tg.unroll(Skip(), np.random.default_rng(0).normal(size=(4, 2, 3)))
    drawing, trace = drawn(run)
    assert_complete(run, drawing, trace.loss, list(range(4)))
    assert sorted(s.label for s in drawing.shapes if s.label.startswith("from t")) == ["from t = 2", "from t = 3"]
    assert [
        s.label
        for s in drawing.shapes
        if s.id.startswith(("t2.back.d.h", "t3.back.d.h")) and "₂" not in s.label and "₃" not in s.label
    ]


def test_forward_values_are_chips_beside_the_operation_that_reads_them() -> None:
    drawing, _ = drawn(RUNS["lstm"])
    chips = [s for s in drawing.shapes if s.id.startswith("t1.back.with.")]
    assert sorted(s.label for s in chips) == sorted(
        ["f", "g", "i", "c₀", "tanh c₁", "o", "1 − tanh²c₁", "i(1 − i)", "1 − g²", "f(1 − f)", "o(1 − o)"]
    )
    for chip in chips:
        (line,) = [line for line in drawing.lines if line.source == chip.id]
        assert line.norm is None and len(line.pieces) == 1 and len(line.pieces[0]) == 2, "a straight short line"
    assert not [line for line in drawing.lines if (".back." in line.source) != (".back." in line.target)]


def test_white_boxes_say_how_a_share_comes_about() -> None:
    drawing, _ = drawn(RUNS["lstm"], steps=slice(1, 2))
    assert sorted(s.label for s in drawing.shapes if "→" in s.label) == [
        "Σ → δbias_hh",
        "Σ → δbias_ih",
        "⊗ h₀ → δweight_hh",
        "⊗ x₁ → δweight_ih",
    ]


def test_long_runs_are_folded_in_both_rows() -> None:
    run = run_of("rnn", 30)
    drawing, _ = drawn(run)
    assert [s.label for s in drawing.shapes if s.look.part == "more"] == ["× 25, same parameters"] * 2
    assert len(drawing.frames) == 10
    assert_sound(drawing)


def test_a_compiled_run_is_drawn_like_the_cell_itself() -> None:
    x = np.random.default_rng(0).normal(size=(3, 2, 3))
    cell = tg.cells.LSTMCell(3, 4, seed=0)
    plain, compiled = tg.unroll(cell, x), tg.unroll(tg.compile(cell, backend="numpy"), x)
    pictures = [
        picture(run, trace=inspector.trace(run, tg.sum(run.outputs[-1])), backward=True) for run in (plain, compiled)
    ]
    labels = [[s.label for s in p.shapes if ".back." in s.id] for p in pictures]
    assert labels[0] == labels[1] and len(labels[0]) > 100


def test_the_command_line_draws_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "lstm.svg"
    assert main(["graph", "--cell", "rnn", "-T", "2", "--backward", "-o", str(out)]) == 0
    assert "backward t = 1" in out.read_text(encoding="utf-8").replace("&#45;", "-").replace("&#160;", " ")
    assert main(["graph", "--cell", "rnn", "-T", "2", "--backward", "--plain", "-o", str(out)]) != 0
    assert "--backward draws the gradient of every operation: leave out --plain" in capsys.readouterr().err


def test_a_backward_drawing_needs_a_loss_and_the_operation_level() -> None:
    run = RUNS["rnn"]
    with pytest.raises(ValueError, match=r"pass trace=inspector\.trace"):
        picture(run, backward=True)
    with pytest.raises(ValueError, match="operation level, got level='gate'"):
        picture(run, trace=inspector.trace(run, loss_of(run)), level="gate", backward=True)

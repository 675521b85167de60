"""What belongs to no step of a cell: readouts and errors above their steps, what joins them to the right."""

from __future__ import annotations

import functools
import operator
from collections import Counter

import numpy as np
import pytest

import inspector
import tinygrad_rnn as tg
from inspector.picture.compose import picture
from inspector.picture.picture import Picture
from inspector.picture.scene import LEVELS
from tests.inspector.picture.test_drawing import assert_sound
from tinygrad_rnn.recurrent.unroll import Run

RNG = np.random.default_rng(0)


def run_of(kind: str, steps: int) -> Run:
    x = RNG.normal(size=(steps, 2, 3))
    cells = [tg.cells.LSTMCell(3, 4, seed=0), tg.cells.GRUCell(3, 4, seed=1)]
    if kind == "directions":
        return tg.unroll(tg.Bidirectional(*cells), x)
    return tg.unroll(cells[kind == "gru"], x)


def read_at_every_step(run: Run) -> tg.Tensor:
    readout = tg.models.Linear(run.outputs[0].shape[1], 2, seed=0)
    losses = [tg.losses.mse_loss(readout(h), RNG.normal(size=(2, 2))) for h in run.outputs]
    return functools.reduce(operator.add, losses)


def drawn_nodes(drawing: Picture) -> Counter[int]:
    return Counter(node for shape in drawing.shapes for node in shape.nodes)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("kind", ["lstm", "gru", "directions"])
def test_what_reads_one_step_stands_above_it(kind: str, level: str) -> None:
    run = run_of(kind, 3)
    loss = read_at_every_step(run)
    drawing = picture(run, level=level, trace=inspector.trace(run, loss))
    assert_sound(drawing)
    graph = tg.Graph([*run.names.values(), *run.outputs, loss])
    behind = [n for n in graph.nodes if not n.is_leaf and n.timestep is None]
    assert len(behind) == 3 * 7 + 2
    counts = drawn_nodes(drawing)
    assert {n.path: counts[n.index] for n in behind} == dict.fromkeys((n.path for n in behind), 1)
    shapes = {node: s for s in drawing.shapes for node in s.nodes}
    for t, output in enumerate(run.outputs):
        frame = max((f for f in drawing.frames if f.timestep == t), key=lambda f: f.top)
        (reader,) = [
            shapes[e.target]
            for e in graph.edges
            if e.source == graph.find(output).index and graph.nodes[e.target] in behind
        ]
        assert frame.left < reader.x < frame.right and reader.y > frame.top
    labels = [s.label for s in drawing.shapes if s.id.startswith(("t0.", "t1.", "t2.")) and s.look.part == "loss"]
    assert labels == ([] if level == "operation" else ["L₀", "L₁", "L₂"])
    assert {s.label for s in drawing.shapes if s.look.part == "parameter"} >= {
        "weight 2×4" if kind != "directions" else "weight 2×8",
        "bias 2",
    }


def test_towers_rise_in_the_order_of_computation() -> None:
    run = run_of("gru", 2)
    drawing = picture(run, trace=inspector.trace(run, read_at_every_step(run)))
    tower = sorted(
        (
            s
            for s in drawing.shapes
            if s.id.startswith("t1.")
            and s.look.part == "shared"
            and "step" not in s.id
            and s.y > max(f.top for f in drawing.frames)
        ),
        key=lambda s: s.y,
    )
    assert [s.label for s in tower] == ["weight ·", "+ bias", "−", "x²", "Σ", "÷ 4"]
    assert len({s.x for s in tower}) == 1


def test_a_loss_of_the_last_output_stands_to_the_right() -> None:
    run = run_of("lstm", 3)
    loss = (run.outputs[-1] ** 2).sum()
    drawing = picture(run, trace=inspector.trace(run, loss))
    shapes = [s for s in drawing.shapes if s.id.startswith("out.")]
    assert [s.label for s in shapes] == ["x²", "L = Σ"]
    assert all(s.x > max(f.right for f in drawing.frames) for s in shapes)


def test_towers_of_folded_steps_are_not_drawn() -> None:
    run = run_of("lstm", 30)
    drawing = picture(run, level="cell", trace=inspector.trace(run, read_at_every_step(run)))
    assert_sound(drawing)
    assert [s.label for s in drawing.shapes if s.look.part == "loss" and s.id.startswith("t")] == [
        "L₀",
        "L₁",
        "L₂",
        "L₂₈",
        "L₂₉",
    ]

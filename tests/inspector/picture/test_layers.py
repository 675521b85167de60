"""Layers of any nesting are drawn as connected as their graph is."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import inspector
import tinygrad_rnn as tg
from inspector.picture.compose import picture
from inspector.picture.picture import Frame, Line, Picture
from inspector.picture.scene import LEVELS
from tests.inspector.picture.test_drawing import assert_sound
from tests.strategies import FEW
from tinygrad_rnn.recurrent.unroll import Run

X = np.random.default_rng(0).normal(size=(3, 2, 3))
KINDS = ("rnn", "leaky", "lstm")


def stack(plan: Sequence[Sequence[str]]) -> tg.Stacked:
    """A layer for each entry: of one cell, or of two that read in both directions."""
    layers: list[Any] = []
    width = 3
    for kinds in plan:
        cells = [tg.cells.get(kind)(width, 2 + k, seed=k) for k, kind in enumerate(kinds)]
        layers.append(cells[0] if len(cells) == 1 else tg.Bidirectional(*cells))
        width = layers[-1].hidden_size
    return tg.Stacked(*layers)


@st.composite
def runs(draw: Callable[[st.SearchStrategy[Any]], Any]) -> Run:
    plan = draw(st.lists(st.lists(st.sampled_from(KINDS), min_size=1, max_size=2), min_size=1, max_size=3))
    steps = draw(st.integers(1, 3))
    lengths = draw(st.sampled_from([None, [steps, 1]]))
    return tg.unroll(stack(plan), X[:steps], reverse=draw(st.booleans()), lengths=lengths)


def drawn(drawing: Picture) -> nx.DiGraph:
    """The shapes that stand for something, and the lines between; the copies of an input are that input."""
    places = {
        shape.id: shape.label if shape.look.part == "input" and shape.label[0] == "x" else shape.id
        for shape in drawing.shapes
    }
    graph = nx.DiGraph()
    for shape in drawing.shapes:
        graph.add_node(places[shape.id])
        if shape.nodes and shape.look.part != "parameter":
            graph.nodes[places[shape.id]]["node"] = max(shape.nodes)
    graph.add_edges_from((places[line.source], places[line.target]) for line in drawing.lines)
    return graph


def assert_as_connected(run: Run, level: str, trace: Any = None) -> None:
    drawing = picture(run, level=level, trace=trace)
    assert_sound(drawing)
    shown = drawn(drawing)
    values = [*run.names.values(), *run.outputs, *([trace.loss] if trace else [])]
    recorded = nx.DiGraph([(edge.source, edge.target) for edge in tg.Graph(values).edges])
    nodes = {key: node for key, node in shown.nodes(data="node") if node is not None}
    for key, node in nodes.items():
        after, expected = nx.descendants(shown, key), nx.descendants(recorded, node)
        for other, its in nodes.items():
            assert (other in after) == (its in expected), f"{level}: from {key} to {other}"


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    "plan",
    [[["gru", "gru"], ["lstm"]], [["rnn"], ["gru", "rnn"]], [["rnn", "rnn"], ["rnn", "rnn"]]],
    ids=["above", "below", "both"],
)
def test_two_directions_in_a_stack_are_joined(plan: list[list[str]], level: str) -> None:
    run = tg.unroll(stack(plan), X)
    assert_as_connected(run, level, inspector.trace(run, (run.outputs[-1] ** 2).sum()))


@FEW
@given(level=st.sampled_from(LEVELS), run=runs())
def test_what_can_be_reached_in_the_graph_can_be_reached_in_the_drawing(level: str, run: Run) -> None:
    assert_as_connected(run, level)


def assert_passes(line: Line, frame: Frame) -> None:
    for (ax, ay), (bx, by) in ((a, b) for piece in line.pieces for a, b in itertools.pairwise(piece)):
        beside = max(ax, bx) <= frame.left or min(ax, bx) >= frame.right
        assert beside or max(ay, by) <= frame.bottom or min(ay, by) >= frame.top


def test_a_join_stands_between_its_layers_and_no_line_crosses_a_frame_to_get_past_it() -> None:
    run = tg.unroll(stack([["rnn", "rnn"], ["rnn", "rnn"]]), X)
    drawing = picture(run, level="cell")
    shapes, frames = {s.id: s for s in drawing.shapes}, {f.id: f for f in drawing.frames}
    for t in range(3):
        box = shapes[f"layer0.t{t}.concatenate"]
        assert frames[f"layer0_2f_backward.t{t}.step"].top < box.y < frames[f"layer1_2f_forward.t{t}.step"].bottom
        passed = frames[f"layer1_2f_forward.t{t}.step"]
        (line,) = [
            one for one in drawing.lines if one.source == box.id and one.target.startswith(f"layer1_2f_backward.t{t}.")
        ]
        assert_passes(line, passed)


def test_compiled_layers_are_joined_too() -> None:
    layers = [
        tg.Bidirectional(*(tg.compile(tg.cells.RNNCell(3, 2, seed=k), backend="numpy") for k in range(2))),
        tg.cells.RNNCell(4, 2, seed=2),
    ]
    labels = [shape.label for shape in picture(tg.unroll(tg.Stacked(*layers), X), level="cell").shapes]
    assert labels.count("concatenate") == 3


def test_in_the_reverse_sweep_a_layer_below_gets_its_gradient_from_the_layer_above() -> None:
    run = tg.unroll(stack([["rnn", "rnn"], ["rnn"]]), X[:2])
    drawing = picture(run, trace=inspector.trace(run, (run.outputs[-1] ** 2).sum()), backward=True)
    assert [s.id for s in drawing.shapes if s.label.startswith("∂L/∂")] == [
        "layer1.t1.back.from._2202_L_2f__2202_h_2081_"
    ], "the loss reads one output"
    shown = drawn(drawing)
    (source,) = [s.id for s in drawing.shapes if s.label == "δx₀" and s.id.startswith("layer1.")]
    for direction in ("forward", "backward"):
        (below,) = [
            s.id
            for s in drawing.shapes
            if s.label == "δh₀" and s.kind != "text" and s.id.startswith(f"layer0_2f_{direction}.t0.back.")
        ]
        assert below in nx.descendants(shown, source)
    passed = next(f for f in drawing.frames if f.id == "layer0_2f_backward.t0.back.step")
    (line,) = [one for one in drawing.lines if one.source == source and one.target.startswith("layer0_2f_forward.")]
    assert_passes(line, passed)

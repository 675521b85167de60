"""What parts of a drawing are added to: lines have ids of their own and share trunks, values are drawn once."""

from __future__ import annotations

import numpy as np

import tinygrad_rnn as tg
from inspector.picture.canvas import Canvas
from inspector.picture.ink import Ink, Stroke
from inspector.picture.picture import Picture

WEAK, STRONG = (Stroke("#000000", 1.0, "plain", "", False, rank) for rank in (0.0, 1.0))


def canvas() -> Canvas:
    return Canvas(Picture("a canvas"), Ink(None, []))


def test_lines_of_one_pair_have_ids_of_their_own_and_the_strongest_is_drawn_last() -> None:
    drawn = canvas()
    for stroke, y in ((STRONG, 0.0), (WEAK, 9.0), (WEAK, 18.0)):
        drawn.line("a", "b", ((0.0, y), (50.0, y)), stroke)
    assert drawn.picture.lines == []
    drawn.draw_lines()
    assert [line.id for line in drawn.picture.lines] == ["a--b--2", "a--b--1", "a--b"]


def test_a_weaker_line_begins_where_it_leaves_a_stronger_one_of_its_source() -> None:
    drawn = canvas()
    drawn.line("a", "b", ((0.0, 0.0), (100.0, 0.0)), STRONG)
    drawn.line("a", "c", ((0.0, 0.0), (50.0, 0.0), (50.0, 40.0)), WEAK)
    drawn.line("d", "c", ((0.0, 0.0), (50.0, 0.0), (50.0, 40.0)), WEAK)
    drawn.draw_lines()
    pieces = {line.id: line.pieces for line in drawn.picture.lines}
    assert pieces["a--b"] == (((0.0, 0.0), (100.0, 0.0)),) and pieces["d--c"][0][0] == (0.0, 0.0)
    (branch,) = pieces["a--c"]
    assert 0 < branch[0][0] < 50 and branch[0][1] == 0 and branch[-1] == (50.0, 40.0)


def test_a_line_passes_under_the_rails_that_it_crosses() -> None:
    drawn = canvas()
    drawn.line("a", "b", ((0.0, 0.0), (0.0, 100.0)), WEAK, rails=[40.0, 200.0])
    drawn.draw_lines()
    below, above = drawn.picture.lines[0].pieces
    assert below[-1][1] < 40 < above[0][1] and (below[0], above[-1]) == ((0.0, 0.0), (0.0, 100.0))


def test_a_value_that_is_shown_already_is_a_dashed_copy() -> None:
    x = tg.tensor(np.ones(2), requires_grad=True)
    graph = tg.Graph([x + 1])
    node, drawn = graph.find(x), canvas()
    drawn.note_of = {node: "what it is"}.__getitem__
    first = drawn.value(node, "x", "circle", (0, 0), (34, 34), "x", "input", 1.6)
    drawn.shown[node.index] = ("x", 0, 0)
    again = drawn.value(node, "x.2", "circle", (50, 0), (34, 34), "x", "input", 1.6)
    assert (first.dashed, first.nodes, first.look.variant) == (False, (node.index,), "")
    assert (again.dashed, again.nodes, again.look.variant) == (True, (), "copy")
    assert first.tooltip == again.tooltip == "what it is" and drawn.picture.shapes == [first, again]

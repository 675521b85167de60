"""What shapes tell beside their kind: badges, values, highways."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

import inspector
import tinygrad_rnn as tg
from inspector.picture import theme
from inspector.picture.badges import BADGES, add_badges
from inspector.picture.compose import picture
from inspector.picture.picture import Look, Picture, Shape
from inspector.picture.scene import LEVELS
from inspector.text import number
from tests.inspector.picture.test_drawing import RUNS, run_of


def badges(drawing: Picture) -> dict[str, str]:
    return {s.id.removesuffix(".badge"): s.label for s in drawing.shapes if s.look == Look("badge")}


def test_what_the_loss_does_not_depend_on_is_told_from_an_exact_zero() -> None:
    class Dead(tg.Cell):
        def step(self, x: tg.Tensor, state: tuple[tg.Tensor, ...]) -> tuple[tg.Tensor]:
            shut = tg.named(shut=tg.relu(state[0] - 100.0))
            return (tg.tanh(tg.named(open=0.5 * state[0] + x) + shut),)

    run = tg.unroll(Dead(3, 3), np.ones((3, 1, 3)))
    drawing = picture(run, trace=inspector.trace(run, run.outputs[1].sum()))
    found = badges(drawing)
    assert found == {"t0.shut.subtract": "0", "t1.shut.subtract": "0", "t2.h.tanh": "–"}
    shapes = {s.id: s for s in drawing.shapes}
    assert {shapes[own].look.grade for own in ("t2.open", "t2.shut", "t2.h.tanh", "t2.x", "t2.h")} == {"unreached"}
    assert shapes["t1.shut.subtract"].look.grade == "none" and isinstance(shapes["t1.open"].look.grade, int)
    assert {s.label for s in drawing.shapes if s.look.part == "badge" and s.look.legend} == {
        "0 = gradient exactly 0",
        "– = no gradient: the loss does not depend on it",
    }


@pytest.mark.parametrize("kind", ["gated", "truncated", "padded", "directions"])
def test_shapes_that_hang_together_share_a_badge_and_none_is_without(kind: str) -> None:
    """In a step; what stands outside of it shares that of its step."""
    run = run_of("lstm") if kind == "gated" else RUNS["masked" if kind == "padded" else kind]
    drawing = picture(run, level="cell", trace=inspector.trace(run, run.outputs[0].sum()))
    home = {key: frame.id for frame in drawing.frames for key in frame.members}
    ids, shown = {s.id for s in drawing.shapes}, 0
    for badge in BADGES[:3]:
        alike = {
            s.id
            for s in drawing.shapes
            if s.look.grade == badge.grade and not s.id.startswith(("legend.", "parameter."))
        }
        graph = nx.Graph((line.source, line.target) for line in drawing.lines if {line.source, line.target} <= alike)
        graph.add_nodes_from(alike)
        for key in alike:
            assert next(s for s in drawing.shapes if s.id == key).has_dashes == (badge.grade != "bad")
        inside = nx.Graph((a, b) for a, b in graph.edges if home.get(a) == home.get(b))
        inside.add_nodes_from(alike)
        for group in nx.connected_components(inside):
            steps = (
                {home[other] for key in group for other in graph[key] if other in home}
                if not group & home.keys()
                else ()
            )
            assert len(ids & {f"{key}.badge" for key in group}) == (0 if steps else 1), group
            shown += not steps
    assert shown == len(badges(drawing)) > 0


def test_what_is_not_finite_has_a_badge() -> None:
    run = run_of("rnn")
    with np.errstate(all="ignore"):
        loss = (run.outputs[1] * np.inf).sum()
        trace = inspector.trace(run, loss)
    drawing = picture(run, trace=trace)
    assert badges(drawing)["t1.h.tanh"] == "!"
    (chip,) = (s for s in drawing.shapes if s.label == "! = gradient not finite")
    assert chip.paint is not None and chip.paint.stroke == theme.LINES["bad"][0] and not chip.has_dashes


@pytest.mark.parametrize("level", LEVELS)
def test_a_value_that_is_not_finite_has_a_badge_of_its_own_beside_that_of_its_gradient(level: str) -> None:
    """Whatever the gradient is, and where there is none to know."""
    x = np.ones((4, 1, 3))
    x[2] = np.inf
    with np.errstate(all="ignore"):
        run = tg.unroll(tg.cells.RNNCell(3, 4, seed=0, nonlinearity="relu"), x)
        trace = inspector.trace(run, run.outputs[1].sum())
    drawings = [
        picture(run, level=level),
        picture(run, level=level, trace=trace, decay=True),
        picture(run, level=level, trace=trace, values=True),
    ]
    for drawing in drawings:
        shapes = {s.id: s for s in drawing.shapes}
        ill = {own.removesuffix(".ill") for own in shapes if own.endswith(".ill")}
        begins = next(s.id for s in drawing.shapes if s.id.startswith("t2.") and s.look.ill and s.kind != "text")
        assert all(shapes[own].look.ill for own in ("t2.h", "t3.h", "t2.x"))
        assert begins in ill and {own[:3] for own in ill} == {"t2.", "t3."} and len(ill) == 2
        assert all(shapes[f"{own}.ill"].label == "×" for own in ill)
        assert "× = value not finite" in {s.label for s in drawing.shapes}
        assert drawing is drawings[0] or {s.id[:3] for s in drawing.shapes if s.label == "–"} == {"t2.", "t3."}
    assert not any(s.id.endswith(".ill") for s in picture(RUNS["lstm"], level=level).shapes)


@pytest.mark.parametrize("level", LEVELS)
def test_the_scale_of_values_holds_whatever_is_drawn(level: str) -> None:
    """An input, a state to start from, or a loss larger than everything in the steps."""
    for x, start, factor in ((-50.0, 0.0, 1.0), (0.0, 50.0, 1.0), (0.0, 0.0, 500.0)):
        run = tg.unroll(tg.cells.GRUCell(3, 4, seed=0), np.full((2, 1, 3), x), np.full((1, 4), start))
        loss = factor * run.stacked.sum()
        drawing = picture(run, level=level, trace=inspector.trace(run, loss), values=True)
        shapes = {s.id: s for s in drawing.shapes}
        largest = max(abs(float(loss.data)), abs(x), start)
        assert shapes["legend.value8.tick"].label == number(float(f"{largest:.2g}"))
        assert x == 0.0 or shapes["t0.x"].look.value == 0


def test_a_shape_may_have_two_badges_in_an_order_that_holds() -> None:
    drawing = Picture("", shapes=[Shape("a", "box", 0, 0, 30, 20, "a", None, Look("value", ill=True, grade="none"))])
    add_badges(drawing)
    assert [(shape.id, shape.label) for shape in drawing.shapes[1:]] == [("a.badge", "0"), ("a.ill", "×")]


def test_without_a_trace_there_are_no_badges_and_no_zeros() -> None:
    drawing = picture(RUNS["lstm"])
    assert badges(drawing) == {}
    assert all("gradient —" in s.tooltip for s in drawing.shapes if s.nodes)
    assert all("gradient exactly 0" not in line.tooltip for line in drawing.lines)


def k_of(shape: Shape) -> int:
    """The class of its values, from -4 to 4."""
    assert shape.look.value is not None
    return shape.look.value - 4


@pytest.mark.parametrize("level", LEVELS)
def test_values_fill_the_shapes(level: str) -> None:
    run = run_of("lstm")
    drawing = picture(run, level=level, values=True)
    shapes = {s.id: s for s in drawing.shapes}
    means = {t: run.names["f", t].data.mean() for t in range(3)}
    largest = float(shapes["legend.value8.tick"].label)
    assert abs(k_of(shapes["t1.x"]) / 4 * largest - run.inputs[1].data.mean()) < 0.13 * largest
    for t, mean in means.items():
        shape = shapes[f"t{t}.f"]
        k = shape.look.value
        assert k is not None and abs(k / 8 - mean) < 0.07, "between the limits of a sigmoid"
        assert shape.paint is not None and shape.paint.fill == theme.VALUES[k][0]
    assert shapes["legend.value0.tick"].label == f"-{shapes['legend.value8.tick'].label}"
    assert "t0.f" in {s.id for s in picture(run, level=level).shapes if s.look.value is None}


@pytest.mark.parametrize(
    ("name", "states"), [("rnn", set()), ("lstm", {"c"}), ("gru", {"h"}), ("peephole", {"c"}), ("mingru", {"h"})]
)
def test_highways_have_a_band_in_every_step(name: str, states: set[str]) -> None:
    drawing = picture(run_of(name), level="cell")
    assert {band.id for band in drawing.bands} == {f"t{t}.{state}.highway" for t in range(3) for state in states}
    for band in drawing.bands:
        (frame,) = [f for f in drawing.frames if f.id == band.id.split(".")[0] + ".step"]
        assert (band.left, band.right) == (
            frame.left,
            frame.right,
        ) and frame.bottom < band.bottom < band.top < frame.top
        rails = [
            line
            for line in drawing.lines
            if line.grade == "rail" and any(y == (band.bottom + band.top) / 2 for p in line.pieces for _, y in p)
        ]
        assert rails

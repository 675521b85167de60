"""What a drawing shows, before anything has a place."""

from __future__ import annotations

import contextlib
import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import inspector
import tinygrad_rnn as tg
from inspector.formats.svg import to_svg
from inspector.picture import compose
from inspector.picture.scene import LEVELS, Scene, scene_of
from inspector.steps.items import Step
from tests.random_cells import runs
from tests.strategies import FEW
from tinygrad_rnn.recurrent.unroll import Run


def scene(steps: int, loss: bool = False, **options: object) -> Scene:
    run = tg.unroll(tg.cells.LSTMCell(3, 4, seed=0), np.ones((steps, 2, 3)))
    trace = inspector.trace(run, run.outputs[-1].sum()) if loss else None
    chosen: dict[str, object] = {"level": "operation", "steps": None, "fold": None, "backward": False, **options}
    return scene_of(run, trace=trace, **chosen)  # type: ignore[arg-type]


def test_a_scene_knows_its_gates_its_steps_and_the_names_of_parameters() -> None:
    found = scene(30)
    assert found.title == "LSTMCell(3, 4) · T = 30 · operation level"
    assert found.gates == ("i", "f", "g", "o") and [step.timestep for step in found.steps] == [0, 1, 2, 28, 29]
    assert set(found.timesteps.values()) == set(range(30)), "those that are folded away, too"
    (run,) = found.runs
    names = {parameter.id: name for name, parameter in run.cell.named_parameters()}
    assert found.parameter_names == names and found.norms is None and found.outside() == ({}, [])


def test_a_backward_scene_has_a_row_below_for_each_layer() -> None:
    found = scene(2, loss=True, backward=True)
    assert [row.backward for row in found.rows] == [True, False]
    assert found.title.endswith("operation level · forward and backward") and found.norms
    assert all(edge in found.norms for edge in found.edges() if edge is not None and edge[1] >= 0)


def test_what_reads_one_step_stands_above_it_and_the_rest_follows() -> None:
    inputs = np.ones((3, 1, 3))
    run = tg.unroll(tg.cells.RNNCell(3, 2, seed=0), inputs)
    losses = [(output**2).sum() for output in run.outputs]
    trace = inspector.trace(run, losses[0] + losses[1] + losses[2])
    above, after = scene_of(run, "operation", trace, None, None, False).outside()
    assert {t: [node.op for node in nodes] for t, nodes in above.items()} == {t: ["square", "sum"] for t in range(3)}
    assert [node.op for node in after] == ["add", "add"]


@pytest.mark.parametrize("with_trace", [False, True])
@FEW
@given(run=runs(), level=st.sampled_from(LEVELS))
def test_a_step_that_is_drawn_like_others_is_as_if_drawn_on_its_own(run: Run, level: str, with_trace: bool) -> None:
    trace = None
    if with_trace:
        with contextlib.suppress(ValueError):  # nothing depends on the run: all of it is passed on or cut
            trace = inspector.trace(run, run.stacked.sum())
    together = scene_of(run, level, trace, None, False, False)
    alone = copy.copy(together)
    alone.rows = [replace(row, steps=tuple(_alone(step) for step in row.steps)) for row in together.rows]
    assert to_svg(compose.compose(together, values=with_trace)) == to_svg(compose.compose(alone, values=with_trace))


def _alone(step: Any) -> Step:
    assert isinstance(step, Step)
    return replace(step, pattern=None)


def test_tooltips_are_made_of_what_is_drawn_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    run = tg.unroll(tg.cells.LSTMCell(3, 4, seed=0), np.ones((6, 2, 3)))
    made, note = list[tg.Node](), compose._note

    def counted(node: tg.Node, *rest: Any) -> str:
        made.append(node)
        return note(node, *rest)

    monkeypatch.setattr(compose, "_note", counted)
    shapes = inspector.draw(run, "cell").picture.shapes
    assert len(made) == sum("\nshape " in shape.tooltip for shape in shapes)

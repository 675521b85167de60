"""The gradient through a whole learned layer, against the matrices written out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given

import inspector
import tinygrad_rnn as tg
from inspector.picture.compose import picture
from inspector.picture.picture import Picture
from tests.random_cells import runs
from tests.strategies import FEW
from tinygrad_rnn.recurrent.unroll import Run

H = 4


def traced(name: str) -> tuple[inspector.GradientTrace, Picture]:
    run = tg.unroll(tg.cells.get(name)(3, H, seed=0), np.random.default_rng(0).normal(size=(3, 2, 3)))
    trace = inspector.trace(run, (run.outputs[-1] ** 2).sum())
    return trace, picture(run, level="gate", trace=trace)


def norm_on(drawing: Picture, source: str, target: str) -> str:
    (line,) = [line for line in drawing.lines if line.source == source and line.target == target]
    return line.tooltip


def test_lines_into_the_gates_of_a_gru_carry_what_its_blocks_send_back() -> None:
    trace, drawing = traced("gru")
    weight = trace.run.cell.weight_hh.data
    for k, gate in enumerate("rz"):
        delta = trace.gradient(f"z_{gate}", 1)
        expected = np.linalg.norm(delta @ weight[k * H : (k + 1) * H])
        assert norm_on(drawing, "t0.h.add", f"t1.{gate}") == f"gradient norm {inspector.text.number(expected)}"
    weight = trace.run.cell.weight_ih.data
    expected = np.linalg.norm(trace.gradient("z_n", 1) @ weight[2 * H :])
    assert norm_on(drawing, "t1.x", "t1.n") == f"gradient norm {inspector.text.number(expected)}"


def test_lines_through_a_join_carry_the_sum_of_all_gates() -> None:
    trace, drawing = traced("lstm")
    deltas = np.concatenate([trace.gradient(f"z_{gate}", 2) for gate in "ifgo"], axis=1)
    by_h = deltas @ trace.run.cell.weight_hh.data
    by_x = deltas @ trace.run.cell.weight_ih.data
    number = inspector.text.number
    assert norm_on(drawing, "t1.h.multiply", "t2.join") == f"gradient norm {number(float(np.linalg.norm(by_h)))}"
    assert norm_on(drawing, "t2.x", "t2.join") == f"gradient norm {number(float(np.linalg.norm(by_x)))}"
    forget = trace.gradient("z_f", 2)
    parts = [forget @ w.data[H : 2 * H] for w in (trace.run.cell.weight_hh, trace.run.cell.weight_ih)]
    expected = float(np.sqrt(sum(np.sum(part**2) for part in parts)))
    assert norm_on(drawing, "t2.join", "t2.f") == f"gradient norm {number(expected)}"


class Reading(tg.Cell):
    """A layer that reads a gate, and the state that this gate was made of."""

    def __init__(self) -> None:
        super().__init__(2, H, seed=0)
        self.name_states("h")
        self.w, self.u = self.parameter("w", (H, H)), self.parameter("u", (H, H))

    def step(self, x: Any, state: Any) -> Any:
        u = tg.named(u=tg.sigmoid(state.h @ self.u))
        return (tg.named(h=tg.tanh(u @ self.w + state.h @ self.w)),)


def test_a_line_into_a_layer_carries_what_goes_through_that_layer_alone() -> None:
    run = tg.unroll(Reading(), np.ones((3, 2, 2)), np.random.default_rng(0).normal(size=(2, H)))
    trace = inspector.trace(run, (run.outputs[-1] ** 2).sum())
    drawing = picture(run, level="gate", trace=trace)
    delta = trace.gradient("h", 1) * (1 - run.outputs[1].data ** 2)
    expected = float(np.linalg.norm(delta @ run.cell.w.data.T))
    says = f"gradient norm {inspector.text.number(expected)}"
    assert norm_on(drawing, "t0.h.tanh", "t1.h.tanh") == norm_on(drawing, "t1.u", "t1.h.tanh") == says


@pytest.mark.parametrize("level", ["gate", "cell"])
def test_the_last_step_of_a_plain_network_shows_its_whole_gradient(level: str) -> None:
    run = tg.unroll(tg.cells.RNNCell(3, H, seed=0), np.random.default_rng(0).normal(size=(2, 2, 3)))
    trace = inspector.trace(run, run.outputs[-1].sum())
    drawing = picture(run, level=level, trace=trace)
    expected = float(np.linalg.norm(trace.gradient("h", 0)))
    assert norm_on(drawing, "t0.h.tanh", "t1.h.tanh") == f"gradient norm {inspector.text.number(expected)}"


@pytest.mark.parametrize("level", ["operation", "gate", "cell"])
@FEW
@given(run=runs())
def test_every_line_of_any_cell_has_a_gradient_or_a_reason(level: str, run: Run) -> None:
    loss = run.stacked.sum()
    try:
        trace = inspector.trace(run, loss)
    except ValueError:  # nothing depends on the run: all of it is passed on or cut
        return
    for line in picture(run, level=level, trace=trace).lines:
        assert line.grade in {"cut", "none", "bad", "unreached", "loose", "fold", *range(8)}, line.id


@pytest.mark.parametrize(("level", "backward"), [("cell", False), ("operation", True)])
def test_gradients_whose_squares_are_too_small_are_not_none(level: str, backward: bool) -> None:
    run = tg.unroll(tg.cells.LSTMCell(3, H, seed=0), np.random.default_rng(0).normal(size=(2, 2, 3)))
    size = 1e-190
    usual, small = (
        {
            line.id: line.norm
            for line in picture(run, level=level, trace=inspector.trace(run, loss), backward=backward).lines
            if line.norm
        }
        for loss in (run.outputs[-1].sum(), run.outputs[-1].sum() * size)
    )
    through = {key: norm for key, norm in usual.items() if norm < 1e100 and key in small}
    assert len(through) >= 0.9 * len(usual)
    for key, norm in through.items():
        assert small[key] == pytest.approx(norm * size, rel=1e-9) or small[key] == pytest.approx(norm), key

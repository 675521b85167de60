"""The parts of a waterfall add up, and are known in closed form where there is only one way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given

import inspector
import tinygrad_rnn as tg
from inspector.analysis.waterfall import Factor, Waterfall
from tests.inspector.analysis.networks import KINDS, X, network
from tests.random_cells import runs
from tests.strategies import FEW
from tinygrad_rnn.recurrent.unroll import Run


def check_sums(found: Waterfall, norms: np.ndarray, reverse: bool = False) -> None:
    table, total = found.parts.values, found.total.values
    usual = np.isfinite(total)
    scale = 1 + np.nan_to_num(np.abs(table)).sum(axis=1).max()
    np.testing.assert_allclose(table[usual].sum(axis=1), total[usual], atol=1e-12 * scale)
    assert np.isnan(table[~usual]).all()
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.log(norms[1:] / norms[:-1]) if reverse else np.log(norms[:-1] / norms[1:])
    np.testing.assert_allclose(total[usual], ratios[usual], atol=1e-9)
    assert not np.isfinite(ratios[~usual]).any()
    if usual.any():
        np.testing.assert_allclose(found.mean.values.sum(), total[usual].mean(), atol=1e-12 * scale)


@pytest.mark.parametrize("kind", KINDS)
def test_parts_of_every_cell_add_up_to_its_decay(kind: str) -> None:
    run, loss = network(kind)
    trace = inspector.trace(run, loss)
    for state in (None, *trace.states):
        found = inspector.waterfall(run, loss, state)
        check_sums(found, trace.norm(found.state), kind == "reversed" or found.state.startswith("backward/"))
    assert found.names[-1] == "side branches"


@FEW
@given(run=runs())
def test_parts_of_any_cell_add_up_to_its_decay(run: Run) -> None:
    loss = run.stacked.sum()
    if len(run) < 2:
        return
    try:
        trace = inspector.trace(run, loss)
    except ValueError:  # nothing depends on the run
        return
    for state in trace.states:
        norms = trace.norm(state)
        if np.isfinite(norms).all():
            check_sums(inspector.waterfall(run, loss, state), norms, run.reverse)


class Mixed(tg.Cell):
    """h' = (1 - z) tanh(W h) + x, with a gate z of the input."""

    def __init__(self) -> None:
        super().__init__(3, 3, seed=0)
        self.weight = self.parameter("weight", (3, 3), 2.0 * np.eye(3))

    def step(self, x: Any, state: Any) -> Any:
        z = tg.named(z=tg.sigmoid(x))
        n = tg.named(n=tg.tanh(state.h @ self.weight.T))
        return ((1.0 - z) * n + x,)


def test_what_a_factor_is_need_not_be_read_off_its_name() -> None:
    run = tg.unroll(Mixed(), X)
    found = inspector.waterfall(run, run.outputs[-1].sum())
    assert found.factors == {
        "× (1 − z)": Factor("× (1 − z)", by="(1 − z)", gate="z", closes=True),
        "tanh′ of n": Factor("tanh′ of n", slope="n"),
        "weightᵀ": Factor("weightᵀ", parameter="weight"),
    }
    assert found.names == (*found.factors, "side branches") and "factors" not in found.to_dict()


class Leaky(tg.Cell):
    """h' = 0.9 h + x."""

    def step(self, x: Any, state: Any) -> Any:
        return (0.9 * state.h + x,)


def test_a_leak_loses_its_logarithm_at_every_step() -> None:
    run = tg.unroll(Leaky(3, 3), X)
    found = inspector.waterfall(run, run.outputs[-1].sum())
    assert found.names == ("× 0.9", "side branches") and found.state == "h"
    np.testing.assert_allclose(found.parts.values, [[np.log(0.9), 0.0]] * 4, atol=1e-14)


class Ways(tg.Cell):
    """h' = a h + n with n = b h, of which the stronger is followed."""

    def __init__(self, a: float, b: float) -> None:
        super().__init__(3, 3, seed=0)
        self.a, self.b = a, b

    def step(self, x: Any, state: Any) -> Any:
        n = tg.named(n=self.b * state.h)
        return (self.a * state.h + n + x,)


@pytest.mark.parametrize(("a", "b"), [(0.7, 0.2), (0.2, 0.7), (0.7, -0.2), (-0.2, 0.7)])
def test_the_stronger_of_two_ways_is_followed_and_the_other_is_a_side_branch(a: float, b: float) -> None:
    run = tg.unroll(Ways(a, b), X)
    found = inspector.waterfall(run, run.outputs[-1].sum())
    assert found.names == ("× 0.7", "side branches")
    np.testing.assert_allclose(found.parts.values, [[np.log(0.7), np.log((a + b) / 0.7)]] * 4, atol=1e-12)


def test_a_cell_state_alone_loses_what_its_forget_gates_take() -> None:
    cell = tg.cells.LSTMCell(3, 1, seed=0)
    cell.load_state_dict({**cell.state_dict(), "weight_hh": np.zeros((4, 1))})
    run = tg.unroll(cell, X[:, :1])
    found = inspector.waterfall(run, run.states[-1].c.sum())
    assert found.names == ("× f", "side branches") and found.state == "c"
    f = [run.names["f", t].item() for t in range(1, 5)]
    np.testing.assert_allclose(found.parts["part", "× f"], np.log(f), rtol=1e-12)
    np.testing.assert_allclose(found.parts["part", "side branches"], 0, atol=1e-14)


def test_an_orthogonal_matrix_loses_nothing() -> None:
    cell = tg.cells.RNNCell(3, 4, seed=0)
    q, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))
    cell.load_state_dict({**cell.state_dict(), "weight_hh": q})
    run = tg.unroll(cell, X)
    loss = run.outputs[-1].sum()
    found, trace = inspector.waterfall(run, loss), inspector.trace(run, loss)
    assert set(found.names) == {"tanh′ of h", "weight_hhᵀ", "side branches"}
    np.testing.assert_allclose(found.parts["part", "weight_hhᵀ"], 0, atol=1e-14)
    squashed = [np.linalg.norm(trace.gradient("z_h", t)) / np.linalg.norm(trace.gradient("h", t)) for t in range(1, 5)]
    np.testing.assert_allclose(found.parts["part", "tanh′ of h"], np.log(squashed), rtol=1e-10)


def test_the_way_through_the_gates_of_an_lstm_is_told_operation_by_operation() -> None:
    run, loss = network("lstm")
    found = inspector.waterfall(run, loss, "h")
    assert {"× o", "tanh′(c)", "weight_hhᵀ", "side branches"} <= set(found.names)
    trace = inspector.trace(run, loss)
    for t, taken in zip(range(1, 5), found.parts["part", "tanh′(c)"], strict=True):  # where the path goes through c
        if taken:
            by_tanh = trace.gradient("h", t) * run.names["o", t].data
            expected = np.log(np.linalg.norm(by_tanh) / np.linalg.norm(trace.gradient("h", t)))
            assert found.parts["part", "× o"][t - 1] == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("named", [False, True])
def test_a_slice_is_told_as_what_it_is_taken_from_unless_it_has_a_name(named: bool) -> None:
    class Halved(tg.Cell):
        def step(self, x: Any, state: Any) -> Any:
            z = tg.named(z=tg.sigmoid(tg.concatenate([x, x], axis=1)))
            half = tg.named(half=z[:, 1:4]) if named else z[:, 1:4]
            return (half * state.h + x,)

    run = tg.unroll(Halved(3, 3), X)
    found = inspector.waterfall(run, run.outputs[-1].sum())
    assert found.names == ("× half" if named else "× z", "side branches")


@pytest.mark.parametrize(
    ("step", "names"),
    [
        (lambda h: tg.named(y=tg.sum(h, axis=1, keepdims=True)) * np.ones((1, 3)), ("× constant", "Σ of y")),
        (lambda h: tg.concatenate([h[:, 1:], h[:, :1]], axis=1), ("concatenate of h",)),
        (lambda h: 0.2 * h**2, ("× 0.2", "x²′(h)")),
        (lambda h: 0.2 * tg.power(h, 2), ("× 0.2", "xʸ of h")),
        (lambda h: tg.exp(0.1 * h), ("exp′ of h", "× 0.1")),
        (lambda h: tg.named(y=tg.tanh(h)) * 2.0, ("× 2", "tanh′ of y")),
        (lambda h: 1.0 / (2.0 + h * h), ("÷′ of (1/(2 + …))", "× h")),
        (lambda h: h / 3.0, ("÷ 3",)),
        (lambda h: tg.maximum(h, 0.1), ("max 0.1",)),
        (lambda h: (1.0 - tg.named(f=tg.sigmoid(0.0 * h - 2.0))) * h, ("× (1 − f)",)),
    ],
)
def test_what_an_operation_does_is_told_in_its_signs(step: Any, names: tuple[str, ...]) -> None:
    class Cell(tg.Cell):
        def step(self, x: Any, state: Any) -> Any:
            return (step(state.h) + x,)

    run = tg.unroll(Cell(3, 3), X)
    assert inspector.waterfall(run, run.outputs[-1].sum()).names == (*names, "side branches")


def test_what_a_loss_cannot_reach_is_left_out_of_the_means() -> None:
    run = tg.unroll(tg.cells.LSTMCell(3, 4, seed=0), X, truncate=2)
    found = inspector.waterfall(run, run.outputs[-1].sum(), "c")
    assert np.isnan(found.total.values).all()  # the only step after the last cut has none before it
    assert found.names == ("side branches",) and "nothing to measure" in str(found)
    found = inspector.waterfall(run, run.outputs[3].sum(), "c")
    assert np.isfinite(found.total.values).tolist() == [False, False, True, False]


def test_what_is_refused() -> None:
    run, loss = network("lstm")
    with pytest.raises(KeyError, match="waterfall: no state is called 'f'; there are h, c"):
        inspector.waterfall(run, loss, "f")
    short = tg.unroll(tg.cells.RNNCell(3, 4, seed=0), X[:1])
    with pytest.raises(ValueError, match="a run of one step has no step before"):
        inspector.waterfall(short, short.outputs[-1].sum())


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru", "truncated"])
def test_it_is_drawn_written_and_told(kind: str, tmp_path: Path) -> None:
    run, loss = network(kind)
    found = inspector.waterfall(run, loss)
    text = Path(str(found.save(tmp_path / "waterfall.svg"))).read_text(encoding="utf-8")
    assert all(name in text for name in found.names) and "nats a step back" in text
    assert all(name in str(found) for name in found.names)
    assert found.to_dict()["mean"]["axes"]["part"] == list(found.names)
    axes = found.plot(ax=inspector.plot_decay(inspector.trace(run, loss)).figure.add_subplot())
    assert axes.get_xlabel().startswith("nats")


def test_where_there_is_nothing_to_measure_the_picture_says_so() -> None:
    run = tg.unroll(tg.cells.LSTMCell(3, 4, seed=0), X, truncate=1)
    axes = inspector.waterfall(run, run.outputs[-1].sum()).plot()
    assert axes.get_title(loc="left").endswith("has nothing to measure")

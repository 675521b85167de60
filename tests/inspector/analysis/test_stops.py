"""Each reason for which a gradient stops, made on purpose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given

import inspector
import tinygrad_rnn as tg
from tests.random_cells import runs
from tests.strategies import FEW
from tinygrad_rnn.recurrent.unroll import Run

HERE = Path(__file__).name


def reasons(loss: tg.Tensor, value: tg.Tensor, run: Run | None = None) -> list[str]:
    found = inspector.stops(loss, value, run)
    assert found.norm == 0
    return [stop.reason for stop in found.reasons]


def x() -> tg.Tensor:
    return tg.tensor([1.0, -2.0, 3.0], name="x")


def test_detached_says_where() -> None:
    a = x()
    found = inspector.stops(tg.sum(a.detach() * 2.0), a)
    assert [stop.reason for stop in found.reasons] == ["detached"]
    assert f"{HERE}:{test_detached_says_where.__code__.co_firstlineno + 2}" in str(found)
    stopped = inspector.stops(tg.sum(tg.stop_gradient(a * 3.0)), a)
    assert [stop.reason for stop in stopped.reasons] == ["detached"] and f"{HERE}:" in stopped.reasons[0].says


def test_a_detached_descendant_is_found_with_the_help_of_the_run() -> None:
    run = tg.unroll(tg.cells.RNNCell(2, 3, seed=0), np.ones((4, 1, 2)))
    loss = tg.sum(run.outputs[-1].detach() * tg.tensor(np.ones((1, 3)), requires_grad=True))
    assert reasons(loss, run.states[0].h, run) == ["detached"]
    assert reasons(loss, run.states[0].h) == ["no path"]


def test_every_other_reason() -> None:
    a = x()
    zero = tg.tensor(np.zeros(3), name="shut")
    assert reasons(tg.sum(a * zero), a) == ["multiplied by zero"]
    assert "multiplied by shut" in inspector.stops(tg.sum(a * zero), a).reasons[0].says
    assert reasons(tg.sum(tg.relu(a - 100.0)), a) == ["saturated"]
    assert reasons(tg.sum(tg.sigmoid(a + 1000.0)), a) == ["saturated"]
    assert reasons(tg.sum(tg.where(np.zeros(3, bool), a, 1.0)), a) == ["masked"]
    assert reasons(tg.sum(tg.multiply(tg.greater(a, 0.0), 2.0)), a) == ["no derivative"]
    assert reasons(tg.sum(tg.multiply(a, 1e-200) * 1e-200), a) == ["underflow"]
    assert reasons(tg.sum(a * 0.0), a) == ["multiplied by zero"]
    assert reasons(tg.tensor(1.0) * 2.0, a) == ["no path"]
    with tg.no_grad():
        b = a * 2.0
    assert reasons(tg.sum(b * tg.tensor(np.ones(3))), a) == ["not recorded"]


def test_a_window_of_truncated_bptt_is_told_from_a_detach() -> None:
    run = tg.unroll(tg.cells.LSTMCell(2, 3, seed=0), np.ones((9, 1, 2)), truncate=3)
    loss = run.outputs[-1].sum()
    found = inspector.stops(loss, run.states[0].c)
    assert {(stop.reason, stop.timestep) for stop in found.reasons} == {("truncated", 6)}
    assert "t = 6" in str(found)
    assert inspector.stops(loss, run.states[7].c).norm > 0


def test_dead_ends_beside_a_living_way_are_told_too() -> None:
    a = x()
    found = inspector.stops(tg.sum(a + tg.relu(a - 100.0)), a)
    assert found.norm > 0 and [stop.reason for stop in found.reasons] == ["saturated"]
    assert "a gradient of norm 1.73 arrives" in str(found)


def test_the_same_reason_at_many_steps_is_one_line() -> None:
    class Shut(tg.Cell):
        def step(self, x: Any, state: Any) -> Any:
            return (tg.tanh(x + 0.5 * state[0]) + tg.named(shut=tg.relu(state[0] - 50.0)),)

    run = tg.unroll(Shut(3, 3), np.ones((8, 1, 3)))
    said = str(inspector.stops(run.outputs[-1].sum(), run.states[0][0])).splitlines()
    assert len(said) == 2 and said[1].strip() == "saturated: relu has slope 0 at all 3 elements (shut, t = 7 … 1)"


def test_what_multiplies_by_zero_is_said_once_for_all_steps() -> None:
    class Shut(tg.Cell):
        def step(self, x: Any, state: Any) -> Any:
            return (tg.named(kept=state[0] * tg.named(shut=tg.relu(x - 50.0))) + x,)

    run = tg.unroll(Shut(3, 3), np.ones((4, 1, 3)))
    found = inspector.stops(run.outputs[-1].sum(), run.states[0][0])
    assert [(stop.path, stop.name, stop.says) for stop in found.reasons] == [
        ("t=3/kept", "kept", "multiplied by shut, which is exactly 0")
    ]
    stack = tg.unroll(tg.Stacked([Shut(3, 3), Shut(3, 3)]), np.ones((4, 1, 3)))
    found = inspector.stops((stack.stacked**2).sum(), stack.states[0][0][0])
    assert "  multiplied by zero: multiplied by layer1/shut, which is exactly 0 (kept, t = 3 … 1)" in str(found)


@FEW
@given(run=runs())
def test_a_gradient_is_zero_exactly_where_reasons_leave_no_way(run: Run) -> None:
    loss = (run.stacked**2).sum()
    start = run.initial_state[0]
    found = inspector.stops(loss, start)
    (gradient,) = tg.grad(loss, [start]) if start in tg.Graph(loss) else (tg.tensor(0.0),)
    assert found.norm == pytest.approx(float(np.linalg.norm(gradient.data)), rel=1e-12)
    assert found.norm > 0 or found.reasons or start.id == loss.id


# ---------------------------------------------------------------------------------------- assertions


def lstm(steps: int = 40, **options: Any) -> Run:
    return tg.unroll(tg.cells.LSTMCell(3, 8, seed=0), np.random.default_rng(0).normal(size=(steps, 1, 3)), **options)


def test_a_gradient_that_arrives_passes_and_one_that_does_not_is_blamed() -> None:
    run = lstm()
    loss = run.outputs[-1].sum()
    inspector.assert_gradient_reaches(loss, run.states[-2].h)
    inspector.assert_gradient_reaches(loss, run.states[0].h, at_least=1e-12, relative_to=run.states[-1].h)
    with pytest.raises(AssertionError) as caught:
        inspector.assert_gradient_reaches(loss, run.states[0].h, at_least=0.1, relative_to=run.states[-1].h)
    said = str(caught.value).splitlines()
    assert "at least 0.1 is asked for" in said[0] and "t=0/h" in said[0]
    assert said[1].startswith("h from t = 0 to 39: ") and said[1].endswith("█")
    assert said[2].startswith("most is lost in multiply of c: a factor of ")


def test_the_blamed_factor_is_that_of_the_forget_gates() -> None:
    class Forgetful(tg.Cell):
        def step(self, x: Any, state: Any) -> Any:
            return (tg.named(f=tg.sigmoid(x)) * state[0] + x,)

    run = tg.unroll(Forgetful(1, 1), np.full((11, 1, 1), -1.0))
    with pytest.raises(AssertionError, match="most is lost in multiply of h") as caught:
        inspector.assert_gradient_reaches(run.outputs[-1].sum(), run.states[0][0], at_least=1.0)
    factor = float(str(caught.value).rpartition("a factor of ")[2].split()[0])
    assert factor == pytest.approx((1 / (1 + np.e)) ** 10, rel=0.05)


@pytest.mark.parametrize(
    "dead",
    [
        tg.stop_gradient,
        lambda v: tg.relu(v - 100.0),
        lambda v: tg.where(np.zeros(2, bool), v, 0.0),
        lambda v: tg.multiply(tg.greater(v, 0.0), 2.0),
        lambda v: tg.exp(v * 1.0) * 0.0,
    ],
)
def test_what_is_blamed_is_on_a_way_that_arrives(dead: Any) -> None:
    """A way that carries more ends before the value."""
    a = tg.tensor([1.0, -2.0], name="a")
    with pytest.raises(AssertionError, match="most is lost in multiply: a factor of 1e-06") as caught:
        inspector.assert_gradient_reaches((5.0 * dead(a) + tg.tanh(1e-6 * a)).sum(), a, at_least=1.0)
    assert len(str(caught.value).splitlines()) == 2


def test_the_least_that_has_to_arrive_is_a_thousandth_unless_it_is_told() -> None:
    a, b = tg.tensor([2.0, 3.0], name="a"), tg.tensor(1.0, name="b")
    for size, options in ((1e-3, {}), (0.25, {"at_least": 0.5, "relative_to": b}), (0.5, {"at_least": 0.5})):
        for enough in (True, False):
            loss = tg.sum(a[:1]) * (size * (1.0 if enough else 0.99)) + 0.5 * b
            if enough:
                inspector.assert_gradient_reaches(loss, a, **options)
                continue
            share = " of the 0.5 at b" if "relative_to" in options else ""
            with pytest.raises(AssertionError, match=rf"the gradient at a is .*{share}; at least") as caught:
                inspector.assert_gradient_reaches(loss, a, **options)
            assert "from t =" not in str(caught.value)  # there is one of that name
    with pytest.raises(AssertionError, match=r"nan of the 0 at b; at least 0\.001"):
        inspector.assert_gradient_reaches(tg.sum(a) + 0.0 * b, a, relative_to=b)


def test_ten_values_that_were_cut_are_named_and_the_others_counted() -> None:
    for count in (10, 12):
        with pytest.raises(AssertionError) as caught:
            inspector.assert_no_detach(sum(tg.tensor(float(k), name=f"v{k}").detach() * 1.0 for k in range(count)))
        first, *lines = str(caught.value).splitlines()
        assert first == "the loss was computed from values cut from their history:"
        assert len(lines) == 10 + (count > 10) and lines[10:] == ["and 2 more"] * (count > 10)


def test_no_gradient_at_all_is_explained() -> None:
    run = lstm(truncate=10)
    with pytest.raises(AssertionError, match="a window of truncated BPTT ends here"):
        inspector.assert_gradient_reaches(run.outputs[-1].sum(), run.states[0].c)


def test_values_cut_from_their_history_are_found() -> None:
    run = lstm(3)
    loss = run.outputs[-1].sum()
    inspector.assert_no_detach(loss)
    with pytest.raises(AssertionError, match=rf"detach at .*{HERE}:\d+"):
        inspector.assert_no_detach(loss + run.outputs[0].detach().sum())
    with pytest.raises(AssertionError, match="stop_gradient at"):
        inspector.assert_no_detach(loss + tg.stop_gradient(run.outputs[0]).sum())


def test_two_graphs_are_the_same_or_the_first_difference_is_named() -> None:
    a, b = lstm(3), lstm(3)
    inspector.assert_same_graph(a.outputs, b.outputs)
    with pytest.raises(AssertionError, match=r"node 7, h_init and t=3/x: shape"):
        inspector.assert_same_graph(a.outputs[-1], lstm(4).outputs[-1])
    y = x()
    with pytest.raises(AssertionError, match=r"node 1, tanh and sigmoid: operation tanh and sigmoid"):
        inspector.assert_same_graph(tg.tanh(y), tg.sigmoid(y))
    with pytest.raises(AssertionError, match=r"3 nodes and 2; node 2 of the larger is tanh"):
        inspector.assert_same_graph(tg.tanh(tg.tanh(y)), tg.tanh(y))
    with pytest.raises(AssertionError, match="settings"):
        inspector.assert_same_graph(tg.sum(y, axis=0), tg.sum(y))

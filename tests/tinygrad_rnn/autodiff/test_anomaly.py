"""The first NaN or infinity, forward or backward, is named with its operation, layer, timestep and gate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.autodiff.scope import timestep

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy warns of the NaN we look for


def test_forward() -> None:
    with tg.detect_anomaly(), tg.scope("layer0"), timestep(3):
        x = tg.tensor([1.0, -1.0])
        y = x * 2.0
        with pytest.raises(
            tg.AnomalyError, match=r"NaN in the output of log \(shape \(2,\)\) at layer layer0, timestep 3"
        ) as caught:
            tg.log(y)
    assert caught.value.node.op is tg.log and isinstance(caught.value, ArithmeticError)


def test_infinity_is_told_from_nan() -> None:
    with tg.detect_anomaly(), pytest.raises(tg.AnomalyError, match="infinity in the output of divide"):
        tg.tensor(1.0) / 0.0


def test_backward() -> None:
    with tg.scope("layer0"), timestep(5):
        x = tg.tensor([0.0, 1.0], requires_grad=True)
        y = tg.named(r=tg.sqrt(x))
    loss = tg.sum(y)
    with tg.detect_anomaly(), pytest.raises(tg.AnomalyError) as caught:
        loss.backward()
    message = r"infinity in the gradient that sqrt sends back (shape (2,)) at layer layer0, timestep 5, gate r"
    assert message in str(caught.value)
    assert (caught.value.gate, caught.value.node) == ("r", y)


@pytest.mark.parametrize(
    "consume", [lambda y, x: tg.grad(y, x), lambda y, x: tg.grad(y, x, create_graph=True), tg.jacobian]
)
def test_every_consumer_of_the_sweep_notices(consume: Any) -> None:
    x = tg.tensor(0.0)
    y = tg.sqrt(x)
    with tg.detect_anomaly(), pytest.raises(tg.AnomalyError, match="sqrt"):
        consume(y, x)


def test_without_the_switch_nothing_is_raised() -> None:
    x = tg.tensor(-1.0, requires_grad=True)
    y = tg.log(x)
    y.backward()
    assert np.isnan(y.data) and x.grad == -1.0


def test_finite_values_pass() -> None:
    run_and_loss(tg.cells.LSTMCell(2, 3, seed=0), np.ones((3, 1, 2)))


def run_and_loss(cell: tg.Cell, inputs: Any) -> Any:
    with tg.detect_anomaly():
        run = tg.unroll(cell, inputs)
        loss = tg.sum(run.stacked)
        loss.backward()
    return run, loss


def poisoned(name: str, gate: int, value: float = np.nan) -> tg.Cell:
    """A cell whose input weights of one gate are not finite."""
    cell = tg.cells.get(name)(1, 2, seed=0)
    weights = cell.state_dict()
    weights["weight_ih"][2 * gate : 2 * gate + 2] = value
    cell.load_state_dict(weights)
    return cell


class Leaking(tg.Cell):
    """Fails in the named gate at the step at which the input turns negative."""

    def step(self, x: Any, state: Any) -> Any:
        q = tg.named(q=tg.tanh(x + state.h))
        f = tg.named(f=tg.sigmoid(tg.log(x)))
        return (f * q,)


def test_a_cell_names_timestep_and_gate_though_the_gate_is_named_later() -> None:
    inputs = np.ones((5, 1, 1))
    inputs[3] = -1.0
    with tg.scope("encoder"), tg.detect_anomaly(), pytest.raises(tg.AnomalyError) as caught:
        tg.unroll(Leaking(1, 1), inputs)
    assert "NaN in the output of log" in str(caught.value)
    assert "at layer encoder, timestep 3, gate f" in str(caught.value)
    assert caught.value.gate == "f" and caught.value.node.timestep == 3


def test_a_stack_names_the_layer() -> None:
    class Bottom(tg.Cell):
        def step(self, x: Any, state: Any) -> Any:
            return (tg.named(h=x + 0.0 * state.h),)

    inputs = np.ones((3, 1, 1))
    inputs[1] = -1.0
    with tg.detect_anomaly(), pytest.raises(tg.AnomalyError, match="at layer layer1, timestep 1, gate f"):
        tg.unroll(tg.Stacked(Bottom(1, 1), Leaking(1, 1)), inputs)


class Vertical(tg.Cell):
    """The forward is finite at 0, the derivative of its gate is not."""

    def step(self, x: Any, state: Any) -> Any:
        o = tg.named(o=tg.sqrt(x) * 0.5)
        return (o + 0.5 * state.h,)


def test_a_backward_step_names_timestep_and_gate() -> None:
    inputs = np.ones((4, 1, 1))
    inputs[2] = 0.0
    run = tg.unroll(Vertical(1, 1), inputs)
    with tg.detect_anomaly(), pytest.raises(tg.AnomalyError) as caught:
        tg.grad(tg.sum(run.outputs[-1]), run.inputs)
    assert "gradient that sqrt sends back" in str(caught.value)
    assert "at timestep 2, gate o" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "gate"), [("lstm", k) for k in range(4)] + [("gru", k) for k in range(3)] + [("rnn", 0)]
)
def test_weights_that_are_not_finite_are_found_at_once(name: str, gate: int) -> None:
    with pytest.raises(tg.AnomalyError, match=r"NaN in the output of .* timestep 0"):
        run_and_loss(poisoned(name, gate), np.ones((3, 1, 1)))

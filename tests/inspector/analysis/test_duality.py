"""A tangent and a cotangent have the same product at every cut, and a wrong rule is a kink."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given

import inspector
import tinygrad_rnn as tg
from tests.random_cells import runs
from tests.strategies import FEW
from tinygrad_rnn.recurrent.unroll import Run

module = import_module("inspector.analysis.duality")
X = np.random.default_rng(0).normal(size=(9, 2, 3))


def run_of(name: str, **options: Any) -> Run:
    return tg.unroll(tg.cells.get(name)(3, 4, seed=0), X, **options)


def everything(run: Run) -> tg.Tensor:
    return (run.stacked**2).sum()


@pytest.mark.parametrize("name", tg.cells.names())
def test_the_line_is_flat_for_every_cell(name: str) -> None:
    run = run_of(name)
    found = inspector.duality(run, everything(run))
    assert found.products.shape == (10,) and found.deviation < 1e-13
    assert np.abs(found.products.values).max() > 0


@pytest.mark.parametrize("options", [{"reverse": True}, {"lengths": [9, 4]}, {"truncate": 100}])
def test_reversed_and_padded_runs(options: dict[str, Any]) -> None:
    run = run_of("lstm", **options)
    assert inspector.duality(run, everything(run)).deviation < 1e-13


@pytest.mark.parametrize("compiled", [False, True])
def test_stacks_and_compiled_runs(compiled: bool) -> None:
    stack: Any = tg.Stacked(tg.cells.LSTMCell(3, 4, seed=0), tg.cells.GRUCell(4, 4, seed=1))
    run = tg.unroll(tg.compile(stack) if compiled else stack, X)
    assert inspector.duality(run, everything(run)).deviation < 1e-13


def test_the_product_is_the_derivative_of_the_loss_along_the_tangent() -> None:
    cell = tg.cells.GRUCell(3, 4, seed=0)
    v = np.random.default_rng(5).normal(size=(2, 4))

    def loss(shift: float) -> float:
        return float(everything(tg.unroll(cell, X, cell.State(np.zeros((2, 4)) + shift * v))).item())

    run = tg.unroll(cell, X)
    slope = (loss(1e-5) - loss(-1e-5)) / 2e-5
    assert inspector.duality(run, everything(run), seed=5).products.values[0] == pytest.approx(slope, rel=1e-7)


@tg.elementwise(lambda g, y, x: g * (1 - y * y) * 1.01)
def crooked(x: Any) -> Any:
    """The hyperbolic tangent with a derivative that is one percent too large."""
    return np.tanh(x)


del tg.PRIMITIVES["crooked"]  # what is registered is tested, and this one is wrong on purpose


def test_a_wrong_rule_in_one_step_is_a_kink_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Crooked(tg.Cell):
        """Wrong at step 5 for the sweep that pulls back, but not for the one that pushes forward."""

        wrong = False

        def step(self, x: Any, state: Any) -> Any:
            z = state[0] * 0.9 + x
            self.count = getattr(self, "count", -1) + 1
            return (crooked(z) if self.wrong and self.count == 5 else tg.tanh(z),)

    cell = Crooked(3, 3)
    run = tg.unroll(cell, X)
    cell.wrong, cell.count = True, -1
    other = tg.unroll(cell, X)
    pushed = module._pushed
    right = {}

    def honest(wrong: Run, start: Any, seed: int) -> Any:
        found = pushed(run, list(run.initial_state), seed)
        pairs = [*zip(run.states, wrong.states, strict=True), (run.initial_state, wrong.initial_state)]
        right.update({b[0].id: found[a[0].id] for a, b in pairs})
        return right

    monkeypatch.setattr(module, "_pushed", honest)
    found = inspector.duality(other, other.outputs[-1].sum())
    values = found.products.values
    assert found.deviation > 1e-3
    np.testing.assert_allclose(values[:6], values[0])
    np.testing.assert_allclose(values[6:], values[-1])
    assert isinstance(found.save(tmp_path / "kink.svg"), Path) and "at each of 10 cuts" in str(found)


@FEW
@given(run=runs())
def test_random_cells(run: Run) -> None:
    loss = everything(run)
    inside = tg.Graph(loss)
    assume(any(leaf in inside for leaf in run.initial_state))
    found = inspector.duality(run, loss)
    assert found.deviation < 1e-11


def test_what_has_no_cut_is_refused() -> None:
    two = tg.unroll(tg.Bidirectional(tg.cells.RNNCell(3, 4, seed=0), tg.cells.RNNCell(3, 4, seed=1)), X)
    with pytest.raises(ValueError, match="two directions have no cut"):
        inspector.duality(two, everything(two))
    run = run_of("rnn", truncate=3)
    with pytest.raises(ValueError, match="does not depend on the run's initial state"):
        inspector.duality(run_of("rnn"), everything(run))

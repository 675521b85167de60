"""An ensemble is its members, run in one call."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import inspector
import tinygrad_rnn as tg
from tests.tinygrad_rnn.compiler.cells import BASIC, OPTIONS, OTHERS, N, X
from tests.tinygrad_rnn.compiler.checks import close

T, B, H, MEMBERS = len(X), X.shape[1], 4, 3


@pytest.mark.parametrize("name", [name for name in OTHERS if name != "narx"])
def test_every_member_of_every_registered_cell_gives_what_it_gives_alone(name: str) -> None:
    test_every_member_gives_what_it_gives_alone(name, OPTIONS[-1], "numpy")


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("name", BASIC)
def test_every_member_gives_what_it_gives_alone(name: str, options: dict[str, Any], backend: str) -> None:
    members = [tg.cells.get(name)(N, H, seed=seed) for seed in range(MEMBERS)]
    width = members[0].hidden_size
    ensemble = tg.compile(members, backend=backend)
    shapes = ((1, (T, B, width)), (2, (B, width)))
    weights, more = (np.random.default_rng(seed).normal(size=shape) for seed, shape in shapes)
    x = tg.tensor(X, requires_grad=True)
    run = tg.unroll(ensemble, x, **options)
    assert run.stacked.shape == (T, MEMBERS, B, width) and run.outputs[0].shape == (MEMBERS, B, width)
    loss = (run.stacked * weights[:, None]).sum() + (run.outputs[2] * more).sum() + (run.states[-1][0] ** 2).sum()
    found = tg.grad(loss, [x, *ensemble.parameters(), run.states[3][0]])
    trace = inspector.trace(run, loss)
    of_x = np.zeros_like(X)
    for k, member in enumerate(members):
        own = tg.tensor(X, requires_grad=True)
        alone = tg.unroll(member, own, **options)
        its_loss = (alone.stacked * weights).sum() + (alone.outputs[2] * more).sum() + (alone.states[-1][0] ** 2).sum()
        close(alone.stacked.data, run.stacked.data[:, k])
        expected = tg.grad(its_loss, [own, *member.parameters(), alone.states[3][0]])
        of_x += expected[0].data
        for left, right in zip(expected[1:], found[1:], strict=True):
            close(left.data, right.data[k])
        its_trace = inspector.trace(alone, its_loss)
        for value in its_trace.names[1:]:
            np.testing.assert_allclose(trace.member_norms(value)[:, k], its_trace.norm(value), rtol=1e-9, atol=1e-12)
        for parameter in its_trace.parameters:
            close(its_trace.parameter_gradient(parameter, 1), trace.parameter_gradient(parameter, 1)[k])
    close(of_x, found[0].data)


def test_what_an_ensemble_refuses() -> None:
    cell = tg.cells.RNNCell(N, H, seed=0)
    for bad in ([], [cell, 3]):
        with pytest.raises(TypeError, match="needs a list of Cells"):
            tg.compile(bad, backend="numpy")
    for other in (tg.cells.RNNCell(N, H + 1), tg.cells.GRUCell(N, H), tg.cells.RNNCell(N, H, bias=False)):
        with pytest.raises(ValueError, match="must be alike"):
            tg.compile([cell, other], backend="numpy")
    with pytest.raises(ValueError, match="cannot be checkpointed"):
        tg.compile([cell], checkpoint="sqrt", backend="numpy")
    ensemble = tg.compile([cell, cell], backend="numpy")
    assert repr(ensemble) == "2 x RNNCell(2, 4)" and len(ensemble) == 2
    run = tg.unroll(ensemble, X)
    with pytest.raises(NotImplementedError, match="members one by one"):
        tg.grad(run.stacked.sum(), ensemble.parameters(), create_graph=True)
    with pytest.raises(ValueError, match="unroll one of its members"):
        inspector.render(run)
    alone = tg.unroll(cell, X)
    with pytest.raises(TypeError, match="has no members"):
        inspector.trace(alone, alone.outputs[-1].sum()).member_norms("h")

    class Looking(tg.Cell):
        def step(self, x: Any, state: Any) -> Any:
            return (state.h if bool(state.h.sum() > 0) else x,)

    with pytest.raises(ValueError, match="which an ensemble cannot"):
        tg.unroll(tg.compile([Looking(N, N)], backend="numpy"), X)


def test_members_that_compute_something_else_are_refused() -> None:
    """Only parameters may differ; another attribute would silently be that of the first."""
    relu = tg.compile([tg.cells.RNNCell(N, H, nonlinearity=kind) for kind in ("tanh", "relu")], backend="numpy")
    slower = tg.compile([tg.cells.LeakyCell(N, H, time_constant=tau) for tau in (2.0, 4.0)], backend="numpy")
    for ensemble in (relu, slower):
        with pytest.raises(ValueError, match="cell 1 computes something else than cell 0"):
            tg.unroll(ensemble, X)
    members = [tg.cells.LeakyCell(N, H, time_constant=2.0, seed=seed) for seed in range(3)]
    ensemble = tg.compile(members, backend="numpy")
    tg.unroll(ensemble, X)
    members[2].rate = np.full(H, 0.9)  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="cell 2 computes something else"):
        tg.unroll(ensemble, X)


def test_every_member_starts_from_its_own_state() -> None:
    class Biased(tg.Cell):
        def initial_state(self, batch: int) -> Any:
            return self.State(np.full((batch, H), self.weight.data[0, 0]))

        def __init__(self, seed: int) -> None:
            super().__init__(N, H, seed=seed)
            self.weight = self.parameter("weight", (N, H))

        def step(self, x: Any, state: Any) -> Any:
            return (tg.tanh(x @ self.weight + state.h),)

    members = [Biased(0), Biased(1)]
    run = tg.unroll(tg.compile(members, backend="numpy"), X)
    for k, member in enumerate(members):
        close(tg.unroll(member, X).stacked.data, run.stacked.data[:, k])

"""Watched cells of torch.nn that are called in a loop: a call is a step, and every gradient shown is the total one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import inspector
from tests.marks import slow_unless


def loop(torch: Any, kind: str, between: Callable[..., Any], dtype: Any) -> Any:
    """A model that calls a cell in a loop, does something with the states between, and keeps all that the cell gave."""

    class Loop(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.cell = getattr(torch.nn, kind)(4, 4)
            self.readout = torch.nn.Linear(4, 4)
            self.norm = torch.nn.LayerNorm(4)

        def forward(self, x: Any) -> Any:
            self.states, state, outputs = [], None, []
            for t, row in enumerate(x):
                row, state = between(self, t, row, state)
                state = self.cell(row, state)
                state = state if kind == "LSTMCell" else (state,)
                [value.retain_grad() for value in state]
                self.states.append(state)
                outputs.append(self.readout(state[0]))
                state = state if kind == "LSTMCell" else state[0]
            return torch.stack(outputs)

    torch.manual_seed(0)
    return Loop().to(dtype)


def _first(state: Any) -> Any:
    return state[0] if isinstance(state, tuple) else state


def _with_first(state: Any, h: Any) -> Any:
    return (h, *state[1:]) if isinstance(state, tuple) else h


def plain(model: Any, t: int, row: Any, state: Any) -> Any:
    return row, state


def feeding_back(model: Any, t: int, row: Any, state: Any) -> Any:
    return (row if state is None else row + model.readout(_first(state))), state


def its_own_input(model: Any, t: int, row: Any, state: Any) -> Any:
    return (row if state is None else _first(state)), state


def normalised(model: Any, t: int, row: Any, state: Any) -> Any:
    return row, None if state is None else _with_first(state, model.norm(_first(state)))


def dropping(model: Any, t: int, row: Any, state: Any) -> Any:
    import torch

    return row, None if state is None else _with_first(state, torch.nn.functional.dropout(_first(state), 0.3))


def held(model: Any, t: int, row: Any, state: Any) -> Any:
    if t < 2:
        return row, state
    keep = row.new_tensor([[1.0], [0.0], [1.0]])
    return row, _with_first(state, keep * _first(state) + (1 - keep) * model.states[t - 2][0])


def cut(model: Any, t: int, row: Any, state: Any) -> Any:
    if t != 3:
        return row, state
    return row, tuple(one.detach() for one in state) if isinstance(state, tuple) else state.detach()


@pytest.mark.parametrize("double", slow_unless([False], [True, False]))
@pytest.mark.parametrize("between", [plain, feeding_back, its_own_input, normalised, dropping, held, cut])
@pytest.mark.parametrize("kind", ["RNNCell", "LSTMCell", "GRUCell"])
def test_a_loop_is_one_run(torch: Any, kind: str, between: Callable[..., Any], double: bool) -> None:
    dtype = torch.float64 if double else torch.float32
    model = loop(torch, kind, between, dtype)
    watching = inspector.watch(model)
    (model(torch.randn(6, 3, 4, dtype=dtype))[[2, 5]] ** 2).sum().backward()
    assert watching.names == ("cell",)
    (seen,) = watching.calls("cell")
    assert len(seen.run) == 6
    assert seen.agreement < (1e-13 if double else 1e-5), str(seen)
    trace, close = seen.trace(), 1e-13 if double else 1e-5
    for k, name in enumerate(trace.states):
        theirs = [0.0 if state[k].grad is None else state[k].grad.norm().item() for state in model.states]
        np.testing.assert_allclose(trace.norm(name), theirs, rtol=close, atol=close * max(theirs))


def test_a_gradient_that_comes_from_nowhere_else_is_exactly_none(torch: Any) -> None:
    model = loop(torch, "LSTMCell", plain, torch.float32)
    watching = inspector.watch(model)
    model(torch.randn(6, 3, 4))[4].sum().backward()
    seeds = watching["cell"]._record.seeds
    assert (seeds["h"].any(axis=(1, 2)) == [False] * 4 + [True, False]).all()
    assert not seeds["c"].any()


def test_loops_of_one_cell_in_one_pass_are_kept_apart(torch: Any) -> None:
    torch.manual_seed(0)
    cell = torch.nn.GRUCell(2, 3)
    watching = inspector.watch(cell)
    rows = torch.randn(4, 1, 2)
    left = right = torch.zeros(1, 3)
    for row in rows:
        left, right = cell(row, left), cell(-row, right)
    (left * right).sum().backward()
    calls = watching.calls("")
    assert [len(seen.run) for seen in calls] == [4, 4]
    assert all(seen.agreement < 1e-5 for seen in calls)
    assert not np.allclose(calls[0].trace().norm("h"), calls[1].trace().norm("h"))


def test_a_cell_without_a_batch(torch: Any) -> None:
    cell = torch.nn.LSTMCell(2, 3, dtype=torch.float64)
    watching = inspector.watch(cell)
    state = None
    for row in torch.randn(5, 2, dtype=torch.float64):
        state = cell(row, state)
    state[0].sum().backward()
    assert watching[""].run.outputs[0].shape == (1, 3)
    assert watching[""].agreement < 1e-13


def test_two_cells_above_each_other(torch: Any) -> None:
    torch.manual_seed(0)
    model = torch.nn.ModuleDict({"below": torch.nn.LSTMCell(2, 3), "above": torch.nn.LSTMCell(3, 3)})
    watching = inspector.watch(model)
    low = high = None
    for row in torch.randn(5, 2, 2):
        low = model["below"](row, low)
        high = model["above"](low[0], high)
    high[0].sum().backward()
    assert watching.names == ("below", "above")
    assert all(len(watching[name].run) == 5 and watching[name].agreement < 1e-5 for name in watching.names)

"""What the values of a run are called, and which of them are asked for."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_rnn as tg
from inspector.tracing.lanes import projections
from inspector.tracing.names import (
    cut_set,
    first_reached,
    gates_of,
    is_reversed,
    names_by_id,
    recorded,
    state_values,
    states_of,
    value_at,
)
from tinygrad_rnn.recurrent.unroll import Run

X = np.random.default_rng(0).normal(size=(4, 2, 3))


def run_of(cell: tg.Cell | tg.Stacked | tg.Bidirectional, **options: object) -> tuple[Run, tg.Tensor]:
    run = tg.unroll(cell, X, **options)  # type: ignore[arg-type]
    return run, tg.sum(run.outputs[-1])


LSTM = tg.cells.LSTMCell(3, 4, seed=0)


def test_states_and_gates_go_by_the_path_of_their_layer() -> None:
    stack = tg.Stacked([LSTM, tg.cells.GRUCell(4, 4, seed=1)])
    run, _ = run_of(stack)
    assert states_of(run) == ("layer0/h", "layer0/c", "layer1/h")
    assert gates_of(run) == tuple(f"layer0/{g}" for g in "ifgo") + tuple(f"layer1/{g}" for g in "rzn")
    values = state_values(run)
    assert [value.id for value in values["layer1/h"]] == [state.h.id for state in run.cells[1].states]


def test_a_value_with_several_names_keeps_the_first() -> None:
    run, _ = run_of(LSTM)
    names = names_by_id(run)
    assert names[run.names["f", 2].id] == ("f", 2) and names[run.states[1].c.id] == ("c", 1)
    assert names[run.inputs[3].id] == ("x", 3)


def test_a_parameter_stands_for_the_operations_that_read_it() -> None:
    run, loss = run_of(LSTM)
    found = cut_set(run, loss, ["f", "weight_hh"], "test")
    assert sum(name == "f" for name in found.values()) == len(run)
    readers = [key for key, name in found.items() if name == "weight_hh"]
    by_id = {node.tensor.id: node for node in tg.Graph(loss).nodes if node.tensor is not None}
    assert [by_id[key].op for key in readers] == ["matmul"] * len(run)
    with pytest.raises(KeyError, match=r"test: nothing is called 'q'; there are x, i, f, g, o"):
        cut_set(run, loss, ["q"], "test")


def test_a_value_is_asked_for_by_name_and_timestep() -> None:
    run, _ = run_of(LSTM)
    assert value_at(run, ("h", -1), "test") is run.outputs[-1] and value_at(run, ("c", 0), "test") is run.states[0].c
    with pytest.raises(TypeError, match=r"test: give a value as \(name, timestep\)"):
        value_at(run, "h", "test")  # type: ignore[arg-type]
    with pytest.raises(KeyError, match="there is no 'h' at timestep 4; the run has 4 steps"):
        value_at(run, ("h", 4), "test")


def test_the_gradient_reaches_the_kept_state_last_and_time_may_run_backwards() -> None:
    run, loss = run_of(LSTM)
    assert first_reached(run, loss) == ("c", 0)
    run, loss = run_of(tg.cells.LSTMCell(3, 4, seed=0), reverse=True)
    assert is_reversed(run, "c")
    both, _ = run_of(tg.Bidirectional(LSTM, tg.cells.LSTMCell(3, 4, seed=1)))
    assert not is_reversed(both, "forward/c") and is_reversed(both, "backward/c")


def test_a_compiled_run_is_recorded_anew_and_what_does_not_depend_on_it_is_refused() -> None:
    run, loss = run_of(tg.compile(LSTM, backend="numpy"))
    replayed, again = recorded(run, loss, "test")
    assert replayed.tape is None and run.tape is not None
    np.testing.assert_allclose(again.item(), loss.item())
    same = recorded(replayed, again, "test")
    assert same[0] is replayed and same[1] is again
    with pytest.raises(ValueError, match="test: the loss does not depend on any value of this run"):
        recorded(replayed, tg.tensor(1.0), "test")


def test_lanes_project_onto_their_sum_with_shares_that_add_up_to_one() -> None:
    lanes = np.random.default_rng(0).normal(size=(3, 2, 4))
    total = lanes.sum(axis=0)
    np.testing.assert_allclose(projections(lanes), [np.vdot(lane, total) / np.vdot(total, total) for lane in lanes])
    np.testing.assert_allclose(projections(lanes * 1e-200).sum(), 1.0)
    assert np.isnan(projections(np.zeros((2, 3)))).all()

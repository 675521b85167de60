"""A cell over time: windows, lengths, directions, continuation, names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tests.strategies import FEW, settings_of

every_cell = pytest.mark.parametrize("name", tg.cells.names())


def gradients(cell: tg.Cell, loss: tg.Tensor, *more: tg.Tensor) -> list[Any]:
    return [g.data for g in tg.grad(loss, [*cell.parameters(), *more])]


def weighted(outputs: list[tg.Tensor]) -> tg.Tensor:
    """A loss in which every output has a weight of its own."""
    rng = np.random.default_rng(0)
    return tg.sum(tg.stack(outputs) * rng.uniform(0.5, 1.5, (len(outputs), *outputs[0].shape)))


def same(left: list[Any], right: list[Any]) -> None:
    for a, b in zip(left, right, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


@every_cell
@FEW
@given(data=st.data())
def test_unroll_is_the_loop(name: str, data: st.DataObject) -> None:
    drawn = data.draw(settings_of(name, max_steps=5))
    run = tg.unroll(drawn.cell, drawn.inputs, drawn.state)
    state: Any = drawn.cell.State(*map(tg.tensor, drawn.state))
    outputs = []
    for x in drawn.inputs:
        state = drawn.cell(tg.tensor(x), state)
        outputs.append(state[0])
    same([o.data for o in run.outputs], [o.data for o in outputs])
    same(gradients(drawn.cell, weighted(run.outputs)), gradients(drawn.cell, weighted(outputs)))
    assert len(run) == len(drawn.inputs) == len(run.states)
    np.testing.assert_array_equal(run.stacked.data, np.stack([o.data for o in outputs]))
    assert run.stacked is run.stacked and all(o is s[0] for o, s in zip(run.outputs, run.states, strict=True))


@every_cell
@FEW
@given(data=st.data())
def test_truncation_is_detaching_between_windows(name: str, data: st.DataObject) -> None:
    drawn = data.draw(settings_of(name, max_steps=7))
    window = data.draw(st.integers(1, 8))
    run = tg.unroll(drawn.cell, drawn.inputs, drawn.state, truncate=window)
    state: Any = drawn.cell.State(*map(tg.tensor, drawn.state))
    outputs: list[tg.Tensor] = []
    for start in range(0, len(drawn.inputs), window):
        part = tg.unroll(drawn.cell, drawn.inputs[start : start + window], state)
        outputs += part.outputs
        state = drawn.cell.State(*[s.detach() for s in part.final_state])
    same([o.data for o in run.outputs], [o.data for o in outputs])
    same(gradients(drawn.cell, weighted(run.outputs)), gradients(drawn.cell, weighted(outputs)))


def test_truncation_leaves_its_cuts_in_the_graph() -> None:
    run = tg.unroll(tg.cells.LSTMCell(1, 2, seed=0), np.ones((6, 1, 1)), truncate=2)
    cuts = [n for n in tg.Graph(run.outputs[-1]) if n.op == "stop_gradient"]
    assert [n.timestep for n in cuts] == [2, 2, 4, 4]
    (across,) = tg.grad(tg.sum(run.outputs[5]), run.states[3].c)
    (within,) = tg.grad(tg.sum(run.outputs[5]), run.states[4].c)
    assert not across.data.any() and within.data.any()


@every_cell
@FEW
@given(data=st.data())
def test_reverse_is_flipping_twice(name: str, data: st.DataObject) -> None:
    drawn = data.draw(settings_of(name, max_steps=5))
    window = data.draw(st.one_of(st.none(), st.integers(1, 5)))
    back = tg.unroll(drawn.cell, drawn.inputs, drawn.state, reverse=True, truncate=window)
    flipped = tg.unroll(drawn.cell, drawn.inputs[::-1], drawn.state, truncate=window)
    same([o.data for o in back.outputs], [o.data for o in flipped.outputs[::-1]])
    same([s.data for s in back.final_state], [s.data for s in flipped.final_state])
    same(gradients(drawn.cell, weighted(back.outputs)), gradients(drawn.cell, weighted(flipped.outputs[::-1])))
    assert back.reverse and back.outputs[0].timestep == 0


@every_cell
@FEW
@given(data=st.data())
def test_a_split_run_continued_is_the_whole_run(name: str, data: st.DataObject) -> None:
    drawn = data.draw(settings_of(name, max_steps=6))
    cut = data.draw(st.integers(1, 6))
    if cut >= len(drawn.inputs):
        cut = len(drawn.inputs)
    whole = tg.unroll(drawn.cell, drawn.inputs, drawn.state)
    first = tg.unroll(drawn.cell, drawn.inputs[:cut], drawn.state)
    outputs, last = list(first.outputs), first
    if cut < len(drawn.inputs):
        last = tg.unroll(drawn.cell, drawn.inputs[cut:], first.final_state)
        outputs += last.outputs
    same([o.data for o in whole.outputs], [o.data for o in outputs])
    same([s.data for s in whole.final_state], [s.data for s in last.final_state])
    same(gradients(drawn.cell, weighted(whole.outputs)), gradients(drawn.cell, weighted(outputs)))


@every_cell
@pytest.mark.parametrize("reverse", [False, True])
@FEW
@given(data=st.data())
def test_lengths_are_running_each_sequence_alone(name: str, reverse: bool, data: st.DataObject) -> None:
    drawn = data.draw(settings_of(name, max_steps=4))
    steps, batch, _ = drawn.inputs.shape
    lengths = data.draw(st.lists(st.integers(1, steps), min_size=batch, max_size=batch))
    inputs = drawn.inputs.copy()
    for k, n in enumerate(lengths):
        inputs[n:, k] = 1e3  # padding must not matter, whatever it holds
    padded = tg.unroll(drawn.cell, inputs, drawn.state, lengths=lengths, reverse=reverse)
    alone_loss, rng = 0.0, np.random.default_rng(1)
    weights = rng.uniform(0.5, 1.5, padded.stacked.shape)
    for k, n in enumerate(lengths):
        alone = tg.unroll(drawn.cell, inputs[:n, k : k + 1], [s[k : k + 1] for s in drawn.state], reverse=reverse)
        same([o.data[k] for o in padded.outputs[:n]], [o.data[0] for o in alone.outputs])
        same([s.data[k] for s in padded.final_state], [s.data[0] for s in alone.final_state])
        assert not any(o.data[k].any() for o in padded.outputs[n:]), "zeros at padded positions"
        alone_loss = alone_loss + tg.sum(alone.stacked * weights[:n, k : k + 1])
        alone_loss = alone_loss + sum(tg.sum(s) for s in alone.final_state)
    padded_loss = tg.sum(padded.stacked * weights) + sum(tg.sum(s) for s in padded.final_state)
    same(gradients(drawn.cell, padded_loss), gradients(drawn.cell, alone_loss))


def test_nothing_flows_into_padding() -> None:
    cell = tg.cells.GRUCell(1, 2, seed=0)
    x = tg.tensor(np.ones((4, 2, 1)), requires_grad=True)
    run = tg.unroll(cell, x, lengths=[4, 2])
    tg.sum(run.stacked).backward()
    assert x.grad[:, 0].all() and x.grad[:2, 1].all() and not x.grad[2:, 1].any()


@pytest.mark.parametrize("padding", [np.nan, np.inf, 1e300])
def test_whatever_lies_in_the_padding_reaches_neither_values_nor_gradients(padding: float) -> None:
    cell = tg.cells.LSTMCell(1, 2, seed=0)

    def run_with(value: float) -> list[Any]:
        inputs = np.ones((3, 2, 1))
        inputs[2, 1] = value
        run = tg.unroll(cell, inputs, lengths=np.array([3, 2]))
        values = [run.stacked.data, *[s.data for s in run.final_state]]
        return values + gradients(cell, tg.sum(run.stacked), *run.inputs)

    same(run_with(padding), run_with(0.0))


# ------------------------------------------------------------------------------------ names, scopes


def test_names() -> None:
    run = tg.unroll(tg.cells.LSTMCell(2, 3, seed=0), np.ones((4, 1, 2)))
    assert set(run.names) == {(name, t) for name in ["x", "i", "f", "g", "o", "c", "h"] for t in range(4)}
    for t in range(4):
        assert run.names["h", t] is run.outputs[t] is run.states[t].h
        assert run.names["c", t] is run.states[t].c and run.names["x", t] is run.inputs[t]
        assert run.names["f", t].name == "f" and run.names["f", t].timestep == t
        assert str(run.names["f", t].scope) == f"t={t}"
        np.testing.assert_allclose(
            run.states[t].c.data,
            run.names["f", t].data * (run.states[t - 1].c.data if t else 0.0)
            + run.names["i", t].data * run.names["g", t].data,
        )
    assert repr(run) == "Run(LSTMCell(2, 3), T=4, batch=1)"
    assert [s.name for s in run.initial_state] == ["h_init", "c_init"]


def test_names_do_not_leak_between_runs() -> None:
    cell = tg.cells.RNNCell(1, 1, seed=0)
    first = tg.unroll(cell, np.ones((3, 1, 1)))
    before = dict(first.names)
    second = tg.unroll(cell, np.ones((2, 1, 1)), first.final_state)
    assert first.names == before and len(second.names) == 4
    assert second.names["h", 0] is not first.names["h", 0]


def test_an_unroll_inside_a_scope_keeps_it() -> None:
    with tg.scope("decoder"):
        run = tg.unroll(tg.cells.RNNCell(1, 1, seed=0), np.ones((2, 1, 1)))
    assert run.outputs[1].path == "decoder/t=1/h"


def test_each_timestep_is_one_scope_object() -> None:
    """`parts` tells timesteps apart by their scope object."""
    run = tg.unroll(tg.cells.LSTMCell(1, 1, seed=0), np.ones((3, 1, 1)))
    scopes = {n.scope for n in tg.Graph(run.outputs) if n.op not in ("parameter", "input", "constant")}
    assert sorted(str(s) for s in scopes) == ["t=0", "t=1", "t=2"]


# ------------------------------------------------------------------------------------------- inputs


def test_every_form_of_inputs_gives_the_same() -> None:
    cell = tg.cells.GRUCell(2, 3, seed=0)
    array = np.random.default_rng(0).normal(size=(3, 2, 2))
    expected = tg.unroll(cell, array).stacked.data
    for form in (
        array.tolist(),
        list(array),
        tg.tensor(array),
        [tg.tensor(x) for x in array],
        array.astype(np.float32).astype(float),
    ):
        np.testing.assert_allclose(tg.unroll(cell, form).stacked.data, expected, rtol=1e-6)
    mixed = [array[0], tg.tensor(array[1]), array[2]]
    np.testing.assert_array_equal(tg.unroll(cell, mixed).stacked.data, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("mixed", [False, True])
def test_arrays_are_copied_and_take_the_cells_dtype(dtype: Any, mixed: bool) -> None:
    cell = tg.cells.LSTMCell(1, 2, seed=0, dtype=dtype)
    inputs, state = np.ones((2, 1, 1)), [np.ones((1, 2)), np.ones((1, 2))]
    run = tg.unroll(cell, [inputs[0], tg.tensor(inputs[1], dtype=dtype)] if mixed else inputs, state)
    expected = gradients(cell, weighted(run.outputs))
    inputs[:] = 9.0
    for s in state:
        s[:] = 9.0
    assert {n.dtype for n in tg.Graph(run.outputs)} == {np.dtype(dtype)}
    same(gradients(cell, weighted(run.outputs)), expected)
    np.testing.assert_array_equal(run.initial_state.h.data, 1.0)


def test_gradients_reach_inputs_and_states() -> None:
    cell = tg.cells.GRUCell(2, 2, seed=0)
    x, h = tg.tensor(np.ones((3, 1, 2)), requires_grad=True), tg.tensor(np.ones((1, 2)), requires_grad=True)
    tg.sum(tg.unroll(cell, x, h).outputs[-1]).backward()
    assert x.grad.shape == (3, 1, 2) and x.grad.all() and h.grad.all()


def test_under_no_grad_nothing_is_recorded() -> None:
    cell = tg.cells.LSTMCell(2, 2, seed=0)
    with tg.no_grad():
        run = tg.unroll(cell, np.ones((3, 1, 2)), truncate=2, lengths=[2])
    assert len(tg.Graph(run.outputs)) == 3 and not run.outputs[-1].requires_grad
    assert run.names["f", 1].name == "f"


@pytest.mark.parametrize(
    ("args", "options", "error", "message"),
    [
        (("lstm", np.ones((2, 1, 2))), {}, TypeError, "unroll: cell must be a Cell, Stacked or Bidirectional, got str"),
        (
            (None, np.ones((2, 1, 5))),
            {},
            ValueError,
            r"inputs must be \(T, batch, 2\) with T at least 1, got \(2, 1, 5\)",
        ),
        ((None, np.ones((2, 2))), {}, ValueError, r"got \(2, 2\); add a batch axis with inputs\[:, None, :\]"),
        ((None, np.ones((0, 1, 2))), {}, ValueError, "T at least 1"),
        ((None, np.ones(2)), {}, ValueError, r"got \(2,\)"),
        ((None, []), {}, ValueError, "unroll: inputs must be"),
        ((None, [tg.tensor(np.ones((1, 2))), tg.tensor(np.ones((2, 2)))]), {}, ValueError, "got unequal steps"),
        ((None, [np.ones((1, 2)), np.ones((2, 2))]), {}, ValueError, "inhomogeneous|unequal"),
        ((None, [["a", "b"]]), {}, ValueError, "could not convert"),
        (
            (None, np.ones((2, 1, 2)), [np.zeros((1, 3))]),
            {},
            ValueError,
            r"LSTMCell has states \('h', 'c'\), got 1 value",
        ),
        (
            (None, np.ones((2, 1, 2)), [np.zeros((1, 3)), np.zeros((3,))]),
            {},
            ValueError,
            r"unroll: state c must have shape \(1, 3\), got \(3,\)",
        ),
        ((None, np.ones((2, 1, 2))), {"truncate": 0}, ValueError, "truncate must be a positive number of steps, got 0"),
        (
            (None, np.ones((2, 1, 2))),
            {"truncate": 1.5},
            ValueError,
            "truncate must be a positive number of steps, got 1.5",
        ),
        ((None, np.ones((2, 1, 2))), {"lengths": [1, 2]}, ValueError, "lengths must be 1 integer,"),
        ((None, np.ones((2, 1, 2))), {"lengths": [1.0]}, ValueError, "lengths must be 1 integer,"),
        ((None, np.ones((2, 1, 2))), {"lengths": [3]}, ValueError, r"lengths must lie in 1..2, got 3..3"),
        ((None, np.ones((2, 1, 2))), {"lengths": [0]}, ValueError, r"lengths must lie in 1..2, got 0..0"),
    ],
)
def test_bad_arguments_are_explained(args: Any, options: Any, error: Any, message: str) -> None:
    cell = tg.cells.LSTMCell(2, 3, seed=0) if args[0] is None else args[0]
    with pytest.raises(error, match=message):
        tg.unroll(cell, *args[1:], **options)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_mask_leaves_out_steps_wherever_they_are(reverse: bool, compiled: bool) -> None:
    rng = np.random.default_rng(0)
    cell = tg.cells.LSTMCell(2, 3, seed=0)
    x, state = rng.normal(size=(6, 4, 2)), rng.normal(size=(2, 4, 3))
    mask = np.array([[1, 1, 1, 1, 1, 1], [0, 0, 1, 1, 0, 1], [1, 0, 1, 0, 1, 0], [0, 0, 0, 0, 0, 0]], bool).T
    weights = rng.uniform(0.5, 1.5, (6, 4, 3))
    run = tg.unroll(tg.compile(cell) if compiled else cell, x, tuple(state), mask=mask, reverse=reverse)
    loss = tg.sum(run.stacked * weights) + tg.sum(run.final_state.c)
    alone = tg.tensor(0.0)
    for k, there in enumerate(mask.T):
        start = tuple(s[k : k + 1] for s in state)
        if there.any():
            part = tg.unroll(cell, x[there, k : k + 1], start, reverse=reverse)
            same([o.data[k] for o, on in zip(run.outputs, there, strict=True) if on], [o.data[0] for o in part.outputs])
            alone = alone + tg.sum(part.stacked * weights[there, k : k + 1])
            start = part.final_state
        alone = alone + tg.sum(start[1])
        assert not any(o.data[k].any() for o, on in zip(run.outputs, there, strict=True) if not on)
    same([loss.data], [alone.data])
    same(gradients(cell, loss), gradients(cell, alone))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mask": np.ones((4, 2), bool), "lengths": [1, 1]}, "not both"),
        ({"mask": np.ones((2, 4), bool)}, r"\(4, 2\) truth values, got \(2, 4\) bool"),
        ({"mask": np.ones((4, 2))}, "float64"),
    ],
)
def test_a_mask_has_to_fit(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tg.unroll(tg.cells.RNNCell(1, 1), np.zeros((4, 2, 1)), **options)

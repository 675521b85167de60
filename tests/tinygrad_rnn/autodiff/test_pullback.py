"""The short loop for gradients gives what the sweep gives, bit for bit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tests.random_cells import runs
from tests.strategies import FEW, Program, programs
from tinygrad_rnn.autodiff import pullback
from tinygrad_rnn.autodiff.ancestry import ancestors
from tinygrad_rnn.autodiff.cotangent import dense
from tinygrad_rnn.autodiff.pullback import pull_back
from tinygrad_rnn.autodiff.sweep import Recurrent, sweep


def expect_the_same(output: tg.Tensor, wanted: Sequence[tg.Tensor], asked: Sequence[tg.Tensor] | None) -> None:
    """What the loop finds at `asked` is what the sweep finds at `wanted`, no node more or less, newest first."""
    seed = np.full(output.shape, 1.5, output.dtype)
    keys = {node.id for node in wanted}
    expected = [(node.id, dense(total)) for node, total, _ in sweep([output], [seed], wanted) if node.id in keys]
    found = [(node.id, dense(total)) for node, total in pull_back(output, seed, asked)]
    assert [key for key, _ in found] == [key for key, _ in expected]
    for (_, ours), (_, theirs) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs, strict=True)


@given(st.data(), programs(), st.booleans())
def test_at_any_values_of_any_expression(data: Any, program: Program, several: bool) -> None:
    leaves = program.leaves()
    for leaf in leaves[1:]:
        leaf.requires_grad = data.draw(st.booleans())
    trace = program.trace(*leaves)
    output = program.total(trace)
    if several:
        output = output + program.total(program.trace(*leaves)) * program.total(trace)
    if data.draw(st.booleans()):  # a leaf may ask late, or no longer
        leaves[-1].requires_grad = not leaves[-1].requires_grad
    wanted = data.draw(st.lists(st.sampled_from(ancestors([output])), unique_by=id, max_size=6))
    if data.draw(st.booleans()):
        wanted = [*{node.id: node for node in [*wanted, *leaves]}.values()]
    expect_the_same(output, wanted, wanted)
    expect_the_same(output, [leaf for leaf in leaves if leaf.requires_grad], None)


@FEW
@given(runs(), st.booleans())
def test_at_the_states_and_parameters_of_any_cell(run: Any, with_parameters: bool) -> None:
    states = [value for state in run.states for value in state]
    loss = tg.sum(sum(output * output for output in run.outputs))
    parameters = run.cell.parameters() if with_parameters else []
    expect_the_same(loss, [*parameters, *states], [*parameters, *states])
    if loss.requires_grad:
        expect_the_same(loss, run.cell.parameters(), None)


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_at_the_states_of_a_padded_batch_and_of_a_run_that_is_one_node(compiled: bool) -> None:
    cell: Any = tg.compile(tg.cells.RNNCell(9, 8, seed=0)) if compiled else tg.cells.LSTMCell(9, 8, seed=0)
    run = tg.unroll(cell, np.random.default_rng(0).normal(size=(5, 2, 9)), lengths=[3, 5])
    loss = tg.sum(run.stacked * run.stacked)
    states = [value for state in run.states for value in state]
    for wanted in (cell.parameters(), [*cell.parameters(), *states], states):
        expect_the_same(loss, wanted, wanted)
    expect_the_same(loss, cell.parameters(), None)
    assert compiled == any(isinstance(node.op, Recurrent) for node in ancestors([loss]))


@pytest.mark.parametrize("options", [{}, {"lengths": [3, 5]}, {"reverse": True, "truncate": 2}], ids=str)
@pytest.mark.parametrize("checkpoint", [None, 2])
def test_at_what_lies_inside_compiled_runs(options: Any, checkpoint: Any) -> None:
    cell = tg.compile(tg.cells.LSTMCell(3, 4, seed=0), backend="numpy", checkpoint=checkpoint)
    x = np.random.default_rng(0).normal(size=(5, 2, 3))
    first = tg.unroll(cell, x, **options)
    second = tg.unroll(cell, x, first.final_state)
    loss = tg.sum(second.outputs[-1] * first.outputs[2] + second.states[1].c)
    gates = [run.names[name, t] for run in (first, second) for name in ("f", "c") for t in (0, 2, 4)]
    tapes = [run.tape for run in (first, second) if checkpoint is None]
    for wanted in (gates, [*gates, *cell.parameters()], [second.outputs[-1]], [*tapes, first.outputs[2]]):
        expect_the_same(loss, wanted, wanted)
    for unread in (second.states[3].h, tg.unroll(cell, x).states[0].h):
        expect_the_same(loss, [unread, *cell.parameters()], [unread, *cell.parameters()])
    rows = [first.inputs[1], first.states[0].h]
    expect_the_same(loss, rows, rows)


def test_an_operand_without_a_rule_passes_nothing_on() -> None:
    x = tg.tensor([0.5, 2.0], requires_grad=True)
    chosen = tg.where(x, x * 2.0, tg.floor(x))
    expect_the_same(tg.sum(chosen * x), [x, chosen], [x, chosen])
    expect_the_same(tg.sum(chosen * x), [x], None)
    second = tg.Primitive(_second, (None, lambda g, z, x, y: 2.0 * g))(x, x * x)
    expect_the_same(tg.sum(second), [x, second], [x, second])
    steps = tg.floor(x)
    expect_the_same(tg.sum(steps * x), [steps], [steps])


def test_a_rule_of_the_wrong_shape_is_found() -> None:
    op = tg.Primitive(_negated, (lambda g, y, x: -g.T,))
    x = tg.tensor(np.ones((2, 3)), requires_grad=True)
    with pytest.raises(AssertionError, match=r"_negated for operand 0 returned shape \(3, 2\), .* \(2, 3\)"):
        tg.sum(op(x)).backward()


def _negated(x: Any) -> Any:
    return -x


def _second(x: Any, y: Any) -> Any:
    return 2.0 * y


def test_no_rule_runs_that_leads_to_nothing_that_is_wanted() -> None:
    def fail(*_: Any) -> Any:
        raise AssertionError("nobody asked")

    weight, x = tg.tensor([2.0, 3.0], requires_grad=True), tg.tensor([1.0, 4.0], requires_grad=True)
    scaled = tg.Primitive(_second, (fail, lambda g, z, w, x: 2.0 * g))(tg.tanh(weight), x)
    (gradient,) = tg.grad(tg.sum(scaled * x), [x])
    np.testing.assert_array_equal(gradient.data, 4.0 * x.data)


def test_training_and_gradients_by_states_do_without_the_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pullback, "sweep", None)
    run = tg.unroll(tg.cells.GRUCell(2, 3, seed=0), np.ones((4, 2, 2)))
    loss = tg.sum(run.outputs[-1])
    tg.grad(loss, [state.h for state in run.states])
    tg.grad(loss, run.cell.parameters())
    loss.backward()

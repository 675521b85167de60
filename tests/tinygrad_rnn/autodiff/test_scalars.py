"""The same computation as one node a scalar operation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tests.strategies import FEW, Program, calls, programs, settings_of

NOT_NUMBERS = {"astype"}
"""Changing a dtype means nothing for scalar operations on numbers."""

LOWERED = sorted(name for name, op in tg.PRIMITIVES.items() if op.differentiable and name not in NOT_NUMBERS)


def agree(outputs: list[tg.Tensor], leaves: list[tg.Tensor]) -> tg.Graph:
    """The scalar graph has 0-d nodes only, the same values and the same gradients."""
    graph = tg.Graph(outputs)
    scalars = graph.to_scalars()
    assert all(node.shape == () for node in scalars)
    flat = np.concatenate([o.data.reshape(-1) for o in outputs])
    np.testing.assert_allclose([o.item() for o in scalars.outputs], flat, rtol=1e-12, atol=1e-12)
    if not flat.size:
        return scalars
    weights = 1.0 + np.arange(flat.size) / flat.size
    parts = np.split(weights, np.cumsum([o.size for o in outputs])[:-1])
    whole: Any = 0.0
    for output, part in zip(outputs, parts, strict=True):
        whole = whole + tg.sum(output * part.reshape(output.shape))
    total: Any = 0.0
    for output, weight in zip(scalars.outputs, weights, strict=True):
        total = total + output * weight
    expected = tg.grad(whole, leaves)
    cells = {node.name: node.tensor for node in scalars if node.is_leaf and node.name}
    for leaf, gradient in zip(leaves, expected, strict=True):
        for index in np.ndindex(*leaf.shape):
            cell = cells.get(f"{leaf.name}[{', '.join(map(str, index))}]" if index else leaf.name)
            found = 0.0 if cell is None else tg.grad(total, cell)[0].item()
            np.testing.assert_allclose(found, gradient.data[index], rtol=1e-9, atol=1e-10)
    return scalars


@pytest.mark.parametrize("name", LOWERED)
@FEW
@given(data=st.data())
def test_every_primitive(name: str, data: st.DataObject) -> None:
    call = data.draw(calls(name))
    leaves = [tg.tensor(x, requires_grad=True, name=f"x{k}") for k, x in enumerate(call.smooth_operands)]
    agree([call.of_smooth(*leaves)], leaves)


@FEW
@given(programs(max_steps=4))
def test_random_expressions(program: Program) -> None:
    leaves = program.leaves()
    agree([program(*leaves)], leaves)


@pytest.mark.parametrize("name", tg.cells.names())
@FEW
@given(data=st.data())
def test_every_cell(name: str, data: st.DataObject) -> None:
    drawn = data.draw(settings_of(name, max_steps=2))
    run = tg.unroll(drawn.cell, drawn.inputs, drawn.state)
    agree([run.outputs[-1]], drawn.cell.parameters())


def test_a_scalar_graph_runs_again() -> None:
    w = tg.tensor([[1.0, 2.0]], requires_grad=True, name="w")
    scalars = tg.Graph(tg.tanh(w @ np.array([0.5, -0.5]))).to_scalars()
    (out,) = scalars.run({"w[0, 1]": 1.0})
    assert out.item() == 0.0
    assert {"w[0, 0]", "w[0, 1]"} <= {n.name for n in scalars}
    assert {n.op for n in scalars} == {"parameter", "constant", "multiply", "add", "tanh"}


def test_names_scopes_and_outputs_are_kept() -> None:
    run = tg.unroll(tg.cells.RNNCell(1, 2, seed=0), np.ones((2, 1, 1)))
    scalars = tg.Graph(run.outputs).to_scalars()
    assert [o.path for o in scalars.outputs] == ["t=0/h[0, 0]", "t=0/h[0, 1]", "t=1/h[0, 0]", "t=1/h[0, 1]"]


def test_float32_stays_float32() -> None:
    run = tg.unroll(tg.cells.LSTMCell(1, 2, seed=0, dtype=np.float32), np.ones((2, 1, 1)))
    scalars = tg.Graph(run.outputs[-1]).to_scalars()
    assert {node.dtype for node in scalars} == {np.dtype(np.float32)}
    np.testing.assert_allclose([o.item() for o in scalars.outputs], run.outputs[-1].data[0], rtol=1e-5)


def test_an_output_that_is_a_leaf_or_a_constant() -> None:
    x = tg.tensor([1.0, 2.0], name="x")
    scalars = tg.Graph([x, tg.where(np.array([True, False]), x, 5.0)]).to_scalars()
    assert [o.item() for o in scalars.outputs] == [1.0, 2.0, 1.0, 5.0]


def test_too_large_a_graph_is_refused() -> None:
    a = tg.tensor(np.ones((40, 40)), name="a")
    with pytest.raises(ValueError, match=r"to_scalars: more than 1000 scalar operations \(at a"):
        tg.Graph(a @ a).to_scalars(limit=1000)
    with pytest.raises(ValueError, match="more than 100000 scalar operations"):
        tg.Graph(a @ a).to_scalars()


def test_a_hundred_thousand_scalars_are_the_limit_unless_another_is_given() -> None:
    def first_of(count: int) -> tg.Graph:
        return tg.Graph(tg.broadcast_to(tg.tensor(2.0), (count,))[0])

    assert first_of(99_998).to_scalars().outputs[0].item() == 2.0
    with pytest.raises(ValueError, match="more than 100000 scalar operations"):
        first_of(99_999).to_scalars()

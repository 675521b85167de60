"""The trace is the gradient: of every name, at every timestep, and in every timestep's share of a weight."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import inspector
import tinygrad_rnn as tg
from inspector.picture.compose import picture
from inspector.tracing.trace import GradientTrace, norm_of
from inspector.tracing.values import recorded_values
from tests.random_cells import runs
from tests.strategies import FEW
from tinygrad_rnn.autodiff.cotangent import Product, Scatter
from tinygrad_rnn.recurrent.unroll import Run

X = np.random.default_rng(0).normal(size=(4, 2, 3))


def cell(name: str, seed: int = 0, inputs: int = 3) -> tg.Cell:
    return tg.cells.get(name)(inputs, 4, seed=seed)


RUNS = {
    **{name: tg.unroll(cell(name), X) for name in tg.cells.names()},
    "masked": tg.unroll(cell("lstm"), X, lengths=[4, 2]),
    "reversed": tg.unroll(cell("gru"), X, reverse=True),
    "truncated": tg.unroll(cell("lstm"), X, truncate=2),
    "stacked": tg.unroll(tg.Stacked(cell("lstm"), cell("gru", 1, 4)), X),
    "directions": tg.unroll(tg.Bidirectional(cell("lstm"), cell("rnn", 1)), X),
    "one tensor": tg.unroll(cell("lstm"), tg.tensor(X)),
}


def traced(run: Run) -> tuple[GradientTrace, tg.Tensor]:
    weights = np.random.default_rng(1).normal(size=run.stacked.shape)
    loss = (run.stacked * weights).sum()
    return inspector.trace(run, loss), loss


@pytest.mark.parametrize("kind", RUNS)
def test_every_gradient_is_that_of_grad(kind: str) -> None:
    run = RUNS[kind]
    trace, loss = traced(run)
    for (name, t), value in run.names.items():
        (expected,) = tg.grad(loss, value)
        np.testing.assert_array_equal(trace.gradient(name, t), expected.data)
        assert trace.norm(name)[t] == pytest.approx(np.linalg.norm(expected.data), rel=1e-12)


@pytest.mark.parametrize("kind", RUNS)
def test_shares_of_the_timesteps_add_up_to_the_whole_gradient(kind: str) -> None:
    run = RUNS[kind]
    trace, loss = traced(run)
    parameters = dict(run.cell.named_parameters())
    assert trace.parameters == tuple(parameters)
    for name, (parameter, whole) in zip(
        parameters, zip(parameters.values(), tg.grad(loss, list(parameters.values())), strict=True), strict=True
    ):
        shares = [trace.parameter_gradient(name, t) for t in range(trace.steps)]
        assert shares[0].shape == parameter.shape
        np.testing.assert_allclose(sum(shares), whole.data, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(trace.parameter_gradient(name), whole.data, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(
            trace.parameter_norm(name), [np.linalg.norm(s) for s in shares], rtol=1e-10, atol=1e-14
        )


@FEW
@given(run=runs())
def test_shares_add_up_in_a_cell_nobody_has_traced_yet(run: Run) -> None:
    loss = run.stacked.sum()
    trace = inspector.trace(run, loss)
    for name, parameter in run.cell.named_parameters():
        (whole,) = tg.grad(loss, parameter)
        shares = sum(trace.parameter_gradient(name, t) for t in range(trace.steps))
        np.testing.assert_allclose(shares, whole.data, rtol=1e-9, atol=1e-9 * (1 + np.abs(whole.data).max()))


def test_a_share_is_what_the_weight_of_that_one_timestep_would_get() -> None:
    """The same weights as separate leaves at one timestep give that timestep's share as a plain gradient."""
    run = RUNS["lstm"]
    trace, loss = traced(run)
    graph = tg.Graph(loss)
    own = tg.tensor(run.cell.weight_hh.data, requires_grad=True)
    transposed = [n for n in graph.nodes if n.op == "transpose" and n.timestep == 2 and n.shape == (4, 16)]
    (node,) = transposed
    replay = graph.run({node: own.T})
    (share,) = tg.grad(replay, own)
    np.testing.assert_allclose(trace.parameter_gradient("weight_hh", 2), share.data, rtol=1e-12)


@pytest.mark.parametrize("name", ["f", "z_f", "c", "h", "x", "z_g", "o"])
def test_gradients_agree_with_finite_differences_through_the_graph(name: str) -> None:
    run = RUNS["lstm"]
    trace, loss = traced(run)
    graph = tg.Graph(loss)
    value = recorded_values(trace.run)[name, 1]
    node, step = graph.find(value), 1e-6
    for index in [(0, 0), (1, 2)]:
        moved = []
        for sign in (1, -1):
            array = np.array(value.data)
            array[index] += sign * step
            moved.append(graph.run({node: array}).item())
        assert trace.gradient(name, 1)[index] == pytest.approx((moved[0] - moved[1]) / (2 * step), rel=1e-5, abs=1e-8)


class Diagonal(tg.Cell):
    """h' = λ h + x, whose gradient is known in closed form."""

    def __init__(self, rate: float) -> None:
        super().__init__(1, 1, seed=0)
        self.rate = rate

    def step(self, x: object, state: tuple[object, ...]) -> tuple[object]:
        return (self.rate * state[0] + x,)


@given(rate=st.floats(0.25, 2.0), steps=st.integers(1, 30))
def test_the_decay_of_a_linear_state_is_its_power(rate: float, steps: int) -> None:
    run = tg.unroll(Diagonal(rate), np.zeros((steps, 1, 1)))
    trace = inspector.trace(run, run.outputs[-1].sum())
    np.testing.assert_allclose(trace.norm("h"), rate ** np.arange(steps - 1, -1, -1.0), rtol=1e-12)
    if steps > 1:
        assert inspector.decay_rate(trace.norm("h")).factor == pytest.approx(rate, rel=1e-9)


def test_what_the_loss_does_not_depend_on_is_exactly_zero() -> None:
    run = RUNS["lstm"]
    trace = inspector.trace(run, run.outputs[1].sum())
    assert (trace.norm("h")[2:] == 0).all() and (trace.norm("h")[:2] > 0).all()
    assert not trace.gradient("f", 3).any()
    cut = inspector.trace(RUNS["truncated"], RUNS["truncated"].outputs[-1].sum())
    assert (cut.norm("c")[:2] == 0).all()


def test_norms_cover_exactly_the_nodes_and_edges_that_the_loss_depends_on() -> None:
    run = RUNS["gru"]
    trace, loss = traced(run)
    graph = tg.Graph(loss)
    tensors = {n.tensor.id for n in graph.nodes if n.tensor is not None}
    edges = {
        (graph.nodes[e.target].tensor.id, e.operand)  # type: ignore[union-attr]
        for e in graph.edges
        if graph.nodes[e.source].tensor is not None and not e.cut
    }
    assert set(trace.node_norms) == tensors
    assert set(trace.edge_norms) == edges


@given(n=st.integers(1, 6), p=st.integers(1, 6), q=st.integers(1, 6), seed=st.integers(0, 99))
def test_norms_of_factored_cotangents_are_those_of_their_arrays(n: int, p: int, q: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    product = Product(rng.normal(size=(n, p)), rng.normal(size=(n, q)))
    assert norm_of(product) == pytest.approx(np.linalg.norm(product.dense()), rel=1e-9, abs=1e-12)
    for index in ((slice(0, 1),), (np.array([0, 0, n - 1]),)):
        scatter = Scatter(rng.normal(size=np.zeros((n, p))[index].shape), index, (n, p))
        assert norm_of(scatter) == pytest.approx(np.linalg.norm(scatter.dense()), rel=1e-12)


def test_names_of_preactivations_states_and_layers() -> None:
    assert set(inspector.trace(RUNS["lstm"], RUNS["lstm"].outputs[-1].sum()).names) == {
        "x",
        "i",
        "f",
        "g",
        "o",
        "c",
        "h",
        "z_i",
        "z_f",
        "z_g",
        "z_o",
    }
    stacked = traced(RUNS["stacked"])[0].names
    assert {"x", "layer0/f", "layer0/z_f", "layer1/r", "layer1/z_r", "layer1/h"} <= set(stacked)
    assert {"forward/c", "backward/h", "backward/z_h"} <= set(traced(RUNS["directions"])[0].names)


def test_a_name_missing_at_some_timesteps_is_not_a_number_there() -> None:
    class Sometimes(Diagonal):
        def step(self, x: object, state: tuple[object, ...]) -> tuple[object]:
            h = self.rate * state[0] + x
            return (tg.named(late=tg.tanh(h)) if h.data.item() > 1.5 else h,)

    run = tg.unroll(Sometimes(1.0), np.ones((4, 1, 1)))
    trace = inspector.trace(run, run.outputs[-1].sum())
    norms = trace.norm("late")
    assert math.isnan(norms[0]) and norms[1] > 0
    rows = {(kind, name, t) for kind, name, t, _ in trace.records()[1]}
    assert {(name, t) for kind, name, t in rows if kind == "value"} == {
        (name, t) for name in trace.names for t in range(4) if trace.has(name, t)
    }
    assert ("value", "late", 0) not in rows


def test_csv_and_dict_hold_the_norms(tmp_path: Path) -> None:
    trace, _ = traced(RUNS["stacked"])
    path = trace.to_csv(tmp_path / "norms.csv")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for name in trace.names:
        found = [float(row["norm"]) for row in rows if row["name"] == name and row["kind"] == "value"]
        np.testing.assert_array_equal(found, trace.norm(name))
    for name in trace.parameters:
        found = [float(row["norm"]) for row in rows if row["name"] == name and row["kind"] == "parameter"]
        np.testing.assert_array_equal(found, trace.parameter_norm(name))
    exported = json.loads(json.dumps(trace.to_dict()))
    assert exported["norms"]["layer0/c"] == list(trace.norm("layer0/c"))
    assert exported["parameters"]["bias_ih_l1"] == list(trace.parameter_norm("bias_ih_l1"))
    assert exported["steps"] == 4 and exported["initialisation"] == "pytorch"


def test_gradients_handed_out_can_be_changed_without_harm() -> None:
    trace, _ = traced(RUNS["rnn"])
    before = trace.norm("h")
    trace.gradient("h", 0)[:] = 7
    np.testing.assert_array_equal(trace.gradient("h", 0), trace.gradient("h", -4))
    np.testing.assert_array_equal(trace.norm("h"), before)


def test_bad_arguments_are_named() -> None:
    run = RUNS["lstm"]
    trace, loss = traced(run)
    with pytest.raises(TypeError, match="what unroll returned"):
        inspector.trace("run", loss)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="loss must be a Tensor"):
        inspector.trace(run, 3.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"single number.*\(2, 4\)"):
        inspector.trace(run, run.outputs[-1])
    with pytest.raises(ValueError, match="does not depend on any value"):
        inspector.trace(run, tg.tensor(1.0) * 2.0)
    with pytest.raises(KeyError, match="z_f"):
        trace.norm("q")
    with pytest.raises(KeyError, match="weight_ih"):
        trace.parameter_norm("f")
    with pytest.raises(IndexError, match=r"0\.\.3"):
        trace.gradient("f", 4)


def test_shares_are_those_of_this_run_when_another_uses_the_same_weights() -> None:
    shared, rng = cell("lstm"), np.random.default_rng(2)
    first = tg.unroll(shared, rng.normal(size=(3, 2, 3)))
    second = tg.unroll(shared, rng.normal(size=(3, 2, 3)), first.final_state)
    loss = (second.outputs[-1] ** 2).sum()
    one, two = inspector.trace(first, loss), inspector.trace(second, loss)
    (whole,) = tg.grad(loss, shared.weight_hh)
    parts = [trace.parameter_gradient("weight_hh", t) for trace in (one, two) for t in range(3)]
    np.testing.assert_allclose(sum(parts), whole.data, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(one.parameter_gradient("weight_hh"), whole.data, rtol=1e-12)
    cut = tg.unroll(shared, [x.data for x in second.inputs], [v.detach() for v in first.final_state])
    alone = inspector.trace(cut, (cut.outputs[-1] ** 2).sum())
    np.testing.assert_allclose(two.parameter_norm("weight_hh"), alone.parameter_norm("weight_hh"), rtol=1e-10)


@pytest.mark.parametrize("compiled", [(True, False), (False, True), (True, True)])
def test_a_stack_that_is_compiled_in_part_is_drawn_and_measured_like_one_that_is_not(
    compiled: tuple[bool, bool],
) -> None:
    x = np.random.default_rng(0).normal(size=(4, 2, 3))
    cells = tg.cells.LSTMCell(3, 4, seed=0), tg.cells.GRUCell(4, 4, seed=1)
    layers = [tg.compile(cell) if hurry else cell for cell, hurry in zip(cells, compiled, strict=True)]
    pictures = []
    for run in (tg.unroll(tg.Stacked(*cells), x), tg.unroll(tg.Stacked(*layers), x)):
        drawing = picture(run, level="cell", trace=inspector.trace(run, (run.stacked**2).sum()))
        pictures.append(
            {line.id: (line.grade, line.norm) for line in drawing.lines if not line.id.startswith("legend")}
        )
    assert pictures[0].keys() == pictures[1].keys()
    for key, (grade, norm) in pictures[0].items():
        assert pictures[1][key] == (grade, norm if norm is None else pytest.approx(norm, rel=1e-9))


def test_a_compiled_layer_that_the_loss_does_not_read_has_gradients_of_zero() -> None:
    stack = tg.Stacked(
        tg.compile(tg.cells.LSTMCell(3, 4, seed=0), backend="numpy"),
        tg.compile(tg.cells.GRUCell(4, 2, seed=1), backend="numpy"),
    )
    run = tg.unroll(stack, np.random.default_rng(0).normal(size=(5, 2, 3)))
    found = inspector.trace(run, (run.children["layer0"].outputs[3] ** 2).sum())
    assert {"layer1/h", "layer1/z", "layer1/z_z"} <= set(found.names)
    assert (
        not found.norm("layer1/h").any()
        and found.gradient("layer1/z", 2).shape == (2, 2)
        and found.norm("layer0/h")[:4].all()
    )

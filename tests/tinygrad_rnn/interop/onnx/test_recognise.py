"""Loops that were exported unrolled are found, run as cells, and change no number."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import inspector
import tinygrad_rnn as tg

onnx = pytest.importorskip("onnx", reason="the files are ONNX")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from tinygrad_rnn.interop.onnx import build  # noqa: E402
from tinygrad_rnn.interop.onnx.ops import control  # noqa: E402

H, BATCH = 3, 2


class Unroller:
    """Writes the nodes of a loop one step after the other."""

    def __init__(self, rng):
        self.rng, self.nodes, self.weights = rng, [], {}

    def add(self, kind, *inputs, outputs=1, **attributes):
        name = f"v{len(self.nodes)}"
        names = [name] if outputs == 1 else [f"{name}_{k}" for k in range(outputs)]
        self.nodes.append(helper.make_node(kind, inputs, names, **attributes))
        return names[0] if outputs == 1 else names

    def weight(self, name, *shape):
        self.weights.setdefault(name, self.rng.normal(size=shape) * 0.5)
        return name

    def constant(self, value):
        name = f"k{len(self.weights)}"
        self.weights[name] = np.asarray(value)
        return name

    def file(self, inputs, outputs):
        graph = helper.make_graph(
            self.nodes,
            "g",
            [helper.make_tensor_value_info(name, TensorProto.DOUBLE, shape) for name, shape in inputs.items()],
            [helper.make_tensor_value_info(name, TensorProto.DOUBLE, None) for name in outputs],
            [numpy_helper.from_array(value, name) for name, value in self.weights.items()],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@st.composite
def steps(draw):
    """Of a cell at random: the operations of a step, on values that are numbered from x and the states on."""
    states = draw(st.integers(1, 3))
    kinds = st.sampled_from(["Gemm", "Both", "Add", "Mul", "Sub", "Sigmoid", "Tanh", "Split", "Relu", "Neg"])
    listed = [("Gemm", 1, 0)]  # of the first state, so that something of a step depends on the one before
    for k in range(draw(st.integers(2, 7))):
        listed.append((draw(kinds), draw(st.integers(0, states + k)), draw(st.integers(0, states + k))))
    count = len(listed)
    handed = [states + 1 + count - 1 - draw(st.integers(0, min(2, count - 1))) for _ in range(states)]
    return states, listed, handed


def step_of(to, x, states, listed, handed):
    values = [x, *states]
    for number, (kind, a, b) in enumerate(listed):
        a, b = values[a], values[b]
        if kind == "Gemm":
            w = to.weight(f"w{number}", H, H)
            values.append(to.add("Gemm", a, w, to.weight(f"b{number}", H), transB=1))
        elif kind == "Both":
            both = to.add("Concat", a, b, axis=1)
            values.append(to.add("MatMul", both, to.weight(f"w{number}", 2 * H, H)))
        elif kind == "Split":
            wide = to.add("MatMul", a, to.weight(f"w{number}", H, 2 * H))
            first, second = to.add("Split", wide, axis=1, outputs=2)
            values.append(to.add("Mul", first, to.add("Sigmoid", second)))
        elif kind in ("Add", "Mul", "Sub"):
            values.append(to.add(kind, a, b))
        else:
            values.append(to.add(kind, a))
    return [values[k] for k in handed]


def unrolled(cell, length, seed, backwards=False, cut=False, shown=1):
    """A model of a loop over x (T, batch, H)."""
    count, listed, handed = cell
    to = Unroller(np.random.default_rng(seed))
    states = [f"s{k}" for k in range(count)]
    order = range(length)[:: -1 if backwards else 1]
    if cut:
        parts = to.add("Split", "x", axis=0, outputs=length)
        axis = to.constant([0])
        xs = [to.add("Squeeze", part, axis) for part in parts]
    else:
        xs = [to.add("Gather", "x", to.constant(t), axis=0) for t in range(length)]
    values, collected = list(states), []
    for t in order:
        values = step_of(to, xs[t], values, listed, handed)
        collected.append(values[0])
    ends = [to.add("Neg", name) for name in (*values, *collected[:shown])]
    return to, {"x": (length, BATCH, H), **dict.fromkeys(states, (BATCH, H))}, ends


def compared(model, inputs, seed=1):
    """That outputs and all gradients are those of the nodes one by one; the call."""
    file = model.SerializeToString()
    calls, gradients = [], []
    for is_plain in (False, True):
        rng = np.random.default_rng(seed)
        leaves = {name: tg.tensor(rng.normal(size=shape), requires_grad=True) for name, shape in inputs.items()}
        with pytest.MonkeyPatch.context() as patch:
            if is_plain:
                patch.setattr(build, "recognised", lambda graph, *rest: graph)
                patch.setattr(control, "over_time", lambda *args: None)
            loaded = tg.load_onnx(file)
            call = loaded(**leaves)
        total = sum((tg.sum(tg.sin(value)) for value in call.values()), tg.tensor(0.0))
        total.backward()
        gradients.append({name: leaf.grad for name, leaf in (*leaves.items(), *loaded.named_parameters())})
        calls.append(call)
    assert not calls[1].runs
    for found, wanted in zip(calls[0].values(), calls[1].values(), strict=True):
        np.testing.assert_allclose(found.data, wanted.data, rtol=1e-12, atol=1e-12)
    for name, wanted in gradients[1].items():
        found, wanted = (0.0 if grad is None else grad for grad in (gradients[0][name], wanted))
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12, err_msg=name)
    return calls[0]


@given(steps(), st.integers(3, 5), st.booleans(), st.booleans(), st.integers(0, 99))
def test_any_cell_unrolled_gives_the_same_numbers(cell, length, backwards, cut, seed):
    to, inputs, ends = unrolled(cell, length, seed, backwards, cut, shown=seed % 3)
    call = compared(to.file(inputs, ends), inputs)
    for run in call.runs.values():
        assert len(run) <= length


@given(steps(), st.integers(0, 99), st.data())
def test_a_step_that_differs_is_never_taken_for_one_of_the_loop(cell, seed, data):
    to, inputs, ends = unrolled(cell, 4, seed)
    node = to.nodes[data.draw(st.sampled_from(range(len(to.nodes))))]
    if node.op_type in ("Sigmoid", "Tanh", "Relu", "Neg"):
        node.op_type = data.draw(st.sampled_from(["Sigmoid", "Tanh", "Relu", "Neg", "Identity"]))
    elif node.op_type in ("Add", "Mul", "Sub"):
        node.op_type = data.draw(st.sampled_from(["Add", "Mul", "Sub"]))
        node.input[0] = data.draw(st.sampled_from([*node.input, "s0"]))
    elif node.op_type in ("Gemm", "MatMul"):
        to.weights["other"] = np.random.default_rng(seed).normal(size=to.weights[node.input[1]].shape)
        node.input[1] = "other"
    elif node.op_type == "Gather":
        to.weights["place"] = np.array(data.draw(st.integers(0, 3)))
        node.input[1] = "place"
    compared(to.file(inputs, ends), inputs)


LSTM_LIKE = (2, [("Gemm", 1, 0), ("Both", 0, 1), ("Sigmoid", 4, 0), ("Tanh", 3, 0), ("Mul", 5, 2), ("Add", 7, 6),
                 ("Tanh", 8, 0), ("Mul", 9, 5)], [10, 8])  # fmt: skip


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("cut", [False, True])
def test_the_whole_loop_is_one_run_over_the_sequence_itself(backwards, cut):
    to, inputs, ends = unrolled(LSTM_LIKE, 5, 0, backwards, cut, shown=5)
    call = compared(to.file(inputs, ends), inputs)
    (run,) = call.runs.values()
    assert len(run) == 5 and run.reverse == backwards and len(run.cell.state_names) == 2
    kinds = {name for name, _ in run.cell.named_parameters()}
    assert kinds == {name for name, value in to.weights.items() if value.dtype.kind == "f"}
    loss = tg.sum(tg.square(call[ends[0]]))
    assert str(inspector.diagnose(run, loss))
    assert "<svg" in inspector.draw(run).svg
    x = np.stack([step.data for step in run.inputs])
    fast = tg.unroll(tg.compile(run.cell), x, run.initial_state, reverse=backwards)
    np.testing.assert_allclose(fast.stacked.data, run.stacked.data, atol=1e-12)


def test_a_step_that_is_given_what_another_computes_is_no_loop():
    to = Unroller(np.random.default_rng(0))
    w, v, b = to.weight("w", H, H), to.weight("v", H, H), to.weight("b", H)
    state = "s0"
    for t in range(4):
        x = to.add("Gather", "x", to.constant(t), axis=0)
        inner = to.add("MatMul", x, v)
        net = to.add("Gemm", state, w, inner if t == 0 else b)
        state = to.add("Tanh", to.add("Add", net, inner))
    inputs = {"x": (4, BATCH, H), "s0": (BATCH, H)}
    compared(to.file(inputs, [to.add("Neg", state)]), inputs)


def test_a_loop_that_no_output_needs_does_no_harm():
    to, inputs, _ = unrolled(LSTM_LIKE, 4, 0)
    compared(to.file(inputs, [to.add("Neg", "x")]), inputs)

"""RNN, LSTM and GRU of ONNX files: against onnxruntime, finite differences, and every analysis on their runs."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import inspector
import tinygrad_rnn as tg

onnx = pytest.importorskip("onnx")
from onnx import helper  # noqa: E402

GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}
COUNTS = {"RNN": 1, "LSTM": 3, "GRU": 2}
ACTIVATIONS = ["Relu", "Tanh", "Sigmoid", "Affine", "LeakyRelu", "ThresholdedRelu", "ScaledTanh", "HardSigmoid", "Elu"]
ACTIVATIONS += ["Softsign"]
ALPHA = {"Affine", "LeakyRelu", "ThresholdedRelu", "ScaledTanh", "HardSigmoid", "Elu"}
BETA = {"Affine", "ScaledTanh", "HardSigmoid"}


def recurrent(kind, arrays, weights, dtype=np.float32, opset=17, **options):
    """A model of one node; `arrays` are its inputs, `weights` its initialisers."""
    names = ["X", "W", "R", "B", "lengths", "h0", "c0", "P"][: 8 if kind == "LSTM" else 6]
    outputs = ["Y", "Y_h", "Y_c"][: 3 if kind == "LSTM" else 2]
    given = {**arrays, **weights}
    node = helper.make_node(kind, [name if name in given else "" for name in names], outputs, name="rnn", **options)
    code = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for name, value in arrays.items()
    ]
    graph = helper.make_graph(
        [node],
        "g",
        inputs,
        [helper.make_tensor_value_info(name, code, None) for name in outputs],
        [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return model.SerializeToString()


@st.composite
def nodes(draw):
    """Any options of the three operators, with their inputs and weights."""
    kind = draw(st.sampled_from(sorted(GATES)))
    direction = draw(st.sampled_from(["forward", "reverse", "bidirectional"]))
    directions = 2 if direction == "bidirectional" else 1
    steps, batch, size, hidden = (draw(st.integers(1, 4)) for _ in range(4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    options = {"hidden_size": hidden, "direction": direction}
    if draw(st.booleans()):
        count = COUNTS[kind] * directions
        names = draw(st.lists(st.sampled_from(ACTIVATIONS), min_size=count, max_size=count))
        options["activations"] = names
        for key, takers in (("activation_alpha", ALPHA), ("activation_beta", BETA)):
            numbers = [float(n) for n in rng.uniform(0.2, 0.8, sum(name in takers for name in names))]
            options |= {key: numbers} if numbers else {}
    if draw(st.booleans()):
        options["clip"] = draw(st.floats(0.1, 0.8))
    if kind == "LSTM":
        options["input_forget"] = draw(st.integers(0, 1))
    if kind == "GRU":
        options["linear_before_reset"] = draw(st.integers(0, 1))
    rows = GATES[kind] * hidden

    def normal(*shape):
        return rng.normal(size=shape).astype(np.float32)

    weights = {"W": normal(directions, rows, size), "R": normal(directions, rows, hidden)}
    arrays = {"X": normal(steps, batch, size)}
    if draw(st.booleans()):
        weights["B"] = normal(directions, 2 * rows)
    if draw(st.booleans()):
        arrays["lengths"] = rng.integers(1, steps + 1, batch).astype(np.int32)
    if draw(st.booleans()):
        arrays["h0"] = normal(directions, batch, hidden)
    if kind == "LSTM" and draw(st.booleans()):
        arrays["c0"] = normal(directions, batch, hidden)
    if kind == "LSTM" and draw(st.booleans()):
        weights["P"] = normal(directions, 3 * hidden)
    return kind, arrays, weights, options


@given(nodes(), st.sampled_from([7, 9, 11, 13, 14, 22]))
def test_any_options_give_the_outputs_of_onnxruntime(case, opset):
    ort = pytest.importorskip("onnxruntime")
    kind, arrays, weights, options = case
    file = recurrent(kind, arrays, weights, opset=opset, **options)
    expected = ort.InferenceSession(file, providers=["CPUExecutionProvider"]).run(None, arrays)
    call = tg.load_onnx(file)(**arrays)
    assert list(call.runs) == ["rnn"]
    for found, wanted in zip(call.values(), expected, strict=True):
        np.testing.assert_allclose(found.data, wanted, rtol=1e-4, atol=1e-4)


@given(nodes())
def test_gradients_reach_inputs_and_initialisers_in_the_layout_of_the_file(case):
    kind, arrays, weights, options = case
    options.pop("clip", None)  # finite differences need smooth functions
    options = {key: value for key, value in options.items() if not key.startswith("activation")}
    arrays = {key: value.astype(float) if value.dtype.kind == "f" else value for key, value in arrays.items()}
    weights = {key: value.astype(float) for key, value in weights.items()}
    model = tg.load_onnx(recurrent(kind, arrays, weights, np.float64, **options))
    parameters = dict(model.named_parameters())
    assert {name: p.shape for name, p in parameters.items()} == {name: w.shape for name, w in weights.items()}

    def loss(given):
        call = model(**given)
        return tg.sum(tg.square(call["Y"])) + tg.sum(call["Y_h"]) + (tg.sum(call["Y_c"]) if kind == "LSTM" else 0.0)

    x = tg.tensor(arrays["X"], requires_grad=True)
    gradients = tg.grad(loss({**arrays, "X": x}), [x, *parameters.values()])
    rng = np.random.default_rng(0)
    for leaf, gradient in zip([x, *parameters.values()], gradients, strict=True):
        base, way = np.array(leaf.data), rng.normal(size=leaf.shape)
        values = []
        for eps in (1e-5, -1e-5):
            leaf.data = base + eps * way
            values.append(loss({**arrays, "X": x}).item())
        leaf.data = base
        assert np.isclose((values[0] - values[1]) / 2e-5, (gradient.data * way).sum(), rtol=1e-5, atol=1e-7)


def example(kind="LSTM", peepholes=False, **options):
    rng = np.random.default_rng(0)
    directions = 2 if options.get("direction") == "bidirectional" else 1
    rows = GATES[kind] * 4
    weights = {"W": (directions, rows, 3), "R": (directions, rows, 4), "B": (directions, 2 * rows)}
    weights |= {"P": (directions, 12)} if peepholes else {}
    arrays = {"X": rng.normal(size=(5, 2, 3)), "lengths": np.array([5, 3], np.int32)}
    filled = {name: rng.normal(size=shape) * 0.5 for name, shape in weights.items()}
    return tg.load_onnx(recurrent(kind, arrays, filled, np.float64, hidden_size=4, **options)), arrays


USUAL = [
    (example("LSTM"), "LSTMCell(3, 4)"),
    (example("GRU", linear_before_reset=1, direction="reverse"), "GRUCell(3, 4)"),
    (example("LSTM", peepholes=True), "PeepholeLSTMCell(3, 4)"),
    (example("LSTM", input_forget=1, clip=0.5), "ActivatedPeepholeLSTMCell(3, 4)"),
    (example("RNN", direction="bidirectional"), "Bidirectional(RNNCell(3, 4), RNNCell(3, 4))"),
]


@pytest.mark.parametrize(
    ("made", "cell"),
    [pytest.param(*case, id=case[1], marks=[pytest.mark.slow] * (k in (1, 2, 3))) for k, case in enumerate(USUAL)],
)
def test_every_analysis_takes_a_run_whose_weights_are_computed(made, cell, tmp_path):
    model, arrays = made
    call = model(**arrays)
    run = call.runs["rnn"]
    loss = tg.sum(tg.square(call["Y"]))
    assert repr(run.cell) == cell
    assert np.all(call["Y"].data[3:, :, 1] == 0.0)
    state = inspector.trace(run, loss).states[0]
    for level in ("operation", "gate", "cell"):
        assert "<svg" in inspector.draw(run, level=level).svg
    assert str(inspector.diagnose(run, loss)) and str(inspector.weights(run, loss)) and str(inspector.reach(run, loss))
    weight = next(name for name, _ in run.cell.named_parameters())
    changed = inspector.what_if(run, loss, scale={weight: 0.5})  # which is what a slider of the report does
    assert changed.loss_after != changed.loss_before
    assert str(inspector.what_if(run, loss, cut=[state]))
    inspector.report(run, loss, tmp_path / "run.html")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mask = np.arange(5)[:, None] < arrays["lengths"]
        fast = tg.unroll(tg.compile(run.cell), arrays["X"], mask=mask, reverse=run.reverse)
    np.testing.assert_allclose(fast.stacked.data, run.stacked.data, atol=1e-12)
    leaves = model.parameters()
    theirs = tg.grad(tg.sum(tg.square(fast.stacked)), leaves)
    for found, expected in zip(theirs, tg.grad(tg.sum(tg.square(run.stacked)), leaves), strict=True):
        np.testing.assert_allclose(found.data, expected.data, atol=1e-10)


def test_a_sequence_of_no_steps_keeps_its_state():
    model, arrays = example("GRU")
    call = model(X=arrays["X"], lengths=np.array([5, 0], np.int32))
    assert np.all(call["Y_h"].data[:, 1] == 0.0) and np.all(call["Y"].data[:, :, 1] == 0.0)


def test_what_does_not_fit_is_refused_with_its_node():
    with pytest.raises(tg.UnsupportedError, match=r"node rnn \(RNN\): there is no activation Sine"):
        example("RNN", activations=["Sine"])
    with pytest.raises(tg.UnsupportedError, match="clip must be positive"):
        example("RNN", clip=-1.0)
    model, arrays = example("GRU")
    with pytest.raises(ValueError, match=r"node rnn \(GRU\).*sequence_lens must be 2 numbers in 0..5"):
        model(X=arrays["X"], lengths=np.array([5, 9], np.int32))

"""Functions of a model, initialisers that a call may replace, and what is computed while loading."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_rnn as tg

from .texts import FUNCTIONS

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

rng = np.random.default_rng(0)


def file_of(text, **weights):
    model = onnx.parser.parse_model(text)
    model.graph.initializer.extend(onnx.numpy_helper.from_array(value, name) for name, value in weights.items())
    return model


def agree(model, **arrays):
    file = model.SerializeToString()
    call = tg.load_onnx(file)(**arrays)
    expected = ort.InferenceSession(file, providers=["CPUExecutionProvider"]).run(None, arrays)
    for found, wanted in zip(call.values(), expected, strict=True):
        np.testing.assert_allclose(found.data, wanted, rtol=1e-5, atol=1e-6)
    return call


def test_functions_stand_in_one_another_with_attributes_and_opsets_of_their_own():
    W, b = rng.normal(size=(3, 3)).astype("f"), rng.normal(size=3).astype("f")
    text = FUNCTIONS.replace("(z, x, total)", "(z, w, total)").replace("  z = Div", "  w = Identity(x)\n  z = Div")
    model = file_of(text, W=W, b=b)
    x = rng.normal(size=(2, 3)).astype("f")
    call = tg.load_onnx(model.SerializeToString())(x)
    h = np.tanh(0.25 * x @ W.T + b)
    g = np.tanh(0.5 * h @ W.T)
    inner = np.tanh(0.5 * g)
    for name, expected in {"y": inner / 2, "same": g, "total": inner.sum(1, keepdims=True)}.items():
        np.testing.assert_allclose(call[name].data, expected, atol=1e-6)
    leaves = dict(tg.load_onnx(model.SerializeToString()).named_parameters())
    assert {"W", "b"} <= leaves.keys()


def test_an_output_of_a_function_may_be_its_input():
    text = """<ir_version: 10, opset_import: ["": 17, "my": 1]>
    agraph (float[n] x) => (float[n] y, float[n] z) { y, z = my.Both(x) }
    <domain: "my", opset_import: ["": 17]>
    Both (a) => (a, b) { b = Neg(a) }"""
    call = tg.load_onnx(file_of(text).SerializeToString())(np.float32([1, 2]))
    assert call["y"].data.tolist() == [1, 2] and call["z"].data.tolist() == [-1, -2]


def test_operators_that_onnx_defines_by_others_are_run_by_these():
    text = """<ir_version: 10, opset_import: ["": 18]>
    agraph (float[n] x) => (float[n] y, float[m] w) {
      y = Shrink<lambd = 0.4, bias = 0.1>(x)
      five = Constant<value_int = 5>()
      w = HannWindow(five)
    }"""
    agree(file_of(text), x=np.float32([-1, -0.2, 0.3, 2]))


def test_names_of_functions_are_scopes():
    model = tg.load_onnx(file_of(FUNCTIONS, W=np.eye(3, dtype="f"), b=np.zeros(3, "f")).SerializeToString())
    y = model(np.ones((1, 3), "f"))["total"]
    assert [str(y.scope)] == ["Outer"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("F (a) => (b) { b = my.F(a) }", "calls itself"),
        ("F (a) => (c) { b = Neg(a) }", "output c is made by no node"),
        ("F (a) => (b) { b = Neg(q) }", "input q is made by no node"),
        ("F (a) => (b) { b = Neg(a) b = Abs(a) }", "made twice"),
        ("F () => (b) { b = Constant<value_float = 1.0>() }", "takes 0 inputs"),
        ("F (a) => (b) { b = Gemm<colour = 1>(a, a) }", "colour"),
    ],
)
def test_functions_that_cannot_be_are_said_while_loading(text, message):
    model = file_of(
        f"""<ir_version: 10, opset_import: ["": 17, "my": 1]>
        agraph (float[n] x) => (float[n] y) {{ y = my.F(x) }}
        <domain: "my", opset_import: ["": 17, "my": 1]> {text}"""
    )
    with pytest.raises(ValueError, match=message):
        tg.load_onnx(model.SerializeToString())


def test_functions_that_double_at_every_call_are_bounded():
    text = """<ir_version: 10, opset_import: ["": 17, "my": 1]>
    agraph (float[n] x) => (float[n] y) { y = my.F0(x) }"""
    for k in range(14):
        calls = "".join(f"a{j + 1} = my.F{k + 1}(a{j}) " for j in range(4))
        text += f'<domain: "my", opset_import: ["": 17, "my": 1]> F{k} (a0) => (a4) {{ {calls} }}'
    text += '<domain: "my", opset_import: ["": 17]> F14 (a) => (b) { b = Neg(a) }'
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tinygrad_rnn.interop.onnx.build.INLINED", 2000)
        with pytest.raises(ValueError, match="more than 2,000 nodes"):
            tg.load_onnx(file_of(text).SerializeToString())


def test_a_call_may_replace_initialisers_that_are_inputs():
    text = """<ir_version: 8, opset_import: ["": 17]>
    agraph (float[n,3] x, float[3] w) => (float[n,3] y) { y = Mul(x, w) }"""
    model = file_of(text, w=np.float32([1, 2, 3]))
    x, other = np.ones((2, 3), "f"), np.float32([4, 5, 6])
    loaded = tg.load_onnx(model.SerializeToString())
    agree(model, x=x)
    agree(model, x=x, w=other)
    assert list(loaded.inputs) == ["x", "w"] and [name for name, _ in loaded.named_parameters()] == ["w"]
    leaf = tg.tensor(other, requires_grad=True)
    assert tg.grad(loaded(x, leaf)["y"].sum(), [leaf])[0].data.tolist() == [2, 2, 2]
    with pytest.raises(ValueError, match="'w' is"):
        loaded(x, np.ones(4, "f"))
    model.ir_version = 3  # where all initialisers had to be inputs
    assert list(tg.load_onnx(model.SerializeToString()).inputs) == ["x"]


def test_shapes_are_computed_while_loading():
    text = """<ir_version: 8, opset_import: ["": 17]>
    agraph (float[4,3] x) => (float[3,4] y) {
      shape = Shape(x)
      one = Constant<value_ints = [1]>()
      zero = Constant<value_ints = [0]>()
      rows = Gather(shape, one)
      columns = Gather(shape, zero)
      turned = Concat<axis = 0>(rows, columns)
      y = Reshape(x, turned)
    }"""
    model = file_of(text)
    agree(model, x=rng.normal(size=(4, 3)).astype("f"))
    assert [node.kind for node in tg.load_onnx(model.SerializeToString())._program.builder.graph.nodes] == ["Reshape"]


def test_dropout_in_training_mode_is_refused_while_loading_and_with_ratio_zero_is_none():
    text = """<ir_version: 8, opset_import: ["": 17]>
    agraph (float[n] x) => (float[n] y) {{
      ratio = Constant<value_float = {}>()
      training = Constant<value = bool {{1}}>()
      y = Dropout(x, ratio, training)
    }}"""
    with pytest.raises(tg.UnsupportedError, match="drops at random"):
        tg.load_onnx(file_of(text.format(0.5)).SerializeToString())
    assert tg.load_onnx(file_of(text.format(0.0)).SerializeToString())(np.float32([1, 2]))["y"].data.tolist() == [1, 2]

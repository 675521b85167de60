"""Operators of ONNX with any shapes and attributes: outputs against onnxruntime, gradients against differences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg

from .gradients import assert_gradient
from .texts import file_of

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
from onnx import helper  # noqa: E402


def whole(*numbers):
    return np.array(numbers, np.int64)


def windows(draw, rank):
    """Kernel, strides, pads and dilations that fit axes of length 7."""
    kernel = [draw(st.integers(1, 3)) for _ in range(rank)]
    pads = [draw(st.integers(0, min(kernel[k % rank] - 1, 1))) for k in range(2 * rank)]
    strides = [draw(st.integers(1, 2)) for _ in range(rank)]
    return kernel, {"strides": strides, "pads": pads, "dilations": [draw(st.integers(1, 2)) for _ in range(rank)]}


def convolution(draw, normal):
    rank, groups = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    kernel, options = windows(draw, rank)
    arrays = {"x": normal(2, 2 * groups, *(7,) * rank), "w": normal(2 * groups, 2, *kernel), "b": normal(2 * groups)}
    return "Conv", arrays, {"group": groups, **options}


def transposed(draw, normal):
    kernel, options = windows(draw, 1)
    groups = draw(st.integers(1, 2))
    return (
        "ConvTranspose",
        {"x": normal(2, 2 * groups, 5), "w": normal(2 * groups, 3, *kernel)},
        {"group": groups, **options},
    )


def pooling(draw, normal):
    rank = draw(st.integers(1, 2))
    kernel, options = windows(draw, rank)
    kind = draw(st.sampled_from(["MaxPool", "AveragePool", "LpPool"]))
    if kind == "AveragePool":  # which has them from opset 19 on
        del options["dilations"]
    more = {"AveragePool": {"count_include_pad": draw(st.integers(0, 1))}, "LpPool": {"p": draw(st.integers(1, 3))}}
    return kind, {"x": normal(2, 3, *(7,) * rank)}, {"kernel_shape": kernel, **options, **more.get(kind, {})}


def product(draw, normal):
    a, b = draw(st.booleans()), draw(st.booleans())
    arrays = {"a": normal(*(4, 3) if a else (3, 4)), "b": normal(*(5, 4) if b else (4, 5))}
    arrays |= {"c": normal(*draw(st.sampled_from([(5,), (3, 1), (3, 5), (1,)])))}
    return "Gemm", arrays, {"transA": int(a), "transB": int(b), "alpha": 0.5, "beta": draw(st.sampled_from([1.0, 2.0]))}


def normalised(draw, normal):
    kind = draw(st.sampled_from(["LayerNormalization", "InstanceNormalization", "LpNormalization", "LRN"]))
    x = normal(2, 3, 4)
    if kind == "LayerNormalization":
        axis = draw(st.integers(-3, 2))
        return kind, {"x": x, "scale": normal(*x.shape[axis:]), "bias": normal(*x.shape[axis:])}, {"axis": axis}
    if kind == "InstanceNormalization":
        return kind, {"x": x, "scale": normal(3), "bias": normal(3)}, {"epsilon": 0.01}
    if kind == "LRN":
        return kind, {"x": normal(2, 5, 4, 1)}, {"size": draw(st.sampled_from([1, 3, 5])), "alpha": 0.5}
    return kind, {"x": x}, {"axis": draw(st.integers(-1, 2)), "p": draw(st.integers(1, 2))}


def cut(draw, normal):
    starts, ends = ([draw(st.integers(-6, 6)) for _ in range(2)] for _ in range(2))
    steps = [draw(st.sampled_from([-2, -1, 1, 2])) for _ in range(2)]
    places = [whole(*values) for values in (starts, ends, (0, 2), steps)]
    return "Slice", {"x": normal(5, 2, 4), **dict(zip(["starts", "ends", "axes", "steps"], places, strict=True))}, {}


def padded(draw, normal):
    mode = draw(st.sampled_from(["constant", "reflect", "edge"]))
    pads = whole(*(draw(st.integers(-1, 2)) for _ in range(4))) if mode == "constant" else whole(1, 0, 2, 1)
    return "Pad", {"x": normal(3, 4), "pads": pads, "value": normal()}, {"mode": mode}


def scattered(draw, normal):
    axis, reduction = draw(st.integers(-2, 1)), draw(st.sampled_from(["none", "add", "mul", "max", "min"]))
    order = np.array(draw(st.permutations(range(4))))
    rows = order[:2] if reduction == "none" else order[:2] % draw(st.integers(1, 4))
    indices = np.stack([rows, rows[::-1]], 1) if axis % 2 == 0 else np.stack([rows, rows[::-1]])
    return (
        "ScatterElements",
        {"x": normal(4, 4), "indices": indices.astype(np.int64), "updates": normal(2, 2)},
        {"axis": axis, "reduction": reduction},
    )


def gathered(draw, normal):
    batch = draw(st.integers(0, 1))
    indices = np.array([[draw(st.integers(-3, 2)), draw(st.integers(-2, 1))] for _ in range(3)], np.int64)
    x = normal(3, 3, 2, 2) if batch else normal(3, 2, 2)
    return "GatherND", {"x": x, "indices": indices}, {"batch_dims": batch}


def reduced(draw, normal):
    kind = draw(st.sampled_from(["ReduceL2", "ReduceLogSumExp", "ReduceMax", "ReduceProd", "ReduceMean"]))
    axes = draw(st.lists(st.integers(0, 2), unique=True, min_size=1))
    return kind, {"x": normal(2, 3, 4), "axes": whole(*axes)}, {"keepdims": draw(st.integers(0, 1))}


def along(draw, normal):
    axis = draw(st.integers(-3, 2))
    kind = draw(st.sampled_from(["Softmax", "LogSoftmax", "CumSum", "TopK", "Hardmax"]))
    x = normal(3, 4, 3)
    if kind == "CumSum":
        options = {"exclusive": draw(st.integers(0, 1)), "reverse": draw(st.integers(0, 1))}
        return kind, {"x": x, "axis": np.array(axis)}, options
    return (kind, {"x": x, "k": whole(2)}, {"axis": axis}) if kind == "TopK" else (kind, {"x": x}, {"axis": axis})


def resized(draw, normal):
    mode = draw(st.sampled_from(["nearest", "linear", "cubic"]))
    options = {"mode": mode, "nearest_mode": draw(st.sampled_from(["floor", "ceil", "round_prefer_floor"]))}
    places = ["half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel"]
    options["coordinate_transformation_mode"] = draw(st.sampled_from(places))
    # with corners aligned onnxruntime goes by the rounded length, and ONNX's own cases by the one before
    factors = [2.0, 1.0] if options["coordinate_transformation_mode"] == "align_corners" else [0.5, 0.8, 1.0, 1.5, 2.2]
    scales = np.float32([1, 1, *(draw(st.sampled_from(factors)) for _ in range(2))])
    return "Resize", {"x": normal(1, 2, 4, 5), "": normal(), "scales": scales}, options


def quantised(draw, normal):
    axis = draw(st.integers(-2, 1))
    whole_numbers = np.array(draw(st.lists(st.integers(-128, 127), min_size=12, max_size=12)), np.int8).reshape(3, 4)
    scale = np.abs(normal(whole_numbers.shape[axis])) + np.float32(0.1)
    return (
        "DequantizeLinear",
        {"x": whole_numbers, "scale": scale, "zero": np.ones(scale.shape, np.int8)},
        {"axis": axis},
    )


KINDS = [
    convolution,
    transposed,
    pooling,
    product,
    normalised,
    cut,
    padded,
    scattered,
    gathered,
    reduced,
    along,
    resized,
]
KINDS += [quantised]


@st.composite
def nodes(draw, kind):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return kind(draw, lambda *shape: rng.normal(size=shape).astype(np.float32))


def model_of(kind, arrays, options, dtype):
    """A file with this node alone, and its inputs in that precision."""
    arrays = {name: value.astype(dtype) if value.dtype.kind == "f" else value for name, value in arrays.items()}
    outputs = ["y", "places"] if kind == "TopK" else ["y"]
    graph = helper.make_graph(
        [helper.make_node(kind, list(arrays), outputs, **options)],
        "g",
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
            for name, value in arrays.items()
            if name
        ],
        [helper.make_tensor_value_info("y", helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return model.SerializeToString(), {name: value for name, value in arrays.items() if name}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_outputs_are_those_of_onnxruntime_and_gradients_those_of_differences(kind, data):
    case = data.draw(nodes(kind))
    file, arrays = model_of(*case, np.float32)
    call = tg.load_onnx(file)(**arrays)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    (expected,) = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"]).run(None, arrays)
    assert call["y"].shape == expected.shape
    np.testing.assert_allclose(call["y"].data, expected, rtol=1e-3, atol=1e-4)
    file, arrays = model_of(*case, np.float64)
    assert_gradient(tg.load_onnx(file), arrays, kept=("scales",))


def test_every_sequence_of_a_batch_is_scanned_alone_as_opset_8_had_it():
    text = """agraph (int64[B] n, float[B,2] s0, float[B,T,2] X) => (float[B,2] s, float[B,T,2] Y) {
      s, Y = Scan<num_scan_inputs = 1, directions = [1],
                  body = step (float[2] h, float[2] x) => (float[2] next, float[2] y) {
        half = Mul(h, w)
        sum = Add(half, x)
        next = Tanh(sum)
        y = Identity(next)
      }>(n, s0, X)
    }"""
    rng = np.random.default_rng(0)
    s0, X = rng.normal(size=(3, 2)).astype("f"), rng.normal(size=(3, 4, 2)).astype("f")
    call = tg.load_onnx(file_of(text, opset=8, w=np.float32([0.5, -1])))(np.array([4, 2, 0]), s0, X)
    expected, last = np.zeros_like(X), s0.copy()
    for b, length in enumerate((4, 2, 0)):
        for k, t in enumerate(reversed(range(length))):
            last[b] = np.tanh(last[b] * np.float32([0.5, -1]) + X[b, t])
            expected[b, k] = last[b]
    np.testing.assert_allclose(call["Y"].data, expected, atol=1e-6)
    np.testing.assert_allclose(call["s"].data, last, atol=1e-6)
    assert len(call.runs) == 2

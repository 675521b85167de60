"""load_onnx: models of PyTorch's, gradients, and files that are damaged or hostile."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest

import tinygrad_rnn as tg

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402


def model_of(nodes, initial=(), inputs=(("x", (2, 3)),), outputs=("y",), opset=17):
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in dict(initial).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


def load(*args, **kwargs):
    return tg.load_onnx(model_of(*args, **kwargs).SerializeToString())


node = helper.make_node
rng = np.random.default_rng(0)


def test_a_network_of_pytorch_with_its_gradients(tmp_path):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv1d(4, 6, 3, padding=1, groups=2),
        torch.nn.BatchNorm1d(6),
        torch.nn.ReLU(),
        torch.nn.MaxPool1d(2),
        torch.nn.ConvTranspose1d(6, 5, 3, stride=2, padding=1, output_padding=1),
        torch.nn.Flatten(),
        torch.nn.Linear(40, 7),
        torch.nn.LayerNorm(7),
        torch.nn.GELU(),
        torch.nn.LogSoftmax(-1),
    ).eval()
    for values in (*net.parameters(), net[1].running_mean):  # or the exporter would keep one array for several
        torch.nn.init.normal_(values)
    torch.nn.init.uniform_(net[1].running_var, 0.5, 2)
    x = torch.randn(2, 4, 8, requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, (x,), tmp_path / "net.onnx", dynamo=False, opset_version=17, do_constant_folding=False)
    model = tg.load_onnx(tmp_path / "net.onnx")
    ours = tg.tensor(x.detach().numpy(), requires_grad=True)
    (found,) = model(ours).values()
    expected = net(x)
    np.testing.assert_allclose(found.data, expected.detach().numpy(), atol=1e-5)
    expected.square().sum().backward()
    (found**2).sum().backward()
    np.testing.assert_allclose(ours.grad, x.grad.numpy(), rtol=1e-4, atol=1e-5)
    parameters = dict(model.named_parameters())
    for name, theirs in net.named_parameters():
        np.testing.assert_allclose(parameters[name].grad, theirs.grad.numpy(), rtol=1e-4, atol=1e-4, err_msg=name)


def test_a_branch_reads_what_stands_around_it_and_gives_gradients():
    branches = {
        f"{name}_branch": helper.make_graph(
            [node(kind, ["x", "w"], ["z"])], name, [], [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)]
        )
        for name, kind in {"then": "Mul", "else": "Add"}.items()
    }
    nodes = [
        node("ReduceSum", ["x"], ["total"], keepdims=0),
        node("Greater", ["total", "zero"], ["is_positive"]),
        node("If", ["is_positive"], ["y"], **branches),
    ]
    w = np.float32([1, 2, 3])
    model = load(nodes, {"w": w, "zero": np.float32(0)})
    for x, expected in ((np.ones((2, 3), np.float32), w * 2), (-np.ones((2, 3), np.float32), [2, 2, 2])):
        call = model(x)
        leaf = dict(model.named_parameters())["w"]
        np.testing.assert_allclose(
            tg.grad(call["y"].sum(), [leaf])[0], np.broadcast_to(expected, 3) / (w if x[0, 0] > 0 else 1)
        )


def test_nodes_in_any_order_and_shapes_that_are_computed():
    nodes = [
        node("Reshape", ["x", "sizes"], ["y"]),
        node("Concat", ["rows", "rest"], ["sizes"], axis=0),
        node("Gather", ["shape", "first"], ["rows"], axis=0),
        node("Shape", ["x"], ["shape"]),
    ]
    model = load(nodes, {"first": np.array([1]), "rest": np.array([-1])}, [("x", ("batch", 3))])
    assert model(np.ones((4, 3), np.float32))["y"].shape == (3, 4)
    assert model.inputs["x"].shape == ("batch", 3) and list(model.named_parameters()) == []


DAMAGED = {
    "twice": lambda: model_of([node("Relu", ["x"], ["y"]), node("Tanh", ["x"], ["y"])]),
    "circle": lambda: model_of(
        [node("Add", ["x", "b"], ["a"]), node("Relu", ["a"], ["b"]), node("Relu", ["b"], ["y"])]
    ),
    "made by no node": lambda: model_of([node("Relu", ["q"], ["y"])]),
    "output z": lambda: model_of([node("Relu", ["x"], ["y"])], outputs=("z",)),
    "no such operator": lambda: model_of([node("Frobnicate", ["x"], ["y"])]),
    "not of ONNX itself": lambda: model_of([node("Relu", ["x"], ["y"], domain="com.example")]),
    "opset 6": lambda: model_of([node("Add", ["x", "x"], ["y"])], opset=6),
    "attribute": lambda: model_of([node("Relu", ["x"], ["y"], colour=3)]),
    "takes 2": lambda: model_of([node("Add", ["x"], ["y"])]),
    "training": lambda: model_of(
        [node("BatchNormalization", ["x"] * 5, ["y", "m", "v"])], inputs=[("x", (3,))], opset=13
    ),
}


@pytest.mark.parametrize("message", DAMAGED)
def test_what_is_wrong_is_said_while_loading(message):
    with pytest.raises(ValueError, match=message):
        tg.load_onnx(DAMAGED[message]().SerializeToString())


def tensor_of(**changes):
    model = model_of([node("Add", ["x", "w"], ["y"])], {"w": np.ones(3, np.float32)})
    tensor = model.graph.initializer[0]
    for key, value in changes.items():
        if key == "dims":
            del tensor.dims[:]
            tensor.dims.extend(value)
        else:
            setattr(tensor, key, value)
    return model


@pytest.mark.parametrize(
    "changes",
    [{"dims": [-3]}, {"dims": [10**15]}, {"dims": [2**62, 2**62]}, {"raw_data": b"12345"}, {"data_type": 0},
     {"data_type": 99}, {"data_type": TensorProto.STRING}, {"data_type": TensorProto.DOUBLE}],
    ids=str,
)  # fmt: skip
def test_initialisers_that_do_not_fit_their_data(changes):
    with pytest.raises(ValueError):
        tg.load_onnx(tensor_of(**changes).SerializeToString())


@pytest.mark.parametrize("nodes", [
    [node("Constant", [], ["n"], value_ints=[10**12]), node("ConstantOfShape", ["n"], ["y"])],
    [node("Constant", [], ["n"], value_ints=[10**6, 10**6]), node("Tile", ["x", "n"], ["y"])],
    [node("Constant", [], ["n"], value_ints=[10**9, 1, 1]), node("Expand", ["x", "n"], ["y"])],
    [node("Constant", [], ["n"], value_ints=[0, 0, 10**12, 0]), node("Pad", ["x", "n"], ["y"])],
    [node("Constant", [], ["a"], value_int=0), node("Constant", [], ["b"], value_int=10**15),
     node("Constant", [], ["c"], value_int=1), node("Range", ["a", "b", "c"], ["y"])],
])  # fmt: skip
def test_huge_values_are_refused_before_they_are_allocated(nodes):
    with pytest.raises(ValueError, match="elements"):
        load(nodes)(np.ones((2, 3), np.float32))


def test_an_einsum_is_bounded_by_its_result_alone():
    shapes = [("x", (16, 32, 64)), ("w", (16, 64, 32))]
    x, w = (np.ones(shape, np.float32) for _, shape in shapes)
    model = load([node("Einsum", ["x", "w"], ["y"], equation="bij,bjk->bik")], inputs=shapes)
    np.testing.assert_array_equal(model(x, w)["y"].data, np.full((16, 32, 32), 64))
    wide = np.ones(2**15, np.float32)
    with pytest.raises(ValueError, match="elements"):
        load([node("Einsum", ["a", "b"], ["y"], equation="i,j->ij")], inputs=[("a", ("n",)), ("b", ("m",))])(wide, wide)


def test_external_data_stay_in_the_folder(tmp_path):
    (tmp_path / "in").mkdir()
    secret = tmp_path / "secret"
    secret.write_bytes(np.ones(3, np.float32).tobytes())
    (tmp_path / "in" / "link").symlink_to(secret)
    (tmp_path / "in" / "good").write_bytes(np.full(3, 2, np.float32).tobytes())
    for location in ("../secret", str(secret), "link", "missing", "", ".", "good"):
        model = tensor_of(data_location=TensorProto.EXTERNAL)
        model.graph.initializer[0].ClearField("raw_data")
        model.graph.initializer[0].external_data.add(key="location", value=location)
        path = tmp_path / "in" / "m.onnx"
        path.write_bytes(model.SerializeToString())
        if location == "good":
            np.testing.assert_array_equal(
                tg.load_onnx(path)(np.zeros((2, 3), np.float32))["y"].data, np.full((2, 3), 2)
            )
        else:
            with pytest.raises(ValueError, match=r"m\.onnx"):
                tg.load_onnx(path)
        with pytest.raises(ValueError, match="give the path"):
            tg.load_onnx(model.SerializeToString())


def test_truncated_and_mutated_files_end_in_a_value_error():
    rng = np.random.default_rng(0)
    data = model_of(
        [node("Gemm", ["x", "w", "b"], ["h"], transB=1), node("Softmax", ["h"], ["y"], axis=-1)],
        {"w": np.ones((4, 3), np.float32), "b": np.ones(4, np.float32)},
    ).SerializeToString()
    for cut in range(0, len(data), 3):
        attempt(data[:cut])
    for _ in range(300):
        changed = bytearray(data)
        for place in rng.integers(len(data), size=rng.integers(1, 6)):
            changed[place] = rng.integers(256)
        attempt(bytes(changed))
    with pytest.raises(ValueError, match="no ONNX file"):
        tg.load_onnx(b"PK\x03\x04")


def attempt(data):
    """Load, and run if that works: anything but an error that says what is wrong would fail the test."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            tg.load_onnx(data)(np.ones((2, 3), np.float32))
    except (ValueError, TypeError) as error:
        assert str(error).isprintable()


def test_names_of_a_file_are_printable_in_messages():
    with pytest.raises(ValueError) as caught:
        tg.load_onnx(model_of([node("Relu", ["\x1b[2J<b>"], ["y"], name="\x07n")]).SerializeToString())
    assert str(caught.value).isprintable()


def test_attributes_of_a_file_are_printable_in_messages():
    model = load([node("Einsum", ["x"], ["y"], equation="\x1bi->i")])
    with pytest.raises(ValueError, match="Einsum") as caught:
        model(np.ones((2, 3), np.float32))
    assert str(caught.value).isprintable()


def test_no_file_and_no_source():
    with pytest.raises(FileNotFoundError):
        tg.load_onnx("missing.onnx")
    with pytest.raises(TypeError):
        tg.load_onnx(io.BytesIO())  # type: ignore[arg-type]


def test_weights_in_constants_and_in_branches_are_parameters_of_the_layer_that_uses_them():
    w = numpy_helper.from_array(np.float32(rng.normal(size=(1, 4, 3))), "w")
    r = numpy_helper.from_array(np.float32(rng.normal(size=(1, 4, 4))), "r")
    made = helper.make_tensor_value_info("z", TensorProto.FLOAT, None)
    inner = [
        node("Constant", [], ["w"], value=w),
        node("Constant", [], ["r"], value=r),
        node("Neg", ["r"], ["minus"]),
        node("RNN", ["x", "w", "minus"], ["z"], name="rnn", hidden_size=4),
    ]
    other = [node("ReduceSum", ["x"], ["z"])]
    branches = {
        f"{name}_branch": helper.make_graph(nodes, name, [], [made])
        for name, nodes in (("then", inner), ("else", other))
    }
    nodes = [node("Cast", ["rate"], ["high"], to=TensorProto.BOOL), node("If", ["high"], ["y"], **branches)]
    model = load(nodes, inputs=[("x", (5, 2, 3)), ("rate", ())])
    assert {name: p.shape for name, p in model.named_parameters()} == {"w": (1, 4, 3), "r": (1, 4, 4)}
    (layer,) = model.layers
    assert (layer.name, layer.recurrent, layer.parameters) == ("rnn", True, 28)
    call = model(rng.normal(size=(5, 2, 3)), 1.0)
    call["y"].sum().backward()
    assert list(call.runs) == ["rnn"] and all(np.any(p.grad) for p in model.parameters())
    assert model(rng.normal(size=(5, 2, 3)), 0.0)["y"].shape == (1, 1, 1)


def test_whole_numbers_may_come_as_a_tensor():
    graph = helper.make_graph(
        [node("Gather", ["table", "ids"], ["y"])],
        "g",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["n"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(np.float32([[1, 2], [3, 4]]), "table")],
    )
    model = tg.load_onnx(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString())
    np.testing.assert_array_equal(model(tg.tensor([1, 0]))["y"].data, [[3, 4], [1, 2]])
    for wrong in (tg.tensor([0.5]), tg.tensor([np.nan]), tg.tensor([1e30]), tg.tensor([1.0], requires_grad=True)):
        with pytest.raises(ValueError, match="input 'ids' holds int64, got float64"):
            model(wrong)

"""Networks that PyTorch exports: the outputs of onnxruntime, the gradients of PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import inspector
import tinygrad_rnn as tg

torch = pytest.importorskip("torch", reason="PyTorch exports and is the reference")
onnx = pytest.importorskip("onnx", reason="the files are ONNX")
ort = pytest.importorskip("onnxruntime", reason="onnxruntime is the reference")
from tests.tinygrad_rnn.interop.onnx.networks import FILES, KEPT, Network, exported, network, scripted  # noqa: E402

OLD = [("characters", 9), ("characters", 13), ("packed", 20), ("masked", 9), ("picture", 17), ("translator", 11)]
OLD += [("detector", 11), ("detector", 20), ("looped", 13)]
MORE = [(n, v) for n in ("characters", "packed", "masked", "picture", "translator") for v in (9, 11, 13, 17, 20)]
MORE = [case for case in MORE if case not in (*OLD, ("packed", 9))]  # before opset 11, nothing can be packed there


def agrees(file: bytes, made: Network, inputs: dict) -> tg.Call:
    """That a file gives the numbers of onnxruntime, and the gradients that PyTorch has for the module."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    arrays = {name: value.numpy() for name, value in inputs.items()}
    expected = session.run(None, {port.name: arrays[port.name] for port in session.get_inputs()})
    model = tg.load_onnx(file)
    leaves = {name: tg.tensor(a, requires_grad=True) if a.dtype.kind == "f" else a for name, a in arrays.items()}
    call = model(**{name: leaves[name] for name in model.inputs})
    for found, wanted in zip(call.values(), expected, strict=True):
        assert found.dtype == wanted.dtype
        np.testing.assert_allclose(found.data, wanted, rtol=1e-4, atol=1e-4)
    theirs = {name: x.clone().requires_grad_(x.is_floating_point()) for name, x in inputs.items()}
    results = made.module(*theirs.values())
    results = results if isinstance(results, tuple) else (results,)
    made.module.zero_grad()
    sum(result.square().sum() for result in results).backward()
    sum((tg.sum(tg.square(value)) for value in call.values()), tg.tensor(0.0)).backward()
    for name, x in theirs.items():
        if x.requires_grad:
            np.testing.assert_allclose(leaves[name].grad, x.grad, rtol=1e-4, atol=1e-4, err_msg=name)
    parameters = dict(model.named_parameters())
    for name, parameter in made.module.named_parameters():
        ours, grad = parameters.get(name), parameter.grad
        if grad is None:  # of the branch that was not taken
            assert ours is None or ours.grad is None or not np.any(ours.grad)
        else:
            assert ours is not None, f"{name} is not among {', '.join(parameters)}"
            np.testing.assert_allclose(ours.grad, grad, rtol=1e-4, atol=1e-4, err_msg=name)
    return call


def with_more(name: str, made: Network) -> dict:
    """Inputs of other lengths along the axes that may have any."""
    torch.manual_seed(1)
    sizes = {axis: 3 + k for k, axis in enumerate(sorted({a for axes in made.axes.values() for a in axes.values()}))}
    sizes |= {"width": 14, "N": 40}
    found = {}
    for key, x in made.inputs.items():
        shape = [sizes[made.axes[key][k]] if k in made.axes.get(key, {}) else n for k, n in enumerate(x.shape)]
        found[key] = torch.randn(shape) if x.is_floating_point() else torch.randint(1, 3, shape)
    return found | ({"rate": torch.tensor(8000)} if "rate" in made.inputs else {})


@pytest.mark.parametrize(("name", "opset"), [*OLD, *[pytest.param(*case, marks=pytest.mark.slow) for case in MORE]])
def test_files_of_the_older_exporter(name, opset):
    made = network(name)
    file = scripted(made, opset)
    assert agrees(file, made, made.inputs).runs
    agrees(file, made, with_more(name, made))


@pytest.mark.parametrize(("name", "opset"), KEPT)
def test_kept_files_of_the_newer_exporter(name, opset):
    file = (FILES / f"{name}-{opset}.onnx").read_bytes()
    made = network(name)
    with torch.no_grad():
        state = {name: torch.tensor(value) for name, value in tg.load_onnx(file).state_dict().items()}
        made.module.load_state_dict({name: state.get(name, value) for name, value in made.module.state_dict().items()})
    agrees(file, made, with_more(name, made))


@pytest.mark.slow
def test_files_of_the_newer_exporter():
    pytest.importorskip("onnxscript", reason="the newer exporter needs onnxscript")
    made = network("characters")
    file = exported(made, 18)
    assert agrees(file, made, made.inputs).runs
    agrees(file, made, with_more("characters", made))


@pytest.mark.parametrize("made_by", ["older", "newer"])
def test_loops_over_cells_are_runs_with_the_names_of_modules_and_variables(made_by):
    file = scripted(network("looped"), 17) if made_by == "older" else (FILES / "looped-18.onnx").read_bytes()
    model = tg.load_onnx(file)
    rng = np.random.default_rng(0)
    call = model(rng.normal(size=(3, 5, 3)), rng.normal(size=(3, 4)), rng.normal(size=(3, 4)))
    assert [(name, len(run)) for name, run in call.runs.items()] == [("cell", 5), ("top", 5)]
    below, above = call.runs.values()
    assert repr(above.cell) == "LSTMCell(4, 4)" and below.cell.state_names == ("h",)
    assert {layer.name for layer in model.layers if layer.recurrent} == {"cell", "top"}
    names = {name for name, _ in below.names}
    assert names >= ({"x", "h", "n", "z"} if made_by == "newer" else {"x", "h", "Tanh", "Sigmoid", "Sigmoid_1"})
    if made_by == "newer":
        assert (below.names["z", 0].op.name, below.names["n", 0].op.name) == ("sigmoid", "multiply")
    first = next(iter(call.values()))
    scopes = {str(node.scope) for node in tg.Graph(first).nodes if node.scope}
    assert {"cell/t=0", "top/t=4", "head"} <= scopes
    loss = tg.sum(tg.square(first))
    assert inspector.trace(below, loss).states and str(inspector.diagnose(above, loss))


def test_a_plain_rnn_of_the_newer_exporter_is_its_cell_in_both_directions():
    model, x = tg.load_onnx(FILES / "both-18.onnx"), network("both").inputs["x"].numpy()
    call = model(x)
    for run, reverse in zip(call.runs.values(), (False, True), strict=True):
        assert (repr(run.cell), run.cell.nonlinearity, len(run), run.reverse) == ("RNNCell(3, 4)", "relu", 4, reverse)
        assert run.inputs[0].shape == (2, 3) and not np.any(run.initial_state[0])
    assert list(call.runs) == ["rnn", "rnn.2"]
    session = ort.InferenceSession(str(FILES / "both-18.onnx"), providers=["CPUExecutionProvider"])
    for found, wanted in zip(call.values(), session.run(None, {"x": x}), strict=True):
        np.testing.assert_allclose(found.data, wanted, rtol=1e-4, atol=1e-6)


def test_a_first_step_that_is_another_one_stays_outside_with_the_product_that_was_computed_ahead():
    proto = onnx.load_from_string((FILES / "both-18.onnx").read_bytes())
    (first,) = [node for node in proto.graph.node if node.name == "node_add"]
    first.input[1] = first.input[0]
    file, x = proto.SerializeToString(), network("both").inputs["x"].numpy()
    session = ort.InferenceSession(file, providers=["CPUExecutionProvider"])
    for found, wanted in zip(tg.load_onnx(file)(x).values(), session.run(None, {"x": x}), strict=True):
        np.testing.assert_allclose(found.data, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["LSTMCell", "GRUCell", "RNNCell", "GRUCell of the newer exporter"])
def test_loops_that_start_from_zeros_of_a_fixed_size_are_their_cells_from_the_first_step(name):
    kind, _, is_newer = name.partition(" ")
    file = (FILES / "GRUCell-18.onnx").read_bytes() if is_newer else scripted(network(kind), 17, folded=True)
    model = tg.load_onnx(file)
    call = model(network(kind).inputs["x"].numpy())
    assert [(*part, len(run), repr(run.cell)) for *part, run in call.runs.items()] == [
        ("cell", 4, f"{kind}(3, 4)"),
        ("top", 4, f"{kind}(4, 4)"),
    ]
    assert not np.any(call.runs["cell"].initial_state[0])
    assert {parameter for parameter, _ in model.named_parameters()} == dict(
        network(kind).module.named_parameters()
    ).keys()


def begun(seed: int) -> bytes:
    """The file of two GRU cells, as it is if they start from something learned."""
    rng, proto = np.random.default_rng(seed), onnx.load_from_string((FILES / "GRUCell-18.onnx").read_bytes())
    arrays = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    start = rng.normal(size=(2, 4)).astype("f")
    new = {"zeros": start} | {
        ahead: start @ arrays[f"{cell}.weight_hh"].T + arrays[f"{cell}.bias_hh"]
        for ahead, cell in (("linear_1", "cell"), ("linear_3", "top"))
    }
    for tensor in proto.graph.initializer:
        if tensor.name in new:
            tensor.CopyFrom(onnx.numpy_helper.from_array(new[tensor.name], tensor.name))
    return proto.SerializeToString()


def test_cells_that_start_from_something_learned_are_runs_from_the_first_step():
    file, x = begun(0), network("GRUCell").inputs["x"].numpy()
    model = tg.load_onnx(file)
    call = model(x)
    assert [(repr(run.cell), len(run)) for run in call.runs.values()] == [("GRUCell(3, 4)", 4), ("GRUCell(4, 4)", 4)]
    names = {name for name, _ in model.named_parameters()}
    assert "zeros" in names and not names & {"linear_1", "linear_3"}
    module = network("GRUCell").module
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(torch.tensor(model.state_dict()[name]))
    start = torch.tensor(model.state_dict()["zeros"], requires_grad=True)
    below = above = start
    for step in torch.tensor(x):
        below = module.cell(step, below)
        above = module.top(below, above)
    above.square().sum().backward()
    (found,) = call.values()
    np.testing.assert_allclose(found.data, above.detach(), rtol=1e-4, atol=1e-6)
    tg.sum(tg.square(found)).backward()
    np.testing.assert_allclose(dict(model.named_parameters())["zeros"].grad, start.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["GRUCell", "both", "GRUCell begun"])
def test_what_was_computed_of_a_start_ahead_is_written_with_the_weights_of_now(name, tmp_path):
    name, _, is_begun = name.partition(" ")
    model = tg.load_onnx(begun(1) if is_begun else FILES / f"{name}-18.onnx")
    for _, parameter in model.named_parameters():
        parameter.data = parameter.data * 0.5 + 0.25
    x = network(name).inputs["x"].numpy()
    tg.save_onnx(model, tmp_path / "again.onnx")
    session = ort.InferenceSession(str(tmp_path / "again.onnx"), providers=["CPUExecutionProvider"])
    for found, wanted in zip(model(x).values(), session.run(None, {"x": x}), strict=True):
        np.testing.assert_allclose(found.data, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN"])
def test_zeros_to_start_from_are_no_parameters(name):
    made = network(name)
    model = tg.load_onnx(scripted(made, 17))
    weights = sum(parameter.numel() for parameter in made.module.parameters())
    assert sum(parameter.data.size for _, parameter in model.named_parameters()) == weights


def test_a_start_that_is_learned_is_a_parameter_and_gets_its_gradient():
    class Learned(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.start = torch.nn.GRUCell(3, 4), torch.nn.Parameter(torch.randn(2, 4))

        def forward(self, x):
            h = self.start
            for t in range(x.shape[0]):
                h = self.cell(x[t], h)
            return h

    torch.manual_seed(0)
    made = Network(Learned(), {"x": torch.randn(4, 2, 3)}, {})
    (run,) = agrees(scripted(made, 17), made, made.inputs).runs.values()
    assert (repr(run.cell), len(run)) == ("GRUCell(3, 4)", 4)


@pytest.mark.parametrize("is_start", [True, False])
def test_zeros_that_are_read_otherwise_stay_parameters(is_start):
    class Shared(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.start = torch.nn.GRUCell(3, 4), torch.nn.Parameter(torch.zeros(2, 4))

        def forward(self, x):
            h = self.start if is_start else torch.zeros(2, 4)  # of the same numbers
            for t in range(x.shape[0]):
                h = self.cell(x[t], h)
            return h + self.start.sin()

    torch.manual_seed(0)
    made = Network(Shared(), {"x": torch.randn(4, 2, 3)}, {})
    agrees(scripted(made, 17), made, made.inputs)


def test_a_line_of_source_is_in_the_error_of_its_node():
    model = tg.load_onnx(FILES / "translator-20.onnx")
    with pytest.raises(ValueError, match=r"networks.py:\d+: .*self.source\(source\)"):
        model([[99]], [[0]])


@pytest.mark.parametrize("opset", [11, 17])
def test_a_scripted_loop_is_one_run_over_all_steps(opset):
    made = network("scripted")
    file = scripted(made, opset)
    agrees(file, made, made.inputs)
    (run,) = agrees(file, made, with_more("scripted", made)).runs.values()
    assert repr(run.cell) == "LSTMCell(3, 4)" and len(run) == 3

"""Cells as ONNX files: run by onnxruntime to the same numbers for other lengths and batches, and back with the same
gradients.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tests.marks import slow_unless
from tests.random_cells import cells, matrix_cells, wide_cells
from tests.strategies import calls
from tinygrad_rnn.interop.onnx_out.ops import ONNX
from tinygrad_rnn.recurrent.states import leaves_of

from ..taken_out import OPTIONS, Call, Draws, Edges, H, Looks, N, Nested, network

onnx = pytest.importorskip("onnx", reason="onnx is not installed: pip install onnx")
runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install onnxruntime")

OPERATORS = {"rnn": "RNN", "irnn": "RNN", "lstm": "LSTM", "peephole": "LSTM", "cifg": "LSTM", "np": "LSTM"}
OPERATORS |= {"gru": "GRU", "gru_before": "GRU"}
CLOSE = {"float32": 1e-5, "float64": 1e-10}


def session(path: Path) -> Any:
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return runtime.InferenceSession(str(path), options)


def kinds(path: Path) -> list[str]:
    """The recurrent nodes of a file."""
    return [node.op_type for node in onnx.load(path).graph.node if node.op_type in ("RNN", "LSTM", "GRU", "Scan")]


def check(network: Any, path: Path, *, starts: bool = False, run: Any = None, **options: Any) -> None:
    """The file gives what `network` does, in onnxruntime and here, for lengths and batches that were not traced."""
    tg.save_onnx(run or network, path, **options)
    model, rng = session(path), np.random.default_rng(0)
    dtype = np.dtype(options.get("dtype") or network.dtype)
    names = [port.name for port in model.get_outputs()]
    assert names[0] == "outputs" and all(name.endswith("_final") for name in names[1:])
    for steps, batch in ((4, 2), (2, 3)):
        x = rng.normal(size=(options.get("steps", steps), batch, network.input_size)).astype(dtype)
        feeds, state = {"x": x}, None
        if starts:
            with tg.no_grad():
                like = network.initial_state(batch)
                values = [np.asarray(getattr(v, "data", v)) + rng.normal(size=v.shape) for v in like]
            state = network.State(*values)
            feeds |= {f"{n}_init": v.astype(dtype) for n, v in zip(network.state_names, values, strict=True)}
        with np.errstate(all="ignore"):
            ours = results(network, x, state)
        for name, own, their in zip(names, ours, model.run(None, feeds), strict=True):
            assert (their.shape, their.dtype) == (own.shape, dtype)
            np.testing.assert_allclose(their, own.data, rtol=0.0, atol=close(own, dtype), err_msg=name)
    with np.errstate(all="ignore"):
        check_return(network, tg.load_onnx(path), feeds, state, dtype)


def close(value: Any, dtype: np.dtype[Any]) -> float:
    """How near another value of that precision has to be."""
    return CLOSE[dtype.name] * max(1.0, float(np.abs(value.data).max(initial=0.0)))


def check_return(network: Any, again: Any, feeds: Any, state: Any, dtype: np.dtype[Any]) -> None:
    """A model that came back has the values and gradients of `network`."""
    xs = [tg.tensor(feeds["x"].astype(network.dtype), requires_grad=True), tg.tensor(feeds["x"], requires_grad=True)]
    ours, theirs = results(network, xs[0], state), list(again(**{**feeds, "x": xs[1]}).values())
    rng = np.random.default_rng(1)
    weights = [rng.normal(size=value.shape) for value in ours]
    named = {name: p for name, p in network.named_parameters() if p.requires_grad}, dict(again.named_parameters())
    gradients = []
    for outputs, x, parameters in zip((ours, theirs), xs, named, strict=True):
        loss = sum(tg.sum(v * w) for v, w in zip(outputs, weights, strict=True))
        gradients.append(tg.grad(loss, [x, *parameters.values()]))
    for own, their in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(their.data, own.data, rtol=0.0, atol=close(own, dtype))
    own_x, their_x = (found[0] for found in gradients)
    np.testing.assert_allclose(their_x.data, own_x.data, rtol=0.0, atol=10 * close(own_x, dtype))
    found = [dict(zip(names, values[1:], strict=True)) for names, values in zip(named, gradients, strict=True)]
    for name in named[0].keys() & named[1].keys():
        own, their = (values[name] for values in found)
        np.testing.assert_allclose(their.data, own.data, rtol=0.0, atol=10 * close(own, dtype))
    if any(name.endswith(".W") for name in named[1]):  # the same numbers in another order
        sums = [
            sum(float(np.sum(p.data * g[n].data)) for n, p in ps.items()) for ps, g in zip(named, found, strict=True)
        ]
        np.testing.assert_allclose(sums[1], sums[0], rtol=1e-3, atol=1e-3)
    else:
        assert not named[0].keys() - named[1].keys() - {"start"}


def results(network: Any, x: Any, state: Any = None) -> list[Any]:
    run = tg.unroll(network, x, state)
    return [run.stacked, *leaves_of((run.final_state,))]


@pytest.mark.parametrize("name", slow_unless(("lstm", "gru_before", "clockwork"), tg.cells.names()))
def test_every_cell(name: str, tmp_path: Path) -> None:
    cell, path = tg.cells.get(name)(N, H, seed=0), tmp_path / "cell.onnx"
    check(cell, path, starts=name not in ("clockwork", "slstm"))
    assert kinds(path) == ["Scan"]
    check(cell, path, starts=name not in ("clockwork", "slstm"), dtype=np.float32)
    assert kinds(path) == [OPERATORS.get(name, "Scan")]


def test_models_of_files_go_back_with_their_parameters(tmp_path: Path) -> None:
    first, second = tmp_path / "a.onnx", tmp_path / "b.onnx"
    tg.save_onnx(network(), first, dtype=np.float32)
    model = tg.load_onnx(first)
    tg.save_onnx(model, second)
    assert second.read_bytes() == first.read_bytes()
    model.load_state_dict({name: 1.5 * value for name, value in model.state_dict().items()})
    tg.save_onnx(model, second)
    x = np.random.default_rng(0).normal(size=(3, 2, N)).astype("f")
    (own, *_), (their, *_) = model(x=x).values(), session(second).run(None, {"x": x})
    np.testing.assert_allclose(their, own.data, atol=1e-6)
    tg.save_onnx(model.layers and tg.load_onnx(second).__call__(x=x).runs["layer1"], first)
    inner = session(first).run(None, {"x": np.zeros((2, 2, 9), "f")})
    assert inner[0].shape == (2, 2, H)
    with pytest.raises(ValueError, match="goes back as it is"):
        tg.save_onnx(model, second, steps=3)


@pytest.mark.parametrize("kind", ["bfloat16", "float16", "external", "float_data", "constant", "function"])
def test_parameters_wherever_they_stand(kind: str, tmp_path: Path) -> None:
    helper, numbers = onnx.helper, onnx.numpy_helper
    values = np.linspace(-1.0, 1.0, 6).reshape(2, 3).astype("f")
    tensor = numbers.from_array(values, "w")
    code = onnx.TensorProto.FLOAT
    if kind == "bfloat16":
        tensor = helper.make_tensor("w", onnx.TensorProto.BFLOAT16, (2, 3), values.reshape(-1).tolist())
    if kind == "float16":
        tensor = numbers.from_array(values.astype(np.float16), "w")
    if kind == "float_data":
        tensor = helper.make_tensor("w", code, (2, 3), values.reshape(-1).tolist())
    nodes = [helper.make_node("Cast", ["w"], ["v"], to=code), helper.make_node("MatMul", ["v", "x"], ["y"])]
    functions, domains = [], [helper.make_opsetid("", 18)]
    if kind in ("constant", "function"):
        nodes.insert(0, helper.make_node("Constant", [], ["w"], value=tensor))
    if kind == "function":
        functions = [helper.make_function("own", "F", ["x"], ["y"], nodes, domains)]
        nodes, domains = [helper.make_node("F", ["x"], ["y"], domain="own")], [*domains, helper.make_opsetid("own", 1)]
    ports = [helper.make_tensor_value_info("x", code, [3, "n"])], [helper.make_tensor_value_info("y", code, [2, "n"])]
    graph = helper.make_graph(nodes, "g", *ports, [] if kind in ("constant", "function") else [tensor])
    made = helper.make_model(graph, opset_imports=domains, ir_version=8, functions=functions)
    source, path = tmp_path / "in" / "a.onnx", tmp_path / "b.onnx"
    source.parent.mkdir()
    onnx.save(made, source, save_as_external_data=kind == "external", size_threshold=0)
    model = tg.load_onnx(source)
    tg.save_onnx(model, path)
    x = np.eye(3, dtype="f")
    np.testing.assert_array_equal(tg.load_onnx(path)(x=x)["y"].data, model(x=x)["y"].data)
    (name,) = model.state_dict()
    model.load_state_dict({name: np.pi * model.state_dict()[name]})
    if kind == "function":
        with pytest.raises(tg.UnsupportedError, match="stands in a function"):
            tg.save_onnx(model, path)
        return
    tg.save_onnx(model, path)
    rounding = {"bfloat16": 2**-8, "float16": 2**-11}.get(kind, 0.0)
    np.testing.assert_allclose(tg.load_onnx(path)(x=x)["y"].data, model(x=x)["y"].data, rtol=rounding, atol=0.0)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_options(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    check(tg.cells.get(name)(N, H, seed=0, **options), tmp_path / "cell.onnx", dtype="float32")


SINGLE = ("arctan", "arctan2", "erf")
"""What onnxruntime has in float32 alone."""


@pytest.mark.parametrize("name", slow_unless(("getitem", "scatter"), sorted(tg.PRIMITIVES)))
@settings(max_examples=2, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_primitive(name: str, tmp_path: Path, data: Any) -> None:
    options = {"dtype": np.float32} if name in SINGLE else {}
    check(Call(data.draw(calls(name))), tmp_path / "a.onnx", **options)


@pytest.mark.parametrize(
    "kind",
    [cells(), pytest.param(wide_cells(), marks=pytest.mark.slow), pytest.param(matrix_cells(), marks=pytest.mark.slow)],
)
@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_random_cells(kind: Any, tmp_path: Path, data: Any) -> None:
    cell = data.draw(kind)
    x = np.random.default_rng(0).normal(size=(4, 2, cell.input_size))
    with np.errstate(all="ignore"):
        values = [value.data for value in results(cell, x)]
    if all(np.all(np.abs(value) < 1e6) for value in values):  # numbers that overflow soon agree with nobody's
        check(cell, tmp_path / "a.onnx", **data.draw(st.sampled_from([{}, {"dtype": np.float32}, {"steps": 2}])))


def test_stacks_directions_and_cells_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    check(network(), path)
    assert kinds(path) == ["Scan"] * 3
    check(network(), path, dtype=np.float32)
    assert kinds(path) == ["LSTM", "GRU", "LSTM"]
    pair = tg.Bidirectional(tg.cells.CIFGCell(N, 2, seed=0), tg.cells.CIFGCell(N, 2, seed=1))
    check(tg.Stacked(pair, tg.Bidirectional(*[tg.cells.GRUCell(4, 3, seed=k) for k in (2, 3)])), path, dtype="float32")
    assert kinds(path) == ["LSTM", "GRU"]  # both directions in one node
    check(Nested(), path)
    check(Nested(), path, dtype=np.float32)
    check(Edges(), path)
    check(tg.cells.PeepholeLSTMCell(N, H, seed=0, cut_peepholes=True), path, dtype=np.float32)
    assert kinds(path) == ["Scan"]
    check(tg.Stacked(tg.compile(tg.cells.GRUCell(N, H, seed=0), backend="numpy")), path)


def test_plain_nodes_on_request(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    for one in (network(), tg.cells.GRUCell(N, H, seed=0), Nested()):
        check(one, path, steps=3)
        assert not kinds(path)
    check(tg.cells.LSTMCell(N, H, seed=0), path, steps=1, dtype=np.float32)


def test_runs_keep_their_start_and_their_direction(tmp_path: Path) -> None:
    path, cell = tmp_path / "a.onnx", tg.cells.LSTMCell(N, H, seed=0)
    x = np.random.default_rng(0).normal(size=(4, 2, N))
    for dtype in (np.float32, np.float64):
        run = tg.unroll(cell, x, (np.full((2, H), 0.5), np.full((2, H), -0.25)), reverse=True)
        tg.save_onnx(run, path, dtype=dtype)
        found = session(path).run(None, {"x": x.astype(dtype)})
        np.testing.assert_allclose(found[0], run.stacked.data, atol=CLOSE[np.dtype(dtype).name])
        np.testing.assert_allclose(found[2], run.final_state.c.data, atol=CLOSE[np.dtype(dtype).name])
        other = session(path).run(None, {"x": x[:, [0, 1, 0]].astype(dtype)})  # it began alike in every sequence
        np.testing.assert_allclose(other[0][:, :2], found[0], atol=1e-6)
    with pytest.raises(tg.UnsupportedError, match="count for no sequence"):
        tg.save_onnx(tg.unroll(cell, x, lengths=[4, 2]), tmp_path / "b.onnx")
    stack = tg.Stacked(cell, tg.cells.RNNCell(H, H, seed=1))
    with pytest.raises(tg.UnsupportedError, match="masks of its own"):
        tg.save_onnx(tg.unroll(stack, x, between=[np.ones((4, 2, H))]), tmp_path / "b.onnx")
    with pytest.raises(tg.UnsupportedError, match="began anew on the way"):
        tg.save_onnx(tg.unroll(cell, x, restarts={2: (np.ones((2, H)), None)}), tmp_path / "b.onnx")
    assert not (tmp_path / "b.onnx").exists()


def test_files_for_one_size_of_a_batch(tmp_path: Path) -> None:
    class Two(tg.cells.GRUCell):
        def step(self, x: Any, state: Any) -> Any:
            if x.shape[0] != 2:
                raise ValueError(f"Two takes a batch of 2, got {x.shape[0]}")
            return super().step(x, state)

    path, x = tmp_path / "a.onnx", np.random.default_rng(0).normal(size=(3, 2, N))
    with pytest.raises(tg.UnsupportedError, match=r"Two takes a batch of 2, got 5; .* batch="):
        tg.save_onnx(Two(N, H), path)
    for cell in (Two(N, H, seed=0), network(), Nested(), tg.cells.SLSTMCell(N, H, seed=0)):
        for options in ({}, {"steps": 3}):
            tg.save_onnx(tg.unroll(cell, x), path, batch=2, **options)  # type: ignore[arg-type]
            axes = [
                axis.dim_param or axis.dim_value for axis in onnx.load(path).graph.input[0].type.tensor_type.shape.dim
            ]
            assert axes == [options.get("steps", "T"), 2, N]
            np.testing.assert_allclose(
                session(path).run(None, {"x": x})[0], tg.unroll(cell, x).stacked.data, atol=1e-12
            )
    with pytest.raises(ValueError, match=r"state h has shape \(2, 4\) in the run, and \(3, 4\) for batch=3"):
        tg.save_onnx(tg.unroll(cell, x, [np.eye(*v.shape) for v in cell.initial_state(2)]), path, batch=3)


class Names(tg.Cell):
    """Whatever a file calls something itself, as names of states, parameters and gates."""

    state_names = ("x", "outputs")

    def __init__(self) -> None:
        super().__init__(N, H, seed=0)
        names = [
            "",
            "x",
            "outputs",
            "x_final",
            "x_init",
            "batch_size",
            "shape",
            "Names",
            "output",
            "x_t",
            "x_next",
            "x_2",
        ]
        names += ["f", "a/b", "<b>", "日本"]
        self.weights = [self.parameter(name, (H,), np.full(H, 0.1 * k)) for k, name in enumerate(names)]
        self.w = self.parameter("w", (H, N))

    def step(self, x: Any, state: Any) -> Any:
        shape, gate = tg.named(shape=tg.sigmoid(x @ self.w.T + state[0]), f=tg.tanh(sum(self.weights) * state[1]))
        return tg.named(**{"<i>": shape * gate, "x_final": gate + shape})


def test_names_that_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    for cell, options in ((Names(), {}), (Names(), {"steps": 2}), (tg.Stacked(Names(), tg.cells.RNNCell(H, 2)), {})):
        tg.save_onnx(cell, path, **options)  # type: ignore[arg-type]
        x = np.random.default_rng(0).normal(size=(2, 3, N))
        wanted = [value.data for value in results(cell, x)]
        for own, their, back in zip(
            wanted, session(path).run(None, {"x": x}), tg.load_onnx(path)(x).values(), strict=True
        ):
            np.testing.assert_allclose(their, own, atol=1e-12)
            np.testing.assert_allclose(back.data, own, atol=1e-12)


def test_the_same_bytes_and_names_that_can_be_read(tmp_path: Path) -> None:
    first, second = tmp_path / "a.onnx", tmp_path / "b.onnx"
    for path in (first, second):
        assert tg.save_onnx(tg.cells.LSTMCell(N, H, seed=0), path) == path
    assert first.read_bytes() == second.read_bytes()
    model = onnx.load(first)
    assert (model.ir_version, model.opset_import[0].version, model.producer_name) == (8, 18, "tinygrad_rnn")
    shapes = {
        port.name: [axis.dim_param or axis.dim_value for axis in port.type.tensor_type.shape.dim]
        for port in [*model.graph.input, *model.graph.output]
    }
    states = {f"{name}_{end}": ["batch", H] for name in "hc" for end in ("init", "final")}
    assert shapes == {"x": ["T", "batch", N], "outputs": ["T", "batch", H], **states}
    names = {tensor.name for tensor in model.graph.initializer}
    assert names == {"weight_ih", "weight_hh", "bias_ih", "bias_hh", "h_init", "c_init"}
    (scan,) = [node for node in model.graph.node if node.op_type == "Scan"]
    body = scan.attribute[0].g
    assert [port.name for port in body.input] == ["h", "c", "x_t"]
    assert {"i", "f", "g", "o", "c", "h"} <= {node.name for node in body.node}
    kinds_inside = [node.op_type for node in body.node]
    assert "Transpose" not in kinds_inside  # of the weights: once, around the loop
    assert kinds_inside.count("Split") == 1 and "Slice" not in kinds_inside
    described = {value.name for graph in (model.graph, body) for value in [*graph.value_info, *graph.output]}
    made = {name for graph in (model.graph, body) for node in graph.node for name in node.output}
    assert made <= described


def test_what_cannot_go_is_refused_by_name(tmp_path: Path) -> None:
    class Gelu(tg.cells.RNNCell):
        def step(self, x: Any, state: Any) -> Any:
            return (tg.erf(super().step(x, state)[0]),)

    path = tmp_path / "a.onnx"
    for cell, message in (
        (Looks(N, H), "save_onnx: Looks"),
        (Draws(N, H), "Draws.*depends on the batch size, or on the call"),
        (Gelu(N, H), "Gelu: erf: onnxruntime has no Erf of float64; give dtype=np.float32"),
        (tg.compile([tg.cells.RNNCell(N, H)], backend="numpy"), "one of its members"),
        (tg.cells.RNNCell(N, H, dtype=np.float16), "is in float16"),
    ):
        with pytest.raises(tg.UnsupportedError, match=message):
            tg.save_onnx(cell, path)
    with pytest.raises(TypeError, match="got int"):
        tg.save_onnx(3, path)
    for options in ({"steps": 0}, {"batch": -1}, {"dtype": np.int32}):
        with pytest.raises(ValueError, match=next(iter(options))):
            tg.save_onnx(tg.cells.RNNCell(N, H), path, **options)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        tg.save_onnx(tg.cells.RNNCell(N, H), tmp_path / "nowhere" / "a.onnx")
    assert not path.exists()
    check(Gelu(N, H, seed=0), path, dtype=np.float32)


def test_a_model_that_onnx_finds_wrong_is_refused_by_its_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell, refusal = (
        tg.cells.RNNCell(N, H, dtype=np.float64),
        r"\Asave_onnx: RNNCell\(.*\) does not pass onnx.checker: .*\Z",
    )
    for wrong in ("ReduceSum", "NoSuchOperator"):
        monkeypatch.setitem(ONNX, "tanh", lambda at, x, wrong=wrong: at.node(wrong, x))
        for options in ({}, {"steps": 2}):
            with pytest.raises(tg.UnsupportedError, match=refusal):
                tg.save_onnx(cell, tmp_path / "a.onnx", **options)
    assert not list(tmp_path.iterdir())


def test_a_loop_of_jax_over_stacked_values_has_outputs_with_all_their_axes(tmp_path: Path) -> None:
    jax = pytest.importorskip("jax", reason="JAX is not installed: pip install jax")

    def branching(params: Any, x: Any) -> Any:
        def step(h: Any, xt: Any) -> Any:
            return jax.lax.cond(xt.sum() > 0, lambda h: jax.numpy.tanh(h @ params["u"]), lambda h: 0.5 * h, h), h

        return jax.lax.scan(step, jax.numpy.ones((2, H)), x)[1]

    rng, path = np.random.default_rng(0), tmp_path / "a.onnx"
    params, x = {"u": rng.normal(size=(H, H)).astype("f")}, rng.normal(size=(5, 2, 3)).astype("f")
    (run,) = tg.from_jax(branching, params, x)(x).runs.values()
    expected = branching(params, x)
    for options in ({}, {"batch": 1}, {"steps": 5}):
        tg.save_onnx(run, path, **options)  # type: ignore[arg-type]
        found = session(path).run(["outputs"], {"x": np.stack([value.data for value in run.inputs])})[0]
        np.testing.assert_allclose(found[:, 0], expected, atol=CLOSE["float32"])

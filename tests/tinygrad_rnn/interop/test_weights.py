"""PyTorch's weights: the numbers and gradients are PyTorch's, whatever holds them; what does not fit is named."""

from __future__ import annotations

import importlib.metadata
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tests.marks import slow_unless
from tinygrad_rnn.recurrent.states import leaves_of

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script. is:DeprecationWarning")

KINDS = {
    "rnn": ("RNN", {}),
    "relu": ("RNN", {"nonlinearity": "relu"}),
    "lstm": ("LSTM", {}),
    "projected": ("LSTM", {"proj_size": 2}),
    "gru": ("GRU", {}),
}


def network(torch: Any, kind: str, layers: int = 1, bidirectional: bool = False, bias: bool = True) -> Any:
    torch.manual_seed(layers)
    name, options = KINDS[kind]
    return getattr(torch.nn, name)(3, 5, layers, bias=bias, bidirectional=bidirectional, **options).double()


def close(ours: Any, theirs: Any, what: str) -> None:
    np.testing.assert_allclose(ours, theirs.detach().numpy().reshape(np.shape(ours)), 1e-12, 1e-12, err_msg=what)


def check(torch: Any, cell: Any, module: Any) -> None:
    """Outputs, final states and all gradients, from states of their own, are those of the module."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 2, cell.input_size))
    start = [rng.normal(size=leaf.shape) for leaf in leaves_of((cell.initial_state(2),))]
    ours_x, ours_start = tg.tensor(x, requires_grad=True), [tg.tensor(s, requires_grad=True) for s in start]
    run = tg.unroll(cell, ours_x, tg.recurrent.states.rebuild((cell.initial_state(2),), iter(ours_start))[0])
    finals = leaves_of((run.final_state,))
    weights = [rng.normal(size=run.stacked.shape), *(rng.normal(size=s.shape) for s in start)]
    loss = sum(tg.sum(v * w) for v, w in zip([run.stacked, *finals], weights, strict=True))
    loss.backward()

    states = len(start) // (module.num_layers * (1 + module.bidirectional))
    their_start = [torch.tensor(np.stack(start[k::states]), requires_grad=True) for k in range(states)]
    their_x = torch.tensor(x, requires_grad=True)
    outputs, final = module(their_x, tuple(their_start) if states > 1 else their_start[0])
    final = final if states > 1 else (final,)
    total = (outputs * torch.tensor(weights[0])).sum()
    total = total + sum((f * torch.tensor(np.stack(weights[1:][k::states]))).sum() for k, f in enumerate(final))
    total.backward()

    close(run.stacked.data, outputs, "outputs")
    close(ours_x.grad, their_x.grad, "gradient by the input")
    for k in range(states):
        close(np.stack([v.data for v in finals[k::states]]), final[k], f"final state {k}")
        close(np.stack([v.grad for v in ours_start[k::states]]), their_start[k].grad, f"gradient by initial state {k}")
    named = tg.Stacked(cell) if not isinstance(cell, tg.Stacked) else cell
    assert {name for name, _ in named.named_parameters()} == {name for name, _ in module.named_parameters()}
    for name, parameter in named.named_parameters():
        close(parameter.grad, getattr(module, name).grad, f"gradient by {name}")


GRID = [*itertools.product(KINDS, (1, 2), (False, True), (True, False))]
QUICK = [*itertools.product(KINDS, (2,), (True,), (True,)), *itertools.product(KINDS, (1,), (False,), (False,))]


@pytest.mark.parametrize(("kind", "layers", "both", "bias"), slow_unless(QUICK, GRID))
def test_numbers_and_every_gradient_are_pytorchs(torch: Any, kind: str, layers: int, both: bool, bias: bool) -> None:
    module = network(torch, kind, layers, both, bias)
    cell = tg.load_torch(module)
    wanted = tg.Stacked if layers > 1 else tg.Bidirectional if both else tg.Cell
    assert isinstance(cell, wanted) and cell.dtype == np.float64 and cell.initialisation == "loaded weights"
    check(torch, cell, module)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("both", [False, True])
def test_the_way_back(torch: Any, kind: str, both: bool) -> None:
    module, other = network(torch, kind, 1, both), network(torch, kind, 1, both)
    cell = tg.load_torch(module)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    back = {name: torch.tensor(value) for name, value in tg.Stacked(cell).state_dict().items()}
    assert list(other.load_state_dict(back, strict=True)) == [[], []]
    for name, value in module.state_dict().items():
        assert torch.equal(other.state_dict()[name], value), name


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("kind", "options"), [("RNN", {"nonlinearity": "relu"}), ("LSTM", {}), ("GRU", {})])
def test_cells(torch: Any, kind: str, options: Any, bias: bool) -> None:
    module = getattr(torch.nn, f"{kind}Cell")(3, 5, bias=bias, **options)
    for source in (module, torch.nn.ModuleDict({"inner": module}), torch.jit.script(module)):
        cell = tg.load_torch(source)
        assert type(cell) is getattr(tg.cells, f"{kind}Cell") and cell.dtype == np.float32
        assert getattr(cell, "nonlinearity", "relu") == "relu"
    x, state = torch.ones(2, 3), [torch.full((2, 5), 0.5)] * len(cell.state_names)
    theirs = module(x, tuple(state) if len(state) > 1 else state[0])
    for ours, its in zip(
        cell(x.numpy(), [s.numpy() for s in state]), theirs if len(state) > 1 else [theirs], strict=True
    ):
        np.testing.assert_allclose(ours.data, its.detach(), rtol=1e-6, atol=1e-6)
    module.load_state_dict({name: torch.tensor(value) for name, value in cell.state_dict().items()}, strict=True)


# ------------------------------------------------------------------------------ where weights may be


WRAPPED: Any = {
    "module": lambda torch, module: torch.nn.ModuleDict({"encoder": torch.nn.ModuleDict({"rnn": module})}),
    "parallel": lambda torch, module: torch.nn.DataParallel(torch.nn.ModuleDict({"rnn": module})),
    "scripted": lambda torch, module: torch.jit.script(torch.nn.Sequential(module)),
    "state_dict": lambda torch, module: module.state_dict(),
    "arrays": lambda torch, module: {name: value.numpy() for name, value in module.state_dict().items()},
    "nested": lambda torch, module: {
        "epoch": 3,
        "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}},
        "model_state": [{f"module.rnn.{name}": value for name, value in module.state_dict().items()}],
    },
}


@pytest.mark.parametrize("how", WRAPPED)
@pytest.mark.parametrize("kind", slow_unless(("relu", "projected"), KINDS))
def test_wherever_weights_are_nested(torch: Any, how: str, kind: str) -> None:
    module = network(torch, kind, 2, True)
    cell = tg.load_torch(WRAPPED[how](torch, module))
    for name, value in module.state_dict().items():
        np.testing.assert_array_equal(cell.state_dict()[name], value.numpy())
    first: Any = cell.layers[0]  # type: ignore[union-attr]
    known = how in ("module", "parallel", "scripted")  # a state_dict does not say it
    assert getattr(first.forward, "nonlinearity", "") == (
        {"rnn": "tanh", "relu": "relu" if known else "tanh"}.get(kind, "")
    )


def test_computed_weights_are_read_as_they_are(torch: Any) -> None:
    module = torch.nn.utils.parametrizations.weight_norm(torch.nn.LSTM(3, 5), "weight_hh_l0")
    np.testing.assert_array_equal(tg.load_torch(module).weight_hh.data, module.weight_hh_l0.detach())  # type: ignore[union-attr]


def test_a_prefix_chooses(torch: Any) -> None:
    model = torch.nn.ModuleDict(
        {"encoder": torch.nn.ModuleDict({"rnn": torch.nn.LSTM(3, 4)}), "rnn": torch.nn.GRU(4, 2)}
    )
    nested = {"state_dict": {f"module.{name}": value for name, value in model.state_dict().items()}}
    for source in (model, model.state_dict(), nested):
        with pytest.raises(
            ValueError, match=r"several recurrent networks, '.*encoder.rnn', '.*rnn'; choose one with prefix="
        ):
            tg.load_torch(source)
        for prefix in ("encoder", "encoder.", "encoder.rnn", "encoder.rnn."):
            assert repr(tg.load_torch(source, prefix=prefix)) == "LSTMCell(3, 4)"
    assert repr(tg.load_torch(model, prefix="rnn")) == "GRUCell(4, 2)"
    assert repr(tg.load_torch(nested, prefix="module.rnn")) == "GRUCell(4, 2)"
    with pytest.raises(
        KeyError, match=r"behind prefix 'encodr'; nearest to encodr is encoder.rnn; there are 'encoder.rn"
    ):
        tg.load_torch(model, prefix="encodr")


def test_layers_and_directions_may_differ() -> None:
    """No module of PyTorch's is so, but a stack of ours may be."""
    pair = tg.Bidirectional(tg.cells.LSTMCell(3, 4, seed=0), tg.cells.LSTMCell(3, 5, seed=1))
    cell = tg.Stacked(pair, tg.cells.ProjectedLSTMCell(9, 4, 2, seed=2))
    with pytest.raises(KeyError, match=r"missing \[.*'weight_hh_l1_reverse', 'weight_hr_l0', .*unknown nothing"):
        tg.load_torch(cell.state_dict())
    for same in (pair, tg.Stacked(tg.cells.GRUCell(3, 4, seed=0), tg.cells.RNNCell(4, 2, seed=1))):
        assert repr(tg.load_torch(same.state_dict())) == repr(same)


def test_what_holds_itself_has_an_end(torch: Any) -> None:
    state: Any = {"rnn": dict(torch.nn.GRU(3, 4).state_dict())}
    state["again"] = state
    assert repr(tg.load_torch(state)) == "GRUCell(3, 4)"


@pytest.mark.parametrize(
    ("stored", "asked", "found"),
    [
        ("float32", None, "float32"),
        ("float64", None, "float64"),
        ("float16", None, "float32"),
        ("bfloat16", None, "float32"),
        ("float32", "float64", "float64"),
        ("float64", np.float32, "float32"),
    ],
)
def test_types_of_numbers(torch: Any, tmp_path: Path, stored: str, asked: Any, found: str) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    module = torch.nn.LSTM(3, 4).to(getattr(torch, stored))
    paths = [tmp_path / "a.pt", tmp_path / "a.safetensors"]
    torch.save(module.state_dict(), paths[0])
    safetensors.save_file(module.state_dict(), paths[1])
    for source in (module, module.state_dict(), *paths):
        cell = tg.load_torch(source, dtype=asked)
        assert cell.dtype == cell.parameters()[0].dtype == np.dtype(found)
        np.testing.assert_array_equal(
            cell.state_dict()["weight_hh"], module.weight_hh_l0.detach().double().numpy().astype(found)
        )


def test_the_widest_type_wins(torch: Any) -> None:
    module = torch.nn.LSTM(3, 4)
    state = {**module.state_dict(), "bias_ih_l0": module.bias_ih_l0.detach().double() / 3}
    cell = tg.load_torch(state)
    assert cell.dtype == np.float64
    np.testing.assert_array_equal(cell.state_dict()["bias_ih"], state["bias_ih_l0"].numpy())


# ------------------------------------------------------------------------------------------- refused


def of(torch: Any, change: dict[str, Any] | None = None, without: str = "", *arguments: Any, **options: Any) -> Any:
    state = torch.nn.LSTM(3, 4, *arguments, **options).state_dict()
    return {f"rnn.{name}": value for name, value in {**state, **(change or {})}.items() if name != without}


def two(torch: Any, change: dict[str, Any], **options: Any) -> Any:
    return of(torch, change, "", 2, **options)


REFUSED: list[tuple[Any, type[Exception], str]] = [
    (lambda t: of(t, {}, "bias_hh_l0"), KeyError, r"'rnn' has missing \['bias_hh_l0'\].*nearest to .* is bias_ih_l0"),
    (lambda t: of(t, {}, "weight_hh_l0"), KeyError, r"missing \['weight_hh_l0'\]"),
    (lambda t: of(t, {}, "weight_hh_l0_reverse", bidirectional=True), KeyError, r"missing \['weight_hh_l0_reverse'\]"),
    (lambda t: of(t, {}, "weight_hr_l1", 2, proj_size=2), KeyError, r"missing \['weight_hr_l1'\]"),
    (lambda t: of(t, {"weight_ih_l2": t.ones(16, 4)}), KeyError, r"missing \[.*'weight_hh_l1', 'weight_hh_l2'"),
    (lambda t: of(t, {"weight_hi_l0": t.ones(2)}), KeyError, r"unknown \['weight_hi_l0'\]; nearest to weight_hi_l0 is"),
    (lambda t: two(t, {"weight_ih_l1": t.ones(16, 3)}), ValueError, "rnn.weight_ih_l1 reads 3 features, .* gives 4"),
    (lambda t: two(t, {"weight_ih_l1": t.ones(16, 4)}, bidirectional=True), ValueError, "l1 reads 4 .* gives 8"),
    (
        lambda t: of(t, {"weight_hh_l0": t.ones(16, 5)}),
        ValueError,
        "weight_ih_l0 has 16 rows for 5 units; an LSTM has 4",
    ),
    (lambda t: of(t, {"weight_hh_l0": t.ones(12, 4)}), ValueError, r"hh_l0 has shape \(12, 4\), must have \(16, 4\)"),
    (lambda t: of(t, {"weight_hr_l0": t.ones(4, 16)}), ValueError, "16 rows for 16 units; .* projection only an LSTM"),
    (lambda t: of(t, {"bias_hh_l0": t.ones(15)}), ValueError, r"rnn.bias_hh_l0 has shape \(15,\), must have \(16,\)"),
    (lambda t: of(t, {"bias_hh_l0": t.ones(16, 1)}), ValueError, r"bias_hh_l0 has shape \(16, 1\)"),
    (lambda t: of(t, {"weight_ih_l0": t.ones(16, 0)}), ValueError, r"weight_ih_l0 has shape \(16, 0\)"),
    (lambda t: of(t, {"bias_hh_l0": t.ones(16).int()}), ValueError, "rnn.bias_hh_l0 holds int32, not floating"),
    (lambda t: of(t, {"bias_hh_l0": t.ones(16).cfloat()}), ValueError, "rnn.bias_hh_l0 holds complex64"),
    (lambda t: of(t, {"bias_hh_l0": t.ones(16, device="meta")}), ValueError, "bias_hh_l0 cannot be read: .*meta"),
    (lambda t: t.nn.Linear(2, 3), ValueError, "this Linear has no recurrent weights .*; it has weight, bias"),
    (lambda t: {"a": 1}, ValueError, "this dict has no recurrent weights .*; it has no tensors"),
    (lambda t: t.ones(3), TypeError, "needs a torch.nn.Module, a state_dict or the path of a file, got Tensor"),
]


@pytest.mark.parametrize(("make", "error", "message"), REFUSED)
def test_what_fits_no_network_is_named(torch: Any, make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"load_torch: .*{message}"):
        tg.load_torch(make(torch))


@pytest.mark.slow
@given(st.data())
def test_a_changed_shape_is_refused_or_a_network(torch: Any, data: Any) -> None:
    """No shape goes unnoticed: what loads has the shapes that were given."""
    both, layers = data.draw(st.booleans()), data.draw(st.integers(1, 2))
    module = network(torch, data.draw(st.sampled_from(list(KINDS))), layers, both)
    state = {name: value.numpy() for name, value in module.state_dict().items()}
    name = data.draw(st.sampled_from(sorted(state)))
    shape = tuple(data.draw(st.lists(st.integers(0, 21), min_size=0, max_size=3)))
    state[name] = np.ones(shape)
    try:
        cell = tg.load_torch(state)
    except (ValueError, KeyError):
        return
    loaded = tg.Stacked(cell) if not isinstance(cell, tg.Stacked) else cell
    assert {key: value.shape for key, value in loaded.state_dict().items()} == {k: v.shape for k, v in state.items()}


def test_weights_that_somebody_trained(torch: Any) -> None:
    """Resemblyzer's speaker encoder, read out of its package, which is not imported."""
    try:
        listed = importlib.metadata.files("resemblyzer") or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("needs the weights in a package: pip install --no-deps resemblyzer==0.1.4")
    (path,) = [file.locate() for file in listed if file.name == "pretrained.pt"]
    cell = tg.load_torch(Path(path))
    assert (
        repr(cell) == "Stacked(LSTMCell(40, 256), LSTMCell(256, 256), LSTMCell(256, 256))" and cell.dtype == np.float32
    )
    state = torch.load(path, map_location="cpu", weights_only=True)["model_state"]
    module = torch.nn.LSTM(40, 256, 3)
    module.load_state_dict({key.removeprefix("lstm."): v for key, v in state.items() if key.startswith("lstm.")})
    x = np.random.default_rng(0).normal(size=(40, 2, 40))
    for dtype, close in ((np.float32, 5e-6), (np.float64, 1e-12)):
        run = tg.unroll(tg.load_torch(Path(path), dtype=dtype), x)
        with torch.no_grad():
            outputs, state = (module.double() if dtype is np.float64 else module)(torch.tensor(x.astype(dtype)))
        np.testing.assert_allclose(run.stacked.data, outputs, atol=close)
        for own, *theirs in zip(run.final_state, *state, strict=True):
            for ours, its in zip(own, theirs, strict=True):
                np.testing.assert_allclose(ours.data, its, rtol=close, atol=close)

"""Cells as modules of PyTorch: values, states and every gradient are ours, for any batch, length, state and dtype."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tests.marks import slow_unless
from tests.random_cells import BATCH, MIXING, WIDE, RandomCell, cells
from tests.strategies import calls
from tinygrad_rnn.recurrent.states import leaves_of, rebuild

from ..taken_out import OPTIONS, Call, Edges, H, N, Nested, network


def check(
    torch: Any, cell: Any, module: Any, batch: int = 2, steps: int = 4, start: bool = False, tol: float = 1e-10
) -> None:
    """Outputs, final states and all gradients of the module are those of the cell."""
    rng = np.random.default_rng(batch + steps)
    x = rng.normal(size=(steps, batch, cell.input_size))
    like = cell.initial_state(batch)
    with tg.no_grad():
        given = [np.asarray(leaf) + rng.normal(size=leaf.shape) for leaf in leaves_of((like,))] if start else []
    ours_x, theirs_x = tg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    ours_start = [tg.tensor(value, requires_grad=True) for value in given]
    theirs_start = [torch.tensor(value, requires_grad=True) for value in given]
    with np.errstate(all="ignore"):
        run = tg.unroll(cell, ours_x, rebuild((like,), iter(ours_start))[0] if start else None)
        outputs, state = module(theirs_x, rebuild((like,), iter(theirs_start))[0] if start else None)
        ours, theirs = [run.stacked, *leaves_of((run.final_state,))], [outputs, *leaves_of((state,))]
        weights = [rng.normal(size=value.shape) for value in ours]
        loss = sum(tg.sum(v * w) for v, w in zip(ours, weights, strict=True))
        total = sum((v * torch.tensor(w)).sum() for v, w in zip(theirs, weights, strict=True)) + 0.0 * theirs_x.sum()
        wanted = [ours_x, *ours_start, *(p for p in cell.parameters() if p.requires_grad)]
        gradients = tg.grad(loss, wanted)
    assert [name for name, _ in module.named_parameters()] == [name for name, _ in cell.named_parameters()]
    found = [theirs_x, *theirs_start, *(p for p in module.parameters() if p.requires_grad)]
    slopes = torch.autograd.grad(total, found, allow_unused=True)
    zeros = [torch.zeros_like(value) if slope is None else slope for value, slope in zip(found, slopes, strict=True)]
    for own, their in zip([*ours, *gradients], [*theirs, *zeros], strict=True):
        scale = max(1.0, float(np.abs(np.nan_to_num(own.data)).max(initial=0.0)))
        np.testing.assert_allclose(their.detach().numpy() / scale, own.data / scale, rtol=0.0, atol=tol)


@pytest.mark.parametrize("name", slow_unless(("lstm", "projected", "clockwork", "slstm", "lru"), tg.cells.names()))
def test_every_cell(torch: Any, name: str) -> None:
    cell = tg.cells.get(name)(N, H, seed=0)
    module = tg.to_torch(cell)
    check(torch, cell, module)
    check(torch, cell, module, batch=1, steps=2, start=name not in ("clockwork", "slstm"))
    assert list(module.state_dict()) == list(cell.state_dict())


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_options(torch: Any, name: str, options: dict[str, Any]) -> None:
    cell = tg.cells.get(name)(N, H, seed=0, **options)
    check(torch, cell, tg.to_torch(cell), start=name != "slstm")


def test_stacks_directions_and_compiled_cells(torch: Any) -> None:
    for cell in (
        network(),
        network().layers[0],
        tg.Stacked(tg.compile(tg.cells.GRUCell(N, H, seed=0), backend="numpy")),
    ):
        module = tg.to_torch(cell)
        check(torch, cell, module, start=True)
        check(torch, cell, module, batch=3, steps=1)


def test_weights_go_both_ways(torch: Any) -> None:
    cell, other = network(), network()
    module = tg.to_torch(cell)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(1.5)
    other.load_state_dict(module.state_dict())
    check(torch, other, module)
    module.load_state_dict({name: torch.tensor(value) for name, value in cell.state_dict().items()}, strict=True)
    check(torch, cell, module)


def test_a_cell_of_ones_own(torch: Any) -> None:
    cell = Nested()
    module = tg.to_torch(cell)
    assert not module.frozen.requires_grad and "parts.0.weight_hh" in dict(module.named_parameters())
    for batch in (1, 2, 5):
        check(torch, cell, module, batch)
    check(torch, cell, module, start=True)


def test_kinks_types_and_odd_sizes(torch: Any) -> None:
    cell = Edges()
    module = tg.to_torch(cell)
    check(torch, cell, module, batch=1)
    check(torch, cell, module, batch=3)
    assert module.float()(torch.zeros(2, 2, N))[0].dtype == torch.float32


@pytest.mark.parametrize("name", slow_unless(("backwards", "number", "one or none"), [*WIDE, *MIXING]))
def test_operations_of_values_of_any_width(torch: Any, name: str) -> None:
    cell = RandomCell([(name, 0, 1, None), (name, 3, 2, None)], [2, 3], [3, 4, 5])
    check(torch, cell, tg.to_torch(cell), batch=BATCH if name in MIXING else 3, steps=3)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cell=cells())
def test_random_cells(torch: Any, cell: tg.Cell) -> None:
    try:
        module = tg.to_torch(cell)
    except tg.UnsupportedError as error:  # numbers that overflow at once are compared, too, and no two agree on them
        assert "gives other numbers" in str(error)
        return
    with np.errstate(all="ignore"):
        if np.isfinite(tg.unroll(cell, np.ones((3, 2, N))).stacked.data).all():
            check(torch, cell, module, steps=2)


@pytest.mark.parametrize("name", slow_unless(("getitem", "hypot", "scatter", "where"), sorted(tg.PRIMITIVES)))
@given(data=st.data())
@settings(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_primitive(torch: Any, name: str, data: Any) -> None:
    call = data.draw(calls(name))
    cell = Call(call)
    check(torch, cell, tg.to_torch(cell), batch=1, steps=1)


# --------------------------------------------------------------------------- as any module of PyTorch


def test_types_devices_copies_and_pickles(torch: Any) -> None:
    module = tg.to_torch(network())
    x = torch.randn(5, 2, N, dtype=torch.float64)
    outputs, _ = module(x)
    for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(twin(x)[0], outputs)
    single, _ = copy.deepcopy(module).float()(x.float())
    assert single.dtype == torch.float32 and torch.allclose(single.double(), outputs, atol=1e-6)
    assert copy.deepcopy(module).to("meta")(x.to("meta"))[0].shape == (5, 2, H)


@pytest.mark.parametrize("name", slow_unless(("clockwork",), ["clockwork", "slstm", "lru", "chunker"]))
def test_constants_follow_type_and_device(torch: Any, name: str) -> None:
    module = tg.to_torch(tg.cells.get(name)(N, H, seed=0))
    x = torch.randn(9, 2, N, dtype=torch.float64)
    single, _ = copy.deepcopy(module).float()(x.float())
    assert single.dtype == torch.float32 and torch.allclose(single.double(), module(x)[0], atol=1e-5)
    assert module.to("meta")(x.to("meta"))[0].shape == (9, 2, H)


def test_second_derivatives(torch: Any) -> None:
    module = tg.to_torch(tg.cells.LayerNormLSTMCell(N, 2, seed=0))
    x = torch.randn(2, 1, N, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda value: module(value)[0][-1:], (x,))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit.(script|trace)", "ignore:Converting a tensor", "ignore:The TorchScript")
def test_graphs_of_pytorchs_own(torch: Any) -> None:
    module = tg.to_torch(network())
    x = torch.randn(4, 2, N, dtype=torch.float64)
    traced = torch.jit.trace(module, (x,))
    assert torch.equal(traced(x)[0], module(x)[0]) and traced(torch.cat([x, x], 1))[0].shape == (4, 4, H)
    for name in ("lstm", "sru", "clockwork"):
        cell = tg.cells.get(name)(N, H, seed=0)
        single = tg.to_torch(cell)
        part = single._steps[0]
        values = [x[0], *(torch.tensor(state) for state in cell.initial_state(2))]
        values += [single.get_parameter(name) for name in part.names]
        for own, scripted in zip(part.graph(*values), torch.jit.script(part.graph)(*values), strict=True):
            assert torch.equal(own, scripted)


@pytest.mark.slow
def test_torch_compile(torch: Any) -> None:
    module = tg.to_torch(network())
    x = torch.randn(4, 2, N, dtype=torch.float64)
    torch.testing.assert_close(torch.compile(module, backend="aot_eager", fullgraph=True)(x)[0], module(x)[0])


def test_training_gives_the_same_losses(torch: Any) -> None:
    cell = tg.cells.PeepholeLSTMCell(N, H, seed=0)
    module = tg.to_torch(cell)
    rng = np.random.default_rng(0)
    x, target = rng.normal(size=(6, 5, N)), rng.normal(size=(6, 5, H))
    ours, theirs = tg.optim.SGD(cell.parameters(), lr=0.3), torch.optim.SGD(module.parameters(), lr=0.3)
    losses = []
    for _ in range(5):
        ours.zero_grad()
        theirs.zero_grad()
        own = tg.losses.mse_loss(tg.unroll(cell, x).stacked, target)
        their = torch.nn.functional.mse_loss(module(torch.tensor(x))[0], torch.tensor(target))
        own.backward()
        their.backward()
        ours.step()
        theirs.step()
        losses.append((own.item(), their.item()))
    np.testing.assert_allclose(*np.transpose(losses), rtol=1e-12)
    assert losses[-1][0] < losses[0][0] * 0.99


# ------------------------------------------------------------------------------------------- refused


class Looking(tg.Cell):
    def step(self, x: Any, state: Any) -> Any:
        return (state.h * (2.0 if x[0, 0] > 0 else 1.0),)


class Drawing(tg.Cell):
    def step(self, x: Any, state: Any) -> Any:
        return (state.h + x[:, :1] * np.random.default_rng().normal(size=self.hidden_size),)


class Counting(tg.Cell):
    calls = 0

    def step(self, x: Any, state: Any) -> Any:
        self.calls += 1
        return (state.h + x[:, :1] * (1.0 if self.calls < 3 else 2.0),)


class Branching(tg.Cell):
    def step(self, x: Any, state: Any) -> Any:
        return (state.h + (tg.tanh(x[:, :1]) if x.shape[0] > 6 else x[:, :1]),)


class Curved(tg.Cell):
    def step(self, x: Any, state: Any) -> Any:
        return (state.h + x[:, :1] * math.sqrt(x.shape[0]),)


class Ramp(tg.Cell):
    def step(self, x: Any, state: Any) -> Any:
        return (state.h + x[:, :1] * np.linspace(0.0, 1.0, x.shape[0])[:, None],)


class Misnamed(tg.Cell):
    def __init__(self, *sizes: int) -> None:
        super().__init__(*sizes)
        self.w = self.parameter("forward", (H,))

    def step(self, x: Any, state: Any) -> Any:
        return (state.h + x[:, :1] * self.w,)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Looking, r"Looking: the step asks for the numbers of .*test_to_torch.py:\d+, in step"),
        (Drawing, "Drawing: an array of float64 depends on the batch size, or on the call"),
        (Counting, "Counting: it does something else|multiply depends|gives other numbers"),
        (Branching, "Branching: it does something else for another batch size"),
        (Curved, "Curved: multiply depends on the batch size, or on the call, in a way"),
        (Ramp, "Ramp: an array of float64 depends on the batch size"),
        (Misnamed, "no parameter of a Module can be called forward"),
    ],
)
def test_what_cannot_be_taken_over_is_said(torch: Any, kind: Any, message: str) -> None:
    with pytest.raises(tg.UnsupportedError, match=f"to_torch: .*(?:{message})"):
        tg.to_torch(kind(N, H))


def test_a_primitive_of_ones_own_is_named_with_its_line(torch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tg.autodiff.primitive, "PRIMITIVES", dict(tg.PRIMITIVES))

    @tg.elementwise(lambda g, y, x: g)
    def tanh(x: Any) -> Any:
        return np.tanh(x)

    class Own(tg.Cell):
        def step(self, x: Any, state: Any) -> Any:
            return (tanh(state.h + x[:, :1]),)

    with pytest.raises(
        tg.UnsupportedError, match=r"Own: the primitive custom_tanh has no .*test_to_torch.py:\d+, in step\)"
    ):
        tg.to_torch(Own(N, H))


def test_wrong_arguments(torch: Any) -> None:
    with pytest.raises(TypeError, match="to_torch: cell must be a Cell, Stacked or Bidirectional, got int"):
        tg.to_torch(3)  # type: ignore[arg-type]
    with pytest.raises(tg.UnsupportedError, match="an ensemble is many cells"):
        tg.to_torch(tg.compile([tg.cells.RNNCell(N, H, seed=k) for k in range(2)], backend="numpy"))
    module = tg.to_torch(network())
    for x in (torch.zeros(2, N), torch.zeros(4, 2, N + 1), torch.zeros(0, 2, N)):
        with pytest.raises(ValueError, match=r"Stacked.*: x must be \(T, batch, 3\), got"):
            module(x)
    with pytest.raises(TypeError, match=r"x is torch.float32 and the parameters are torch.float64; .* module.to\("):
        module(torch.zeros(4, 2, N, dtype=torch.float32))
    with pytest.raises(ValueError, match="state must be a tuple of 2, one for each layer or direction"):
        module.float()(torch.zeros(4, 2, N), (torch.zeros(2, H),))

"""Every registered cell against differences; the standard three against PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tests.strategies import FEW, Setting, reached, settings_of

every_cell = pytest.mark.parametrize("name", tg.cells.names())


def as_function(drawn: Setting, **options: Any) -> tuple[Any, list[Any]]:
    """The unrolled cell as a function of inputs, initial states and every parameter."""
    names = [name for name, _ in drawn.cell.named_parameters()]
    arrays = [drawn.inputs, *drawn.state, *drawn.cell.state_dict().values()]
    count = len(drawn.state)

    def fn(inputs: Any, *rest: Any) -> Any:
        cell = drawn.cell
        for name, value in zip(names, rest[count:], strict=True):
            setattr(cell, name, value)
        run = tg.unroll(cell, inputs, rest[:count], **options)
        return [*run.outputs, *run.final_state]

    return fn, arrays


@every_cell
@FEW
@given(data=st.data())
def test_first_order_by_parameters_inputs_and_states(name: str, data: st.DataObject) -> None:
    fn, arrays = as_function(data.draw(settings_of(name)))
    assert tg.gradcheck(fn, arrays)


@every_cell
def test_second_order_by_parameters_inputs_and_states(name: str) -> None:
    cell = tg.cells.get(name)(1, 2, seed=3)
    rng = np.random.default_rng(3)
    fn, arrays = as_function(Setting(cell, rng.normal(size=(2, 1, 1)), reached(cell, 1, rng)))
    assert tg.gradgradcheck(fn, arrays)


@every_cell
@FEW
@given(data=st.data())
def test_on_arrays_a_cell_is_plain_inference(name: str, data: st.DataObject) -> None:
    drawn = data.draw(settings_of(name))
    cell = drawn.cell
    recorded = cell(tg.tensor(drawn.inputs[0]), drawn.state)
    for parameter, array in list(cell.state_dict().items()):
        setattr(cell, parameter, array)
    plain = cell(drawn.inputs[0], drawn.state)
    for r, a in zip(recorded, plain, strict=True):
        assert type(a) is np.ndarray
        few = (
            16 * np.finfo(a.dtype).eps
        )  # a weight that is turned once lies otherwise, and BLAS adds up in another order
        np.testing.assert_allclose(r.data, a, rtol=few, atol=few)


@every_cell
def test_float32_cells_stay_float32(name: str) -> None:
    cell = tg.cells.get(name)(2, 3, dtype=np.float32, seed=0)
    run = tg.unroll(cell, np.ones((3, 2, 2)))
    loss = sum(tg.sum(state) for state in run.final_state)
    loss.backward()
    assert {n.dtype for n in tg.Graph(loss) if n.dtype.kind != "b" and n.op != "constant"} == {np.dtype(np.float32)}
    assert all(p.grad is not None and p.grad.dtype == np.float32 for p in cell.parameters())


@every_cell
def test_a_seed_fixes_the_parameters(name: str) -> None:
    first, again, other = (tg.cells.get(name)(2, 3, seed=seed).state_dict() for seed in (1, 1, 2))
    for key in first:
        np.testing.assert_array_equal(first[key], again[key])
    assert any((first[key] != other[key]).any() for key in first)


@every_cell
def test_without_biases(name: str) -> None:
    drawn = tg.cells.get(name)(2, 3, bias=False, seed=0)
    assert not any("bias" in key or key.startswith("b_") or key in ("b", "c", "d") for key in drawn.state_dict())
    state = reached(drawn, 1, np.random.default_rng(0))
    fn, arrays = as_function(Setting(drawn, np.ones((2, 1, 2)), state))
    assert tg.gradcheck(fn, arrays)


@every_cell
def test_docstring_gives_equations_and_source(name: str) -> None:
    text = tg.cells.get(name).__doc__ or ""
    assert "_t" in text and "=" in text and any(str(year) in text for year in range(1986, 2030))


# --------------------------------------------------------------------------------- against PyTorch

STANDARD = [
    ("rnn", {}, lambda torch, i, h, **o: torch.nn.RNNCell(i, h, **o)),
    ("rnn", {"nonlinearity": "relu"}, lambda torch, i, h, **o: torch.nn.RNNCell(i, h, nonlinearity="relu", **o)),
    ("lstm", {}, lambda torch, i, h, **o: torch.nn.LSTMCell(i, h, **o)),
    ("gru", {}, lambda torch, i, h, **o: torch.nn.GRUCell(i, h, **o)),
]
standard = pytest.mark.parametrize(("name", "options", "theirs"), STANDARD, ids=["rnn", "relu", "lstm", "gru"])


def in_torch(torch: Any, arrays: Sequence[Any]) -> list[Any]:
    return [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in arrays]


def close(ours: Any, theirs: Any, what: str = "") -> None:
    np.testing.assert_allclose(np.asarray(ours), theirs.detach().numpy(), rtol=1e-10, atol=1e-10, err_msg=what)


@standard
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (2, 3, 4, 6), (5, 2, 3, 9)])
def test_forward_and_every_gradient_are_pytorchs(
    torch: Any, name: str, options: Any, theirs: Any, bias: bool, sizes: Any
) -> None:
    features, hidden, batch, steps = sizes
    reference = theirs(torch, features, hidden, bias=bias).double()
    cell = tg.cells.get(name)(features, hidden, bias=bias, **options)
    cell.load_state_dict(reference.state_dict())
    rng = np.random.default_rng(sum(sizes))
    inputs = rng.normal(size=(steps, batch, features))
    start = [rng.normal(size=(batch, hidden)) for _ in cell.state_names]
    weights = rng.normal(size=(steps, batch, hidden))

    ours_start = [tg.tensor(s, requires_grad=True) for s in start]
    x = tg.tensor(inputs, requires_grad=True)
    run = tg.unroll(cell, x, ours_start)
    loss = tg.sum(run.stacked * weights) + sum(tg.sum(s * s) for s in run.final_state)
    loss.backward()

    tx, *state = in_torch(torch, [inputs, *start])
    tstart, total = list(state), 0.0
    for t in range(steps):
        out = reference(tx[t], tuple(state) if len(state) > 1 else state[0])
        state = list(out) if isinstance(out, tuple) else [out]
        close(run.outputs[t].data, state[0], f"h at {t}")
        for mine, its in zip(run.states[t], state, strict=True):
            close(mine.data, its, f"state at {t}")
        total = total + (state[0] * torch.tensor(weights[t])).sum()
    total = total + sum((s * s).sum() for s in state)
    total.backward()
    close(loss.data, total)
    close(x.grad, tx.grad, "inputs")
    for k, (mine, its) in enumerate(zip(ours_start, tstart, strict=True)):
        close(mine.grad, its.grad, f"initial state {k}")
    for key, parameter in cell.named_parameters():
        close(parameter.grad, getattr(reference, key).grad, key)


@standard
def test_state_dict_goes_both_ways(torch: Any, name: str, options: Any, theirs: Any) -> None:
    reference = theirs(torch, 2, 3).double()
    cell = tg.cells.get(name)(2, 3, seed=0, **options)
    own = cell.state_dict()
    assert list(own) == list(reference.state_dict())
    reference.load_state_dict({key: torch.tensor(value) for key, value in own.items()})
    for key, value in own.items():
        close(value, reference.state_dict()[key])
    other = tg.cells.get(name)(2, 3, seed=1, **options)
    other.load_state_dict(reference.state_dict())
    for key, value in other.state_dict().items():
        np.testing.assert_array_equal(value, own[key])
    assert other.initialisation == "loaded weights" and cell.initialisation == "pytorch"


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("bias", [True, False])
def test_a_whole_module_of_one_layer_goes_both_ways(torch: Any, name: str, bias: bool) -> None:
    module = getattr(torch.nn, name)(2, 3, bias=bias).double()
    cell = tg.cells.get(name.lower())(2, 3, bias=bias, seed=0)
    cell.load_state_dict(module.state_dict())
    x = np.random.default_rng(0).normal(size=(4, 2, 2))
    close(tg.unroll(cell, x).stacked.data, module(torch.tensor(x))[0])
    other = tg.cells.get(name.lower())(2, 3, bias=bias, seed=1)
    module.load_state_dict({key: torch.tensor(value) for key, value in tg.Stacked(other).state_dict().items()})
    close(tg.unroll(other, x).stacked.data, module(torch.tensor(x))[0])


def test_a_cell_of_pytorchs_fits_a_stack_of_one_and_a_module_both_directions(torch: Any) -> None:
    single, both = torch.nn.GRUCell(2, 3).double(), torch.nn.GRU(2, 3, bidirectional=True).double()
    stack = tg.Stacked(tg.cells.GRUCell(2, 3))
    stack.load_state_dict(single.state_dict())
    close(stack.layers[0].weight_hh.data, single.weight_hh)
    pair = tg.Bidirectional(tg.cells.GRUCell(2, 3), tg.cells.GRUCell(2, 3))
    pair.load_state_dict(both.state_dict())
    x = np.random.default_rng(0).normal(size=(4, 2, 2))
    close(tg.unroll(pair, x).stacked.data, both(torch.tensor(x))[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_layers": 2}, r"LSTMCell.load_state_dict: was given a network of 2 layers, this one has 1; tg.Stacked"),
        (
            {"bidirectional": True},
            r"LSTMCell.load_state_dict: was given a network that reads in both directions, .*tg.Bidirectional",
        ),
        ({"proj_size": 1}, r"unknown \['weight_hr'\]; nearest to weight_hr is weight_[ih]h"),
    ],
)
def test_a_network_that_is_more_than_a_cell_is_refused(torch: Any, options: Any, message: str) -> None:
    cell = tg.cells.LSTMCell(2, 3, seed=0)
    before = cell.state_dict()
    with pytest.raises((ValueError, KeyError), match=message):
        cell.load_state_dict(torch.nn.LSTM(2, 3, **options).state_dict())
    with pytest.raises(ValueError, match="of 2 layers, this one has 3"):
        tg.Stacked(cell, tg.cells.LSTMCell(3, 3), tg.cells.LSTMCell(3, 3)).load_state_dict(
            torch.nn.LSTM(2, 3, 2).state_dict()
        )
    for key, value in cell.state_dict().items():
        np.testing.assert_array_equal(value, before[key])


def test_parameters_of_others_load_where_they_are_numbers(torch: Any) -> None:
    cell, module = tg.cells.RNNCell(2, 3, dtype=np.float32), torch.nn.RNNCell(2, 3)
    weights = cell.state_dict()
    other = tg.cells.RNNCell(2, 3, seed=5)
    cell.load_state_dict(dict(other.named_parameters()))
    np.testing.assert_array_equal(cell.weight_hh.data, other.weight_hh.data.astype(np.float32))
    cell.load_state_dict(weights | {"bias_hh": [1, 2, 3], "bias_ih": np.array([np.nan, np.inf, 0.0])})
    assert cell.bias_hh.data.tolist() == [1.0, 2.0, 3.0] and np.isnan(cell.bias_ih.data[0]), (
        "what is not finite can be looked at"
    )
    for value, message in (
        (np.full(3, 1j), "bias_hh: could not convert complex128 to real numbers"),
        (np.array(["1", "2", "3"]), "bias_hh: could not convert strings"),
        ([1.0, None, 2.0], "bias_hh: could not convert object"),
        (np.full(3, 1e300), "bias_hh: holds numbers too large for float32"),
        (module.bias_hh, r"bias_hh: .*detach"),
    ):
        with pytest.raises(ValueError, match=f"RNNCell.load_state_dict: {message}"):
            cell.load_state_dict(weights | {"bias_hh": value})


def test_a_difference_from_pytorch_would_be_noticed(torch: Any) -> None:
    """The same comparison with the update gate the other way round."""
    reference = torch.nn.GRUCell(2, 3).double()
    cell = tg.cells.GRUCell(2, 3)
    weights = {key: value.numpy().copy() for key, value in reference.state_dict().items()}
    weights["weight_ih"][3:6] *= -1
    cell.load_state_dict(weights)
    x, h = np.ones((1, 2)), np.full((1, 3), 0.5)
    with pytest.raises(AssertionError):
        close(cell(tg.tensor(x), (h,)).h.data, reference(torch.tensor(x), torch.tensor(h)))


# ---------------------------------------------------------------------------- registry, own cells


def test_registry() -> None:
    assert {"rnn", "lstm", "gru"} <= set(tg.cells.names())
    assert tg.cells.get("lstm") is tg.cells.LSTMCell
    with pytest.raises(KeyError, match="no cell called 'elman'; choose from rnn, irnn, jordan"):
        tg.cells.get("elman")
    with pytest.raises(KeyError, match="no cell called 'lstmm'; did you mean lstm"):
        tg.cells.get("lstmm")


class Leaky(tg.Cell):
    """A cell in ten lines, as a user writes one."""

    def __init__(self, input_size: int, hidden_size: int, **options: Any) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.w = self.parameter("w", (hidden_size, hidden_size), init=tg.init.orthogonal)
        self.u = self.parameter("u", (hidden_size, input_size))

    def step(self, x: Any, state: Any) -> Any:
        n = tg.named(n=tg.tanh(x @ self.u.T + state.h @ self.w.T))
        return (0.9 * state.h + 0.1 * n,)


class Pair(tg.Cell):
    """States that are not hidden_size wide and not called h."""

    state_names = ("out", "memory")

    def initial_state(self, batch: int) -> Any:
        return self.State(np.zeros((batch, self.hidden_size)), np.zeros((batch, 2, 3)))

    def step(self, x: Any, state: Any) -> Any:
        memory = state.memory + tg.reshape(x[:, :1], (-1, 1, 1))
        return tg.sum(memory, axis=(1, 2)).reshape(-1, 1) + state.out, memory


def test_a_users_own_cell() -> None:
    cell = Leaky(2, 3, seed=0)
    fn, arrays = as_function(Setting(cell, np.ones((3, 1, 2)), (np.full((1, 3), 0.2),)))
    assert tg.gradcheck(fn, arrays) and tg.gradgradcheck(fn, arrays)
    run = tg.unroll(Leaky(2, 3, seed=0), np.ones((3, 1, 2)))
    assert set(run.names) == {(name, t) for name in ("x", "n", "h") for t in range(3)}
    assert repr(cell) == "Leaky(2, 3)" and Leaky.State._fields == ("h",)


class Mixture(tg.Cell):
    """Cells in an attribute, in a list and in a mapping of tuples."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(3, 3, seed=seed)
        self.first = tg.cells.RNNCell(3, 3, bias=False, seed=seed)
        self.cells = [self.first, tg.cells.RNNCell(3, 3, bias=False, seed=seed + 1)]
        self.by_name = {"slow": (tg.cells.LeakyCell(3, 3, seed=seed + 2),)}
        self.mix = self.parameter("mix", (3,))
        self.notes = ["not a cell", 1, None]

    def step(self, x: Any, state: Any) -> Any:
        first, second = (cell.step(x, state)[0] for cell in self.cells)
        (slow,) = self.by_name["slow"][0].step(x, state)
        return (self.mix * first + (1.0 - self.mix) * second + slow,)


def test_cells_inside_a_cell_are_found_wherever_they_lie() -> None:
    cell = Mixture()
    slow = [f"by_name.slow.0.{name}" for name, _ in cell.by_name["slow"][0].named_parameters()]
    expected = ["mix", "first.weight_ih", "first.weight_hh", "cells.1.weight_ih", "cells.1.weight_hh", *slow]
    assert [name for name, _ in cell.named_parameters()] == expected, "each once, in order of declaration"
    run = tg.unroll(cell, np.random.default_rng(0).normal(size=(4, 2, 3)))
    (run.outputs[-1] ** 2).sum().backward()
    assert all(parameter.grad is not None and np.any(parameter.grad) for parameter in cell.parameters())
    before = cell.state_dict()
    tg.optim.SGD(cell.parameters(), 0.1).step()
    assert all(np.any(before[name] != parameter.data) for name, parameter in cell.named_parameters())
    other = Mixture(seed=9)
    other.load_state_dict(before)
    np.testing.assert_array_equal(tg.unroll(other, [x.data for x in run.inputs]).stacked.data, run.stacked.data)
    assert {other.initialisation, other.cells[1].initialisation} == {"loaded weights"}
    compiled = tg.unroll(tg.compile(other, backend="numpy"), np.stack([x.data for x in run.inputs]))
    np.testing.assert_allclose(compiled.stacked.data, run.stacked.data, rtol=1e-12)


def test_states_of_any_shape() -> None:
    run = tg.unroll(Pair(1, 1), np.ones((3, 2, 1)))
    assert run.states[2].memory.shape == (2, 2, 3)
    np.testing.assert_array_equal(run.final_state.out.data, [[36.0], [36.0]])


def test_one_state_may_come_back_bare() -> None:
    class Bare(tg.Cell):
        def step(self, x: Any, state: Any) -> Any:
            return state.h + x

    assert tg.unroll(Bare(2, 2), np.ones((2, 1, 2))).final_state.h.data.tolist() == [[2.0, 2.0]]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: tg.cells.LSTMCell(0, 3), ValueError, "LSTMCell: input_size must be a positive integer, got 0"),
        (lambda: tg.cells.GRUCell(2, -1), ValueError, "GRUCell: hidden_size must be a positive integer, got -1"),
        (lambda: tg.cells.RNNCell(2, 1.5), ValueError, "hidden_size must be a positive integer, got 1.5"),
        (
            lambda: tg.cells.RNNCell(2, 3, nonlinearity="sine"),
            ValueError,
            "must be one of tanh, relu, sigmoid, identity, got 'sine'",
        ),
        (
            lambda: tg.cells.RNNCell(2, 3, init="nonsense"),
            ValueError,
            "no initialisation called 'nonsense'; choose from pytorch",
        ),
        (lambda: tg.cells.RNNCell(2, True), ValueError, "hidden_size must be a positive integer, got True"),
        (lambda: tg.cells.RNNCell(2, 3, init=3), TypeError, "RNNCell: init must be a preset or its name, got 3"),
        (lambda: tg.cells.RNNCell(2, 3, dtype=int), ValueError, "RNNCell: dtype must be a floating one, got int64"),
        (lambda: Leaky(2, 3).parameter(3, (1,)), TypeError, "Leaky: a parameter's name must be a string, got 3"),
        (lambda: tg.cells.RNNCell(2, 3, typo=1), TypeError, "typo"),
        (lambda: tg.Cell(2, 3).step(None, None), NotImplementedError, r"Cell must define step\(self, x, state\)"),
        (lambda: Leaky(2, 3).parameter("w", (1, 1)), ValueError, "Leaky: parameter 'w' is declared twice"),
        (
            lambda: Leaky(2, 3).parameter("v", (2, 2), init=np.ones(3)),
            ValueError,
            r"parameter 'v' has shape \(2, 2\), its initial value \(3,\)",
        ),
    ],
)
def test_bad_cells_are_explained(make: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_a_call_is_checked() -> None:
    cell = Leaky(2, 3)
    state = cell.initial_state(1)
    with pytest.raises(ValueError, match=r"Leaky: x must be \(batch, 2\), got \(1, 5\)"):
        cell(np.ones((1, 5)), state)
    with pytest.raises(ValueError, match=r"Leaky: x must be \(batch, 2\), got \(2,\)"):
        cell(np.ones(2), state)

    class Wrong(tg.Cell):
        def step(self, x: Any, state: Any) -> Any:
            return self.result(x, state)

    for result, message in [
        (lambda x, s: (s.h, s.h), r"Wrong.step returned 2 states, state_names are \('h',\)"),
        (lambda x, s: (s.h[:, :1],), r"Wrong.step: state h went from shape \(1, 2\) to \(1, 1\)"),
    ]:
        wrong = Wrong(2, 2)
        wrong.result = result
        with pytest.raises(ValueError, match=message):
            tg.unroll(wrong, np.ones((1, 1, 2)))


def test_load_state_dict_is_all_or_nothing() -> None:
    cell = tg.cells.LSTMCell(2, 3, seed=0)
    before = cell.state_dict()
    weights = cell.state_dict()
    weights["weight_ih"][:] = 7.0
    with pytest.raises(KeyError, match=r"missing \['bias_hh'\], unknown \['bias'\]; nearest to bias is bias_[ih]h"):
        cell.load_state_dict({("bias" if k == "bias_hh" else k): v for k, v in weights.items()})
    with pytest.raises(ValueError, match=r"LSTMCell.load_state_dict: bias_hh has shape \(12,\), was given \(3,\)"):
        cell.load_state_dict({**weights, "bias_hh": np.zeros(3)})
    with pytest.raises(ValueError, match=r"LSTMCell\.load_state_dict: bias_hh: could not convert string"):
        cell.load_state_dict({**weights, "bias_hh": np.array(["text"] * 12)})
    with pytest.raises(TypeError, match=r"LSTMCell\.load_state_dict: needs a mapping of names to arrays, got list"):
        cell.load_state_dict([weights["weight_ih"]])
    for key, value in cell.state_dict().items():
        np.testing.assert_array_equal(value, before[key])


def test_state_dict_is_a_copy() -> None:
    cell = tg.cells.RNNCell(2, 3, seed=0)
    weights = cell.state_dict()
    weights["weight_ih"][:] = 7.0
    assert not (cell.weight_ih.data == 7.0).any()
    cell.load_state_dict(weights)
    weights["weight_ih"][:] = 8.0
    assert (cell.weight_ih.data == 7.0).all()

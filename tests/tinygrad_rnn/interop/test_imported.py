"""Imported: names, shapes and dtypes of what goes in; parameters with the file's names; cells with computed weights."""

from __future__ import annotations

import numpy as np
import pytest

import inspector
import tinygrad_rnn as tg
from tinygrad_rnn.interop.imported import Imported, Layer, Port, cell_of

F4, I8 = np.dtype(np.float32), np.dtype(np.int64)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


class Transposed:
    """A file that keeps the weights of an LSTM transposed."""

    format, producer = "Test", "nobody 1.0"

    def __init__(self):
        self.inputs = {"x": Port(("T", "batch", 2), F4), "s": Port(("batch", 3), F4), "k": Port((), I8)}
        self.outputs = {"y": Port(("T", "batch", 3), F4)}
        self.optional = frozenset({"s", "k"})
        self.layers = (Layer("rnn", "LSTM", ("x",), ("y",), 12 * 5, True, "2 -> 3"), Layer("sum\x1b", "Add"))

    def run(self, values, parameters):
        weights = {"weight_ih": parameters["W"].T, "weight_hh": parameters["R"].T}
        cell = cell_of(tg.cells.LSTMCell(2, 3, bias=False, dtype=np.float32), weights)
        batch = values["x"].shape[1]
        state = (values.get("s", np.zeros((batch, 3), np.float32)), np.zeros((batch, 3), np.float32))
        run = tg.unroll(cell, values["x"], state)
        return {"y": run.stacked * values.get("k", 1)}, {"rnn": run}


def model_of(rng):
    parameters = {"W": rng.normal(size=(2, 12)).astype(F4), "R": rng.normal(size=(3, 12)).astype(F4)}
    return Imported(Transposed(), parameters, "file.test")


def test_gradients_reach_the_files_own_parameters(rng):
    model = model_of(rng)
    x = rng.normal(size=(4, 2, 2))
    call = model(x, k=2)
    assert list(call) == ["y"] and call["y"].shape == (4, 2, 3) and model(x)["y"].dtype == F4
    loss = (call["y"] ** 2).sum()
    loss.backward()
    plain = tg.cells.LSTMCell(2, 3, bias=False, dtype=F4)
    arrays = model.state_dict()
    plain.load_state_dict({"weight_ih": arrays["W"].T, "weight_hh": arrays["R"].T})
    run = tg.unroll(plain, x)
    ((2 * run.stacked) ** 2).sum().backward()
    found = dict(model.named_parameters())
    np.testing.assert_allclose(found["W"].grad.T, plain.weight_ih.grad, rtol=1e-5)
    np.testing.assert_allclose(found["R"].grad.T, plain.weight_hh.grad, rtol=1e-5)
    assert inspector.trace(call.runs["rnn"], loss).norm("c").shape == (4,)
    model.load_state_dict({"W": np.zeros((2, 12)), "R": arrays["R"]})
    assert not np.any(model(x * 0)["y"].data) and "rnn (4 steps)" in repr(call)


def test_a_cell_with_computed_weights_compiles(rng):
    model = model_of(rng)
    x = rng.normal(size=(4, 2, 2)).astype(F4)
    cell = model(x).runs["rnn"].cell
    loss = tg.unroll(tg.compile(cell), x).stacked.sum()
    loss.backward()
    compiled = dict(model.named_parameters())["W"].grad
    dict(model.named_parameters())["W"].grad = None
    tg.unroll(cell, x).stacked.sum().backward()
    np.testing.assert_allclose(dict(model.named_parameters())["W"].grad, compiled, rtol=1e-4)


@pytest.mark.parametrize(
    ("args", "named", "kind", "message"),
    [
        ((), {}, TypeError, r"file\.test: missing x \(T, batch, 2\) float32"),
        ((0, 0, 0, 0), {}, TypeError, r"takes 3 inputs \(x, s, k\), got 4"),
        ((np.zeros((1, 1, 2)),), {"y": 1}, TypeError, r"no input 'y'; there are \(x, s, k\)"),
        ((np.zeros((1, 1, 2)),), {"x": 1}, TypeError, "input 'x' is given twice"),
        ((np.zeros((1, 2)),), {}, ValueError, r"input 'x' is \(T, batch, 2\) float32, got \(1, 2\)"),
        ((np.zeros((1, 1, 3)),), {}, ValueError, r"input 'x' is \(T, batch, 2\) float32, got \(1, 1, 3\)"),
        ((np.zeros((1, 4, 2)), np.zeros((3, 3))), {}, ValueError, "batch is 4 in input 'x' and 3 in 's'"),
        ((np.zeros((1, 1, 2)),), {"k": 1.5}, ValueError, "input 'k' holds int64, got float64"),
        ((np.zeros((1, 1, 2), complex),), {}, ValueError, "input 'x' holds float32, got complex128"),
    ],
)
def test_what_does_not_fit_is_said(rng, args, named, kind, message):
    with pytest.raises(kind, match=message):
        model_of(rng)(*args, **named)


def test_one_screen_says_what_is_in_it(rng):
    text = str(model_of(rng))
    assert "file.test: Test, nobody 1.0" in text and "2 layers, 1 recurrent; 60 parameters" in text
    assert "in   x (T, batch, 2) float32" in text and "\x1b" not in text
    with pytest.raises(KeyError, match="no output 'z'; there are y"):
        model_of(rng)(np.zeros((1, 1, 2)))["z"]


def test_weights_that_do_not_fit_a_cell(rng):
    cell = tg.cells.RNNCell(2, 3, bias=False)
    with pytest.raises(ValueError, match="has the weights weight_ih, weight_hh, not W"):
        cell_of(cell, {"W": tg.tensor(1.0)})
    with pytest.raises(ValueError, match=r"weight_hh has shape \(3, 3\), not \(3, 2\)"):
        cell_of(cell, {"weight_ih": tg.tensor(np.zeros((3, 2))), "weight_hh": tg.tensor(np.zeros((3, 2)))})


def test_stacks_and_directions_take_computed_weights(rng):
    def network():
        both = tg.Bidirectional(tg.cells.GRUCell(2, 2, seed=0), tg.cells.GRUCell(2, 2, seed=1))
        return tg.Stacked(both, tg.cells.RNNCell(4, 3, seed=2))

    leaves = {name: tg.tensor(p.data / 2, requires_grad=True) for name, p in network().named_parameters()}
    changed = cell_of(network(), {name: 2 * leaf for name, leaf in leaves.items()})
    x = rng.normal(size=(3, 2, 2))
    np.testing.assert_allclose(tg.unroll(changed, x).stacked.data, tg.unroll(network(), x).stacked.data)
    tg.unroll(changed, x).stacked.sum().backward()
    assert all(np.any(leaf.grad) for leaf in leaves.values())


def test_a_model_of_many_layers_is_told_on_one_screen() -> None:
    layers = [Layer(f"small{k}", "Add", parameters=k) for k in range(100)]
    layers[7] = Layer("rnn", "LSTM", recurrent=True)
    program = Transposed()
    program.layers = tuple(layers)
    text = str(Imported(program, {}, "large.onnx"))
    assert "100 layers, 1 recurrent" in text and text.endswith("  and 60 smaller ones") and "\n  rnn " in text
    assert "small99" in text and "small60" not in text and len(text.splitlines()) < 50


@pytest.mark.parametrize("level", ["cell", "operation"])
def test_a_cell_with_computed_weights_is_drawn_and_written_down_as_if_they_were_its_own(rng, level):
    model, x = model_of(rng), rng.normal(size=(3, 2, 2)).astype(F4)
    call = model(x)
    plain = tg.cells.LSTMCell(2, 3, bias=False, dtype=F4)
    arrays = model.state_dict()
    plain.load_state_dict({"weight_ih": arrays["W"].T, "weight_hh": arrays["R"].T})
    run = tg.unroll(plain, tg.tensor(x))
    drawn = [
        inspector.draw(one, level, trace=inspector.trace(one, loss)).picture
        for one, loss in ((call.runs["rnn"], call["y"].sum()), (run, (run.stacked * 1).sum()))
    ]
    found, expected = (sorted(shape.tooltip for shape in one.shapes) for one in drawn)
    assert found == expected
    assert str(inspector.equations(call.runs["rnn"])) == str(inspector.equations(plain))

"""A changed graph is the graph of a cell that was changed by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given

import inspector
import tinygrad_rnn as tg
from inspector.picture.compose import picture
from tests.inspector.picture.test_drawing import assert_sound
from tests.random_cells import runs
from tests.strategies import FEW
from tinygrad_rnn.recurrent.unroll import Run

X = np.random.default_rng(0).normal(size=(6, 2, 3))


def run_of(name: str, **options: Any) -> Run:
    return tg.unroll(tg.cells.get(name)(3, 4, seed=0), X, **options)


def last(run: Run) -> tg.Tensor:
    return (run.outputs[-1] ** 2).sum()


def same(found: inspector.WhatIf, run: Run) -> None:
    trace = inspector.trace(run, last(run))
    assert found.loss_after == pytest.approx(float(trace.loss.item()), rel=1e-12)
    for name in trace.names:
        np.testing.assert_allclose(found.traces[1].norm(name), trace.norm(name), rtol=1e-10, atol=1e-14)


def changed(name: str, parameter: str, change: Any) -> Run:
    cell = tg.cells.get(name)(3, 4, seed=0)
    cell.load_state_dict({k: change(v) if k == parameter else v for k, v in cell.state_dict().items()})
    return tg.unroll(cell, X)


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru", "peephole", "mgu"])
def test_a_scaled_weight(name: str) -> None:
    run = run_of(name)
    for parameter in list(run.cell.state_dict())[:2]:
        same(
            inspector.what_if(run, last(run), scale={parameter: 1.7}),
            changed(name, parameter, lambda w: 1.7 * np.asarray(w)),
        )


@pytest.mark.parametrize("compiled", [False, True])
def test_more_forget_bias(compiled: bool) -> None:
    def more(b: Any) -> Any:
        return np.asarray(b) + np.repeat([0.0, 1.5, 0.0, 0.0], 4)

    cell = tg.cells.LSTMCell(3, 4, seed=0)
    run = tg.unroll(tg.compile(cell) if compiled else cell, X)
    found = inspector.what_if(run, last(run), bias={"f": 1.5})
    same(found, changed("lstm", "bias_ih", more))
    assert found.change == "+1.5 of bias in f"
    before, after = found.half_life["state", "c"]
    assert after > before


def test_another_nonlinearity() -> None:
    class Rectified(tg.cells.LSTMCell):
        def step(self, x: Any, state: Any) -> Any:
            z = x @ self.weight_ih.T + self.bias_ih + (state.h @ self.weight_hh.T + self.bias_hh)
            zi, zf, zg, zo = tg.split(z, 4, axis=1)
            i, f, g, o = tg.named(i=tg.sigmoid(zi), f=tg.sigmoid(zf), g=tg.relu(zg), o=tg.sigmoid(zo))
            c = f * state.c + i * g
            return o * tg.tanh(c), c

    run = run_of("lstm")
    found = inspector.what_if(run, last(run), swap={"g": tg.relu})
    same(found, tg.unroll(Rectified(3, 4, seed=0), X))
    assert found.change == "relu for g"


def test_without_the_way_through_h_the_decay_is_the_product_of_forget_gates() -> None:
    run = run_of("lstm")
    found = inspector.what_if(run, last(run), cut=["h"])
    assert found.loss_after == found.loss_before
    gradient = found.traces[1].gradient("c", 5)
    for t in range(4, -1, -1):
        gradient = gradient * run.names["f", t + 1].data
        np.testing.assert_allclose(found.traces[1].gradient("c", t), gradient, rtol=1e-12)
    assert found.after["state", "h"][:-1].tolist() == [0.0] * 5


@pytest.mark.parametrize("reverse", [False, True])
def test_a_gate_held_and_a_state_cut_in_either_direction(reverse: bool) -> None:
    run = run_of("gru", reverse=reverse)
    end = run.outputs[0 if reverse else -1].sum()
    held = inspector.what_if(run, end, hold={"z": 1.0}, cut=["r"])
    np.testing.assert_allclose(held.after["state", "h"], held.after["state", "h"][0])
    assert held.change == "z held at 1, no gradient through r"
    cut = inspector.what_if(run, end, cut=["h"])
    steps = cut.after["state", "h"] > 0
    assert steps.tolist() == ([True] + [False] * 5 if reverse else [False] * 5 + [True])


def test_a_stack_is_changed_layer_by_layer() -> None:
    cells = tg.cells.LSTMCell(3, 4, seed=0), tg.cells.GRUCell(4, 4, seed=1)
    run = tg.unroll(tg.Stacked(*cells), X)
    found = inspector.what_if(run, last(run), hold={"layer0/f": 0.0}, cut=["layer1/h"])
    assert not found.after["state", "layer1/h"][:-1].any()
    assert not np.any(found.traces[1].run.names["layer0/f", 3].data)
    assert_sound(picture(found.traces[1].run, trace=found.traces[1]))


@FEW
@given(run=runs())
def test_a_change_by_nothing_changes_nothing(run: Run) -> None:
    loss = (run.stacked**2).sum()
    parameters = dict(run.cell.named_parameters())
    assume(parameters and any(value in tg.Graph(loss) for value in run.names.values()))
    found = inspector.what_if(run, loss, scale=dict.fromkeys(parameters, 1.0))
    for name in found.traces[0].names:
        np.testing.assert_array_equal(*(trace.norm(name) for trace in found.traces))


def test_it_draws_and_says_the_difference(tmp_path: Path) -> None:
    run = run_of("lstm")
    found = inspector.what_if(run, last(run), bias={"f": 3.0})
    assert isinstance(found.save(tmp_path / "what.svg"), Path)
    said = str(found).splitlines()
    assert (
        len(said) == 5 and said[0].startswith("+3 of bias in f: loss ") and "before" in said[3] and "after" in said[4]
    )
    assert found.to_dict()["change"] == "+3 of bias in f"


def test_what_cannot_be_changed_is_refused() -> None:
    run = run_of("lstm")
    loss = last(run)
    for options, says in (
        ({}, "nothing is changed"),
        ({"hold": {"q": 1.0}}, "nothing is called 'q'; there are .*f"),
        ({"bias": {"c": 1.0}}, "c is the result of add"),
        ({"scale": {"w": 1.0}}, "no parameter is called 'w'; there are weight_ih"),
        ({"hold": {"f": np.ones(3)}}, r"f has shape \(2, 4\)"),
        ({"hold": {"f": 1.0}, "cut": ["f"]}, "changed twice"),
    ):
        with pytest.raises((ValueError, KeyError), match=says):
            inspector.what_if(run, loss, **options)  # type: ignore[arg-type]

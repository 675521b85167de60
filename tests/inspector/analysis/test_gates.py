"""Gates over time: distributions against the run itself, derivatives against PyTorch, ratios against the gradient."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given

import inspector
import tinygrad_rnn as tg
from inspector.tracing.nonlinearities import nonlinearities
from tests.random_cells import runs
from tests.strategies import FEW
from tinygrad_rnn.recurrent.unroll import Run

X = np.random.default_rng(0).normal(size=(6, 5, 3)) * 3


def cell(name: str, seed: int = 0, inputs: int = 3) -> tg.Cell:
    return tg.cells.get(name)(inputs, 4, seed=seed)


RUNS = {
    **{name: tg.unroll(cell(name), X) for name in tg.cells.names()},
    "masked": tg.unroll(cell("lstm"), X, lengths=[6, 4, 3, 2, 2]),
    "masked and cut": tg.unroll(cell("rnn"), X, lengths=[5, 4, 3, 2, 2], truncate=2),
    "reversed": tg.unroll(cell("gru"), X, reverse=True, lengths=[6, 4, 3, 2, 2]),
    "stacked": tg.unroll(tg.Stacked(cell("lstm"), cell("gru", 1, 4)), X),
    "directions": tg.unroll(tg.Bidirectional(cell("lstm"), cell("rnn", 1)), X),
}


def loss_of(run: Run) -> tg.Tensor:
    return (run.stacked * run.stacked).sum()


@pytest.mark.parametrize("kind", RUNS)
def test_distributions_are_those_of_the_named_values(kind: str) -> None:
    run = RUNS[kind]
    found = inspector.gates(run, loss_of(run))
    lengths = {"masked": [6, 4, 3, 2, 2], "masked and cut": [5, 4, 3, 2, 2], "reversed": [6, 4, 3, 2, 2]}.get(
        kind, [6] * 5
    )
    for (name, t), value in run.names.items():
        if name == "x":
            continue
        values = value.data[np.array(lengths) > t].reshape(-1) if value.ndim else value.data.reshape(-1)
        assert found.counts["gate", name][t].sum() == values.size
        if values.size:
            np.testing.assert_allclose(
                found.quantiles["gate", name][t], np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95]), rtol=1e-12
            )
        else:
            assert np.isnan(found.quantiles["gate", name][t]).all()
        op = found.ops["gate", name]
        if op in ("sigmoid", "tanh") and values.size:
            expected = [np.mean(values <= (0.05 if op == "sigmoid" else -0.95)), np.mean(values >= 0.95)]
            np.testing.assert_allclose(found.saturated["nonlinearity", name][t], expected)
            slopes = values * (1 - values) if op == "sigmoid" else 1 - values**2
            np.testing.assert_allclose(
                found.derivatives["nonlinearity", name][t], slopes.mean(), rtol=1e-10, atol=1e-15
            )


@pytest.mark.parametrize(
    ("kind", "labels"),
    [
        ("rnn", {"h"}),
        ("masked and cut", {"h"}),
        ("lstm", {"i", "f", "g", "o", "tanh(c)"}),
        ("masked", {"i", "f", "g", "o", "tanh(c)"}),
        ("gru", {"r", "z", "n"}),
        ("lru", set()),
        ("directions", {f"forward/{g}" for g in ("i", "f", "g", "o", "tanh(c)")} | {"backward/h"}),
        ("slstm", {"z", "o", "i", "f", "softplus"}),
        ("narx", {"h"}),
    ],
)
def test_every_nonlinearity_is_found_under_its_name(kind: str, labels: set[str]) -> None:
    found = inspector.gates(RUNS[kind])
    assert set(found.derivatives.axes["nonlinearity"]) == labels
    assert np.isfinite(found.derivatives.values[:, :5]).all() and found.ranking is None and found.log_ratios is None


@pytest.mark.parametrize("kind", RUNS)
def test_what_is_left_of_the_gradient_is_the_gradient_times_the_derivative(kind: str) -> None:
    run = RUNS[kind]
    loss = loss_of(run)
    found = inspector.gates(run, loss)
    assert found.log_ratios is not None and found.ranking is not None
    for one in nonlinearities(run):
        (before,) = tg.grad(loss, one.node)
        rule = one.node.op.rule(one.operand)
        after = rule(before.data, one.node.data, *one.node.values, **one.node.attributes)
        ratio = found.log_ratios["nonlinearity", one.label][one.t]
        if np.linalg.norm(before.data):
            assert ratio == pytest.approx(
                math.log(np.linalg.norm(after) / np.linalg.norm(before.data)), rel=1e-9, abs=1e-12
            )
        else:
            assert math.isnan(ratio)
    means = found.ranking["quantity", "mean log ratio"]
    assert (np.diff(means[np.isfinite(means)]) >= 0).all()
    np.testing.assert_allclose(found.ranking["quantity", "factor"], np.exp(means))


@FEW
@given(run=runs())
def test_no_nonlinearity_passes_on_more_than_its_steepest_slope(run: Run) -> None:
    with np.errstate(all="ignore"):
        found = inspector.gates(run, run.stacked.sum())
    assert found.log_ratios is not None
    seen = set()
    for one in nonlinearities(run):
        assert (one.label, one.t) not in seen
        seen.add((one.label, one.t))
        with np.errstate(all="ignore"):
            steepest = np.abs(one.derivatives).max(initial=0.0)
        ratio = found.log_ratios["nonlinearity", one.label][one.t]
        if not math.isnan(ratio) and math.isfinite(steepest):
            assert math.exp(ratio) <= steepest * (1 + 1e-9) + 1e-300


def test_derivatives_are_pytorchs(torch: Any) -> None:
    class Many(tg.Cell):
        def step(self, x: Any, state: Any) -> Any:
            z = 0.5 * state[0] + x[:, :1] + 4.0
            return (
                tg.tanh(tg.log(tg.softplus(tg.sin(z)) + tg.sqrt(tg.exp(tg.relu(z) * 0.1)) + tg.square(tg.sigmoid(z)))),
            )

    run = tg.unroll(Many(3, 1, seed=0), X)
    found = inspector.gates(run)
    functions = {
        **{op: getattr(torch, op) for op in ("tanh", "log", "sin", "sqrt", "exp", "relu", "square", "sigmoid")},
        "softplus": torch.nn.functional.softplus,
    }
    there = list(nonlinearities(run))
    assert {one.node.op.name for one in there} == set(functions)
    for one in there:
        z = torch.tensor(one.node.inputs[0].data, requires_grad=True)
        (slope,) = torch.autograd.grad(functions[one.node.op.name](z).sum(), z)
        assert found.derivatives["nonlinearity", one.label][one.t] == pytest.approx(
            float(slope.mean()), rel=1e-10, abs=1e-12
        )


def test_a_dead_relu_stops_the_gradient_and_is_first_in_the_list() -> None:
    class Dead(tg.Cell):
        def step(self, x: Any, state: Any) -> Any:
            gate = tg.named(gate=tg.relu(x[:, :1]))
            clipped = tg.named(clipped=tg.maximum(x[:, 1:2], -1e9))
            return (0.9 * state[0] + gate * tg.named(s=tg.sigmoid(clipped)),)

    x = np.ones((4, 2, 3))
    x[1, :, 0], x[2, 0, 0] = -1.0, -1.0
    run = tg.unroll(Dead(3, 1, seed=0), x)
    found = inspector.gates(run, run.outputs[-1].sum())
    assert found.ranking is not None
    assert found.ranking.axes["nonlinearity"] == ("gate", "s", "clipped")
    numbers = dict(zip(found.ranking.axes["quantity"], found.ranking["nonlinearity", "gate"], strict=True))
    assert (numbers["stopped"], numbers["steps"]) == (1, 4)
    np.testing.assert_allclose(found.saturated["nonlinearity", "gate"][:, 0], [0, 1, 0.5, 0])
    np.testing.assert_allclose(found.derivatives["nonlinearity", "gate"], [1, 0, 0.5, 1])
    np.testing.assert_allclose(found.derivatives["nonlinearity", "clipped"], 1.0)
    assert "stopped at 1 of 4 steps" in str(found)


def test_a_compiled_run_has_the_gates_of_its_replay() -> None:
    fast = tg.unroll(tg.compile(cell("lstm"), backend="numpy"), X, lengths=[6, 4, 3, 2, 2])
    for loss in (None, loss_of(fast)):
        found, expected = (
            inspector.gates(fast, loss),
            inspector.gates(RUNS["masked"], None if loss is None else loss_of(RUNS["masked"])),
        )
        assert found.tables().keys() == expected.tables().keys()
        for name, table in expected.tables().items():
            if name != "ops":
                np.testing.assert_allclose(found.tables()[name].values, table.values, rtol=1e-9, atol=1e-12)


@pytest.mark.slow
def test_picture_and_words(tmp_path: Path) -> None:
    found = inspector.gates(RUNS["stacked"], loss_of(RUNS["stacked"]))
    assert found.save(tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert len(found.plot().get_figure().axes) == 8 + 1
    assert inspector.gates(RUNS["lru"]).plot().get_figure() is not None
    axes = inspector.plot_decay(inspector.trace(RUNS["rnn"], loss_of(RUNS["rnn"])))
    assert found.plot(ax=axes) is axes
    text = str(found)
    assert "layer1/z" in text and "worst first" in text and "saturated" in text
    with pytest.raises(KeyError, match="gate has no 'q'"):
        found.plot(gates=["q"])
    assert found.to_csv(tmp_path / "a.csv").exists() and found.to_dict()["ops"]["values"][0] == "sigmoid"


def test_bad_arguments_are_named() -> None:
    with pytest.raises(TypeError, match="run must be what unroll returned"):
        inspector.gates("run")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="single number"):
        inspector.gates(RUNS["rnn"], RUNS["rnn"].outputs[0])


def test_a_gradient_that_is_not_finite_is_not_told_as_none() -> None:
    cell = tg.cells.LSTMCell(2, 3, seed=0)
    cell.weight_hh.data = np.full_like(cell.weight_hh.data, np.nan)
    run = tg.unroll(cell, np.ones((4, 1, 2)))
    found = inspector.gates(run, run.outputs[-1].sum())
    assert found.ranking is not None and found.ranking["quantity", "not finite"].all()
    assert "no gradient arrives" not in str(found) and "not finite at 4 of 4 steps" in str(found)

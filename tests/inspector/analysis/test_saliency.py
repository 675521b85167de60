"""Saliency: exact for linear nets, complete for integrated gradients, equal to the formula run in PyTorch."""

from __future__ import annotations

import csv
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import inspector
import tinygrad_rnn as tg
from inspector.analysis.side_by_side import side_by_side
from tests.inspector.analysis.networks import network
from tests.random_cells import runs
from tests.strategies import FEW
from tinygrad_rnn.recurrent.unroll import Run

X = np.random.default_rng(0).normal(size=(6, 2, 3))
BENT = ("irnn", "clockwork", "chunker", "orthogonal", "layernorm")
SMOOTH = [name for name in tg.cells.names() if name not in BENT]


def cell(name: str, seed: int = 0, inputs: int = 3) -> tg.Cell:
    return tg.cells.get(name)(inputs, 4, seed=seed)


class Linear(tg.Cell):
    """h' = 0.8 h + 2 x_0 - x_1."""

    def step(self, x: Any, state: Any) -> Any:
        return (0.8 * state[0] + 2.0 * x[:, :1] - x[:, 1:2],)


@pytest.mark.parametrize("method", ["gradient_x_input", "integrated"])
def test_a_linear_score_is_shared_out_exactly(method: str) -> None:
    run = tg.unroll(Linear(3, 1, seed=0), X)
    found = inspector.saliency(run, run.outputs[4].sum() + 7.0, method, points=1)
    decay = np.where(np.arange(6) <= 4, 0.8 ** (4.0 - np.arange(6)), 0.0)[:, None, None]
    np.testing.assert_allclose(found.contributions.values, decay * X * [2.0, -1.0, 0.0], rtol=1e-12, atol=1e-15)
    assert (found.score - 7.0, found.baseline_score) == pytest.approx((float(run.outputs[4].sum().item()), 7.0))
    assert found.residual == pytest.approx(0.0, abs=1e-13)
    np.testing.assert_allclose(found.per_step.values, found.contributions.values.sum(axis=2))


@pytest.mark.parametrize("name", SMOOTH)
def test_integrated_gradients_are_complete(name: str) -> None:
    run = tg.unroll(cell(name), X)
    score = (run.stacked * np.random.default_rng(1).normal(size=run.stacked.shape)).sum()
    baseline = np.array([0.3, -0.2, 0.1])
    found = inspector.saliency(run, score, "integrated", baseline=baseline)
    before = tg.unroll(cell(name), np.broadcast_to(baseline, X.shape))
    expected = (before.stacked * np.random.default_rng(1).normal(size=run.stacked.shape)).sum()
    assert found.baseline_score == pytest.approx(expected.item(), rel=1e-12)
    assert abs(found.residual) < 1e-5
    assert found.residual == pytest.approx(
        found.contributions.values.sum() - (score.item() - expected.item()), abs=1e-12
    )


@pytest.mark.parametrize("name", ["orthogonal", "layernorm"])
def test_where_a_score_has_kinks_more_points_help(name: str) -> None:
    run = tg.unroll(cell(name), X)
    few, many = (abs(inspector.saliency(run, run.stacked.sum(), "integrated", points=n).residual) for n in (4, 150))
    assert many < few / 3
    assert abs(inspector.saliency(run, run.stacked.sum(), "integrated").residual) < 1e-3


def test_a_switch_on_the_way_is_found() -> None:
    """A sigmoid that jumps within a hundredth of the line, which a few fixed points would step over."""

    class Switch(tg.Cell):
        def step(self, x: Any, state: Any) -> Any:
            return (state[0] + tg.sigmoid(1000.0 * (x[:, :1] - 0.3)),)

    run = tg.unroll(Switch(3, 1, seed=0), np.ones((2, 1, 3)))
    score = run.outputs[-1].sum()
    assert abs(inspector.saliency(run, score, "integrated", points=20).residual) > 0.1
    found = inspector.saliency(run, score, "integrated")
    assert abs(found.residual) < 1e-5
    np.testing.assert_allclose(found.contributions.values[:, 0], [[1.0, 0, 0]] * 2, atol=1e-5)


def test_contributions_are_those_of_the_formula_in_pytorch(torch: Any) -> None:
    run = tg.unroll(cell("rnn"), X)
    weights = {name: torch.tensor(p.data) for name, p in cell("rnn").named_parameters()}

    def score(x: Any) -> Any:
        h = torch.zeros(2, 4, dtype=torch.float64)
        for row in x:
            h = torch.tanh(
                row @ weights["weight_ih"].T + weights["bias_ih"] + h @ weights["weight_hh"].T + weights["bias_hh"]
            )
        return (h * h)[:, 0].sum()

    x, base = torch.tensor(X), torch.full((6, 2, 3), 0.25, dtype=torch.float64)
    total = torch.zeros_like(x)
    for place, weight in zip(*np.polynomial.legendre.leggauss(7), strict=True):
        at = (base + (1 + place) / 2 * (x - base)).requires_grad_(True)
        total += weight / 2 * torch.autograd.grad(score(at), at)[0]
    ours = (run.outputs[-1] * run.outputs[-1])[:, 0].sum()
    found = inspector.saliency(run, ours, "integrated", baseline=0.25, points=7)
    np.testing.assert_allclose(found.contributions.values, (total * (x - base)).numpy(), rtol=1e-10)
    slope = torch.autograd.grad(score(x.requires_grad_(True)), x)[0].numpy()
    found = inspector.saliency(run, ours, "gradient")
    np.testing.assert_allclose(found.contributions.values, slope, rtol=1e-10)
    np.testing.assert_allclose(found.per_step.values, np.linalg.norm(slope, axis=2))
    assert math.isnan(found.residual) and found.to_dict()["residual"] is None
    np.testing.assert_allclose(inspector.saliency(run, ours).contributions.values, slope * X, rtol=1e-10)


@FEW
@given(run=runs(), a=st.floats(-1, 1))
def test_one_point_is_the_gradient_half_way(run: Run, a: float) -> None:
    """With one point the rule is the midpoint rule, and the gradient there that of the cell fed the midpoints."""
    inputs = np.array([x.data for x in run.inputs])
    with np.errstate(all="ignore"):
        found = inspector.saliency(run, run.stacked.sum(), "integrated", baseline=a, points=1)
        plain = inspector.saliency(run, run.stacked.sum(), "gradient_x_input", baseline=a)
        trace = inspector.trace(run, run.stacked.sum())
        graph = tg.Graph(run.stacked.sum())
        middle = {x: tg.tensor(0.5 * (x.data + a)) for x in run.inputs if x in graph}
        slopes = dict(zip(middle, tg.grad(graph.run(middle), list(middle.values())), strict=True)) if middle else {}
    for t, x in enumerate(run.inputs):
        expected = slopes[x].data * (x.data - a) if x in slopes else np.zeros(x.shape)
        np.testing.assert_allclose(found.contributions["t", t], expected, rtol=1e-12)
        np.testing.assert_allclose(plain.contributions["t", t], trace.gradient("x", t) * (inputs[t] - a), rtol=1e-12)


@pytest.mark.parametrize("method", ["gradient_x_input", "integrated", "gradient"])
def test_a_compiled_run_has_the_saliency_of_its_replay(method: str) -> None:
    options: dict[str, Any] = {"lengths": [6, 4], "reverse": True}
    slow, fast = tg.unroll(cell("gru"), X, **options), tg.unroll(tg.compile(cell("gru"), backend="numpy"), X, **options)
    one, two = (inspector.saliency(run, run.stacked.sum(), method, points=3) for run in (slow, fast))
    np.testing.assert_allclose(one.contributions.values, two.contributions.values, rtol=1e-10, atol=1e-14)
    assert not one.contributions.values[4:, 1].any()


def test_stacks_directions_and_inputs_that_are_computed() -> None:
    deep = tg.Stacked(tg.Bidirectional(cell("lstm"), cell("rnn", 1)), cell("gru", 2, 8))
    table = tg.tensor(np.random.default_rng(3).normal(size=(5, 3)), requires_grad=True)
    run = tg.unroll(deep, [table[np.array([t % 5, t % 3])] for t in range(6)])
    found = inspector.saliency(run, run.outputs[2].sum(), "integrated")
    assert abs(found.residual) < 1e-6 and (np.abs(found.per_step.values) > 0).all()


def test_text_is_shown_character_by_character(tmp_path: Path) -> None:
    text = "ab c\nd"
    run = tg.unroll(cell("rnn"), X[:, :1])
    found = inspector.saliency(run, run.outputs[-1].sum(), labels=text)
    lines = str(found).splitlines()
    at = lines.index("ab␣c⏎d")
    assert len(lines[at + 1]) == 6
    most = int(np.argmax(np.abs(found.per_step.values[:, 0])))
    assert lines[at + 1][most] == "█" and f"most at t = {most} {text[most]!r}" in lines[-1]
    negative = [t for t, mark in enumerate(lines[at + 2].ljust(6)) if mark == "−"]
    assert negative == np.flatnonzero(found.per_step.values[:, 0] < 0).tolist()
    axes = found.plot()
    assert "".join(t.get_text() for t in axes.texts[:6]) == "ab␣c⏎d" and len(axes.patches) == 6
    assert found.save(tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert found.to_dict()["labels"]["values"] == list(text)
    with found.to_csv(tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        assert [row["value"] for row in csv.DictReader(file) if row["table"] == "labels"] == list(text)


def test_bars_and_map(tmp_path: Path) -> None:
    run = tg.unroll(cell("lstm"), X)
    found = inspector.saliency(run, run.outputs[-1].sum(), "gradient")
    assert len(found.plot().get_figure().axes) == 3
    assert found.save(tmp_path / "a.svg", sequence=1).exists()
    axes = inspector.plot_decay(inspector.trace(run, run.outputs[-1].sum()))
    assert found.plot(ax=axes) is axes
    assert "sequence 1" in str(found)
    with pytest.raises(KeyError, match="sequence has no 2"):
        found.plot(sequence=2)


def test_bad_arguments_are_named() -> None:
    run = tg.unroll(cell("rnn"), X)
    score = run.outputs[-1].sum()
    with pytest.raises(ValueError, match="one of gradient_x_input, integrated, gradient, got 'lime'"):
        inspector.saliency(run, score, "lime")
    with pytest.raises(ValueError, match="points must be a positive number, got 0"):
        inspector.saliency(run, score, "integrated", points=0)
    with pytest.raises(ValueError, match="6 timesteps need as many labels, got 2"):
        inspector.saliency(run, score, labels="ab")
    with pytest.raises(ValueError, match=r"baseline must broadcast to \(6, 2, 3\), got \(4,\)"):
        inspector.saliency(run, score, baseline=np.zeros(4))
    with pytest.raises(TypeError, match="run must be what unroll returned"):
        inspector.saliency("run", score)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="single number"):
        inspector.saliency(run, run.outputs[-1])


@pytest.mark.parametrize("kind", ["lstm", "layernorm", "masked", "stacked", "directions"])
def test_points_side_by_side_give_what_they_give_in_turn(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run, score = network(kind)
    found = inspector.saliency(run, score, "integrated", points=5)

    def refuse(*_: object) -> None:
        raise TypeError

    monkeypatch.setattr(sys.modules["inspector.analysis.saliency"], "side_by_side", refuse)
    one_by_one = inspector.saliency(run, score, "integrated", points=5)
    np.testing.assert_allclose(found.contributions, one_by_one.contributions, rtol=1e-12, atol=1e-14)


def test_values_side_by_side_are_a_pass_each() -> None:
    run, score = network("lstm")
    feeds = {x.id: np.stack([x.data, 0.5 * x.data, 0 * x.data]) for x in run.inputs}
    scores, slopes = side_by_side(score, feeds)
    for k in range(3):
        inputs = [tg.tensor(feeds[x.id][k]) for x in run.inputs]
        value = tg.Graph(score).run(dict(zip(run.inputs, inputs, strict=True)))
        assert scores[k] == pytest.approx(value.item(), rel=1e-12)
        for x, slope in zip(run.inputs, tg.grad(value, inputs), strict=True):
            np.testing.assert_allclose(slopes[x.id][k], slope.data, rtol=1e-10, atol=1e-13)


def test_the_line_is_walked_in_few_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[int] = []

    def counted(score: tg.Tensor, feeds: Any) -> Any:
        passes.append(len(next(iter(feeds.values()))))
        return side_by_side(score, feeds)

    monkeypatch.setattr(sys.modules["inspector.analysis.saliency"], "side_by_side", counted)
    run = tg.unroll(cell("layernorm"), X)
    inspector.saliency(run, (run.stacked**2).sum(), "integrated")
    assert len(passes) < 45 and sum(passes) > 8 * len(passes)


def test_a_text_of_which_nothing_matters_is_said_to_be_zero() -> None:
    run = tg.unroll(tg.cells.RNNCell(3, 4, seed=0), np.zeros((3, 1, 3)))
    axes: Any = inspector.saliency(run, run.outputs[-1].sum() * 0.0, labels="abc").plot()
    assert any(text.get_text().endswith(": darkest 0") for text in axes.texts)


def test_a_tiny_score_has_a_tiny_saliency() -> None:
    run = tg.unroll(cell("lstm"), X)
    score = run.outputs[-1].sum()
    large, tiny = (inspector.saliency(run, score * scale, method="gradient").per_step.values for scale in (1.0, 1e-200))
    np.testing.assert_allclose(tiny / 1e-200, large)

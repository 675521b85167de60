"""Experiments of closed forms and published counts: they pass, they draw, and each of them can fail."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import claim
import clip_keeps_the_arrow
import conveyor_belt
import hochreiters_envelope
import latch_dilemma
import near_one_or_nothing
import numpy as np
import pytest
import scissors
import slope_ceilings
import the_cliff
import weight_census

import tinygrad_rnn as tg
from tests.examples.checks import assert_picture

EXPERIMENTS = [
    "slope_ceilings",
    "hochreiters_envelope",
    "near_one_or_nothing",
    "clip_keeps_the_arrow",
    "the_cliff",
    "latch_dilemma",
    "conveyor_belt",
    "scissors",
    "weight_census",
]
SUFFIXES = {"scissors": ".svg"}


def verdicts(experiment: ModuleType, seed: int = 0) -> dict[str, str]:
    lines, _ = experiment.measure(True, np.random.default_rng(seed))
    assert len({line.name for line in lines}) == len(lines), "two lines of the same name"
    return {line.name: line.verdict for line in lines}


def failed(experiment: ModuleType) -> set[str]:
    return {name for name, verdict in verdicts(experiment).items() if verdict == "FAIL"}


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less of what takes time: training, which is told, and long ways down and along."""
    descend = clip_keeps_the_arrow.descend
    monkeypatch.setattr(scissors, "train", lambda *a, **k: (np.linspace(0.9, 1.0, 20), 1.0))
    monkeypatch.setattr(conveyor_belt, "STEPS", 100)
    monkeypatch.setattr(clip_keeps_the_arrow, "descend", lambda theta, steps, *a: descend(theta, 50, *a))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["conveyor_belt", "scissors", "clip_keeps_the_arrow"])
def test_exact_lines_pass_at_full_length(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of those that run shortened below; the others run as they are."""
    monkeypatch.setattr(scissors, "train", lambda *a, **k: (np.ones(10), 1.0))  # has no exact lines, and takes its time
    found = verdicts(importlib.import_module(name), seed=7)
    assert "PASS" in found.values() and "FAIL" not in found.values()


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_script_prints_its_lines_and_draws(
    name: str, short: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = importlib.import_module(name)
    suffix = SUFFIXES.get(name, ".png")
    arguments = ["--quick", "--seed", "1", "--out", str(tmp_path)]
    assert claim.main(experiment.__doc__, experiment.measure, experiment.draw, arguments, suffix=suffix) == 0
    *lines, written = capsys.readouterr().out.splitlines()
    assert [path.name for path in tmp_path.iterdir()] == [f"{name}{suffix}"] == [Path(written).name]
    assert_picture(tmp_path / f"{name}{suffix}")
    for line in lines:
        # what the overview takes apart again: only the name may hold a comma
        said, *rest = line.rsplit(", ", 3)
        assert len(rest) == 3 and ": " in said and rest[-1] in ("PASS", "agrees", "differs"), line


def test_slopes_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(slope_ceilings.CURVES, "tanh", lambda x: tg.tanh(1.001 * x))
    assert {"steepest slope of tanh", "half-width of tanh'"} <= failed(slope_ceilings)


def test_the_envelope_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    draw_nets = hochreiters_envelope.random_factors
    monkeypatch.setattr(hochreiters_envelope, "random_factors", lambda nets, limit, rng: draw_nets(nets, 12.0, rng))
    monkeypatch.setattr(hochreiters_envelope, "worst_net", lambda: 0.75 ** np.arange(1, 51) / 11)
    assert failed(hochreiters_envelope) == {
        "nets of 40 below n tau^q at every q",
        "nets of 40 below tau^q / n at every q",
        "worst net over tau^q / n: largest deviation from 1",
    }


def test_the_ladder_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    measure_norms = near_one_or_nothing.norms
    monkeypatch.setattr(near_one_or_nothing, "norms", lambda *a: measure_norms(*a) * (1 + 1e-9))
    monkeypatch.setattr(near_one_or_nothing, "NON_NORMAL", np.array([[0.9, 9.0], [0.0, 0.9]]))
    found = failed(near_one_or_nothing)
    assert "linear, rho = 1: gradient 20 steps back" in found and "not normal: d h1_T / d h2_{T-9}" in found


def test_clipping_by_element_is_found_out(short: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip_keeps_the_arrow, "by_norm", lambda g, threshold: np.clip(g, -threshold, threshold))
    assert "clipped by norm: 1 - cosine with the gradient" in failed(clip_keeps_the_arrow)


def test_another_wall_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    wall = the_cliff.wall
    monkeypatch.setattr(the_cliff, "wall", lambda w: wall(w) + 2e-4)
    assert failed(the_cliff) == {
        "w from 4.5: steepest point off 0.5 - w sigmoid(0.5)",
        "w from 5: steepest point off 0.5 - w sigmoid(0.5)",
    }


def test_another_latch_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    make = latch_dilemma.unit
    monkeypatch.setattr(latch_dilemma, "unit", lambda w: make(1.01 * w))
    assert {f"w = {w:g}: input that flips the latch" for w in latch_dilemma.WEIGHTS} <= failed(latch_dilemma)


def test_a_belt_without_the_cut_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    make = conveyor_belt.cell_of_1997
    monkeypatch.setattr(conveyor_belt, "STEPS", 60)
    monkeypatch.setattr(conveyor_belt, "cell_of_1997", lambda seed, bias, truncated: make(seed, bias, False))
    found = failed(conveyor_belt)
    assert "1997, truncated: ds_1000/ds_0 off the identity" in found
    assert "equation 41: factor at q = 1000 over that at q = 1; off 1" in found


def test_another_rule_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    rule, forwards = scissors.truncated_rtrl_gradients, scissors.rtrl

    def off(gradients: dict[str, Any]) -> dict[str, Any]:
        return {name: g * (1 + 1e-9) for name, g in gradients.items()}

    monkeypatch.setattr(scissors, "truncated_rtrl_gradients", lambda *a: off(rule(*a)))
    monkeypatch.setattr(scissors, "rtrl", lambda *a: forwards(*a)._replace(gradients=off(forwards(*a).gradients)))
    monkeypatch.setattr(scissors, "train", lambda *a, **k: (np.ones(10), 1.0))
    assert failed(scissors) == {
        "20 nets of 1997: equations 19-28 against the cut graph",
        "Elman nets: full RTRL against BPTT",
    }


def test_gates_that_do_not_feed_back_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def modern(
        inputs: int, cells: int, outputs: int, *, size: int = 1, bias: Any = False, readout_bias: bool = False
    ) -> Any:
        cell = tg.cells.LSTM2000Cell(inputs, cells, block_size=size, bias=bias)
        return tg.models.SequenceModel(cell, outputs, bias=readout_bias)

    monkeypatch.setattr(weight_census, "blocks_net", modern)
    found = failed(weight_census)
    assert {"Adding: 2 blocks of 2", "Reber grammar: 3 blocks of 2", "Two sequences: 3 blocks of 1"} <= found
    assert "Peepholes (2002): one cell" not in found


def test_the_bounds_of_the_belt_are_those_of_its_biases() -> None:
    """The forget gates of the exact rows are their biases, whatever comes in."""
    cell, biases = conveyor_belt.with_forget_gate(5.0, 3, seed=0)
    run = tg.unroll(cell, np.random.default_rng(0).normal(size=(4, 1, conveyor_belt.INPUTS)))
    np.testing.assert_allclose(run.names["f", 3].data[0], 1 / (1 + np.exp(-biases)), rtol=1e-14)

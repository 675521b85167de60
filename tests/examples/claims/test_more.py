"""More experiments: guessing, explosions, shortcuts, prices, spectra, automata: they pass, they draw, and each can
fail.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import claim
import counting_beyond_training
import dice_beat_gradients
import explosion_clock
import hand_wired_automaton
import isometry_histogram
import kalman_against_sgd
import lyapunov_microscope
import numpy as np
import omega_regulariser
import price_tags
import pytest
import rings_staircase
import shortcuts_through_time

import tinygrad_rnn as tg
from tests.examples.checks import assert_picture

SEQUENCES = kalman_against_sgd.sequences
EXPERIMENTS = [
    "dice_beat_gradients",
    "explosion_clock",
    "shortcuts_through_time",
    "price_tags",
    "lyapunov_microscope",
    "hand_wired_automaton",
    "isometry_histogram",
    "omega_regulariser",
    "rings_staircase",
    "kalman_against_sgd",
    "counting_beyond_training",
]


@pytest.fixture(autouse=True)
def shorter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that only takes time and is not checked here."""
    trials = dice_beat_gradients.trials
    monkeypatch.setattr(
        dice_beat_gradients,
        "trials",
        lambda net, *a, **options: (
            trials(net, *a, **options) if net == dice_beat_gradients.LatchUnit("I") else np.arange(1, 6)
        ),
    )
    monkeypatch.setattr(kalman_against_sgd, "sequences", lambda *a: 3.0)
    trained = counting_beyond_training.trained
    monkeypatch.setattr(counting_beyond_training, "trained", lambda name, steps, seed: trained(name, 3, seed))
    monkeypatch.setattr(price_tags, "seconds", lambda units, repeats: dict.fromkeys(price_tags.NAMES, 1.0))
    monkeypatch.setattr(explosion_clock, "NETS", 3)
    clockwork, descend = shortcuts_through_time.clockwork, omega_regulariser.descend
    monkeypatch.setattr(
        shortcuts_through_time,
        "clockwork",
        lambda steps, rng, coupled: clockwork(24 if coupled else steps, rng, coupled),
    )
    monkeypatch.setattr(omega_regulariser, "descend", lambda *a: descend(*a[:-1], 16))
    spectrum = lyapunov_microscope.spectrum
    monkeypatch.setattr(
        lyapunov_microscope, "spectrum", lambda name, gain, units, steps, rng: spectrum(name, gain, 12, 60, rng)
    )


def failed(experiment: ModuleType, seed: int = 0) -> set[str]:
    lines, _ = experiment.measure(True, np.random.default_rng(seed))
    return {line.name for line in lines if line.verdict == "FAIL"}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_exact_lines_pass_and_the_picture_is_drawn(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = importlib.import_module(name)
    arguments = ["--quick", "--seed", "1", "--out", str(tmp_path)]
    assert claim.main(experiment.__doc__, experiment.measure, experiment.draw, arguments) == 0
    *lines, written = capsys.readouterr().out.splitlines()
    assert [path.name for path in tmp_path.iterdir()] == [f"{name}.png"] == [Path(written).name]
    assert_picture(tmp_path / f"{name}.png")
    parts = [line.rsplit(", ", 3) for line in lines]
    assert all(len(p) == 4 and ": " in p[0] and p[-1] in ("PASS", "agrees", "differs") for p in parts), lines
    assert any(p[-1] == "PASS" for p in parts)
    names = [p[0].rpartition(": ")[0] for p in parts]
    assert len(set(names)) == len(names), "two lines of the same name"


def test_guessing_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(dice_beat_gradients.LatchUnit):
        def outputs(self, weights: Any, inputs: Any) -> Any:
            return super().outputs(weights * [-1, 1, 1], inputs)

    monkeypatch.setattr(dice_beat_gradients, "LatchUnit", Wrong)
    monkeypatch.setattr(
        dice_beat_gradients, "trials", lambda net, task, runs, rng, **options: np.arange(1, runs + 1) % 5
    )
    found = failed(dice_beat_gradients)
    assert {"latch I: mean trials", "latch I with equal lengths: mean trials"} <= found
    assert any("exceptions to the rule" in name for name in found)


@pytest.mark.slow
def test_the_clock_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    right = explosion_clock.net
    monkeypatch.setattr(explosion_clock, "net", lambda gain, *rest: right(1.35 * gain, *rest))
    found = failed(explosion_clock)
    growth = f"ReLU, g = 2: growth a step (median of {explosion_clock.NETS} nets)"
    assert {growth, "ReLU, g = 2: overflow step (median)"} <= found
    assert not any("tanh" in name or "IRNN" in name for name in found)


@pytest.mark.slow
def test_shortcuts_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    right = shortcuts_through_time.orthogonal
    monkeypatch.setattr(shortcuts_through_time, "orthogonal", lambda n, rng: 1.001 * right(n, rng))
    found = failed(shortcuts_through_time)
    assert {"delay 4: slope over ln(rho)", "clockwork, period 2: gradient over 64 steps"} <= found


def test_all_delays_together_do_not_reach_as_far_as_the_longest() -> None:
    """What is often said; the slope of the recurrence says otherwise."""
    norms = shortcuts_through_time.delayed((1, 2, 3, 4), 300, np.random.default_rng(0), units=1)
    reach = np.log(shortcuts_through_time.RHO) / shortcuts_through_time.slope(norms[150:])
    assert 2.4 < reach < 2.7


def test_prices_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GRU at half the price of an LSTM, and a rule that is no RTRL."""
    monkeypatch.setitem(price_tags.LAYERS, "gru", 2)
    right = price_tags.forwards
    monkeypatch.setattr(
        price_tags, "forwards", lambda cell, x, h, by: (right(cell, x, h, by)[0], right(cell, x, h, by)[1] * 1.01)
    )
    found = failed(price_tags)
    assert {"RTRL by hand against the framework's"} < found and sum(name.startswith("gru") for name in found) == 2


def test_exponents_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    right = lyapunov_microscope.exponents
    monkeypatch.setattr(lyapunov_microscope, "exponents", lambda *a: right(*a) * (1 + 1e-4))
    monkeypatch.setattr(lyapunov_microscope, "spectrum", lambda *a: (a[-1].normal(size=4), 1e-6))
    found = failed(lyapunov_microscope)
    assert len(found) == 4 and "minGRU: largest |exponent - mean ln(1 - z)|" in found


def test_step_jacobians_are_those_of_single_steps() -> None:
    cell, inputs = tg.cells.LSTMCell(3, 4, seed=0), np.random.default_rng(0).normal(size=(5, 1, 3))
    run = tg.unroll(cell, inputs)
    found = lyapunov_microscope.step_jacobians(cell, inputs)
    before = cell.State(*[tg.tensor(part.data) for part in run.states[2]])
    after = cell(tg.tensor(inputs[3]), before)
    blocks = [[tg.jacobian(part[0], earlier)[:, 0] for earlier in before] for part in after]
    np.testing.assert_allclose(found[3], np.block(blocks), rtol=1e-12)


def test_automata_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    _, accepting, language = hand_wired_automaton.AUTOMATA["parity"]
    monkeypatch.setitem(hand_wired_automaton.AUTOMATA, "parity", ([(1, 0), (0, 1)], accepting, language))
    right = hand_wired_automaton.upper
    monkeypatch.setattr(hand_wired_automaton, "upper", lambda gain: right(1.001 * gain))
    found = failed(hand_wired_automaton)
    assert any(name.startswith("parity") for name in found) and not any(name.startswith("Tomita") for name in found)
    assert "permuting states, H = 8: margin after 300 steps" in found


@pytest.mark.parametrize("name", list(hand_wired_automaton.AUTOMATA))
def test_random_strings_are_of_both_kinds(name: str) -> None:
    strings = hand_wired_automaton.random_strings(name, 40, 60, np.random.default_rng(0))
    assert len({hand_wired_automaton.AUTOMATA[name][2](s) for s in strings}) == 2


def test_isometry_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    right = tg.init.orthogonal
    monkeypatch.setattr(tg.init, "orthogonal", lambda shape, rng: right(shape, rng) * np.linspace(1, 1.01, shape[0]))
    assert {"orthogonal, linear: mean of singular values", "orthogonal, linear: variance of singular values"} <= failed(
        isometry_histogram
    )


def test_omega_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the squared norms of the authors' code."""

    def squared(*arguments: Any) -> Any:
        value, ratio = omega(*arguments)
        return value * 1.001, ratio

    omega = omega_regulariser.omega
    monkeypatch.setattr(omega_regulariser, "omega", squared)
    monkeypatch.setattr(
        omega_regulariser, "descend", lambda *a: {"norms": [np.ones(61)] * 2, "omega": [], "stretch": np.ones(3)}
    )
    found = failed(omega_regulariser)
    assert {
        "linear, R = 0.9 x orthogonal: Omega",
        "derivative of Omega against the formula: largest relative difference",
    } <= found


@pytest.mark.slow
def test_the_staircase_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    right = rings_staircase.sequence
    monkeypatch.setattr(rings_staircase, "sequence", lambda first, lag: right(first, lag + 1))
    assert {"lag 4: most units of 3 nets", "lag 4: fewest units", "lags 1 to 4: units"} <= failed(rings_staircase)


def test_the_filter_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    right = kalman_against_sgd.ExtendedKalmanFilter
    monkeypatch.setattr(
        kalman_against_sgd, "ExtendedKalmanFilter", lambda *a, **options: right(*a, **{**options, "drift": 1e-3})
    )
    monkeypatch.setattr(kalman_against_sgd.Decaying, "step", tg.cells.RNNCell.step)
    found = failed(kalman_against_sgd)
    assert (
        "linear output: largest |weight - ridge regression|" in found
        and sum(name.startswith("decay") for name in found) == 2
    )


def test_filter_and_gradient_methods_learn_to_recall() -> None:
    sequences = SEQUENCES
    rng = np.random.default_rng(0)
    taken = {learner: sequences("recall", learner, 2, 200, rng) for learner in ("Kalman", "SGD", "Adam")}
    assert taken["Kalman"] < taken["SGD"] < 200 and taken["Adam"] < 200
    assert sequences("latch", "Kalman, decay 1/2", 5, 0, rng) == np.inf


def test_counting_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    def leaking() -> Any:
        model = by_hand()
        bias = model.cell.bias_ih
        bias.data = np.where(np.arange(8) == 2, 6.0, bias.data)  # the forget gate of the counter
        return model

    by_hand = counting_beyond_training.by_hand
    monkeypatch.setattr(counting_beyond_training, "by_hand", leaking)
    assert len(failed(counting_beyond_training)) == 3

"""Decay of three cells: the traces are the gradient, the story it tells is true, the picture is drawn."""

from __future__ import annotations

import decay_of_three_cells as example
import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.examples.checks import assert_pictures


def test_traces_are_the_gradient(monkeypatch):
    """Against a gradient taken directly, with the same seeds."""
    monkeypatch.setattr(example, "SEEDS", 2)
    monkeypatch.setattr(example, "STEPS", 12)
    for seed, trace in enumerate(example.traces("LSTM", "Keras's default")):
        rng = np.random.default_rng(seed)
        cell = tg.cells.LSTMCell(example.INPUTS, example.HIDDEN, seed=seed, init="keras")
        run = tg.unroll(cell, rng.normal(size=(12, 1, example.INPUTS)))
        loss = tg.losses.mse_loss(run.outputs[-1], rng.normal(size=(1, example.HIDDEN)))
        expected = [np.linalg.norm(g.data) for g in tg.grad(loss, [state.h for state in run.states])]
        np.testing.assert_allclose(trace.norm("h"), expected, rtol=1e-12)


@pytest.mark.slow
def test_gate_biases_for_the_task_reach_back_and_defaults_do_not(tmp_path, capsys):
    assert example.main(["--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert_pictures(tmp_path, ["decay-of-three-cells.png"], printed)
    rows = printed.splitlines()[1:10]
    factors = {" ".join(line[:32].split()): float(line[32:46]) for line in rows}
    assert len(factors) == len(example.CELLS) * len(example.FILLINGS)
    for name, factor in factors.items():
        reaches_back = name.startswith("gate biases") and not name.endswith(" RNN")
        assert factor > 0.98 if reaches_back else factor < 0.9, name

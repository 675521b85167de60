"""Two networks that have learned to add: their weights do, and the page shows what the text says of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trained_pair as example

import inspector
import tinygrad_rnn as tg


@pytest.mark.parametrize("name", example.TRAINED)
def test_the_weights_that_lie_here_are_those_of_a_network_that_adds(name):
    model, batch = example.load(name), example.TASK.draw(500, np.random.default_rng(2))
    with tg.no_grad():
        loss = float(example.asked(model, batch)[1].item())
        fresh = float(example.asked(example.fresh(name), batch)[1].item())
    assert loss < 2e-4 and fresh > 0.1
    assert sum(array.size for array in model.state_dict().values()) * 4 < example.WEIGHTS.stat().st_size < 20_000


@pytest.mark.slow
def test_training_learns_to_add_and_writes_what_is_loaded(tmp_path):
    """A short form of what made the weights."""
    pytest.importorskip("numba", reason="it trains compiled cells: pip install tinygrad-rnn[compile]")
    model, history = example.train("GRU", updates=800)
    assert history.column("loss")[-1] < 0.01 < 0.1 < history.column("loss")[0]
    found = example.load("GRU", example.save({"GRU": model}, tmp_path / "weights.safetensors")).state_dict()
    for key, value in model.state_dict().items():
        np.testing.assert_array_equal(found[key], np.asarray(value, np.float32))


def test_marks_stand_where_the_inputs_carry_them():
    batch = example.TASK.draw(3, np.random.default_rng(0))
    first, second = example.marked(batch).values()
    assert max(first) < example.LENGTH // 2 <= min(second)
    for k in range(3):
        np.testing.assert_array_equal(np.flatnonzero(batch.inputs[:, k, 1]), [first[k], second[k]])


def test_the_page_has_five_runs_and_the_steps_that_train_the_lstm_most_are_the_marked_ones(
    tmp_path, capsys, monkeypatch
):
    shown = {}
    monkeypatch.setattr(example.inspector, "report", lambda runs, path, marks: shown.update(runs=runs, marks=marks))
    assert example.main(["--out", str(tmp_path)]) == 0
    assert "trained-pair.html: a page" in capsys.readouterr().out
    kept = {}
    for label, (run, loss) in shown["runs"].items():
        trace = inspector.trace(run, loss)
        whole = np.sqrt(sum(trace.norm(state) ** 2 for state in trace.states))
        kept[label] = whole[0] / whole[-1]
    assert list(kept) == ["RNN", "GRU", "LSTM", "GRU, trained", "LSTM, trained"]
    assert max(kept[name] for name in ("RNN", "GRU", "LSTM")) < 1e-10
    assert min(kept[name] for name in ("GRU, trained", "LSTM, trained")) > 0.05
    gates = {
        name: np.mean([shown["runs"][f"{cell}, trained"][0].names[name, t].data for t in range(example.LENGTH)])
        for cell, name in (("GRU", "z"), ("LSTM", "f"))
    }
    told = (Path(__file__).resolve().parents[2] / "docs" / "page.md").read_text(encoding="utf-8")
    assert f"In the trained LSTM, {100 * kept['LSTM, trained']:.0f} % arrives" in told
    assert f"carries h on: {gates['z']:.2f} on average" in told and f"f is {gates['f']:.2f} on" in told
    most = np.argsort(-trace.parameter_norm("weight_ih"))[:8]
    assert sorted(most) == sorted(step for steps in shown["marks"].values() for step in steps)

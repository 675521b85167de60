"""The experiments that train nets: their exact lines hold, can fail, and each leaves a picture.

Training is cut short here: what is exact does not wait for it, and what is a trend is told, not enforced.
"""

from __future__ import annotations

import chunker_and_noise
import claim
import france_french
import learning_to_forget
import numpy as np
import pytest
import small_odyssey
import warped_time
import window_of_ten

import tinygrad_rnn as tg
from tests.examples.checks import assert_picture
from tests.marks import slow_unless

SHORT = {
    window_of_ten: {"QUICK_STEPS": 3},
    chunker_and_noise: {"SHORT": 60, "LONG": 1200, "STEPS": 120, "SHARES": (0.0, 0.0, 0.0, 0.0, 0.2)},
    learning_to_forget: {"QUICK_STEPS": 2, "TESTED": 150},
    small_odyssey: {
        "QUICK_STEPS": 3,
        "BLOCKS": {name: small_odyssey.BLOCKS[name] for name in ("peephole", "cifg", "gru")},
    },
    warped_time: {"QUICK_STEPS": 2, "LENGTH": 40},
    france_french: {"QUICK_STEPS": 3, "KINDS": ("RNN", "LSTM, biases for the gap")},
}


@pytest.fixture
def short(monkeypatch):
    """Scripts with little training."""
    for script, constants in SHORT.items():
        for name, value in constants.items():
            monkeypatch.setattr(script, name, value)


def verdicts(lines: list[claim.Line]) -> set[str]:
    return {line.verdict for line in lines} & {"PASS", "FAIL"}


@pytest.mark.parametrize("seed", [1])
@pytest.mark.parametrize(
    "script", slow_unless(set(SHORT) - {chunker_and_noise}, SHORT), ids=lambda script: script.__name__
)
def test_exact_lines_hold_and_the_picture_is_drawn(script, seed, short, tmp_path, capsys):
    options = ["--quick", "--seed", str(seed), "--out", str(tmp_path)]
    assert claim.main(script.__doc__, script.measure, script.draw, options) == 0
    printed = capsys.readouterr().out.splitlines()
    assert sum(line.endswith(", PASS") for line in printed) >= 2
    assert_picture(tmp_path / f"{script.__name__}.png")


def test_weights_of_all_cells_by_formula():
    """Of those too that the shortened run above leaves out."""
    for name in small_odyssey.BLOCKS:
        for inputs, units in ((10, 20), (2, 3)):
            cell = tg.cells.get(name)(inputs, units, seed=0)
            assert sum(parameter.data.size for parameter in cell.parameters()) == small_odyssey.weights(
                name, inputs, units
            ), name


def test_a_window_off_by_one_fails(short, monkeypatch):
    monkeypatch.setattr(window_of_ten, "accuracy", lambda *arguments: 0.5)
    honest = window_of_ten.credit
    monkeypatch.setattr(
        window_of_ten, "credit", lambda fade, window: honest(fade, min(window + 1, window_of_ten.WORDS))
    )
    lines, _ = window_of_ten.measure(True, np.random.default_rng(0))
    assert [line.verdict for line in lines if line.name.startswith("share")] == ["FAIL"] * 3
    assert [line.verdict for line in lines if "get credit" in line.name] == ["FAIL"]


def test_a_cut_that_is_none_fails(monkeypatch):
    monkeypatch.setattr(window_of_ten, "accuracy", lambda *arguments: 0.5)
    monkeypatch.setattr(tg, "stop_gradient", lambda x: x)
    lines, _ = window_of_ten.measure(True, np.random.default_rng(0))
    assert "FAIL" in verdicts(lines)


@pytest.mark.slow
def test_a_chunker_that_was_not_trained_fails(short, monkeypatch):
    monkeypatch.setattr(chunker_and_noise, "STEPS", 1)
    monkeypatch.setattr(chunker_and_noise, "LONG", 100)
    lines, _ = chunker_and_noise.measure(True, np.random.default_rng(0))
    assert verdicts(lines) == {"FAIL"}


def test_surprises_are_where_the_chunker_moved():
    """Counted from the predictions; the cell itself says the same by its u."""
    cell = chunker_and_noise.READERS["chunker"](chunker_and_noise.SYMBOLS, 0)
    x = chunker_and_noise.sequences(40, 3, 0.3, np.random.default_rng(0))[0]
    run = tg.unroll(cell, x)
    u = np.stack([run.names["u", t].data[:, 0] for t in range(40)])
    np.testing.assert_array_equal(chunker_and_noise.surprises(run), u > 0.5)


@pytest.mark.slow
def test_a_1997_cell_that_forgets_fails(short, monkeypatch):
    """Of what it writes, a cell that leaks is no sum."""

    class Leaking(tg.cells.LSTM1997Cell):
        def step(self, x, state):
            return super().step(x, state._replace(s=0.9 * state.s))

    monkeypatch.setitem(learning_to_forget.CELLS, "1997", Leaking)
    lines, _ = learning_to_forget.measure(True, np.random.default_rng(0))
    assert [line.verdict for line in lines if "sum of all" in line.name] == ["FAIL"]


def test_gates_are_read_at_the_right_places():
    """A gate that says which symbol is read: the places have the symbols they are named after."""
    task = tg.tasks.ContinualReber(200)
    batch = task.batch(2, np.random.default_rng(0))
    for symbol, places in (("B", {0, 2}), ("E", {4, 6})):
        gates = batch.inputs[..., [learning_to_forget.SYMBOLS.index(symbol)]]
        means = learning_to_forget.keeping(gates, task.outer(batch))[0][0]
        assert {k for k, mean in enumerate(means) if mean == 1.0} == places
        assert all(mean == 0.0 for k, mean in enumerate(means) if k not in places)


@pytest.mark.slow
def test_a_missing_weight_fails(short, monkeypatch):
    monkeypatch.setitem(small_odyssey.BLOCKS, "peephole", (4, 2, 0))
    lines, _ = small_odyssey.measure(True, np.random.default_rng(0))
    assert [line.verdict for line in lines if line.name.startswith("weights of peephole")] == ["FAIL"]
    assert "PASS" in verdicts(lines)


@pytest.mark.slow
def test_a_rate_that_is_not_slowed_fails(monkeypatch):
    honest = warped_time.slowed
    monkeypatch.setattr(
        warped_time,
        "slowed",
        lambda rng, rate, factor, recurrent, rates: honest(rng, rate, factor, recurrent, lambda a, c: a),
    )
    assert verdicts(warped_time.theory(np.random.default_rng(0))) == {"FAIL"}


def test_a_net_with_a_memory_fails_the_floors(monkeypatch):
    """Without the zeros in place of its recurrent weights, the loss looks at all words."""
    honest, ones = tg.models.SequenceModel.load_state_dict, np.ones((france_french.UNITS, france_french.UNITS))
    keep = {"cell.weight_hh": ones / france_french.UNITS}
    monkeypatch.setattr(
        tg.models.SequenceModel, "load_state_dict", lambda self, mapping: honest(self, {**mapping, **keep})
    )
    assert france_french.theory()[2].verdict == "FAIL"


def test_another_number_of_countries_fails_the_floors(monkeypatch):
    monkeypatch.setattr(france_french, "log", lambda k: np.log(k + 1))
    assert france_french.theory()[0].verdict == "FAIL"


def test_half_way_between_measured_gaps():
    assert france_french.half_way((2, 8), (1.0, 0.125)) == pytest.approx(4.0)
    assert france_french.half_way((2, 8), (1.0, 0.9)) == np.inf
    assert france_french.half_way((2, 8), (0.2, 0.1)) == 2.0

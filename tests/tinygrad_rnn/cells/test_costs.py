"""What cells cost: the table counts in their graphs what texts state."""

from __future__ import annotations

from typing import Any

import pytest

import tinygrad_rnn as tg
from tests.tinygrad_rnn.cells.checks import ODYSSEY, H, N


def test_the_table_counts_what_texts_state() -> None:
    found = tg.cells.table()
    assert list(found) == tg.cells.names()
    measures = {name: (row.states, row.layers, row.sigmoids, row.tanhs) for name, row in found.items()}
    assert measures["rnn"] == (1, 1, 0, 1)
    assert measures["lstm"] == (2, 4, 3, 2)
    assert measures["gru"] == (1, 3, 2, 1)
    assert measures["lstm1997"][1] == 3 and measures["lstm2000"][1] == 4 and measures["layernorm"][1] == 4
    assert measures["projected"] == (2, 5, 3, 2)
    assert {name: row.layers for name, row in found.items() if name in ODYSSEY} == {
        "peephole": 4,
        "nig": 3,
        "nfg": 3,
        "nog": 3,
        "niaf": 4,
        "noaf": 4,
        "cifg": 3,
        "np": 4,
        "fgr": 4,
    }
    assert {name: found[name].layers for name in ("slstm", "sru", "mingru", "minlstm", "lru", "chunker", "narx")} == {
        "slstm": 4,
        "sru": 4,
        "mingru": 2,
        "minlstm": 3,
        "lru": 3,
        "chunker": 3,
        "narx": 1,
    }


def test_what_cells_cost_against_each_other() -> None:
    cost = {name: row.multiply_adds for name, row in tg.cells.table(input_size=8, hidden_size=16).items()}
    assert cost["rnn"] == 16 * (8 + 16)
    for name, times in {
        "mgu": 2,
        "janet": 2,
        "gru": 3,
        "gru_before": 3,
        "coupled": 3,
        "cifg": 3,
        "lstm": 4,
        "peephole": 4,
    }.items():
        assert cost[name] == times * cost["rnn"], name
    parameters = {name: tg.cells.table([name], 10, 20)[name].parameters for name in ("lstm", "gru")}
    assert parameters["gru"] * 4 == parameters["lstm"] * 3
    assert cost["second_order"] == 16 * 16 * 8
    small, large = (tg.cells.table(["second_order"], 4, h)["second_order"].multiply_adds for h in (8, 16))
    assert large == 4 * small


def test_the_table_counts_any_cell_and_prints() -> None:
    from tinygrad_rnn.cells.costs import measure

    class Own(tg.Cell):
        def step(self, x: Any, state: Any) -> Any:
            w = dict(self.named_parameters())
            return (tg.tanh(tg.einsum("bi,ij->bj", x, w["w"])) + 0.5 * state.h,)

    cell = Own(N, H)
    cell.parameter("w", (N, H))
    assert (measure(cell).multiply_adds, measure(cell).layers, measure(cell).tanhs) == (N * H, 1, 1)
    text = str(tg.cells.table(["rnn", "lstm"]))
    assert text.splitlines()[0].split()[:3] == ["cell", "states", "layers"] and "1,664" in text
    with pytest.raises(KeyError, match="no cell called 'lsmt'; did you mean"):
        tg.cells.table(["lsmt"])

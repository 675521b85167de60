"""Options of cells that cannot be are explained."""

from __future__ import annotations

from typing import Any

import pytest

import tinygrad_rnn as tg


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: tg.cells.LSTM1997Cell(2, 5, block_size=2),
            "LSTM1997Cell: block_size must divide 5 memory cells, got 2",
        ),
        (lambda: tg.cells.LSTM1997Cell(2, 4, bias="some"), "bias must be True, False or 'gates', got 'some'"),
        (
            lambda: tg.cells.LSTM2000Cell(2, 4, cell_input="sine"),
            "LSTM2000Cell: cell_input must be one of g, h, sigmoid, tanh, identity",
        ),
        (lambda: tg.cells.JordanCell(2, 4, decay=1.0), r"decay must lie in \[0, 1\), got 1.0"),
        (lambda: tg.cells.JordanCell(2, 4, units=0), "units must be a positive integer, got 0"),
        (
            lambda: tg.cells.LeakyCell(2, 4, time_constant=0.5),
            "time_constant must be one number or 4, at least 1, got 0.5",
        ),
        (lambda: tg.cells.LeakyCell(2, 4, time_constant=[1, 2]), "time_constant must be one number or 4"),
        (lambda: tg.cells.ProjectedLSTMCell(2, 4, 5), "proj_size must be a positive integer of at most hidden_size=4"),
        (lambda: tg.cells.ProjectedLSTMCell(2, 4, 0), "proj_size must be .*, got 0"),
        (lambda: tg.cells.NARXCell(2, 4, delays=()), "delays must be different positive integers"),
        (lambda: tg.cells.NARXCell(2, 4, delays=(1, 1)), "delays must be different positive integers"),
        (
            lambda: tg.cells.ClockworkCell(2, 4, periods=(2, 1)),
            "periods must be rising positive integers whose number divides 4",
        ),
        (lambda: tg.cells.ClockworkCell(2, 4, periods=(1, 2, 4)), "whose number divides 4"),
        (lambda: tg.cells.LRUCell(2, 4, r_min=0.9, r_max=0.5), "needs 0 <= r_min < r_max <= 1, got 0.9 and 0.5"),
        (lambda: tg.cells.SLSTMCell(2, 4, forget="relu"), "forget must be 'sigmoid' or 'exp', got 'relu'"),
        (lambda: tg.cells.OrthogonalRNNCell(2, 4, reflections=5), r"reflections must lie in 1..4, got 5"),
        (lambda: tg.cells.OrthogonalRNNCell(2, 4, nonlinearity="x"), "OrthogonalRNNCell: nonlinearity must be one of"),
    ],
)
def test_bad_options_are_explained(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()

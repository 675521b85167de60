"""A cell made anew is what it was when it was new; and what cannot be known is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.recurrent.anew import anew

UNKNOWN = {"projected"}
"""Cells with an option that they do not keep and that decides the shapes of their parameters."""


def same(one: Any, other: Any) -> bool:
    pairs = zip(one.named_parameters(), other.named_parameters(), strict=True)
    return all(
        name == twin and a is not b and a.dtype == b.dtype and np.array_equal(a.data, b.data)
        for (name, a), (twin, b) in pairs
    )


@pytest.mark.parametrize("name", [name for name in tg.cells.names() if name not in UNKNOWN])
def test_every_cell_is_made_anew_as_it_was(name: str) -> None:
    cell = tg.cells.get(name)(3, 4, seed=7)
    assert same(anew(cell), cell)


@pytest.mark.parametrize(
    "seed",
    [None, 3, np.random.SeedSequence(5).spawn(2)[1], np.random.default_rng(4)],
    ids=["none", "number", "spawned", "generator"],
)
def test_whatever_the_seed_was(seed: Any) -> None:
    cell = tg.cells.GRUCell(3, 4, bias=False, dtype=np.float32, seed=seed, init="orthogonal")
    assert same(anew(cell), cell)


def test_of_a_trained_cell_another_initialisation_is_that_of_a_new_one() -> None:
    made = tg.Stacked(
        [
            tg.Bidirectional(tg.cells.RNNCell(3, 2, nonlinearity="relu", seed=1), tg.cells.RNNCell(3, 2, seed=2)),
            tg.cells.LSTMCell(4, 3, seed=3),
        ]
    )
    new = anew(made)
    for parameter in made.parameters():
        parameter.data = parameter.data + 1.0
    assert same(anew(made), new) and not same(made, new)
    filled = anew(made, "identity")
    assert np.array_equal(filled.layers[0].forward.weight_hh.data, np.eye(2))
    assert filled.layers[0].forward.nonlinearity == "relu"
    assert same(filled.layers[1], tg.cells.LSTMCell(4, 3, seed=3, init="identity"))


class Needs(tg.Cell):
    """Nobody keeps what it needs."""

    def __init__(self, size: int, gain: float, **options: Any) -> None:
        super().__init__(size, size, **options)
        self.w = self.parameter("w", (size, size), lambda shape, rng: gain * rng.normal(size=shape))


class Tuned(tg.cells.RNNCell):
    """It has an option that it does not keep."""

    def __init__(self, input_size: int, hidden_size: int, gain: float = 1.0, **options: Any) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.weight_hh.data = self.weight_hh.data * gain


class Closed(tg.Cell):
    """Its constructor takes no initialisation."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)


def loaded() -> tg.Cell:
    cell = tg.cells.RNNCell(2, 2)
    cell.load_state_dict(cell.state_dict())
    return cell


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        (Needs(3, 0.5), "Needs cannot be made once more: TypeError"),
        (Tuned(3, 3, gain=2.0), "nobody knows what it was made with as gain"),
        (Closed(3, 3), "Closed cannot be made once more"),
        (loaded(), "its weights were loaded"),
    ],
    ids=["needs", "tuned", "closed", "loaded"],
)
def test_what_cannot_be_known_is_refused(cell: tg.Cell, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        anew(cell)
    assert same(anew(Tuned(3, 3, seed=1)), Tuned(3, 3, seed=1))

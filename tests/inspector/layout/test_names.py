"""Names of gates at the cell level: each stands beside its line, as in the textbooks, and on nothing."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_rnn as tg
from inspector.layout.taken import Taken
from inspector.picture.compose import picture
from inspector.text import subscript
from tests.marks import slow_unless

CELLS = tg.cells.names()
QUICK = ["lstm", "gru", "slstm", "coupled"]


@pytest.mark.parametrize("name", slow_unless(QUICK, CELLS))
def test_every_gate_is_named_in_every_step(name: str) -> None:
    run = tg.unroll(tg.cells.get(name)(3, 4, seed=0), np.random.default_rng(0).normal(size=(2, 1, 3)))
    shown = {s.label for s in picture(run, level="cell").shapes if s.id.endswith(".name")}
    states = {f"{state}{subscript(t)}" for t, values in enumerate(run.states) for state in values._fields}
    assert shown - states == {f"{gate}{subscript(t)}" for gate, t in run.names if gate != "x"} - states


class Words(tg.Cell):
    """An LSTM whose gates are called what they are, and one more than that."""

    state_names = ("h", "c")

    def __init__(self, input_size: int, hidden_size: int, **options: object) -> None:
        super().__init__(input_size, hidden_size, **options)  # type: ignore[arg-type]
        self.w = [self.parameter(f"w{k}", (input_size, hidden_size)) for k in range(4)]

    def step(self, x: tg.Tensor, state: tuple[tg.Tensor, ...]) -> tuple[tg.Tensor, ...]:
        h, c = state
        forget, write, candidate, output = (f(x @ w + h) for f, w in zip((tg.sigmoid,) * 4, self.w, strict=True))
        gates = tg.named(forget=forget, input=write, a_candidate_with_a_long_name=candidate, output=output)
        c = gates[0] * c + gates[1] * gates[2]
        return gates[3] * tg.tanh(c), c


def test_words_stand_in_full_and_long_names_without_their_middle() -> None:
    run = tg.unroll(Words(3, 3, seed=0), np.ones((12, 1, 3)))
    names = {s.label: s.id for s in picture(run, level="cell", steps=[0, 11]).shapes if s.id.endswith(".name")}
    words = {f"{word}{subscript(t)}": f"t{t}.{word}.name" for t in (0, 11) for word in ("forget", "input", "output")}
    assert words.items() <= names.items()
    (short,) = (label for label in names.keys() - words.keys() if label.endswith("e₁₁"))
    assert short.startswith("a") and "…" in short and names[short] == "t11.a_candidate_with_a_long_name.name"


def test_what_is_taken_is_not_free() -> None:
    taken = Taken()
    taken.add((10, 10, 20, 20))
    taken.add_line(((100, 0), (100, 200), (160, 200)), 2.0)
    assert taken.is_free((20, 10, 30, 20)) and not taken.is_free((19, 19, 30, 30))
    assert not taken.is_free((90, 100, 99, 110)) and taken.is_free((90, 100, 98, 110))
    assert not taken.is_free((152, 203, 158, 208)) and taken.is_free((140, 203, 150, 208)), "the arrowhead"
    assert taken.is_free((1000, 1000, 1010, 1010))

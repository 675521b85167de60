"""Runs that follow each other, as an encoder's and its decoder's, side by side."""

from __future__ import annotations

import numpy as np
import pytest

import inspector
import tinygrad_rnn as tg
from inspector.picture.compose import picture
from inspector.picture.scene import LEVELS
from tests.inspector.picture.test_drawing import assert_sound
from tinygrad_rnn.recurrent.unroll import Run

RNG = np.random.default_rng(0)


def encoder_decoder(stacked: bool = False, steps: tuple[int, int] = (3, 2)) -> tuple[Run, Run, tg.Tensor]:
    def layers(inputs: int, seed: int) -> tg.Cell | tg.Stacked:
        cells = [tg.cells.LSTMCell(inputs, 4, seed=seed), tg.cells.LSTMCell(4, 4, seed=seed + 1)]
        return tg.Stacked(*cells) if stacked else cells[0]

    model = tg.models.EncoderDecoder(layers(3, 0), layers(2, 5), seed=1)
    encoded = model.encode(RNG.normal(size=(steps[0], 2, 3)))
    said = model.decode(encoded, RNG.normal(size=(steps[1], 2, 2)))
    return encoded, said.run, (said.outputs**2).sum()


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("stacked", [False, True])
def test_the_state_goes_on_from_one_run_to_the_next(level: str, stacked: bool) -> None:
    first, second, loss = encoder_decoder(stacked)
    drawing = picture((first, second), level=level, trace=inspector.trace(second, loss))
    assert_sound(drawing)
    assert len(drawing.frames) == 5 * (1 + stacked)
    between = [
        line
        for line in drawing.lines
        if line.source.startswith("encoder")
        and ".t2." in line.source
        and line.target.startswith("decoder")
        and ".t0." in line.target
    ]
    assert {type(line.grade) for line in between} == {int} and len(between) >= 2 * (1 + stacked)
    assert not [s for s in drawing.shapes if s.id.startswith("decoder") and s.id.endswith(".initial")]
    assert {s.label.split()[0] for s in drawing.shapes if s.look.part == "parameter"} >= {
        f"{of}.{name}" + ("_l1" if stacked else "")
        for of in ("encoder", "decoder")
        for name in ("weight_ih", "bias_hh")
    }


def test_the_numbers_are_those_of_each_run_alone() -> None:
    first, second, loss = encoder_decoder()
    trace = inspector.trace(second, loss)
    both = {line.id: line.norm for line in picture((first, second), trace=trace).lines}
    alone = {
        line.id: line.norm
        for line in picture(second, trace=trace).lines
        if ".t1." in line.source and ".t1." in line.target
    }
    assert alone and all(both[own] == norm for own, norm in alone.items())


def test_each_run_is_folded_on_its_own() -> None:
    first, second, loss = encoder_decoder(steps=(40, 30))
    drawing = picture((first, second), level="cell", trace=inspector.trace(second, loss))
    assert_sound(drawing)
    assert [s.label for s in drawing.shapes if s.look.part == "more"] == [
        "× 35, same parameters",
        "× 25, same parameters",
    ]


def test_runs_without_names_are_told_apart() -> None:
    cell = tg.cells.GRUCell(3, 4, seed=0)
    first = tg.unroll(cell, RNG.normal(size=(2, 1, 3)))
    second = tg.unroll(cell, RNG.normal(size=(2, 1, 3)), first.final_state)
    drawing = picture([first, second])
    assert_sound(drawing)
    assert [f.label for f in drawing.frames] == [f"run{k} · step t = {t}" for k in (0, 1) for t in (0, 1)]


def test_what_does_not_follow_is_refused() -> None:
    cell = tg.cells.GRUCell(3, 4, seed=0)
    x = RNG.normal(size=(2, 1, 3))
    first, stranger = tg.unroll(cell, x), tg.unroll(cell, x)
    following = tg.unroll(cell, x, first.final_state)
    with pytest.raises(ValueError, match=r"GRUCell.* does not begin in the state in which GRUCell.* ends"):
        picture((first, stranger))
    with pytest.raises(ValueError, match="all steps are drawn, or folded"):
        picture((first, following), steps=[0])
    with pytest.raises(TypeError, match="what unroll returned, got str"):
        picture((first, "second"))  # type: ignore[arg-type]

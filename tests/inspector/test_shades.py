"""What shapes tell beside their kind: badges, values, highways."""

from __future__ import annotations

import numpy as np
import pytest

import inspector
import tinygrad_rnn as tg
from inspector.drawing import theme
from inspector.drawing.picture import Picture
from inspector.render import LEVELS, picture

from .test_drawing import RUNS, run_of


def badges(drawing: Picture) -> dict[str, str]:
    return {s.id.removesuffix(".badge"): s.label for s in drawing.shapes if s.css == "badge"}


def test_what_the_loss_does_not_depend_on_is_told_from_an_exact_zero() -> None:
    class Dead(tg.Cell):
        def step(self, x: tg.Tensor, state: tuple[tg.Tensor, ...]) -> tuple[tg.Tensor]:
            shut = tg.named(shut=tg.relu(state[0] - 100.0))
            return (tg.tanh(tg.named(open=0.5 * state[0] + x) + shut),)

    run = tg.unroll(Dead(3, 3), np.ones((3, 1, 3)))
    drawing = picture(run, trace=inspector.trace(run, run.outputs[1].sum()))
    found = badges(drawing)
    assert found["t1.shut.subtract"] == "0" and "t1.shut" not in found
    assert "t1.open" not in found and "t0.open" not in found
    assert {found[own] for own in ("t2.open", "t2.shut", "t2.h.tanh", "t2.x", "t2.h")} == {"–"}
    assert {s.label for s in drawing.shapes if "legend" in s.css.split() and "badge" in s.css} == {
        "0 = gradient exactly 0", "– = no gradient: the loss does not depend on it",
    }  # fmt: skip


def test_what_is_not_finite_has_a_badge() -> None:
    run = run_of("rnn")
    with np.errstate(all="ignore"):
        loss = (run.outputs[1] * np.inf).sum()
        trace = inspector.trace(run, loss)
    assert badges(picture(run, trace=trace))["t1.h.tanh"] == "!"


def test_without_a_trace_there_are_no_badges_and_no_zeros() -> None:
    drawing = picture(RUNS["lstm"])
    assert badges(drawing) == {}
    assert all("gradient —" in s.tooltip for s in drawing.shapes if s.nodes)
    assert all("gradient exactly 0" not in line.tooltip for line in drawing.lines)


@pytest.mark.parametrize("level", LEVELS)
def test_values_fill_the_shapes(level: str) -> None:
    run = run_of("lstm")
    drawing = picture(run, level=level, values=True)
    shapes = {s.id: s for s in drawing.shapes}
    means = {t: run.names["f", t].data.mean() for t in range(3)}
    largest = float(shapes["legend.value8.tick"].label)
    for t, mean in means.items():
        shape = shapes[f"t{t}.f"]
        (k,) = [int(css[1:]) for css in shape.css.split() if css[0] == "v" and css[1:].isdigit()]
        assert abs((k - 4) / 4 * largest - mean) < 0.13 * largest
        assert shape.paint is not None and shape.paint.fill == theme.VALUES[k][0]
    assert shapes["legend.value0.tick"].label == f"-{shapes['legend.value8.tick'].label}"
    assert "t0.f" in {s.id for s in picture(run, level=level).shapes if not any(c[0] == "v" and c[1:].isdigit() for c in s.css.split())}


@pytest.mark.parametrize(("name", "states"), [("rnn", set()), ("lstm", {"c"}), ("gru", {"h"}), ("peephole", {"c"}), ("mingru", {"h"})])
def test_highways_have_a_band_in_every_step(name: str, states: set[str]) -> None:
    drawing = picture(run_of(name), level="cell")
    assert {band.id for band in drawing.bands} == {f"t{t}.{state}.highway" for t in range(3) for state in states}
    for band in drawing.bands:
        (frame,) = [f for f in drawing.frames if f.id == band.id.split(".")[0] + ".step"]
        assert (band.left, band.right) == (frame.left, frame.right) and frame.bottom < band.bottom < band.top < frame.top
        rails = [line for line in drawing.lines if line.css == "rail" and any(y == (band.bottom + band.top) / 2 for p in line.pieces for _, y in p)]
        assert rails

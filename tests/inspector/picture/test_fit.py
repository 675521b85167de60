"""Drawings for a page: exactly as wide as it, in type that can be read, in rows that lose nothing."""

from __future__ import annotations

import itertools
import math
import re
from functools import cache
from pathlib import Path

import numpy as np
import pypdf
import pytest

import inspector
import tinygrad_rnn as tg
from inspector.layout.order import Spacing
from inspector.picture.compose import picture
from inspector.picture.fit import fitted
from inspector.picture.paper import PAGES
from inspector.picture.picture import Picture
from inspector.picture.scene import LEVELS
from tests.inspector.picture.drawn import read
from tests.inspector.picture.test_geometry import hiding, missing, overlapping, spilling, trespassing
from tests.marks import slow_unless
from tinygrad_rnn.recurrent.unroll import Run

CELLS = tg.cells.names()
SIZES = {"column": (241, "pt", 6.0), "page": (468, "pt", 7.0), "slide": (960, "px", 12.0)}
QUICK = [("lstm", "cell"), ("gru", "gate"), ("rnn", "operation")]


class Long(tg.Cell):
    """A cell one of whose parameters has a long name."""

    def __init__(self, input_size: int, hidden_size: int, **options: object) -> None:
        super().__init__(input_size, hidden_size, **options)  # type: ignore[arg-type]
        self.w = self.parameter('the "very" long name of a matrix that somebody chose <b>', (input_size, hidden_size))
        self.u = self.parameter("u", (hidden_size, hidden_size))

    def step(self, x: tg.Tensor, state: tuple[tg.Tensor, ...]) -> tuple[tg.Tensor, ...]:
        gate = tg.named(keep=tg.sigmoid(x @ self.w + state[0] @ self.u))
        return (gate * state[0] + (1 - gate) * tg.tanh(x @ self.w),)


@cache
def run_of(name: str, steps: int = 3) -> tuple[Run, inspector.GradientTrace]:
    cell = (Long if name == "long" else tg.cells.get(name))(3, 4, seed=0)
    run = tg.unroll(cell, np.random.default_rng(0).normal(size=(steps, 1, 3)))
    return run, inspector.trace(run, run.outputs[-1].sum())


def drawn(name: str, level: str, width: float | str, steps: int = 3, **more: object) -> inspector.Drawing:
    run, trace = run_of(name, steps)
    return inspector.draw(run, level, trace=trace, width=width, **more)  # type: ignore[arg-type]


def size(svg: str) -> tuple[float, str]:
    found = re.search(r'<svg width="([0-9.]+)(p[tx])"', svg)
    assert found is not None
    return float(found[1]), found[2]


def smallest(svg: str) -> float:
    """Type, in the unit in which the SVG says how wide it is."""
    box = re.search(r'viewBox="\S+ \S+ (\S+) ', svg)
    assert box is not None
    return min(read(svg).sizes) * size(svg)[0] / float(box[1])


@pytest.mark.parametrize(
    ("name", "level", "width"),
    slow_unless(
        [(*case, width) for case in QUICK for width in PAGES],
        # the other two are easier to fit than the column
        [
            (name, level, width)
            for name in [*CELLS, "long"]
            for level in LEVELS
            for width in PAGES
            if width == "column" or (name, level) in QUICK
        ],
    ),
)
def test_it_is_as_wide_as_the_page_in_type_that_can_be_read(name: str, level: str, width: str) -> None:
    across, unit, least = SIZES[width]
    try:
        drawing = drawn(name, level, width)
    except ValueError as error:
        wide_enough = re.search(r"width of (\d+)$", str(error))
        assert wide_enough is not None and int(wide_enough[1]) > across * (0.75 if unit == "px" else 1)
        return
    assert size(drawing.svg) == (across, unit)
    assert smallest(drawing.svg) >= least - 0.01
    found = read(drawing.svg)
    assert [*overlapping(found), *spilling(found), *missing(found, drawing.picture)] == []
    assert [*trespassing(found, drawing.picture), *hiding(found, drawing.picture)] == []


@pytest.mark.parametrize("name", [name for name in CELLS if name not in ("lru", "fgr")])
@pytest.mark.slow
def test_at_the_cell_level_a_column_holds_every_cell_but_the_widest(name: str) -> None:
    drawn(name, "cell", "column")


@pytest.mark.parametrize(("name", "level"), QUICK)
def test_rows_show_the_same_graph(name: str, level: str) -> None:
    run, trace = run_of(name)
    one_row = inspector.draw(run, level, trace=trace).to_networkx()
    drawing = drawn(name, level, "column", fold=False)
    rows = drawing.to_networkx()
    assert "rows, from top to bottom" in drawing.picture.words
    assert set(rows.nodes) == set(one_row.nodes)
    assert sorted(rows.edges(keys=True, data="gradient")) == sorted(one_row.edges(keys=True, data="gradient"))


@pytest.mark.parametrize(("name", "level"), QUICK)
def test_no_part_of_a_line_is_lost_between_rows(name: str, level: str) -> None:
    run, trace = run_of(name)
    lengths = [
        {
            line.id: sum(math.dist(a, b) for piece in line.pieces for a, b in itertools.pairwise(piece))
            for line in picture(run, level=level, trace=trace, room=room).lines
            if line.use != "legend"
        }
        for room in (300.0, 1e6)
    ]
    assert lengths[0] == pytest.approx(lengths[1])


def test_what_leaves_a_row_is_named_where_the_next_begins() -> None:
    drawing = inspector.draw(run_of("lstm", 4)[0], "gate", width=300)
    rows = sorted({frame.bottom for frame in drawing.picture.frames}, reverse=True)
    assert len(rows) == 4 and "Time goes on in 4 rows, from top to bottom." in drawing.picture.words
    ends = {(s.id.split(".")[1], s.id.split(".")[2], s.label) for s in drawing.picture.shapes if "continued" in s.id}
    ends |= {(str(t), "out", s.label) for t in range(3) for s in drawing.picture.shapes if s.id == f"t{t}.h.label"}
    assert ends == {(str(t), side, f"{state}{'₀₁₂'[t]}") for t in range(3) for side in ("out", "in") for state in "hc"}


def test_more_is_folded_where_the_rows_would_be_too_high() -> None:
    assert drawn("rnn", "cell", "column", steps=12).picture.words.count("folded away") == 1
    assert "All are shown." in drawn("rnn", "cell", "column", steps=12, fold=False).picture.words


@pytest.mark.parametrize(
    ("name", "level", "width"),
    slow_unless([("lstm", "operation", "column")], [("lstm", "operation", "column"), ("lstm", "cell", "column"),
        ("lstm", "cell", "slide"), ("narx", "cell", "column")]),
)  # fmt: skip
def test_a_long_run_is_no_higher_than_its_page(name: str, level: str, width: str) -> None:
    drawing = drawn(name, level, width, steps=12)
    page = PAGES[width]
    assert (
        drawing.picture.page((page.width, math.inf))[1] <= page.height + 0.01
        and "points high" not in drawing.picture.words
    )
    assert smallest(drawing.svg) >= SIZES[width][2] - 0.01
    found = read(drawing.svg)
    assert [*overlapping(found), *spilling(found), *missing(found, drawing.picture)] == []
    assert [*trespassing(found, drawing.picture), *hiding(found, drawing.picture)] == []


def test_lines_past_a_fold_with_a_row_of_its_own_are_near_each_other() -> None:
    drawing = drawn("lstm", "cell", "column", steps=12)
    ribbons = sorted({y for line in drawing.picture.lines if line.use == "ribbon" for _, y in line.pieces[0]})
    assert len(ribbons) == 2 and ribbons[1] - ribbons[0] == pytest.approx(26.0)
    (box,) = [shape for shape in drawing.picture.shapes if shape.look.part == "more"]
    assert ribbons[0] - 12 - box.height <= box.y < ribbons[0] - box.height / 2
    names = {s.label: s.y for s in drawing.picture.shapes if "continued" in s.id and s.label in ("c₁₀", "h₁₀")}
    assert {"c₁₀", "h₁₀"} <= set(names)


def test_where_a_page_is_low_the_step_of_the_loss_remains() -> None:
    drawing = drawn("gru", "cell", "slide", steps=12)
    assert {frame.timestep for frame in drawing.picture.frames} == {11}
    assert "× 11" in {s.label.split(",")[0] for s in drawing.picture.shapes if s.look.part == "more"}


def test_where_a_step_is_too_wide_it_says_what_would_do() -> None:
    with pytest.raises(
        ValueError, match="too wide for 241 points in type of 6 points; the level cell fits, or a"
    ) as told:
        drawn("peephole", "operation", "column")
    least = int(str(told.value).rsplit(" ", 1)[1])
    assert smallest(drawn("peephole", "operation", least).svg) >= 5.99
    with pytest.raises(ValueError, match="too wide"):
        drawn("peephole", "operation", least - 8)


@pytest.mark.parametrize("width", PAGES)
def test_png_and_pdf_have_that_size_too(width: str, tmp_path: Path) -> None:
    drawing = drawn("gru", "cell", width)
    points = PAGES[width].width
    box = pypdf.PdfReader(drawing.save(tmp_path / "a.pdf")).pages[0].mediabox
    assert float(box.width) == pytest.approx(points, abs=1.0)
    for dpi in (96, 300):
        data = drawing.save(tmp_path / "a.png", dpi=dpi).read_bytes()
        assert int.from_bytes(data[16:20], "big") == pytest.approx(points * dpi / 72, abs=2)
    with pytest.raises(ValueError, match="dpi must be a number of pixels an inch between 10 and 1,200, got 0"):
        drawing.save(tmp_path / "b.png", dpi=0)


def test_equations_and_decay_fit_too() -> None:
    drawing = drawn("lstm", "cell", "column", equations=True, decay=True)
    assert size(drawing.svg) == (241, "pt") and smallest(drawing.svg) >= 5.99
    found = read(drawing.svg)
    assert [*overlapping(found), *spilling(found)] == []


def test_where_the_height_does_not_do_the_legend_goes_into_the_words_or_they_say_so() -> None:
    run, trace = run_of("lstm", 4)

    def rows(room: float, ends: tuple[int, int] | None, spacing: Spacing) -> Picture:
        return picture(run, level="cell", trace=trace, room=room, ends=ends, spacing=spacing, fold=False)

    page = PAGES["column"]
    whole = fitted(page._replace(height=100.0), False, rows)
    height = whole.page((page.width, math.inf))[1]
    assert whole.words.endswith(f"It is {height:.0f} points high, more than the 100 of its page.")
    without = fitted(page._replace(height=height - 8), False, rows)
    assert without.page((page.width, math.inf))[1] <= height - 8
    assert not [s for s in without.shapes if s.id.startswith("legend.")] and len(without.frames) == len(whole.frames)
    assert "parameter.weight_hh" in {s.id for s in without.shapes}
    chips = [s.label for s in whole.shapes if s.id.startswith("legend.") and "tick" not in s.id and s.label]
    said = without.words.split(" Legend: ")[1]
    assert chips and all(label in said for label in chips)
    ticks = [s.label for s in whole.shapes if "legend.tick" in s.id]
    assert said.endswith(f"gradient norm ‖∂L/∂·‖: {' … '.join(ticks)}.")
    fits = fitted(page._replace(height=height + 1), False, rows)
    assert "Legend:" not in fits.words and "points high" not in fits.words

"""Plots for a page: exactly as wide as it, in type that can be read, with nothing cut off and no words on others."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pypdf
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

import inspector
import tinygrad_rnn as tg
from inspector.picture.paper import PAGES
from inspector.plots import figures
from inspector.plots.lettering import in_lines, text_width
from tests.marks import slow_unless
from tests.test_snapshots import PLOTTED, run

SIZES = {"column": (241.0, 6.0), "page": (468.0, 7.0), "slide": (720.0, 9.0)}
QUICK = [("decay", "column"), ("gates", "column"), ("saliency", "slide")]
PANELS = ["gates", "weights", "jacobians", "waterfall"]
CASES = [*((name, "column") for name in PLOTTED), *((name, "slide") for name in PANELS)]
"""The column is the hardest; a slide is low."""


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[figures.Canvas]:
    """The figures that are written to files from now on."""
    found: list[figures.Canvas] = []
    write = figures._bytes
    monkeypatch.setattr(figures, "_bytes", lambda figure, *how: found.append(figure) or write(figure, *how))
    return found


def words(figure: Any) -> Iterator[tuple[Text, Any]]:
    """All text that is drawn, with where it stands."""
    figure.draw_without_rendering()
    hidden: set[Text] = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            ticks = {*axis.majorTicks, *axis.minorTicks} - {*axis._update_ticks()}
            hidden |= {label for tick in ticks for label in (tick.label1, tick.label2)}
            hidden |= {text for text in axis.findobj(Text) if not (axes.axison and axes.get_visible())}
    for text in figure.findobj(Text):
        if text.get_visible() and text not in hidden and text.get_text().strip():
            yield text, text.get_window_extent()


def broken_laws(figure: Any, page: str) -> Iterator[str]:
    wide, least = SIZES[page]
    if abs(72 * figure.get_figwidth() - wide) > 0.01:
        yield f"{72 * figure.get_figwidth()} points wide"
    if 72 * figure.get_figheight() > PAGES[page].height + 0.01:
        yield f"{72 * figure.get_figheight()} points high"
    shown, sheet = list(words(figure)), figure.bbox
    for text, box in shown:
        if text.get_fontsize() < least - 1e-6:
            yield f"{text.get_text()!r} in type of {text.get_fontsize()}"
        if min(box.x0, box.y0, sheet.x1 - box.x1, sheet.y1 - box.y1) < -1:
            yield f"{text.get_text()!r} is cut off"
    for (one, a), (other, b) in itertools.combinations(shown, 2):
        if min(a.x1, b.x1) - max(a.x0, b.x0) > 1 and min(a.y1, b.y1) - max(a.y0, b.y0) > 1:
            yield f"{one.get_text()!r} lies on {other.get_text()!r}"
    for axes in figure.axes:
        box = axes.get_window_extent()
        if axes.get_visible() and axes.get_label() != "<colorbar>" and min(box.width / 2, box.height) < 25:
            yield f"a plot of {box.width} x {box.height} pixels"


@pytest.mark.parametrize(("name", "page"), slow_unless(QUICK, [("saliency", "slide"), ("waterfall", "page"), *CASES]))
def test_a_plot_keeps_the_laws_of_its_page(name: str, page: str, written: list[figures.Canvas], tmp_path: Path) -> None:
    PLOTTED[name](tmp_path / "plot.svg", width=page)
    figure = written[-1]
    assert list(broken_laws(figure, page)) == []
    size = re.search(r'<svg [^>]*?width="([0-9.]+)pt"', (tmp_path / "plot.svg").read_text())
    assert size is not None and float(size[1]) == SIZES[page][0]


LONG = "a very long name that somebody has chosen for what nobody else would have called $like_this$ or at all"


def long_trace(path: Path, **more: Any) -> Any:
    found = tg.unroll(tg.cells.LSTMCell(2, 3, seed=0), np.ones((130, 1, 2)))
    trace = inspector.trace(found, found.outputs[-1].sum())
    return inspector.plot_decay({LONG: trace, "b": trace}, path, names=[*"hcfigo", "z_f", "x"], **more)


def ill_trace(path: Path, **more: Any) -> Any:
    cell = tg.cells.RNNCell(1, 1, nonlinearity="identity", seed=0)
    cell.weight_hh.data = np.full((1, 1), 1e200)
    with np.errstate(all="ignore"):
        found = tg.unroll(cell, np.ones((12, 1, 1)))
        return inspector.trace(found, found.outputs[-1].sum()).save(path, **more)


def many_rows(path: Path, **more: Any) -> Any:
    names = [f"neuron {k}" for k in range(40)]
    return inspector.plot_heat_map(np.ones((40, 40)), names, names, path, title=LONG, label=LONG, **more)


def text(path: Path, **more: Any) -> Any:
    found, loss = run()
    result = inspector.saliency(found, loss, labels=list("What is read"))
    return result.save(path, **more)


HARD = {"long": long_trace, "ill": ill_trace, "rows": many_rows, "text": text}


@pytest.mark.parametrize(
    ("name", "page"), slow_unless([("long", "column")], [*((name, "column") for name in HARD), ("long", "slide")])
)
def test_what_is_long_or_much_keeps_the_laws_too(
    name: str, page: str, written: list[figures.Canvas], tmp_path: Path
) -> None:
    HARD[name](tmp_path / "plot.svg", width=page)
    assert list(broken_laws(written[-1], page)) == []


def test_points_are_a_width_too(tmp_path: Path) -> None:
    trace = inspector.trace(*run())
    for points in (180.5, np.float32(1200.0)):
        figure: Any = trace.plot(width=points).figure
        assert 72 * figure.get_figwidth() == pytest.approx(points)
        assert min(text.get_fontsize() for text, _ in words(figure)) >= 6.0 * max(1.0, points / 576 * 8 / 6)
    for bad in (0, -1.0, True, "wide", np.nan, [241]):
        with pytest.raises(ValueError, match="width must be a positive number of points, 'column', 'page' or 'slide'"):
            trace.save(tmp_path / "a.svg", width=bad)
    with pytest.raises(ValueError, match=r"width must be at most 14,400 points, which are 200 inches, got 1e\+06"):
        trace.save(tmp_path / "a.svg", width=1e6)
    assert not list(tmp_path.iterdir())


def test_somebody_elses_axes_have_a_width() -> None:
    axes: Any = Figure().add_subplot()
    with pytest.raises(ValueError, match="give one of the two"):
        inspector.trace(*run()).plot(axes, width="column")


def test_png_and_pdf_have_that_size_too(tmp_path: Path) -> None:
    trace = inspector.trace(*run())
    box = pypdf.PdfReader(trace.save(tmp_path / "a.pdf", width="column")).pages[0].mediabox
    assert float(box.width) == pytest.approx(241.0)
    data = trace.save(tmp_path / "a.png", width="column", dpi=300).read_bytes()
    assert int.from_bytes(data[16:20], "big") == pytest.approx(241 * 300 / 72, abs=1)
    with pytest.raises(ValueError, match="dpi must be a number of pixels an inch between 10 and 1,200, got 0"):
        trace.save(tmp_path / "b.png", dpi=0)
    with pytest.raises(ValueError, match=r"dpi must be .* between 10 and 1,200, got 1000000\.0"):
        trace.save(tmp_path / "b.png", dpi=1e6)


def test_what_is_not_finite_stands_once_above_all_of_it() -> None:
    canvas = SimpleNamespace(not_finite="not finite since t = 3")

    @figures.picture
    def plot(result: Any, ax: Any = None, *, width: Any = None) -> Any:
        return figures.axes_of(ax, 4.0, 3.0)

    figure: Any = plot(canvas, width="column").figure
    figures.warn(figure.axes[0], canvas.not_finite)
    (line,) = figure.heading
    assert line[0] == canvas.not_finite
    (shown,) = [box for text, box in words(figure) if text.get_text() == canvas.not_finite]
    assert figure.axes[0].get_window_extent().y1 < shown.y0 and shown.y1 <= figure.bbox.y1


def test_lines_end_at_gaps_first() -> None:
    assert in_lines("timestep t        (from right to left)", 1e3, 8.0) == "timestep t        (from right to left)"
    assert in_lines("timestep t        (from right to left)", 120.0, 8.0) == "timestep t\n(from right to left)"
    assert in_lines(r"costs \$1 a step", 50.0, 8.0) == "costs \\$1 a\nstep"
    assert all(text_width(line, 8.0) <= 60 for line in in_lines(LONG.replace("$", ""), 60.0, 8.0).split("\n"))


def test_the_usual_style_comes_back() -> None:
    trace = inspector.trace(*run())
    before: Any = trace.plot()
    trace.plot(width="column")
    after: Any = trace.plot()
    assert before.figure.get_figwidth() == after.figure.get_figwidth() == 8.0
    assert before.xaxis.label.get_fontsize() == after.xaxis.label.get_fontsize()


@pytest.mark.parametrize(("name", "width"), [("decay", 60), ("waterfall", 60)])
def test_a_plot_without_room_is_refused_and_not_written(name: str, width: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"this plot has no room in {width} points; give it more"):
        PLOTTED[name](tmp_path / "plot.svg", width=width)
    assert not list(tmp_path.iterdir())

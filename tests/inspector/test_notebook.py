"""What a notebook shows of a result: its words and its picture, no wider than the page, and one short line
elsewhere.
"""

from __future__ import annotations

import base64
import inspect
import os
import re
import shutil
import subprocess
import tempfile
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import matplotlib.axes
import numpy as np
import pytest

import inspector
import tinygrad_rnn as tg
from inspector.results import Labelled, Result
from tinygrad_rnn.recurrent.unroll import Run

RUN = tg.unroll(tg.cells.LSTMCell(3, 4, seed=0), np.random.default_rng(0).normal(size=(6, 1, 3)))
LOSS = (RUN.outputs[-1] ** 2).sum()


def recorder() -> inspector.DecayRecorder:
    found = inspector.DecayRecorder(every=2)
    task = tg.tasks.ModernAdding(T=6)
    tg.fit(
        tg.models.SequenceModel(tg.cells.RNNCell(task.input_size, 3, seed=0), 1, seed=0),
        task,
        steps=4,
        batch=2,
        hooks=[found],
    )
    return found


def swept() -> inspector.Sweep:
    with ThreadPoolExecutor(1) as pool:
        return inspector.sweep(["rnn", "lstm"], [5], seeds=range(2), input_size=2, hidden_size=3, executor=pool)


def seen() -> inspector.Seen:
    torch = pytest.importorskip("torch", reason="it is a part of a PyTorch model: pip install torch")
    module = torch.nn.LSTM(3, 4)
    watching = inspector.watch(module)
    module(torch.randn(6, 1, 3))[0][-1].sum().backward()
    return watching[""]


SPECIAL: dict[type, Any] = {
    inspector.GradientTrace: lambda: inspector.trace(RUN, LOSS),
    inspector.Jacobians: lambda: inspector.jacobians(RUN),
    inspector.Lyapunov: lambda: inspector.lyapunov(RUN),
    inspector.Phases: lambda: inspector.Phases(
        "RNN", "x", "y", Labelled([[-0.5, 0.1], [-0.2, 0.3]], {"y": [0.5, 1.0], "x": [0.5, 1.5]}, "nats")
    ),
    inspector.WhatIf: lambda: inspector.what_if(RUN, LOSS, bias={"f": 1.0}),
    inspector.Stops: lambda: inspector.stops(LOSS, RUN.states[0].h),
    inspector.Comparison: lambda: inspector.compare_graphs(
        tg.cells.LSTMCell(3, 4), tg.cells.GRUCell(3, 4), level="cell"
    ),
    inspector.Equations: lambda: inspector.equations(RUN),
    inspector.Sweep: swept,
    inspector.DecayRecorder: recorder,
    inspector.Seen: seen,
    inspector.Verdict: lambda: inspector.check_gradient(RUN, LOSS, {"h": np.ones((6, 1, 4))}),
}
"""How to get what is not made from a run and its loss alone."""


def results() -> list[type]:
    """The public classes of results: those that say something and show a picture, or are an analysis."""
    public = [getattr(inspector, name) for name in inspector.__all__]
    return [kind for kind in public if isinstance(kind, type) and issubclass(kind, Result)]


def made(kind: type, run: Run = RUN, loss: tg.Tensor = LOSS) -> Any:
    """A result of that class."""
    if kind in SPECIAL:
        return SPECIAL[kind]()
    (maker,) = [
        f
        for f in map(inspector.__dict__.get, inspector.__all__)
        if inspect.isfunction(f) and f.__annotations__.get("return") == kind.__name__
    ]
    return maker(run, loss)


def test_all_that_can_be_plotted_or_saved_is_shown() -> None:
    public = [getattr(inspector, name) for name in inspector.__all__]
    drawable = {kind for kind in public if isinstance(kind, type) and (hasattr(kind, "plot") or hasattr(kind, "save"))}
    drawable -= {inspector.Drawing, inspector.ProgramDrawing}  # are their pictures
    assert drawable <= set(results()) and len(drawable) >= 19


QUICK = (
    inspector.GradientTrace,
    inspector.Comparison,
    inspector.DecayRecorder,
    inspector.Stops,
    inspector.Duality,
    inspector.Band,
)


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, id=kind.__name__, marks=() if kind in QUICK else pytest.mark.slow) for kind in results()],
)
def test_a_result_shows_its_words_and_its_picture(kind: type) -> None:
    found = made(kind)
    assert len(repr(found)) < 160 and "\n" not in repr(found) and kind.__name__ in repr(found)
    if kind is inspector.Equations:
        assert found._repr_latex_() == str(found), "set as mathematics"
        assert found._repr_html_ is None, "LaTeX alone: not every notebook sets it within HTML"
        return
    html = found._repr_html_()
    assert "max-width:100%" in html
    shown = re.search(r"<pre[^>]*>(.*?)</pre>", html, re.DOTALL)
    assert shown is not None and ET.fromstring(f"<p>{shown[1]}</p>").text == str(found)
    if kind is inspector.Stops:
        assert "<img" not in html, "words alone"
    else:
        image = re.search(
            r'<img [^>]*style="max-width:100%;height:auto" src="data:image/svg\+xml;base64,([^"]*)"', html
        )
        assert image is not None and ET.fromstring(base64.b64decode(image[1])).tag.endswith("svg")


def test_other_results_are_one_short_line() -> None:
    found = inspector.equations(tg.cells.LSTMCell(3, 4, seed=0))
    for one in (
        found,
        found.equations[0],
        found.highways[0],
        found.highways[0].ways[0][0],
        inspector.gates(RUN).counts,
    ):
        assert len(repr(one)) < 160 and "\n" not in repr(one)
    table = inspector.gates(RUN).derivatives
    assert repr(table) == "<Labelled: mean derivative (nonlinearity 5, t 6)>" and "t 0, 1, 2, 3, 4, 5" in str(table)


def test_text_of_users_is_escaped() -> None:
    class Sly(tg.cells.RNNCell):
        """Its name is a script."""

    Sly.__name__ = Sly.__qualname__ = "<script>alert(1)</script>&\x07"
    run = tg.unroll(Sly(3, 2, seed=0), np.ones((3, 1, 3)))
    html = inspector.trace(run, run.outputs[-1].sum())._repr_html_()
    assert "<script" not in html and "&lt;script&gt;" in html and "\x07" not in html


def test_what_cannot_be_drawn_says_why() -> None:
    html = inspector.DecayRecorder()._repr_html_()
    assert "no training step recorded yet" in html and "nothing was recorded" in html


@pytest.mark.slow
def test_axes_and_figures_of_ours_show_their_picture_and_those_of_users_stay_theirs() -> None:
    axes = inspector.plot_decay(inspector.trace(RUN, LOSS))
    assert axes._repr_html_() == axes.get_figure()._repr_html_() and "data:image/svg" in axes._repr_html_()
    assert "data:image/svg" in inspector.plot_snapshots(recorder())._repr_html_()
    own = matplotlib.figure.Figure().add_subplot()
    assert type(inspector.plot_decay(inspector.trace(RUN, LOSS), ax=own)) is matplotlib.axes.Axes


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium lays the page out")
def test_nothing_is_cut_off_in_a_narrow_notebook(tmp_path: Path) -> None:
    """A drawing five times as wide as its cell, and a plot, end where the cell ends: nothing hides behind a
    scrollbar.
    """
    drawing = inspector.draw(RUN, trace=inspector.trace(RUN, LOSS))
    width = re.search(r'width="(\d+)pt"', drawing.svg)
    assert width is not None and float(width[1]) > 1000
    page = tmp_path / "page.html"
    cell = '<div class="cell" style="width:700px;overflow-x:auto">'
    shown = [drawing._repr_svg_(), inspector.trace(RUN, LOSS)._repr_html_(), made(inspector.Comparison)._repr_html_()]
    script = """
        const widest = cell => Math.max(
            ...[...cell.querySelectorAll('svg,img')].map(one => Math.round(one.getBoundingClientRect().width)))
        onload = () => document.title = [...document.querySelectorAll('div.cell')].map(
            cell => cell.scrollWidth + ',' + widest(cell)).join(' ')
    """
    cells = "".join(f"{cell}{one}</div>" for one in shown)
    page.write_text(f"<!DOCTYPE html><body>{cells}<script>{script}</script>", encoding="utf-8")
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [
                "chromium",
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                f"--user-data-dir={home}",
                "--virtual-time-budget=5000",
                "--dump-dom",
                page.as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
            env={**os.environ, "HOME": home},
        )
    title = re.search(r"<title>([\d, ]+)</title>", done.stdout)
    assert title is not None, done.stdout[:300]
    sizes = [tuple(map(int, one.split(","))) for one in title[1].split()]
    assert len(sizes) == 3 and all(scroll <= 700 and 500 < widest <= 700 for scroll, widest in sizes), sizes

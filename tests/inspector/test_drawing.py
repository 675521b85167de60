"""One drawing for all formats: what it says of itself, how large it is, and what is refused before it is drawn."""

from __future__ import annotations

import base64
import re
import sys
import types
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import inspector
import tinygrad_rnn as tg
from inspector import formats
from inspector.drawing import Drawing

RUN = tg.unroll(tg.cells.GRUCell(3, 4, seed=0), np.random.default_rng(0).normal(size=(3, 2, 3)))
LOSS = (RUN.outputs[-1] ** 2).sum()
NATURAL = inspector.draw(RUN, "cell")
STARTS = {
    "svg": b"<?xml",
    "png": b"\x89PNG",
    "pdf": b"%PDF",
    "tex": b"% GRUCell",
    "dot": b"digraph",
    "mmd": b"flowchart",
    "json": b"{",
    "graphml": b"<graphml",
}


def size(svg: str) -> tuple[float, float]:
    root = ElementTree.fromstring(svg.encode())
    return tuple(float(root.get(side, "").removesuffix("pt")) for side in ("width", "height"))  # type: ignore[return-value]


@pytest.mark.parametrize("suffix", formats.WRITERS)
def test_the_suffix_says_what_is_written(suffix: str, tmp_path: Path) -> None:
    path = NATURAL.save(tmp_path / f"a.{suffix}")
    assert path.read_bytes().startswith(STARTS[suffix])
    assert inspector.export(RUN, tmp_path / f"b.{suffix.upper()}", level="cell").stat().st_size == path.stat().st_size


def test_a_format_is_a_module_and_a_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plain = types.ModuleType("inspector.formats.plain")
    plain.write_txt = lambda picture, fit: f"{picture.title}, {fit}"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, plain.__name__, plain)
    monkeypatch.setitem(formats.WRITERS, "txt", "plain")
    written = inspector.draw(RUN, "gate", width=400).save(tmp_path / "a.txt").read_text()
    assert written == "GRUCell(3, 4) · T = 3 · gate level, (400.0, inf)"


def test_it_says_what_is_drawn() -> None:
    drawing = inspector.draw(RUN, "cell", trace=inspector.trace(RUN, LOSS))
    assert repr(drawing) == "<Drawing: GRUCell(3, 4) · T = 3 · cell level>"
    title, words = str(drawing).split("\n")
    assert (title, words) == (drawing.picture.title, drawing.picture.words)
    assert words.startswith("GRUCell(3, 4) unrolled over 3 timesteps") and "gradient by h" in words
    assert repr(inspector.compare_graphs(RUN, RUN).drawing) == "<Drawing: the first GRU → the second GRU>"


def test_conveniences_are_the_drawing(tmp_path: Path) -> None:
    drawing = inspector.draw(RUN, "gate")
    assert inspector.render(RUN, level="gate") == drawing.svg
    assert Path(inspector.render(RUN, tmp_path / "a.svg", level="gate")).read_text() == drawing.svg
    assert inspector.to_networkx(RUN, level="gate").nodes == drawing.to_networkx().nodes
    decayed = inspector.draw(RUN, "cell", trace=inspector.trace(RUN, LOSS), decay=True)
    assert inspector.figure(RUN, LOSS) == decayed.svg and 'id="chart.axis"' in decayed.svg
    with pytest.raises(TypeError, match="multiple values for keyword argument 'trace'"):
        inspector.figure(RUN, LOSS, trace=inspector.trace(RUN, LOSS))  # type: ignore[call-arg]


def test_a_notebook_shows_it_no_wider_than_the_page() -> None:
    for shown in (inspector.draw(RUN, width=3000), inspector.render(RUN, width=3000)):
        svg = shown._repr_svg_()  # type: ignore[union-attr]
        assert ElementTree.fromstring(svg.encode()).get("style") == "max-width:100%;height:auto"
        assert svg.replace(' style="max-width:100%;height:auto"', "", 1) == getattr(shown, "svg", shown)


def test_a_notebook_shows_a_long_run_in_rows() -> None:
    run = tg.unroll(tg.cells.GRUCell(3, 4, seed=0), np.zeros((9, 1, 3)))
    drawing = inspector.draw(run, "cell")
    for shown in (drawing, inspector.render(run, level="cell")):
        image = re.search(r'<img alt="([^"]+)" style="max-width:100%[^"]*" src="[^,]+,([^"]+)"', shown._repr_html_())  # type: ignore[union-attr]
        assert image is not None and image[1] == "GRUCell(3, 4) · T = 9 · cell level"
        rows = ElementTree.fromstring(base64.b64decode(image[2]))
        assert rows.get("width") == "960.00px" and float(rows.get("height", "")[:-2]) > 500
    assert size(drawing.svg)[0] > 2000, "the drawing itself stays one row"
    wide = base64.b64decode(inspector.draw(run, "cell", width=3000)._repr_html_().partition("base64,")[2])
    assert size(wide.decode())[0] == 3000, "who asks for a width gets it"


@given(width=st.floats(10.0, 5000.0))
def test_a_width_is_exact_and_scales_everything(width: float) -> None:
    natural, scaled = NATURAL.svg, Drawing(NATURAL.picture, width).svg
    (w, h), (across, up) = size(natural), size(scaled)
    assert across == pytest.approx(width, abs=0.01) and up / h == pytest.approx(width / w, rel=0.01, abs=0.01)
    head = re.compile(r'(?<=<svg )width="\S+" height="\S+"')
    assert head.sub("", scaled, count=1) == head.sub("", natural, count=1)


@pytest.mark.parametrize("width", [0, -1.0, float("nan"), float("inf"), True, "poster", (1, 2)])
def test_other_widths_are_refused_before_anything_is_drawn(width: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inspector.drawing.picture", lambda *_, **__: pytest.fail("it was drawn"))
    with pytest.raises(ValueError, match=r"width must be a positive number of points, 'column', 'page' or 'slide'"):
        inspector.draw(RUN, width=width)  # type: ignore[arg-type]


@pytest.mark.parametrize("function", [inspector.render, inspector.export])
def test_other_suffixes_are_refused_before_anything_is_drawn(
    function: object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("inspector.drawing.picture", lambda *_, **__: pytest.fail("it was drawn"))
    for path in (tmp_path / "a.gif", tmp_path / "a", "svg"):
        with pytest.raises(ValueError, match=r"must end in \.svg, \.png, \.pdf, \.tex, .* or \.graphml"):
            function(RUN, path)  # type: ignore[operator]
        with pytest.raises(ValueError, match="must end in"):
            inspector.figure(RUN, LOSS, path)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_run_no_trace_of_it_and_no_timestep_is_refused() -> None:
    for run in (None, RUN.cell, [], [RUN, 1]):
        with pytest.raises(TypeError, match="run must be what unroll returned, got "):
            inspector.draw(run)  # type: ignore[arg-type]
    for steps in (2, "a", [0.5]):
        with pytest.raises(TypeError, match="steps must be a slice or whole numbers, got "):
            inspector.draw(RUN, steps=steps)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"trace must come from inspector\.trace\(run, loss\), got Tensor"):
        inspector.draw(RUN, trace=RUN.outputs[0].sum())  # type: ignore[arg-type]
    other = tg.unroll(RUN.cell, np.stack([x.data for x in RUN.inputs]))
    with pytest.raises(ValueError, match="the trace is of another run"):
        inspector.draw(RUN, trace=inspector.trace(other, other.outputs[-1].sum()))


def test_what_needs_a_trace_says_so() -> None:
    for option in ("backward", "decay"):
        with pytest.raises(ValueError, match=rf"{option}=True .*pass trace=inspector\.trace\(run, loss\)"):
            inspector.draw(RUN, **{option: True})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="level must be one of operation, gate, cell, got 'atom'"):
        inspector.draw(RUN, "atom")
    with pytest.raises(TypeError, match="run must be what unroll returned, got GRUCell"):
        inspector.draw((RUN.cell,))  # type: ignore[arg-type]

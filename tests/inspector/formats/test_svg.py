"""The SVG that we write ourselves shows what Graphviz shows, at the same places, and obeys no text."""

from __future__ import annotations

import itertools
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import inspector
import tinygrad_rnn as tg
from inspector.formats import graphviz as engines
from inspector.formats import svg
from inspector.formats.svg import to_svg
from inspector.picture import theme
from inspector.picture.compose import picture
from inspector.picture.picture import Look, Picture, Shape
from inspector.picture.scene import LEVELS
from tests.inspector.formats.test_dot import NASTY
from tests.inspector.picture.drawn import produced
from tests.inspector.picture.test_geometry import QUICK
from tests.marks import slow_unless
from tinygrad_rnn.recurrent.unroll import Run

SVG = "{http://www.w3.org/2000/svg}"


def run_of(name: str, steps: int = 2) -> Run:
    return tg.unroll(tg.cells.get(name)(3, 4, seed=0), np.random.default_rng(0).normal(size=(steps, 2, 3)))


def without_graphviz(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_WHEELS", ())
    monkeypatch.setenv("PATH", "/nowhere")


def groups(svg: str) -> dict[str, tuple[str, str, tuple[float, float] | None]]:
    """By id: class, text, and the centre of an ellipse."""
    found = {}
    for g in ET.fromstring(svg.encode()).iter(f"{SVG}g"):
        if g.get("class") in (None, "graph"):
            continue
        label = "".join("".join(t.itertext()) for t in g.iter(f"{SVG}text"))
        ellipse = next(g.iter(f"{SVG}ellipse"), None)
        centre = None if ellipse is None else (float(ellipse.get("cx", 0)), float(ellipse.get("cy", 0)))
        found[g.get("id", "")] = (g.get("class", ""), label, centre)
    return found


@pytest.mark.parametrize(("name", "level"), slow_unless(QUICK, itertools.product(tg.cells.names(), LEVELS)))
def test_it_is_the_picture_that_graphviz_draws(name: str, level: str) -> None:
    _, *written = produced(name, level)
    theirs, ours = map(groups, written)
    assert set(ours) == set(theirs)
    anchor = next(key for key, (_, _, centre) in ours.items() if centre)
    for key, (css, label, centre) in ours.items():
        assert (css, label) == theirs[key][:2], key
        other = theirs[key][2]
        if centre is not None and other is not None:
            (ax, ay), (bx, by) = ours[anchor][2], theirs[anchor][2]  # type: ignore[misc]
            assert (centre[0] - ax, centre[1] - ay) == pytest.approx((other[0] - bx, other[1] - by), abs=1.0), key


def test_it_is_drawn_where_graphviz_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = groups(inspector.render(run_of("rnn")))
    without_graphviz(monkeypatch)
    assert set(groups(inspector.render(run_of("rnn")))) == set(theirs)


def test_everything_lies_within_the_view() -> None:
    root = ET.fromstring(to_svg(picture(run_of("lstm"))).encode())
    _, _, width, height = map(float, root.get("viewBox", "").split())
    (graph,) = [g for g in root if g.get("id") == "graph0"]
    dx, dy = (float(v) for v in graph.get("transform", "")[len("translate(") : -1].split())
    for ellipse in root.iter(f"{SVG}ellipse"):
        x, y, rx, ry = (float(ellipse.get(key, 0)) for key in ("cx", "cy", "rx", "ry"))
        assert x + dx - rx >= 0 and x + dx + rx <= width and y + dy - ry >= 0 and y + dy + ry <= height


def test_arrowheads_end_where_their_lines_do() -> None:
    drawing = picture(run_of("gru"), level="cell")
    root = ET.fromstring(to_svg(drawing).encode())
    heads = {
        g.get("id"): g.find(f"{SVG}polygon") for g in root.iter(f"{SVG}g") if (g.get("class") or "").startswith("edge")
    }
    for line in drawing.lines:
        head = heads[line.id]
        assert (head is not None) == line.arrow
        if head is not None:
            corners = [tuple(map(float, point.split(","))) for point in head.get("points", "").split()]
            x, y = line.pieces[-1][-1]
            assert corners[1] == pytest.approx((x, -y), abs=0.01)


@pytest.mark.parametrize("name", NASTY)
def test_text_is_shown_and_never_obeyed(name: str) -> None:
    drawing = Picture(name)
    drawing.shapes.append(Shape("one", "box", 0, 0, 90, 20, name, theme.paint("value"), Look("value"), tooltip=name))
    root = ET.fromstring(to_svg(drawing).encode())
    assert {element.tag.removeprefix(SVG) for element in root.iter()} == {
        "svg",
        "title",
        "g",
        "polygon",
        "path",
        "text",
    }
    shown = "".join(c if c.isprintable() else "↵" if c == "\n" else "�" for c in name)
    assert "".join(next(root.iter(f"{SVG}text")).itertext()) == shown


@given(label=st.text(max_size=12))
def test_any_text_arrives_as_it_is(label: str) -> None:
    drawing = Picture("title")
    drawing.shapes.append(Shape("one", "circle", 0, 0, 90, 20, label, theme.paint("value"), Look("value")))
    texts = ["".join(t.itertext()) for t in ET.fromstring(to_svg(drawing).encode()).iter(f"{SVG}text")]
    assert texts == (["".join(c if c.isprintable() else "↵" if c == "\n" else "�" for c in label)] if label else [])


def test_an_empty_picture_is_an_svg() -> None:
    assert ET.fromstring(to_svg(Picture("nothing")).encode()).tag == f"{SVG}svg"


def test_large_drawings_are_written_without_graphviz(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(svg, "_LARGE", 5)
    monkeypatch.setattr(svg, "draw", lambda *_: pytest.fail("Graphviz was called"))
    path = inspector.render(run_of("rnn"), tmp_path / "run.svg")
    assert "color-scheme" in Path(path).read_text() and "t1.h" in groups(Path(path).read_text())


def test_shapes_stand_where_the_picture_says() -> None:
    drawing = picture(run_of("lstm"))
    found = groups(to_svg(drawing))
    for shape in drawing.shapes:
        if shape.kind in ("circle", "ellipse"):
            assert found[shape.id][2] == pytest.approx((shape.x, -shape.y), abs=0.01), shape.id

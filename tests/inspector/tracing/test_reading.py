"""Drawings read aloud, printed and searched: descriptions, text sizes, pixels, and real text in PDF."""

from __future__ import annotations

import struct
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pypdf
import pytest
from hypothesis import given
from hypothesis import strategies as st

import inspector
import tinygrad_rnn as tg
from inspector.formats.svg import complete, to_svg
from inspector.picture.compose import picture
from inspector.picture.picture import Picture
from inspector.picture.scene import LEVELS
from tests.inspector.formats.test_dot import NASTY
from tests.inspector.formats.test_svg import without_graphviz
from tests.inspector.picture.drawn import SVG, read
from tests.inspector.picture.test_drawing import RUNS, run_of

COLUMN = 468.0
"""The text block of a two-column page, in points."""


def described(svg: str) -> tuple[str, str]:
    """The title and the description that the root points to."""
    root = ET.fromstring(svg.encode())
    assert root.get("role") == "img"
    by_id = {element.get("id"): element for element in root}
    title, words = (by_id[key] for key in root.get("aria-labelledby", "").split())
    assert (title.tag, words.tag) == (f"{SVG}title", f"{SVG}desc")
    assert next(iter(root)) is title, "a title counts where it comes first"
    return title.text or "", words.text or ""


@pytest.mark.parametrize("writer", ["graphviz", "own"])
def test_the_description_says_what_is_drawn(writer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if writer == "own":
        without_graphviz(monkeypatch)
    run = run_of("lstm", 30)
    trace = inspector.trace(run, run.outputs[-1].sum())
    title, words = described(inspector.render(run, level="gate", trace=trace))
    assert title == "LSTMCell(3, 4) · T = 30 · gate level"
    assert words.startswith(
        "LSTMCell(3, 4) unrolled over 30 timesteps, drawn at gate level. Shown: t = 0, 1, 2, 28 and 29; 25 steps folded"
        " away."
    )
    assert "States h and c are carried from step to step; c on a highway" in words
    for name in "hc":
        norm = trace.norm(name)
        ends = [
            float(words.split(f"by {name}: ")[1].split(" at")[0].replace("×10⁻", "e-").translate(DIGITS)),
            float(words.split(f"by {name}: ")[1].split(", ")[1].split(" at")[0]),
        ]
        assert ends == pytest.approx([norm[0], norm[-1]], rel=0.01)


DIGITS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")


def test_the_description_tells_layers_and_directions_and_no_gradient_without_a_trace() -> None:
    _, words = described(inspector.render(RUNS["directions"]))
    assert "In forward, states h and c are carried from step to step; c on a highway" in words
    assert "In backward, state h is carried from later to earlier steps, without a highway." in words
    assert "All are shown." in words and "gradient" not in words


def test_two_drawings_on_one_page_have_names_of_their_own() -> None:
    one, two = (
        ET.fromstring(inspector.render(run_of(name)).encode()).get("aria-labelledby") for name in ("rnn", "gru")
    )
    assert one and two and not set(one.split()) & set(two.split())


@pytest.mark.parametrize("text", NASTY)
def test_descriptions_are_shown_and_never_obeyed(text: str) -> None:
    shown = "".join(c if c.isprintable() or c == "\n" else "�" for c in text)
    assert described(complete(f'<svg xmlns="{SVG[1:-1]}"><g/></svg>', Picture(text, words=text))) == (shown, shown)


@given(text=st.text(max_size=20))
def test_any_description_arrives_as_it_is(text: str) -> None:
    shown = "".join(c if c.isprintable() or c == "\n" else "�" for c in text)
    assert described(complete(f'<svg xmlns="{SVG[1:-1]}"><g/></svg>', Picture(text, words=text))) == (shown, shown)


# --------------------------------------------------------------------------------------------- print


def size(svg: str) -> tuple[float, float]:
    root = ET.fromstring(svg.encode())
    width, height = (float(root.get(key, "").removesuffix("pt")) for key in ("width", "height"))
    return width, height


def test_png_has_two_pixels_a_point(tmp_path: Path) -> None:
    run = run_of("lstm")
    width, height = size(inspector.render(run, level="cell"))
    data = Path(inspector.render(run, tmp_path / "run.png", level="cell")).read_bytes()
    assert struct.unpack(">II", data[16:24]) == pytest.approx((2 * width, 2 * height), abs=3)


@pytest.mark.parametrize("level", LEVELS)
def test_pdf_holds_real_text(level: str, tmp_path: Path) -> None:
    run = run_of("lstm", 13)
    (page,) = pypdf.PdfReader(inspector.render(run, tmp_path / "run.pdf", level=level, steps=[0, 12])).pages
    text = "".join(page.extract_text().split())
    for words in (
        "LSTMCell(3, 4) · T = 13",
        "step t = 12",
        "× 11, same parameters",
        "h₀",
        "h₁₂",
        "weight_ih 16×3",
        "c_init",
        "input x",
    ):
        assert "".join(words.split()) in text, words


@pytest.mark.parametrize("level", LEVELS)
def test_times_are_subscripts_and_no_text_is_small(level: str) -> None:
    run = run_of("lstm", 13)
    drawing = picture(run, level=level, trace=inspector.trace(run, run.outputs[-1].sum()), steps=[0, 12])
    drawn = read(to_svg(drawing))
    words = {node.words for node in drawn.nodes.values()}
    assert {"x₀", "x₁₂", "h₀", "h₁₂", "c₁₂"} <= words
    assert min(drawn.sizes) >= 9


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize("name", ["rnn", "gru", "lstm"])
def test_one_step_can_be_read_across_a_page(name: str, traced: bool) -> None:
    run = run_of(name, 1)
    svg = to_svg(picture(run, level="cell", trace=inspector.trace(run, run.outputs[-1].sum()) if traced else None))
    smallest = min(read(svg).sizes) * min(1.0, COLUMN / size(svg)[0])
    assert smallest >= 9


def test_the_legend_is_no_wider_than_it_has_to_be() -> None:
    cell = tg.cells.LSTMCell(3, 4, seed=0)
    drawing = picture(tg.unroll(cell, np.zeros((1, 2, 3))), level="operation")
    frame = drawing.frames[0]
    chips = [shape for shape in drawing.shapes if shape.look.legend or shape.look.part in ("parameter", "legend")]
    assert max(shape.x + shape.width / 2 for shape in chips) <= max(frame.right, frame.left + 400)

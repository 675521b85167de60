"""Hands on long runs and high stacks: what is shown at first, and what fingers, brushes and keys change of it."""

from __future__ import annotations

import base64
import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import inspector
import tinygrad_rnn as tg
from inspector.page.html import html

from .conftest import Open, frames, step
from .stretching import silenced, stretched
from .unpacking import unpack


def data_of(page: Path) -> Any:
    raw = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(), re.S)
    assert raw is not None
    return json.loads(raw[1])


def shown(page: Any) -> tuple[int, int]:
    """The first and the last step that the tracks show."""
    found = re.match(r"steps ([\d,]+) to ([\d,]+) of", page.text_content(".part span"))
    assert found is not None
    first, last = (int(number.replace(",", "")) for number in found.groups())
    return first, last


@pytest.fixture(scope="module")
def long(page_of_two: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a short run as if each step had been 700, of which only the last two get any gradient."""
    path = tmp_path_factory.mktemp("pages") / "long.html"
    path.write_text(html(silenced(stretched(data_of(page_of_two), 700), 12 / 14)), encoding="utf-8")
    return path


@pytest.mark.slow
def test_of_a_long_run_the_part_that_has_gradient_is_shown_at_first(visit: Open, long: Path) -> None:
    page = visit(long)
    assert shown(page) == (12 * 700 - 210, 14 * 700 - 1)
    assert page.evaluate("document.querySelector('.decay .plot .own').getBBox().width") > 500
    page.get_by_role("button", name="All steps").click()
    frames(page)
    assert not page.is_visible(".part") and not page.is_visible(".brush")
    page.evaluate("inspectorPage.move(50)")
    page.keyboard.press("+")
    frames(page)
    first, last = shown(page)
    assert first <= 50 <= last < 9799
    assert visit(long, "#t=50").text_content(".where").startswith("t = 50 ")


@pytest.mark.slow
def test_a_brush_moves_what_is_shown_and_not_the_cursor_with_it(visit: Open, long: Path) -> None:
    page = visit(long, "#t=9500")
    box = page.locator(".strip .plot").bounding_box()
    at = lambda part: (box["x"] + part * box["width"], box["y"] + 9)  # noqa: E731
    page.mouse.move(*at(0.2))
    page.mouse.down()
    page.mouse.move(*at(0.4), steps=6)
    page.mouse.up()
    frames(page)
    first, last = shown(page)
    assert (first, last) == pytest.approx((0.2 * 9800, 0.4 * 9800), abs=60)
    assert step(page) == pytest.approx(0.2 * 9800, abs=60)
    page.mouse.move(*at(0.3))
    page.mouse.down()
    page.mouse.move(*at(0.6), steps=6)
    page.mouse.up()
    frames(page)
    assert shown(page)[0] == pytest.approx(0.5 * 9800, abs=90)
    assert step(page) == pytest.approx(0.3 * 9800, abs=60)
    assert page.evaluate("getComputedStyle(document.querySelector('.cursor')).visibility") == "hidden"
    page.keyboard.press("ArrowRight")
    frames(page)
    first, last = shown(page)
    assert first <= step(page) <= last


@pytest.mark.slow
def test_two_fingers_zoom_and_move_time_and_the_drawing(visit: Open, page_of_two: Path) -> None:
    page = visit(page_of_two, "#t=7", width=800, height=1200, has_touch=True)
    session = page.context.new_cdp_session(page)

    def fingers(selector: str, starts: tuple[float, float], ends: tuple[float, float]) -> None:
        page.locator(selector).first.scroll_into_view_if_needed()
        box = page.locator(selector).first.bounding_box()

        def points(places: tuple[float, float]) -> list[dict[str, float]]:
            y = box["y"] + box["height"] / 2
            return [{"x": box["x"] + part * box["width"], "y": y, "id": k} for k, part in enumerate(places)]

        session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": points(starts)})
        for k in range(1, 9):
            between = tuple(a + (b - a) * k / 8 for a, b in zip(starts, ends, strict=True))
            session.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": points(between)})
        session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        frames(page, 4)

    fingers(".decay .plot", (0.45, 0.55), (0.3, 0.7))
    first, last = shown(page)
    assert first > 1 and last < 12
    fingers(".decay .plot", (0.2, 0.4), (0.6, 0.8))
    assert shown(page)[0] < first
    before = [float(v) for v in page.get_attribute(".cell", "viewBox").split()]
    fingers(".cell", (0.45, 0.55), (0.2, 0.8))
    near = [float(v) for v in page.get_attribute(".cell", "viewBox").split()]
    assert near[2] < 0.7 * before[2]
    fingers(".cell", (0.6, 0.8), (0.3, 0.5))
    moved = [float(v) for v in page.get_attribute(".cell", "viewBox").split()]
    assert moved[0] > near[0] + 10 and moved[2] == pytest.approx(near[2], rel=0.1)
    page.keyboard.press("Escape")
    frames(page)
    assert [float(v) for v in page.get_attribute(".cell", "viewBox").split()] == before


@pytest.mark.slow
def test_the_map_and_the_whole_state_are_taken_along(visit: Open, page_of_two: Path) -> None:
    page = visit(page_of_two, "#run=gru&t=9", accept_downloads=True)
    tables = {}
    for view, kind in (("#reach", "CSV"), ("#reach", "SVG"), (".head:has-text('arrives')", "CSV")):
        page.locator(view).first.hover()
        with page.expect_download() as waiting:
            page.locator(view).first.get_by_role("button", name=f"Save as {kind}").click()
        tables[view, kind] = Path(waiting.value.path()).read_text()
    rows = list(csv.reader(tables["#reach", "CSV"].splitlines()))
    assert rows[0][:2] == ["loss at step", "t = 0"] and [row[0] for row in rows[1:]] == [str(s) for s in range(14)]
    upper = [value for k, row in enumerate(rows[1:]) for value in row[k + 2 :]]
    assert set(upper) == {""} and all(float(row[k + 1]) > 0 for k, row in enumerate(rows[1:]))
    assert "<image" in tables["#reach", "SVG"] and "non-scaling-stroke" in tables["#reach", "SVG"]
    decay = list(csv.DictReader(tables[".head:has-text('arrives')", "CSV"].splitlines()))
    assert [float(row["whole state"]) for row in decay] == pytest.approx([float(row["h"]) for row in decay], rel=0.003)


@pytest.mark.slow
def test_keys_stop_where_something_happens_and_say_what(visit: Open, page_of_two: Path, tmp_path: Path) -> None:
    data = data_of(page_of_two)
    lstm = data["runs"][0]
    lstm["marks"], lstm["cuts"] = [{"words": "first number", "steps": [3]}], [6]
    forget = next(gate for gate in lstm["gates"] if gate["name"] == "f")
    mean = np.full(14, 0.8, "<f4")
    mean[10:] = 0.5
    forget["mean"]["b"] = base64.b64encode(mean.tobytes()).decode()
    path = tmp_path / "events.html"
    path.write_text(html(data), encoding="utf-8")
    page = visit(path, "#run=lstm&t=0")
    seen = {}
    for _ in range(14):
        page.keyboard.press(".")
        frames(page)
        seen[step(page)] = page.text_content("#now h2").partition(" · ")[2]
    assert {3: "first number", 6: "cut", 10: "f closes"}.items() <= seen.items()
    assert list(seen) == sorted(seen) and step(page) == 13
    page.keyboard.press(",")
    assert step(page) == sorted(seen)[-2]


@pytest.fixture(scope="module")
def high(tmp_path_factory: pytest.TempPathFactory) -> tuple[tg.Run, tg.Tensor, Path]:
    """Four layers in two directions, and their page."""
    layers = [
        tg.Bidirectional(tg.cells.GRUCell(size, 2, seed=k), tg.cells.GRUCell(size, 2, seed=k + 9))
        for k, size in enumerate((2, 4, 4, 4))
    ]
    run = tg.unroll(tg.Stacked(layers), np.random.default_rng(0).normal(size=(6, 2, 2)))
    loss = (run.stacked**2).mean()
    path = inspector.report(run, loss, tmp_path_factory.mktemp("pages") / "high.html", remedies=False)
    return run, loss, path


@pytest.mark.slow
def test_a_high_stack_is_read_layer_by_layer_and_seen_whole(visit: Open, high: Any) -> None:
    run, loss, path = high
    trace = inspector.trace(run, loss)
    page = visit(path, "#t=3")
    names = page.locator(".layers button").all_text_contents()
    assert names == [f"layer{k}/{way}" for k in range(4) for way in ("forward", "backward")]
    size = "parseFloat(getComputedStyle(document.querySelector('.now .body')).strokeWidth) && "
    size += "document.querySelector('.now text.gate').getBoundingClientRect().height"
    for name in (names[0], names[5], names[7]):
        page.get_by_role("button", name=name).click()
        frames(page)
        canvas, frame = page.locator(".cell").bounding_box(), page.locator(".now .frame").all()
        boxes = [one.bounding_box() for one in frame]
        labels = page.locator(".now .layer").all_text_contents()
        own = boxes[labels.index(name)]
        assert own["y"] >= canvas["y"] - 1 and own["y"] + own["height"] <= canvas["y"] + canvas["height"] + 1
        assert page.evaluate(size) >= 8
        rows = page.locator(".weight:not([hidden]) .name").all_text_contents()
        assert rows == ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]
        k, way = int(name[5]), "_reverse" if name.endswith("backward") else ""
        share = trace.parameter_norm(f"weight_hh_l{k}{way}")
        said = page.locator(".weight:not([hidden]) .value").nth(1).text_content()
        assert float(said.split()[0]) == pytest.approx(100 * share[3] / share.sum(), abs=0.6)
        shown = page.locator("#now tbody tr", has=page.locator(f"[title='{name}/h']")).locator("td").nth(1)
        assert float(shown.text_content()) == pytest.approx(trace.norm(f"{name}/h")[3], rel=0.006)
    page.click("#fit")
    frames(page)
    canvas = page.locator(".cell").bounding_box()
    assert all(
        canvas["y"] <= box["y"] and box["y"] + box["height"] <= canvas["y"] + canvas["height"]
        for box in (one.bounding_box() for one in page.locator(".now .frame").all())
    )
    page.keyboard.press("p")
    frames(page, 4)
    assert page.locator(".stage .words").bounding_box()["y"] + 60 < 900


@pytest.mark.slow
def test_what_a_pointer_is_told_is_that_of_the_step(visit: Open, page_of_two: Path) -> None:
    page = visit(page_of_two, "#run=gru&t=9")
    data = data_of(page_of_two)["runs"][1]
    shape = page.locator(".now .shape[data-kind]", has=page.locator("text.gate", has_text=re.compile("^z₉$")))
    shape.locator(".body").hover()
    said = shape.locator("title").text_content()
    page.evaluate("inspectorPage.move(2)")
    frames(page)
    page.locator(".now .shape[data-kind] .body").first.hover()
    shape = page.locator(".now .shape[data-kind]", has=page.locator("text.gate", has_text=re.compile("^z₂$")))
    told = shape.locator("title").text_content()
    norms = unpack(data["norms"]["z"])
    for words, t in ((said, 9), (told, 2)):
        assert words.startswith("z = sigmoid: gradient norm ")
        assert float(words.rpartition(" ")[2]) == pytest.approx(norms[t], rel=0.006)
    order = """[...document.querySelectorAll('.now .line')]
        .map(line => Number(line.getAttribute('class').match(/g(\\d)/)?.[1] ?? -1))"""
    grades = page.evaluate(order)
    assert grades == sorted(grades) and len(set(grades)) > 1

"""The page in a browser: what it shows is what the trace says, and all that it promises can be done with it."""

from __future__ import annotations

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
from tests.marks import slow_unless

from .conftest import Open, frames, step, until
from .stretching import stretched

Runs = dict[str, tuple[tg.Run, tg.Tensor]]
SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻−", "0123456789--")


def read(text: str) -> float:
    """A number of the page, as a float: 4.5×10⁻¹²."""
    text = re.sub(r"^10(?=[⁰¹²³⁴⁵⁶⁷⁸⁹⁻])", "1e", text.strip()).replace("×10", "e").translate(SUPERSCRIPTS)
    return float("nan") if text == "—" else float(text)


def table(page: Any) -> dict[str, list[str]]:
    rows = page.eval_on_selector_all("#now tbody tr", "rows => rows.map(r => [...r.children].map(c => c.textContent))")
    return {row[0]: row[1:] for row in rows}


def test_numbers_are_those_of_the_trace(visit: Open, page_of_two: Path, runs: Runs) -> None:
    page = visit(page_of_two)
    rng = np.random.default_rng(0)
    for key, label in (("lstm", "LSTM"), ("gru", "GRU")):
        page.evaluate("k => inspectorPage.select(k)", key)
        trace = inspector.trace(*runs[label])
        for t in rng.integers(trace.steps, size=6):
            page.evaluate("t => inspectorPage.move(t)", int(t))
            frames(page)
            shown = table(page)
            assert set(shown) == set(trace.names)
            for name in trace.names:
                assert read(shown[name][1]) == pytest.approx(trace.norm(name)[t], rel=0.006), (name, t)
                values = [v.data for (other, s), v in runs[label][0].names.items() if (other, s) == (name, t)]
                if shown[name][0]:
                    assert read(shown[name][0]) == pytest.approx(np.mean(values[0]), abs=0.0006)


def test_it_says_the_finding_first(visit: Open, page_of_two: Path, runs: Runs) -> None:
    page = visit(page_of_two)
    found = inspector.diagnose(*runs["LSTM"])
    assert page.text_content(".verdict") == f"LSTM: {found.finding.split(':')[0]}."
    assert read(page.text_content(".number b")) == pytest.approx(found.kept, rel=0.006)


def test_keys_move_the_cursor(visit: Open, page_of_two: Path) -> None:
    page = visit(page_of_two)
    expected = {"Home": 0, "ArrowRight": 1, "End": 13, "ArrowLeft": 12, "Shift+ArrowLeft": 2, "Shift+ArrowRight": 12}
    for key, t in expected.items():
        page.keyboard.press(key)
        assert step(page) == t, key


@pytest.mark.slow
def test_keys_do_what_buttons_do(visit: Open, page_of_two: Path) -> None:
    page = visit(page_of_two, "#t=7")
    for key, verdict in (("]", "GRU"), ("]", "LSTM"), ("[", "GRU")):
        page.keyboard.press(key)
        frames(page)
        assert page.text_content(".verdict").startswith(verdict)
        assert step(page) == 7
    page.keyboard.press("l")
    assert page.get_attribute("#level", "aria-pressed") == "true"
    page.keyboard.press("d")
    assert page.get_attribute("#page", "data-theme") == "dark"
    page.keyboard.press("+")
    frames(page)
    assert page.is_visible(".brush")
    page.keyboard.press("0")
    frames(page)
    assert not page.is_visible(".brush")
    page.keyboard.press("?")
    assert page.is_visible("#keys dl")
    page.keyboard.press("Space")
    assert page.get_attribute("#play", "aria-pressed") == "true"
    page.keyboard.press("Escape")
    assert page.get_attribute("#play", "aria-pressed") == "false"


@pytest.mark.slow
def test_keys_leave_alone_what_belongs_to_an_input(visit: Open, page_of_two: Path) -> None:
    page = visit(page_of_two, "#t=7")
    page.focus("#whatif input")
    page.keyboard.press("ArrowLeft")
    page.focus("#speed")
    page.keyboard.press("l")
    frames(page)
    assert step(page) == 7
    assert page.get_attribute("#level", "aria-pressed") == "false"


@pytest.mark.slow
def test_pointer_moves_the_cursor_in_all_tracks(visit: Open, page_of_two: Path) -> None:
    page = visit(page_of_two)
    for track in (".strip", ".decay", ".gate", ".weight", ".ways"):
        plot = page.locator(f"{track} .plot").first
        plot.scroll_into_view_if_needed()
        box = plot.bounding_box()
        page.mouse.click(box["x"] + box["width"] * 4.5 / 14, box["y"] + box["height"] / 2)
        frames(page)
        assert step(page) == 4, track
        page.mouse.click(box["x"] + box["width"] * 9.5 / 14, box["y"] + box["height"] / 2)
        frames(page)
        assert step(page) == 9, track


@pytest.mark.slow
def test_play_runs_backwards_and_uncovers(visit: Open, page_of_two: Path) -> None:
    page = visit(page_of_two)
    page.select_option("#speed", "60")
    page.click("#play")
    until(page, "inspectorPage.t < 9")
    veil = "document.querySelector('.unswept').getBoundingClientRect().width"
    assert page.evaluate(veil) > 50
    until(page, "inspectorPage.t === 0")
    until(page, "document.querySelector('#play').getAttribute('aria-pressed') === 'false'")
    frames(page)
    assert page.evaluate(veil) == 0


@pytest.mark.slow
def test_selecting_a_shape_shows_its_numbers_curve_and_equation(visit: Open, page_of_two: Path, runs: Runs) -> None:
    page = visit(page_of_two, "#run=lstm&t=9")
    page.locator(".now .shape[data-kind]", has=page.locator("text.gate", has_text=re.compile("^f₉$"))).locator(
        ".body"
    ).click()
    frames(page)
    assert page.text_content("#chosen h2") == "f"
    shown = re.search(r"gradient norm (\S+) at t = 9, mean value (\S+)", page.text_content("#chosen p"))
    assert shown is not None
    assert read(shown[1]) == pytest.approx(inspector.trace(*runs["LSTM"]).norm("f")[9], rel=0.006)
    assert page.locator(".decay .pick").count() == 1
    assert page.locator("#equations .on").all_text_contents()[0].startswith("fₜ = σ(")
    page.keyboard.press("Escape")
    frames(page)
    assert not page.is_visible("#chosen")
    assert page.locator(".decay .pick").count() == 0


@pytest.mark.slow
def test_arrows_follow_the_wiring_inside_the_drawing(visit: Open, page_of_two: Path) -> None:
    page = visit(page_of_two, "#run=lstm&t=9")
    page.focus(".cell")
    page.keyboard.press("Enter")
    frames(page)
    seen = [(page.text_content("#chosen h2"), step(page))]
    for _ in range(8):
        page.keyboard.press("ArrowLeft")
        frames(page)
        seen.append((page.text_content("#chosen h2"), step(page)))
    assert seen[0] in [("h", 9), ("c", 9)]
    assert min(t for _, t in seen) < 9, seen
    assert len(set(seen)) > 4
    assert "gradient norm" in page.text_content("[aria-live]")
    page.keyboard.press("Escape")
    frames(page)
    before = step(page)
    page.keyboard.press("ArrowLeft")
    assert step(page) == before - 1


@pytest.mark.slow
def test_sliders_show_what_was_computed(visit: Open, page_of_two: Path) -> None:
    page = visit(page_of_two, "#run=lstm")
    data = page.evaluate("JSON.parse(document.getElementById('data').textContent)")["runs"][0]["sliders"][0]
    k = len(data["settings"]) - 1
    page.locator("#whatif input").first.fill(str(k))
    frames(page)
    assert page.locator(".decay .if").count() == 1
    assert data["kind"] == "bias"
    said = page.locator("#whatif output").first.text_content()
    assert read(said.split("→")[1]) == pytest.approx(data["kept"][k], rel=0.006)
    assert said.split("→")[1].strip() in page.text_content(".supposed")
    page.locator("#whatif input").nth(1).fill("0")
    assert page.locator(".decay .if").count() == 1
    assert page.locator("#whatif input").first.input_value() == str(data["settings"].index(data["now"]))


@pytest.mark.slow
def test_settings_with_names_are_buttons_and_other_lengths_end_where_they_begin(visit: Open, page_of_two: Path) -> None:
    page = visit(page_of_two, "#run=lstm")
    data = page.evaluate("JSON.parse(document.getElementById('data').textContent)")["runs"][0]["sliders"]
    sliders = {slider["kind"]: slider for slider in data}
    page.get_by_role("button", name=sliders["weights"]["labels"][0]).focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    frames(page)
    filled = page.get_by_role("button", name=sliders["weights"]["labels"][1])
    assert filled.get_attribute("aria-pressed") == "true"
    said = page.text_content(".supposed")
    assert read(said.split(" with ")[0]) == pytest.approx(sliders["weights"]["kept"][1], rel=0.006)
    assert said.endswith("with initialisation Xavier")
    page.get_by_role("group", name="cut at h").get_by_text("on").click()
    frames(page)
    assert filled.get_attribute("aria-pressed") == "false"
    assert page.text_content(".supposed").endswith("with a cut at h")
    assert page.locator(".decay .if").count() == 1
    page.get_by_role("slider", name="length").fill("0")
    frames(page)
    assert page.text_content(".supposed").endswith("in a run of 3 steps")
    curve = page.locator(".decay .if").get_attribute("d")
    places = [float(place.split(",")[0]) for place in curve[1:].split("L")]
    right = page.evaluate("document.querySelector('.decay svg[role=img]').viewBox.baseVal.width")
    assert len(places) == 3 and min(places) == pytest.approx(right * 11.5 / 14, abs=1)
    page.get_by_role("slider", name="length").dblclick()
    frames(page)
    assert page.locator(".decay .if").count() == 0 and not page.is_visible(".supposed")


@pytest.mark.slow
def test_a_sequence_is_chosen_for_the_gates_of_all_runs(
    visit: Open, page_of_two: Path, runs: Runs, tmp_path: Path
) -> None:
    """Its pictures are those of a page that has it in front."""
    pictures = "[...document.querySelectorAll('.gate canvas')].map(c => c.toDataURL())"
    turned = {}
    for label, (run, _) in runs.items():
        again = tg.unroll(run.cell, np.stack([x.data for x in run.inputs])[:, [2, 0, 1]])
        turned[label] = (again, (again.outputs[-1] ** 2).sum())
    page, other = visit(page_of_two), visit(inspector.report(turned, path=tmp_path / "turned.html", sliders=False))
    first = page.evaluate(pictures)
    buttons = page.get_by_role("group", name="Sequence").get_by_role("button")
    assert buttons.all_text_contents() == ["0", "1", "2"]
    buttons.nth(1).focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    frames(page)
    assert buttons.nth(2).get_attribute("aria-pressed") == "true"
    assert page.evaluate(pictures) == other.evaluate(pictures) != first
    for one in (page, other):
        one.keyboard.press("]")
        frames(one)
    assert buttons.nth(2).get_attribute("aria-pressed") == "true"
    assert page.evaluate(pictures) == other.evaluate(pictures)
    buttons.nth(0).click()
    page.keyboard.press("[")
    frames(page)
    assert page.evaluate(pictures) == first


@pytest.mark.slow
def test_the_map_moves_both_steps(visit: Open, page_of_two: Path) -> None:
    page = visit(page_of_two)
    page.locator(".square").scroll_into_view_if_needed()
    box = page.locator(".square").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 3.5 / 14, box["y"] + box["height"] * 10.5 / 14)
    frames(page)
    assert step(page) == 3
    assert page.text_content("#reach p").startswith("A loss at step 10 reaches")
    page.focus(".square")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowRight")
    frames(page)
    assert step(page) == 4
    assert page.text_content("#reach p").startswith("A loss at step 9 reaches")


def test_of_lines_that_begin_alike_the_strongest_lies_on_top(visit: Open, page_of_two: Path) -> None:
    page = visit(page_of_two, "#run=lstm&t=9")
    for t in (9, 3):
        page.evaluate("t => inspectorPage.move(t)", t)
        frames(page)
        classes = page.eval_on_selector_all(".now .line", "lines => lines.map(l => l.getAttribute('class'))")
        grades = [int(one[-1]) if one.startswith("line g") else -1 for one in classes]
        assert len(grades) > 10 and grades == sorted(grades) and len(set(grades)) > 2


@pytest.mark.slow
def test_the_address_says_where_one_is(visit: Open, page_of_two: Path) -> None:
    page = visit(page_of_two, "#run=gru&t=5")
    assert page.text_content(".verdict").startswith("GRU")
    assert step(page) == 5
    page.keyboard.press("ArrowRight")
    until(page, "location.hash === '#run=gru&t=6'")
    assert page.text_content("[aria-live]").startswith("Step 6: gradient by h ")
    page.evaluate("location.hash = '#run=lstm&t=2'")
    until(page, "inspectorPage.t === 2")
    assert page.text_content(".verdict").startswith("LSTM")


def test_steps_that_are_marked_have_signs_at_their_places_and_words_at_the_cursor(
    visit: Open, page_of_two: Path
) -> None:
    page = visit(page_of_two, "#t=5")
    assert page.text_content("#now h2") == "At t = 5 · seen"
    assert page.get_attribute("#t", "aria-valuetext") == "t = 5 · 8 steps before the last, seen"
    assert page.locator(".chip:has(.sign)").all_text_contents() == ["seen: 2, 5", "asked: 12"]
    middles = "signs => signs.map(s => s.getBoundingClientRect()).map(box => (box.left + box.right) / 2)"
    axis = page.locator(".axis").bounding_box()
    wanted = [axis["x"] + axis["width"] * (t + 0.5) / 14 for t in (2, 5, 12)]
    signs = page.eval_on_selector_all(".marks .sign", middles)
    assert signs == pytest.approx(wanted * 2, abs=0.6)  # below the weights, and on the axis
    assert page.locator(".marks .hollow").count() == 2
    page.keyboard.press("ArrowLeft")
    frames(page)
    assert page.text_content("#now h2") == "At t = 4"
    page.keyboard.press(".")
    frames(page)
    assert step(page) == 5


@pytest.mark.slow
def test_time_zooms_and_the_strip_says_where(visit: Open, page_of_two: Path) -> None:
    page = visit(page_of_two, "#t=10")
    box = page.locator(".strip .plot").bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.01, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, y, steps=5)
    page.mouse.up()
    frames(page)
    brush = page.locator(".brush").bounding_box()
    assert brush["width"] == pytest.approx(0.59 * box["width"], abs=box["width"] * 0.03)
    ticks = [int(text) for text in page.locator(".axis span").all_text_contents()]
    assert max(ticks) <= 9
    page.keyboard.press("End")
    frames(page)
    moved = page.locator(".brush").bounding_box()
    assert moved["x"] > brush["x"] + 50
    page.keyboard.press("Escape")
    frames(page)
    assert not page.is_visible(".brush")


@pytest.mark.slow
def test_a_lecture_goes_through_the_sweep(visit: Open, page_of_two: Path, runs: Runs) -> None:
    page = visit(page_of_two, "#run=lstm&lecture")
    frames(page, 4)
    assert page.is_visible(".stage")
    assert not page.is_visible("aside")
    words, steps = [], []
    while True:
        words.append(page.text_content(".stage .words"))
        steps.append(step(page))
        if page.is_disabled("#next"):
            break
        page.keyboard.press("ArrowRight")
        frames(page)
    assert words[0] == "At step 13 the gradient sets out."
    means = {name: np.mean(runs["LSTM"][0].names[name, 13].data) for name in "of"}
    assert words[1].startswith(f"Times o = {means['o']:.2f}") and words[2].startswith("Through tanh, ")
    assert words[3].startswith("A sum") and words[4].startswith(f"Times f = {means['f']:.2f}")
    assert steps == sorted(steps, reverse=True)
    assert set(range(14)) == set(steps)
    mean = np.mean(runs["LSTM"][0].names["f", 11].data)
    told = [line for line in words if line.startswith("Step 11: times f = ")]
    assert told
    assert float(told[0].split("= ")[1].split(",")[0]) == pytest.approx(mean, abs=0.006)
    assert words[-1] == f"LSTM: {inspector.diagnose(*runs['LSTM']).finding.split(':')[0]}."
    page.keyboard.press("ArrowLeft")
    frames(page)
    assert page.text_content(".stage .words") == words[-2]
    page.keyboard.press("Escape")
    frames(page)
    assert page.is_visible("aside")


def test_moving_makes_no_element_and_measures_nothing(visit: Open, page_of_two: Path) -> None:
    page = visit(page_of_two, "#t=13")
    for key in ("Home", "End"):
        page.keyboard.press(key)
        frames(page)
    counted = page.evaluate("""async () => {
        let made = 0, measured = 0;
        const there = new Set(document.querySelectorAll('*'));  // which may be laid above others
        new MutationObserver(all => {
            for (const m of all) for (const n of m.addedNodes) made += n.nodeType === 1 && !there.has(n);
        }).observe(document.body, { subtree: true, childList: true });
        for (const [of, name] of [[Element.prototype, 'clientWidth'], [HTMLElement.prototype, 'offsetWidth']]) {
            const own = Object.getOwnPropertyDescriptor(of, name);
            Object.defineProperty(of, name, { get() { measured++; return own.get.call(this); } });
        }
        const box = Element.prototype.getBoundingClientRect, style = window.getComputedStyle;
        Element.prototype.getBoundingClientRect = function () { measured++; return box.call(this); };
        window.getComputedStyle = (...a) => { measured++; return style(...a); };
        const drawn = () => new Promise(requestAnimationFrame);
        for (let t = 12; t >= 0; t--) { inspectorPage.move(t); await drawn(); await drawn(); }
        return [made, measured];
    }""")
    assert counted == [0, 0]


@pytest.mark.slow
def test_views_are_taken_along(visit: Open, page_of_two: Path, runs: Runs) -> None:
    page = visit(page_of_two, "#run=lstm&t=9", accept_downloads=True)
    found = {}
    for kind in ("SVG", "PNG", "CSV"):
        with page.expect_download() as waiting:
            page.locator(".head", has_text="How much gradient arrives").get_by_text(kind).click()
        found[kind] = Path(waiting.value.path()).read_bytes()
        assert waiting.value.suggested_filename == f"LSTM-decay.{kind.lower()}"
    assert found["PNG"].startswith(b"\x89PNG")
    text = found["SVG"].decode()
    assert text.startswith("<svg xmlns=")
    assert "How much gradient arrives" in text
    rows = list(csv.DictReader(found["CSV"].decode().splitlines()))
    assert [float(row["c"]) for row in rows] == pytest.approx(list(inspector.trace(*runs["LSTM"]).norm("c")), rel=0.003)
    with page.expect_download() as waiting:
        page.locator(".drawing .take").get_by_text("SVG").click()
    assert "t = 9" in Path(waiting.value.path()).read_text()


def test_without_a_script_the_finding_stands_there(visit: Open, page_of_two: Path) -> None:
    page = visit(page_of_two, java_script_enabled=False)
    assert page.is_visible(".verdict")
    assert page.text_content(".verdict").startswith("LSTM: the gradient")
    assert re.search(r"\d", page.text_content(".number b"))


@pytest.mark.slow
def test_reduced_motion_animates_nothing(visit: Open, page_of_two: Path) -> None:
    page = visit(page_of_two, reduced_motion="reduce")
    page.click("#play")
    until(page, "inspectorPage.t < 12")
    assert page.evaluate("document.getAnimations().length") == 0
    page.click("#play")


@pytest.mark.slow
def test_a_phone_has_room_for_all(visit: Open, page_of_two: Path) -> None:
    page = visit(page_of_two, width=390, height=844, has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    strip, below = (page.locator(f".overview {what}").bounding_box() for what in (".strip .plot", ".lens.below"))
    assert below == pytest.approx({**below, "x": strip["x"], "width": strip["width"]}, abs=1)
    small = page.evaluate("""[...document.querySelectorAll('button, select, input, summary')]
        .filter(b => b.offsetHeight && (b.offsetHeight < 24 || b.offsetWidth < 24)).map(b => b.textContent || b.id)""")
    assert small == []
    page.locator(".decay .plot").tap(position={"x": 2, "y": 50})
    frames(page)
    assert step(page) == 0


@pytest.mark.slow
def test_print_is_light_and_without_controls(visit: Open, page_of_two: Path, tmp_path: Path) -> None:
    pypdf = pytest.importorskip("pypdf")
    page = visit(page_of_two, "#t=9", color_scheme="dark")
    page.emulate_media(media="print", color_scheme="light")
    for hidden in (".bar", ".tools", ".take", "#keys", ".runs"):
        assert not page.locator(hidden).first.is_visible(), hidden
    page.pdf(path=tmp_path / "page.pdf", format="A4", print_background=True)
    pages = pypdf.PdfReader(tmp_path / "page.pdf").pages
    assert 1 <= len(pages) <= 3
    assert "the gradient" in pages[0].extract_text()


EVIL = '</script><script>window.hacked=1</script><img src=x onerror="window.hacked=2">'


NAMES = {
    "markup": EVIL,
    "long": "a" * 10_000,
    "empty": "",
    "bidi": "\u202eevil\u202c",
    "signs": "‖∂L/∂x‖ ${verdict} $$",
}


@pytest.mark.parametrize("kind", slow_unless(["markup"], NAMES))
def test_hostile_names_do_nothing(kind: str, visit: Open, page_of_two: Path, tmp_path: Path) -> None:
    raw = re.search(r'<script type="application/json" id="data">(.*?)</script>', page_of_two.read_text(), re.S)
    assert raw is not None
    data = json.loads(raw[1])
    name = data["title"] = NAMES[kind]
    for run in data["runs"]:
        run["label"] = run["cell"] = run["note"] = run["verdict"]["text"] = run["init"] = name
        run["verdict"]["evidence"] = [name]
        run["weights"]["names"] = [name] * len(run["weights"]["names"])
        run["ways"]["ways"] = [name] * len(run["ways"]["ways"])
        run["reach"]["state"] = name
        for part in (*run["gates"], *run["sliders"]):
            part["words" if "words" in part else "word"] = name
            if "labels" in part:
                part["labels"] = [name] * len(part["labels"])
        for equation in run["equations"]:
            equation["text"] = name
        for level in run["levels"]:
            for tile in level["tiles"]:
                for shape in tile["shapes"]:
                    shape["label"] = shape["about"] = name
                for frame in tile["frames"]:
                    frame["label"] = name
    path = tmp_path / "hostile.html"
    path.write_text(html(data), encoding="utf-8")
    page = visit(path)
    assert page.evaluate(
        "window.hacked === undefined && !document.querySelector('img') && document.scripts.length === 2"
    )
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    labels = page.evaluate("""[...document.querySelectorAll('.now .shape')].map(g => {
        const wide = name => g.querySelector(name)?.getBoundingClientRect().width;
        return wide('.body') ? wide('text') - wide('.body') : 0; })""")
    assert max(labels) <= 1


def test_another_version_is_refused_with_a_sentence(browser: Any, page_of_two: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.html"
    path.write_text(page_of_two.read_text().replace('"version":1', '"version":2'), encoding="utf-8")
    page = browser.new_page()
    page.goto(path.as_uri())
    assert "this page reads data of inspector-page, version 1" in page.text_content("[role=alert]")
    page.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    "field", ["marks", "gates", "weights", "ways", "reach", "equations", "levels", "sliders", "curves"]
)
def test_what_is_missing_hides_its_view(field: str, visit: Open, page_of_two: Path, tmp_path: Path) -> None:
    raw = re.search(r'<script type="application/json" id="data">(.*?)</script>', page_of_two.read_text(), re.S)
    assert raw is not None
    data = json.loads(raw[1])
    for run in data["runs"]:
        del run[field]
    path = tmp_path / "less.html"
    path.write_text(html(data), encoding="utf-8")
    page = visit(path)
    view = {
        "marks": ".sign",
        "gates": ".track.gate",
        "weights": ".weight",
        "ways": ".ways",
        "reach": "#reach",
        "equations": "#equations",
        "levels": ".drawing",
        "sliders": "#whatif",
        "curves": "img",
    }
    assert not page.locator(view[field]).first.is_visible()
    for key in ("ArrowLeft", "]", "p", "PageDown", "Escape", "l", "Home"):
        page.keyboard.press(key)
        frames(page)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["stack", "both directions", "masked", "one step", "truncated"])
def test_other_runs_are_shown(kind: str, visit: Open, tmp_path: Path) -> None:
    lstm, gru = tg.cells.LSTMCell(2, 3, seed=0), tg.cells.GRUCell(3, 3, seed=1)
    x = np.random.default_rng(0).normal(size=(1 if kind == "one step" else 9, 2, 2))
    options: dict[str, Any] = (
        {"lengths": [4, 9]} if kind == "masked" else {"truncate": 3} if kind == "truncated" else {}
    )
    cell = {
        "stack": tg.Stacked([lstm, gru]),
        "both directions": tg.Bidirectional(lstm, tg.cells.LSTMCell(2, 3, seed=5)),
    }.get(kind, lstm)
    run = tg.unroll(cell, x, **options)
    loss = (run.outputs[-1] ** 2).sum()
    page = visit(inspector.report(run, loss, tmp_path / "page.html", remedies=False))
    trace = inspector.trace(run, loss)
    for t in range(len(run)):
        page.evaluate("t => inspectorPage.move(t)", t)
        frames(page)
        shown = page.text_content(".strip .value")
        whole = np.sqrt(sum(np.nan_to_num(trace.norm(name)[t]) ** 2 for name in trace.states))
        assert read(shown) == pytest.approx(whole, rel=0.006)
        assert page.locator(".now .step").first.text_content() == f"t = {t}"
    if kind in ("stack", "both directions"):
        layers = page.locator(".layers button").all_text_contents()
        assert len(layers) == 2
        page.locator(".layers button").first.click()
        frames(page)
    assert page.evaluate("document.querySelectorAll('.cell [d*=NaN], .decay [d*=NaN]').length") == 0


@pytest.mark.slow
def test_long_runs_are_seen_whole_and_close(visit: Open, page_of_two: Path, tmp_path: Path) -> None:
    """A page of the data of a short run, as if each of its steps were 700."""
    raw = re.search(r'<script type="application/json" id="data">(.*?)</script>', page_of_two.read_text(), re.S)
    assert raw is not None
    path = tmp_path / "long.html"
    path.write_text(html(stretched(json.loads(raw[1]), 700)), encoding="utf-8")
    page = visit(path, "#t=4900")
    assert page.text_content(".where") == "t = 4,900 · 4,899 steps before the last"
    assert "each the largest of 700 × 700 steps" in page.text_content("#reach small")
    for _ in range(12):
        page.keyboard.press("+")
    frames(page)
    ticks = [int(text.replace(",", "")) for text in page.locator(".axis span").all_text_contents()]
    assert max(ticks) - min(ticks) < 120
    assert min(ticks) - 60 < 4900 < max(ticks) + 60
    assert page.evaluate("document.querySelectorAll('*').length") < 3000


@pytest.mark.slow
def test_the_sweep_goes_on_from_a_decoder_into_its_encoder(visit: Open, tmp_path: Path) -> None:
    model = tg.models.EncoderDecoder(tg.cells.GRUCell(3, 4, seed=0), tg.cells.GRUCell(2, 4, seed=1), seed=2)
    encoded = model.encode(np.random.default_rng(0).normal(size=(5, 2, 3)))
    said = model.decode(encoded, np.ones((3, 2, 2)))
    loss = (said.outputs**2).mean()
    page = visit(inspector.report((encoded, said.run), loss, tmp_path / "two.html", remedies=False), "#run=decoder&t=1")
    trace = inspector.trace(encoded, loss)
    places = []
    for key in ("ArrowLeft", "ArrowLeft", "ArrowLeft", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
        frames(page)
        places.append((page.evaluate("inspectorPage.run"), step(page)))
        if places[-1][0] == "encoder":
            assert read(page.text_content(".strip .value")) == pytest.approx(trace.norm("h")[step(page)], rel=0.006)
    assert places == [("decoder", 0), ("encoder", 4), ("encoder", 3), ("encoder", 4), ("decoder", 0)]
    assert page.locator(".outside text", has_text="decoder").count() == 0
    page.select_option("#speed", "60")
    page.click("#play")
    until(page, "inspectorPage.run === 'encoder' && inspectorPage.t === 0")
    assert page.locator(".outside text", has_text="decoder").count() == 1
    page.click("#back")
    assert step(page) == 0


@pytest.mark.slow
def test_members_of_an_ensemble_stand_before_the_band_of_all(visit: Open, tmp_path: Path) -> None:
    cells = [tg.cells.LSTMCell(2, 3, seed=seed) for seed in range(4)]
    run = tg.unroll(tg.compile(cells, backend="numpy"), np.random.default_rng(0).normal(size=(9, 2, 2)))
    page = visit(inspector.report(run, (run.outputs[-1] ** 2).sum(), tmp_path / "page.html", remedies=False))
    assert page.locator(".runs button").all_text_contents() == ["Median of 4", "Keeps least", "Keeps most"]
    assert page.text_content(".legend .quiet") == "half and nine tenths of 4 members"
    assert page.locator(".decay .spread").count() == 4
    high = page.evaluate("[...document.querySelectorAll('.decay .spread, .decay .own')].map(p => p.getBBox().height)")
    assert min(high) > 1
    page.keyboard.press("+")
    frames(page)
    assert page.evaluate("document.querySelectorAll('.decay [d*=NaN]').length") == 0

"""The page in a notebook's cell, with a stand-in for the notebook's half."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from inspector.page.theme_css import theme_css

from .conftest import WEB, frames, until

MODEL = """async ([script, values, late]) => {
    const heard = new Map();
    window.model = {
        values, sent: [], heard,
        get: name => values[name],
        set(name, value) { values[name] = value; (heard.get(`change:${name}`) ?? []).slice().forEach(f => f()); },
        save_changes() {},
        on(event, f) { heard.set(event, [...(heard.get(event) ?? []), f]); },
        off(event, f) { heard.set(event, (heard.get(event) ?? []).filter(g => g !== f)); },
        send(content) { this.sent.push(content); },
        answer(message, numbers) {
            const buffer = new DataView(new Float64Array(numbers).buffer);
            heard.get("msg:custom").forEach(f => f(message, [buffer]));
        },
    };
    const el = document.createElement("div");
    if (!late) document.body.append(el);
    window.root = () => el.shadowRoot.querySelector(".page");
    const module = await import(`data:text/javascript;base64,${script}`);
    window.leave = module.default.render({ model: window.model, el });
    if (late) document.body.append(el);
}"""


@pytest.fixture(params=[False])
def widget(request: pytest.FixtureRequest, browser: Any, page_of_two: Path) -> Iterator[Any]:
    raw = re.search(r'<script type="application/json" id="data">(.*?)</script>', page_of_two.read_text(), re.S)
    assert raw is not None
    said: list[str] = []
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    script = base64.b64encode((WEB / "dist" / "widget.js").read_bytes()).decode()
    values = {
        "data": json.dumps(json.loads(raw[1])),
        "theme_css": theme_css(),
        "t": 11,
        "run": "lstm",
        "live": True,
        "frame": "kept",
    }
    page.evaluate(MODEL, [script, values, request.param])
    page.wait_for_selector(".page.ready")
    frames(page)
    yield page
    page.close()
    assert said == []


@pytest.mark.parametrize("widget", [True], indirect=True, ids=["put into the notebook late"])
def test_it_follows_the_notebook_and_the_notebook_it(widget: Any) -> None:
    assert widget.locator(".where").text_content().startswith("t = 11 "), "where the notebook says, from the beginning"
    widget.evaluate("model.set('t', 4)")
    frames(widget)
    assert widget.locator(".where").text_content().startswith("t = 4 ")
    widget.evaluate("model.set('run', 'gru')")
    frames(widget)
    assert widget.locator(".verdict").text_content().startswith("GRU")
    widget.locator("#back").click()
    until(widget, "model.values.t === 3")
    widget.locator(".runs button").first.click()
    until(widget, "model.values.run === 'lstm'")
    frames(widget)
    assert widget.locator(".verdict").text_content().startswith("LSTM"), "its own news sends it nowhere"


@pytest.mark.slow
def test_keys_are_heard_inside_only(widget: Any) -> None:
    before = widget.locator(".where").text_content()
    widget.evaluate("document.body.focus()")
    widget.keyboard.press("ArrowLeft")
    frames(widget)
    assert widget.locator(".where").text_content() == before
    widget.evaluate("""() => {
        window.heard = [];
        const host = root().getRootNode().host, asks = () => host.hasAttribute("data-lm-suppress-shortcuts");
        document.addEventListener("keydown", e => heard.push([e.key, "early", asks()]), true);
        document.addEventListener("keydown", e => heard.push([e.key, "late"]));
    }""")
    widget.locator("#play").focus()
    widget.keyboard.press("ArrowLeft")
    frames(widget)
    assert widget.locator(".where").text_content() != before
    widget.keyboard.press("Control+Alt+b")
    assert widget.evaluate("heard.filter(([key]) => key === 'ArrowLeft')") == [["ArrowLeft", "early", True]]
    assert widget.evaluate("heard.filter(([key]) => key === 'b')") == [["b", "early", False], ["b", "late"]], "a chord"


@pytest.mark.slow
def test_sliders_ask_and_show_the_newest_answer(widget: Any) -> None:
    slider = widget.locator("#whatif input").first
    slider.fill("1.3")
    until(widget, "model.sent.length === 1")
    first = widget.evaluate("model.sent[0]")
    assert {name: first[name] for name in ("ask", "run", "kind", "name")} == {
        "ask": "what_if",
        "run": "lstm",
        "kind": "bias",
        "name": "f",
    }
    assert first["setting"] == pytest.approx(1.3, abs=0.05)
    assert widget.locator(".decay .if.pale").count() == 1
    for setting in ("2.0", "2.4"):  # while Python is busy: the newest of them waits, the other is dropped
        slider.fill(setting)
        widget.wait_for_timeout(150)
    assert widget.evaluate("model.sent.length") == 1
    widget.evaluate("id => model.answer({ id, kept: 0.111 }, Array(14).fill(0.5))", first["id"])
    until(widget, "model.sent.length === 2")
    assert "0.111" not in widget.locator("#whatif output").first.text_content()
    assert widget.evaluate("model.sent[1].setting") == pytest.approx(2.4, abs=0.05)
    widget.evaluate("id => model.answer({ id, kept: 0.222 }, Array(14).fill(0.5))", first["id"] + 1)
    frames(widget)
    assert widget.locator("#whatif output").first.text_content().endswith("→ 0.222")
    assert widget.locator(".decay .if:not(.pale)").count() == 1
    slider.fill("2.7")
    until(widget, "model.sent.length === 3")
    widget.evaluate(
        "id => model.heard.get('msg:custom').forEach(f => f({ id, error: 'no such gate' }, []))", first["id"] + 2
    )
    frames(widget)
    assert widget.locator("#whatif output").first.text_content() == "no such gate"


@pytest.mark.slow
def test_a_question_is_about_the_run_that_is_shown_and_lengths_are_whole_steps(widget: Any) -> None:
    widget.locator(".runs button").nth(1).click()
    length = widget.get_by_role("slider", name="length")
    length.fill("20")
    until(widget, "model.sent.length === 1")
    asked = widget.evaluate("model.sent[0]")
    assert (asked["run"], asked["kind"], asked["setting"]) == ("gru", "length", 20)
    widget.evaluate(
        "id => model.answer({ id, kept: 1e-9 }, Array.from({ length: 20 }, (_, k) => 2 ** -k))", asked["id"]
    )
    frames(widget)
    assert widget.locator(".supposed").text_content() == "10⁻⁹ in a run of 20 steps"
    curve = widget.locator(".decay .if").get_attribute("d")
    heights = [float(place.split(",")[1]) for place in curve[1:].split("L")]
    assert len(heights) == 14 and heights == sorted(heights, reverse=True)


@pytest.mark.slow
def test_settings_with_names_are_there_at_once(widget: Any) -> None:
    widget.get_by_role("button", name="orthogonal").click()
    frames(widget)
    assert widget.locator(".decay .if:not(.pale)").count() == 1
    assert widget.evaluate("model.sent.length") == 0


@pytest.mark.slow
def test_it_leaves_no_listener(widget: Any) -> None:
    widget.evaluate("leave()")
    assert widget.evaluate("[...model.heard.values()].flat().length") == 0
    before = widget.locator(".where").text_content()
    widget.locator("#play").focus()
    widget.keyboard.press("ArrowLeft")
    frames(widget)
    assert widget.locator(".where").text_content() == before

"""The page is well-formed, loads nothing, says the verdict without its script, and holds the data and nothing more."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import inspector
import tinygrad_rnn as tg
from inspector.reports import document_of
from tinygrad_rnn.recurrent.unroll import Run

VOID = {"meta", "img", "br", "input", "link", "hr"}
NASTY = "</script></h1><script>alert(1)</script><img src=x onerror=alert(2)>&amp;\u202e"


class Checker(HTMLParser):
    """Collects tags that do not match, what the page would load, what runs, and what it says."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.inside: dict[str, list[str]] = {"script": [], "style": [], "title": [], "h1": []}
        self.policy = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if tag not in VOID:
            self.open.append(tag)
        if tag in self.inside:
            self.inside[tag].append("")
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"] or ""
        self.ids += [given["id"] or ""] if "id" in given else []
        self.loads += [value or "" for key, value in attributes if key in ("src", "href")]
        assert not [key for key in given if key.startswith("on") or key == "style"], "the policy forbids it"

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in self.inside:
            self.inside[self.open[-1]][-1] += data


def run_of(steps: int = 5) -> tuple[Run, tg.Tensor]:
    run = tg.unroll(tg.cells.LSTMCell(3, 4, seed=0), np.random.default_rng(0).normal(size=(steps, 2, 3)))
    return run, run.outputs[-1].sum()


def read(path: Path) -> tuple[Checker, dict[str, Any]]:
    page = Checker()
    page.feed(path.read_text(encoding="utf-8"))
    assert page.open == [] and page.loads == [] and len(page.ids) == len(set(page.ids))
    return page, json.loads(page.inside["script"][0])


@pytest.mark.parametrize("steps", [1, 40])
def test_the_page_is_well_formed_and_may_run_its_own_script_alone(steps: int, tmp_path: Path) -> None:
    path = inspector.report(*run_of(steps), tmp_path / "report.html")
    page, _ = read(path)
    data, script = page.inside["script"]
    (style,) = page.inside["style"]
    for text, kind in ((script, "script-src"), (style, "style-src")):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind} 'sha256-{digest}'" in page.policy
    assert "default-src 'none'" in page.policy and "unsafe" not in page.policy
    assert not re.search(r"url\(|@import", style)
    assert "<" not in data
    assert path.read_bytes() == inspector.report(*run_of(steps), tmp_path / "again.html").read_bytes()


def test_the_verdict_and_three_numbers_stand_there_without_the_script(tmp_path: Path) -> None:
    run, loss = run_of(40)
    text = inspector.report(run, loss, tmp_path / "a.html").read_text(encoding="utf-8")
    found = inspector.diagnose(run, loss)
    body = text.partition("<main")[2].partition('<script type="application/json"')[0]
    assert found.finding.partition(":")[0] == "the gradient vanishes" and "the gradient vanishes." in body
    assert f"<b>{inspector.weights(run, loss).steps_for_90.values[-1]:.0f} of 40</b>" in body


def test_the_data_alone_are_those_of_the_page(tmp_path: Path) -> None:
    _, inside = read(inspector.report(*run_of(), tmp_path / "a.html"))
    alone = inspector.report(*run_of(), tmp_path / "a.json")
    assert json.loads(alone.read_text(encoding="utf-8")) == inside


def test_several_runs_stand_side_by_side_under_their_labels(tmp_path: Path) -> None:
    pairs = {"short": run_of(4), "long": run_of(9)}
    _, data = read(inspector.report(pairs, path=tmp_path / "a.html"))
    assert [(run["label"], run["T"]) for run in data["runs"]] == [("short", 4), ("long", 9)]


def test_names_that_users_give_are_text_wherever_they_stand(tmp_path: Path) -> None:
    class Named(tg.cells.RNNCell):
        def step(self, x: object, state: tuple[object, ...]) -> tuple[object]:
            return (tg.named(**{NASTY: tg.sigmoid(super().step(x, state)[0])}),)

    run = tg.unroll(Named(3, 4, seed=0), np.ones((3, 1, 3)))
    page, data = read(inspector.report({NASTY: (run, run.outputs[-1].sum())}, path=tmp_path / "a.html"))
    seen = NASTY.replace("\u202e", "�")
    assert len(page.inside["script"]) == 2
    head, tail = seen[:13], seen[-13:]  # of a long one the headline has both ends
    assert page.inside["h1"][0].startswith(head) and tail in page.inside["h1"][0]
    assert seen in page.inside["title"][0]
    assert seen.replace("/", "∕") in data["runs"][0]["norms"]  # a slash is for layers


def test_what_is_not_finite_is_the_verdict(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(5, 1, 2))
    x[3, 0, 1] = np.inf
    with np.errstate(all="ignore"):
        run = tg.unroll(tg.cells.LSTMCell(2, 3, seed=0), x)
        page, data = read(inspector.report(run, (run.stacked**2).sum(), tmp_path / "a.html"))
    assert page.inside["h1"][0].endswith("not finite since t = 3.")
    assert data["runs"][0]["notFinite"].startswith("not finite since t = 3: infinity in the input x")


REFUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "suffix": (lambda run, loss, path: inspector.report(run, loss, path / "a.pdf"), ValueError, r"must end in \.html"),
    "no path": (lambda run, loss, path: inspector.report(run, loss), TypeError, "say where the page goes"),
    "no loss": (
        lambda run, loss, path: inspector.report(run, path=path / "a.html"),
        TypeError,
        "loss must be a Tensor",
    ),
    "no run": (lambda run, loss, path: inspector.report(loss, loss, path / "a.html"), TypeError, "run must be"),
    "none": (lambda run, loss, path: inspector.report({}, path=path / "a.html"), ValueError, "no run to show"),
    "no pair": (lambda run, loss, path: inspector.report({"a": run}, path=path / "a.html"), TypeError, "'a' must have"),
    "two losses": (
        lambda run, loss, path: inspector.report({"a": (run, loss)}, loss, path / "a.html"),
        TypeError,
        "each has its own loss",
    ),
    "many numbers": (lambda run, loss, path: inspector.report(run, run.stacked, path / "a.html"), ValueError, "single"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_page_is_refused_and_nothing_is_written(case: str, tmp_path: Path) -> None:
    call, kind, words = REFUSED[case]
    with pytest.raises(kind, match=words):
        call(*run_of(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_runs_that_follow_each_other_have_a_page_together(tmp_path: Path) -> None:
    model = tg.models.EncoderDecoder(tg.cells.GRUCell(3, 4, seed=0), tg.cells.GRUCell(2, 4, seed=1), seed=2)
    encoded = model.encode(np.random.default_rng(0).normal(size=(5, 2, 3)))
    said = model.decode(encoded, np.ones((3, 2, 2)))
    loss = (said.outputs**2).mean()
    _, data = read(inspector.report((encoded, said.run), loss, tmp_path / "a.html", remedies=False))
    encoder, decoder = data["runs"]
    assert [encoder["label"], decoder["label"]] == ["encoder", "decoder"]
    assert "after" not in encoder and decoder["after"] == encoder["key"]
    kept = inspector.trace(encoded, loss).norm("h")[0] / inspector.trace(said.run, loss).norm("h")[-1]
    assert encoder["note"].startswith(f"{inspector.text.number(kept)} of the gradient at the end of decoder")
    assert decoder["note"] == "begins where encoder ends"
    assert [shape["label"] for shape in encoder["levels"][0]["last"]["shapes"]] == ["decoder"]
    assert [shape["label"] for shape in decoder["levels"][0]["first"]["shapes"]][-1] == "encoder"
    by_name = {"one": (encoded, loss), "other": (said.run, loss), "apart": (encoded, encoded.outputs[-1].sum())}
    runs = document_of(by_name, None, "report", sliders=False)["runs"]
    assert [run.get("after") for run in runs] == [None, "one", None]
    with pytest.raises(ValueError, match="does not begin in the state"):
        inspector.report((said.run, encoded), loss, tmp_path / "b.html")
    with pytest.raises(ValueError, match="report: there is no run to show"):
        inspector.report([], loss, tmp_path / "none.html")


@pytest.mark.parametrize("compiled", [False, True])
def test_a_state_that_is_handed_over_in_another_shape_is_the_same_state(compiled: bool) -> None:
    first, second = (
        tg.compile(cell, backend="numpy") if compiled else cell
        for cell in (tg.cells.GRUCell(3, 4, seed=0), tg.cells.GRUCell(2, 4, seed=1))
    )
    before = tg.unroll(first, np.random.default_rng(0).normal(size=(3, 2, 3)))
    for end, is_same in (
        (tg.stack([before.final_state.h])[0], True),
        (before.final_state.h * 1.0, True),
        (before.final_state.h * 0.5, False),
        (np.zeros((2, 4)), False),
    ):
        after = tg.unroll(second, np.ones((2, 2, 2)), tg.cells.GRUCell.State(end))
        loss = (after.outputs[-1] ** 2).sum() + before.outputs[0].sum()
        runs = document_of({"a": (before, loss), "b": (after, loss)}, None, "report", sliders=False)["runs"]
        assert runs[1].get("after") == ("a" if is_same else None)
        assert (runs[1].get("note") == "begins where a ends") is is_same


def test_a_lecture_opens_the_page_in_large_type(tmp_path: Path) -> None:
    _, data = read(inspector.lecture(*run_of(8), tmp_path / "a.html"))
    assert data["opens"] == "lecture"


def test_a_moving_drawing_lights_every_line_that_carries_gradient_and_each_after_what_reads_it(tmp_path: Path) -> None:
    run, loss = run_of(8)
    text = inspector.lecture(run, loss, tmp_path / "a.svg").read_text(encoding="utf-8")
    turns = {key: int(turn) for key, turn in re.findall(r'\[id="([^"]+)"\]\{animation-name:line(\d+)\}', text)}
    drawn = inspector.draw(run, "cell", trace=inspector.trace(run, loss), steps=range(6, 8)).picture
    lines = [line for line in drawn.lines if line.norm and not line.use]
    assert {line.id for line in lines} <= turns.keys()
    circles = {shape.id for shape in drawn.shapes} - {line.source for line in lines}
    for line in lines:
        for later in lines:
            if line.target == later.source and later.target not in circles:
                assert turns[line.id] > turns[later.id]
    assert "prefers-reduced-motion:no-preference" in text


@pytest.mark.parametrize(("name", "steps"), [("rnn", 4), ("gru", 3), ("lstm", 2)])
def test_a_moving_drawing_has_as_many_steps_as_can_be_read_on_a_slide(name: str, steps: int, tmp_path: Path) -> None:
    run = tg.unroll(tg.cells.get(name)(2, 4, seed=0), np.ones((9, 1, 2)))
    text = inspector.lecture(run, run.outputs[-1].sum(), tmp_path / "a.svg").read_text(encoding="utf-8")
    assert {int(t) for t in re.findall(r">step t = (\d+)<", text)} == set(range(9 - steps, 9))
    assert float(re.findall(r'<svg width="([\d.]+)pt"', text)[0]) <= 1200

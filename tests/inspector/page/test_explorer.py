"""The page in a notebook: what it is given, and what Python answers its sliders."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import Any

import numpy as np
import pytest

import inspector
import tinygrad_rnn as tg
from inspector.page.html import html

from .unpacking import unpack

pytest.importorskip("anywidget", reason="anywidget is not installed")
traitlets = pytest.importorskip("traitlets")


def shown(steps: int = 12) -> tuple[tg.Run, tg.Tensor]:
    run = tg.unroll(tg.cells.LSTMCell(3, 4, seed=0), np.random.default_rng(0).normal(size=(steps, 2, 3)))
    return run, (run.outputs[-1] ** 2).sum()


def asked(widget: Any, **message: Any) -> tuple[dict[str, Any], list[bytes]]:
    """What comes back of a message from the browser."""
    answers: list[Any] = []
    widget.send = lambda content, buffers=None: answers.append((content, buffers or []))
    widget._handle_custom_msg(message, [])
    (answer,) = answers
    return answer  # type: ignore[no-any-return]


def test_a_slider_is_answered_with_what_if(capsys: pytest.CaptureFixture[str]) -> None:
    run, loss = shown()
    widget = inspector.explore(run, loss, marks={"seen": [3]})
    assert json.loads(widget.data)["runs"][0]["marks"] == [{"words": "seen", "steps": [3]}]
    answer, (norms,) = asked(widget, ask="what_if", id=7, kind="bias", name="f", setting=1.37)
    wanted = inspector.what_if(run, loss, bias={"f": 1.37}).after
    np.testing.assert_allclose(
        np.frombuffer(norms, "<f8"), np.hypot(wanted["state", "h"], wanted["state", "c"]), rtol=1e-12
    )
    assert answer["id"] == 7 and answer["kept"] == pytest.approx(
        inspector.diagnose(*_changed(run, loss)).kept, rel=1e-4
    )


def _changed(run: tg.Run, loss: tg.Tensor) -> tuple[tg.Run, tg.Tensor]:
    found = inspector.what_if(run, loss, bias={"f": 1.37}).traces[1]
    return found.run, found.loss


@pytest.fixture(scope="module")
def widget_of_four() -> Any:
    return inspector.explore(*shown(4))


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({"kind": "bias", "name": "nothing", "setting": 1.0}, "nothing"),
        ({"kind": "hold", "name": "f", "setting": 1.0}, "no slider 'hold' for 'f'"),
        ({"kind": "bias", "name": "f", "setting": float("nan")}, "cannot be nan"),
        ({"kind": "cut", "name": "h", "setting": 0.5}, "cut at h cannot be 0.5"),
        ({"kind": "weights", "name": "", "setting": 9.0}, "initialisation cannot be 9.0"),
        ({"kind": "length", "name": "", "setting": 1.5}, "cannot have 1.5 steps"),
        ({"kind": "length", "name": "", "setting": 0.0}, "cannot have 0"),
        ({"kind": "length", "name": "", "setting": float("inf")}, "cannot"),
        ({"kind": "length", "name": "", "setting": 1e9}, "at most"),
        ({"kind": "bias", "name": "f", "setting": 1.0, "run": "nobody"}, "nobody"),
        ({"kind": "bias", "name": "f", "setting": "x"}, "could not convert"),
        ({}, "kind"),
    ],
)
def test_what_goes_wrong_comes_back_as_a_sentence(widget_of_four: Any, message: dict[str, Any], words: str) -> None:
    answer, buffers = asked(widget_of_four, ask="what_if", id=1, **message)
    assert words in answer["error"] and buffers == []


def test_what_was_not_computed_beforehand_is_answered_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    run, loss = shown()
    beforehand = {one["kind"]: one for one in inspector.reports.document_of(run, loss, "report")["runs"][0]["sliders"]}
    monkeypatch.setattr("inspector.page.sliders._MOST", 0.0)
    widget = inspector.explore(run, loss)
    sliders = {one["kind"]: one for one in json.loads(widget.data)["runs"][0]["sliders"]}
    assert sliders.keys() == beforehand.keys() == {"bias", "scale", "weights", "cut", "length"}
    for kind, slider in sliders.items():
        assert "curves" not in slider
        for setting, row, kept in zip(
            slider["settings"][:4], unpack(beforehand[kind]["curves"]), beforehand[kind]["kept"], strict=False
        ):
            answer, (norms,) = asked(widget, ask="what_if", id=1, kind=kind, name=slider["name"], setting=setting)
            found = np.frombuffer(norms, "<f8")[:12]
            np.testing.assert_allclose(found, row[: len(found)], rtol=1e-3)
            assert answer["kept"] == pytest.approx(kept, rel=1e-5) and np.isnan(row[len(found) :]).all()


def test_each_run_is_asked_about_itself() -> None:
    widget = inspector.explore({"long": shown(9), "short": shown(4)})
    widget.run, asked_of = (run["key"] for run in json.loads(widget.data)["runs"])
    _, (norms,) = asked(widget, ask="what_if", id=1, run=asked_of, kind="bias", name="f", setting=1.0)
    assert len(norms) == 4 * 8


def test_it_is_given_the_page_and_its_colours() -> None:
    widget = inspector.explore(*shown())
    data = json.loads(widget.data)
    assert widget.t == 11 and widget.run == data["runs"][0]["key"]
    assert "--g0:light-dark(" in widget.theme_css and "render" in widget._esm


def test_its_place_is_one_of_the_runs_and_their_steps() -> None:
    widget = inspector.explore({"long": shown(9), "short": shown(4)})
    widget.t = -2
    assert (widget.t, widget.run) == (7, "long")
    widget.run = "short"
    assert widget.t == 3, "no step of the other run is kept"
    with pytest.raises(traitlets.TraitError, match="'short' has the timesteps 0 to 3, or -4 to -1; got 4"):
        widget.t = 4
    with pytest.raises(traitlets.TraitError, match="no run 'Long'; the runs are 'long', 'short'"):
        widget.run = "Long"
    assert (widget.t, widget.run) == (3, "short")


def test_it_begins_where_the_sweep_does() -> None:
    run, _ = shown(9)
    assert inspector.explore(run, (run.outputs[5] ** 2).sum()).t == 5


def test_a_slider_of_a_run_that_is_shown_no_longer_is_answered_for_that_run() -> None:
    widget = inspector.explore({"long": shown(9), "short": shown(4)})
    _, (norms,) = asked(widget, ask="what_if", id=1, run="short", kind="bias", name="f", setting=1.0)
    assert len(norms) == 4 * 8


def outputs(widget: Any, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """What a cell that shows it keeps, by MIME type."""
    found: list[dict[str, str]] = []
    monkeypatch.setattr("IPython.display.display", lambda data, **_: found.append(data))
    widget._ipython_display_()
    return found


def test_a_cell_keeps_the_page_below_the_widget(monkeypatch: pytest.MonkeyPatch) -> None:
    widget = inspector.explore({"<script>alert(1)</script>": shown(4)})
    live, kept = outputs(widget, monkeypatch)
    assert live["application/vnd.jupyter.widget-view+json"]["model_id"] == widget.model_id  # type: ignore[index]
    assert live["text/plain"] == repr(widget) and repr(widget).startswith("<Explorer: <script>alert(1)</script>: ")
    page = re.search(
        r'<iframe title="[^"<]*" sandbox="allow-scripts allow-downloads" srcdoc="([^"]*)"></iframe>', kept["text/html"]
    )
    assert page is not None and unescape(page[1]) == html(json.loads(widget.data))
    assert f'<div class="{widget.frame}">' in kept["text/html"] and "<script" not in kept["text/html"]
    assert kept["text/plain"].startswith("<script>alert(1)</script>: ")


def test_a_page_that_is_too_large_to_keep_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inspector.page.still._MOST", 10_000)
    _, kept = outputs(inspector.explore(*shown(3)), monkeypatch)
    assert "MB, is too large for a notebook to keep; inspector.report writes it" in kept["text/html"]
    assert "<iframe" not in kept["text/html"]

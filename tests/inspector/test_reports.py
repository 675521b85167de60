"""The page is well-formed, needs nothing beside it, and tells the same numbers as the trace."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import inspector
import tinygrad_rnn as tg
from inspector.text import number
from tests.marks import slow_unless
from tinygrad_rnn.recurrent.unroll import Run

VOID = {"meta", "img", "br"}


class Checker(HTMLParser):
    """Collects tags that do not match, table cells, and what the page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.cells: list[str] = []
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")
        for key, value in attributes:
            if key == "id":
                self.ids.append(value or "")
            if key in ("src", "href") and value and not value.startswith(("data:", "#")):
                self.loads.append(value)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.cells[-1] += data


def run_of(steps: int = 5) -> Run:
    return tg.unroll(tg.cells.LSTMCell(3, 4, seed=0), np.random.default_rng(0).normal(size=(steps, 2, 3)))


def page_of(run: Run, folder: Path) -> tuple[Path, Checker]:
    path = inspector.report(run, run.outputs[-1].sum(), folder / "report.html")
    checker = Checker()
    checker.feed(path.read_text(encoding="utf-8"))
    assert checker.open == []
    return path, checker


@pytest.mark.parametrize("steps", [1, 5, 40])
def test_the_page_is_well_formed_and_stands_alone(steps: int, tmp_path: Path) -> None:
    path, page = page_of(run_of(steps), tmp_path)
    assert page.loads == [] and "script" not in page.tags
    assert len(page.ids) == len(set(page.ids))
    assert not re.search(r"url\(|@import", path.read_text(encoding="utf-8"))
    assert '<meta charset="utf-8">' in path.read_text(encoding="utf-8")


def test_the_tables_tell_what_the_trace_measured(tmp_path: Path) -> None:
    run = run_of()
    _, page = page_of(run, tmp_path)
    trace = inspector.trace(run, run.outputs[-1].sum())
    for name in trace.names:
        assert {number(float(v)) for v in trace.norm(name)} <= set(page.cells)
    f = np.concatenate([run.names["f", t].data.reshape(-1) for t in range(5)])
    assert number(float(f.mean())) in page.cells
    assert number(float(np.linalg.norm(trace.parameter_gradient("weight_hh")))) in page.cells


def test_names_are_escaped(tmp_path: Path) -> None:
    nasty = "</td><script>alert(1)</script>&amp;"

    class Named(tg.cells.RNNCell):
        def step(self, x: object, state: tuple[object, ...]) -> tuple[object]:
            return (tg.named(**{nasty: tg.sigmoid(super().step(x, state)[0])}),)

    run = tg.unroll(Named(3, 4, seed=0), np.ones((3, 1, 3)))
    _, page = page_of(run, tmp_path)
    assert "script" not in page.tags and nasty in page.cells


@pytest.mark.slow
@pytest.mark.parametrize("kind", slow_unless(["stacked"], ["stacked", "directions", "masked"]))
def test_every_kind_of_run_has_a_page(kind: str, tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(4, 2, 3))
    lstm, gru = tg.cells.LSTMCell(3, 4, seed=0), tg.cells.GRUCell(4, 4, seed=1)
    runs = {
        "stacked": lambda: tg.unroll(tg.Stacked(lstm, gru), x),
        "directions": lambda: tg.unroll(tg.Bidirectional(lstm, tg.cells.RNNCell(3, 4, seed=2)), x),
        "masked": lambda: tg.unroll(lstm, x, lengths=[4, 2]),
    }
    page_of(runs[kind](), tmp_path)


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    run = run_of()
    with pytest.raises(ValueError, match=r"must end in \.html"):
        inspector.report(run, run.outputs[-1].sum(), tmp_path / "report.pdf")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("scheme", slow_unless(["light"], ["light", "dark"]))
def test_a_real_browser_shows_it(scheme: str, tmp_path: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("chromium is not installed")
    path, _ = page_of(run_of(), tmp_path)
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        f"--user-data-dir={tmp_path / scheme}",
        "--enable-logging=stderr",
        f"--blink-settings=preferredColorScheme={int(scheme == 'light')}",
    ]
    done = subprocess.run(
        [chromium, *flags, "--dump-dom", path.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    for heading in ("The graph", "Gradient along time", "Gates", "Weights", "Every norm"):
        assert f"<h2>{heading}</h2>" in done.stdout
    assert done.stdout.count('class="node') > 30
    assert not [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def test_what_is_not_finite_stands_in_the_introduction(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(5, 1, 2))
    x[3, 0, 1] = np.inf
    with np.errstate(all="ignore"):
        run = tg.unroll(tg.cells.LSTMCell(2, 3, seed=0), x)
        page = inspector.report(run, (run.stacked**2).sum(), tmp_path / "a.html").read_text(encoding="utf-8")
    _, _, rest = page.partition("</h1>")
    assert rest.startswith(
        '\n<p class="alarm">not finite since t = 3: infinity in the input x (1 of 2 numbers), first read by matmul for'
        " z_i</p>\n<p>Batch of 1"
    )
    reader = Checker()
    reader.feed(page)
    assert not {"nan", "inf"} & set(reader.cells) and "not finite" in reader.cells
    assert 'class="alarm"' not in inspector.report(*healthy(), tmp_path / "b.html").read_text(encoding="utf-8")


def healthy() -> tuple[Run, tg.Tensor]:
    run = tg.unroll(tg.cells.LSTMCell(2, 3, seed=0), np.ones((1, 1, 2)))
    return run, run.outputs[-1].sum()

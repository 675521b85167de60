"""The widget in real notebooks: a server, a kernel and a browser, as users have them."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest

import inspector
import tinygrad_rnn as tg

from .conftest import adding
from .notebooks import home, notebook, serving

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]

SETUP = """
import numpy as np
import inspector
import tinygrad_rnn as tg

def adding(cell, steps):
    run = tg.unroll(cell, np.random.default_rng(1).normal(size=(steps, 3, cell.input_size)))
    return run, (run.outputs[-1] ** 2).sum()

runs = {"LSTM": adding(tg.cells.LSTMCell(2, 4, seed=0), 14), "GRU": adding(tg.cells.GRUCell(2, 4, seed=0), 9)}
page = inspector.explore(runs)
"""


def heard(page: Any) -> list[str]:
    """What goes wrong on a page: errors of scripts, and what asks for another machine."""
    page.set_default_timeout(60_000)
    said: list[str] = []
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("console", lambda one: said.append(one.text) if one.type == "error" and "blob:" in one.text else None)
    local = ("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:", "file:", "about:")
    page.on("request", lambda asked: said.append(asked.url) if not asked.url.startswith(local) else None)
    return said


def turn_a_slider(page: Any) -> None:
    """Python answers with what comes of it on the very run."""
    run, loss = adding(tg.cells.LSTMCell(2, 4, seed=0), 14)
    page.locator("#whatif input").first.fill("1.3")
    says = page.locator("#whatif output").first
    page.wait_for_function("e => /→ [\\d]/.test(e.textContent)", arg=says.element_handle())
    setting, _, kept = says.text_content().partition(" → ")
    setting = float(page.locator("#whatif input").first.input_value())
    after = inspector.what_if(run, loss, bias={"f": setting}).traces[1]
    wanted = inspector.diagnose(after.run, after.loss).kept
    assert float(kept) == pytest.approx(wanted, rel=1e-2)
    assert page.locator(".decay .if:not(.pale)").count() == 1


def shared(package: str) -> Path:
    """Where Jupyter keeps what belongs to packages that are not Python."""
    pytest.importorskip("anywidget", reason="anywidget is not installed")
    module = pytest.importorskip(package, reason=f"{package} is not installed")
    return Path(module.__file__).parents[4] / "share" / "jupyter"


@pytest.fixture
def lab(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """JupyterLab, in which a notebook is open."""
    files = shared("jupyterlab")
    notebook(tmp_path / "explore.ipynb", f"{SETUP}page", "page.t = 3", "print('at', page.t, page.run)")
    options = [
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        "--IdentityProvider.token=",
        "--expose-app-in-browser",
        f"--app-dir={files / 'lab'}",
        f"--ServerApp.root_dir={tmp_path}",
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    with serving(
        tmp_path, lambda port: ["-m", "jupyterlab", f"--port={port}", *options], JUPYTER_PATH=str(files)
    ) as at:
        page = browser.new_page(viewport={"width": 1500, "height": 1000})
        said = heard(page)
        page.goto(f"{at}/lab/tree/explore.ipynb?reset")
        page.wait_for_selector(".jp-Notebook .jp-CodeCell")
        page.wait_for_function("window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel")
        yield page
        page.close()
        assert said == []


def run_cell(page: Any, k: int) -> None:
    page.evaluate(
        "k => { jupyterapp.shell.currentWidget.content.activeCellIndex = k; "
        "return jupyterapp.commands.execute('notebook:run-cell'); }",
        k,
    )


def test_in_jupyterlab(lab: Any) -> None:
    run_cell(lab, 0)
    where = lab.locator(".page.ready .where")
    where.wait_for()
    assert where.text_content().startswith("t = 13 ") and lab.locator(".verdict").text_content().startswith("LSTM: ")

    run_cell(lab, 1)
    lab.wait_for_function("e => e.textContent.startsWith('t = 3 ')", arg=where.element_handle())

    lab.locator("#play").focus()
    lab.keyboard.press("ArrowRight")
    lab.keyboard.press("d")
    lab.keyboard.press("d")
    assert where.text_content().startswith("t = 4 ")
    assert lab.locator(".jp-CodeCell").count() == 3, "d twice is a command of the notebook, too"
    lab.wait_for_timeout(400)  # until the cursor rests
    run_cell(lab, 2)
    lab.get_by_text(re.compile("^at 4 lstm")).wait_for()

    turn_a_slider(lab)
    frame = lab.locator("[class^=inspector-]")
    assert frame.count() == 1 and not frame.is_visible()
    lab.evaluate("jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})")
    lab.locator(".page[data-theme=dark]").wait_for()


@pytest.fixture
def marimo(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """An app of marimo."""
    shared("marimo")
    text = "import marimo\napp = marimo.App()\n"
    for cell, takes, gives in (
        (f"{SETUP}import marimo as mo\npage", "", "mo, page"),
        ("three = mo.ui.button(label='three', on_click=lambda _: setattr(page, 't', 3))\nthree", "mo, page", ""),
        ("say = mo.ui.button(label='say', on_click=lambda _: f'at {page.t} {page.run}')\nsay", "mo, page", "say"),
        ("mo.md(say.value or '')", "mo, say", ""),
    ):
        text += f"@app.cell\ndef _({takes}):\n{indent(cell.strip(), '    ')}\n    return ({gives and gives + ','})\n"
    app = tmp_path / "app.py"
    app.write_text(text, encoding="utf-8")
    options = ["--headless", "--no-token", "--host=127.0.0.1"]
    with serving(tmp_path, lambda port: ["-m", "marimo", "run", str(app), f"--port={port}", *options]) as address:
        page = browser.new_page(viewport={"width": 1200, "height": 1000}, color_scheme="dark")
        said = heard(page)
        page.goto(address)
        yield page
        page.close()
        assert said == []


def test_in_marimo(marimo: Any) -> None:
    where = marimo.locator(".page.ready .where")
    where.wait_for()
    assert where.text_content().startswith("t = 13 ")
    wide, narrow = (marimo.locator(part).bounding_box()["width"] for part in (".page", ".tracks"))
    assert wide < 800 and narrow > 0.9 * wide, "in a column, nothing stands beside the plots"

    marimo.get_by_text("three", exact=True).click()
    marimo.wait_for_function("e => e.textContent.startsWith('t = 3 ')", arg=where.element_handle())
    marimo.locator("#play").focus()
    marimo.keyboard.press("ArrowRight")
    marimo.wait_for_timeout(400)
    marimo.get_by_text("say", exact=True).click()
    marimo.get_by_text("at 4 lstm").wait_for()
    turn_a_slider(marimo)


def test_an_export_shows_everything_without_a_network(browser: Any, tmp_path: Path) -> None:
    """The notebook of the examples, run and converted as users do it."""
    files = shared("nbconvert")
    done = subprocess.run(
        [
            sys.executable,
            *("-m", "nbconvert", "--to", "html", "--execute", "--output-dir", str(tmp_path)),
            str(ROOT / "examples" / "first_look.ipynb"),
        ],
        env=home(tmp_path) | {"JUPYTER_PATH": str(files)},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0 and "Alternative text" not in done.stderr, done.stderr
    context = browser.new_context(viewport={"width": 1200, "height": 1000}, offline=True)
    page = context.new_page()
    said: list[str] = []
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("console", lambda one: said.append(one.text) if "ERR_INTERNET_DISCONNECTED" not in one.text else None)
    page.goto((tmp_path / "first_look.html").as_uri(), wait_until="commit")
    pictures = page.locator(".jp-OutputArea-output img")
    page.wait_for_load_state()
    assert pictures.count() >= 4
    for k in range(pictures.count()):
        assert pictures.nth(k).evaluate(
            "e => e.naturalWidth > 100 && e.scrollWidth <= e.closest('.jp-Cell').clientWidth"
        )
    page.locator("iframe").scroll_into_view_if_needed()
    inside = page.frame_locator("iframe")
    where = inside.locator(".page.ready .where")
    where.wait_for()
    assert where.is_visible() and inside.locator(".verdict").text_content() == "LSTM: the gradient vanishes."
    before = where.text_content()
    inside.locator("#back").click()
    assert where.text_content() != before
    inside.locator("#whatif input").first.press("ArrowRight")
    page.wait_for_timeout(600)  # until it rests, and would write its address
    context.close()
    assert said == []

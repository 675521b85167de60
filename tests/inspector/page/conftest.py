"""A headless browser, and pages that it opens."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import inspector
import tinygrad_rnn as tg

WEB = Path(inspector.__file__).parent / "page" / "web"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
]

Open = Callable[..., Any]


def adding(cell: tg.Cell, steps: int) -> tuple[tg.Run, tg.Tensor]:
    """A run whose loss is at its last step."""
    run = tg.unroll(cell, np.random.default_rng(1).normal(size=(steps, 3, cell.input_size)))
    return run, (run.outputs[-1] ** 2).sum()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, as it is installed on the machine; not for longer, since Playwright keeps an event loop running."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="pages are opened with Playwright: pip install playwright"
    )
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="session")
def runs() -> dict[str, tuple[tg.Run, tg.Tensor]]:
    return {"LSTM": adding(tg.cells.LSTMCell(2, 4, seed=0), 14), "GRU": adding(tg.cells.GRUCell(2, 4, seed=0), 14)}


@pytest.fixture(scope="session")
def page_of_two(runs: dict[str, tuple[tg.Run, tg.Tensor]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of an LSTM beside a GRU, with sliders and marks."""
    path = tmp_path_factory.mktemp("pages") / "two.html"
    return inspector.report(runs, path=path, marks={"seen": [2, 5], "asked": 12})


@pytest.fixture
def visit(browser: Any) -> Iterator[Open]:
    """Opens a page; at the end nothing may have been said on the console, and nothing asked for but the files."""
    said: list[str] = []
    contexts = []

    def opened(path: Path, address: str = "", width: int = 1300, height: int = 900, **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: said.append(request.url) if not request.url.startswith("file:") else None)
        page.goto(path.as_uri() + address)
        if options.get("java_script_enabled", True):
            page.wait_for_selector("#page.ready")
            frames(page)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert said == []


def frames(page: Any, count: int = 2) -> None:
    """Waits until what was asked for is drawn."""
    page.evaluate("n => new Promise(done => { const f = () => n-- ? requestAnimationFrame(f) : done(); f(); })", count)


def until(page: Any, expression: str) -> None:
    """Waits for something to be so; Playwright's own way needs an eval, which the page forbids."""
    end = time.monotonic() + 20
    while not page.evaluate(expression):
        assert time.monotonic() < end, expression
        page.wait_for_timeout(20)


def step(page: Any) -> int:
    return int(page.evaluate("inspectorPage.t"))


@pytest.fixture(scope="session")
def node_modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the lock file names, installed: TypeScript, esbuild and axe-core."""
    if shutil.which("npm") is None:
        pytest.skip("Node is not installed")
    there = WEB / "node_modules"
    if there.exists():
        return there
    folder = tmp_path_factory.mktemp("node")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(WEB / name, folder)
    done = subprocess.run(
        ["npm", "ci", "--no-audit", "--no-fund"], cwd=folder, capture_output=True, text=True, timeout=300
    )
    if done.returncode:
        pytest.skip(f"npm ci could not fetch what the lock file names: {done.stderr[-300:]}")
    return folder / "node_modules"

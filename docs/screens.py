"""Photographs the page of examples/trained_pair.py in a headless browser for docs/page.md; docs/pictures.py runs it.

Needs Playwright and Chromium. Letters are those of the machine: Liberation Sans, where it is installed, is as wide as
the Helvetica and Arial of others.
"""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from PIL import Image

from tinygrad_rnn import files

COLOURS = 256
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
HALFWAY = "for (const one of document.getAnimations()) { one.pause(); one.currentTime = 560; }"
"""Holds the sparks of a sweep where they can be seen."""


class Scene(NamedTuple):
    """What is photographed: an address in the page, the size of the window, what is done there, and how it is shown."""

    address: str
    width: int
    height: int
    act: Callable[[Any], object] = lambda page: None
    options: dict[str, Any] = {}  # noqa: RUF012


def sweep(page: Any) -> None:
    """One step of the reverse sweep, held on its way."""
    page.click("#back")
    page.wait_for_timeout(100)
    page.evaluate(HALFWAY)


def explain(page: Any) -> None:
    """The sentence of a lecture that tells of the forget gate."""
    while not page.text_content(".words").startswith("Times f"):
        page.click("#next")


SCENES = {
    "vanishes": Scene("#run=rnn", 1200, 900),
    "trained": Scene("#run=lstm-trained&t=34", 1200, 900),
    "marks": Scene("#run=lstm-trained&t=34", 1200, 1600),
    "dark": Scene("#run=gru-trained&t=34", 1200, 900, options={"color_scheme": "dark"}),
    "operations": Scene("#run=lstm-trained&t=34&level=operation", 1200, 900),
    "sweep": Scene("#run=lstm-trained&t=48", 1200, 900, sweep),
    "lecture": Scene("#run=lstm-trained&lecture", 1280, 720, explain),
    "phone": Scene("#run=lstm-trained&t=34", 390, 844, options={"has_touch": True, "is_mobile": True}),
}
"""By the name of the picture."""


def photograph(folder: Path, name: str, browser: Any, path: Path) -> None:
    """Take one picture."""
    scene = SCENES[name]
    size = {"width": scene.width, "height": scene.height}
    context = browser.new_context(viewport=size, device_scale_factor=1.5, **scene.options)
    page = context.new_page()
    page.goto(path.as_uri() + scene.address)
    page.wait_for_selector("#page.ready")
    page.wait_for_timeout(400)
    scene.act(page)
    page.wait_for_timeout(400)
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB").quantize(COLOURS)
    written = io.BytesIO()
    shot.save(written, "png", optimize=True)
    files.write(folder / f"{name}.png", written.getvalue())
    context.close()


def photograph_all(folder: Path) -> None:
    """Take all of them; without a browser none."""
    import trained_pair as example  # whose folder pictures.py puts on the path

    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        chromium = None
    if chromium is None:
        print("the pictures of the page need Playwright and Chromium; left as they are", file=sys.stderr)
        return
    with TemporaryDirectory() as place, sync_playwright() as driver:
        path, _ = example.page(Path(place) / "page.html")
        browser = driver.chromium.launch(executable_path=chromium, args=FLAGS)
        for name in SCENES:
            photograph(folder, name, browser, path)
        browser.close()

"""How the page looks, and whether everybody can use it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import inspector
import tinygrad_rnn as tg
from tests.marks import slow_unless

from .conftest import Open, frames

ROOT = Path(__file__).resolve().parents[3]
PICTURES = ROOT / "tests" / "snapshots" / "page"
LARGEST = 0.005
"""Share of pixels that may differ: another Chromium sets letters a little differently."""

SCENES: dict[str, tuple[str, dict[str, Any]]] = {
    "light": ("#run=lstm&t=9", {}),
    "dark": ("#run=gru&t=3", {"color_scheme": "dark"}),
    "phone": ("#run=lstm&t=9", {"width": 390, "height": 844, "has_touch": True, "is_mobile": True}),
    "lecture": ("#run=lstm&t=9&lecture", {"width": 1280, "height": 720}),
    "operations": ("#run=gru&t=9&level=operation", {}),
}


@pytest.mark.slow
@pytest.mark.parametrize("scene", SCENES)
def test_it_looks_as_it_was_looked_at(
    scene: str, visit: Open, page_of_two: Path, request: pytest.FixtureRequest
) -> None:
    address, options = SCENES[scene]
    page = visit(page_of_two, address, **{"height": 1000, "reduced_motion": "reduce", **options})
    frames(page, 6)
    shot = page.screenshot()
    stored = PICTURES / f"{scene}.png"
    if request.config.getoption("--overwrite"):
        stored.parent.mkdir(exist_ok=True)
        Image.open(io.BytesIO(shot)).quantize(128).save(stored, optimize=True)
        return
    if page.evaluate("document.fonts.check('12px Liberation Sans') && !document.fonts.check('12px No Such Font')"):
        pytest.skip("the pictures are set in DejaVu")
    was, now = (np.asarray(Image.open(file).convert("RGB"), int) for file in (stored, io.BytesIO(shot)))
    differs = (np.abs(was - now).max(axis=2) > 60).mean() if was.shape == now.shape else 1.0
    if differs > LARGEST:
        folder = ROOT / "differences"
        folder.mkdir(exist_ok=True)
        (folder / f"page-{scene}-now.png").write_bytes(shot)
        (folder / f"page-{scene}-was.png").write_bytes(stored.read_bytes())
    assert differs <= LARGEST, f"{differs:.1%} of {scene} differ; both are in differences/"


def overlaps(page: Any) -> list[Any]:
    """Texts of the page, outside the drawing, that lie on one another."""
    found: list[Any] = page.evaluate("""() => {
        const walker = document.createTreeWalker(document.querySelector('#page'), NodeFilter.SHOW_TEXT), boxes = [];
        for (let node; (node = walker.nextNode());) {
            const parent = node.parentElement;
            if (!node.data.trim() || parent.closest('.cell, .sr, title, option, [hidden], .cursor, .bar')) continue;
            if (!parent.checkVisibility({ checkVisibilityCSS: true })) continue;
            const range = document.createRange();
            range.selectNodeContents(node);
            const words = node.data.trim().slice(0, 30);
            for (const box of range.getClientRects()) if (box.width > 1) boxes.push([words, box]);
        }
        const bad = [];
        for (let i = 0; i < boxes.length; i++) for (let k = i + 1; k < boxes.length; k++) {
            const [a, b] = [boxes[i][1], boxes[k][1]];
            const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
            const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
            if (wide > 2 && high > 5 && boxes[i][0] !== boxes[k][0]) bad.push([boxes[i][0], boxes[k][0]]);
        }
        return bad;
    }""")
    return found


@pytest.mark.parametrize("width", slow_unless([1300], [1300, 800, 390]))
def test_no_two_texts_lie_on_one_another(width: int, visit: Open, page_of_two: Path) -> None:
    page = visit(page_of_two, "#run=lstm&t=9", width=width)
    for key in ("]", "l", "End", "Home"):
        page.keyboard.press(key)
        frames(page)
        assert overlaps(page) == [], key


@pytest.mark.slow
def test_names_of_many_runs_stand_apart(visit: Open, tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(12, 2, 2))
    runs = {}
    for k in range(9):
        run = tg.unroll(tg.cells.RNNCell(2, 3, seed=k), x)
        runs[f"a run whose name is long, the {k}th"] = (run, (run.outputs[-1] ** 2).sum())
    path = inspector.report(runs, path=tmp_path / "many.html", remedies=False)
    assert overlaps(visit(path)) == []
    page = visit(path, width=390)
    page.keyboard.press("[")  # the last of them, beyond the edge of a phone
    frames(page)
    box = page.locator(".runs [aria-pressed=true]").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 390


@pytest.mark.slow
@pytest.mark.parametrize("scene", ["light", "dark", "phone", "lecture"])
def test_axe_finds_nothing(scene: str, visit: Open, page_of_two: Path, node_modules: Path) -> None:
    address, options = SCENES[scene]
    page = visit(page_of_two, address, **options)
    page.evaluate((node_modules / "axe-core" / "axe.min.js").read_text())
    for key in ("", "]", "l"):
        if key:
            page.keyboard.press(key)
        if key != "" and scene != "lecture":
            page.locator(".now .shape[data-kind] .body").first.click(force=True)
        page.wait_for_timeout(400)
        found = page.evaluate("axe.run(document).then(found => found.violations)")
        assert [(one["impact"], one["id"], one["nodes"][0]["html"][:120]) for one in found] == [], key

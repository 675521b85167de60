"""The page's half in the browser: one script, built from its sources alone, with no colour of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from inspector.page.html import web_file
from inspector.page.theme_css import theme_css

from .conftest import WEB

SOURCES = sorted([*(WEB / "src").rglob("*.ts"), WEB / "style.css", WEB / "body.html"])


@pytest.mark.slow
def test_the_script_is_built_from_its_sources_to_the_same_bytes(node_modules: Path, tmp_path: Path) -> None:
    web = tmp_path / "web"
    shutil.copytree(WEB, web, ignore=shutil.ignore_patterns("node_modules", "dist"))
    (web / "node_modules").symlink_to(node_modules)
    subprocess.run(["node", "node_modules/typescript/bin/tsc"], cwd=web, check=True, timeout=300)
    prettier = "node_modules/prettier/bin/prettier.cjs"
    subprocess.run(["node", prettier, "--check", "src"], cwd=web, check=True, timeout=300)
    subprocess.run(["node", "build.mjs", "dist", "--metafile"], cwd=web, check=True, timeout=300)
    for name in ("page.js", "widget.js"):
        assert (web / "dist" / name).read_bytes() == (WEB / "dist" / name).read_bytes(), f"{name}: run node build.mjs"
    inputs = json.loads((web / "dist" / "inputs.json").read_text())
    assert {"src/page.ts", "src/widget.ts", "style.css"} <= set(inputs)
    assert [name for name in inputs if not re.fullmatch(r"src/[\w/]+\.ts|style\.css|body\.html", name)] == []


def test_the_script_is_small_and_says_whose_it_is() -> None:
    for name, most in (("page.js", 80_000), ("widget.js", 106_000)):
        text = (WEB / "dist" / name).read_text(encoding="utf-8")
        assert text.startswith("/*! tinygrad-rnn, MIT */")
        assert len(text.encode()) < most


@pytest.mark.parametrize("file", SOURCES, ids=lambda path: path.name)
def test_nothing_is_drawn_in_a_colour_that_the_theme_does_not_have(file: Path) -> None:
    theme = {colour.upper() for colour in re.findall(r"#[0-9A-Fa-f]{6}\b", theme_css())}
    text = file.read_text(encoding="utf-8")
    own = {colour.upper() for colour in re.findall(r"#(?:[0-9A-Fa-f]{6}|[0-9A-Fa-f]{3})\b(?!-)", text)}
    assert own <= theme
    assert not re.search(r"\b(?:rgba?|hsla?|oklch|color-mix)\([\d.]", text)


@pytest.mark.parametrize("file", SOURCES, ids=lambda path: path.name)
def test_nothing_in_it_needs_what_the_policy_forbids(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    for forbidden in (
        "innerHTML =",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "http://fonts",
        "@import",
        "url(data",
    ):
        assert forbidden not in text
    assert not re.search(r"<[^>]*\s(?:style|on\w+)=", text) or file.suffix == ".ts"
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)


def test_every_variable_of_the_style_is_set_somewhere() -> None:
    text = web_file("style.css") + theme_css()
    scripts = "".join(path.read_text(encoding="utf-8") for path in SOURCES)
    used = set(re.findall(r"var\((--[\w-]+)\)", text))
    assert {name for name in used if f"{name}:" not in text and f'"{name}"' not in scripts} == set()


def test_files_are_short_enough_to_read() -> None:
    for file in SOURCES:
        assert len(file.read_text(encoding="utf-8").splitlines()) <= 350, file.name


def test_continuous_integration_has_node() -> None:
    assert "CI" not in os.environ or shutil.which("node")

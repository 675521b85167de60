"""The pages written from the code are as the code would write them now."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

import tinygrad_rnn as tg

DOCS = Path(__file__).resolve().parents[1] / "docs"


@pytest.fixture(scope="module")
def make() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_docs", DOCS / "make.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_cell_is_on_the_page_with_its_drawing(make: ModuleType) -> None:
    listed = [name for family in make.FAMILIES.values() for name in family]
    assert sorted(listed) == sorted(tg.cells.names())
    for name in listed:
        root = ElementTree.parse(DOCS / "pictures" / "cells" / f"{name}.svg").getroot()
        assert root.tag.endswith("svg") and tg.cells.get(name).__name__ in "".join(root.itertext())


def test_the_pages_are_up_to_date(make: ModuleType) -> None:
    for page, write in (("cells.md", make.cells_page), ("tasks.md", make.tasks_page), ("claims.md", make.claims_page)):
        assert (DOCS / page).read_text(encoding="utf-8") == write(), f"docs/{page} is old: make docs"


def test_drawings_in_the_docs_are_those_of_today(make: ModuleType, tmp_path: Path) -> None:
    """Shapes and labels; how an engine rounds its coordinates may change."""
    made = {f"cells/{name}": make.cell_picture(name, tmp_path / f"{name}.svg") for name in ("lstm1997", "clockwork")}
    made["lstm-backward"] = make.backward_picture(tmp_path / "lstm-backward.svg")
    for name, path in made.items():
        now = ElementTree.parse(path).getroot()
        then = ElementTree.parse(DOCS / "pictures" / f"{name}.svg").getroot()
        for root in (now, then):
            assert [e.get("id") for e in root.iter() if e.get("id")], name
        ids = [[e.get("id") for e in root.iter() if e.get("id")] for root in (now, then)]
        assert ids[0] == ids[1], f"docs/pictures/{name}.svg is old: make docs"

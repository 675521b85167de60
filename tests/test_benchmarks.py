"""The benchmark's texts: README and docs say of speed what was measured, and nothing else. Nothing is timed here."""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def bench() -> Iterator[ModuleType]:
    """The command; its modules have names that others may have, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FOLDER)
        yield importlib.import_module("run")
    for path in FOLDER.glob("*.py"):
        sys.modules.pop(path.stem, None)


@pytest.fixture(scope="module")
def report(bench: ModuleType) -> ModuleType:
    return bench.report


def test_readme_and_docs_say_what_was_measured(report: ModuleType) -> None:
    results = report.stored()
    for page in report.PAGES:
        text = page.read_text(encoding="utf-8")
        assert text == report.renewed(text, results), f"{page.name} is old: python benchmarks/run.py --text"
    assert (report.RESULTS.parent / "results.md").read_text(encoding="utf-8") == report.as_page(results)


def test_every_writer_has_a_place_and_every_place_a_writer(bench: ModuleType, report: ModuleType) -> None:
    pages = [page.read_text(encoding="utf-8") for page in report.PAGES]
    places = [name for text in pages for _, name, _ in report.MEASURED.findall(text)]
    assert {*places} == {*report.BLOCKS}
    assert len(places) == sum(text.count("<!-- measured:") for text in pages)
    assert all(part in bench.PARTS or part == "machine" for parts, _ in report.BLOCKS.values() for part in parts)


def test_no_time_is_told_elsewhere(report: ModuleType) -> None:
    """A number of milliseconds that nobody measures again grows old."""
    for page in report.PAGES:
        rest = report.MEASURED.sub("", page.read_text(encoding="utf-8"))
        assert re.findall(r"\d ?(?:ms|µs|s of processor time)\b", rest) == [], page.name


def test_other_results_write_another_page(report: ModuleType) -> None:
    results = {"machine": {"date": "2026-01-01"}, "compile": {"cold": 12.345, "from cache": 0.678}}
    page = "before\n\n<!-- measured: eager -->\n\nold\n\n<!-- /measured -->\n\nafter"
    assert report.renewed(page, results) == page, "what was not measured stays"
    times = {peer: [4.0, 3.0, 5.0, 2.0] for peer in ("ours compiled", "ours eager", "PyTorch eager", report.TRACED)}
    shapes = (report.SMALL, report.MIDDLE, report.LARGE, report.LONG)
    results["alone"] = [{"cell": "LSTM", "shape": list(shape), "times": times} for shape in shapes]
    told = report.renewed(page, results)
    words = " ".join(told.split())
    assert "takes 1.00, 1.00 and 1.00 times" in words and "compiles in 12.3 s" in words and "0.68 s" in words
    assert told.startswith("before\n\n") and told.endswith("\n\nafter") and "old" not in told


def test_an_unknown_place_is_an_error(report: ModuleType) -> None:
    with pytest.raises(KeyError):
        report.renewed("<!-- measured: nothing -->\n\nold\n\n<!-- /measured -->", {})


def test_the_results_name_no_path_of_the_machine(report: ModuleType) -> None:
    results = report.stored()
    assert {"processor", "cores", "system", "threads"} <= {*results["machine"]}
    assert not re.search(r'"[^"]*/(home|work|root|tmp|usr)/', json.dumps(results))

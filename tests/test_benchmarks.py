"""The benchmark's texts: README and docs say of speed what was measured, and nothing else. Nothing is timed here."""

from __future__ import annotations

import importlib
import itertools
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

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


def made_up(bench: ModuleType) -> dict[str, Any]:
    """Results of a whole run, every time a number of its own."""
    plan, drawing, numbers = (importlib.import_module("plan"), importlib.import_module("drawing"), itertools.count(3))

    def time() -> list[float]:
        whole = next(numbers)
        return [whole + tenths for tenths in (0.3, 0.2, 0.4, 0.1)]

    races = [
        {
            "cell": race.cell,
            "shape": list(race.shape),
            "times": {peer: time() for peer in race.peers},
            "ratios": {peer: time() for peer in race.peers if peer not in ("ours compiled", plan.TRACED)},
        }
        for race in plan.races(False)
    ]
    ratio = {"ours": 1.0, "other": 2.0, "ratio": [0.5, 0.4, 0.6]}
    watched = {"step": 1.25, "watched": 0.02, "looked at": 0.03, "replay": 0.01, "MB": 4.0, "agreement": 1e-7}
    return {
        "machine": bench.machine(),
        "pulses": [1.0, 1.25],
        "startup": [{"what": "python", "seconds": 0.125, "at most": None}],
        "compile": {"cold": 12.345, "from cache": 0.678},
        "alone": races,
        "in turn": races,
        "memory": [{"shape": [1, 2, 3, 4], "mode": "full", "seconds": 0.5, "peak MB": 77.0}] * 2,
        "ensemble": {"members": 1000, "seconds": 0.25, "eager seconds": 33.0},
        "analysis": {
            "long": [{"steps": steps, "seconds": {"trace": 0.5, "weights": 1.5}} for steps in (1000, 2000)],
            "reach": dict.fromkeys(("rnn", "gru", "lstm"), ratio),
            "jacobians": [{"dtype": "float64", "compiled": compiled, **ratio} for compiled in (False, True)],
        },
        "drawing": [
            {"what": what, "level": level, "steps": steps, "first": 1.5, "again": 0.5, "SVG MB": 2.0, "peak MB": 3.0}
            for what, level, steps in drawing.CASES
        ],
        "watching": [{"case": [100, 1, 8, 16, 1, 1], **watched}],
        "sweeps": {},
    }


def test_a_whole_run_is_written_everywhere(bench: ModuleType, report: ModuleType) -> None:
    results = json.loads(json.dumps(made_up(bench)))
    assert {*results} == {"machine", "pulses", *bench.PARTS}
    for name in report.BLOCKS:
        page = f"before\n\n<!-- measured: {name} -->\n\nold\n\n<!-- /measured -->\n\nafter"
        told = report.renewed(page, results)
        assert "\nold\n" not in told and told.startswith("before\n\n<!-- measured") and told.endswith("-->\n\nafter")
        assert not re.search(r"None|nan|[{}\[]\d", told)
        assert report.renewed(told, results) == told
        assert all(len(line) <= 120 or line.startswith("|") for line in told.splitlines())
    page = report.as_page(results)
    assert "| LSTM | 3.10 (3.30) |" in page and "up to 1.25 times" in page and "compiles in 12.3 s" not in page
    assert all(f"## {part}" in page for part in ("Startup", "Compile", "Memory", "Analysis", "Drawing", "Watching"))


def test_what_was_not_measured_stays(bench: ModuleType, report: ModuleType) -> None:
    results = made_up(bench)
    del results["compile"]
    page = "<!-- measured: eager -->\n\nold\n\n<!-- /measured -->"
    assert report.renewed(page, results) == page


def test_an_unknown_place_is_an_error(report: ModuleType) -> None:
    with pytest.raises(KeyError):
        report.renewed("<!-- measured: nothing -->\n\nold\n\n<!-- /measured -->", {})


def test_the_results_name_no_path_of_the_machine(report: ModuleType) -> None:
    results = report.stored()
    assert {"processor", "cores", "system", "threads"} <= {*results["machine"]}
    assert not re.search(r'"[^"]*/(home|work|root|tmp|usr)/', json.dumps(results))

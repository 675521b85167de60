"""`make bench`: everything that is measured, one part after the other, each in a process of its own.

Writes ``results.json``, ``results.md`` and the plot to ``benchmarks/results/``, and what README and docs say of them;
``--quick`` and ``--only`` try a part out, and leave all of that alone; given ``--out`` too, ``--only`` puts a part
beside the others that are there. ``--text`` writes the texts and the plot again out of ``results.json``.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import report
from machine import THREADS, machine, pulse

PARTS = {
    "startup": "startup:beginnings",
    "compile": "loops:compilation",
    "alone": "loops:alone",
    "in turn": "loops:in_turn",
    "memory": "loops:memory",
    "ensemble": "loops:ensemble",
    "analysis": "analysis:analyses",
    "drawing": "drawing:drawings",
    "watching": "watching:watched",
    "sweeps": "loops:sweeps",
}
"""What is measured, and the function that does."""


def measured(parts: list[str], quick: bool) -> tuple[dict[str, Any], list[str]]:
    """What the parts found, and the names of those that failed; the others go on."""
    results: dict[str, Any] = {}
    failed, pulses = [], [pulse()]
    for part in parts:
        begin = time.perf_counter()
        command = [sys.executable, __file__, "--part", part, *["--quick"] * quick]
        process = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        pulses.append(pulse())
        if process.returncode:
            failed.append(part)
        else:
            results[part] = json.loads(process.stdout.splitlines()[-1])
        print(f"{part}: {time.perf_counter() - begin:.0f} s{' FAILED' * bool(process.returncode)}", file=sys.stderr)
    return {**results, "pulses": pulses}, failed


def write(results: dict[str, Any], folder: Path) -> None:
    """The results as data, as a page and as a picture."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (folder / "results.md").write_text(report.as_page(results), encoding="utf-8")
    if "sweeps" in results:
        import plots

        plots.draw(results, folder)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="where the results go; pictures/bench if only a part is tried")
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="few and small cases, measured once")
    parser.add_argument("--text", action="store_true", help="measure nothing")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        module, _, function = PARTS[given.part].partition(":")
        print(json.dumps(getattr(importlib.import_module(module), function)(given.quick)))
        return 0
    os.environ.update(OMP_NUM_THREADS=str(THREADS), OPENBLAS_NUM_THREADS=str(THREADS))  # before NumPy is imported
    begin, failed = time.perf_counter(), []
    tried = report.ROOT / "pictures" / "bench" if given.only or given.quick else report.RESULTS.parent
    folder = given.out or tried
    if given.text:
        results = report.stored()
    else:
        results, failed = measured(given.only or list(PARTS), given.quick)
        results = {"machine": machine(), **(_beside(folder) if given.only else {}), **results}
    write(results, folder)
    print(report.as_page(results))
    if folder.resolve() == report.RESULTS.parent and (given.text or {*PARTS} <= {*results}):
        report.renew()
    print(f"{(time.perf_counter() - begin) / 60:.1f} minutes", file=sys.stderr)
    if failed:
        print(f"failed: {', '.join(failed)}; README and docs are as they were", file=sys.stderr)
    return len(failed)


def _beside(folder: Path) -> dict[str, Any]:
    """What was measured before on this day, on this machine, with these versions."""
    stored = folder / "results.json"
    results = json.loads(stored.read_text(encoding="utf-8")) if stored.exists() else {}
    return results if results.get("machine") == machine() else {}


if __name__ == "__main__":
    sys.exit(main())

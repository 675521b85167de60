"""How long a drawing takes and how much memory: an LSTM over ever more timesteps, none of them folded away.

`make bench` includes it; alone, it measures and prints its table, and renews it in ``benchmarks/results/``.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import plots

import inspector
import tinygrad_rnn as tg

CASES = [(steps, level) for level in ("operation", "gate", "cell") for steps in (10, 100, 1000)] + [(10_000, "cell")]
_MAXRSS = 1 if sys.platform == "darwin" else 1024
"""Bytes in the unit of ``ru_maxrss``."""


def measured() -> list[dict[str, Any]]:
    """A row for each length and level of detail, each measured in a process of its own."""
    rows = []
    for steps, level in CASES:
        command = [sys.executable, __file__, "--case", str(steps), level]
        rows.append(json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout))
    return rows


def measure(steps: int, level: str) -> dict[str, Any]:
    """Median seconds of rendering to SVG, by the clock and of processors, its size, and what it adds to the peak
    memory.
    """
    cell = tg.cells.LSTMCell(8, 16, seed=0)
    x = np.random.default_rng(0).normal(size=(steps, 1, 8))
    inspector.render(tg.unroll(cell, x[:3]), level=level)
    run = tg.unroll(cell, x)
    before = _peak()
    times: list[float] = []
    processor: list[float] = []
    while not times or (sum(times) < 3.0 and len(times) < 9):
        begin, start = _processor_seconds(), time.perf_counter()
        svg = inspector.render(run, level=level, steps=slice(None))
        times.append(time.perf_counter() - start)
        processor.append(_processor_seconds() - begin)
        if len(times) == 1:
            peak = _peak() - before
    return {
        "steps": steps,
        "level": level,
        "seconds": float(np.median(times)),
        "processor seconds": float(np.median(processor)),
        "SVG MB": len(str(svg).encode()) / 1e6,
        "peak MB": peak / 1e6,
    }


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS


def _processor_seconds() -> float:
    """Of this process and of the Graphviz that it has run."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--case", nargs=2, metavar=("T", "LEVEL"), help="measure this one alone, and print it as JSON")
    options = parser.parse_args()
    if options.case:
        print(json.dumps(measure(int(options.case[0]), options.case[1])))
        return
    rows = measured()
    print("\n".join(plots.drawing_table(rows)))
    stored = options.out / "results.json"
    if stored.exists():
        results = {**json.loads(stored.read_text()), "drawing": rows}
        stored.write_text(json.dumps(results, indent=1) + "\n")
        (options.out / "results.md").write_text(plots.as_text(results))


if __name__ == "__main__":
    main()

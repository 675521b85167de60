"""`make bench`: forward and backward over whole sequences, ours against everybody else's, in one process; and drawing.

Writes ``results.json``, ``results.md`` and the plots to ``benchmarks/results/``.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "2")

import argparse
import json
import platform
import time
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import autograd  # noqa: F401 - its version is reported
import cells
import drawing
import jax
import numba
import numpy as np
import peers
import plots
import torch
from timing import compare, milliseconds
from tqdm import tqdm

import tinygrad_rnn as tg

SHAPES = [(100, 1, 8, 16), (100, 16, 32, 64), (100, 32, 128, 256)]
"""(T, batch, inputs, hidden)"""

SWEEPS = {
    "T": [(n, 16, 32, 64) for n in (10, 30, 100, 300, 1000)],
    "hidden": [(100, 16, 32, n) for n in (8, 16, 32, 64, 128, 256, 512)],
    "batch": [(100, n, 32, 64) for n in (1, 4, 16, 64, 256)],
}
ALL = list(peers.PEERS)


def tables(budget: float) -> dict[str, Any]:
    """Every cell at three shapes."""
    found: dict[str, Any] = {}
    plan = [(name, shape) for shape in SHAPES for name in (*cells.STANDARD, *cells.CUSTOM)]
    for name, shape in tqdm(plan, desc="cells"):
        who = ALL if name in cells.STANDARD else ["ours compiled", "ours eager", "PyTorch eager", "JAX scan"]
        found[f"{name} {shape}"] = {"cell": name, "shape": shape, **compare(name, shape, who, budget)}
    return found


def sweeps(budget: float) -> dict[str, Any]:
    """An LSTM while one size grows."""
    found: dict[str, Any] = {}
    for axis, shapes in SWEEPS.items():
        for shape in tqdm(shapes, desc=f"LSTM by {axis}"):
            found.setdefault(axis, []).append({"shape": shape, **compare("LSTM", shape, ALL, budget)})
    return found


def memory() -> list[dict[str, Any]]:
    """Time and peak memory of a long LSTM, with and without checkpoints; the inputs themselves not counted."""
    rows = []
    for shape in ((10_000, 16, 32, 64), (100_000, 1, 8, 16)):
        x = np.random.default_rng(0).normal(size=shape[:3]).astype(np.float32)
        for mode, make in (("full", peers.ours_compiled), ("checkpoint='sqrt'", peers.ours_checkpointed)):
            run = make("LSTM", x, shape[3])
            run()
            times = [milliseconds(run) / 1e3 for _ in range(5)]
            tracemalloc.start()
            run()
            peak = tracemalloc.get_traced_memory()[1] - x.nbytes
            tracemalloc.stop()
            rows.append({"shape": shape, "mode": mode, "seconds": float(np.median(times)), "peak MB": peak / 1e6})
    return rows


def ensemble(count: int = 1000) -> dict[str, Any]:
    """The decay of many initialisations, one by one and in one call."""
    import inspector

    members = [cells.cell("LSTM", 8, 16) for _ in range(count)]
    for seed, member in enumerate(members):
        rng = np.random.default_rng(seed)
        member.load_state_dict({k: rng.uniform(-0.25, 0.25, v.shape) for k, v in member.state_dict().items()})
    x = np.random.default_rng(0).normal(size=(100, 1, 8)).astype(np.float32)

    def trace(cell: Any) -> Any:
        run = tg.unroll(cell, x)
        return inspector.trace(run, run.outputs[-1].sum())

    together = tg.compile(members)
    trace(together)
    start = time.perf_counter()
    norms = trace(together).member_norms("c")
    seconds = time.perf_counter() - start
    begin = time.perf_counter()
    alone = [trace(member).norm("c") for member in members[:20]]
    each = (time.perf_counter() - begin) / 20
    np.testing.assert_allclose(norms[:, :20], np.transpose(alone), rtol=1e-3, atol=1e-12)
    return {"members": count, "seconds": seconds, "eager seconds": each * count}


def compile_times() -> dict[str, float]:
    """Seconds from a fresh cell to the first gradient, with an empty cache and from it, Numba imported already."""
    import subprocess
    import sys
    import tempfile

    script = (
        "import time, numba, numpy as np, tinygrad_rnn as tg\n"
        "cell = tg.cells.LSTMCell(8, 16, dtype=np.float32, seed=0)\n"
        "start = time.perf_counter()\n"
        "run = tg.unroll(tg.compile(cell), np.ones((10, 2, 8), np.float32))\n"
        "tg.grad(run.outputs[-1].sum(), cell.parameters())\n"
        "print(time.perf_counter() - start)\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "TINYGRAD_RNN_CACHE": folder}
        found = [
            float(
                subprocess.run(
                    [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
                ).stdout
            )
            for _ in range(2)
        ]
    return {"cold": found[0], "from cache": found[1]}


def machine() -> dict[str, str]:
    """Where the numbers come from."""
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "system": platform.platform(),
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        "Numba": numba.__version__,
        "PyTorch": torch.__version__,
        "JAX": jax.__version__,
        "threads": os.environ["OMP_NUM_THREADS"],
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--budget", type=float, default=2.0, help="seconds for each cell and shape")
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    warnings.simplefilter("error", tg.CompileWarning)
    results = {
        "machine": machine(),
        "compile": compile_times(),
        "cells": tables(options.budget),
        "memory": memory(),
        "ensemble": ensemble(),
        "drawing": drawing.measured(),
        "sweeps": sweeps(options.budget / 2),
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (options.out / "results.md").write_text(plots.as_text(results))
    plots.draw(results, options.out)
    print((options.out / "results.md").read_text())


if __name__ == "__main__":
    main()

"""Forward and backward over whole sequences, ours against everybody else's; and what only ours do."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import cells
import numpy as np
import peers
import plan
import timing
from tqdm import tqdm

_COMPILE = """
import time, numba, numpy as np, tinygrad_rnn as tg
cell = tg.cells.LSTMCell(8, 16, dtype=np.float32, seed=0)
start = time.perf_counter()
run = tg.unroll(tg.compile(cell), np.ones((10, 2, 8), np.float32))
tg.grad(run.outputs[-1].sum(), cell.parameters())
print(time.perf_counter() - start)
"""


def in_turn(quick: bool) -> list[dict[str, Any]]:
    """Every cell at every size, everybody in turn."""
    return _raced(timing.in_turn, plan.races(quick), 0.0 if quick else 1.5)


def alone(quick: bool) -> list[dict[str, Any]]:
    """The same but for some of the cells that only some run, everybody in a process of its own."""
    races = [race for race in plan.races(quick) if race.cell not in cells.CUSTOM[:-1]]
    return _raced(timing.alone, races, 0.0 if quick else 0.7)


def _raced(measure: Callable[[plan.Race, float], Any], races: list[plan.Race], budget: float) -> list[dict[str, Any]]:
    told = tqdm(races, desc=measure.__name__)
    return [{"cell": race.cell, "shape": race.shape, **measure(race, budget)} for race in told]


def sweeps(quick: bool) -> dict[str, Any]:
    """An LSTM while one size grows, everybody in turn."""
    found: dict[str, Any] = {}
    for axis, shapes in plan.sweeps(quick).items():
        for shape in tqdm(shapes, desc=f"LSTM by {axis}"):
            times = timing.in_turn(plan.Race("LSTM", shape, plan.PEERS), 0.0 if quick else 0.5, 3)["times"]
            found.setdefault(axis, []).append({"shape": shape, "times": times})
    return found


def memory(quick: bool) -> list[dict[str, Any]]:
    """Time and peak memory of a long LSTM, with and without checkpoints; the inputs themselves not counted."""
    rows = []
    for shape in [plan.LONG] if quick else [(10_000, 16, 32, 64), (100_000, 1, 8, 16)]:
        x = np.random.default_rng(0).normal(size=shape[:3]).astype(np.float32)
        for mode, make in (("full", peers.ours_compiled), ("checkpoint='sqrt'", peers.ours_checkpointed)):
            run = make("LSTM", x, shape[3])
            run()
            times = [timing.milliseconds(run) / 1e3 for _ in range(5)]
            tracemalloc.start()
            run()
            peak = tracemalloc.get_traced_memory()[1] - x.nbytes
            tracemalloc.stop()
            rows.append({"shape": shape, "mode": mode, "seconds": float(np.median(times)), "peak MB": peak / 1e6})
    return rows


def ensemble(quick: bool) -> dict[str, Any]:
    """The decay of many initialisations, one by one and in one call."""
    import inspector
    import tinygrad_rnn as tg

    count, eagerly = (20, 2) if quick else (1000, 20)
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
    alone = [trace(member).norm("c") for member in members[:eagerly]]
    each = (time.perf_counter() - begin) / eagerly
    np.testing.assert_allclose(norms[:, :eagerly], np.transpose(alone), rtol=1e-3, atol=1e-12)
    return {"members": count, "seconds": seconds, "eager seconds": each * count}


def compilation(quick: bool) -> dict[str, float]:
    """Seconds from a fresh LSTM to its first gradient with Numba imported, with an empty cache and from it: the
    least of three.
    """
    found = []
    for _ in range(1 if quick else 3):
        with tempfile.TemporaryDirectory() as folder:
            found.append([_first_gradient(folder), _first_gradient(folder)])
    cold, cached = np.min(found, axis=0)
    return {"cold": float(cold), "from cache": float(cached)}


def _first_gradient(cache: str) -> float:
    environment = {**os.environ, "TINYGRAD_RNN_CACHE": cache}
    command = [sys.executable, "-c", _COMPILE]
    return float(subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout)

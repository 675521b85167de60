"""Times that can be compared, in two ways.

In turn: everybody in one process, so that whatever else the machine does falls on all. Alone: each in a process of its
own, where nobody else's threads, caches and garbage are; how one uses it, and what a disturbed machine disturbs.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import peers
from plan import PEERS, Race

_SETTLE, _ENOUGH = 0.06, 0.03
"""Seconds to let other threads fall asleep, and seconds worth timing."""
_STEADY = 1.3
"""Of the least time, the median of a process that was not disturbed; one above is measured once more."""


class Time(NamedTuple):
    """Milliseconds: the median, the quartiles, and the least."""

    median: float
    low: float
    high: float
    least: float


def in_turn(race: Race, budget: float, least: int = 5) -> dict[str, Any]:
    """Time everybody in turn, for about `budget` seconds and at least so many rounds.

    Returns
    -------
    dict
        ``times``: by peer; ``ratios``: of ours compiled to each peer, the median of neighbouring runs and quartiles.
    """
    runs = {peer: peers.start(peer, race.cell, race.shape) for peer in race.peers if peer in PEERS}
    expected = runs["ours compiled"]()
    for peer, run in runs.items():
        for ours, theirs in zip(expected, run(), strict=True):
            np.testing.assert_allclose(theirs, ours, rtol=5e-3, atol=5e-4 * float(np.abs(ours).max()), err_msg=peer)
        run()
    clocked: dict[str, list[float]] = {peer: [] for peer in runs}
    start, rounds = time.perf_counter(), 0
    while rounds < least or time.perf_counter() - start < budget:
        gc.collect()
        for peer, run in runs.items():
            clocked[peer].append(milliseconds(run))
        rounds += 1
    return {"times": {peer: _spread(times) for peer, times in clocked.items()}, "ratios": _ratios(clocked)}


def alone(race: Race, budget: float) -> dict[str, Any]:
    """Time everybody in a process of its own, one process after the other, for about `budget` seconds each.

    All must find the same norms of gradients. A process whose median is far from its least time is started once more,
    and the quicker of the two counts.

    Returns
    -------
    dict
        ``times``: by peer, over single runs.
    """
    times: dict[str, list[float]] = {}
    expected = None
    for peer in race.peers:
        found = _process(peer, race, budget)
        if found["time"][0] > _STEADY * found["time"][3]:
            found = min(found, _process(peer, race, budget), key=lambda one: one["time"][0])
        expected = found["norms"] if expected is None else expected
        np.testing.assert_allclose(found["norms"], expected, rtol=5e-3, err_msg=f"{peer}, {race.cell} {race.shape}")
        times[peer] = found["time"]
    return {"times": times}


def _process(peer: str, race: Race, budget: float) -> dict[str, Any]:
    command = [sys.executable, __file__, peer, race.cell, *map(str, race.shape), str(budget)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def measure(peer: str, cell: str, shape: tuple[int, int, int, int], budget: float) -> dict[str, Any]:
    """One peer, in this process: the norm of every gradient, and the time of single runs for `budget` seconds."""
    run = peers.start(peer, cell, shape)
    norms = [float(np.linalg.norm(gradient)) for gradient in run()]
    run()
    gc.collect()
    times: list[float] = []
    start = time.perf_counter()
    while len(times) < 5 or time.perf_counter() - start < budget:
        begin = time.perf_counter()
        run()
        times.append((time.perf_counter() - begin) * 1e3)
    return {"norms": norms, "time": _spread(times)}


def milliseconds(run: peers.Once) -> float:
    """The time of one run, of several if one is short, when its own threads are awake and nobody else's are.

    Every library has threads of its own, which go on spinning for some time when the work is done; on as many
    cores as threads, whoever comes next would pay for that.
    """
    time.sleep(_SETTLE)
    begin = time.perf_counter()
    run()
    repeats = max(1, round(_ENOUGH / (time.perf_counter() - begin)))
    begin = time.perf_counter()
    for _ in range(repeats):
        run()
    return (time.perf_counter() - begin) * 1e3 / repeats


def _ratios(clocked: Mapping[str, list[float]]) -> dict[str, Time]:
    ours = np.array(clocked["ours compiled"])
    return {peer: _spread(ours / np.array(times)) for peer, times in clocked.items() if peer != "ours compiled"}


def _spread(numbers: Any) -> Time:
    low, middle, high = np.quantile(numbers, [0.25, 0.5, 0.75])
    return Time(float(middle), float(low), float(high), float(np.min(numbers)))


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure one implementation alone, and print the result as JSON.")
    parser.add_argument("peer", choices=peers.PEERS)
    parser.add_argument("cell")
    parser.add_argument("shape", nargs=4, type=int, metavar="N")
    parser.add_argument("budget", type=float)
    given = parser.parse_args()
    print(json.dumps(measure(given.peer, given.cell, tuple(given.shape), given.budget)))


if __name__ == "__main__":
    main()

"""Times that can be compared: everybody in turn, in one process, so that whatever else the machine does falls on
all.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import peers

_SETTLE, _ENOUGH = 0.06, 0.03
"""Seconds to let other threads fall asleep, and seconds worth timing."""


class Time(NamedTuple):
    """Milliseconds: the median and the quartiles."""

    median: float
    low: float
    high: float


def compare(name: str, shape: tuple[int, int, int, int], who: list[str], budget: float) -> dict[str, Any]:
    """Time a cell at (T, batch, inputs, hidden) for everybody in `who`, in turn, for about `budget` seconds.

    Returns
    -------
    dict
        ``times``: by peer; ``ratios``: of ours compiled to each peer, the median of neighbouring runs and quartiles.
    """
    steps, batch, inputs, hidden = shape
    x = np.random.default_rng(1).normal(size=(steps, batch, inputs)).astype(np.float32)
    runs = {peer: peers.PEERS[peer](name, x, hidden) for peer in who if peers.can_run(peer, name)}
    expected = runs["ours compiled"]()
    for peer, run in runs.items():
        for ours, theirs in zip(expected, run(), strict=True):
            np.testing.assert_allclose(theirs, ours, rtol=5e-3, atol=5e-4 * float(np.abs(ours).max()), err_msg=peer)
        run()
    clocked: dict[str, list[float]] = {peer: [] for peer in runs}
    start, rounds = time.perf_counter(), 0
    while rounds < 5 or time.perf_counter() - start < budget:
        gc.collect()
        for peer, run in runs.items():
            clocked[peer].append(milliseconds(run))
        rounds += 1
    return {"times": {peer: _spread(times) for peer, times in clocked.items()}, "ratios": _ratios(clocked)}


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
    return Time(float(middle), float(low), float(high))

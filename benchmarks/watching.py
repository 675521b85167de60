"""What it costs to watch a PyTorch model: its training step alone, watched, looked at; and the replay.

Run it with ``python benchmarks/watching.py``, or ``--case 1000 32 256 512 2 2`` for steps, batch, inputs, units,
layers and directions. Steps are timed in turn, in processor time, of which the least is given; memory in a process of
its own.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

import inspector

CASES = [(100, 1, 8, 16, 1, 1), (100, 16, 32, 64, 1, 1), (100, 32, 128, 256, 1, 1), (200, 32, 256, 512, 1, 1)]
REPEATS = 40


def step_of(case: Sequence[int]) -> tuple[Any, Callable[[], None]]:
    """A recurrent module, and a training step of it."""
    steps, batch, inputs, units, layers, directions = case
    torch.manual_seed(0)
    module = torch.nn.LSTM(inputs, units, layers, bidirectional=directions == 2)
    x = torch.randn(steps, batch, inputs)
    optimiser = torch.optim.SGD(module.parameters(), lr=1e-3)

    def step() -> None:
        optimiser.zero_grad()
        module(x)[0].pow(2).mean().backward()
        optimiser.step()

    return module, step


def seconds(run: Callable[[], Any]) -> float:
    """Processor time of a call."""
    start = time.process_time()
    run()
    return time.process_time() - start


def measure(case: Sequence[int]) -> str:
    """A row of the table."""
    (_, alone_step), (counted, every_step), (module, step) = (step_of(case) for _ in range(3))
    inspector.watch(counted, every=10**9)
    watching = inspector.watch(module)
    found: dict[Callable[[], None], list[float]] = {alone_step: [], every_step: [], step: []}
    for repeat in range(REPEATS if np.prod(case[:4]) < 1e8 else 4):
        for one, times in found.items():
            took = seconds(one)
            times += [took] if repeat else []  # of the first, all are looked at
    alone, every, looked = (min(times) for times in found.values())
    seen = watching[""]
    replay = seconds(lambda: (seen.trace(), seen.agreement))
    return (
        f"{'x'.join(map(str, case)):>22}  {1e3 * alone:10.2f} ms  {every / alone - 1:+8.1%}  {looked / alone - 1:+9.1%}"
        f"  {replay:8.2f} s ({replay / alone:5.1f} steps)  {seen.agreement:.1e}"
    )


def memory(case: Sequence[int]) -> float:
    """Gigabytes more than the training alone took at its peak."""
    module, step = step_of(case)
    step()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with inspector.watch(module) as watching:
        step()
    _ = watching[""].trace(), watching[""].agreement
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", nargs=6, type=int, metavar="N")
    parser.add_argument("--memory", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory:
        print(f"{memory(options.case):.2f}")
        return
    print(f"{'LSTM':>22}  {'training step':>13}  {'watched':>8}  {'looked at':>9}  {'replay':>24}  agreement  memory")
    for case in [options.case] if options.case else CASES:
        own = [sys.executable, __file__, "--memory", "--case", *map(str, case)]
        more = subprocess.run(own, check=True, capture_output=True, text=True).stdout.strip()
        print(f"{measure(case)}  {more:>6} GB", flush=True)


if __name__ == "__main__":
    main()

"""What it costs to watch a PyTorch model: its training step alone, watched, looked at; and the replay.

Steps are timed in turn, in processor time, of which the least is given; memory in a process of its own. A case is
steps, batch, inputs, units, layers and directions; ``python benchmarks/watching.py 1000 32 256 512 2 2`` measures any.
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
REPEATS = 30


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


def watched(quick: bool) -> list[dict[str, Any]]:
    """A row for each case."""
    return [row(case) for case in (CASES[:1] if quick else CASES)]


def row(case: Sequence[int]) -> dict[str, Any]:
    """Milliseconds of a training step alone, what of it is added where it is watched but not looked at, and where it
    is; seconds of the replay, and megabytes that both add to the peak.
    """
    (_, alone_step), (counted, every_step), (module, step) = (step_of(case) for _ in range(3))
    inspector.watch(counted, every=10**9)
    watching = inspector.watch(module)
    found: dict[Callable[[], None], list[float]] = {alone_step: [], every_step: [], step: []}
    for repeat in range(REPEATS if np.prod(case[:4]) < 1e8 else 4):
        for one, times in found.items():
            took = seconds(one)
            times += [took] if repeat else []  # of the first, all are looked at
    alone, every, looked = (min(times) for times in found.values())
    replays = [_replay(step, watching) for _ in range(2)]
    command = [sys.executable, __file__, "--memory", *map(str, case)]
    added = float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    return {
        "case": tuple(case),
        "step": 1e3 * alone,
        "watched": every / alone - 1,
        "looked at": looked / alone - 1,
        "first replay": replays[0],
        "replay": replays[1],
        "agreement": watching[""].agreement,
        "MB": added,
    }


def _replay(step: Callable[[], None], watching: Any) -> float:
    step()
    seen = watching[""]
    return seconds(lambda: (seen.trace(), seen.agreement))


def memory(case: Sequence[int]) -> float:
    """Megabytes more than the training alone took at its peak."""
    module, step = step_of(case)
    step()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with inspector.watch(module) as watching:
        step()
    _ = watching[""].trace(), watching[""].agreement
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", nargs=6, type=int, metavar="N")
    parser.add_argument("--memory", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    print(memory(options.case) if options.memory else row(options.case))


if __name__ == "__main__":
    main()

"""What it costs to begin, in processor time, always in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np

START = [sys.executable, "-m", "inspector"]
BEGINNINGS = {
    "python": [sys.executable, "-c", ""],
    "import numpy": [sys.executable, "-c", "import numpy"],
    "import tinygrad_rnn": [sys.executable, "-c", "import tinygrad_rnn"],
    "tinygrad_rnn, a first cell": [sys.executable, "-c", "import tinygrad_rnn as tg; tg.cells.LSTMCell(2, 3)"],
    "import inspector": [sys.executable, "-c", "import inspector"],
    "inspector --help": [*START, "--help"],
    "inspector cells": [*START, "cells"],
    "inspector check --cell lstm": [*START, "check", "--cell", "lstm"],
}
GOALS = {"import tinygrad_rnn": 0.25, "import inspector": 0.4, "inspector --help": 0.3}
"""Seconds that are the aim."""


def beginnings(quick: bool) -> list[dict[str, Any]]:
    """Median seconds of each beginning."""
    times: dict[str, list[float]] = {name: [] for name in BEGINNINGS}
    for _ in range(1 if quick else 5):
        for name, command in BEGINNINGS.items():
            times[name].append(processor_seconds(command))
    return [
        {"what": name, "seconds": float(np.median(seconds)), "at most": GOALS.get(name)}
        for name, seconds in times.items()
    ]


def processor_seconds(command: list[str]) -> float:
    """Of one process, user's and system's."""
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    return used.ru_utime + used.ru_stime

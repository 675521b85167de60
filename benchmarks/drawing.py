"""How long a drawing takes and how much memory, each in a process of its own."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from typing import Any

import numpy as np

import inspector
import tinygrad_rnn as tg

QUICK = [("LSTM", "operation", 10), ("LSTM, folded", "cell", 100), ("LSTM and peephole", "operation", 3)]
CASES = [
    *[("LSTM", level, steps) for level in ("operation", "gate", "cell") for steps in (10, 100, 1000)],
    ("LSTM", "cell", 10_000),
    *[("LSTM, folded", "operation", steps) for steps in (100, 1000, 10_000)],
    *[(name, "operation", 3) for name in ("fgr", "DeltaProduct", "LSTM and peephole", "LSTM and fgr")],
]
"""What, at which level, over how many timesteps."""
_MAXRSS = 1 if sys.platform == "darwin" else 1024
"""Bytes in the unit of ``ru_maxrss``."""


class DeltaProduct(tg.Cell):
    """Siems et al. 2025: two reflections of a matrix a step."""

    state_names = ("h", "S")

    def __init__(self, input_size: int, hidden_size: int, **options: Any) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.w_a, self.w_q = self.parameter("w_a", (input_size, 1)), self.parameter("w_q", (input_size, hidden_size))
        for j in range(2):
            for name, width in (("k", hidden_size), ("v", hidden_size), ("b", 1)):
                setattr(self, f"w_{name}{j}", self.parameter(f"w_{name}{j}", (input_size, width)))

    def initial_state(self, batch: int) -> Any:
        n = self.hidden_size
        return self.State(np.zeros((batch, n)), np.zeros((batch, n, n)))

    def step(self, x: Any, state: Any) -> Any:
        memory = tg.named(a=tg.sigmoid(x @ self.w_a))[:, :, None] * state.S
        for j in range(2):
            k, v = x @ getattr(self, f"w_k{j}"), x @ getattr(self, f"w_v{j}")
            k = tg.named(**{f"k{j}": k / tg.sqrt((k * k).sum(axis=1, keepdims=True) + 1e-6)})
            b = tg.named(**{f"b{j}": 2.0 * tg.sigmoid(x @ getattr(self, f"w_b{j}"))})
            error = b * (v - (memory @ k[:, :, None])[:, :, 0])
            memory = memory + error[:, :, None] * k[:, None, :]
        return (memory @ (x @ self.w_q)[:, :, None])[:, :, 0], memory


def drawings(quick: bool) -> list[dict[str, Any]]:
    """A row for each case."""
    rows = []
    for what, level, steps in QUICK if quick else CASES:
        command = [sys.executable, __file__, what, level, str(steps)]
        rows.append(json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout))
    return rows


def measure(what: str, level: str, steps: int) -> dict[str, Any]:
    """Processor seconds of the first drawing and of the next ones, the size of the SVG, and what it adds to the peak
    memory. Another cell is drawn before, so that what is imported is imported.
    """
    x = np.random.default_rng(0).normal(size=(steps, 1, 8))
    inspector.render(tg.unroll(tg.cells.RNNCell(8, 16, seed=0), x[:3]), level=level)
    if " and " in what:
        pair = [_cell(name) for name in what.split(" and ")]
        draw = lambda: inspector.compare_graphs(*pair, level=level).drawing.svg  # noqa: E731
    else:
        name, _, folded = what.partition(", ")
        run = tg.unroll(_cell(name), x)
        draw = lambda: inspector.render(run, level=level, **({} if folded else {"steps": slice(None)}))  # noqa: E731
    before = _peak()
    times: list[float] = []
    while len(times) < 2 or (sum(times) < 2.0 and len(times) < 7):
        begin = _processor_seconds()
        svg = draw()
        times.append(_processor_seconds() - begin)
        if len(times) == 1:
            peak = _peak() - before
    return {
        **{"what": what, "level": level, "steps": steps, "first": times[0], "again": float(np.median(times[1:]))},
        **{"SVG MB": len(str(svg).encode()) / 1e6, "peak MB": peak / 1e6},
    }


def _cell(name: str) -> tg.Cell:
    return DeltaProduct(8, 16, seed=0) if name == "DeltaProduct" else tg.cells.get(name.lower())(8, 16, seed=0)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS


def _processor_seconds() -> float:
    """Of this process and of the Graphviz that it has run."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], sys.argv[2], int(sys.argv[3]))))

"""Eager LSTM, forward and backward with every h_t and c_t gradient kept, against PyTorch eager.

Both sides run the same primitive operations in float32 on two threads, last-step loss. The two are timed
alternately in one process, so that whatever else the machine does falls on both; the ratio is the median
of the ratios of neighbouring runs.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "2")

import gc
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import tinygrad_rnn as tg

SHAPES = [((100, 1, 8, 16), 0.7), ((100, 16, 32, 64), 1.2), ((100, 32, 128, 256), 1.6)]


def ours(cell: tg.cells.LSTMCell, inputs: np.ndarray) -> Callable[[], Any]:
    """One forward and one sweep that keeps the gradient of every state and every parameter."""

    def run() -> Any:
        result = tg.unroll(cell, inputs)
        loss = result.outputs[-1].sum()
        wanted = [value for state in result.states for value in state]
        return tg.grad(loss, [*wanted, *cell.parameters()])

    return run


def torch_eager(weights: dict[str, np.ndarray], inputs: np.ndarray) -> Callable[[], Any]:
    """The same operations in PyTorch, with ``retain_grad`` on every state."""
    p = {name: torch.tensor(value, requires_grad=True) for name, value in weights.items()}
    xs = torch.tensor(inputs)
    hidden = weights["weight_hh"].shape[1]

    def run() -> Any:
        for value in p.values():
            value.grad = None
        h = torch.zeros(inputs.shape[1], hidden)
        c = torch.zeros(inputs.shape[1], hidden)
        kept = []
        for x in xs:
            z = (x @ p["weight_ih"].T + p["bias_ih"]) + (h @ p["weight_hh"].T + p["bias_hh"])
            zi, zf, zg, zo = z.chunk(4, dim=1)
            i, f, g, o = torch.sigmoid(zi), torch.sigmoid(zf), torch.tanh(zg), torch.sigmoid(zo)
            c = f * c + i * g
            h = o * torch.tanh(c)
            h.retain_grad()
            c.retain_grad()
            kept += [h, c]
        h.sum().backward()
        return [value.grad for value in [*kept, *p.values()]]

    return run


def clock(run: Callable[[], Any]) -> float:
    """Seconds one call takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def compare(shape: tuple[int, int, int, int], budget: float = 12.0) -> tuple[float, float, list[float]]:
    """Median milliseconds of both sides, and the ratio of every interleaved pair."""
    steps, batch, features, hidden = shape
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(steps, batch, features)).astype(np.float32)
    cell = tg.cells.LSTMCell(features, hidden, dtype=np.float32, seed=0)
    a, b = ours(cell, inputs), torch_eager(cell.state_dict(), inputs)
    for mine, theirs in zip(a(), b(), strict=True):
        np.testing.assert_allclose(mine.data, theirs.numpy(), rtol=2e-3, atol=2e-5)
    clock(a), clock(b)
    times: list[tuple[float, float]] = []
    start = time.perf_counter()
    while len(times) < 9 or time.perf_counter() - start < budget:
        gc.collect()
        times.append((clock(a), clock(b)))
    mine, theirs = np.median(times, axis=0) * 1e3
    return float(mine), float(theirs), sorted(x / y for x, y in times)


def main() -> None:
    torch.set_num_threads(2)
    print("LSTM forward + backward, float32, 2 threads, every h_t and c_t gradient kept")
    print(f"NumPy {np.__version__}, PyTorch {torch.__version__}\n")
    print(f"{'(T, batch, input, hidden)':28}{'ours ms':>10}{'torch ms':>10}{'ratio':>8}{'quartiles':>14}{'goal':>7}")
    for shape, goal in SHAPES:
        mine, theirs, ratios = compare(shape)
        low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
        print(
            f"{shape!s:28}{mine:10.1f}{theirs:10.1f}{middle:8.2f}{low:8.2f}-{high:.2f}{goal:8.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()

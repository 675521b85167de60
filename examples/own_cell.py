"""A cell of your own in ten lines: check its gradient, draw it, and compare it with the LSTM.

Run it with ``python examples/own_cell.py --out pictures``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import inspector
import tinygrad_rnn as tg


class MinimalGatedUnit(tg.Cell):
    """One gate that both forgets and writes (Zhou et al. 2016).

    ::

        f_t = sigmoid(W_f x_t + b_f + U_f h_{t-1})                 forget gate
        n_t = tanh   (W_n x_t + b_n + U_n (f_t * h_{t-1}))         candidate
        h_t = (1 - f_t) * h_{t-1} + f_t * n_t                      hidden state
    """

    def __init__(self, input_size: int, hidden_size: int, **options: Any) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.w = self.parameter("w", (2 * hidden_size, input_size))
        self.b = self.parameter("b", (2 * hidden_size,))
        self.u_f = self.parameter("u_f", (hidden_size, hidden_size))
        self.u_n = self.parameter("u_n", (hidden_size, hidden_size))

    def step(self, x: Any, state: Any) -> Any:
        h = state.h
        xf, xn = tg.split(x @ self.w.T + self.b, 2, axis=1)
        f = tg.named(f=tg.sigmoid(xf + h @ self.u_f.T))
        n = tg.named(n=tg.tanh(xn + (f * h) @ self.u_n.T))
        return ((1 - f) * h + f * n,)


def check() -> int:
    """Compare every derivative of three steps with numerical ones; how many there were."""
    run = tg.unroll(MinimalGatedUnit(2, 3, seed=0), np.random.default_rng(0).normal(size=(3, 1, 2)))
    leaves = [*run.inputs, run.initial_state.h, *run.cell.parameters()]
    graph = tg.Graph(run.outputs[-1])
    tg.gradcheck(lambda *values: graph.run(dict(zip(leaves, values, strict=True))), leaves)
    return sum(leaf.size for leaf in leaves)


def traced(cell: tg.Cell, steps: int) -> tuple[tg.Run, inspector.GradientTrace]:
    """A run over noise, and the trace of a loss that looks at the last step only."""
    rng = np.random.default_rng(0)
    run = tg.unroll(cell, rng.normal(size=(steps, 1, cell.input_size)))
    target = rng.normal(size=run.outputs[-1].shape)
    return run, inspector.trace(run, tg.losses.mse_loss(run.outputs[-1], target))


def draw(out: Path) -> Iterator[tuple[Path, str]]:
    """The pictures, each with a sentence on what it shows."""
    run, trace = traced(MinimalGatedUnit(4, 8, seed=0), steps=3)
    path = out / "own-cell.svg"
    inspector.render(run, path, level="operation", trace=trace)
    yield path, "every operation of a cell of your own over three steps, laid out from its graph alone"

    cells = {"minimal gated unit": MinimalGatedUnit(8, 32, seed=0), "LSTM": tg.cells.LSTMCell(8, 32, seed=0)}
    path = out / "own-cell-decay.png"
    inspector.plot_decay({name: traced(cell, steps=100)[1] for name, cell in cells.items()}, path=path, names=["h"])
    yield path, "how far the gradient of the last of 100 steps reaches back in that cell and in an LSTM"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("pictures"), help="folder for the pictures")
    out = parser.parse_args(arguments).out
    out.mkdir(parents=True, exist_ok=True)
    print(f"gradcheck: all {check()} derivatives of MinimalGatedUnit agree with numerical ones")
    for path, sentence in draw(out):
        print(f"{path}: {sentence}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

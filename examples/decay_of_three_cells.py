"""How far back does the gradient of the last step reach? RNN, LSTM and GRU over 200 steps, untrained.

The same noise goes into every cell, the loss looks at the last step only, and the gradient is measured
at every step before it. Each cell is filled in three ways: as PyTorch does, as Keras does, and with gate
biases drawn for the length of the task (Tallec & Ollivier 2018). How a cell is filled decides more than
which cell it is.

Run it with ``python examples/decay_of_three_cells.py --out pictures``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import inspector
import tinygrad_rnn as tg
from inspector import plots

Measured = dict[str, dict[str, list[inspector.GradientTrace]]]
"""Traces by filling and cell, one a seed."""

STEPS, INPUTS, HIDDEN, SEEDS = 200, 8, 32, 5
CELLS = {"RNN": tg.cells.RNNCell, "LSTM": tg.cells.LSTMCell, "GRU": tg.cells.GRUCell}
FILLINGS: dict[str, Any] = {
    "PyTorch's default": "pytorch",
    "Keras's default": "keras",
    f"gate biases for {STEPS} steps": tg.init.preset("chrono", t_max=STEPS),
}


def traces(cell: str, filling: str) -> list[inspector.GradientTrace]:
    """The gradient of a last-step loss through a freshly filled cell that reads noise, for several seeds."""
    found = []
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        fresh = CELLS[cell](INPUTS, HIDDEN, seed=seed, init=FILLINGS[filling])
        run = tg.unroll(fresh, rng.normal(size=(STEPS, 1, INPUTS)))
        found.append(inspector.trace(run, tg.losses.mse_loss(run.outputs[-1], rng.normal(size=(1, HIDDEN)))))
    return found


def measure() -> Measured:
    """Every cell filled in every way."""
    pairs = [(filling, cell) for filling in FILLINGS for cell in CELLS]
    found: Measured = {filling: {} for filling in FILLINGS}
    for filling, cell in tqdm(pairs, unit="cell", delay=2, leave=False, disable=None):
        found[filling][cell] = traces(cell, filling)
    return found


def table(measured: Measured) -> str:
    """Factor a step back and half-life for every filling and cell, the median over the seeds."""
    lines = [f"{'filled with':26}{'cell':6}{'factor a step':>14}{'half-life':>16}"]
    for filling, cells in measured.items():
        for cell, found in cells.items():
            rates = [inspector.decay_rate(trace.norm("h")) for trace in found]
            factor, half_life = np.median(rates, axis=0)
            lines.append(f"{filling:26}{cell:6}{factor:14.3f}{half_life:10.1f} steps")
    return "\n".join(lines)


def picture(measured: Measured, path: Path) -> tuple[Path, str]:
    """One panel a filling: the first seed's curve of each cell, and a band over all seeds."""
    figure = plots.Canvas(17, 5)
    panels = figure.subplots(1, len(measured), sharey=True)
    for panel, (filling, cells) in zip(panels, measured.items(), strict=True):
        inspector.plot_decay({cell: found[0] for cell, found in cells.items()}, ax=panel, names=["h"])
        for line, found in zip(panel.get_lines(), cells.values(), strict=True):
            norms = np.array([trace.norm("h") for trace in found])
            panel.fill_between(range(STEPS), norms.min(axis=0), norms.max(axis=0), color=line.get_color(), alpha=0.15)
        panel.set_title(filling, loc="left")
        panel.label_outer()
    plots.save(figure, path)
    return path, (
        f"the gradient of the last of {STEPS} steps, back to the first, in an RNN, an LSTM and a GRU; "
        f"bands span {SEEDS} seeds"
    )


def draw(out: Path) -> Iterator[tuple[Path, str]]:
    """The picture, with a sentence on what it shows."""
    yield picture(measure(), out / "decay-of-three-cells.png")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("pictures"), help="folder for the pictures")
    out = parser.parse_args(arguments).out
    out.mkdir(parents=True, exist_ok=True)
    measured = measure()
    print(table(measured))
    path, sentence = picture(measured, out / "decay-of-three-cells.png")
    print(f"{path}: {sentence}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

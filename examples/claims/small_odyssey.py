"""E16: a small odyssey. Which part of an LSTM can one leave out?

"Every paper uses a slightly different LSTM", texts say, and Greff et al. (2017) searched that space: the vanilla LSTM
with peepholes (V), and eight nets that each change one thing in it. Here these nine and four smaller relatives add two
marked numbers among many, which asks for a memory and for arithmetic. Nearly all of them learn it. The order between
them is the order of this one small task, at one learning rate, with one way of filling the weights, and not a verdict:
the dots of one cell, which differ by their seed only, spread as widely as most cells do. Without a forget gate (NFG)
the task is even easier, since nothing in it has to be forgotten; a search over speech and music would not say so. What
is exact is the number of weights.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from claim import Line, exact, main, trend
from matplotlib.figure import Figure

import tinygrad_rnn as tg
from inspector import plots

BLOCKS = {  # blocks of weights (W, R, b), peepholes or second biases, and further square matrices
    "peephole": (4, 3, 0), "nig": (3, 2, 0), "nfg": (3, 2, 0), "nog": (3, 2, 0), "niaf": (4, 3, 0), "noaf": (4, 3, 0),
    "cifg": (3, 2, 0), "np": (4, 0, 0), "fgr": (4, 3, 9), "gru": (3, 3, 0), "mgu": (2, 0, 0), "janet": (2, 0, 0),
    "mingru": (2, 0, -2),
}  # fmt: skip
SAID = {
    "peephole": "V: vanilla, with peepholes",
    "nig": "NIG: no input gate",
    "nfg": "NFG: no forget gate",
    "nog": "NOG: no output gate",
    "niaf": "NIAF: no input squashing",
    "noaf": "NOAF: no output squashing",
    "cifg": "CIFG: forgets what it overwrites",
    "np": "NP: no peepholes",
    "fgr": "FGR: gates see gates",
    "gru": "GRU",
    "mgu": "MGU",
    "janet": "JANET",
    "mingru": "minGRU",
}
INPUTS, UNITS, LENGTH, STEPS = 2, 16, 50, 1500
QUICK_LENGTH, QUICK_STEPS = 20, 350


def weights(name: str, inputs: int, units: int) -> int:
    """By formula: each block has a weight for every input, every unit and a bias."""
    blocks, extra, squares = BLOCKS[name]
    return blocks * units * (inputs + units + 1) + extra * units + squares * units**2


def error(name: str, length: int, steps: int, seed: int) -> float:
    """Mean squared error on new sequences after training."""
    task = tg.tasks.ModernAdding(length)
    cell = tg.cells.get(name)(INPUTS, UNITS, seed=seed, dtype=np.float32, init="keras")
    model = tg.models.SequenceModel(tg.compile(cell), 1, seed=seed)
    optimizer = tg.optim.Adam(model.parameters(), lr=0.01)
    tg.fit(model, task, steps=steps, batch=32, optimizer=optimizer, clip=1.0, seed=seed, progress=False)
    return float(tg.training.evaluate(model, task, 1000, seed=seed)[0])


def measure(quick: bool, rng: np.random.Generator) -> tuple[list[Line], Any]:
    seeds = [int(seed) for seed in rng.integers(2**31, size=3 if quick else 5)]
    length, steps = (QUICK_LENGTH, QUICK_STEPS) if quick else (LENGTH, STEPS)
    lines = []
    for name in BLOCKS:
        cell = tg.cells.get(name)(10, 20, seed=0)
        count = sum(parameter.data.size for parameter in cell.parameters())
        lines.append(exact(f"weights of {name}, 10 inputs and 20 units", count, weights(name, 10, 20)))
    batch = tg.tasks.ModernAdding(2).batch(200_000, rng)
    lines.append(exact("error of always saying 1", np.mean((batch.targets[-1] - 1) ** 2), 1 / 6, 2e-3))
    first = batch.inputs[0, :, :1]  # marked, as both are when there are two
    lines.append(exact("error of knowing one number", np.mean((batch.targets[-1] - first - 0.5) ** 2), 1 / 12, 1e-3))
    found = {name: np.array([error(name, length, steps, seed) for seed in seeds]) for name in BLOCKS}
    order = sorted(BLOCKS, key=lambda name: np.median(found[name]))
    for place, name in enumerate(order):
        errors, middle = found[name], float(np.median(found[name]))
        span = f"median, {errors.min():.3g} to {errors.max():.3g} over {len(seeds)} seeds, place {place + 1}"
        lines.append(
            trend(f"{name}: error after {steps} steps, {length} pairs", middle, "below 0.01", middle < 0.01, span)
        )
    apart = abs(order.index("cifg") - order.index("peephole"))
    lines.append(trend("places between CIFG and V", apart, "at most 3", apart <= 3))
    logs = {name: np.log10(errors) for name, errors in found.items()}
    within = float(np.median([values.max() - values.min() for values in logs.values()]))
    between = float(np.std([np.median(values) for values in logs.values()]))
    span = f"the medians of the cells have a standard deviation of {between:.3g}"
    lines.append(
        trend(
            "decades between the best and the worst seed of a cell, median",
            within,
            "more than between cells",
            within > between,
            span,
        )
    )
    return lines, (length, steps, order, found)


def draw(found: Any, path: Path) -> None:
    length, steps, order, errors = found
    figure = Figure(figsize=(10.5, 6), layout="constrained")
    panel = figure.add_subplot()
    for y, name in enumerate(reversed(order)):
        colour = "#D55E00" if name in ("gru", "mgu", "janet", "mingru") else "#0072B2"
        panel.plot(
            errors[name], np.full(len(errors[name]), y), "o", color=colour, markersize=7, alpha=0.55, markeredgewidth=0
        )
        panel.plot([np.median(errors[name])] * 2, [y - 0.33, y + 0.33], color=colour, linewidth=3)
        panel.text(
            1.02,
            y,
            f"{weights(name, INPUTS, UNITS):,}",
            transform=panel.get_yaxis_transform(),
            va="center",
            fontsize=11,
        )
    panel.text(1.02, len(order) - 0.45, "weights", transform=panel.get_yaxis_transform(), fontsize=11, color="#57606A")
    for value, text in ((1 / 6, "always\nsays 1"), (1 / 12, "knows one\nnumber"), (0.01, "counts as\nlearned")):
        panel.axvline(value, color="#57606A", linewidth=1, linestyle=(0, (4, 3)), zorder=0)
        side = {"ha": "left", "x": value * 1.05} if value > 0.1 else {"ha": "right", "x": value / 1.05}
        panel.text(y=len(order) - 0.45, s=text, fontsize=9.5, color="#57606A", va="bottom", **side)
    panel.set_yticks(range(len(order)), [SAID[name] for name in reversed(order)], fontsize=11)
    panel.tick_params(axis="y", length=0)
    low = min(0.005, *(values.min() for values in errors.values()))
    high = max(0.35, *(values.max() for values in errors.values()))
    panel.set(xscale="log", xlim=(low / 1.5, high * 1.2), ylim=(-0.6, len(order) + 0.4))
    panel.set_xlabel(
        f"mean squared error on new sequences of {length} pairs after {steps:,} steps; dots are seeds, bars medians"
    )
    panel.set_title(
        "Almost any LSTM will do: variants (blue) and smaller relatives (orange) learn to add",
        loc="left",
        fontsize=12.5,
    )
    panel.spines[["top", "right"]].set_visible(False)
    plots.save(figure, path)


if __name__ == "__main__":
    sys.exit(main(__doc__, measure, draw))

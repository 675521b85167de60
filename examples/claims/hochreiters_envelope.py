"""E2: Hochreiter's envelope. Why does the error vanish, and how fast must it?

Texts say that the error vanishes because the logistic slope is at most 1/4. That is half of the argument: a
slope comes with a weight, and the product is what counts. Hochreiter (1991; 1997, section 3.1) put it into a
bound: in a net of n logistic units whose weights are at most w in size, the error that travels q steps back is
scaled by at most n tau^q with tau = n w / 4, so it must vanish if w < 4/n. Nothing is said about larger weights:
they may let the error live or explode, but need not, and at six times 4/n random nets still lose it. Counting
paths gives tau^q / n, which is n^2 times sharper, and a net of equal weights and net inputs of 0 attains it
exactly. The picture shows the largest factor of random nets: far below both lines on the left, because slopes
are rarely 1/4 and paths cancel, and everywhere on the right, where no bound helps.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from claim import Line, exact, main, trend
from matplotlib.figure import Figure

import tinygrad_rnn as tg
from inspector import plots

Array = npt.NDArray[np.float64]

UNITS, LIMIT, STEPS = 10, 0.3, 50
ABOVE, FAR_ABOVE = 2.4, 12.0
"""Weight limits of 6 and 30 times 4/n, for which the bound promises nothing."""


class LogisticNets(tg.Cell):
    """Fully connected logistic nets by their net inputs, a_t = W sigmoid(a_{t-1}) + x_t; each row a net of its own."""

    state_names = ("a",)

    def __init__(self, weights: Array) -> None:
        super().__init__(weights.shape[1], weights.shape[1])
        self.W = self.parameter("W", weights.shape, weights)

    def step(self, x: Any, state: Any) -> Any:
        y = tg.sigmoid(state.a).reshape(*state.a.shape, 1)
        return (x + (self.W @ y).reshape(state.a.shape),)


def factors(weights: Array, inputs: Array, start: Array) -> Array:
    """The largest |d error(t - q) / d error(t)| over all pairs of units, (nets, q = 1..T)."""
    cell = LogisticNets(weights)
    run = tg.unroll(cell, inputs, (tg.tensor(start),))
    earlier = [run.initial_state.a, *[state.a for state in run.states[:-1]]][::-1]
    largest = np.zeros((len(weights), len(earlier)))
    for unit in range(weights.shape[1]):
        by = tg.grad(tg.sum(run.outputs[-1][:, unit]), earlier)
        np.maximum(largest, np.stack([np.abs(g.data).max(axis=1) for g in by], axis=1), out=largest)
    return largest


def random_factors(nets: int, limit: float, rng: np.random.Generator) -> Array:
    """Those of nets with weights from U(-limit, limit), in random states and reading noise."""
    weights = rng.uniform(-limit, limit, (nets, UNITS, UNITS))
    return factors(weights, rng.normal(size=(STEPS, nets, UNITS)), rng.normal(size=(nets, UNITS)))


def worst_net() -> Array:
    """Those of the net that loses least: all weights at the limit, all net inputs held at 0, where the slope is 1/4."""
    weights = np.full((1, UNITS, UNITS), LIMIT)
    inputs = np.full((STEPS, 1, UNITS), -LIMIT * UNITS / 2)
    return factors(weights, inputs, np.zeros((1, UNITS)))[0]


def measure(quick: bool, rng: np.random.Generator) -> tuple[list[Line], Any]:
    nets, q = 40 if quick else 200, np.arange(1, STEPS + 1)
    tau = UNITS * LIMIT / 4
    published_bound, paths_bound = UNITS * tau**q, tau**q / UNITS
    small, above, large = (random_factors(nets, limit, rng) for limit in (LIMIT, ABOVE, FAR_ABOVE))
    worst = worst_net()
    lines = [
        exact("tau for 10 units and weights up to 0.3", tau, 0.75),
        exact(f"nets of {nets} below n tau^q at every q", int((small <= published_bound).all(axis=1).sum()), nets),
        exact(f"nets of {nets} below tau^q / n at every q", int((small <= paths_bound).all(axis=1).sum()), nets),
        exact("worst net over tau^q / n: largest deviation from 1", np.abs(worst / paths_bound - 1).max(), 0.0, 1e-12),
        trend(f"largest factor over bound at q = {STEPS}", (small / published_bound)[:, -1].max(),
              "far below 1/n^2 = 0.01", bool((small / published_bound)[:, -1].max() < 1e-3), f"{nets} nets"),
        trend(f"weights up to {ABOVE:g}: nets above 1 at q = {STEPS}; share", np.mean(above[:, -1] > 1),
              "none need to", bool((above[:, -1] <= 1).all()), f"{nets} nets"),
        trend(f"weights up to {FAR_ABOVE:g}: nets above 1 at q = {STEPS}; share", np.mean(large[:, -1] > 1),
              "some", bool((large[:, -1] > 1).any()), f"{nets} nets"),
        trend(f"weights up to {FAR_ABOVE:g}: nets below 1e-6 at q = {STEPS}; share", np.mean(large[:, -1] < 1e-6),
              "some", bool((large[:, -1] < 1e-6).any()), f"{nets} nets"),
    ]  # fmt: skip
    return lines, (q, published_bound, paths_bound, small, large)


def draw(found: Any, path: Path) -> None:
    q, published_bound, paths_bound, small, large = found
    figure = Figure(figsize=(11, 5.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, nets, colour in ((left, small, "#0072B2"), (right, large, "#D55E00")):
        for curve in nets:
            axes.plot(q, curve, color=colour, linewidth=0.5, alpha=0.25)
        axes.plot(q, np.median(nets, axis=0), color=colour, linewidth=2.5)
        axes.set_yscale("log")
        axes.set_xlim(0, STEPS + 0.5)
        axes.set_ylim(1e-52, 1e12)
        axes.set_yticks(10.0 ** np.arange(-50, 1, 10))
        axes.set_xlabel("steps back q", fontsize=11)
        axes.grid(True, axis="y", color="#D8DEE4", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    left.plot(q, published_bound, color="black", linewidth=2)
    left.plot(q, paths_bound, color="black", linewidth=1.5, linestyle=(0, (4, 2)))
    left.text(49, 1e1, "published bound n τ$^q$, τ = 0.75", fontsize=11.5, ha="right")
    left.text(49, 4e-12, "sharp bound τ$^q$/n", fontsize=11.5, ha="right")
    left.text(2, 1e-44, f"{len(small)} random nets and their median", color="#0072B2", fontsize=11.5)
    right.axhline(1, color="black", linewidth=1)
    right.text(2, 1e5, "above 1 the error grows", fontsize=11.5, va="bottom")
    right.text(
        2,
        1e-44,
        f"{len(large)} random nets and their median",
        color="#D55E00",
        fontsize=11.5,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 2},
    )
    left.set_ylabel("largest factor of the error, q steps back", fontsize=11)
    left.set_title("Weights up to 0.3, below 4/n: the error must vanish", loc="left", fontsize=12.5)
    right.set_title(f"Weights up to {FAR_ABOVE:g}: it may vanish, live or explode", loc="left", fontsize=12.5)
    plots.save(figure, path)


if __name__ == "__main__":
    sys.exit(main(__doc__, measure, draw))

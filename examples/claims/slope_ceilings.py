"""E1: slope ceilings. How steep can a squashing function be?

Texts say that gradients vanish because the logistic function is nowhere steeper than 1/4 and tanh nowhere
steeper than 1. The ceilings are right, and tanh' touches its ceiling at 0 only: averaged over net inputs from
N(0, 1), the slopes are 0.207 and 0.606. The squashing functions of the first LSTM look exotic,
g(x) = 4 sigmoid(x) - 2 and h(x) = 2 sigmoid(x) - 1, but they are tanh in other units: g(x) = 2 tanh(x/2) and
h(x) = tanh(x/2). So g is as steep as tanh at 0 and stays steep exactly twice as far out, at the price of twice
the range. A ceiling alone decides nothing: what is multiplied along time is slope times weight, and a weight
may be larger than 1. The picture shows the five slopes, and as a bar how wide each one is at half its height.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from claim import Line, exact, main
from matplotlib.figure import Figure

import tinygrad_rnn as tg
from inspector import plots
from tinygrad_rnn.cells.lstm1997 import SQUASH

Array = npt.NDArray[np.float64]
Squash = Callable[[Any], Any]

CURVES: dict[str, Squash] = {
    "logistic": tg.sigmoid,
    "tanh": tg.tanh,
    "relu": tg.relu,
    "g of 1997": SQUASH["g"],
    "h of 1997": SQUASH["h"],
}
CEILINGS = {"logistic": 0.25, "tanh": 1.0, "relu": 1.0, "g of 1997": 1.0, "h of 1997": 0.5}
COLOURS = {"logistic": "#D55E00", "tanh": "#0072B2", "relu": "#000000", "g of 1997": "#009E73", "h of 1997": "#CC79A7"}


def slope(squash: Squash, x: Array) -> Array:
    """The derivative of an elementwise function at every element, by one reverse sweep."""
    at = tg.tensor(x)
    return tg.grad(tg.sum(squash(at)), at)[0].data


def half_width(squash: Squash) -> float:
    """How far from 0 the slope has fallen to half of its ceiling, by bisection."""
    low, high = np.zeros(1), np.full(1, 20.0)
    half = slope(squash, low) / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(squash, middle) > half else (low, middle)
    return float(low[0])


def normal_mean(values: Array, x: Array) -> float:
    """The mean over x from N(0, 1), by the trapezoid rule, which is exact to rounding for smooth functions."""
    return float(np.sum(values * np.exp(-(x**2) / 2)) * (x[1] - x[0]) / np.sqrt(2 * np.pi))


def measure(quick: bool, rng: np.random.Generator) -> tuple[list[Line], Any]:
    grid = np.linspace(-12, 12, 2401 if quick else 24001)
    slopes = {name: slope(squash, grid) for name, squash in CURVES.items()}
    widths = {name: half_width(CURVES[name]) for name in CURVES if name != "relu"}
    lines = [exact(f"steepest slope of {name}", slopes[name].max(), CEILINGS[name], 1e-12) for name in CURVES]
    lines += [
        exact("half-width of tanh'", widths["tanh"], np.arccosh(np.sqrt(2.0)), 1e-10),
        exact("half-width of g' over that of tanh'", widths["g of 1997"] / widths["tanh"], 2.0, 1e-10),
        exact("half-width of h' over that of tanh'", widths["h of 1997"] / widths["tanh"], 2.0, 1e-10),
    ]
    for name in ("logistic", "tanh"):
        # Stein's lemma: E[f'(x)] = E[x f(x)], so that the expected value needs no derivative
        stein = normal_mean(grid * CURVES[name](grid), grid)
        lines.append(exact(f"mean slope of {name} over N(0, 1)", normal_mean(slopes[name], grid), stein, 1e-10))
    x = rng.normal(0, 3, 1000)
    lines += [
        exact("largest |g(x) - 2 tanh(x/2)|", np.abs(SQUASH["g"](x) - 2 * np.tanh(x / 2)).max(), 0.0, 1e-14),
        exact("largest |h(x) - tanh(x/2)|", np.abs(SQUASH["h"](x) - np.tanh(x / 2)).max(), 0.0, 1e-14),
    ]
    return lines, (grid, slopes, widths)


def draw(found: Any, path: Path) -> None:
    grid, slopes, widths = found
    figure = Figure(figsize=(9.5, 5.2), layout="constrained")
    axes = figure.add_subplot()
    for name, colour in COLOURS.items():
        if name == "relu":
            for side in (grid < 0, grid > 0):
                axes.plot(grid[side], slopes[name][side], color=colour, linewidth=1.4, zorder=2)
        else:
            axes.plot(grid, slopes[name], color=colour, linewidth=2.4, zorder=3)
    for name, width in widths.items():
        half = CEILINGS[name] / 2
        axes.plot([-width, width], [half, half], color=COLOURS[name], linewidth=1.4, linestyle=(0, (2, 2)), zorder=4)
        axes.plot([-width, width], [half, half], "o", color=COLOURS[name], markersize=5.5, zorder=5)
    inside = {"tanh": (0.85, "tanh"), "h of 1997": (0.425, "h = 2σ − 1"), "logistic": (0.185, "logistic σ")}
    paper = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
    for name, (y, text) in inside.items():
        axes.text(0, y, text, color=COLOURS[name], fontsize=12.5, ha="center", va="center", bbox=paper, zorder=6)
    axes.text(1.15, 0.82, "g = 4σ − 2", color=COLOURS["g of 1997"], fontsize=12.5, va="center")
    axes.text(2.2, 1.02, "relu: 1 for every x > 0", color=COLOURS["relu"], fontsize=12.5, va="bottom")
    axes.text(1.92, 0.51, "g′ at half its height: x = ±1.76", color=COLOURS["g of 1997"], fontsize=11.5, va="bottom")
    axes.annotate(
        "tanh′ at half its height: x = ±0.88",
        (-0.93, 0.505),
        (-2.0, 0.62),
        color=COLOURS["tanh"],
        fontsize=11.5,
        ha="right",
        va="center",
        arrowprops={"arrowstyle": "-", "color": COLOURS["tanh"], "linewidth": 0.9},
    )
    axes.set_xlim(-5.2, 5.2)
    axes.set_ylim(0, 1.1)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "1/4", "1/2", "3/4", "1"])
    axes.set_xlabel("net input x", fontsize=11)
    axes.set_ylabel("slope f′(x)", fontsize=11)
    axes.grid(True, axis="y", color="#D8DEE4", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title("The first LSTM's g is as steep as tanh, and twice as wide", loc="left", fontsize=14)
    plots.save(figure, path)


if __name__ == "__main__":
    sys.exit(main(__doc__, measure, draw))

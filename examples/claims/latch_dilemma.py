"""E6: the latch dilemma. If careful parameters make a recurrent net remember, why not choose them?

Texts say that in theory recurrent nets can handle long-term dependencies, with carefully picked parameters. They
can: one unit, x_t = tanh(w x_{t-1} + u_t) with w > 1, latches a bit for ever and withstands any input smaller than
h*(w) = w x* - artanh(x*), x* = sqrt(1 - 1/w). But Bengio, Simard & Frasconi (1994) showed the price: the very
attractor that keeps the bit safe shrinks the gradient by w (1 - x^2) < 1 at every step. A larger w makes memory
safer and learning what to put into it harder: at w = 2 the gradient falls to a millionth in 8 steps, at w = 4 in 3.
The picture shows both sides against w, measured in the framework and computed by formula, and how an input just
below and just above h* moves the unit along its map.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from claim import Line, exact, main
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import inspector
import tinygrad_rnn as tg
from inspector import plots

Array = npt.NDArray[np.float64]

WEIGHTS = (1.1, 1.25, 1.5, 2.0, 3.0, 4.0)
GREEN, BLUE, RED = "#009E73", "#0072B2", "#D55E00"


def threshold(w: Any) -> Any:
    """h*(w), by the theory."""
    x = np.sqrt(1 - 1 / w)
    return w * x - np.arctanh(x)


def attractor(w: Any) -> Any:
    """The positive solution of x = tanh(w x), by Newton's method on artanh(x) = w x from the right."""
    x = np.tanh(w * np.ones_like(w))
    for _ in range(200):
        y = np.tanh(w * x)
        x = x - (x - y) / (1 - w * (1 - y * y))
    return x


def unit(w: float) -> tg.cells.RNNCell:
    """The latch as a cell of the framework."""
    cell = tg.cells.RNNCell(1, 1, bias=False, seed=0)
    cell.load_state_dict({"weight_ih": np.ones((1, 1)), "weight_hh": np.full((1, 1), w)})
    return cell


def flips(w: float, opposing: Array, steps: int) -> Array:
    """Whether each constant opposing input ends up below 0, from the attractor."""
    with tg.no_grad():
        start = np.full((len(opposing), 1), attractor(np.array(w)))
        inputs = np.broadcast_to(-opposing[:, None], (steps, len(opposing), 1))
        return tg.unroll(unit(w), inputs, (tg.tensor(start),)).outputs[-1].data[:, 0] < 0


def measured_threshold(w: float, steps: int) -> float:
    """The least constant input that flips the latch: a bracket of inputs, narrowed eight times."""
    low, high = 0.0, w
    for _ in range(8):
        inputs = np.linspace(low, high, 12)
        first = int(np.argmax(flips(w, inputs, steps)))
        low, high = inputs[first - 1], inputs[first]
    return float((low + high) / 2)


def measured_slope(w: float, steps: int = 12) -> tuple[float, Array]:
    """What a step back does to the gradient at the attractor, and all norms."""
    start = np.full((1, 1), attractor(np.array(w)))
    run = tg.unroll(unit(w), np.zeros((steps, 1, 1)), (tg.tensor(start),))
    norms = inspector.trace(run, tg.sum(run.outputs[-1])).norm("h")
    return inspector.decay_rate(norms).factor, norms


def measure(quick: bool, rng: np.random.Generator) -> tuple[list[Line], Any]:
    steps = 400 if quick else 2000
    lines, points = [], []
    for w in WEIGHTS:
        x = float(attractor(np.array(w)))
        limit, (slope, _) = measured_threshold(w, steps), measured_slope(w)
        lines += [
            exact(f"w = {w:g}: input that flips the latch", limit, threshold(w), 2e-4),
            exact(f"w = {w:g}: gradient a step back at the attractor", slope, w * (1 - x * x), 1e-9),
        ]
        points.append((w, limit, slope))
    table = np.array(
        [
            [0.02048, 0.50294, 0.82176],
            [0.07781, 0.71041, 0.61914],
            [0.20755, 0.85856, 0.39431],
            [0.53284, 0.95750, 0.16637],
            [1.30327, 0.99490, 0.03051],
            [2.14714, 0.99933, 0.00539],
        ]
    )
    w = np.array(WEIGHTS)
    x = attractor(w)
    found = np.stack([threshold(w), x, w * (1 - x * x)], axis=1)
    lines.append(exact("formulas against a table computed apart", np.abs(found - table).max(), 0.0, 6e-6))
    w2 = rng.uniform(1.05, 4, 50)
    lines.append(
        exact(
            "50 random w: error of the attractor in x = tanh(w x)",
            np.abs(attractor(w2) - np.tanh(w2 * attractor(w2))).max(),
            0.0,
            1e-12,
        )
    )
    return lines, np.array(points)


def draw_trade(axes: Axes, points: Array) -> None:
    w = np.linspace(1.001, 4.2, 400)
    x = attractor(w)
    axes.plot(w, threshold(w), color=GREEN, linewidth=2.5)
    axes.plot(w, w * (1 - x * x), color=RED, linewidth=2.5)
    axes.plot(points[:, 0], points[:, 1], "o", color=GREEN, markersize=7)
    axes.plot(points[:, 0], points[:, 2], "o", color=RED, markersize=7)
    axes.text(2.75, 1.33, "input it withstands", color=GREEN, fontsize=12.5, ha="right")
    axes.text(2.3, 0.17, "gradient left per step", color=RED, fontsize=12.5)
    for w_, _, slope in points:
        if w_ in (1.25, 2.0, 4.0):
            steps = np.log(1e-6) / np.log(slope)
            axes.annotate(
                f"10⁻⁶ in {steps:.0f} steps",
                (w_, slope),
                (w_ + (0.18 if w_ < 4 else 0.1), slope + (0.25 if w_ < 2 else 0.36 if w_ < 4 else 0.3)),
                fontsize=11,
                color=RED,
                ha="left" if w_ < 4 else "right",
                arrowprops={"arrowstyle": "-", "color": RED, "linewidth": 0.8},
            )
    axes.set_xlim(1, 4.2)
    axes.set_ylim(0, 2.3)
    axes.set_xlabel("weight w of the unit on itself", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title("A safer memory, a smaller gradient", loc="left", fontsize=13)


def draw_cobweb(axes: Axes, w: float, share: float, colour: str) -> None:
    u = -share * float(threshold(w))
    x = np.linspace(-1.1, 1.1, 400)
    axes.plot(x, x, color="#8C959F", linewidth=1)
    axes.plot(x, np.tanh(w * x + u), color="black", linewidth=2)
    at = float(attractor(np.array(w)))
    web = [(at, at)]
    for _ in range(60):
        after = float(np.tanh(w * web[-1][0] + u))
        web += [(web[-1][0], after), (after, after)]
    axes.plot(*zip(*web, strict=True), color=colour, linewidth=1.6)
    axes.plot(*web[0], "o", color="black", markersize=7)
    axes.plot(*web[-1], "o", color=colour, markersize=10)
    axes.set_xlim(-1.1, 1.1)
    axes.set_ylim(-1.1, 1.1)
    axes.set_xticks([-1, 0, 1])
    axes.set_yticks([-1, 0, 1])
    axes.set_aspect("equal")
    axes.set_xlabel("x before", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)


def draw(found: Any, path: Path) -> None:
    figure = Figure(figsize=(14, 4.9), layout="constrained")
    panels = figure.subplots(1, 3, width_ratios=(1.25, 1, 1))
    draw_trade(panels[0], found)
    for panel, share, colour, title in (
        (panels[1], 0.9, BLUE, "u = −0.9 h*: the bit stays"),
        (panels[2], 1.1, RED, "u = −1.1 h*: it squeezes through and flips"),
    ):
        draw_cobweb(panel, 2.0, share, colour)
        panel.set_title(title, loc="left", fontsize=13)
    panels[1].set_ylabel("x after, tanh(2x + u)", fontsize=11)
    plots.save(figure, path)


if __name__ == "__main__":
    sys.exit(main(__doc__, measure, draw))

"""E5: the cliff. Why is the gradient suddenly too large, and where?

Lecture notes say that the gradient is suddenly too large, as if by bad luck. Pascanu, Mikolov & Bengio (2013,
figures 3 and 6) draw such a place: one unit, x_t = w sigmoid(x_{t-1}) + b, 50 steps from x_0 = 0.5, error
(sigmoid(x_50) - 0.7)^2, and a wall across a flat plain. The wall has a formula. It stands where the start itself
is an unstable fixed point, b = 0.5 - w sigmoid(0.5), for w above 1/sigmoid'(0.5) = 4.2553: there any deviation
grows by w sigmoid'(0.5) a step, and the run ends in one of two attractors. So the wall is the border between two
basins of attraction. It is not the place where attractors appear or disappear, which is often given as the
cause: at w = 5 that happens at b = -2.656 and b = -2.344, and the gradient there is small.
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

STEPS, START, TARGET = 50, 0.5, 0.7


def sigma(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


SLOPE = sigma(START) * (1 - sigma(START))
"""sigmoid'(0.5), which is 0.235004."""


def wall(w: Any) -> Any:
    """Where x_0 is a fixed point."""
    return START - w * sigma(START)


def gradient_norm(w: Array, b: Array) -> Array:
    """|dE/d(w, b)| at every point of a grid, by one reverse sweep through the unrolled unit."""
    at_w, at_b = tg.tensor(w), tg.tensor(b)
    x: Any = START
    for _ in range(STEPS):
        x = at_w * tg.sigmoid(x) + at_b
    by_w, by_b = tg.grad(tg.sum((tg.sigmoid(x) - TARGET) ** 2), [at_w, at_b])
    return np.hypot(by_w.data, by_b.data)


def tangent_norm(w: float, b: float) -> float:
    """The same number by carrying dx/dw and dx/db forwards by hand."""
    x, by_w, by_b = START, 0.0, 0.0
    for _ in range(STEPS):
        s = sigma(x)
        by_w, by_b = s + w * s * (1 - s) * by_w, 1 + w * s * (1 - s) * by_b
        x = w * s + b
    y = sigma(x)
    return float(2 * abs(y - TARGET) * y * (1 - y) * np.hypot(by_w, by_b))


def steepest(w: Array) -> tuple[Array, Array]:
    """For each w the b in [-4.5, -1.5] of the largest gradient, and that gradient, by zooming in."""
    centre, reach = np.full_like(w, -3.0), 1.5
    for points in (3001, *[81] * 9):
        b = centre[:, None] + np.linspace(-reach, reach, points)
        g = gradient_norm(np.broadcast_to(w[:, None], b.shape), b)
        best = g.argmax(axis=1)
        centre, reach = b[np.arange(len(w)), best], reach * 2 * 3 / (points - 1)
    return centre, g.max(axis=1)


def folds(w: Any) -> Array:
    """The two b at which attractors appear or disappear, where w sigmoid'(x) = 1 at a fixed point; (2, ...)."""
    root = np.sqrt(1 - 4 / np.asarray(w))
    s = np.stack([1 + root, 1 - root]) / 2
    return np.log(s / (1 - s)) - w * s


def bistable_edges(w: float, run: int) -> tuple[float, float]:
    """The least and largest b for which runs from below and from above end in different attractors."""

    def differ(b: float) -> bool:
        low, high = -20.0, 20.0
        for _ in range(run):
            low, high = w * sigma(low) + b, w * sigma(high) + b
        return high - low > 0.1

    edges = []
    for outside in (-4.5, -1.5):
        out, inside = outside, wall(w)
        for _ in range(20):
            middle = (out + inside) / 2
            out, inside = (out, middle) if differ(middle) else (middle, inside)
        edges.append(inside)
    return edges[0], edges[1]


def measure(quick: bool, rng: np.random.Generator) -> tuple[list[Line], Any]:
    rows = 9 if quick else 41
    w = np.linspace(4.5, 6.5, rows)
    ridge, heights = steepest(w)
    away = np.abs(ridge - wall(w))
    lines = [
        exact("1 / sigmoid'(0.5), above which there is a wall", 1 / SLOPE, 4.2553, 5e-5),
        exact("w from 4.5: steepest point off 0.5 - w sigmoid(0.5)", away.max(), 0.0, 2e-3),
        exact("w from 5: steepest point off 0.5 - w sigmoid(0.5)", away[w > 4.999].max(), 0.0, 1e-4),
    ]
    at5 = int(np.argmin(np.abs(w - 5)))
    tangent = tangent_norm(5.0, ridge[at5])
    lines.append(exact("w = 5: gradient at the wall (tangents by hand)", heights[at5], tangent, 1e-9, relative=True))
    lines.append(
        trend("w = 5: gradient at the wall", heights[at5], "about 6.8e3", bool(abs(heights[at5] / 6.8e3 - 1) < 0.05))
    )
    b = np.linspace(-4.5, -1.5, 3001)
    plain = np.median(gradient_norm(np.full_like(b, 5.0), b))
    lines.append(
        trend(
            "w = 5: median gradient over b in [-4.5, -1.5]",
            plain,
            "about 1e-5 of the wall's",
            bool(plain < 1e-4 * heights[at5]),
        )
    )
    sites = rng.uniform([4.0, -4.5], [6.5, -1.5], (20, 2))
    by_graph = gradient_norm(sites[:, 0], sites[:, 1])
    by_hand = np.array([tangent_norm(*site) for site in sites])
    lines.append(
        exact("20 places: largest difference to tangents by hand", np.abs(by_graph / by_hand - 1).max(), 0.0, 1e-9)
    )
    edges = bistable_edges(5.0, 2000 if quick else 20000)
    for name, edge, theory in zip(("lower", "upper"), edges, folds(5.0), strict=True):
        lines.append(exact(f"w = 5: {name} edge of the bistable window", edge, theory, 1e-4))
        lines.append(
            trend(
                f"w = 5: gradient at the {name} edge over the wall's",
                float(gradient_norm(np.array([5.0]), np.array([edge]))[0] / heights[at5]),
                "small",
                bool(gradient_norm(np.array([5.0]), np.array([edge]))[0] < 1e-3 * heights[at5]),
            )
        )
    return lines, (map_of_largest(60 if quick else 150), edges)


def map_of_largest(columns: int) -> Array:
    """For each cell of a grid over (w, b) the largest gradient found in it, (columns, columns); walls are thin."""
    w = np.linspace(4, 6.5, 2 * columns + 1)[1::2]
    b = np.linspace(-4.5, -1.5, 4 * columns)
    sampled = gradient_norm(*np.meshgrid(w, b, indexing="ij")).reshape(columns, columns, 4).max(axis=2)
    for start in range(0, columns, 30):
        centre, height = steepest(w[start : start + 30])
        cell = ((centre + 4.5) / 3 * columns).astype(int)
        column = np.arange(start, start + len(centre))
        sampled[column, cell] = np.maximum(sampled[column, cell], height)
    return sampled


def draw(found: Any, path: Path) -> None:
    largest, edges = found
    figure = Figure(figsize=(13, 5.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.3, 1))
    image = left.imshow(
        np.log10(largest).T, extent=(4, 6.5, -4.5, -1.5), origin="lower", aspect="auto", cmap="cividis", vmin=-4, vmax=6
    )
    bar = figure.colorbar(image, ax=left, ticks=range(-4, 7, 2), extend="both", pad=0.02)
    bar.ax.set_yticklabels([f"$10^{{{k}}}$" for k in range(-4, 7, 2)])
    bar.set_label("largest |∂E/∂(w, b)| in a cell of the map", fontsize=11)
    line, at = np.linspace(4.0001, 6.5, 300), np.arange(4.375, 6.5, 0.25)
    for fold in folds(line):
        left.plot(line, fold, color="#56B4E9", linewidth=1.6, linestyle=(0, (5, 3)))
    left.plot(at, wall(at), "o", markersize=10, markerfacecolor="none", markeredgecolor="white", markeredgewidth=1.6)
    left.text(4.12, -3.05, "circles: b = ½ − w σ(½)", color="white", fontsize=12.5)
    left.annotate(
        "between the dashes\nthere are two attractors",
        (5.9, folds(5.9)[1]),
        (5.42, -1.95),
        color="#9AD3F5",
        fontsize=12.5,
        arrowprops={"arrowstyle": "-", "color": "#9AD3F5"},
    )
    left.set_xlim(4, 6.5)
    left.set_ylim(-4.5, -1.5)
    left.set_xlabel("weight w", fontsize=11)
    left.set_ylabel("bias b", fontsize=11)
    left.set_title("A wall across a plain, where the formula says", loc="left", fontsize=13)
    x = np.linspace(-3, 3.2, 2000)
    steady, stable = x - 5 * sigma(x), 5 * sigma(x) * (1 - sigma(x)) < 1
    right.axvspan(*edges, color="#56B4E9", alpha=0.18, linewidth=0)
    for part in (stable & (x < 0), stable & (x > 0)):
        right.plot(steady[part], x[part], color="#0072B2", linewidth=3)
    right.plot(steady[~stable], x[~stable], color="#D55E00", linewidth=2, linestyle=(0, (4, 2)))
    right.axhline(START, color="black", linewidth=1)
    right.plot(wall(5.0), START, "o", color="black", markersize=9)
    right.annotate(
        "the wall: the start lies\non the unstable fixed point",
        (wall(5.0) + 0.008, START + 0.03),
        (-2.5, 1.0),
        fontsize=12,
        arrowprops={"arrowstyle": "-", "color": "black"},
    )
    right.text(-2.99, START + 0.06, "start x₀ = ½", fontsize=12)
    right.text(-2.67, 1.35, "stable", color="#0072B2", fontsize=12, ha="right")
    right.text(-2.33, -1.5, "stable", color="#0072B2", fontsize=12)
    right.text(-2.5, -0.4, "unstable", color="#D55E00", fontsize=12, ha="right")
    right.text(float(np.mean(edges)), -2.85, "two attractors", color="#0072B2", fontsize=12, ha="center")
    right.set_xlim(-3, -2)
    right.set_ylim(-3, 3)
    right.set_xlabel("bias b, at w = 5", fontsize=11)
    right.set_ylabel("fixed points of x", fontsize=11)
    right.spines[["top", "right"]].set_visible(False)
    right.set_title("It is a border between basins, not a bifurcation", loc="left", fontsize=13)
    plots.save(figure, path)


if __name__ == "__main__":
    sys.exit(main(__doc__, measure, draw))

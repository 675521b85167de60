"""E4: clip, but keep the arrow. What does clipping do to a gradient, and what can it not do?

Lecture notes say that a gradient that is too large is cut in size only, and keeps its direction. That is clipping
by norm (Pascanu, Mikolov & Bengio 2013, algorithm 1), and it is exact. The older habit of clipping every element
by itself turns the arrow towards a diagonal: with Gaussian gradients clipped at one standard deviation the cosine
is 0.950, and it falls to sqrt(2/pi) = 0.798 for tight clipping. At the cliff the size alone decides: one step from
the wall throws the weights far away, the same step clipped goes on along the valley. The notes are also right
that a vanished gradient cannot be repaired by scaling it up: what comes from far back keeps the same tiny share.
In the picture: arrows before and after, the cosine that is left, and both kinds of descent at the cliff.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from claim import Line, exact, main, trend
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import inspector
import tinygrad_rnn as tg
from inspector import plots

Array = npt.NDArray[np.float64]

THRESHOLDS = (3.0, 1.0, 0.5, 0.1)
GREY, BLUE, RED = "#8C959F", "#0072B2", "#D55E00"


def by_norm(gradient: Array, threshold: float) -> Array:
    """Algorithm 1 of Pascanu et al., as the framework's optimisers apply it."""
    parameter = tg.tensor(np.zeros_like(gradient), requires_grad=True)
    parameter.grad = gradient.copy()
    tg.optim.clip_grad_norm([parameter], threshold)
    return parameter.grad


def cosine(a: Array, b: Array) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def expected_cosine(c: float) -> float:
    """Between Gaussian x and clip(x, -c, c): E[x clip x] / sqrt(E[clip(x)^2]), by parts."""
    inside = math.erf(c / math.sqrt(2))
    density = math.exp(-c * c / 2) / math.sqrt(2 * math.pi)
    return inside / math.sqrt(inside - 2 * c * density + c * c * (1 - inside))


def cliff(theta: Array) -> tuple[Array, Array]:
    """Error and gradient (2, starts) of x_t = w sigmoid(x_{t-1}) + b after 50 steps, see the experiment on the
    cliff.
    """
    w, b = tg.tensor(theta[0]), tg.tensor(theta[1])
    x: Any = 0.5
    for _ in range(50):
        x = w * tg.sigmoid(x) + b
    error = (tg.sigmoid(x) - 0.7) ** 2
    return error.data, np.stack([g.data for g in tg.grad(tg.sum(error), [w, b])])


def descend(theta: Array, steps: int, threshold: float, lr: float = 0.1) -> tuple[Array, Array]:
    """Gradient descent from many starts at once, each clipped by norm: all positions (steps + 1, 2, starts), and
    errors.
    """
    path, errors = [theta], []
    for _ in range(steps):
        error, gradient = cliff(path[-1])
        sizes = np.linalg.norm(gradient, axis=0)
        errors.append(error)
        path.append(path[-1] - lr * gradient * np.minimum(1, threshold / np.maximum(sizes, 1e-300)))
    return np.stack(path), np.stack([*errors, cliff(path[-1])[0]])


def far_share(scale: float, seed: int) -> float:
    """How much of a tanh net's weight gradient comes from more than 10 steps back, when the loss is scaled."""
    cell = tg.cells.RNNCell(4, 16, seed=seed)
    run = tg.unroll(cell, np.random.default_rng(seed).normal(size=(40, 1, 4)))
    trace = inspector.trace(run, scale * tg.sum(run.outputs[-1] ** 2))
    far = sum(trace.parameter_gradient("weight_hh", t) for t in range(30))
    return float(np.linalg.norm(far) / np.linalg.norm(trace.parameter_gradient("weight_hh")))


def measure(quick: bool, rng: np.random.Generator) -> tuple[list[Line], Any]:
    g = rng.normal(size=100_000)
    lines = [
        exact("clipped by norm: 1 - cosine with the gradient", 1 - cosine(g, by_norm(g, 1.0)), 0.0, 1e-12),
        exact("clipped by norm: norm after clipping at 1", np.linalg.norm(by_norm(g, 1.0)), 1.0, 1e-12),
    ]
    cosines = {c: cosine(g, tg.clip(tg.tensor(g), -c, c).data) for c in THRESHOLDS}
    lines += [
        exact(f"clipped by element at {c:g} sd: cosine", cosines[c], expected_cosine(c), 0.003) for c in THRESHOLDS
    ]
    lines.append(
        exact(
            "clipped by element at 0.001 sd: cosine (sqrt(2/pi))",
            cosine(g, tg.clip(tg.tensor(g), -1e-3, 1e-3).data),
            math.sqrt(2 / math.pi),
            0.003,
        )
    )
    starts = 20 if quick else 100
    w = rng.uniform(5, 6, starts)
    theta = np.stack([w, 0.5 - w / (1 + math.exp(-0.5)) + rng.uniform(0.1, 0.5, starts)])
    raw, raw_error = descend(theta, 500, math.inf)
    clipped, clipped_error = descend(theta, 500, 1.0)
    jump = np.linalg.norm(np.diff(raw, axis=0), axis=1).max(axis=0)
    spread = f"{starts} starts; {jump.min():.3g} to {jump.max():.3g}"
    lines += [
        exact(
            "cliff, clipped at 1, lr 0.1: no step longer than 0.1",
            bool(np.linalg.norm(np.diff(clipped, axis=0), axis=1).max() < 0.1 + 1e-12),
            True,
        ),
        trend(
            "cliff, not clipped: median of the largest step",
            np.median(jump),
            "above 1",
            bool(np.median(jump) > 1),
            spread,
        ),
        trend(
            "cliff, clipped: share that reaches E < 1e-3",
            np.mean(clipped_error.min(axis=0) < 1e-3),
            "all",
            bool((clipped_error.min(axis=0) < 1e-3).all()),
            f"{starts} starts; 500 steps",
        ),
        trend(
            "cliff, not clipped: share that reaches E < 1e-3",
            np.mean(raw_error.min(axis=0) < 1e-3),
            "fewer than half",
            bool(np.mean(raw_error.min(axis=0) < 1e-3) < 0.5),
            f"{starts} starts; 500 steps",
        ),
    ]
    seeds = rng.integers(2**31, size=3 if quick else 5)
    plain, scaled = (np.array([far_share(scale, int(seed)) for seed in seeds]) for scale in (1.0, 1e6))
    lines += [
        trend(
            "vanished: share from more than 10 steps back",
            np.median(plain),
            "tiny",
            bool(np.median(plain) < 0.01),
            f"{len(seeds)} nets; {plain.min():.2g} to {plain.max():.2g}",
        ),
        exact("vanished: change of that share if scaled by 1e6", np.abs(scaled / plain - 1).max(), 0.0, 1e-12),
    ]
    shown = int(np.argmin(np.abs(jump - np.median(jump))))
    angles = np.deg2rad([8, 62, 115, 160, 205, 250, 285, 338])
    arrows = (
        np.stack([np.cos(angles), np.sin(angles)], axis=1)
        * np.array([2.3, 1.9, 2.2, 0.75, 2.0, 2.4, 1.3, 2.1])[:, None]
    )
    return lines, (arrows, cosines, raw[:, :, shown], clipped[:, :, shown])


def draw_arrows(axes: Axes, arrows: Array) -> None:
    """Gradients before and after, with the circle and the square that clipping keeps them in."""
    round_ = np.linspace(0, 2 * np.pi, 200)
    axes.plot(np.cos(round_), np.sin(round_), color=BLUE, linewidth=1, linestyle=(0, (4, 3)))
    axes.plot([1, -1, -1, 1, 1], [1, 1, -1, -1, 1], color=RED, linewidth=1, linestyle=(0, (4, 3)))
    for gradient in arrows:
        by_element = tg.clip(tg.tensor(gradient), -1, 1).data
        for vector, colour, width in (
            (gradient, GREY, 0.006),
            (by_element, RED, 0.011),
            (by_norm(gradient, 1.0), BLUE, 0.011),
        ):
            axes.quiver(0, 0, *vector, angles="xy", scale_units="xy", scale=1, color=colour, width=width, zorder=3)
    for y, text, colour in (
        (-2.6, "gradient", "#57606A"),
        (-2.88, "clipped by norm", BLUE),
        (-3.16, "clipped by element", RED),
    ):
        axes.text(-2.35, y, text, color=colour, fontsize=12.5)
    axes.set_xlim(-2.4, 2.4)
    axes.set_ylim(-3.3, 2.1)
    axes.set_aspect("equal")
    axes.axis("off")
    axes.set_title("Clipping by element bends arrows", loc="left", fontsize=13)


def draw_cosines(axes: Axes, cosines: dict[float, float]) -> None:
    c = np.geomspace(0.01, 6, 200)
    axes.plot(c, [expected_cosine(v) for v in c], color=RED, linewidth=2)
    axes.plot(list(cosines), list(cosines.values()), "o", color=RED, markersize=7)
    axes.axhline(1, color=BLUE, linewidth=3)
    axes.axhline(math.sqrt(2 / math.pi), color="black", linewidth=1, linestyle=(0, (4, 3)))
    axes.text(0.0115, 0.992, "by norm: always 1", color=BLUE, fontsize=12.5, va="top")
    axes.text(0.5, 0.86, "by element,\nGaussian gradients", color=RED, fontsize=12.5)
    axes.text(6, math.sqrt(2 / math.pi) - 0.003, "√(2/π) = 0.798", fontsize=12, ha="right", va="top")
    axes.set_xscale("log")
    axes.set_xticks([0.01, 0.1, 1], ["0.01", "0.1", "1"], fontsize=10.5)
    axes.set_ylim(0.78, 1.01)
    axes.set_xlabel("threshold, in standard deviations", fontsize=11)
    axes.set_ylabel("cosine with the gradient", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title("How much of the direction is left", loc="left", fontsize=13)


def draw_descent(axes: Axes, raw: Array, clipped: Array) -> None:
    w, b = np.meshgrid(np.linspace(4, 6.2, 300), np.linspace(-3.5, -1.7, 300))
    error, _ = cliff(np.stack([w, b]))
    axes.imshow(
        np.sqrt(error), extent=(4, 6.2, -3.5, -1.7), origin="lower", aspect="auto", cmap="Greys", vmin=0, vmax=1.3
    )
    leap = int(np.argmax(np.linalg.norm(np.diff(raw, axis=0), axis=1) > 1))
    away = raw[leap + 1] - raw[leap]
    size = np.linalg.norm(away)
    axes.plot(*clipped.T, color=BLUE, linewidth=1.8)
    axes.plot(*raw[: leap + 1].T, color=RED, linewidth=1.8)
    axes.annotate(
        "", raw[leap] + away / size * 0.6, raw[leap], arrowprops={"arrowstyle": "-|>", "color": RED, "linewidth": 2.5}
    )
    axes.plot(*raw[0], "o", color="black", markersize=8)
    axes.text(raw[0, 0] + 0.04, raw[0, 1] + 0.04, "start", fontsize=12.5)
    paper = {"facecolor": "white", "edgecolor": "none", "pad": 1.5, "alpha": 0.8}
    axes.text(
        6.15,
        -1.78,
        "clipped by norm: along the valley",
        color="#00558A",
        fontsize=12.5,
        ha="right",
        va="center",
        bbox=paper,
    )
    axes.text(
        6.15,
        -1.9,
        f"not clipped: away in a step of {size:.2g}",
        color="#A63F00",
        fontsize=12.5,
        ha="right",
        va="center",
        bbox=paper,
    )
    axes.set_xlim(4, 6.2)
    axes.set_ylim(-3.5, -1.7)
    axes.set_xlabel("weight w", fontsize=11)
    axes.set_ylabel("bias b", fontsize=11)
    axes.set_title("Descent at the cliff", loc="left", fontsize=13)


def draw(found: Any, path: Path) -> None:
    arrows, cosines, raw, clipped = found
    figure = Figure(figsize=(14, 5.2), layout="constrained")
    panels = figure.subplots(1, 3, width_ratios=(0.9, 1, 1))
    draw_arrows(panels[0], arrows)
    draw_cosines(panels[1], cosines)
    draw_descent(panels[2], raw, clipped)
    plots.save(figure, path)


if __name__ == "__main__":
    sys.exit(main(__doc__, measure, draw))

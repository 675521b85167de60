"""E3: near one or nothing. Does a weight below 1 always vanish, and one above 1 always explode?

Lecture notes say that a recurrent weight below 1 leaves nothing after even 20 steps, one above 1 far too much,
so that it must be about 1. For a single linear unit, or a linear layer with a scaled orthogonal matrix, that is
exact: k steps back the gradient is rho^k. Two things are too simple in it. With tanh the factor is at most rho and
strictly less once units are active, so that weights above 1 do not have to explode. And for a matrix the size of
its eigenvalues tells the far future only: the matrix [[0.9, 10], [0, 0.9]] has both eigenvalues at 0.9, yet its
gradient first grows, to 38.7 times its size 9 and 10 steps back, and vanishes later. The picture draws the
gradient on the unrolled nets, each line as wide as the logarithm of what flows through it from right to left.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from claim import Line, exact, main
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

import inspector
import tinygrad_rnn as tg
from inspector import plots

Array = npt.NDArray[np.float64]

RHOS = (0.5, 0.9, 1.0, 1.1, 2.0)
STEPS, FAR = 20, 100
NON_NORMAL = np.array([[0.9, 10.0], [0.0, 0.9]])
TINTS = LinearSegmentedColormap.from_list(
    "vanish, keep, explode", ["#0072B2", "#56B4E9", "#B8BFC6", "#E69F00", "#D55E00"]
)


def norms(matrix: Array, nonlinearity: str, inputs: Array, towards: Array) -> Array:
    """The gradient norm of ``towards . h_T`` by h_{T-k}, for k = 0..T-1, of an Elman net that begins at 0."""
    n = len(matrix)
    cell = tg.cells.RNNCell(n, n, bias=False, nonlinearity=nonlinearity, seed=0)
    cell.load_state_dict({"weight_ih": np.eye(n), "weight_hh": matrix})
    run = tg.unroll(cell, inputs)
    return inspector.trace(run, tg.sum(run.outputs[-1] * towards)).norm("h")[::-1]


def measure(quick: bool, rng: np.random.Generator) -> tuple[list[Line], Any]:
    n = 8 if quick else 32
    q = tg.init.orthogonal((n, n), rng)
    towards = np.full(n, 1 / np.sqrt(n))
    silence, noise = np.zeros((STEPS + 1, 1, n)), rng.normal(size=(STEPS + 1, 1, n))
    k = np.arange(STEPS + 1)
    lines, ladders, deviations, less = [], {}, [], []
    for rho in RHOS:
        linear = norms(rho * q, "identity", noise, towards)
        asleep = norms(rho * q, "tanh", silence, towards)
        awake = norms(rho * q, "tanh", noise, towards)
        lines.append(
            exact(f"linear, rho = {rho:g}: gradient {STEPS} steps back", linear[-1], rho**STEPS, 1e-10, relative=True)
        )
        deviations.append([np.abs(found / rho**k - 1).max() for found in (linear, asleep)])
        less.append(bool((awake[1:] < rho ** k[1:]).all()))
        ladders[f"linear, ρ = {rho:g}"] = linear
    by_linear, by_asleep = np.max(deviations, axis=0)
    lines += [
        exact("linear, all rho and steps: largest deviation from rho^k", by_linear, 0.0, 1e-10),
        exact("tanh with all units at 0: largest deviation from rho^k", by_asleep, 0.0, 1e-10),
        exact("tanh reading noise: less than rho^k at every step", all(less), True),
    ]
    ladders["tanh, ρ = 2, reading noise"] = awake
    surprise = norms(NON_NORMAL, "identity", np.zeros((FAR + 1, 1, 2)), np.array([1.0, 0.0]))
    far = np.arange(FAR + 1)
    closed = 0.9**far * np.hypot(1, far * 10 / 0.9)
    off_diagonal = [_power(lag)[0, 1] for lag in (9, 10)]
    lines += [
        exact("not normal: largest eigenvalue", np.abs(np.linalg.eigvals(NON_NORMAL)).max(), 0.9, 1e-6),
        exact("not normal: d h1_T / d h2_{T-9}", off_diagonal[0], 10 * 9 * 0.9**8, 1e-12, relative=True),
        exact("not normal: d h1_T / d h2_{T-10}", off_diagonal[1], 10 * 10 * 0.9**9, 1e-12, relative=True),
        exact("not normal: norm against 0.9^k sqrt(1 + (10k/0.9)^2)", np.abs(surprise / closed - 1).max(), 0.0, 1e-12),
        exact(
            "not normal: steps back until it is below 1 again",
            int(np.argmax((surprise < 1) & (far > 0))),
            int(np.argmax((closed < 1) & (far > 0))),
        ),
    ]
    ladders["linear, eigenvalues 0.9\nand 0.9, not normal"] = surprise
    return lines, ladders


def _power(lag: int) -> Array:
    """The Jacobian of h_T by h_{T-lag} of the non-normal linear net."""
    cell = tg.cells.RNNCell(2, 2, bias=False, nonlinearity="identity", seed=0)
    cell.load_state_dict({"weight_ih": np.eye(2), "weight_hh": NON_NORMAL})
    run = tg.unroll(cell, np.zeros((lag, 1, 2)))
    return tg.jacobian(run.outputs[-1], run.initial_state.h).reshape(2, 2)


def ladder(axes: Axes, y: float, label: str, found: Array, peak: str = "") -> None:
    """One unrolled net: circles for states, lines as wide and as tinted as the gradient that flows through them."""
    k = np.linspace(0, STEPS, 10 * STEPS + 1)
    logs = np.interp(k, np.arange(STEPS + 1), np.log10(found[: STEPS + 1]))
    half = 0.21 + 0.03 * logs
    edges = np.stack([y - half, y + half])
    axes.pcolormesh(
        np.stack([-k, -k]),
        edges,
        np.stack([logs, logs]),
        cmap=TINTS,
        vmin=-4,
        vmax=4,
        shading="gouraud",
        rasterized=True,
    )
    axes.scatter(
        -np.arange(STEPS + 1), np.full(STEPS + 1, y), s=24, color="white", edgecolor="#1B1F24", linewidth=0.9, zorder=3
    )
    axes.text(-STEPS - 0.5, y, f"×{_short(found[STEPS])}", fontsize=12.5, ha="right", va="center")
    axes.text(0.5, y, label, fontsize=12.5, va="center")
    if peak:
        axes.text(
            -float(np.argmax(found)),
            y + half.max() + 0.05,
            f"×{found.max():.3g}{peak}",
            fontsize=12.5,
            ha="center",
            va="bottom",
        )


def _short(value: float) -> str:
    if 0.01 < value < 1000:
        return f"{value:.3g}"
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{mantissa} · $10^{{{int(exponent)}}}$"


def draw(found: Any, path: Path) -> None:
    figure = Figure(figsize=(12, 6.2), layout="constrained")
    axes = figure.add_subplot()
    *orthogonal, damped, surprise = found.items()
    for row, (label, curve) in enumerate(orthogonal):
        ladder(axes, -0.7 * row - 0.1 * (row == 4), label, curve)
    ladder(axes, -4.25, *damped)
    ladder(axes, -5.4, *surprise, peak=": first it grows")
    back = int(np.argmax((surprise[1] < 1) & (np.arange(FAR + 1) > 0)))
    axes.text(0.5, -5.95, f"(below 1 again {back} steps back)", fontsize=11, va="center", color="#57606A")
    axes.axhline(-3.62, color="#D8DEE4", linewidth=1)
    axes.set_xlim(-STEPS - 3.4, 6.6)
    axes.set_ylim(-6.1, 0.35)
    axes.set_xticks(range(-STEPS, 1, 5), ["20 steps back", "15", "10", "5", "0"], fontsize=11.5)
    axes.set_yticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(
        "The gradient on the unrolled net: ρᵏ, unless tanh damps it or the matrix is not normal",
        loc="left",
        fontsize=14.5,
    )
    plots.save(figure, path)


if __name__ == "__main__":
    sys.exit(main(__doc__, measure, draw))

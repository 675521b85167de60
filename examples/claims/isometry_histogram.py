"""R8: isometry histogram. How does a net stretch the space of states over 50 steps?

Texts say that the recurrent weights should be near 1, so that a gradient neither vanishes nor explodes. Near 1 in
what sense? A gradient is stretched differently in every direction, by the singular values of the Jacobian of many
steps. Gaussian weights can be scaled so that their mean square is kept, chi = g^2 E[f'(a)^2] = 1, and still after 50
steps nearly all directions are lost while a few grow: a mean says nothing. Orthogonal weights without a nonlinearity
keep every direction exactly, which is called dynamical isometry (Chen, Pennington and Schoenholz 2018); tanh
spoils it only as far as its inputs are large. Gates offer another way: a GRU whose update gate keeps the state writes
nothing either, and its Jacobian is near the identity whatever the weights. An LSTM with a large forget bias still
writes, and the paths through its gates spread the directions, unless its input gate is closed as well. The picture
shows all singular values of nine kinds of nets.
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

STEPS, LOW = 50, 1e-12


def gaussian(n: int, gain: float, rng: np.random.Generator) -> Array:
    return rng.normal(0, gain / np.sqrt(n), (n, n))


def plain(weights: Array, noise: float, rng: np.random.Generator, nonlinearity: str = "tanh") -> Array:
    """Singular values of d h_T / d h_0 of a plain net, the largest first."""
    n = len(weights)
    cell = tg.cells.RNNCell(n, n, bias=False, nonlinearity=nonlinearity, seed=0)
    cell.load_state_dict({"weight_ih": np.eye(n), "weight_hh": weights})
    run = tg.unroll(cell, noise * rng.normal(size=(STEPS, 1, n)))
    return np.linalg.svd(tg.jacobian(run.outputs[-1][0], run.initial_state.h)[:, 0], compute_uv=False)


def gated(kind: str, n: int, biases: list[float], rng: np.random.Generator) -> Array:
    """The same for an LSTM by c, biases of i f g o, or a GRU by h, biases of r z n; other weights as in PyTorch."""
    cell = (tg.cells.LSTMCell if kind == "lstm" else tg.cells.GRUCell)(n, n, seed=int(rng.integers(1 << 30)))
    cell.bias_ih.data, cell.bias_hh.data = np.repeat(biases, n), np.zeros(n * len(biases))
    run = tg.unroll(cell, rng.normal(size=(STEPS, 1, n)))
    last, first = (run.states[-1].c, run.initial_state.c) if kind == "lstm" else (run.states[-1].h, run.initial_state.h)
    return np.linalg.svd(tg.jacobian(last[0], first)[:, 0], compute_uv=False)


def slope_square(variance: float) -> float:
    """E[tanh'(a)^2] over a from N(0, variance): slopes by the framework, the integral by Gauss and Hermite."""
    x, weight = np.polynomial.hermite_e.hermegauss(120)
    a = tg.tensor(np.sqrt(variance) * x)
    return float(np.sum(tg.grad(tg.sum(tg.tanh(a)), a)[0].data ** 2 * weight) / np.sqrt(2 * np.pi))


def one_step(n: int, gain: float, rng: np.random.Generator) -> float:
    """Mean squared singular value of the Jacobian of one tanh step whose net inputs are from N(0, 1)."""
    h, R = tg.tensor(np.zeros((1, n))), gaussian(n, gain, rng)
    J = tg.jacobian(tg.tanh(h @ R.T + rng.normal(size=(1, n)))[0], h)[:, 0]
    return float((J**2).sum() / n)


def measure(quick: bool, rng: np.random.Generator) -> tuple[list[Line], Any]:
    n, seeds = (64, 3) if quick else (128, 5)
    Q = tg.init.orthogonal((n, n), rng)
    grid = np.linspace(-12, 12, 20001)
    density = np.exp(-(grid**2) / 2) / np.sqrt(2 * np.pi)
    mean_square = float(np.sum(density / np.cosh(grid) ** 4) * (grid[1] - grid[0]))
    critical = 1 / np.sqrt(mean_square)
    steps = [one_step(200, critical, one) for one in rng.spawn(12)]
    open_gate = gated_exact(n, 5.0)
    lines = [
        exact("E[tanh'^2] over N(0, 1)", slope_square(1.0), mean_square, 1e-10),
        exact("chi = g^2 E[tanh'^2] at g = 1.467: mean squared singular value of a step", np.mean(steps), 1.0, 0.1),
        exact("orthogonal, linear: mean of singular values", plain(Q, 1.0, rng, "identity").mean(), 1.0, 1e-12),
        exact("orthogonal, linear: variance of singular values", plain(Q, 1.0, rng, "identity").var(), 0.0, 1e-24),
        exact("0.9 x orthogonal, linear: largest |singular value / 0.9^50 - 1|",
              np.abs(plain(0.9 * Q, 1.0, rng, "identity") / 0.9**STEPS - 1).max(), 0.0, 1e-11),
        exact("LSTM without gate weights, forget bias 5: all singular values over sigmoid(5)^50",
              np.abs(open_gate * (1 + np.exp(-5.0)) ** STEPS - 1).max(), 0.0, 1e-11),
    ]  # fmt: skip
    kinds = {
        "linear, Gaussian, g = 1": lambda one: plain(gaussian(n, 1.0, one), 0.0, one, "identity"),
        "linear, orthogonal": lambda one: plain(tg.init.orthogonal((n, n), one), 0.0, one, "identity"),
        "tanh, Gaussian, χ = 1": lambda one: plain(gaussian(n, *critical_gain(1.0), one), noise_for(1.0), one),
        "tanh, orthogonal, inputs 0.1": lambda one: plain(tg.init.orthogonal((n, n), one), 0.1, one),
        "tanh, orthogonal, inputs 0.01": lambda one: plain(tg.init.orthogonal((n, n), one), 0.01, one),
        "LSTM, forget bias 1": lambda one: gated("lstm", n, [0, 1, 0, 0], one),
        "LSTM, forget bias 5": lambda one: gated("lstm", n, [0, 5, 0, 0], one),
        "LSTM, forget 5, input −5": lambda one: gated("lstm", n, [-5, 5, 0, 0], one),
        "GRU, update bias 5": lambda one: gated("gru", n, [0, 5, 0], one),
    }
    found = {name: np.concatenate([make(one) for one in rng.spawn(seeds)]) for name, make in kinds.items()}
    for name, values in found.items():
        near = float(((values > 0.5) & (values < 2)).mean())
        good = name.startswith(("linear, orth", "tanh, orthogonal, inputs 0.01", "LSTM, forget 5", "GRU"))
        lines.append(
            trend(
                f"{name}: share of directions kept within a factor of 2".replace("χ", "chi").replace("−", "-"),
                near,
                "most" if good else "few",
                bool((near > 0.5) == good),
                f"median {np.median(values):.2g}; {seeds} nets",
            )
        )
    return lines, found


def critical_gain(variance: float) -> tuple[float]:
    """The size of Gaussian weights at which chi = 1 for net inputs of that variance."""
    return (1 / np.sqrt(slope_square(variance)),)


def noise_for(variance: float) -> float:
    """The input noise that, with those weights, keeps the variance of net inputs as it is; at least 0."""
    x, weight = np.polynomial.hermite_e.hermegauss(120)
    state = np.sum(np.tanh(np.sqrt(variance) * x) ** 2 * weight) / np.sqrt(2 * np.pi)
    return float(np.sqrt(max(0.0, variance - critical_gain(variance)[0] ** 2 * state)))


def gated_exact(n: int, bias: float) -> Array:
    """An LSTM whose gates see nothing but their biases."""
    cell = tg.cells.LSTMCell(n, n, seed=0)
    for p in (cell.weight_ih, cell.weight_hh, cell.bias_hh):
        p.data = np.zeros(p.shape)
    cell.bias_ih.data = np.repeat([0.0, bias, 0.3, 0.0], n)
    run = tg.unroll(cell, np.ones((STEPS, 1, n)))
    return np.linalg.svd(tg.jacobian(run.states[-1].c[0], run.initial_state.c)[:, 0], compute_uv=False)


def draw(found: Any, path: Path) -> None:
    figure = Figure(figsize=(11, 6.6), layout="constrained")
    axes = figure.add_subplot()
    bins = np.logspace(-12 - 1 / 12, 4 - 1 / 12, 97)  # 1 is the middle of a bin
    colours = ["#D55E00", "#D55E00", "#E69F00", "#E69F00", "#E69F00", "#0072B2", "#0072B2", "#0072B2", "#009E73"]
    for row, (values, colour) in enumerate(zip(found.values(), colours, strict=True)):
        y = len(found) - 1 - row
        share = np.histogram(np.clip(values, 1e-12, None), bins)[0] / len(values)
        height = 0.8 * np.sqrt(share / share.max())
        axes.bar(bins[:-1], height, np.diff(bins), bottom=y, align="edge", color=colour, linewidth=0)
        axes.axhline(y, color="#C8D1DA", linewidth=0.8, zorder=0)
        lost = np.mean(values < LOW)
        if lost > 0.02:
            axes.text(1.8e-12, y + 0.6, f"{lost:.0%} below", color=colour, fontsize=11.5, va="center")
        kept = np.mean((values > 0.5) & (values < 2))
        axes.text(3e4, y + 0.3, f"{kept:.0%}", color=colour, fontsize=13, va="center")
    axes.axvspan(0.5, 2, color="#E8EEF3", zorder=-1)
    axes.set_yticks(np.arange(len(found)) + 0.3, list(found)[::-1], fontsize=12)
    axes.text(3e4, len(found) - 0.02, "kept within\na factor of 2", fontsize=11, va="bottom")
    axes.tick_params(axis="y", length=0)
    axes.set_xscale("log")
    axes.set_xlim(8e-13, 1e4)
    axes.set_ylim(-0.05, len(found))
    axes.set_xlabel(
        f"singular values of the Jacobian over {STEPS} steps (height: square root of the share)", fontsize=11
    )
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_title(
        "Orthogonal weights or shut gates keep all directions, Gaussian weights few", loc="left", fontsize=13
    )
    plots.save(figure, path)


if __name__ == "__main__":
    sys.exit(main(__doc__, measure, draw))

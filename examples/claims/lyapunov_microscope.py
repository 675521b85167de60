"""R1: the Lyapunov microscope. Where between vanishing and exploding does a net live?

Texts say that a plain net's gradient vanishes and that an LSTM's does not, and that an LSTM does not explode. The
Lyapunov exponents say what happens: the mean logarithm by which a small difference in the state grows a step, one
exponent for each direction. Below 0 in all directions differences and gradients vanish, above 0 in one they explode.
They are found by carrying an orthonormal frame through the Jacobians of every step; their sum must be the mean of
log |det J|, which checks the method exactly, as do nets whose exponents are known. With weights from N(0, g^2 / n)
all three cells cross 0: the plain net near g = 2, GRU and LSTM (forget bias 1) near 3.4. The LSTM is the flattest, it
vanishes and explodes least, but it is free of neither. The picture shows the largest exponent against g, and at
g = 2 the whole spectra: an LSTM carries twice as many numbers, and half of its directions are forgotten fast.
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

GAINS = (0.5, 1.0, 2.0, 4.0, 8.0)
CELLS: dict[str, Any] = {"RNN": tg.cells.RNNCell, "GRU": tg.cells.GRUCell, "LSTM": tg.cells.LSTMCell}
COLOURS = {"RNN": "#D55E00", "LSTM": "#0072B2", "GRU": "#009E73"}
EARLIER = {
    "RNN": (-1.13, -0.49, -0.04, 0.28, 0.51),
    "GRU": (-0.54, -0.45, -0.20, 0.07, 0.33),
    "LSTM": (-0.28, -0.21, -0.08, -0.004, 0.06),
}
"""Of one earlier run, n = 32."""


def step_jacobians(cell: tg.Cell, inputs: Array, start: Array | None = None) -> Array:
    """The Jacobian of the whole state at every step of one sequence (T, 1, I): (T, S, S).

    The steps are taken as one batch: state t depends on state t - 1 of its own row only.
    """
    with tg.no_grad():
        run = tg.unroll(cell, inputs, None if start is None else (start,))
    before = [run.initial_state, *run.states[:-1]]
    state = cell.State(*[tg.tensor(np.concatenate([s[k].data for s in before])) for k in range(len(cell.state_names))])
    after = tg.concatenate(list(cell(tg.tensor(inputs[:, 0]), state)), axis=1)
    rows = [
        np.concatenate([g.data for g in tg.grad(tg.sum(after[:, k]), list(state))], axis=1)
        for k in range(after.shape[1])
    ]
    return np.stack(rows, axis=1)


def exponents(jacobians: Array, warm_up: int = 0) -> Array:
    """The spectrum by repeated QR, largest first."""
    Q, total = np.eye(jacobians.shape[1]), np.zeros(jacobians.shape[1])
    for t, J in enumerate(jacobians):
        Q, R = np.linalg.qr(J @ Q)
        if t >= warm_up:
            total += np.log(np.maximum(np.abs(np.diag(R)), np.finfo(float).tiny))  # saturated units stop all
    return total / (len(jacobians) - warm_up)


def spectrum(name: str, gain: float, units: int, steps: int, rng: np.random.Generator) -> tuple[Array, float]:
    """Of a random cell whose net inputs get noise from N(0, 1), and how far it misses the sum rule."""
    cell = CELLS[name](units, units, seed=0)
    for kind, p in cell.named_parameters():
        p.data = np.zeros(p.shape)
        if kind == "weight_hh":
            p.data = rng.normal(0, gain / np.sqrt(units), p.shape)
        elif kind == "weight_ih":  # rows of length 1
            p.data = (W := rng.normal(size=p.shape)) / np.linalg.norm(W, axis=1, keepdims=True)
        elif kind == "bias_ih" and name == "LSTM":
            p.data = np.repeat([0.0, 1.0, 0.0, 0.0], units)  # i f g o: forget bias 1
    jacobians = step_jacobians(cell, rng.normal(size=(steps, 1, units)))
    missed = abs(exponents(jacobians).sum() - np.linalg.slogdet(jacobians).logabsdet.mean())
    return exponents(jacobians, steps // 5), float(missed)


def known(rng: np.random.Generator, steps: int) -> list[Line]:
    """Nets whose exponents are known."""
    n, quiet = 12, np.zeros((steps, 1, 12))
    linear = tg.cells.RNNCell(n, n, bias=False, nonlinearity="identity", seed=0)
    linear.weight_hh.data = 0.9 * tg.init.orthogonal((n, n), rng)
    scaled = exponents(step_jacobians(linear, quiet))
    linear.weight_hh.data = (V := rng.normal(size=(n, n))) @ np.diag(np.linspace(0.3, 1.4, n)) @ np.linalg.inv(V)
    upright = exponents(step_jacobians(linear, quiet), steps // 2)
    gru = tg.cells.MinGRUCell(n, n, seed=int(rng.integers(1 << 30)))
    run = tg.unroll(gru, inputs := rng.normal(size=(steps, 1, n)))
    z = np.stack([run.names["z", t].data[0] for t in range(steps)])
    alone = exponents(step_jacobians(gru, inputs))
    return [
        exact("0.9 Q, Q orthogonal: largest |exponent - ln 0.9|", np.abs(scaled - np.log(0.9)).max(), 0.0, 1e-12),
        exact(
            "constant weights: largest |exponent - ln |eigenvalue||",
            np.abs(upright - np.log(np.linspace(1.4, 0.3, n))).max(),
            0.0,
            1e-6,
        ),
        exact(
            "minGRU: largest |exponent - mean ln(1 - z)|",
            np.abs(np.sort(alone) - np.sort(np.log1p(-z).mean(axis=0))).max(),
            0.0,
            1e-12,
        ),
    ]


def measure(quick: bool, rng: np.random.Generator) -> tuple[list[Line], Any]:
    units, steps, seeds = (32, 200, 3) if quick else (32, 600, 5)
    lines, spectra, missed = known(rng, 400), {}, []
    for name in CELLS:
        for gain in GAINS:
            found = [spectrum(name, gain, units, steps, one) for one in rng.spawn(seeds)]
            spectra[name, gain] = np.array([s for s, _ in found])
            missed += [error for _, error in found if gain <= 2]  # beyond, saturated units make J singular to rounding
    lines.append(exact("g up to 2: largest |sum of exponents - mean ln |det J||", max(missed), 0.0, 1e-8))
    largest = {name: np.array([spectra[name, g][:, 0] for g in GAINS]) for name in CELLS}
    for name, values in largest.items():
        for gain, here, before in zip(GAINS, values, EARLIER[name], strict=True):
            lines.append(
                trend(
                    f"{name}, g = {gain:g}: largest exponent (median)",
                    np.median(here),
                    f"near {before:g}",
                    bool(abs(np.median(here) - before) < 0.1),
                    f"{seeds} nets; {here.min():.3f} to {here.max():.3f}",
                )
            )
    medians = {name: np.median(values, axis=1) for name, values in largest.items()}
    crossings = {
        name: float(np.exp(np.interp(0, m, np.log(GAINS)))) if m[-1] > 0 else np.inf for name, m in medians.items()
    }
    for name, g in crossings.items():
        lines.append(trend(f"{name}: crosses 0 at g", g, "below 8", bool(g < 8)))
    spread = {name: np.ptp(m) for name, m in medians.items()}
    lines.append(
        trend(
            "LSTM over RNN: range of the largest exponent",
            spread["LSTM"] / spread["RNN"],
            "flatter: below 1/2",
            bool(spread["LSTM"] < spread["RNN"] / 2),
        )
    )
    return lines, (largest, {name: spectra[name, 2.0] for name in CELLS}, crossings)


def draw(found: Any, path: Path) -> None:
    largest, spectra, crossings = found
    figure = Figure(figsize=(12.5, 5.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1.25, 1])
    left.axhspan(0, 1, color="#F6E8E0", zorder=0)
    left.text(0.47, 0.6, "gradients explode", fontsize=11.5, color="#57606A")
    left.text(8.2, -1.12, "gradients vanish", fontsize=11.5, color="#57606A", ha="right")
    for name, values in largest.items():
        middle = np.median(values, axis=1)
        left.fill_between(GAINS, values.min(axis=1), values.max(axis=1), color=COLOURS[name], alpha=0.2)
        left.plot(GAINS, middle, "o-", color=COLOURS[name], linewidth=2.4, markersize=6)
        left.text(8.5, middle[-1], name, color=COLOURS[name], fontsize=13, va="center")
        if np.isfinite(crossings[name]):
            left.plot(
                crossings[name],
                0,
                "D",
                color="white",
                markeredgecolor=COLOURS[name],
                markeredgewidth=2,
                markersize=8,
                zorder=5,
            )
    left.axhline(0, color="black", linewidth=1)
    left.set_xscale("log")
    left.set_xticks(GAINS, [f"{g:g}" for g in GAINS])
    left.minorticks_off()
    left.set_xlim(0.44, 11.5)
    left.set_ylim(-1.3, 0.72)
    left.set_xlabel("g, the size of the recurrent weights", fontsize=11)
    left.set_ylabel("largest Lyapunov exponent a step", fontsize=11)
    left.set_title("All cells cross 0; the LSTM is the flattest", loc="left", fontsize=13)
    for name, values in spectra.items():
        place = (np.arange(values.shape[1]) + 0.5) / values.shape[1]
        for curve in values:
            right.plot(place, curve, color=COLOURS[name], linewidth=1.4, alpha=0.8)
        right.text(1.02, values[:, -2].mean(), name, color=COLOURS[name], fontsize=12.5, va="center")
    right.axhline(0, color="black", linewidth=1)
    right.set_xlim(0, 1.18)
    right.set_xticks([0, 0.5, 1])
    right.set_xlabel("share of directions, largest exponent first", fontsize=11)
    right.set_title("All exponents at g = 2, a line a net", loc="left", fontsize=13)
    for axes in (left, right):
        axes.grid(True, axis="y", color="#D8DEE4", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    plots.save(figure, path)


if __name__ == "__main__":
    sys.exit(main(__doc__, measure, draw))

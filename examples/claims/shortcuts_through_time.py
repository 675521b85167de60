"""E15: shortcuts through time. How much do connections that skip steps help?

Texts say that time delays and slow units do not help with long lags. They do help, by a constant factor. If the
state comes back after D steps only, a gradient crosses q steps in q / D hops, so that its logarithm falls D times
as slowly; but it reaches only every D-th step, at all others it is exactly 0. If all delays from 1 to D share the
weight, the factor is not D, as one may read, but close to their mean, (D + 1) / 2: the slope is a root of a
polynomial. A clockwork net gets the same from modules that rest: one of period T loses nothing while it rests, so
it reaches T times as far. None of this changes the law: what is lost a hop is lost exponentially, and lags
beyond D hops' reach are as lost as before. The picture shows hops, gradients and the fan of slopes.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from claim import Line, exact, main, trend
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch

import inspector
import tinygrad_rnn as tg
from inspector import plots

Array = npt.NDArray[np.float64]

RHO, DELAYS, PERIODS = 0.7, (1, 2, 4, 8), (1, 2, 4, 8)
COLOURS = ("#D55E00", "#E69F00", "#009E73", "#0072B2")


def orthogonal(n: int, rng: np.random.Generator) -> Array:
    return tg.init.orthogonal((n, n), rng)


def delayed(delays: tuple[int, ...], steps: int, rng: np.random.Generator, units: int = 16) -> Array:
    """|d v h_T / d h_(T-q)| for q = 0, 1, ... in a linear net whose delays share a recurrent weight of norm RHO."""
    cell = tg.cells.NARXCell(1, units, delays=delays, nonlinearity="identity", bias=False, seed=0)
    R = orthogonal(units, rng) if len(delays) == 1 else np.eye(units)
    for d in delays:
        getattr(cell, f"R_{d}").data = RHO / len(delays) * R
    run = tg.unroll(cell, rng.normal(size=(steps + 1, 1, 1)))
    v = rng.normal(size=(1, units))
    by = tg.grad(tg.sum(run.outputs[-1] * (v / np.linalg.norm(v))), list(run.outputs)[::-1])
    return np.array([np.linalg.norm(g.data) for g in by])


def clockwork(steps: int, rng: np.random.Generator, coupled: bool, width: int = 8) -> dict[int, Array]:
    """For each module the norm of the gradient of its last state by its state q = 0, 1, ... steps earlier."""
    cell = tg.cells.ClockworkCell(1, width * len(PERIODS), periods=PERIODS, bias=False, seed=0)
    for k in range(len(PERIODS)):
        R = getattr(cell, f"R_{k}")  # from the module itself, then from the slower ones
        R.data = np.concatenate([RHO * orthogonal(width, rng), R.data[:, width:] * coupled], axis=1)
    inputs = 0.3 * rng.normal(size=(steps + 1, 1, 1)) * coupled
    run, found = tg.unroll(cell, inputs), {}
    for k, period in enumerate(PERIODS):
        own = slice(k * width, (k + 1) * width)
        v = rng.normal(size=(1, width))
        loss = tg.sum(run.outputs[-1][:, own] * (v / np.linalg.norm(v)))
        trace = inspector.trace(run, loss)
        found[period] = np.array([np.linalg.norm(trace.gradient("h", t)[:, own]) for t in range(steps, -1, -1)])
    return found


def slope(norms: Array) -> float:
    """Of log norm against steps back, over those that are not 0."""
    q = np.flatnonzero(norms)
    return float(np.polyfit(q, np.log(norms[q]), 1)[0])


def measure(quick: bool, rng: np.random.Generator) -> tuple[list[Line], Any]:
    steps, lines = 64 if quick else 128, []
    single = {D: delayed((D,), steps, rng) for D in DELAYS}
    for D, norms in single.items():
        q = np.arange(0, steps + 1, D)
        lines += [
            exact(
                f"delay {D}: largest |gradient / rho^(q/D) - 1|",
                np.abs(norms[q] / RHO ** (q / D) - 1).max(),
                0.0,
                1e-10,
            ),
            exact(f"delay {D}: slope over ln(rho)", slope(norms) / np.log(RHO), 1 / D, 1e-10),
            exact(f"delay {D}: steps reached of {steps}", int(np.count_nonzero(norms[1:])), steps // D),
        ]
    shared = {D: delayed(tuple(range(1, D + 1)), 4 * steps, rng, units=1) for D in DELAYS}
    for D in DELAYS[1:]:
        root = np.abs(np.roots([1.0, *[-RHO / D] * D])).max()
        tail = shared[D][2 * steps :]
        lines += [
            exact(f"delays 1 to {D}: slope in the long run", slope(tail), np.log(root), 1e-6),
            trend(
                f"delays 1 to {D}: reach over that of delay 1",
                np.log(RHO) / slope(tail),
                f"about (D + 1)/2 = {(D + 1) / 2:g}",
                bool(abs(np.log(RHO) / slope(tail) / ((D + 1) / 2) - 1) < 0.2),
                "within 20 %",
            ),
        ]
    alone = clockwork(steps, rng, coupled=False)
    for period, norms in alone.items():
        rests = np.diff(np.round(np.log(norms) / np.log(RHO))) == 0
        lines += [
            exact(
                f"clockwork, period {period}: gradient over {steps} steps",
                norms[-1],
                RHO ** (steps / period),
                1e-10,
                relative=True,
            ),
            exact(
                f"clockwork, period {period}: steps at which nothing is lost", int(rests.sum()), steps - steps // period
            ),
        ]
    ratios = np.array(
        [
            [slope(found[1]) / slope(found[T]) for T in PERIODS[1:]]
            for found in (clockwork(steps, one, coupled=True) for one in rng.spawn(3 if quick else 7))
        ]
    )
    for period, found in zip(PERIODS[1:], ratios.T, strict=True):
        lines.append(
            trend(
                f"coupled tanh clockwork, noise: reach of period {period} over that of 1",
                np.median(found),
                f"{period} ±10 %",
                bool(abs(np.median(found) / period - 1) < 0.1),
                f"{len(found)} nets; {found.min():.2f} to {found.max():.2f}",
            )
        )
    return lines, (single, shared, alone)


def draw(found: Any, path: Path) -> None:
    single, shared, alone = found
    reach = 48
    figure = Figure(figsize=(12.5, 7), layout="constrained")
    top, bottom = figure.subplots(2, 1, height_ratios=[1, 2.6])
    bottom.remove()
    grid = top.get_gridspec()
    left, right = (figure.add_subplot(part) for part in grid[1].subgridspec(1, 2))
    for row, (D, colour) in enumerate(zip(DELAYS, COLOURS, strict=True)):
        y = -1.5 * row
        top.plot(np.arange(17), np.full(17, y), "o", color="#C8D1DA", markersize=5, zorder=2)
        top.plot(np.arange(0, 17, D), np.full(16 // D + 1, y), "o", color=colour, markersize=7, zorder=3)
        for start in range(0, 16, D):
            hop = FancyArrowPatch(
                (start, y),
                (start + D, y),
                connectionstyle=f"arc3,rad={-0.5 if D < 4 else -0.9 / D}",
                arrowstyle="-|>",
                mutation_scale=11,
                color=colour,
                linewidth=1.6,
                shrinkA=3,
                shrinkB=4,
            )
            top.add_patch(hop)
        top.text(
            16.7,
            y,
            f"delay {D}: {16 // D} hops, gradient ρ$^{{{16 // D}}}$ = {RHO ** (16 / D):.3g}",
            color=colour,
            fontsize=12,
            va="center",
        )
    top.set_xlim(-0.5, 23)
    top.set_ylim(-5.1, 1.3)
    top.set_xticks(range(0, 17, 4), ["T", "T−4", "T−8", "T−12", "T−16"], fontsize=11)
    top.set_yticks([])
    top.spines[:].set_visible(False)
    top.tick_params(length=0)
    top.set_title(f"Sixteen steps back through connections that skip steps, each hop ×{RHO:g}", loc="left", fontsize=13)
    for axes, curves, title in (
        (left, single, "One delay D: slope ln(ρ)/D, between hops exactly 0"),
        (right, alone, "Clockwork: a module loses nothing while it rests"),
    ):
        for (D, norms), colour in zip(curves.items(), COLOURS, strict=True):
            q = np.arange(reach + 1)
            if axes is left:
                hit = q[norms[q] > 0]
                axes.plot(hit, norms[hit], color=colour, linewidth=1, alpha=0.6)
                axes.plot(hit, norms[hit], "o", color=colour, markersize=4.5)
            else:
                axes.plot(q, norms[q], color=colour, linewidth=2.2)
            axes.text(
                reach + 0.8,
                RHO ** (reach / D),
                f"{'D' if axes is left else 'period'} = {D}",
                color=colour,
                fontsize=11.5,
                va="center",
            )
        axes.set_yscale("log")
        axes.set_ylim(1e-8, 3)
        axes.set_xlim(-1, reach + (7 if axes is left else 11))
        axes.set_xticks(range(0, reach + 1, 8))
        axes.set_xlabel("steps back q", fontsize=11)
        axes.set_title(title, loc="left", fontsize=12.5)
        axes.grid(True, axis="y", color="#D8DEE4", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    D = DELAYS[-1]
    left.plot(
        np.arange(reach + 1), shared[D][: reach + 1] / shared[D][0], color="black", linewidth=1.3, linestyle=(0, (4, 2))
    )
    left.annotate(
        "all delays from 1 to 8,\neach with ρ/8",
        (20, shared[D][20]),
        (3, 2e-6),
        fontsize=11.5,
        arrowprops={"arrowstyle": "-", "linewidth": 0.8},
    )
    left.set_ylabel("size of the gradient", fontsize=11)
    plots.save(figure, path)


if __name__ == "__main__":
    sys.exit(main(__doc__, measure, draw))

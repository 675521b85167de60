"""R10: Ring's staircase. What does a net cost that grows a unit for every step it must look back?

Texts say that Ring's approach needs as many units as there are steps to bridge, and generalises poorly. Both are
exactly so. In his transition hierarchies a unit is added wherever a connection is pulled both ways; it looks one step
further back than the connection it changes. So a lag of q steps takes a chain of q units for each output, no
more and no less. The net finds them fast, in a few hundred sequences for lags at which gradients vanish: no error has
to travel through time, since every unit has a delay of its own. But what it has learned is that delay. Trained with one
lag, it is at chance at any other; trained with all lags up to q, it is right up to q and at chance from q + 1 on. The
picture shows units being added while nets learn, and who can answer at which lag.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from claim import Line, exact, main, trend
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from inspector import plots
from tinygrad_rnn.baselines.higher_order import TransitionHierarchy

Array = npt.NDArray[Any]


def sequence(first: int, lag: int) -> tuple[Array, Array, Array]:
    """A symbol 0 or 1, fillers 2, and after `lag` steps the question 3, whose answer is the first symbol."""
    symbols = [first, *[2] * (lag - 1), 3]
    target, asked = np.zeros((lag + 1, 2)), np.arange(lag + 1) == lag
    target[-1, first] = 1
    return np.eye(4)[symbols], target, asked


def train(lags: list[int], rng: np.random.Generator) -> tuple[TransitionHierarchy, list[int], bool]:
    """Learn until 50 sequences a lag are right in a row; and the number of units after every sequence."""
    lr = min(0.1, 0.6 / max(lags))  # a whole chain of units answers for one error
    net = TransitionHierarchy(4, 2, lr=lr)
    units: list[int] = []
    right = 0
    while right < 50 * len(lags) and len(units) < 20_000:
        error = net.learn(*sequence(int(rng.integers(2)), int(rng.choice(lags))))
        right = right + 1 if error < 0.25 else 0
        units.append(len(net.units))
    return net, units, right >= 50 * len(lags)


def answers(net: TransitionHierarchy, longest: int) -> Array:
    """The share of both symbols that are told at lags 1 to `longest`."""
    return np.array(
        [
            np.mean([np.argmax(net.predict(sequence(first, lag)[0])[-1]) == first for first in (0, 1)])
            for lag in range(1, longest + 1)
        ]
    )


def measure(quick: bool, rng: np.random.Generator) -> tuple[list[Line], Any]:
    lags, longest = ([1, 2, 4, 8, 16] if quick else [1, 2, 4, 8, 16, 32]), 20 if quick else 36
    lines, curves, table = [], {}, {}
    for lag in lags:
        runs = [train([lag], one) for one in rng.spawn(3 if quick else 5)]
        counts = {len(net.units) for net, _, _ in runs}
        told = np.array([answers(net, longest) for net, _, _ in runs])
        curves[lag], table[f"{lag}"] = runs[0][1], told[0]
        taken = sorted(len(units) - 50 for _, units, _ in runs)
        others = np.delete(told, lag - 1, axis=1)
        lines += [
            exact(f"lag {lag}: most units of {len(runs)} nets", max(counts), 2 * lag),
            exact(f"lag {lag}: fewest units", min(counts), 2 * lag),
            exact(f"lag {lag}: answers right at that lag", told[:, lag - 1].min(), 1.0),
            exact(f"lag {lag}: answers right at any other lag up to {longest}", np.abs(others - 0.5).max() + 0.5, 0.5),
            trend(
                f"lag {lag}: sequences until solved (median)",
                int(np.median(taken)),
                "fewer than 5000",
                taken[-1] < 5000,
                f"{taken[0]} to {taken[-1]}",
            ),
        ]
    for most in (4, 8):
        net, _, _ = train(list(range(1, most + 1)), rng)
        told = answers(net, longest)
        table[f"1 to {most}"] = told
        lines += [
            exact(f"lags 1 to {most}: units", len(net.units), 2 * most),
            exact(f"lags 1 to {most}: answers right up to {most}", told[:most].min(), 1.0),
            exact(f"lags 1 to {most}: answers right beyond", told[most:].max(), 0.5),
        ]
    return lines, (curves, table)


def draw(found: Any, path: Path) -> None:
    curves, table = found
    figure = Figure(figsize=(12.5, 5.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.35])
    colours = dict(zip(curves, ("#56B4E9", "#009E73", "#E69F00", "#D55E00", "#CC79A7", "#0072B2"), strict=False))
    for lag, units in curves.items():
        left.step(np.arange(1, len(units) + 1), np.array(units) / 2, where="post", color=colours[lag], linewidth=2.2)
        left.text(len(units) * 1.06, lag, f"lag {lag}", color=colours[lag], fontsize=12, va="center")
    left.set_xscale("log")
    left.set_yscale("log", base=2)
    left.set_yticks(list(curves), [str(lag) for lag in curves])
    left.set_ylim(0.45, 1.6 * max(curves))
    left.set_xlim(10, 2.6 * max(len(units) for units in curves.values()))
    left.set_xlabel("sequences learned from", fontsize=11)
    left.set_ylabel("units for each output", fontsize=11)
    left.set_title("A unit for every step back", loc="left", fontsize=13)
    left.grid(True, axis="y", color="#D8DEE4", linewidth=0.6)
    left.spines[["top", "right"]].set_visible(False)
    rows = np.array(list(table.values()))
    right.imshow(rows > 0.75, cmap=ListedColormap(["#E8EEF3", "#0072B2"]), aspect="auto", vmin=0, vmax=1)
    for y in range(len(rows)):
        right.axhline(y - 0.5, color="white", linewidth=3)
    for x in range(rows.shape[1]):
        right.axvline(x - 0.5, color="white", linewidth=1)
    right.set_yticks(range(len(rows)), list(table), fontsize=11.5)
    shown = [k for k in range(1, rows.shape[1] + 1) if k in (1, 2, 4) or k % 4 == 0]
    right.set_xticks([k - 1 for k in shown], [str(k) for k in shown])
    right.tick_params(length=0)
    right.spines[:].set_visible(False)
    right.set_xlabel("lag when tested", fontsize=11)
    right.set_ylabel("lags when trained", fontsize=11)
    right.set_title("Right (blue) only at lags that were trained, else chance", loc="left", fontsize=13)
    plots.save(figure, path)


if __name__ == "__main__":
    sys.exit(main(__doc__, measure, draw))

"""R9: Kalman against SGD. Does treating weights as a state to be estimated help with long lags?

Texts say that Kalman filters are not for long time lags. The extended Kalman filter keeps how uncertain all weights
are, and together with which others, at a price that grows with the square of their number. Where the output is linear
in the weights it is ridge regression, in any order of the data. It learns to recall a symbol of some steps ago from
several times fewer sequences than SGD and Adam, up to lag 6; at lag 8, with the same settings, it gets stuck where they
still arrive. For the latch, one bit to keep through noise, the filter is good at any lag we tried. Does it send credit
so far? It does not: Puskorius and Feldkamp (1994) let derivatives decay by a factor a step, and with 1/2, which leaves
1e-48 at lag 160, it succeeds no less. Its large steps find a latch by luck, as guessing does (E11). So the saying is
neither shown nor refuted by the latch: a problem that luck can solve measures no memory of a learning rule.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from claim import Line, exact, main, trend
from matplotlib.figure import Figure

import tinygrad_rnn as tg
from inspector import plots
from tinygrad_rnn.baselines.kalman import ExtendedKalmanFilter

Array = npt.NDArray[np.float64]

COLOURS = {"Kalman": "#0072B2", "Kalman, decay 1/2": "#CC79A7", "SGD": "#D55E00", "Adam": "#009E73"}
RATES = {
    "recall": {"Kalman": (1.0, 1.0), "SGD": 0.1, "Adam": 0.01},
    "latch": {"Kalman": (1.0, 0.1), "Kalman, decay 1/2": (1.0, 0.1), "SGD": 0.1, "Adam": 0.03},
}
"""The best of a few: uncertainty and noise of the filter, learning rates of the others."""


class Decaying(tg.cells.RNNCell):
    """A plain net whose derivative by the last state is multiplied by gamma, while its values are as ever."""

    gamma = 1.0

    def step(self, x: Any, state: Any) -> Any:
        h = self.gamma * state.h + (1 - self.gamma) * tg.stop_gradient(state.h)
        return super().step(x, self.State(h))


def reach(gamma: float, R: Array, steps: int, rng: np.random.Generator) -> Array:
    """|d v h_T / d h_(T-q)| for q = 0..steps."""
    cell = Decaying(1, len(R), bias=False, seed=0)
    cell.weight_hh.data, cell.gamma = R, gamma
    run = tg.unroll(cell, 0.1 * rng.normal(size=(steps + 1, 1, 1)))
    by = tg.grad(tg.sum(run.outputs[-1]), list(run.outputs)[::-1])
    return np.array([np.linalg.norm(g.data) for g in by])


def regression(rng: np.random.Generator) -> list[Line]:
    """A filter for weights that are seen through a linear output."""
    X, y, noise, uncertainty = rng.normal(size=(40, 6)), rng.normal(size=40), 0.5, 3.0
    found = []
    for order in (np.arange(40), rng.permutation(40)):
        w = tg.tensor(np.zeros(6), requires_grad=True)
        filtering = ExtendedKalmanFilter([w], uncertainty=uncertainty, noise=noise)
        for k in order:
            filtering.step(tg.sum(w * X[k]), y[k])
        found.append((w.data, filtering.P))
    precision = X.T @ X + noise / uncertainty * np.eye(6)
    ridge = np.linalg.solve(precision, X.T @ y)
    return [
        exact("linear output: largest |weight - ridge regression|", np.abs(found[0][0] - ridge).max(), 0.0, 1e-10),
        exact(
            "linear output: largest |covariance - noise (X'X + ridge)^-1|",
            np.abs(found[0][1] - noise * np.linalg.inv(precision)).max(),
            0.0,
            1e-10,
        ),
        exact(
            "linear output: largest change with the order of the data",
            np.abs(found[0][0] - found[1][0]).max(),
            0.0,
            1e-10,
        ),
    ]


def recall(lag: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Random symbols; from step `lag` on, tell the symbol of so many steps ago."""
    x = rng.choice([-1.0, 1.0], (lag + 10, 1, 1))
    return x, x[:10, 0]


def latch(lag: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """One symbol and then noise; tell the symbol at the end."""
    x = 0.1 * rng.normal(size=(lag + 1, 1, 1))
    x[0] = rng.choice([-1.0, 1.0])
    return x, x[:1, 0].copy()


def sequences(task: str, learner: str, lag: int, most: int, rng: np.random.Generator) -> float:
    """How many sequences are learned from until 20 in a row are right; infinite if never."""
    seed, rate = int(rng.integers(1 << 30)), RATES[task][learner]
    units, draw_one = (12, recall) if task == "recall" else (6, latch)
    cell: Any = Decaying(1, units, seed=seed)
    cell.gamma = 0.5 if "decay" in learner else 1.0
    model = tg.models.SequenceModel(
        cell if "Kalman" in learner else tg.compile(tg.cells.RNNCell(1, units, seed=seed)), 1, seed=seed
    )
    step: Callable[[Any, Array], Any]
    if "Kalman" in learner:
        step = ExtendedKalmanFilter(model.parameters(), uncertainty=rate[0], noise=rate[1], drift=1e-3).step
    else:
        optimizer = (tg.optim.SGD if learner == "SGD" else tg.optim.Adam)(model.parameters(), lr=rate)

        def step(outputs: Any, targets: Array) -> None:
            optimizer.zero_grad()
            tg.losses.mse_loss(outputs, targets).backward()
            tg.optim.clip_grad_norm(model.parameters(), 1.0)
            optimizer.step()

    right = 0
    for k in range(most + 20):
        x, targets = draw_one(lag, rng)
        outputs = model(x).outputs[lag:, 0]
        right = right + 1 if np.abs(outputs.data - targets).max() < 0.5 else 0
        if right == 20:
            return k - 19.0
        step(outputs, targets)
    return np.inf


def measure(quick: bool, rng: np.random.Generator) -> tuple[list[Line], Any]:
    lines, seeds = regression(rng), 3 if quick else 7
    R, same = 0.98 * tg.init.orthogonal((12, 12), rng), int(rng.integers(1 << 30))
    full = reach(1.0, R, 30, np.random.default_rng(same))
    for gamma in (0.9, 0.5):
        off = np.abs(reach(gamma, R, 30, np.random.default_rng(same)) / full / gamma ** np.arange(31) - 1).max()
        lines.append(
            exact(f"decay {gamma:g}: largest |gradient q steps back over gamma^q of the full one - 1|", off, 0.0, 1e-10)
        )
    lags = (
        {"recall": (2, 4, 6), "latch": (10, 40)}
        if quick
        else {"recall": (2, 4, 6, 8), "latch": (5, 10, 20, 40, 80, 160)}
    )
    found: dict[str, dict[str, dict[int, Array]]] = {task: {learner: {} for learner in RATES[task]} for task in RATES}
    for task, learners in found.items():
        for lag in lags[task]:
            for learner, by_lag in learners.items():
                most = (100 if quick else 300) if "Kalman" in learner else (600 if quick else 3000)
                taken = by_lag[lag] = np.array([sequences(task, learner, lag, most, one) for one in rng.spawn(seeds)])
                said = (
                    f"{taken.min():.0f} to {taken.max():.0f}"
                    if np.isfinite(taken).all()
                    else f"{np.isinf(taken).sum()} of {seeds} never within {most}"
                )
                lines.append(
                    trend(
                        f"{task}, lag {lag}, {learner}: sequences until right (median)",
                        np.median(taken),
                        "told only",
                        True,
                        said,
                    )
                )
            ours, others = np.median(learners["Kalman"][lag]), min(np.median(learners[o][lag]) for o in ("SGD", "Adam"))
            lines.append(
                trend(
                    f"{task}, lag {lag}: the filter needs fewer sequences than SGD and Adam",
                    f"{ours:g} against {others:g}",
                    "yes",
                    bool(ours < others),
                    f"{seeds} nets",
                )
            )
    late = found["latch"]["Kalman, decay 1/2"][lags["latch"][-1]]
    lines.append(
        trend(
            f"latch, lag {lags['latch'][-1]}: solved although derivatives are halved a step",
            f"{np.isfinite(late).sum()} of {seeds}",
            "most",
            bool(np.isfinite(late).mean() > 0.5),
        )
    )
    return lines, found


def draw(found: Any, path: Path) -> None:
    figure = Figure(figsize=(12.5, 5), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    never = 2e4
    titles = {"recall": "Recall: a shift register must be learned", "latch": "Latch: luck is enough, at any lag"}
    for axes, (task, learners) in zip(panels, found.items(), strict=True):
        for k, (learner, by_lag) in enumerate(learners.items()):
            colour, place = COLOURS[learner], 0.11 * (k - (len(learners) - 1) / 2)
            middle = []
            for column, values in enumerate(by_lag.values()):
                shown = np.maximum(np.where(np.isinf(values), never, values), 1)
                spread = np.linspace(-0.03, 0.03, len(values))
                axes.plot(column + place + spread, shown, "o", color=colour, markersize=5, alpha=0.7, markeredgewidth=0)
                middle.append(np.median(shown))
            solved = np.array(middle) < never
            axes.plot(
                (np.arange(len(middle)) + place)[solved],
                np.array(middle)[solved],
                color=colour,
                linewidth=2.4,
                label=learner,
            )
        axes.axhspan(8e3, 5e4, color="#F6E8E0", zorder=0)
        axes.text(-0.45, never, "never", fontsize=12, color="#57606A", va="center")
        axes.set_xticks(range(len(by_lag)), [str(lag) for lag in by_lag])
        axes.set_xlim(-0.5, len(by_lag) - 0.5)
        axes.set_yscale("log")
        axes.set_ylim(0.8, 5e4)
        axes.set_yticks([1, 10, 100, 1000], ["1", "10", "100", "1,000"])
        axes.set_xlabel("lag in steps", fontsize=11)
        axes.set_title(titles[task], loc="left", fontsize=13)
        axes.grid(True, axis="y", color="#D8DEE4", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("sequences until right", fontsize=11)
    panels[1].legend(
        frameon=False, fontsize=12, labelcolor="linecolor", loc="upper right", bbox_to_anchor=(1, 0.83), ncols=2
    )
    figure.suptitle(
        "A Kalman filter learns from few sequences; how far back is another question", x=0.01, ha="left", fontsize=14
    )
    plots.save(figure, path)


if __name__ == "__main__":
    sys.exit(main(__doc__, measure, draw))

"""E17: warped time. Do time constants help when a text is read too slowly, or at a changing pace?

Texts file time constants under remedies that fail on long lags and need tuning by hand. Tallec & Ollivier (2018) say
precisely what they can do. A leaky unit whose rate is divided by c does with a text slowed c times what it did before;
without recurrent weights this is exact, with them it holds up to an error that halves when the steps do. So leaky nets
can follow any text that is slowed evenly. If every character lasts for another time, the rate has to change from step
to step, and that is a gate: their derivation of gates, from nothing but this. The task is to name the character before
the present one. Slowed evenly, leaky nets and gated ones learn it, and the plain RNN falls behind from ten times on;
at a changing pace the gated net is ahead of all. But the leaky ones are not helpless there, if units may learn
different time constants; with one constant for all, they are worse than the plain RNN for all but the widest changes.
"""

from __future__ import annotations

import sys
from math import log
from pathlib import Path
from typing import Any

import numpy as np
from claim import Line, exact, main, trend
from matplotlib.figure import Figure

import tinygrad_rnn as tg
from inspector import plots

FACTORS, LENGTH, UNITS, BATCH = (1, 4, 10, 20), 100, 24, 16
STEPS, QUICK_STEPS = 600, 250
KINDS = ("RNN", "leaky, one constant", "leaky, learned", "gated")
COLOURS = dict(zip(KINDS, ("#000000", "#E69F00", "#D55E00", "#0072B2"), strict=True))


class GatedLeakyCell(tg.cells.GatedCell):
    """A leaky unit whose rate is a gate: ``h_t = g_t * n_t + (1 - g_t) * h_{t-1}``; Tallec & Ollivier 2018, eq. 10."""

    def __init__(self, input_size: int, hidden_size: int, **options: Any) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.declare("g", "input")  # this role gives it biases for the length of the task
        self.declare("n", "candidate")

    def step(self, x: Any, state: Any) -> Any:
        g = tg.named(g=tg.sigmoid(self.net("g", x, state.h)))
        n = tg.named(n=tg.tanh(self.net("n", x, state.h)))
        return (tg.named(h=g * n + (1.0 - g) * state.h),)


def fresh(kind: str, task: tg.tasks.Warped, seed: int) -> tg.Cell:
    sizes, options = (task.symbols, UNITS), {"seed": seed, "dtype": np.float32}
    if kind == "RNN":
        return tg.cells.RNNCell(*sizes, **options)
    if kind == "leaky, learned":
        return tg.cells.MozerCell(*sizes, **options)
    if kind == "gated":
        return GatedLeakyCell(*sizes, init=tg.init.preset("chrono", t_max=max(3, task.factor)), **options)
    mean = (1 + task.factor) / 2 if task.variable else task.factor
    return tg.cells.LeakyCell(*sizes, time_constant=float(mean), **options)


def loss_after(kind: str, task: tg.tasks.Warped, steps: int, seed: int) -> float:
    """Cross-entropy on new texts after so many training steps."""
    model = tg.models.SequenceModel(tg.compile(fresh(kind, task, seed)), task.symbols, seed=seed)
    optimizer = tg.optim.Adam(model.parameters(), lr=0.01)
    tg.fit(model, task, steps=steps, batch=BATCH, optimizer=optimizer, clip=1.0, seed=seed, progress=False)
    return float(tg.training.evaluate(model, task, 200, seed=seed)[0])


def slowed(rng: np.random.Generator, rate: float, factor: int, recurrent: bool, rates: Any) -> Any:
    """States of a leaky net with a slower `rates`, on a text slowed `factor` times: at each end of a character."""
    cell = tg.cells.LeakyCell(3, 5, time_constant=1.0 / rates(rate, factor), seed=int(rng.integers(2**31)))
    if not recurrent:
        cell.load_state_dict(cell.state_dict() | {"R_n": np.zeros((5, 5))})
    text = np.random.default_rng(0).normal(size=(20, 1, 3))
    return tg.unroll(tg.compile(cell), np.repeat(text, factor, axis=0)).stacked.data[factor - 1 :: factor]


def theory(rng: np.random.Generator) -> list[Line]:
    """What slowing down does to a leaky net of the same weights."""
    seed, rate = int(rng.integers(2**31)), 0.4

    def same(*options: Any) -> Any:
        return slowed(np.random.default_rng(seed), rate, *options)

    def root(a: float, c: int) -> float:
        return 1.0 - (1.0 - a) ** (1.0 / c)

    def ratio(a: float, c: int) -> float:
        return a / c

    drift = max(float(np.abs(same(c, False, root) - same(1, False, root)).max()) for c in (2, 10, 50))
    limit = 2 * same(1024, True, ratio) - same(512, True, ratio)  # Richardson's step towards continuous time
    errors = [float(np.abs(same(c, True, ratio) - limit).max()) for c in (16, 32, 64)]
    order = log(errors[0] / errors[2]) / log(4)
    return [
        exact("no recurrence: states moved by slowing 2, 10 and 50 times", drift, 0.0, 1e-12),
        exact("recurrent: order in 1/c of the error of slowing c times", order, 1.0, 0.03),
    ]


def measure(quick: bool, rng: np.random.Generator) -> tuple[list[Line], Any]:
    seeds = [int(seed) for seed in rng.integers(2**31, size=3 if quick else 5)]
    steps = QUICK_STEPS if quick else STEPS
    factors = (10,) if quick else FACTORS
    lines, found = theory(rng), {}
    for variable in (False, True):
        for factor in factors:
            task = tg.tasks.Warped(LENGTH, factor=factor, variable=variable)
            for kind in KINDS:
                if factor == 1 and variable:  # not warped at all
                    found[kind, variable, factor] = found[kind, False, factor]
                else:
                    found[kind, variable, factor] = [loss_after(kind, task, steps, seed) for seed in seeds]
    for variable, kind, says, low, high in (
        (False, "RNN", "above 0.3", 0.3, 9.0),
        (False, "leaky, one constant", "below 0.1", 0.0, 0.1),
        (False, "leaky, learned", "below 0.05", 0.0, 0.05),
        (False, "gated", "below 0.05", 0.0, 0.05),
        (True, "gated", "below 0.1", 0.0, 0.1),
    ):
        values = found[kind, variable, 10]
        middle, pace = float(np.median(values)), "at a changing pace up to 10" if variable else "evenly 10"
        span = f"median, {min(values):.3g} to {max(values):.3g} over {len(seeds)} seeds, {steps} steps"
        lines.append(trend(f"{kind}: loss when slowed {pace} times", middle, says, low <= middle <= high, span))
    for kind in KINDS[:3]:
        ratios = np.divide(found[kind, True, 10], found["gated", True, 10])
        middle, span = float(np.median(ratios)), f"median, {ratios.min():.3g} to {ratios.max():.3g}"
        lines.append(
            trend(
                f"{kind}: loss over that of the gated net, at a changing pace", middle, "above 1.5", middle > 1.5, span
            )
        )
    return lines, (factors, found)


def draw(found: Any, path: Path) -> None:
    factors, losses = found
    figure = Figure(figsize=(13, 5), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    titles = ("Slowed evenly: a time constant is enough", "At a changing pace: it takes a gate")
    places = np.arange(len(factors))
    lowest = min(0.01, *(min(values) for values in losses.values())) / 1.5
    for panel, variable, title in zip(panels, (False, True), titles, strict=True):
        for k, kind in enumerate(KINDS):
            values = np.array([losses[kind, variable, factor] for factor in factors])
            middle = np.median(values, axis=1)
            panel.plot(places, middle, color=COLOURS[kind], linewidth=2.4, label=kind, zorder=3)
            panel.plot(
                places + 0.03 * (k - 1.5),
                values,
                "o",
                color=COLOURS[kind],
                markersize=4.5,
                alpha=0.55,
                markeredgewidth=0,
            )
        low = 0.0
        for kind in sorted(KINDS, key=lambda kind: np.median(losses[kind, variable, factors[-1]])):
            low = max(1.5 * low, float(np.median(losses[kind, variable, factors[-1]])))  # no label upon another
            panel.text(places[-1] + 0.12, low, kind, color=COLOURS[kind], fontsize=11, va="center")
        panel.axhline(log(9), color="#57606A", linewidth=0.9, linestyle=(0, (4, 3)))
        panel.text(0, log(9) * 1.08, "no memory: ln 9", color="#57606A", fontsize=10, va="bottom")
        panel.set_xticks(
            places, [str(factor) if not variable or factor == 1 else f"1 to {factor}" for factor in factors]
        )
        panel.set(
            yscale="log", xlabel="steps that a character lasts", ylim=(lowest, 9.0), xlim=(-0.15, places[-1] + 1.3)
        )
        panel.set_title(title, loc="left", fontsize=12)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("cross-entropy on new texts; lines are medians, dots seeds")
    plots.save(figure, path)


if __name__ == "__main__":
    sys.exit(main(__doc__, measure, draw))

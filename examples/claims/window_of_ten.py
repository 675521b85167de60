"""E9: window of ten. What does a network lose that learns from its last ten words only?

Texts say that the gradient over a whole text of 108 words is out of reach, so one takes the last 10 words, and that
cutting the text into blocks loses what lies further back. The first half is too strong: the exact gradient takes time
and memory in proportion to the length, no more. The second half is right about credit: of the gradient that an exact
sweep finds, a window of 10 keeps 65 % where each step fades by 0.9, and 9 % where nothing fades, the case one hopes
for. It is wrong about memory: the state still flows forward through the cut, unchanged. The left picture shows the
credit of each word. The maps show who learns to name a bit that came d words ago, from windows of k words; right of
the stairs the bit lies outside. No credit can reach it there, and mostly nothing is learned. But about one training in
five learns it all the same: a trace of the bit is still in the state when the window begins, a few words suffice to
learn to hold on to it, and what is held better makes a stronger trace.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from claim import Line, exact, main, trend
from matplotlib.figure import Figure

import tinygrad_rnn as tg
from inspector import plots

WORDS, WINDOW, FADES = 108, 10, (0.9, 0.99, 1.0)
LAGS, WINDOWS = (2, 4, 8, 16, 32), (2, 4, 8, 16)
STEPS, QUICK_STEPS = 800, 300
CELLS: dict[str, Any] = {
    "RNN": lambda seed: tg.cells.RNNCell(2, 12, seed=seed, dtype=np.float32),
    "LSTM": lambda seed: tg.cells.LSTMCell(2, 12, seed=seed, dtype=np.float32, init="keras"),
}
COLOURS = {0.9: "#0072B2", 0.99: "#D55E00", 1.0: "#000000"}


def ahead(model: Any, x: Any, window: int) -> Any:
    """The last answer to x (T, batch, features), with a gradient through the last `window` steps only."""
    state = None
    if window < len(x):
        with tg.no_grad():
            state = tg.unroll(model.cell, x[:-window]).final_state
    return model(x[-window:], state=state)


def credit(fade: float, window: int) -> tuple[float, float, Any]:
    """The last state of h = fade h + x, its gradient for the input weight, and for each word; cut before the window."""
    cell = tg.cells.RNNCell(1, 1, nonlinearity="identity")
    cell.load_state_dict({"weight_ih": [[1.0]], "weight_hh": [[fade]], "bias_ih": [0.0], "bias_hh": [0.0]})
    before, inside = np.ones((WORDS - window, 1, 1)), np.ones((window, 1, 1))
    words, state = [], None
    if len(before):
        run = tg.unroll(cell, before)
        words, state = list(run.inputs), cell.State(*map(tg.stop_gradient, run.final_state))
    run = tg.unroll(cell, inside, state)
    last, words = run.outputs[-1], [*words, *run.inputs]
    weight, *gradients = tg.grad(tg.sum(last), [cell.weight_ih, *words])
    return last.item(), weight.item(), np.array([gradient.item() for gradient in gradients])


def accuracy(kind: str, lag: int, window: int, steps: int, seed: int) -> float:
    """Train on windows to say the first of `lag` random bits, and test; chance is one half."""
    rng = np.random.default_rng(seed)
    model = tg.models.SequenceModel(tg.compile(CELLS[kind](seed)), 1, seed=seed)
    optimizer = tg.optim.Adam(model.parameters(), lr=0.01)

    def draw(size: int) -> Any:
        x = np.zeros((lag, size, 2))
        x[..., 0] = rng.choice([-1.0, 1.0], (lag, size))
        x[0, :, 1] = 1.0  # this one counts
        return x, (x[0, :, :1] > 0).astype(float)

    for _ in range(steps):
        x, bit = draw(32)
        loss = tg.losses.binary_cross_entropy_with_logits(ahead(model, x, window).outputs[-1], bit)
        optimizer.zero_grad()
        loss.backward()
        tg.optim.clip_grad_norm(optimizer.parameters, 1.0)
        optimizer.step()
    x, bit = draw(1000)
    with tg.no_grad():
        return float(np.mean((ahead(model, x, window).outputs[-1].data > 0) == (bit > 0)))


def measure(quick: bool, rng: np.random.Generator) -> tuple[list[Line], Any]:
    lines, credits, moved, reached = [], {}, 0.0, 0
    for fade in FADES:
        state, whole, credits[fade] = credit(fade, WORDS)
        cut_state, kept, words = credit(fade, WINDOW)
        share = WINDOW / WORDS if fade == 1 else (1 - fade**WINDOW) / (1 - fade**WORDS)
        lines.append(
            exact(
                f"share of the credit in the last {WINDOW} of {WORDS} words, fading by {fade:g}",
                kept / whole,
                share,
                1e-10,
            )
        )
        moved, reached = max(moved, abs(cut_state / state - 1)), reached + np.count_nonzero(words[:-WINDOW])
    lines.append(exact("words before the window that get credit", reached, 0))
    lines.append(exact("relative change of the state by the cut", moved, 0.0, 1e-12))
    lags, windows = (LAGS[:3], WINDOWS[:3]) if quick else (LAGS, WINDOWS)
    seeds = rng.integers(2**31, size=3 if quick else 5)
    maps = {}
    for kind in CELLS:
        # a window longer than the text is the text
        pairs = {(lag, min(window, lag)) for lag in lags for window in windows}
        steps = QUICK_STEPS if quick else STEPS
        found = {pair: [accuracy(kind, *pair, steps, int(seed)) for seed in seeds] for pair in sorted(pairs)}
        maps[kind] = np.array([[np.mean(found[lag, min(window, lag)]) for lag in lags] for window in windows])
        inside = [value for (lag, window), all_seeds in found.items() if lag == window for value in all_seeds]
        span = f"median, {min(inside):.3g} to {max(inside):.3g} over lags and {len(seeds)} seeds"
        middle = float(np.median(inside))
        lines.append(
            trend(
                f"{kind}: accuracy for a bit at the far end of the window",
                middle,
                "at least 0.98",
                middle >= 0.98,
                span,
            )
        )
        solved = [
            sum(found[lag, window][k] >= 0.98 for k in range(len(seeds))) for lag, window in found if lag > window
        ]
        said = f"{sum(solved)} of {len(solved) * len(seeds)}"
        lines.append(
            trend(
                f"{kind}: trainings that learn a bit beyond the window",
                said,
                "none, if what is cut were lost",
                not sum(solved),
            )
        )
    return lines, (credits, maps, lags, windows)


def draw(found: Any, path: Path) -> None:
    credits, maps, lags, windows = found
    figure = Figure(figsize=(13, 4.6), layout="constrained")
    panel, *panels = figure.subplots(1, 3, width_ratios=(1.25, 1, 1))
    ago = np.arange(WORDS, 0, -1)
    for (fade, words), y in zip(credits.items(), (0.07, 0.25, 1.04), strict=True):
        panel.plot(-ago, words, color=COLOURS[fade], linewidth=2)
        text = f"fading by {fade:g}: {words[-WINDOW:].sum() / words.sum():.0%} in the window"
        panel.text(-WORDS, y, text, color=COLOURS[fade], fontsize=10)
    panel.axvspan(-WINDOW - 0.5, -0.5, color="#F0E442", alpha=0.5, linewidth=0)
    panel.annotate(
        "the last ten\nwords", (-WINDOW, 0.82), (-45, 0.8), fontsize=10, va="center", arrowprops={"arrowstyle": "->"}
    )
    panel.set(xlabel="words ago", ylabel="credit of a word", ylim=(0, 1.16), xlim=(-WORDS - 1, 0))
    panel.set_xticks([-100, -50, -10, -1], ["100", "50", "10", "1"])
    panel.spines[["top", "right"]].set_visible(False)
    panel.set_title("A window drops most of the credit", loc="left", fontsize=11.5)
    titles = {"RNN": "RNN: no credit right of the stairs", "LSTM": "LSTM: but a trace of the bit may do"}
    for panel, (kind, values) in zip(panels, maps.items(), strict=True):
        image = panel.imshow(values, cmap="cividis", vmin=0.5, vmax=1.0, origin="lower", aspect="auto")
        for row, column in np.ndindex(values.shape):
            ink = "white" if values[row, column] < 0.78 else "black"
            panel.text(column, row, f"{values[row, column]:.2f}", ha="center", va="center", color=ink, fontsize=11)
        for row, window in enumerate(windows):  # the stairs between inside and beyond
            edge = sum(lag <= window for lag in lags) - 0.5
            panel.plot([edge, edge], [row - 0.5, row + 0.5], color="#D55E00", linewidth=3)
            if row:
                panel.plot([edge - 1, edge], [row - 0.5] * 2, color="#D55E00", linewidth=3)
        panel.set_xticks(range(len(lags)), [str(lag) for lag in lags])
        panel.set_yticks(range(len(windows)), [str(window) for window in windows])
        panel.set(xlabel="d: the bit came so many words ago", ylabel="k: words in the window")
        panel.set_title(titles[kind], loc="left", fontsize=11.5)
    figure.colorbar(image, ax=panels, label="right answers, mean over seeds (0.5: chance)", shrink=0.9, pad=0.02)
    plots.save(figure, path)


if __name__ == "__main__":
    sys.exit(main(__doc__, measure, draw))
